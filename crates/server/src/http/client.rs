//! Asking others over HTTP. In: a request. Out: the answer's head, and a body that is still to be read.
//!
//! Connections are kept for the next request. http and https, whose certificates are checked against the
//! system's, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name; they are read when they are needed first.
//!
//! Never: follows a redirect; asks twice what may have been heard once; says how long an answer may take.

use std::error::Error as _;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

use crate::limits::{HOOK_CONNECT_TIME_MAX, HOOK_HEAD_BYTES_MAX, HOOK_IDLE_TIME_MAX};

/// Asks over connections that it keeps.
#[derive(Debug)]
pub(super) struct Client {
    plain: legacy::Client<HttpConnector, Body>,
    tls: OnceLock<legacy::Client<HttpsConnector<HttpConnector>, Body>>,
}

impl Client {
    /// Without a connection yet.
    pub(super) fn new() -> Self {
        Self {
            plain: pool().build(connector()),
            tls: OnceLock::new(),
        }
    }

    /// One that trusts these alone.
    #[cfg(test)]
    pub(super) fn trusting(roots: RootCertStore) -> Self {
        Self {
            tls: OnceLock::from(over_tls(roots)),
            ..Self::new()
        }
    }

    /// Sends `request`, whose URI is a whole URL.
    ///
    /// # Errors
    ///
    /// Why there is no answer, in one line.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, String> {
        let answer = if request.uri().scheme_str() == Some("https") {
            let tls = self.tls.get_or_init(|| over_tls(system_roots()));
            tls.request(request)
        } else {
            self.plain.request(request)
        };
        answer.await.map_err(|error| why(&error))
    }
}

/// What all the error's causes say: the outermost alone says little.
fn why(error: &legacy::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(line, ": {error}"); // into a string
        cause = error.source();
    }
    line
}

fn pool() -> legacy::Builder {
    let mut pool = legacy::Client::builder(TokioExecutor::new());
    pool.timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(HOOK_IDLE_TIME_MAX)
        .http1_max_buf_size(HOOK_HEAD_BYTES_MAX);
    pool
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(HOOK_CONNECT_TIME_MAX));
    connector.enforce_http(false);
    connector
}

fn over_tls(roots: RootCertStore) -> legacy::Client<HttpsConnector<HttpConnector>, Body> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_http1()
        .wrap_connector(connector());
    pool().build(connector)
}

fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!("a certificate that others are checked against: {error}");
    }
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("no certificates to check others against: nobody is asked over https");
    }
    roots
}
