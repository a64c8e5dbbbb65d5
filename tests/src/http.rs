//! HTTP/1.1 as a client of the API speaks it, over one socket. In: requests, wrong ones too. Out: status,
//! headers and body.
//!
//! Never: follows, retries, or closes a connection that the server keeps.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::client::PATIENCE;
use crate::read::read;
use crate::wire::{self, Head};

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status line and headers.
    pub head: Head,
    /// As the head delimits it.
    pub body: Vec<u8>,
}

impl Response {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status().expect("a status code")
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// It has this status, and a body of one line of plain text in which each of `words` stands.
    #[track_caller]
    pub fn expect_line(&self, case: &str, status: u16, words: &[&str]) {
        let text = self.text();
        assert_eq!(self.status(), status, "{case}: {self:?}");
        assert_eq!(text.trim_end().lines().count(), 1, "{case}: {text:?}");
        let plain = self
            .head
            .all("Content-Type")
            .all(|kind| kind.starts_with("text/plain"));
        assert!(plain, "{case}: {self:?}");
        for word in words {
            assert!(text.contains(word), "{case}: no {word:?} in {text:?}");
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Http {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Http {
    /// A connection that has asked for nothing.
    #[must_use]
    pub fn connect(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            received: Vec::new(),
        }
    }

    /// Sends these bytes. A server that has answered and closed already may take none of them.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// Sends FIN.
    pub fn finish(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Sends a request, with `Content-Length` if it has a body, and reads the answer.
    #[track_caller]
    pub fn request(&mut self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.send(&request(line, headers, body));
        self.response(line.starts_with("HEAD "))
    }

    /// Reads one answer; to a `HEAD`, its head alone.
    #[track_caller]
    pub fn response(&mut self, headless: bool) -> Response {
        let head = loop {
            if let Some(head) = wire::read_head(&self.received) {
                break head;
            }
            let before = self.received.len();
            assert!(self.more(), "the end after {before} bytes of a head");
        };
        self.received.drain(..head.len);
        let headless = headless || matches!(head.status(), Some(101 | 204 | 304));
        let body = if headless {
            Vec::new()
        } else if head.lists("Transfer-Encoding", "chunked") {
            self.chunks()
        } else if let Some(len) = head.all("Content-Length").next() {
            let len = len.parse().expect("a length");
            self.take(len)
        } else {
            while self.more() {}
            std::mem::take(&mut self.received)
        };
        Response { head, body }
    }

    /// Reads an answer that may be `100 Continue`, which has no body.
    #[track_caller]
    pub fn interim(&mut self) -> Response {
        while wire::read_head(&self.received).is_none() {
            assert!(self.more(), "the end before an answer");
        }
        let head = wire::read_head(&self.received).and_then(|head| head.status());
        self.response(head == Some(100))
    }

    /// Everything that comes until the end.
    #[track_caller]
    pub fn until_end(&mut self) -> String {
        while self.more() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }

    /// Nothing comes any more but the end.
    #[track_caller]
    pub fn expect_end(&mut self) {
        while self.more() {}
        let more = String::from_utf8_lossy(&self.received);
        assert_eq!(more, "", "more than was expected");
    }

    #[track_caller]
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = self.received.windows(2).position(|w| w == b"\r\n") {
                    break self.take(end + 2);
                }
                assert!(self.more(), "the end in a chunk's head");
            };
            let len = String::from_utf8_lossy(&line).trim().to_owned();
            let len = usize::from_str_radix(&len, 16).expect("a chunk's length");
            let chunk = self.take(len + 2);
            body.extend_from_slice(&chunk[..len]);
            if len == 0 {
                return body;
            }
        }
    }

    #[track_caller]
    fn take(&mut self, len: usize) -> Vec<u8> {
        while self.received.len() < len {
            let there = self.received.len();
            assert!(self.more(), "the end after {there} bytes of {len}");
        }
        self.received.drain(..len).collect()
    }

    /// Whether more bytes came before the end.
    #[track_caller]
    fn more(&mut self) -> bool {
        let mut buffer = [0; 64 << 10];
        match read(&mut self.socket, &mut buffer) {
            Ok(n) => {
                self.received.extend_from_slice(&buffer[..n]);
                n > 0
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no end and no bytes: {error}"),
        }
    }
}

/// A request as bytes: `line` is method and target.
#[must_use]
pub fn request(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    head += "\r\n";
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
