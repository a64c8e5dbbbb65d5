//! The flags of `loadgen storm`.
//!
//! Never: opens a socket or a file.

use std::time::Duration;

use clap::Args;

use super::args::{OutputArgs, RunArgs, count, positive_seconds, seconds};
use super::{DialArgs, Usage};

/// Cuts all connections at once and has them come back, as after a deploy
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  loadgen storm ws://127.0.0.1:9001/ --connections 100 --rounds 2 --pause 0.1 --warmup 0.1
  loadgen storm ws://127.0.0.1:9001/ --connections 100 --rounds 1 --jitter 0.5 --close --warmup 0.1

For each round: how long after the cut the first, half, 99 of 100 and the last connection was back. The
time runs from the moment at which the cut was due to just after the receive call that brings the 101. An
attempt that fails is an error, is told with its round, and is made again after --backoff, which doubles
five times at most and is drawn between its half and one and a half of it. The run ends with the last
round, or after --duration: then a connection that still waits to come back is a timeout.")]
pub(crate) struct StormArgs {
    /// Where the server is: ws://HOST:PORT/PATH
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Connections
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = count(1_000_000))]
    pub(crate) connections: u32,

    /// Cuts, each after all are back from the one before
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = count(1000))]
    pub(crate) rounds: u32,

    /// Seconds over which the connections come back, each at its random time; 0: all at once
    #[arg(long, value_name = "SECS", default_value = "0", value_parser = seconds)]
    pub(crate) jitter: Duration,

    /// Seconds from the return of the last connection to the next cut
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = seconds)]
    pub(crate) pause: Duration,

    /// Seconds to wait after a first attempt that failed
    #[arg(long, value_name = "SECS", default_value = "0.1", value_parser = positive_seconds)]
    pub(crate) backoff: Duration,

    /// Say goodbye with the closing handshake rather than cut with a reset
    #[arg(long)]
    pub(crate) close: bool,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl StormArgs {
    /// Rules that more than one flag can break.
    pub(super) fn check(&self) -> Result<(), Usage> {
        self.run.check("--connections", self.connections)
    }
}
