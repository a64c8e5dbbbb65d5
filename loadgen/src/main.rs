//! The load generator: opens masked WebSocket clients and tells the truth about what came back.
//!
//! Measuring (`client`, `scenario`), statistics (`stats`) and printing (`report`) are apart.
//! In: arguments. Out: a report and an exit code: 0 nothing was lost, 1 something was, 2 the run
//! could not be started.
//!
//! Never: shares code with a server but the codec.

mod cli;
#[allow(
    dead_code,
    reason = "single connections are controlled by scenarios to come"
)]
mod client;
mod clock;
mod descriptors;
mod fault;
mod observe;
mod payload;
mod report;
mod scenario;
mod stats;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use cli::{Command, EchoArgs, Usage};
use client::{Dial, DialOptions};
use observe::Server;
use report::{JsonTo, Report};
use scenario::echo::{self, Plan};
use scenario::{Crew, Timing};

/// Something was lost.
const LOST: u8 = 1;
/// Nothing was run.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    let result = cli::parse(std::env::args_os()).map_err(Failure::Usage);
    match result.and_then(|cli| match cli.command {
        Command::Echo(args) => run_echo(&args),
    }) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(LOST),
        Err(Failure::Usage(usage)) => fail(&usage, BAD_USAGE),
        Err(Failure::Os(error)) => fail(&error, LOST),
    }
}

/// Why there are no results.
enum Failure {
    Usage(Usage),
    Os(io::Error),
}

impl From<Usage> for Failure {
    fn from(usage: Usage) -> Self {
        Self::Usage(usage)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Os(error)
    }
}

fn fail(why: &dyn std::error::Error, code: u8) -> ExitCode {
    // Where standard error is gone, the exit code still tells.
    let _ = writeln!(io::stderr(), "error: {why}");
    ExitCode::from(code)
}

/// Whether nothing was lost.
fn run_echo(args: &EchoArgs) -> Result<bool, Failure> {
    let options = DialOptions {
        url: args.url.clone(),
        ..args.dial.options()
    };
    let dial = Dial::prepare(&options, args.connections as usize)
        .map_err(|error| Usage(error.to_string()))?;
    let server = args.pid.map(find_server).transpose()?;
    descriptors::reserve(args.connections)?;
    let json = JsonTo::open(args.json.as_deref())?;
    let crew = Crew::new(stop_on_signals()?);
    let plan = Plan {
        dial,
        connections: args.connections as usize,
        threads: args.threads as usize,
        kind: args.message_kind(),
        size: args.size as usize,
        depth: args.depth as usize,
        timing: Timing {
            warmup: args.warmup,
            duration: args.duration,
            timeout: args.timeout,
        },
    };
    let outcome = echo::run(&plan, &crew, server.as_ref())?;
    Report::echo(args, &outcome).publish(json)?;
    Ok(outcome.tally.faults.is_empty())
}

fn find_server(pid: u32) -> Result<Server, Usage> {
    Server::find(pid).ok_or_else(|| Usage(format!("--pid {pid}: no such process on this machine")))
}

/// A flag that Ctrl-C sets; a second Ctrl-C ends the process at once.
fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
