//! The flags of `loadgen receive`.
//!
//! Never: opens a socket or a file.

use clap::Args;

use super::args::{OutputArgs, RunArgs, count};
use super::{DialArgs, Usage};

/// Listens to a server that pushes, and tells how much came and when
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  loadgen receive ws://127.0.0.1:9001/ --connections 10 --duration 1 --warmup 0.1
  loadgen receive ws://127.0.0.1:9001/ --connections 10 --subscribe news --duration 1 --warmup 0.1

The first message is timed, on each connection, from the receive call that brought the 101 to the one
that brought the message's end, whenever in the run that was. A gap is from the end of one message to
the end of the next on the same connection. What comes is counted, not compared.")]
pub(crate) struct ReceiveArgs {
    /// Where the server is: ws://HOST:PORT/PATH
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Connections, all open for the whole run
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(1_000_000))]
    pub(crate) connections: u32,

    /// A text message that each connection sends once it is upgraded
    #[arg(long, value_name = "TEXT")]
    pub(crate) subscribe: Option<String>,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl ReceiveArgs {
    /// Rules that more than one flag can break.
    pub(super) fn check(&self) -> Result<(), Usage> {
        self.run.check("--connections", self.connections)
    }
}
