//! What an operator decides. In: flags, a file, the environment. Out: plain values that every worker reads.
//!
//! Never: changes while the daemon runs; what a reload may change is in [`Live`].

mod live;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use fanfare_codec::Limits;
use fanfare_hub::{InboxLimits, MemoryConfig};

#[expect(unused_imports, reason = "`fanfare serve` is being built")]
pub(crate) use live::{ApiAccess, Live, OriginPolicy, SharedLive};

/// What `fanfare serve` is told, and has been checked.
#[derive(Debug)]
#[expect(dead_code, reason = "`fanfare serve` is being built")]
pub(crate) struct ServeConfig {
    /// Listener, workers, limits and timeouts of connections.
    pub(crate) daemon: Config,
    /// Where the API listens beside the main port, whose `/api` is closed then.
    pub(crate) api_listen: Option<SocketAddr>,
    /// All of it but the seed, which the daemon draws.
    pub(crate) engine: MemoryConfig,
    /// Of each worker and of the API.
    pub(crate) inbox: InboxLimits,
    /// What a reload may change.
    pub(crate) live: Live,
}

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
