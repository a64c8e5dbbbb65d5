//! The flags of `loadgen ping`.
//!
//! Never: opens a socket or a file.

use std::time::Duration;

use clap::Args;

use super::args::{OutputArgs, RunArgs, count, positive_seconds, rate};
use super::{DialArgs, Usage};

/// Sends WebSocket pings, which every server answers, and compares the pongs
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  loadgen ping ws://127.0.0.1:9001/ --connections 10 --duration 1 --warmup 0.1
  loadgen ping ws://127.0.0.1:9001/ --connections 10 --interval 0.1 --duration 1 --warmup 0.1

Closed loop: each connection has one ping in flight and sends the next when its pong is there; latency
runs from just before the send call. Open loop, with --rate or --interval: pings have their times,
spread evenly over all connections, and latency runs from there. Either way it ends just after the
receive call that brings the pong. A server may answer only the latest of several pings of a connection
(RFC 6455 5.5.3): that pong answers those before it, too. Messages that the server sends are not looked
at.

Errors: a pong that repeats no ping that waits is a mismatch, a ping without a pong in time a timeout.")]
pub(crate) struct PingArgs {
    /// Where the server is: ws://HOST:PORT/PATH
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Connections, all open for the whole run
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(1_000_000))]
    pub(crate) connections: u32,

    /// Pings a second, on all connections together, at equal distances (open loop)
    #[arg(long, value_name = "R", value_parser = rate, conflicts_with = "interval")]
    pub(crate) rate: Option<f64>,

    /// Seconds between two pings of one connection (open loop)
    #[arg(long, value_name = "SECS", value_parser = positive_seconds)]
    pub(crate) interval: Option<Duration>,

    /// Payload bytes of each ping, 8 to 125
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = clap::value_parser!(u32).range(8..=125))]
    pub(crate) size: u32,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl PingArgs {
    /// Rules that more than one flag can break.
    pub(super) fn check(&self) -> Result<(), Usage> {
        let spread = |every: Duration| f64::from(self.connections) / every.as_secs_f64();
        if let Some(every) = self.interval {
            self.run.check_backlog("--interval", spread(every))?;
        }
        if let Some(per_second) = self.rate {
            self.run.check_backlog("--rate", per_second)?;
        }
        self.run.check("--connections", self.connections)
    }
}
