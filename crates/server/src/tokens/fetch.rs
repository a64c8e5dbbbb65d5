//! One request to an issuer. In: a URL. Out: the text that is there.
//!
//! It blocks, on a thread of its own. A redirect does not leave HTTPS.
//!
//! Never: takes longer, or more bytes, than the caps in `limits.rs`.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::limits::{JWKS_REDIRECTS_MAX, JWKS_TIME_MAX, KEY_FILE_BYTES_MAX};

/// What `url` answers.
///
/// # Errors
///
/// A line that says why there is nothing.
pub(super) fn jwk_set(url: &str) -> Result<String, String> {
    fetch(url, system_roots())
}

/// `roots`: who may say that a host is who it says.
pub(super) fn fetch(url: &str, roots: Vec<Certificate<'static>>) -> Result<String, String> {
    let is_secure = url
        .get(..8)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
    let config = Agent::config_builder()
        .timeout_global(Some(JWKS_TIME_MAX))
        .max_redirects(JWKS_REDIRECTS_MAX)
        .https_only(is_secure)
        .user_agent("fanfare")
        .accept("application/jwk-set+json, application/json")
        .proxy(None) // the environment's is no setting of ours
        .tls_config(tls(roots));
    let agent = Agent::new_with_config(config.build());
    let answer = agent.get(url).call().map_err(in_a_line)?;
    let body = answer.into_body().into_with_config();
    let body = body.limit(KEY_FILE_BYTES_MAX as u64);
    body.read_to_string().map_err(in_a_line)
}

/// The certificates that this system trusts: an issuer may have one of its own.
fn system_roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    if let Some(error) = found.errors.first() {
        tracing::debug!("some certificates of this system can't be read: {error}");
    }
    let roots = found.certs.iter();
    roots
        .map(|root| Certificate::from_der(root).to_owned())
        .collect()
}

fn tls(roots: Vec<Certificate<'static>>) -> TlsConfig {
    TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .root_certs(RootCerts::from(roots))
        .build()
}

fn in_a_line(error: ureq::Error) -> String {
    error.to_string().replace('\n', " ")
}
