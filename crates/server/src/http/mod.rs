//! Plain HTTP: everything that is no upgrade. In: sockets that workers hand over, and those of
//! `api.listen`. Out: answers of the API.
//!
//! Never: upgrades a connection; holds up a worker.

use std::net::TcpStream;

use crate::reactor::Place;

/// A connection whose request is not the reactor's business.
#[derive(Debug)]
pub(crate) struct Handover {
    /// In no poller any more; it does not block.
    pub(crate) socket: TcpStream,
    /// What was read from it: a whole request head, and what came with it.
    pub(crate) received: Vec<u8>,
    /// Counts it as open until it is dropped.
    pub(crate) place: Place,
}

impl Handover {
    /// Answers 503 as far as the socket takes it at once.
    pub(crate) fn refuse(self) {
        use std::io::Write;
        let mut answer = Vec::new();
        crate::echo::unavailable(&"too many requests are under way").encode(&mut answer);
        let _ = (&self.socket).write(&answer); // a peer that does not take it learns from the end
    }
}

/// Where workers hand connections over.
#[derive(Clone, Debug)]
pub(crate) struct Gateway;

impl Gateway {
    /// Nobody is behind it.
    #[cfg(test)]
    pub(crate) fn closed() -> Self {
        Self
    }

    pub(crate) fn hand_over(&self, handover: Handover) -> Result<(), Handover> {
        Err(handover)
    }
}
