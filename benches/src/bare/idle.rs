//! Connections that do nothing. In: a target and steps. Out: at each step, a call.
//!
//! Never: sends a message but its first, reads one, or answers a ping, so a server that pings ends them sooner or later,
//! which [`Idle::check`] says.

use std::io::Write;
use std::net::TcpStream;

use fanfare_codec::Encoder;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::{Failure, Target, upgrade};

/// Open connections that do nothing.
#[derive(Debug)]
pub struct Idle {
    target: Target,
    /// Masked frames: each connection sends the next one once it is open, and the first comes after the last.
    first: Vec<Vec<u8>>,
    streams: Vec<TcpStream>,
}

impl Idle {
    /// None yet. Each connection will send the next of `messages` as text, if there are any.
    #[must_use]
    pub fn new(target: Target, messages: &[String]) -> Self {
        let mut encoder = Encoder::client(|| [0x3D, 0x5A, 0xC1, 0x07]);
        let frame = |message: &String| {
            let mut frame = Vec::new();
            let encoded = encoder.text(&mut frame, message);
            debug_assert!(encoded.is_ok(), "a whole message may always begin");
            frame
        };
        Self {
            target,
            first: messages.iter().map(frame).collect(),
            streams: Vec::new(),
        }
    }

    /// Opens more, one after the other, until there are `count`.
    ///
    /// # Errors
    /// Any [`Failure`]; those opened before it stay open.
    pub fn open_up_to(&mut self, count: usize) -> Result<(), Failure> {
        while self.streams.len() < count {
            let number = self.streams.len();
            let mut stream = upgrade::open(&self.target, number)?;
            if !self.first.is_empty() {
                let frame = &self.first[number % self.first.len()];
                stream
                    .write_all(frame)
                    .map_err(|error| Failure::Io("a first message", error))?;
            }
            self.streams.push(stream);
        }
        Ok(())
    }

    /// Makes sure that all of them are still open.
    ///
    /// # Errors
    /// [`Failure::Closed`] with how many are not.
    pub fn check(&self) -> Result<(), Failure> {
        match self
            .streams
            .iter()
            .filter(|stream| is_closed(stream))
            .count()
        {
            0 => Ok(()),
            closed => Err(Failure::Closed(closed)),
        }
    }
}

fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0];
    match recv(stream, &mut byte, RecvFlags::PEEK) {
        Ok((_, received)) => received == 0,
        Err(error) => error != Errno::AGAIN,
    }
}
