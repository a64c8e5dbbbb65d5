//! Plain HTTP: everything that is no upgrade. In: sockets that workers hand over, and those of
//! `api.listen`. Out: answers of the API.
//!
//! Never: upgrades a connection; holds up a worker.

use std::net::TcpStream;

use crate::reactor::Place;

/// A connection whose request is not the reactor's business.
#[derive(Debug)]
#[expect(dead_code, reason = "`fanfare serve` is being built")]
pub(crate) struct Handover {
    /// In no poller any more; it does not block.
    pub(crate) socket: TcpStream,
    /// What was read from it: a whole request head, and what came with it.
    pub(crate) received: Vec<u8>,
    /// Counts it as open until it is dropped.
    pub(crate) place: Place,
}
