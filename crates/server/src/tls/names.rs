//! Which certificate a client is shown. In: the host that it names (SNI, RFC 6066 §3), and what it can verify.
//! Out: one of those that were loaded.
//!
//! Never: refuses a client: one that knows no better gets the first.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates in the order of the settings, at least one.
#[derive(Debug)]
pub(super) struct ByName(Vec<Arc<CertifiedKey>>);

impl ByName {
    pub(super) fn new(certificates: Vec<Arc<CertifiedKey>>) -> Self {
        Self(certificates)
    }

    /// The first for `host` whose key the client can verify; without one, the first for `host`; for a host that
    /// none is for, the same of all.
    fn choose(
        &self,
        host: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<&Arc<CertifiedKey>> {
        let name = host.and_then(|host| ServerName::try_from(host).ok());
        let is_for_host = |key: &&Arc<CertifiedKey>| {
            let name = name.as_ref();
            name.is_some_and(|name| is_for(key, name))
        };
        let can_verify = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let mut of_host = self.0.iter().filter(is_for_host).peekable();
        match of_host.peek().copied() {
            Some(first) => of_host.find(can_verify).or(Some(first)),
            None => self.0.iter().find(can_verify).or_else(|| self.0.first()),
        }
    }
}

/// Whether `name` is one of the certificate's own; `*.example.com` stands for one label, as in clients.
fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.cert.first();
    let parsed = certificate.and_then(|der| ParsedCertificate::try_from(der).ok());
    parsed.is_some_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
            .map(Arc::clone)
    }
}
