//! What an operator decides. In: flags. Out: plain values that every worker reads.
//!
//! Never: changes while the daemon runs.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use fanfare_codec::Limits;

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) workers: NonZeroUsize,
    /// `None`: what the descriptor limit allows.
    pub(crate) max_connections: Option<usize>,
    pub(crate) message_limits: Limits,
    /// Unsent bytes of one connection past which it is not read.
    pub(crate) output_bytes_max: usize,
    pub(crate) timeouts: Timeouts,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// From accept to a whole request head.
    pub(crate) handshake: Duration,
    /// Silence before a ping; `None` never pings.
    pub(crate) ping_interval: Option<Duration>,
    /// From that ping to any byte.
    pub(crate) pong: Duration,
    /// Without the peer taking a byte of what is queued for it.
    pub(crate) send: Duration,
    /// For the peer's close frame, and again for its FIN.
    pub(crate) close: Duration,
    /// From the signal to the end of the process.
    pub(crate) drain: Duration,
}
