//! The flags of `loadgen echo`.
//!
//! Never: opens a socket or a file.

use clap::Args;

use super::args::{LoadArgs, MessageArgs, OutputArgs, RunArgs, count};
use super::{DialArgs, Usage};

/// Sends messages to a server that echoes them, and compares every byte that comes back
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  loadgen echo ws://127.0.0.1:9001/ --connections 10 --depth 4 --duration 1 --warmup 0.1
  loadgen echo ws://127.0.0.1:9001/ --connections 10 --rate 1000 --poisson --duration 1 --warmup 0.1

Closed loop: each connection keeps D messages in flight and sends the next when one is answered;
latency runs from just before the send call. A server that stalls is asked less meanwhile, so its
stall hardly shows. Open loop, with --rate: messages have their times whatever the server does, and
latency runs from there, so a stall weighs as users would feel it. Either way it ends just after the
receive call. Every message is different; mask keys are fresh for every frame.

Errors are counted by class:
  connect, handshake   connections that were not made, or not upgraded
  protocol, closed     connections that broke RFC 6455, or that the server ended
  mismatch             replies that are not, byte for byte and in order, what was sent
  timeout              messages without a reply in time")]
pub(crate) struct EchoArgs {
    /// Where the server is: ws://HOST:PORT/PATH or wss://
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Connections, all open for the whole run
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(1_000_000))]
    pub(crate) connections: u32,

    #[command(flatten)]
    pub(crate) load: LoadArgs,

    /// Compare one message in N whole, the others by number and length only
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(1 << 30))]
    pub(crate) compare_one_in: u32,

    #[command(flatten)]
    pub(crate) message: MessageArgs,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl EchoArgs {
    /// Rules that more than one flag can break.
    pub(super) fn check(&self) -> Result<(), Usage> {
        self.run.check("--connections", self.connections)
    }
}
