//! The flags of `loadgen idle`.
//!
//! Never: opens a socket or a file.

use std::time::Duration;

use clap::Args;

use super::args::{OutputArgs, RunArgs, count, positive_seconds};
use super::{DialArgs, Usage};

/// Opens connections and holds them, with a heartbeat or without, and weighs them
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  loadgen idle ws://127.0.0.1:9001/ --connections 100 --duration 1 --warmup 0.1
  loadgen idle ws://127.0.0.1:9001/ --connections 100 --heartbeat 0.5 --duration 1 --warmup 0.1

A heartbeat is a ping whose pong is awaited; those of all connections are spread evenly over the
interval. Its latency runs from when it should have been sent to just after the receive call that brings
the pong; one without a pong in --timeout is an error.

Memory: loadgen's own is what it has grown by since before the first connection, fixed parts included,
so it means something from about a thousand connections on. With --pid, the server's (RssAnon) and the
kernel's (this machine's Slab and TCP buffer pages, of both ends if both are here) are slopes over the
number of connections while these are made and held; --ramp gives them more points. What else the
machine does meanwhile is in the kernel's.")]
pub(crate) struct IdleArgs {
    /// Where the server is: ws://HOST:PORT/PATH
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Connections, all open for the whole run
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = count(1_000_000))]
    pub(crate) connections: u32,

    /// Seconds between two heartbeats of one connection; without it there are none
    #[arg(long, value_name = "SECS", value_parser = positive_seconds)]
    pub(crate) heartbeat: Option<Duration>,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl IdleArgs {
    /// Rules that more than one flag can break.
    pub(super) fn check(&self) -> Result<(), Usage> {
        if let Some(every) = self.heartbeat {
            let per_second = f64::from(self.connections) / every.as_secs_f64();
            self.run.check_backlog("--heartbeat", per_second)?;
        }
        self.run.check("--connections", self.connections)
    }
}
