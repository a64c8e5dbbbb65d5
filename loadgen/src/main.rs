//! The load generator: opens masked WebSocket clients and tells the truth about what came back.
//!
//! Measuring (`client`, `scenario`), statistics (`stats`) and printing (`report`) are apart.
//! In: arguments. Out: a report and an exit code: 0 nothing was lost, 1 something was, 2 the run
//! could not be started.
//!
//! Never: shares code with a server but the codec.

mod centrifuge;
mod cli;
mod client;
mod clock;
mod cpus;
mod descriptors;
mod fault;
mod observe;
mod payload;
mod report;
mod scenario;
mod start;
mod stats;
mod weight;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use cli::{Command, DialArgs, OutputArgs, RunArgs, Usage};
use client::Dial;
use observe::Server;
use report::{Headline, Outputs, ProgressLine, Report, Subject};
use scenario::{Course, Crew, Scenario, Timing};
use weight::Scale;

/// Something was lost.
const LOST: u8 = 1;
/// Nothing was run.
const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    let result = cli::parse(std::env::args_os()).map_err(Failure::Usage);
    match result.and_then(|cli| match cli.command {
        Command::Echo(args) => start::echo(&args),
        Command::Fanout(args) => start::fanout(&args),
        Command::Ping(args) => start::ping(&args),
        Command::Receive(args) => start::receive(&args),
        Command::Idle(args) => start::idle(&args),
        Command::Churn(args) => start::churn(&args),
        Command::Storm(args) => start::storm(&args),
        Command::Slow(args) => start::slow(&args),
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

/// Runs `scenario` to its end and reports; whether nothing was lost.
fn run<S: Scenario>(
    scenario: &S,
    subject: Subject<'_>,
    dial: &DialArgs,
    args: &RunArgs,
    output: &OutputArgs,
) -> Result<bool, Failure> {
    let dial = Dial::prepare(&dial.options(subject.url), subject.connections)
        .map_err(|error| Usage(error.to_string()))?;
    let server = output.pid.map(find_server).transpose()?;
    descriptors::reserve("--connections", subject.connections, subject.threads)?;
    // Before anything is made for a connection.
    let mut scale = (subject.headline == Headline::Held).then(|| Scale::new(server.clone()));
    let (counted, unit) = subject.headline.unit();
    let course = Course {
        dial,
        connections: subject.connections,
        counted,
        threads: subject.threads,
        cpus: find_cpus(args)?,
        ramp: args.ramp,
        timing: timing(args),
    };
    let outputs = Outputs::open(output)?;
    let crew = Crew::new(stop_on_signals()?);
    let wanted = !output.no_progress;
    let mut line = ProgressLine::new(wanted, course.connections, course.timing, unit);
    let outcome = scenario::run(scenario, &course, &crew, server.as_ref(), &mut |progress| {
        line.show(progress);
        if let Some(scale) = &mut scale {
            scale.look(progress);
        }
    })?;
    line.finish();
    let report = Report {
        subject,
        outcome: &outcome,
        weight: scale.map(|scale| scale.weight()).unwrap_or_default(),
    };
    report.publish(outputs)?;
    Ok(outcome.tally.faults.total() == 0)
}

const fn timing(args: &RunArgs) -> Timing {
    Timing {
        warmup: args.warmup,
        duration: args.duration,
        timeout: args.timeout,
    }
}

fn find_server(pid: u32) -> Result<Server, Usage> {
    Server::find(pid).ok_or_else(|| Usage(format!("--pid {pid}: no such process on this machine")))
}

/// The CPUs that `--pin` names, each of which this process may use.
fn find_cpus(args: &RunArgs) -> Result<Vec<usize>, Failure> {
    let Some(cpus) = &args.pin else {
        return Ok(Vec::new());
    };
    let allowed = cpus::allowed()?;
    match cpus.0.iter().find(|cpu| !allowed.contains(cpu)) {
        Some(cpu) => Err(Usage(format!("--pin {cpu}: this process may use {allowed:?}")).into()),
        None => Ok(cpus.0.clone()),
    }
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
