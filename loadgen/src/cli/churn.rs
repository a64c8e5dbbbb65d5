//! The flags of `loadgen churn`.
//!
//! Never: opens a socket or a file.

use clap::Args;

use super::args::{MessageArgs, OutputArgs, RunArgs, count, rate};
use super::{DialArgs, Usage};

/// Makes connections, closes them and makes them again
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  loadgen churn ws://127.0.0.1:9001/ --connections 10 --duration 1 --warmup 0.1
  loadgen churn ws://127.0.0.1:9001/ --connections 10 --messages 2 --rate 200 --duration 1 --warmup 0.1

Closed loop: each of N slots connects, is upgraded, has M messages echoed one after another, closes with
the closing handshake and connects again at once. Open loop, with --rate: connections have their times;
when no slot is free they wait. A handshake lasts from just before the socket is made, or from when it
should have been (open loop), to just after the receive call that brings the 101; its steps (connect,
TLS, upgrade) are told apart. Those that end in the measured time count, or that were due in it (open
loop): what waits for a slot at the end is still begun, and is a timeout when none is free in --timeout.
Latency is of messages.

A slot whose connection failed rests for 0.1 s. The server closes the TCP connection first, so the ports
in TIME_WAIT are its own. Where a server leaves that to its clients, they wait --timeout for it, and the
ports are theirs; when these run out, that is a connect error which says so: --source spreads
connections over more addresses.")]
pub(crate) struct ChurnArgs {
    /// Where the server is: ws://HOST:PORT/PATH
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Slots: connections at the same time, at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(1_000_000))]
    pub(crate) connections: u32,

    /// Messages that each connection has echoed before it closes
    #[arg(long, value_name = "M", default_value_t = 0)]
    pub(crate) messages: u32,

    /// Connections a second, on all slots together, at equal distances (open loop)
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    #[command(flatten)]
    pub(crate) message: MessageArgs,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl ChurnArgs {
    /// Rules that more than one flag can break.
    pub(super) fn check(&self) -> Result<(), Usage> {
        self.run.check("--connections", self.connections)
    }
}
