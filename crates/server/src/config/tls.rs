//! Whether the listeners speak TLS: `[tls]`. In: what is written, and the files that it names. Out: what sessions
//! are made of, or the key that is at fault.
//!
//! Never: says what is in a key.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{Fault, Key};
use super::file::File;
use crate::tls::{CertificateFiles, ClientAuth, Loaded, MinVersion, TlsFile, TlsSettings};

/// `[tls]`, as it is written.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    certificates: Vec<Certificate>,
    client_ca_file: Option<String>,
    client_auth: ClientAuth,
    min_version: MinVersion,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Certificate {
    certificate_file: String,
    key_file: String,
}

impl Tls {
    /// Whether there is any.
    pub(super) const fn is_on(&self) -> bool {
        !self.certificates.is_empty()
    }
}

/// None: connections are plain.
pub(super) fn check(file: &File) -> Result<Option<Arc<Loaded>>, Fault> {
    let tls = &file.tls;
    if file.api.tls {
        let at = ["api", "tls"];
        if file.api.listen.is_none() {
            let why = "is for api.listen, which is not set: /api on the main port is as that is";
            return Err(Fault::new(at, why));
        }
        if !tls.is_on() {
            return Err(Fault::new(at, "needs tls.certificates, which is empty"));
        }
    }
    match (&tls.client_ca_file, tls.client_auth) {
        (Some(_), ClientAuth::None) => {
            let why = "means nothing while tls.client_auth is \"none\"";
            return Err(Fault::new(key("client_ca_file"), why));
        }
        (None, ClientAuth::Optional | ClientAuth::Required) => {
            let why = "needs tls.client_ca_file: who signs clients' certificates";
            return Err(Fault::new(key("client_auth"), why));
        }
        (Some(_), ClientAuth::Optional | ClientAuth::Required) | (None, ClientAuth::None) => {}
    }
    if !tls.is_on() {
        return match tls.client_ca_file {
            Some(_) => Err(Fault::new(
                key("client_ca_file"),
                "needs tls.certificates, which is empty",
            )),
            None => Ok(None),
        };
    }
    let certificates = tls.certificates.iter().map(|files| CertificateFiles {
        certificate: PathBuf::from(&files.certificate_file),
        key: PathBuf::from(&files.key_file),
    });
    let settings = TlsSettings {
        certificates: certificates.collect(),
        client_auth: tls.client_auth,
        client_ca: tls.client_ca_file.as_ref().map(PathBuf::from),
        min_version: tls.min_version,
    };
    let of_certificate =
        |number: usize, name| key("certificates").join(&number.to_string()).join(name);
    let loaded = settings.load().map_err(|fault| {
        let at = match fault.file {
            TlsFile::Certificate(number) => of_certificate(number, "certificate_file"),
            TlsFile::Key(number) => of_certificate(number, "key_file"),
            TlsFile::ClientCa => key("client_ca_file"),
        };
        Fault::new(at, fault.to_string())
    })?;
    Ok(Some(loaded))
}

fn key(name: &str) -> Key {
    ["tls", name].into()
}
