//! Files, sessions and their peers, all in this process: rcgen makes certificates, rustls is the client.
//!
//! Never: opens a socket.

mod files;
mod handshakes;
mod sessions;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::folder::Folder;

/// Who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// What it has signed.
struct Signed {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
    key_der: Vec<u8>,
    /// How often a client shows it.
    copies: usize,
}

impl Signed {
    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key_der.clone()).unwrap()
    }
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let names = &mut params.distinguished_name;
        names.push(DnType::CommonName, "an authority"); // what it signs has another name
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for these hosts.
    fn sign(&self, hosts: &[&str]) -> Signed {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let params = CertificateParams::new(hosts).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
            key_der: key.serialize_der(),
            copies: 1,
        }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        Arc::new(roots)
    }
}

/// Settings with certificates in these files, and nothing else.
fn settings(files: &[(&Path, &Path)]) -> TlsSettings {
    let certificates = files.iter().map(|(certificate, key)| CertificateFiles {
        certificate: certificate.to_path_buf(),
        key: key.to_path_buf(),
    });
    TlsSettings {
        certificates: certificates.collect(),
        client_auth: ClientAuth::None,
        client_ca: None,
        min_version: MinVersion::Tls12,
    }
}

/// Writes a certificate and its key.
fn put(folder: &Folder, name: &str, signed: &Signed) -> (PathBuf, PathBuf) {
    let certificate = folder.write(&format!("{name}.crt"), &signed.certificate);
    let key = folder.write(&format!("{name}.key"), &signed.key);
    (certificate, key)
}
