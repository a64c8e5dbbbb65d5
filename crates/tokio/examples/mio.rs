//! The codec inside an event loop of one's own, here mio's: one thread for all connections. In: an address. Out: every
//! message, sent back.
//!
//! ```console
//! $ cargo run -p fanfare-tokio --example mio -- 127.0.0.1:9001
//! ```
//!
//! Never: uses tokio; reads on from a peer that does not take its answers.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};

use fanfare_codec::handshake::{HeadLimits, RequestDecoder, Response};
use fanfare_codec::{
    CloseFrame, Encoder, Limits, Message, MessageDecoder, Role, UNCONSUMED_BYTES_MAX,
};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);
const READ_BYTES: usize = 16 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: mio ADDR")?;
    let mut listener = TcpListener::bind(address.parse()?)?;
    eprintln!("listening on ws://{}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections = HashMap::new();
    let mut next = 0;
    // What is read lies here until it is answered; a connection keeps only what was cut.
    let mut buffer = vec![0; READ_BYTES + UNCONSUMED_BYTES_MAX];
    let mut events = Events::with_capacity(256);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() != LISTENER {
                let token = event.token();
                let goes_on = connections
                    .get_mut(&token)
                    .is_some_and(|c: &mut Connection| c.turn(&mut buffer).unwrap_or(false));
                if !goes_on {
                    connections.remove(&token);
                }
                continue;
            }
            while let Ok((mut socket, _)) = listener.accept() {
                let token = Token(next);
                next += 1;
                socket.set_nodelay(true)?;
                let both = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut socket, token, both)?;
                connections.insert(token, Connection::new(socket));
            }
        }
    }
}

struct Connection {
    socket: TcpStream,
    phase: Phase,
    /// What was read and cannot be decoded yet.
    held: Vec<u8>,
    /// What the socket has not taken.
    out: Vec<u8>,
}

enum Phase {
    Upgrading(RequestDecoder),
    Open(MessageDecoder),
    /// It ends when `out` has left.
    Ending,
}

impl Connection {
    fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            phase: Phase::Upgrading(RequestDecoder::new(HeadLimits::default())),
            held: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Reads and answers until the socket gives or takes nothing; whether the connection goes on.
    fn turn(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            while !self.out.is_empty() {
                match self.socket.write(&self.out) {
                    Ok(0) => return Ok(false),
                    Ok(written) => drop(self.out.drain(..written)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
            }
            if matches!(self.phase, Phase::Ending) {
                return Ok(false);
            }
            // A head that is cut is longer than a frame that is.
            if let Phase::Upgrading(_) = self.phase {
                let mut piece = [0; 1024];
                match self.socket.read(&mut piece) {
                    Ok(0) => return Ok(false),
                    Ok(read) => self.held.extend_from_slice(&piece[..read]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
                self.upgrade();
                continue;
            }
            let held = self.held.len();
            buffer[..held].copy_from_slice(&self.held);
            match self.socket.read(&mut buffer[held..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.answer(&mut buffer[..held + read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    fn upgrade(&mut self) {
        let Phase::Upgrading(decoder) = &mut self.phase else {
            return;
        };
        let refusal = match decoder.decode(&self.held) {
            Ok(None) => return,
            Ok(Some(request)) => match request.upgrade() {
                Ok(upgrade) => {
                    Response::switching_protocols(&upgrade).encode(&mut self.out);
                    let mut behind = self.held[request.head_len()..].to_vec();
                    self.phase = Phase::Open(MessageDecoder::new(Role::Server, Limits::default()));
                    return self.answer(&mut behind);
                }
                Err(error) => Response::from(&error),
            },
            Err(error) => Response::from(&error),
        };
        refusal.encode(&mut self.out);
        self.phase = Phase::Ending;
    }

    /// Appends an echo of every whole message.
    fn answer(&mut self, mut input: &mut [u8]) {
        let Phase::Open(decoder) = &mut self.phase else {
            return;
        };
        let mut encoder = Encoder::server();
        let out = &mut self.out;
        loop {
            let encoded = match decoder.next_message(&mut input) {
                Ok(None) => break,
                Ok(Some(Message::Text(text))) => encoder.text(out, text),
                Ok(Some(Message::Binary(bytes))) => encoder.binary(out, bytes),
                Ok(Some(Message::Ping(payload))) => encoder.pong(out, payload),
                Ok(Some(Message::Pong(_))) => Ok(()),
                Ok(Some(Message::Close(close))) => {
                    encoder.close(out, close.map(CloseFrame::without_reason));
                    self.phase = Phase::Ending;
                    return;
                }
                Err(error) => {
                    let reason = error.to_string();
                    encoder.close(out, CloseFrame::new(error.close_code(), &reason).ok());
                    self.phase = Phase::Ending;
                    return;
                }
            };
            encoded.expect("no message is fragmented, and no pong longer than its ping");
        }
        self.held.clear();
        self.held.extend_from_slice(input);
    }
}
