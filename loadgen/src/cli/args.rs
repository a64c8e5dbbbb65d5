//! Groups of flags that scenarios share. In: arguments. Out: values.
//!
//! Never: opens a socket or a file.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::Usage;
use crate::cpus;
use crate::payload::{Alphabet, Sizes};
use crate::scenario::echo::{Arrivals, Loop};

/// Payload bytes that may be in flight on one connection, or wait for the timeout in all.
const IN_FLIGHT_BYTES_MAX: u64 = 1 << 30;

/// The longest time that a flag may ask for, some thirty years: sums of a few do not overflow.
const SECONDS_MAX: Duration = Duration::from_secs(1_000_000_000);

/// What a message that is due costs beside its payload: its time, a frame header.
const DUE_BYTES: u64 = 16;

/// How long a run lasts and on what it runs.
#[derive(Args, Debug)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunArgs {
    /// Seconds to measure
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = positive_seconds)]
    pub(crate) duration: Duration,

    /// Seconds of load before that, not measured
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = seconds)]
    pub(crate) warmup: Duration,

    /// Seconds over which the connections are made; 0: as fast as it goes
    #[arg(long, value_name = "SECS", default_value = "0", value_parser = seconds)]
    pub(crate) ramp: Duration,

    /// Seconds to wait for a connection, an upgrade or a reply
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = positive_seconds)]
    pub(crate) timeout: Duration,

    /// Threads that the connections are shared among
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = count(1024))]
    pub(crate) threads: u32,

    /// Keep each thread on one CPU, of this list in turn (as in 0,2-5)
    #[arg(long, value_name = "CPUS", value_parser = parse_cpus)]
    pub(crate) pin: Option<Cpus>,
}

/// A list of CPUs; a type of its own, since clap takes a `Vec` for repeated flags.
#[derive(Clone, Debug)]
pub(crate) struct Cpus(pub(crate) Vec<usize>);

fn parse_cpus(list: &str) -> Result<Cpus, String> {
    cpus::parse(list).map(Cpus)
}

/// What the messages are.
#[derive(Args, Debug)]
#[command(next_help_heading = "Messages", group(ArgGroup::new("alphabet").args(["binary", "text", "words", "multibyte"])))]
pub(crate) struct MessageArgs {
    /// Payload bytes of each message: 20, 16..1024 (uniform), lognormal:MEDIAN,SIGMA or @FILE (a size
    /// a line)
    #[arg(long, value_name = "BYTES", default_value = "20", value_parser = str::parse::<Sizes>)]
    pub(crate) size: Sizes,

    /// Send binary messages (the default)
    #[arg(long)]
    pub(crate) binary: bool,

    /// Send text messages of printable ASCII
    #[arg(long)]
    pub(crate) text: bool,

    /// Send text messages of JSON's kind, few words again and again: what compression likes
    #[arg(long)]
    pub(crate) words: bool,

    /// Send text messages of characters of two, three and four bytes
    #[arg(long)]
    pub(crate) multibyte: bool,
}

impl MessageArgs {
    /// What the payloads are made of.
    pub(crate) const fn alphabet(&self) -> Alphabet {
        if self.multibyte {
            Alphabet::MultiByte
        } else if self.words {
            Alphabet::Words
        } else if self.text {
            Alphabet::Ascii
        } else {
            Alphabet::Binary
        }
    }

    /// As the report tells it.
    pub(crate) fn describe(&self) -> String {
        let alphabet = match self.alphabet() {
            Alphabet::Binary => "binary",
            Alphabet::Ascii => "text",
            Alphabet::Words => "words",
            Alphabet::MultiByte => "multi-byte text",
        };
        format!("{} {alphabet}", self.size)
    }
}

/// When messages are sent that are answered.
#[derive(Args, Debug)]
pub(crate) struct LoadArgs {
    /// Messages in flight on each connection (closed loop)
    #[arg(long, value_name = "D", default_value_t = 1, value_parser = count(1 << 16), conflicts_with = "rate")]
    pub(crate) depth: u32,

    /// Messages a second, on all connections together, at equal distances (open loop)
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Draw the distances between messages at random (Poisson arrivals)
    #[arg(long, requires = "rate")]
    pub(crate) poisson: bool,
}

