//! The flags of `loadgen slow`.
//!
//! Never: opens a socket or a file.

use clap::Args;

use super::args::{LoadArgs, MessageArgs, OutputArgs, RunArgs, count};
use super::{DialArgs, Usage};
use crate::scenario::slow::is_slow;

/// Has some clients read slowly, or never, and tells what the others felt
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  loadgen slow ws://127.0.0.1:9001/ --connections 20 --slow-share 0.2 --duration 1 --warmup 0.1
  loadgen slow ws://127.0.0.1:9001/ --connections 20 --read-rate 10000 --rate 1000 --duration 1 --warmup 0.1

The healthy connections have messages echoed, as with 'loadgen echo': messages, rates and latency are
theirs alone, from just before the send call, or from when it should have been (--rate), to just after
the receive call. The slow ones, spread evenly over all, send for as long as their sockets take it,
messages of 8 KiB if --size is less, so that what they do not read piles up at the server. With --receive nobody sends, for servers that push:
then what the healthy ones receive is counted, and the gaps between their messages.

That the server ends a slow connection is no error: it is counted, with its close code and the time
since the load began. Nor is it one if a slow one is answered late.")]
pub(crate) struct SlowArgs {
    /// Where the server is: ws://HOST:PORT/PATH
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Connections, the slow ones included
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = count(1_000_000))]
    pub(crate) connections: u32,

    /// The part of the connections that is slow, between 0 and 1
    #[arg(long, value_name = "SHARE", default_value = "0.1", value_parser = share)]
    pub(crate) slow_share: f64,

    /// Bytes a second that each slow connection reads, at most; 0: it never reads
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) read_rate: u64,

    /// Only listen, to a server that pushes
    #[arg(long, conflicts_with_all = ["depth", "rate", "poisson", "size", "binary", "text", "words", "multibyte"])]
    pub(crate) receive: bool,

    /// With --receive: a text message that each connection sends once it is upgraded
    #[arg(long, value_name = "TEXT", requires = "receive")]
    pub(crate) subscribe: Option<String>,

    #[command(flatten)]
    pub(crate) load: LoadArgs,

    #[command(flatten)]
    pub(crate) message: MessageArgs,

    #[command(flatten)]
    pub(crate) dial: DialArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        Ok(_) => Err("must be more than 0 and less than 1".to_owned()),
        Err(_) => Err("not a number".to_owned()),
    }
}

impl SlowArgs {
    /// How many connections are slow.
    pub(crate) fn slow_connections(&self) -> usize {
        (0..self.connections as usize)
            .filter(|&number| is_slow(number, self.slow_share))
            .count()
    }

    /// Rules that more than one flag can break.
    pub(super) fn check(&self) -> Result<(), Usage> {
        self.run.check("--connections", self.connections)?;
        let slow = self.slow_connections();
        let (connections, share) = (self.connections, self.slow_share);
        if slow == 0 {
            return Err(Usage(format!(
                "--slow-share {share} of --connections {connections} is not one connection"
            )));
        }
        // Slow ones are spread evenly over the threads, each of which keeps its share of the rate.
        let healthy = connections as usize - slow;
        if healthy < self.run.threads as usize {
            return Err(Usage(format!(
                "--slow-share {share} leaves {healthy} healthy connections for --threads {}",
                self.run.threads
            )));
        }
        Ok(())
    }
}
