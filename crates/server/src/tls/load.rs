//! From files to what sessions are made of. In: names of PEM files. Out: certificates with their keys, whom
//! clients' certificates must come from, or the file that is at fault and why.
//!
//! Never: keeps half of what the settings say; says what is in a key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{
    Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion, version,
};
use serde::{Deserialize, Serialize};

use super::names::ByName;
use super::watch::Stamps;
use crate::config::read_key_file;

/// The protocol to agree on (RFC 7301): upgrades are of HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// What an operator wants of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    /// At least one; the first is for clients that name no host, or none of these.
    pub(crate) certificates: Vec<CertificateFiles>,
    pub(crate) client_auth: ClientAuth,
    /// Who signs certificates of clients; there with every [`ClientAuth`] but none.
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) min_version: MinVersion,
}

/// A chain, the server's own certificate first, and the key of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They may; one that does not come from a known authority ends the handshake.
    Optional,
    /// They must.
    Required,
}

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MinVersion {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

impl MinVersion {
    /// This one and all that are newer.
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static ALL: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self {
            Self::Tls12 => &ALL,
            Self::Tls13 => &ALL[..1],
        }
    }
}

/// What the files held when they were read.
pub(crate) struct Loaded {
    pub(super) settings: TlsSettings,
    pub(super) server: Arc<ServerConfig>,
    /// Of the files, taken before they were read.
    pub(super) stamps: Stamps,
}

impl fmt::Debug for Loaded {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

/// Which of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsFile {
    /// Of the certificate with this number.
    Certificate(usize),
    /// See [`Certificate`](Self::Certificate).
    Key(usize),
    ClientCa,
}

/// Why there is no TLS: the file at fault.
#[derive(Debug)]
pub(crate) struct TlsFault {
    pub(crate) file: TlsFile,
    path: PathBuf,
    why: String,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl TlsSettings {
    /// Every file.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.certificates.iter();
        let pairs = pairs.flat_map(|files| [files.certificate.as_path(), files.key.as_path()]);
        pairs.chain(self.client_ca.as_deref())
    }

    /// Reads every file.
    ///
    /// # Errors
    ///
    /// The first file that is not what it should be.
    pub(crate) fn load(&self) -> Result<Arc<Loaded>, TlsFault> {
        let stamps = Stamps::of(self);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pairs = self.certificates.iter().enumerate();
        let certificates = pairs.map(|(number, files)| files.load(number, &provider));
        let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.min_version.versions())
            .expect("the provider has suites for both versions");
        let builder = match self.client_verifier(&provider)? {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut server = builder.with_cert_resolver(Arc::new(ByName::new(certificates)));
        server.alpn_protocols = vec![ALPN.to_vec()];
        // Clients that come back in a storm need no place in a table for their sessions.
        if let Ok(ticketer) = aws_lc_rs::Ticketer::new() {
            server.ticketer = ticketer;
        }
        Ok(Arc::new(Loaded {
            settings: self.clone(),
            server: Arc::new(server),
            stamps,
        }))
    }

    fn client_verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsFault> {
        let (Some(path), ClientAuth::Optional | ClientAuth::Required) =
            (&self.client_ca, self.client_auth)
        else {
            return Ok(None);
        };
        let fault = |why| TlsFault::new(TlsFile::ClientCa, path, why);
        let mut roots = RootCertStore::empty();
        for root in certificates_in(path).map_err(fault)? {
            let added = roots.add(root);
            added.map_err(|error| fault(in_words(&error)))?;
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = match self.client_auth {
            ClientAuth::Optional => builder.allow_unauthenticated(),
            ClientAuth::None | ClientAuth::Required => builder,
        };
        let verifier = builder.build().map_err(|error| fault(error.to_string()))?;
        Ok(Some(verifier))
    }
}

impl CertificateFiles {
    fn load(
        &self,
        number: usize,
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, TlsFault> {
        let at_certificate =
            |why| TlsFault::new(TlsFile::Certificate(number), &self.certificate, why);
        let at_key = |why| TlsFault::new(TlsFile::Key(number), &self.key, why);
        let chain = certificates_in(&self.certificate).map_err(at_certificate)?;
        let key = key_in(&self.key).map_err(at_key)?;
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|error| at_key(in_words(&error)))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // What a provider cannot tell is no fault.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Arc::new(certified))
            }
            Err(Error::InconsistentKeys(_)) => {
                let certificate = self.certificate.display();
                Err(at_key(format!(
                    "it is not the key of the certificate in {certificate}"
                )))
            }
            Err(error) => Err(at_certificate(in_words(&error))),
        }
    }
}

impl TlsFault {
    fn new(file: TlsFile, path: &Path, why: String) -> Self {
        Self {
            file,
            path: path.to_owned(),
            why,
        }
    }
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read_key_file(path).map_err(|error| error.to_string())?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| no_pem(&error))?;
    if certificates.is_empty() {
        return Err("it holds no PEM certificate".to_owned());
    }
    Ok(certificates)
}

fn key_in(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read_key_file(path).map_err(|error: io::Error| error.to_string())?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(&text) => {
            "its key is encrypted, and nobody can be asked for the password".to_owned()
        }
        pem::Error::NoItemsFound => "it holds no PEM private key".to_owned(),
        error => no_pem(&error),
    })
}

fn is_encrypted(text: &[u8]) -> bool {
    let begin: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    text.windows(begin.len()).any(|line| line == begin)
}

/// The library would repeat lines of the file, and one may be a piece of a key.
fn no_pem(error: &pem::Error) -> String {
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section begins with no proper line",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be read",
    };
    format!("it is no good PEM: {what}")
}

/// On one line.
fn in_words(error: &Error) -> String {
    let text = match error {
        Error::InvalidCertificate(error) => format!("a certificate is wrong: {error}"),
        Error::General(why) => why.clone(),
        error => error.to_string(),
    };
    text.replace('\n', " ")
}
