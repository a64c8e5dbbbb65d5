//! Certificates for tests. In: a name. Out: an authority that signed a server's certificate for it,
//! and that server's configuration.
//!
//! Never: written where it outlives its test.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, SupportedProtocolVersion};

/// An authority and a server that it knows.
pub(crate) struct Authority {
    pub(crate) file: TemporaryFile,
    pub(crate) server: Arc<ServerConfig>,
}

impl Authority {
    /// One that has signed a certificate for `name`, an address or a host.
    pub(crate) fn of(name: &str, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("a key");
        // Two of one name would be taken for one that signs wrongly.
        let common_name = format!("authority {:02x?}", &authority_key.public_key_raw()[..8]);
        authority
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let root = authority.self_signed(&authority_key).expect("it signs");
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .and_then(|params| params.signed_by(&key, &issuer))
            .expect("a valid name");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key of rcgen's");
        let mut server = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(versions)
            .expect("versions that the provider knows")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("the key of that certificate");
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self {
            file: TemporaryFile::new(&root.pem()),
            server: Arc::new(server),
        }
    }
}

/// A file that goes with the test.
pub(crate) struct TemporaryFile(PathBuf);

impl TemporaryFile {
    pub(crate) fn new(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("loadgen-connect-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("the temporary folder can be written");
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0
            .to_str()
            .expect("the temporary folder's name is text")
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("it is ours");
    }
}
