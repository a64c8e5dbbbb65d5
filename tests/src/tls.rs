//! TLS as clients of the daemon speak it, and certificates of an authority of our own. In: hosts, files, settings.
//! Out: sessions that are checked as browsers check them, and how they end.
//!
//! Never: trusts another authority; takes a cut connection for one that was closed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::client::{PATIENCE, upgrade};
use crate::daemon::{ConfigFile, Daemon, fanfare, free_address};
use crate::folder::Folder;
use crate::wire::{self, Frame, Head, Received, Sender};

/// The host that [`Authority::sign`]ed certificates of these tests are mostly for.
pub const HOST: &str = "a.test";

/// Who signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    /// Its own certificate.
    pub pem: String,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Signed {
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub key: String,
    /// The certificate as sessions show it.
    pub der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// One that nobody knows.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let names = &mut params.distinguished_name;
        names.push(DnType::CommonName, "an authority"); // what it signs has another name
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for these hosts.
    #[must_use]
    pub fn sign(&self, hosts: &[&str]) -> Signed {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let params = CertificateParams::new(hosts).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
            key_der: key.serialize_der(),
        }
    }

    /// What a client wants that trusts it, and shows `certificate` if it is asked.
    #[must_use]
    pub fn trusted(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        certificate: Option<&Signed>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(signed) => {
                let key = PrivateKeyDer::try_from(signed.key_der.clone()).unwrap();
                let chain = vec![signed.der.clone()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// `certificates` of `[tls]`: pairs of files by their names in `folder`, without `.crt` and `.key`.
#[must_use]
pub fn certificates(folder: &Folder, names: &[&str]) -> String {
    let pair = |name: &&str| {
        let (certificate, key) = (
            folder.path(&format!("{name}.crt")),
            folder.path(&format!("{name}.key")),
        );
        format!("{{ certificate_file = {certificate:?}, key_file = {key:?} }}")
    };
    let pairs: Vec<String> = names.iter().map(pair).collect();
    format!("certificates = [{}]", pairs.join(", "))
}

/// Writes `name.crt` and `name.key`.
pub fn put(folder: &Folder, name: &str, signed: &Signed) {
    let _ = folder.write(&format!("{name}.key"), &signed.key);
    let _ = folder.write(&format!("{name}.crt"), &signed.certificate);
}

/// A `fanfare serve` that speaks TLS.
#[derive(Debug)]
pub struct Secured {
    /// The process.
    pub daemon: Daemon,
    /// Where `{api}` of its config is.
    pub api: SocketAddr,
    _config: ConfigFile,
}

impl Secured {
    /// With this config, listening; `{api}` and `{listen}` in it become addresses.
    #[track_caller]
    #[must_use]
    pub fn serve(config: &str) -> Self {
        let (addr, api) = (free_address().unwrap(), free_address().unwrap());
        let config = config.replace("{api}", &api.to_string());
        let config = ConfigFile::new(&config.replace("{listen}", &addr.to_string())).unwrap();
        let mut command = fanfare();
        command.arg("serve").arg("--config").arg(config.path());
        command.args(["--listen", &addr.to_string()]);
        let daemon = Daemon::spawn(command, addr).unwrap();
        let listens = |line: &str| line.contains("listening on wss://");
        let _ = daemon.log().wait_for("line that it listens", 0, listens);
        Self {
            daemon,
            api,
            _config: config,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.daemon.addr()
    }
}

/// A connection over TLS.
#[derive(Debug)]
pub struct TlsClient {
    /// The session and its socket.
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    received: Vec<u8>,
}

impl TlsClient {
    /// A session with the server at `addr`, which is called `host`.
    ///
    /// # Errors
    ///
    /// What the handshake ends with.
    pub fn connect(addr: SocketAddr, config: &ClientConfig, host: &str) -> io::Result<Self> {
        Self::over(TcpStream::connect(addr)?, config, host)
    }

    /// The same over a socket that is there.
    ///
    /// # Errors
    ///
    /// What the handshake ends with.
    pub fn over(mut socket: TcpStream, config: &ClientConfig, host: &str) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let host = ServerName::try_from(host.to_owned()).unwrap();
        let mut session = ClientConnection::new(Arc::new(config.clone()), host).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self {
            stream: StreamOwned::new(session, socket),
            received: Vec::new(),
        })
    }

    /// An open WebSocket on `target`.
    #[track_caller]
    #[must_use]
    pub fn open(addr: SocketAddr, config: &ClientConfig, target: &str) -> Self {
        Self::connect(addr, config, HOST).unwrap().upgraded(target)
    }

    /// The same connection with an open WebSocket on `target`.
    #[track_caller]
    #[must_use]
    pub fn upgraded(mut self, target: &str) -> Self {
        self.send(upgrade(target, &[]).as_bytes());
        let head = self.head();
        assert_eq!(head.status(), Some(101), "{target}: {head:?}");
        self
    }

    /// The first certificate that the server has shown.
    #[must_use]
    pub fn shown(&self) -> &CertificateDer<'static> {
        &self.stream.conn.peer_certificates().expect("a certificate")[0]
    }

    /// Sends these bytes, in one record if they fit.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends this frame, masked.
    pub fn say(&mut self, frame: &Frame) {
        self.send(&frame.encode(Sender::Client));
    }

    /// More bytes; `None` once the server has closed the session, which a FIN alone does not.
    ///
    /// # Errors
    ///
    /// A connection that was cut, or on which nothing comes.
    pub fn more(&mut self) -> io::Result<Option<()>> {
        let mut buffer = [0; 64 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(n) => {
                    self.received.extend_from_slice(&buffer[..n]);
                    return Ok(Some(()));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The head of an answer.
    #[track_caller]
    pub fn head(&mut self) -> Head {
        loop {
            if let Some(head) = wire::read_head(&self.received) {
                self.received.drain(..head.len);
                return head;
            }
            self.more().unwrap().expect("a head, not the end");
        }
    }

    /// An answer with `Content-Length`: its status and body.
    #[track_caller]
    pub fn answer(&mut self) -> (u16, String) {
        let head = self.head();
        let len = head.all("Content-Length").next().expect("a length");
        let len: usize = len.parse().unwrap();
        while self.received.len() < len {
            self.more().unwrap().expect("a body, not the end");
        }
        let body = self.received.drain(..len).collect();
        let status = head.status().expect("a status");
        (status, String::from_utf8(body).unwrap())
    }

    /// Whether a whole frame has come.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        matches!(
            wire::read_frame(&self.received, Sender::Server),
            Ok(Some(_))
        )
    }

    /// The next frame; `None` once the server has closed the session.
    #[track_caller]
    pub fn frame(&mut self) -> Option<Received> {
        loop {
            if let Some((frame, len)) = wire::read_frame(&self.received, Sender::Server).unwrap() {
                self.received.drain(..len);
                return Some(frame);
            }
            self.more().unwrap()?;
        }
    }

    /// The next frame, and its reserved bits in front of it; `None` once the server has closed the session.
    #[track_caller]
    pub fn extended(&mut self) -> Option<(u8, Received)> {
        loop {
            let next = wire::next_extended(&self.received, Sender::Server).unwrap();
            if let Some((rsv, frame, len)) = next {
                self.received.drain(..len);
                return Some((rsv, frame));
            }
            self.more().unwrap()?;
        }
    }

    /// The next frame has this payload.
    #[track_caller]
    pub fn expect(&mut self, payload: &[u8]) {
        let frame = self.frame().expect("a frame, not the end");
        let (came, wanted) = (frame.payload.len(), payload.len());
        assert!(frame.payload == payload, "{came} bytes came for {wanted}");
    }

    /// An echo server sends this back.
    #[track_caller]
    pub fn expect_echo(&mut self, text: &str) {
        self.say(&Frame::text(text));
        self.expect(text.as_bytes());
    }

    /// Nothing comes any more but a proper end.
    #[track_caller]
    pub fn expect_end(&mut self) {
        while self.more().unwrap().is_some() {}
        assert_eq!(self.received, b"", "more than was expected");
    }
}
