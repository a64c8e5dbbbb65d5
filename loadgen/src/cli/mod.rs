//! The command line. In: arguments. Out: what to run and where to report it, or one line that names
//! the flag that is wrong. One file a scenario; `args` has the groups of flags that they share.
//!
//! Never: opens a socket or a file.

mod args;
mod churn;
mod cuts;
mod dial;
mod dialect;
mod echo;
mod fanout;
mod idle;
mod ping;
mod publish;
mod receive;
mod slow;
mod storm;

use std::ffi::OsString;
use std::fmt;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

pub(crate) use args::{MessageArgs, OutputArgs, RunArgs};
pub(crate) use churn::ChurnArgs;
pub(crate) use dial::DialArgs;
pub(crate) use dialect::Speech;
pub(crate) use echo::EchoArgs;
pub(crate) use fanout::{FanoutArgs, check_burst, check_size_min};
pub(crate) use idle::IdleArgs;
pub(crate) use ping::PingArgs;
pub(crate) use receive::ReceiveArgs;
pub(crate) use slow::SlowArgs;
pub(crate) use storm::StormArgs;

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
    Echo(Box<EchoArgs>),
    Fanout(Box<FanoutArgs>),
    Ping(Box<PingArgs>),
    Receive(Box<ReceiveArgs>),
    Idle(Box<IdleArgs>),
    Churn(Box<ChurnArgs>),
    Storm(Box<StormArgs>),
    Slow(Box<SlowArgs>),
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
        Command::Fanout(args) => args.check()?,
        Command::Ping(args) => args.check()?,
        Command::Receive(args) => args.check()?,
        Command::Idle(args) => args.check()?,
        Command::Churn(args) => args.check()?,
        Command::Storm(args) => args.check()?,
        Command::Slow(args) => args.check()?,
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
            ("loadgen echo ws://h --size=-1", "--size"),
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
            ("loadgen echo ws://h --size 9..3", "--size"),
            ("loadgen echo ws://h --rate 0", "--rate"),
            ("loadgen echo ws://h --rate 5 --depth 2", "--depth"),
            ("loadgen echo ws://h --poisson", "--rate"),
            ("loadgen echo ws://h --pin a", "--pin"),
            ("loadgen echo ws://h --pid x", "--pid"),
            ("loadgen echo ws://h --nonsense", "--nonsense"),
            ("loadgen fanout", "<URL>"),
            ("loadgen fanout ws://h --rate 0", "--rate"),
            ("loadgen fanout ws://h --size 23", "--size"),
            ("loadgen fanout ws://h --burst 0", "--burst"),
            ("loadgen fanout ws://h --cut-rate 0", "--cut-rate"),
            ("loadgen fanout ws://h --cut-rate 1e6", "--cut-rate"),
            ("loadgen fanout ws://h --cut-pause 1", "--cut-rate"),
            ("loadgen fanout ws://h --resume s={position}", "--cut-rate"),
            (
                "loadgen fanout ws://h --cut-rate 1 --resume s={position}",
                "--delivery",
            ),
            (
                "loadgen fanout ws://h --cut-rate 1 --resume s=1",
                "--resume",
            ),
            ("loadgen fanout ws://h --stalled 101%", "--stalled"),
            ("loadgen fanout ws://h --stalled x", "--stalled"),
            (
                "loadgen fanout ws://h --subscribers 9 --stalled 9",
                "--stalled",
            ),
            (
                "loadgen fanout ws://h/{channel} --subscribers 4 --channels 2 --stalled 3",
                "--stalled",
            ),
            ("loadgen fanout ws://h --told 3010,x", "--told"),
            ("loadgen fanout ws://h --delivery {position}", "--delivery"),
            (
                "loadgen fanout ws://h --delivery {payload}:{position}",
                "--delivery",
            ),
            (
                "loadgen fanout ws://h --delivery {position}{payload}",
                "--delivery",
            ),
            ("loadgen fanout ws://h --channels 2", "{channel}"),
            ("loadgen fanout ws://h --positioned", "--positioned"),
            ("loadgen fanout ws://h --dialect json", "--dialect"),
            (
                "loadgen fanout ws://h --dialect centrifuge-json --binary",
                "--binary",
            ),
            (
                "loadgen fanout ws://h --dialect centrifuge-json --delivery {payload}",
                "--delivery",
            ),
            (
                "loadgen fanout ws://h/{channel} --channels 9 --subscribers 8",
                "--subscribers",
            ),
            (
                "loadgen fanout ws://h/{channel} --channels 2 --publishers 1",
                "--publishers",
            ),
            (
                "loadgen fanout ws://h/{channel} --channel-prefix a/b",
                "--channel-prefix",
            ),
            (
                "loadgen fanout ws://h --publish-http https://h/",
                "--publish-http",
            ),
            (
                "loadgen fanout ws://h/{channel} --channels 2 --publish-http http://h/",
                "--publish-http",
            ),
            (
                "loadgen fanout ws://h --publish-json {payload}",
                "--publish-http",
            ),
            (
                "loadgen fanout ws://h --publish-http http://h/ --publish-json {}",
                "--publish-json",
            ),
            (
                "loadgen fanout ws://h --publish-http http://h/ --publish-json {payload}{b64payload}",
                "--publish-json",
            ),
            (
                "loadgen fanout ws://h --publish-http http://h/ --publish-header a",
                "--publish-header",
            ),
            (
                "loadgen fanout ws://h --publish-http http://h/ --publish-json {payload} --binary",
                "--binary",
            ),
            (
                "loadgen fanout ws://h --subscribers 1 --threads 3",
                "--threads",
            ),
            ("loadgen ping ws://h --size 126", "--size"),
            ("loadgen ping ws://h --rate 5 --interval 1", "--interval"),
            ("loadgen ping ws://h --interval 0", "--interval"),
            ("loadgen idle ws://h --heartbeat 0", "--heartbeat"),
            ("loadgen idle ws://h --connections 0", "--connections"),
            ("loadgen echo ws://h --timeout 1e10", "--timeout"),
            ("loadgen storm ws://h --backoff 1e18", "--backoff"),
            ("loadgen ping ws://h --rate 1e9", "--rate"),
            ("loadgen ping ws://h --interval 1e-9", "--interval"),
            ("loadgen idle ws://h --heartbeat 1e-9", "--heartbeat"),
            ("loadgen fanout ws://h --rate 1e9", "--rate"),
            ("loadgen receive ws://h --depth 2", "--depth"),
            ("loadgen churn ws://h --rate 0", "--rate"),
            ("loadgen churn ws://h --messages=-1", "--messages"),
            ("loadgen storm ws://h --rounds 0", "--rounds"),
            ("loadgen storm ws://h --backoff 0", "--backoff"),
            ("loadgen slow ws://h --slow-share 1", "--slow-share"),
            ("loadgen slow ws://h --connections 5", "--slow-share"),
            (
                "loadgen slow ws://h --connections 4 --slow-share 0.5 --threads 3",
                "--slow-share",
            ),
            ("loadgen slow ws://h --receive --rate 5", "--rate"),
            ("loadgen slow ws://h --subscribe x", "--receive"),
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
