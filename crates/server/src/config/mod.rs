//! What an operator decides. In: flags, a file, the environment. Out: plain values that every worker reads.
//!
//! Never: changes while the daemon runs; what a reload may change is in [`Live`].

mod bounds;
mod check;
mod deflate;
mod drain;
mod error;
mod exposure;
mod file;
mod hooks;
mod listen;
mod live;
mod origin;
pub(crate) mod parse;
mod reload;
mod sources;
#[cfg(test)]
mod tests;
mod tls;
mod token;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use fanfare_codec::Limits;
use fanfare_hub::{InboxLimits, MemoryConfig};

pub(crate) use bounds::Bounds;
pub(crate) use deflate::Deflate;
pub(crate) use drain::Drain;
pub(crate) use exposure::Exposure;
pub(crate) use hooks::HookSettings;
#[cfg(test)]
pub(crate) use listen::Keepalive;
pub(crate) use listen::{Listen, TcpSettings};
pub(crate) use live::{ApiAccess, Live, SharedLive};
pub(crate) use origin::OriginPolicy;
pub(crate) use reload::{Running, reload};
pub(crate) use sources::Sources;
pub(crate) use token::{JwksUrl, Signing, TokenSettings, read_key_file, without_newline};

use crate::logging::{LogFormat, LogLevel};
use crate::metrics::Metrics;
use crate::peer::Trusted;
use crate::tls::Tls;

/// A config file in which every key is explained and has its default.
pub(crate) const DEFAULT_FILE: &str = include_str!("default.toml");

/// What `fanfare serve` is told, and has been checked.
#[derive(Debug)]
pub(crate) struct ServeConfig {
    /// Listener, workers, limits and timeouts of connections.
    pub(crate) daemon: Config,
    /// Whether `/echo` is there.
    pub(crate) echo: bool,
    /// Whether a page is at `/`: `--dev`.
    pub(crate) page: bool,
    /// Where the API listens beside the main port, whose `/api` is closed then.
    pub(crate) api_listen: Option<SocketAddr>,
    /// Whether that speaks TLS.
    pub(crate) api_tls: bool,
    /// Subscriptions that a session may have.
    pub(crate) channels_max: usize,
    /// The largest body of an API request.
    pub(crate) api_body_bytes_max: usize,
    /// All of it but the seed, which the daemon draws.
    pub(crate) engine: MemoryConfig,
    /// Of each worker and of the API.
    pub(crate) inbox: InboxLimits,
    /// Calls of one kind that the backend is asked at once.
    pub(crate) hooks_in_flight_max: usize,
    /// What is logged from the start; a reload changes it by itself.
    pub(crate) log_level: LogLevel,
    pub(crate) log_format: LogFormat,
    /// What is open, for the log.
    pub(crate) exposure: Exposure,
    /// What a reload may change.
    pub(crate) live: Live,
    /// What a [`reload()`] compares with.
    pub(crate) running: Running,
}

impl fmt::Display for ServeConfig {
    /// One line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config {
            listen, workers, ..
        } = &self.daemon;
        let plural = if *workers == NonZeroUsize::MIN {
            ""
        } else {
            "s"
        };
        let places: Vec<String> = listen.iter().map(|place| place.addr.to_string()).collect();
        write!(f, "listens on {}", places.join(", "))?;
        if self.daemon.tls.is_some() {
            f.write_str(" with TLS")?;
        }
        if let Some(api_listen) = self.api_listen {
            write!(f, " (API: {api_listen})")?;
        }
        write!(f, "; {workers} worker{plural}; {}", self.exposure)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// At least one place.
    pub(crate) listen: Vec<Listen>,
    /// Of socket files.
    pub(crate) unix_socket_mode: u32,
    pub(crate) tcp: TcpSettings,
    /// Who is believed about whom a connection is for.
    pub(crate) trusted: Trusted,
    pub(crate) workers: NonZeroUsize,
    /// `None`: what the descriptor limit allows.
    pub(crate) max_connections: Option<usize>,
    pub(crate) message_limits: Limits,
    /// None: nothing is compressed.
    pub(crate) deflate: Option<Deflate>,
    /// Unsent bytes of one connection past which it is not read; for a subscriber, too, memory that what waits
    /// for it keeps, past which it is slow.
    pub(crate) output_bytes_max: usize,
    pub(crate) bounds: Bounds,
    pub(crate) timeouts: Timeouts,
    pub(crate) drain: Drain,
    /// Whether each answer and each close is logged.
    pub(crate) access_log: bool,
    /// What `listen` speaks; none: plain HTTP and WebSockets.
    pub(crate) tls: Option<Tls>,
}

impl Config {
    /// What may wait for one connection at the moment: never more than what is left for all. Queues that share a
    /// memory so leave room for those that are short, and need to know nothing of each other (Choudhury and Hahne,
    /// "Dynamic queue length thresholds for shared-memory packet switches", 1998).
    pub(crate) fn output_bytes_max_now(&self, metrics: &Metrics) -> usize {
        self.output_bytes_max.min(self.output_bytes_left(metrics))
    }

    /// What may wait for all, beside what does.
    pub(crate) fn output_bytes_left(&self, metrics: &Metrics) -> usize {
        match self.bounds.output_bytes_in_all_max {
            usize::MAX => usize::MAX,
            in_all => {
                let waits = usize::try_from(metrics.output_bytes()).unwrap_or(usize::MAX);
                in_all.saturating_sub(waits)
            }
        }
    }
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
}
