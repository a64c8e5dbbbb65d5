//! Whom `wss://` trusts if the caller does not say. In: Mozilla's list, the system's certificates, or both. Out: one
//! configuration for the process, which also keeps the tickets of sessions.
//!
//! Never: reads files on a thread that others wait for; installs a provider of cryptography for the process.

#[cfg(feature = "rustls-native-roots")]
use std::io;
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::Error;

/// The protocol to agree on (RFC 7301): the upgrade is one of HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// Made at the first use.
pub(super) async fn config() -> Result<Arc<ClientConfig>, Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let made = Arc::new(make(roots().await?)?);
    Ok(Arc::clone(CONFIG.get_or_init(|| made)))
}

fn make(roots: RootCertStore) -> Result<ClientConfig, Error> {
    // The process's choice, if it has made one.
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

#[cfg(not(feature = "rustls-native-roots"))]
#[expect(clippy::unused_async, reason = "the system's have to be read")]
async fn roots() -> Result<RootCertStore, Error> {
    Ok(mozillas())
}

#[cfg(feature = "rustls-native-roots")]
async fn roots() -> Result<RootCertStore, Error> {
    #[cfg(feature = "rustls-webpki-roots")]
    let mut roots = mozillas();
    #[cfg(not(feature = "rustls-webpki-roots"))]
    let mut roots = RootCertStore::empty();
    let load = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let loaded = load
        .await
        .map_err(|error| Error::Roots(io::Error::other(error)))?;
    // Systems ship some that no library reads.
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let why = match loaded.errors.into_iter().next() {
            Some(error) => io::Error::other(error),
            None => io::Error::new(io::ErrorKind::NotFound, "none were found"),
        };
        return Err(Error::Roots(why));
    }
    Ok(roots)
}

#[cfg(feature = "rustls-webpki-roots")]
fn mozillas() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}
