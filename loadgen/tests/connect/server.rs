//! A small echo server on the codec and threads, plain or over TLS. In: a certificate, a subprotocol
//! to choose. Out: a URL, and what each client showed of itself.
//!
//! Never: misbehaves.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use fanfare_codec::handshake::{HeadLimits, RequestDecoder, Response};
use fanfare_codec::{Encoder, Limits, Message, MessageDecoder, Role};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What a client showed of itself when it asked for the upgrade.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) source: IpAddr,
    /// The request's head.
    pub(crate) request: String,
    /// The server name and the protocol of the TLS handshake.
    pub(crate) server_name: Option<String>,
    pub(crate) alpn: Option<String>,
}

impl Visit {
    /// The value of the only header of this name.
    pub(crate) fn header(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        let mut values = self.request.lines().filter_map(|l| l.strip_prefix(&start));
        let value = values
            .next()
            .unwrap_or_else(|| panic!("no {name}: {self:?}"));
        assert_eq!(values.next(), None, "{name} stands twice");
        value
    }
}

/// How a connection ended, seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a close frame, and then the end of the stream: over TLS, a close_notify.
    Clean {
        /// Messages before that.
        echoed: usize,
    },
    /// Otherwise.
    Cut,
}

/// A server on a free port of `localhost`; its threads end with the test process.
pub(crate) struct Server {
    /// `HOST:PORT`.
    pub(crate) address: String,
    pub(crate) port: u16,
    visits: Arc<Mutex<Vec<Visit>>>,
    pub(crate) endings: Receiver<Ending>,
}

/// What a server does besides echoing.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// The answer's `Sec-WebSocket-Protocol`, offered or not.
    pub(crate) subprotocol: Option<&'static str>,
}

impl Server {
    pub(crate) fn start(setup: Setup) -> Self {
        Self::start_on("127.0.0.1", setup)
    }

    pub(crate) fn start_on(host: &str, setup: Setup) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let visits = Arc::new(Mutex::new(Vec::new()));
        let (sender, endings) = mpsc::channel();
        let log = Arc::clone(&visits);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (setup, log, sender) = (setup.clone(), Arc::clone(&log), sender.clone());
                thread::spawn(move || accept(stream, &setup, &log, &sender));
            }
        });
        Self {
            address: format!("{host}:{port}"),
            port,
            visits,
            endings,
        }
    }

    /// Who has come so far.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        self.visits
            .lock()
            .expect("no thread panics with it")
            .clone()
    }
}

fn accept(stream: TcpStream, setup: &Setup, log: &Mutex<Vec<Visit>>, endings: &Sender<Ending>) {
    let source = stream.peer_addr().expect("it is connected").ip();
    let mut visit = Visit {
        source,
        request: String::new(),
        server_name: None,
        alpn: None,
    };
    let _ = stream.set_nodelay(true);
    let served = match &setup.tls {
        None => {
            let mut stream = stream;
            serve(&mut stream, setup, visit, log)
        }
        Some(config) => {
            let session = ServerConnection::new(Arc::clone(config)).expect("a valid config");
            let mut stream = StreamOwned::new(session, stream);
            if stream.conn.complete_io(&mut stream.sock).is_err() {
                return; // the client does not like the certificate, or speaks no TLS
            }
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            visit.server_name = stream.conn.server_name().map(str::to_owned);
            visit.alpn = stream.conn.alpn_protocol().map(text);
            serve(&mut stream, setup, visit, log)
        }
    };
    // The test may be over.
    let _ = endings.send(served.unwrap_or(Ending::Cut));
}

/// Serves one connection to its end.
fn serve(
    stream: &mut (impl Read + Write),
    setup: &Setup,
    visit: Visit,
    log: &Mutex<Vec<Visit>>,
) -> io::Result<Ending> {
    let mut buffer = upgrade(stream, setup, visit, log)?;
    let mut decoder = MessageDecoder::new(Role::Server, Limits::default());
    let mut encoder = Encoder::server();
    let mut echoed = 0;
    loop {
        let mut out = Vec::new();
        let total = buffer.len();
        let mut input = &mut buffer[..];
        let mut is_over = false;
        while let Ok(Some(message)) = decoder.next_message(&mut input) {
            echoed += usize::from(matches!(message, Message::Text(_) | Message::Binary(_)));
            match message {
                Message::Text(text) => encoder.text(&mut out, text).expect("none is open"),
                Message::Binary(bytes) => encoder.binary(&mut out, bytes).expect("none is open"),
                Message::Close(close) => {
                    encoder.close(&mut out, close);
                    is_over = true;
                    break;
                }
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
        let left = input.len();
        buffer.drain(..total - left);
        if is_over {
            // The client may be gone, and need not hear it.
            let _ = stream.write_all(&out);
            return Ok(match stream.read(&mut [0]) {
                Ok(0) => Ending::Clean { echoed },
                _ => Ending::Cut,
            });
        }
        stream.write_all(&out)?;
        read_more(stream, &mut buffer)?;
    }
}

/// Answers the request; what follows it was sent too early but is kept.
fn upgrade(
    stream: &mut (impl Read + Write),
    setup: &Setup,
    mut visit: Visit,
    log: &Mutex<Vec<Visit>>,
) -> io::Result<Vec<u8>> {
    let mut received = Vec::new();
    let mut decoder = RequestDecoder::new(HeadLimits::default());
    let mut answer = Vec::new();
    let head_len = loop {
        read_more(stream, &mut received)?;
        if let Some(request) = decoder.decode(&received).map_err(io::Error::other)? {
            let upgrade = request.upgrade().expect("loadgen sends valid upgrades");
            let mut response = Response::switching_protocols(&upgrade);
            if let Some(subprotocol) = setup.subprotocol {
                response = response.subprotocol(subprotocol).expect("a token");
            }
            response.encode(&mut answer);
            break request.head_len();
        }
    };
    visit.request = String::from_utf8(received[..head_len].to_vec()).expect("loadgen sends text");
    log.lock().expect("no thread panics with it").push(visit);
    stream.write_all(&answer)?;
    received.drain(..head_len);
    Ok(received)
}

fn read_more(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = vec![0; 64 << 10];
    match stream.read(&mut piece)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        len => {
            buffer.extend_from_slice(&piece[..len]);
            Ok(())
        }
    }
}