impl LoadArgs {
    /// Closed or open loop, and how the report tells it.
    pub(crate) fn loop_kind(&self) -> (Loop, String) {
        let Some(per_second) = self.rate else {
            let depth = self.depth as usize;
            return (Loop::Closed { depth }, format!("depth {depth}"));
        };
        let (arrivals, name) = if self.poisson {
            (Arrivals::Poisson, "Poisson")
        } else {
            (Arrivals::Constant, "constant")
        };
        let open = Loop::Open {
            arrivals,
            per_second,
        };
        (open, format!("{per_second} messages/s, {name}"))
    }

    /// The rule that needs the longest message.
    ///
    /// # Errors
    ///
    /// [`Usage`] when more would be in flight than this process should hold.
    pub(crate) fn check_in_flight(
        &self,
        message: &MessageArgs,
        timeout: Duration,
        size_max: usize,
    ) -> Result<(), Usage> {
        let size = size_max as u64;
        let too_much = match self.rate {
            None if size * u64::from(self.depth) > IN_FLIGHT_BYTES_MAX / 4 => format!(
                "--size {} times --depth {} is more than {} MiB a connection",
                message.size,
                self.depth,
                IN_FLIGHT_BYTES_MAX >> 22
            ),
            Some(rate) if is_backlog_too_much(size, rate, timeout) => {
                format!(
                    "--size {} times --rate {rate} times --timeout {} is more than {} MiB that a \
                     stalled server could keep waiting",
                    message.size,
                    timeout.as_secs_f64(),
                    IN_FLIGHT_BYTES_MAX >> 20
                )
            }
            _ => return Ok(()),
        };
        Err(Usage(too_much))
    }
}

/// What is told, and where.
#[derive(Args, Debug)]
#[command(next_help_heading = "Results")]
pub(crate) struct OutputArgs {
    /// The server's process, on this machine: report its CPU and memory
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Write the results as JSON too; to standard output without FILE or with -
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,

    /// Write the latency's percentile distribution for HdrHistogram's plotters
    #[arg(long, value_name = "FILE")]
    pub(crate) hgrm: Option<PathBuf>,

    /// Show no progress line; without a terminal there is none anyway
    #[arg(long)]
    pub(crate) no_progress: bool,
}

/// A whole number from 1 to `max`.
pub(super) fn count(max: i64) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=max)
}

/// A length of time.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match Duration::try_from_secs_f64(number) {
        Ok(duration) if duration > SECONDS_MAX => {
            Err(format!("more than {} seconds", SECONDS_MAX.as_secs()))
        }
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

/// A length of time that is not zero.
pub(super) fn positive_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        duration => Ok(duration),
    }
}

/// A number a second that is more than 0.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e9 => Ok(rate),
        Ok(_) => Err("must be more than 0, and a thousand million at most".to_owned()),
        Err(_) => Err("not a number".to_owned()),
    }
}

/// Whether messages of `size` bytes, `per_second` of them, are more than this process should hold when
/// a server takes none for `timeout`.
fn is_backlog_too_much(size: u64, per_second: f64, timeout: Duration) -> bool {
    (size + DUE_BYTES) as f64 * per_second * timeout.as_secs_f64() > IN_FLIGHT_BYTES_MAX as f64
}

impl RunArgs {
    /// The rule for small messages, `per_second` of which `flag` asks for.
    ///
    /// # Errors
    ///
    /// [`Usage`] when more would be due than this process should hold.
    pub(super) fn check_backlog(&self, flag: &str, per_second: f64) -> Result<(), Usage> {
        if is_backlog_too_much(0, per_second, self.timeout) {
            return Err(Usage(format!(
                "{flag}: {per_second} a second times --timeout {} is more than {} MiB that a stalled \
                 server could keep waiting",
                self.timeout.as_secs_f64(),
                IN_FLIGHT_BYTES_MAX >> 20
            )));
        }
        Ok(())
    }

    /// Rules that more than one flag can break; `flag` asked for the connections.
    pub(super) fn check(&self, flag: &str, connections: u32) -> Result<(), Usage> {
        let threads = self.threads;
        if threads > connections {
            return Err(Usage(format!(
                "--threads {threads} is more than {flag} {connections}"
            )));
        }
        Ok(())
    }
}
