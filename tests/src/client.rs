//! A WebSocket client that reads one frame at a time. In: a server, requests, frames. Out: heads, frames
//! and how the connection ended.
//!
//! Never: uses the codec; answers a ping by itself.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::drivers::live_server::upgrade_request;
use crate::wire::{self, CLOSE, Frame, Head, Received, Sender};

/// How long a server may take for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, and what came over it that was not looked at.
#[derive(Debug)]
pub struct Client {
    /// The connection.
    pub socket: TcpStream,
    /// What came and belongs to no frame that was handed out.
    pub received: Vec<u8>,
}

impl Client {
    /// A connection that has asked for nothing.
    #[must_use]
    pub fn connect(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            received: Vec::new(),
        }
    }

    /// An open WebSocket to an echo server.
    #[must_use]
    pub fn open(addr: SocketAddr) -> Self {
        let mut client = Self::connect(addr);
        client.send(upgrade_request().as_bytes());
        assert_eq!(client.head().unwrap().status(), Some(101));
        client
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Sends this frame, masked.
    pub fn say(&mut self, frame: &Frame) {
        self.send(&frame.encode(Sender::Client));
    }

    /// More bytes; `None` at the end of the stream, however it ended.
    pub fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 64 << 10];
        match self.socket.read(&mut buffer) {
            Ok(0) => None,
            Ok(n) => {
                self.received.extend_from_slice(&buffer[..n]);
                Some(())
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no end and no bytes: {error}"),
        }
    }

    /// The head of the answer; `None` if the stream ended before.
    pub fn head(&mut self) -> Option<Head> {
        loop {
            if let Some(head) = wire::read_head(&self.received) {
                self.received.drain(..head.len);
                return Some(head);
            }
            self.more()?;
        }
    }

    /// The next frame; `None` if the stream ended before.
    pub fn frame(&mut self) -> Option<Received> {
        loop {
            if let Some((frame, len)) = wire::read_frame(&self.received, Sender::Server).unwrap() {
                self.received.drain(..len);
                return Some(frame);
            }
            self.more()?;
        }
    }

    /// The next frame is a close with this code.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) {
        let frame = self.frame().expect("a close frame");
        assert_eq!(
            (frame.opcode, &frame.payload[..2]),
            (CLOSE, &code.to_be_bytes()[..])
        );
    }

    /// Nothing comes any more but the end.
    #[track_caller]
    pub fn expect_end(&mut self) {
        while self.more().is_some() {}
        assert_eq!(self.received, b"", "more than was expected");
    }

    /// An echo server sends this back.
    #[track_caller]
    pub fn expect_echo(&mut self, text: &str) {
        self.say(&Frame::text(text));
        assert_eq!(self.frame().unwrap().payload, text.as_bytes());
    }
}
