//! An authority, and servers that it vouches for.

use std::net::SocketAddr;
use std::sync::Arc;

use fanfare_tokio::rustls::crypto::aws_lc_rs;
use fanfare_tokio::rustls::pki_types::PrivateKeyDer;
use fanfare_tokio::rustls::server::WebPkiClientVerifier;
use fanfare_tokio::rustls::{CertificateError, ClientConfig, Error, RootCertStore, ServerConfig};
use fanfare_tokio::{Config, accept};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Who signs certificates.
#[derive(Debug)]
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a server's certificate says, and what it wants of its clients.
#[derive(Debug)]
pub(crate) struct Secure {
    pub(crate) name: &'static str,
    pub(crate) is_expired: bool,
    pub(crate) wants_certificates: bool,
}

impl Default for Secure {
    fn default() -> Self {
        Self {
            name: "localhost",
            is_expired: false,
            wants_certificates: false,
        }
    }
}

impl Authority {
    /// By the name of `who`: of two with one name, keys would be compared, and not who is known.
    pub(crate) fn new(who: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, who);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// As a file has it.
    #[allow(dead_code, reason = "not every suite writes one")]
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a certificate");
        roots
    }

    /// Of a client that trusts nobody else. No provider is installed for the process.
    pub(crate) fn trusted(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    pub(crate) fn server(&self, secure: &Secure) -> TlsAcceptor {
        let mut params = CertificateParams::new([secure.name.to_owned()]).expect("a name");
        if secure.is_expired {
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match secure.wants_certificates {
            false => builder.with_no_client_auth(),
            true => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider)
                    .build()
                    .expect("a verifier"),
            ),
        };
        let mut config = builder
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server that sends every message back to those who get to it.
pub(crate) async fn echo(acceptor: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a client");
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(session) = acceptor.accept(socket).await else {
                    return; // a client that does not trust us
                };
                assert_eq!(session.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
                let mut ws = accept(session, &Config::DEFAULT).await.expect("a request");
                while let Some(Ok(message)) = ws.recv().await {
                    if message.is_data() {
                        ws.send(message).await.expect("a client that listens");
                    }
                }
            });
        }
    });
    address
}

pub(crate) fn assert_unknown_issuer(error: &Error) {
    assert!(
        matches!(
            error,
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
        ),
        "{error:?}"
    );
}
