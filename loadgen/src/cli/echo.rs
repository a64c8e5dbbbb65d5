//! The flags of `loadgen echo`.
//!
//! Never: opens a socket or a file.

use clap::Args;

use super::args::{MessageArgs, OutputArgs, RunArgs, count, rate};
use super::{DialArgs, Usage};

/// Payload bytes that may be in flight on one connection, or wait for the timeout in all.
const IN_FLIGHT_BYTES_MAX: u64 = 1 << 30;

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

    /// Messages in flight on each connection (closed loop)
    #[arg(long, value_name = "D", default_value_t = 1, value_parser = count(1 << 16), conflicts_with = "rate")]
    pub(crate) depth: u32,

    /// Messages a second, on all connections together, at equal distances (open loop)
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Draw the distances between messages at random (Poisson arrivals)
    #[arg(long, requires = "rate")]
    pub(crate) poisson: bool,

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

    /// The rule that needs the longest message.
    ///
    /// # Errors
    ///
    /// [`Usage`] when more would be in flight than this process should hold.
    pub(crate) fn check_in_flight(&self, size_max: usize) -> Result<(), Usage> {
        let size = size_max as u64;
        let too_much = match self.rate {
            None if size * u64::from(self.depth) > IN_FLIGHT_BYTES_MAX / 4 => format!(
                "--size {} times --depth {} is more than {} MiB a connection",
                self.message.size,
                self.depth,
                IN_FLIGHT_BYTES_MAX >> 22
            ),
            Some(rate)
                if size as f64 * rate * self.run.timeout.as_secs_f64()
                    > IN_FLIGHT_BYTES_MAX as f64 =>
            {
                format!(
                    "--size {} times --rate {rate} times --timeout {} is more than {} MiB that a \
                     stalled server could keep waiting",
                    self.message.size,
                    self.run.timeout.as_secs_f64(),
                    IN_FLIGHT_BYTES_MAX >> 20
                )
            }
            _ => return Ok(()),
        };
        Err(Usage(too_much))
    }
}
