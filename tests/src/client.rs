//! A WebSocket client that reads one frame at a time. In: a server, requests, frames. Out: heads, frames
//! and how the connection ended.
//!
//! Never: uses the codec; answers a ping by itself.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::drivers::KEY;
use crate::drivers::live_server::upgrade_request;
use crate::read::read;
use crate::wire::{self, BINARY, CLOSE, Frame, Head, Received, Sender, TEXT};

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

    /// Asks for an upgrade of `target`; the head of the answer.
    #[track_caller]
    #[must_use]
    pub fn ask(addr: SocketAddr, target: &str, headers: &[(&str, &str)]) -> (Self, Head) {
        let mut client = Self::connect(addr);
        client.send(upgrade(target, headers).as_bytes());
        let head = client
            .head()
            .unwrap_or_else(|| panic!("no answer: {target}"));
        (client, head)
    }

    /// An open WebSocket on `target`, and the head that opened it.
    #[track_caller]
    #[must_use]
    pub fn enter(addr: SocketAddr, target: &str, headers: &[(&str, &str)]) -> (Self, Head) {
        let (mut client, head) = Self::ask(addr, target, headers);
        if head.status() != Some(101) {
            while client.more().is_some() {}
            let body = String::from_utf8_lossy(&client.received);
            panic!("{target} {headers:?}: {head:?}, {body:?}");
        }
        let accept: Vec<&str> = head.all("Sec-WebSocket-Accept").collect();
        assert_eq!(accept, [wire::accept_for(KEY)], "{target}");
        (client, head)
    }

    /// An open WebSocket on `target` for which the kernel takes little: what is sent to it soon waits.
    #[track_caller]
    #[must_use]
    pub fn narrow(addr: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Self {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&addr.into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self {
            socket: socket.into(),
            received: Vec::new(),
        };
        client.send(upgrade(target, headers).as_bytes());
        assert_eq!(client.head().expect("an answer").status(), Some(101));
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
        match read(&mut self.socket, &mut buffer) {
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

    /// The next frame, and its reserved bits in front of it; `None` if the stream ended before.
    pub fn extended(&mut self) -> Option<(u8, Received)> {
        loop {
            let next = wire::next_extended(&self.received, Sender::Server).unwrap();
            if let Some((rsv, frame, len)) = next {
                self.received.drain(..len);
                return Some((rsv, frame));
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

    /// The next frame is this text message.
    #[track_caller]
    pub fn expect_text(&mut self, text: &str) {
        self.expect_message(TEXT, text.as_bytes());
    }

    /// The next frame is this binary message.
    #[track_caller]
    pub fn expect_binary(&mut self, bytes: &[u8]) {
        self.expect_message(BINARY, bytes);
    }

    #[track_caller]
    fn expect_message(&mut self, opcode: u8, payload: &[u8]) {
        let frame = self.frame().expect("a message, not the end");
        let same = (frame.opcode, frame.fin) == (opcode, true) && frame.payload == payload;
        let (got, wanted) = (brief(&frame.payload), brief(payload));
        let got = (frame.opcode, frame.fin, got);
        assert!(same, "expected {opcode}, {wanted}; came {got:?}");
    }

    /// The next frame is a text message.
    #[track_caller]
    pub fn text(&mut self) -> String {
        let frame = self.frame().expect("a message, not the end");
        let text = String::from_utf8_lossy(&frame.payload);
        assert_eq!((frame.opcode, frame.fin), (TEXT, true), "{text}");
        text.into_owned()
    }

    /// The next frame is a close with this code and a reason that begins like this; then comes the end.
    #[track_caller]
    pub fn expect_closed(&mut self, code: u16, reason: &str) {
        let frame = self.frame().expect("a close frame, not the end");
        let text = String::from_utf8_lossy(&frame.payload);
        assert_eq!(frame.opcode, CLOSE, "{text}");
        assert!(frame.payload.len() > 2, "a close without a reason");
        let came = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        let why = String::from_utf8_lossy(&frame.payload[2..]);
        assert!(
            came == code && why.starts_with(reason),
            "expected {code} {reason:?}, came {came} {why:?}"
        );
        self.say(&Frame::close(code, ""));
        self.expect_end();
    }
}

/// A payload as a failure shows it.
fn brief(payload: &[u8]) -> String {
    let start = String::from_utf8_lossy(&payload[..payload.len().min(200)]);
    format!("{} bytes {start:?}", payload.len())
}

/// A request for an upgrade of `target`, to the host `localhost` unless the headers name one.
#[must_use]
pub fn upgrade(target: &str, headers: &[(&str, &str)]) -> String {
    let mut request = format!("GET {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request += "Host: localhost\r\n";
    }
    request += &format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n"
    );
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request + "\r\n"
}
