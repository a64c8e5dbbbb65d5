//! A server whose every connection is a function of the test's. In: what to do with each upgraded
//! connection. Out: a URL.
//!
//! Never: does anything that the test did not say, once the upgrade is answered.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use fanfare_codec::{Encoder, Limits, Message, MessageDecoder, Role, Unmasked};

use super::server::{Conduct, read_more, upgrade};

/// The server's end of an upgraded connection.
pub(crate) struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    decoder: MessageDecoder,
    pub(crate) encoder: Encoder<Unmasked>,
    /// What the next [`flush`](Self::flush) sends.
    pub(crate) out: Vec<u8>,
}

/// What the client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Data(Vec<u8>),
    Ping(Vec<u8>),
    Close,
}

/// Starts a server on a free port; `serve` is called, on a thread of its own, with the number of each
/// connection and its end of it. Before the upgrade, `admit` says how connection `number` is answered.
pub(crate) fn start(
    admit: impl Fn(usize) -> Conduct + Send + Sync + 'static,
    serve: impl Fn(usize, &mut Peer) -> Option<()> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for (number, mut stream) in listener.incoming().flatten().enumerate() {
            let serve = Arc::clone(&serve);
            let conduct = admit(number);
            thread::spawn(move || {
                stream.set_nodelay(true).ok()?;
                let buffer = upgrade(&mut stream, conduct)?;
                let mut peer = Peer {
                    stream,
                    buffer,
                    decoder: MessageDecoder::new(Role::Server, Limits::default()),
                    encoder: Encoder::server(),
                    out: Vec::new(),
                };
                serve(number, &mut peer)
            });
        }
    });
    format!("ws://{address}/")
}

impl Peer {
    /// What the client does next; `None` once it is gone.
    pub(crate) fn next(&mut self) -> Option<Deed> {
        loop {
            let total = self.buffer.len();
            let mut input = &mut self.buffer[..];
            let deed = self
                .decoder
                .next_message(&mut input)
                .expect("loadgen keeps to RFC 6455")
                .map(|message| match message {
                    Message::Text(text) => Deed::Data(text.as_bytes().to_vec()),
                    Message::Binary(bytes) => Deed::Data(bytes.to_vec()),
                    Message::Ping(payload) => Deed::Ping(payload.to_vec()),
                    Message::Pong(_) => panic!("nobody pinged loadgen"),
                    Message::Close(_) => Deed::Close,
                });
            let left = input.len();
            self.buffer.drain(..total - left);
            if deed.is_some() {
                return deed;
            }
            read_more(&mut self.stream, &mut self.buffer)?;
        }
    }

    /// Puts a pong into what is to be sent.
    pub(crate) fn pong(&mut self, payload: &[u8]) {
        let pong = self.encoder.pong(&mut self.out, payload);
        pong.expect("it is short, and nothing was closed");
    }

    /// Puts a text message into what is to be sent.
    pub(crate) fn text(&mut self, text: &str) {
        let sent = self.encoder.text(&mut self.out, text);
        sent.expect("no message is open, and nothing was closed");
    }

    /// Puts a binary message into what is to be sent.
    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        let sent = self.encoder.binary(&mut self.out, bytes);
        sent.expect("no message is open, and nothing was closed");
    }

    /// Sends it; `None` once the client is gone.
    pub(crate) fn flush(&mut self) -> Option<()> {
        self.stream.write_all(&self.out).ok()?;
        self.out.clear();
        Some(())
    }

    /// Answers the client's close frame and closes the socket, as servers should.
    pub(crate) fn part(&mut self) -> Option<()> {
        self.encoder.close(&mut self.out, None);
        self.flush()?;
        self.stream.shutdown(Shutdown::Write).ok()
    }

    /// Answers pings and closes, echoes messages, until the client is gone.
    pub(crate) fn behave(&mut self) -> Option<()> {
        loop {
            match self.next()? {
                Deed::Data(bytes) => self.binary(&bytes),
                Deed::Ping(payload) => self.pong(&payload),
                Deed::Close => return self.part(),
            }
            self.flush()?;
        }
    }
}
