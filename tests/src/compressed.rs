//! A client of permessage-deflate (RFC 7692) that has zlib for it. In: a server, an offer, messages. Out: messages.
//!
//! Never: uses the codec.

use std::net::SocketAddr;

use crate::client::Client;
use crate::wire::{Frame, Received};
use crate::zlib::Zlib;

/// RSV1: the message is compressed (§6).
pub const RSV1: u8 = 4;

/// A connection, and a window for each direction.
#[derive(Debug)]
pub struct Compressed {
    /// The connection.
    pub socket: Client,
    /// What the server answered to the offer.
    pub answer: String,
    ours: Zlib,
    theirs: Zlib,
}

impl Compressed {
    /// An open WebSocket on `target`; the server has accepted `offer`.
    #[track_caller]
    #[must_use]
    pub fn enter(addr: SocketAddr, target: &str, offer: &str) -> Self {
        let (socket, head) = Client::enter(addr, target, &[("Sec-WebSocket-Extensions", offer)]);
        let answers: Vec<&str> = head.all("Sec-WebSocket-Extensions").collect();
        let [answer] = answers[..] else {
            panic!("{target}, {offer}: {head:?}");
        };
        let answer = answer.to_owned();
        let mut compressed = Self {
            socket,
            answer,
            ours: Zlib::start(),
            theirs: Zlib::start(),
        };
        compressed.ours.open_deflater(15);
        compressed.theirs.open_inflater(compressed.server_bits());
        compressed
    }

    fn says(&self, parameter: &str) -> bool {
        self.answer.split("; ").any(|said| said == parameter)
    }

    fn server_bits(&self) -> u8 {
        let mut said = self.answer.split("; ");
        let bits = said.find_map(|said| said.strip_prefix("server_max_window_bits="));
        bits.map_or(15, |bits| bits.parse().expect("a number"))
    }

    /// What a text is sent as.
    pub fn payload(&mut self, message: &[u8]) -> Vec<u8> {
        if self.says("client_no_context_takeover") {
            self.ours.open_deflater(15);
        }
        self.ours.deflate(message)
    }

    /// Sends a text, compressed.
    pub fn say(&mut self, text: &str) {
        let payload = self.payload(text.as_bytes());
        self.socket.say(&Frame::text(payload).rsv(RSV1));
    }

    /// The next message, inflated if it was compressed, and how many bytes it was on the wire if so.
    #[track_caller]
    pub fn message(&mut self) -> (Received, Option<usize>) {
        let (rsv, mut frame) = self.socket.extended().expect("a frame, not the end");
        if rsv == 0 {
            return (frame, None);
        }
        assert_eq!((rsv, frame.fin), (RSV1, true));
        if self.says("server_no_context_takeover") {
            self.theirs.open_inflater(self.server_bits());
        }
        let len = frame.payload.len();
        frame.payload = self
            .theirs
            .inflate(&frame.payload)
            .expect("it was deflated");
        (frame, Some(len))
    }

    /// The next message is this text, compressed; to how many bytes.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> usize {
        let (frame, len) = self.message();
        assert_eq!(String::from_utf8_lossy(&frame.payload), text);
        len.expect("compressed")
    }

    /// The next message is this text, compressed or not.
    #[track_caller]
    pub fn expect_or_plain(&mut self, text: &str) {
        let (frame, _) = self.message();
        assert_eq!(String::from_utf8_lossy(&frame.payload), text);
    }

    /// The next message is this text, as it is.
    #[track_caller]
    pub fn expect_plain(&mut self, text: &str) {
        let (frame, len) = self.message();
        assert_eq!(String::from_utf8_lossy(&frame.payload), text);
        assert_eq!(len, None, "not compressed");
    }
}
