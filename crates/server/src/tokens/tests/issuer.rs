//! An issuer on the loopback. In: what it answers. Out: its URL, and how often it was asked.
//!
//! Never: speaks more HTTP than one request a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Serves until the process ends.
pub(super) struct IssuerServer {
    addr: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl IssuerServer {
    /// `answer`: a status line, headers and a body, see [`ok`].
    pub(super) fn start(answer: String, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let server = Self {
            addr: listener.local_addr().expect("an address"),
            answer: Arc::new(Mutex::new(answer)),
            asked: Arc::default(),
        };
        let (answer, asked) = (Arc::clone(&server.answer), Arc::clone(&server.asked));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.expect("a connection");
                asked.fetch_add(1, Ordering::SeqCst);
                let answer = answer.lock().expect("nobody panics with it").clone();
                match &tls {
                    None => serve(socket, &answer),
                    Some(config) => {
                        let tls = ServerConnection::new(Arc::clone(config)).expect("a config");
                        serve(StreamOwned::new(tls, socket), &answer);
                    }
                }
            }
        });
        server
    }

    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}/jwks.json", self.addr.port())
    }

    pub(super) fn answer(&self, answer: String) {
        *self.answer.lock().expect("nobody panics with it") = answer;
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// An answer with this body.
pub(super) fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// A peer that goes away, or trusts nobody, is none of its business.
fn serve(stream: impl Read + Write, answer: &str) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
        line.clear();
    }
    let _ = stream.get_mut().write_all(answer.as_bytes());
    let _ = stream.get_mut().flush();
}
