//! Whom `wss` connections trust. In: `--ca`, `--insecure` and the name in the URL. Out: TLS sessions.
//!
//! Every session is new: clients of a run stand for clients that know nothing of each other, so none
//! resumes what another began.
//!
//! Never: touches a socket.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedCipherSuite};

use super::any_certificate::AnyCertificate;
use super::target::Target;
use super::{DialError, DialOptions};
use crate::fault::{Fault, FaultClass};

/// The protocol to agree on (RFC 7301): the upgrade is one of HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// What sessions with one server have in common.
#[derive(Debug)]
pub(super) struct Trust {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl Trust {
    /// The trust in `target` that the flags ask for; `None` if it is a plain one.
    ///
    /// # Errors
    ///
    /// When a file holds no certificates, or when flags contradict each other or the URL.
    pub(super) fn establish(
        options: &DialOptions,
        target: &Target,
    ) -> Result<Option<Self>, DialError> {
        let refuse = |flag, why: &str| Err(DialError::new(flag, why));
        match (target.is_secure, options.insecure, options.ca.is_empty()) {
            (false, true, _) => return refuse("--insecure", "the URL is not a wss:// one"),
            (false, _, false) => return refuse("--ca", "the URL is not a wss:// one"),
            (true, true, false) => return refuse("--ca", "nothing is checked with --insecure"),
            (false, ..) => return Ok(None),
            (true, ..) => {}
        }
        let server = ServerName::try_from(target.name.clone())
            .map_err(|error| DialError::new("<URL>", format_args!("'{}': {error}", target.name)))?;
        Ok(Some(Self {
            config: Arc::new(config(options)?),
            server,
        }))
    }

    /// A session that has sent nothing yet.
    pub(super) fn session(&self) -> Result<ClientConnection, Fault> {
        ClientConnection::new(Arc::clone(&self.config), self.server.clone())
            .map_err(|error| Fault::new(FaultClass::Handshake, error))
    }
}

fn config(options: &DialOptions) -> Result<ClientConfig, DialError> {
    let provider = Arc::new(in_order_of_browsers(aws_lc_rs::default_provider()));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| DialError::new("<URL>", error))?;
    let builder = if options.insecure {
        let verifier = AnyCertificate::new(&provider);
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
    } else {
        builder.with_root_certificates(roots(options)?)
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Suites with AES of 128 bits come first, as in Chromium's, Firefox's and Safari's lists: servers that leave the
/// choice to their clients do the work that they do for browsers.
fn in_order_of_browsers(mut provider: CryptoProvider) -> CryptoProvider {
    let name = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite());
    // TLS 1.3's are in front; a stable sort leaves them there.
    provider.cipher_suites.sort_by_key(|suite| {
        (
            suite.tls13().is_none(),
            !name(suite).contains("AES_128_GCM"),
        )
    });
    provider
}

/// The given ones alone; without any, those that browsers know.
fn roots(options: &DialOptions) -> Result<RootCertStore, DialError> {
    let mut roots = RootCertStore::empty();
    if options.ca.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for path in &options.ca {
        add_file(&mut roots, path)
            .map_err(|why| DialError::new("--ca", format_args!("{}: {why}", path.display())))?;
    }
    Ok(roots)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let before = roots.len();
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.len() == before {
        return Err("it holds no PEM certificate".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aes_of_128_bits_is_asked_for_first_in_both_versions() {
        let before = aws_lc_rs::default_provider().cipher_suites.len();
        let suites = in_order_of_browsers(aws_lc_rs::default_provider()).cipher_suites;
        let names: Vec<String> = suites.iter().map(|s| format!("{:?}", s.suite())).collect();
        assert_eq!(names.len(), before, "none is left out");
        assert_eq!(names[0], "TLS13_AES_128_GCM_SHA256");
        let of_12 = names.iter().find(|name| !name.starts_with("TLS13"));
        assert!(
            of_12.is_some_and(|name| name.contains("AES_128_GCM")),
            "{names:?}"
        );
    }
}
