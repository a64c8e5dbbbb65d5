//! A descriptor that is kept for when there is no other. In: a listener that cannot be accepted from. Out: an answer for
//! one of those who wait there.
//!
//! Without it they would wait in the backlog until they give up, and never know why.
//!
//! Never: waits; is used for anything else.

use std::fs::File;

use crate::echo::unavailable;
use crate::exceeded::Exceeded;
use crate::listener::{Accepted, Listener};
use crate::transport::Transport;

/// What a request may have sent already: closed with that unread, the answer would be lost in a reset.
const REQUEST_BYTES_MAX: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct Spare(Option<File>);

impl Spare {
    pub(super) fn new() -> Self {
        Self(open())
    }

    /// If it was lost to another thread: there may be descriptors again.
    pub(super) fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = open();
        }
    }

    /// Accepts one connection in its place, tells it 503 if it `answers` (what speaks TLS cannot), and closes it. False:
    /// nobody waits, or another thread was quicker to take the descriptor.
    pub(super) fn turn_away(&mut self, listener: &Listener, answers: bool) -> bool {
        if self.0.take().is_none() {
            self.0 = open();
            return false;
        }
        let is_done = loop {
            match listener.accept() {
                Accepted::Connection(transport, _) => {
                    if answers {
                        tell(transport, Exceeded::Descriptors);
                    }
                    break true;
                }
                Accepted::Lost => {}
                Accepted::Nobody | Accepted::Exhausted(_) => break false,
            }
        };
        self.0 = open();
        is_done
    }
}

/// Any descriptor will do.
fn open() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Tells it 503, as well as it goes at once, and closes it.
pub(super) fn tell(mut transport: Transport, exceeded: Exceeded) {
    let mut answer = Vec::new();
    unavailable(&exceeded.why()).encode(&mut answer);
    let _ = transport.recv(&mut [0; REQUEST_BYTES_MAX]);
    if transport.send(&answer).is_ok() {
        let _ = transport.finish();
    }
}
