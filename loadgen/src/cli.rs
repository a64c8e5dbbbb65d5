//! The command line. In: arguments. Out: what to run and where to report it, or one line that names
//! the flag that is wrong.
//!
//! Never: opens a socket or a file.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgGroup, Args, Parser, Subcommand};
use fanfare_codec::MessageKind;

use crate::client::DialOptions;

/// Payload bytes that one connection may have in flight.
const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;

/// Opens WebSocket connections, puts load on them and tells what came of it.
#[derive(Debug, Parser)]
#[command(
    name = "loadgen",
    version,
    disable_help_subcommand = true,
    after_help = "Example:
  loadgen echo ws://127.0.0.1:9001/ --connections 10 --duration 1 --warmup 0.1

Exit codes: 0 nothing was lost, 1 something was, 2 bad usage or limits too low."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A scenario.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Echo(EchoArgs),
}

/// How connections are made
#[derive(Args, Debug)]
#[command(next_help_heading = "Connections")]
pub(crate) struct DialArgs {
    /// Add a header to every upgrade request
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,

    /// Add headers connection by connection: a line each, its headers separated by tabs
    #[arg(long, value_name = "FILE")]
    headers_file: Option<PathBuf>,

    /// Offer a subprotocol
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,

    /// Send a bearer token
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Send bearer tokens, a line a connection
    #[arg(long, value_name = "FILE")]
    tokens_file: Option<PathBuf>,

    /// Send a cookie
    #[arg(long, value_name = "NAME=VALUE")]
    cookie: Vec<String>,

    /// Send cookies, a line a connection: name=value; name=value
    #[arg(long, value_name = "FILE")]
    cookies_file: Option<PathBuf>,

    /// Connect from these addresses in turn: ADDRESS, FIRST-LAST or ADDRESS/BITS, with commas
    #[arg(long, value_name = "ADDRESSES")]
    source: Vec<String>,

    /// For wss: trust only the certificates in this PEM file, or in several
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,

    /// For wss: accept any certificate
    #[arg(long)]
    insecure: bool,
}

impl DialArgs {
    /// What they say, without the URL.
    pub(crate) fn options(&self) -> DialOptions {
        DialOptions {
            url: String::new(),
            headers: self.header.clone(),
            headers_file: self.headers_file.clone(),
            subprotocols: self.subprotocol.clone(),
            token: self.token.clone(),
            tokens_file: self.tokens_file.clone(),
            cookies: self.cookie.clone(),
            cookies_file: self.cookies_file.clone(),
            sources: self.source.clone(),
            ca: self.ca.clone(),
            insecure: self.insecure,
        }
    }
}

/// Sends messages to a server that echoes them, and compares every byte that comes back
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("kind").args(["text", "binary"])), after_help = "Example:
  loadgen echo ws://127.0.0.1:9001/ --connections 10 --depth 4 --duration 1 --warmup 0.1

A closed loop: each connection keeps D messages in flight and sends the next when one is answered.
Every message is different. Mask keys are fresh for every frame, from a fast generator that the OS
has seeded. Latency runs from just before the send call to just after the receive call.

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

    /// Payload bytes of each message
    #[arg(long, value_name = "BYTES", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=16 << 20))]
    pub(crate) size: u32,

    /// Messages in flight on each connection
    #[arg(long, value_name = "D", default_value_t = 1, value_parser = count(1 << 16))]
    pub(crate) depth: u32,

    /// Seconds to measure
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = positive_seconds)]
    pub(crate) duration: Duration,

    /// Seconds of load before that, not measured
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = seconds)]
    pub(crate) warmup: Duration,

    /// Seconds to wait for a connection, an upgrade or a reply
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = positive_seconds)]
    pub(crate) timeout: Duration,

    /// Threads that the connections are shared among
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = count(1024))]
    pub(crate) threads: u32,

    /// Send text messages (printable ASCII)
    #[arg(long)]
    pub(crate) text: bool,

    /// Send binary messages (the default)
    #[arg(long)]
    pub(crate) binary: bool,

    /// The server's process, on this machine: report its CPU and memory
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Write the results as JSON too; to standard output without FILE or with -
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) dial: DialArgs,
}

fn count(max: i64) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=max)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

fn positive_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        duration => Ok(duration),
    }
}

impl EchoArgs {
    /// Text or binary.
    pub(crate) const fn message_kind(&self) -> MessageKind {
        if self.text {
            MessageKind::Text
        } else {
            MessageKind::Binary
        }
    }

    /// Rules that more than one flag can break.
    fn check(&self) -> Result<(), Usage> {
        if self.threads > self.connections {
            let (threads, connections) = (self.threads, self.connections);
            return Err(Usage(format!(
                "--threads {threads} is more than --connections {connections}"
            )));
        }
        if self.size as usize * self.depth as usize > IN_FLIGHT_BYTES_MAX {
            let (size, depth) = (self.size, self.depth);
            return Err(Usage(format!(
                "--size {size} times --depth {depth} is more than {} MiB a connection",
                IN_FLIGHT_BYTES_MAX >> 20
            )));
        }
        Ok(())
    }
}

/// Why the run was not started, in one line.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// What the arguments ask for; help and version are answered here and end the process.
///
/// # Errors
///
/// [`Usage`] names the flag and what is wrong with it.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Usage> {
    let cli = Cli::try_parse_from(args).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.exit(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Usage("a scenario is missing: try 'loadgen --help'".to_owned())
        }
        _ => Usage(one_line(&error.to_string())),
    })?;
    match &cli.command {
        Command::Echo(args) => args.check()?,
    }
    Ok(cli)
}

/// The first paragraph of clap's message, without its label.
fn one_line(message: &str) -> String {
    let paragraph = message.split("\n\n").next().unwrap_or(message);
    let words: Vec<&str> = paragraph.split_ascii_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage_error(args: &str) -> String {
        let args = args.split_ascii_whitespace().map(OsString::from);
        parse(args).expect_err("these arguments are wrong").0
    }

    #[test]
    fn bad_usage_is_one_line_that_names_the_flag() {
        for (args, named) in [
            ("loadgen", "loadgen --help"),
            ("loadgen ecko", "ecko"),
            ("loadgen echo", "<URL>"),
            ("loadgen echo ws://h --connections 0", "--connections"),
            ("loadgen echo ws://h --connections x", "--connections"),
            ("loadgen echo ws://h --size -1", "-1"),
            ("loadgen echo ws://h --size 16777217", "--size"),
            ("loadgen echo ws://h --depth 0", "--depth"),
            ("loadgen echo ws://h --duration 0", "--duration"),
            ("loadgen echo ws://h --duration nan", "--duration"),
            ("loadgen echo ws://h --warmup=-1", "--warmup"),
            ("loadgen echo ws://h --timeout 0", "--timeout"),
            ("loadgen echo ws://h --text --binary", "--binary"),
            (
                "loadgen echo ws://h --connections 1 --threads 2",
                "--threads",
            ),
            ("loadgen echo ws://h --size 1000000 --depth 1000", "--depth"),
            ("loadgen echo ws://h --pid x", "--pid"),
            ("loadgen echo ws://h --nonsense", "--nonsense"),
        ] {
            let message = usage_error(args);
            assert!(message.contains(named), "{args}: {message}");
            assert!(!message.contains('\n'), "{args}: {message}");
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
