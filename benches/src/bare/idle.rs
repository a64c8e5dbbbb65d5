//! Connections that do nothing. In: a target and steps. Out: at each step, a call.
//!
//! Never: sends a message or answers a ping, so a server that pings ends them sooner or later,
//! which [`Idle::check`] says.

use std::net::TcpStream;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::{Failure, Target, upgrade};

/// Open connections that do nothing.
#[derive(Debug)]
pub struct Idle {
    target: Target,
    streams: Vec<TcpStream>,
}

impl Idle {
    /// None yet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            streams: Vec::new(),
        }
    }

    /// Opens more, one after the other, until there are `count`.
    ///
    /// # Errors
    /// Any [`Failure`]; those opened before it stay open.
    pub fn open_up_to(&mut self, count: usize) -> Result<(), Failure> {
        while self.streams.len() < count {
            let stream = upgrade::open(&self.target, self.streams.len())?;
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
