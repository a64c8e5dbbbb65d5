//! Backends on https.
//!
//! Never: takes a certificate for granted.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::fixture::*;
use super::*;

/// Roots to trust, and a server with a certificate that they vouch for.
fn authority(name: &str) -> (RootCertStore, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = params.signed_by(&key, &issuer).unwrap().into();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (roots, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn https_is_spoken_with_whom_the_roots_vouch_for() {
    locally(async {
        let (roots, acceptor) = authority("localhost");
        let (strangers, _) = authority("localhost");
        let backend = TestBackend::start_over(
            || async { json(r#"{"result":{}}"#) },
            async move |socket| acceptor.accept(socket).await.ok(),
        )
        .await;
        let asked = async |host: &str, roots: RootCertStore| {
            let url = format!("https://{host}:{}/", backend.port);
            let worker = Worker::asking_with(&url, &[], 4, Client::trusting(roots));
            let mut answers = Vec::new();
            for _ in 0..3 {
                answers.push(worker.hooked(rpc("1")).await.is_ok());
            }
            answers
        };
        assert_eq!(asked("localhost", roots.clone()).await, [true; 3]);
        assert_eq!(backend.connections(), 1, "it is kept");
        assert_eq!(asked("localhost", strangers).await, [false; 3]);
        assert_eq!(asked("127.0.0.1", roots).await, [false; 3], "another name");
        assert_eq!(backend.seen().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn https_to_plain_http_fails() {
    locally(async {
        let backend = TestBackend::start(|| async { json(r#"{"result":{}}"#) }).await;
        let url = format!("https://127.0.0.1:{}/", backend.port);
        let (roots, _) = authority("localhost");
        let worker = Worker::asking_with(&url, &[], 4, Client::trusting(roots));
        assert_eq!(worker.hooked(rpc("1")).await, Err(HookFailed));
        assert!(backend.seen().is_empty());
    })
    .await;
}
