//! A masked echo client that is not the limit of what it measures.
//!
//! In: flags. Out: one line on stdout (`--json`: one JSON object), or one line on stderr and
//! exit code 1 if the server closes, refuses, stays silent, sends too much or answers anything
//! but a 101; 2 for bad flags.
//!
//! `bare_client idle` opens connections that do nothing and says on stdout how many are open;
//! with `--hold` it waits after each step for a line on stdin, so that another process can look
//! at the server meanwhile.
//!
//! Never: compares what comes back. It counts bytes.
#![allow(clippy::print_stdout, reason = "a binary's result")]

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use fanfare_benches::bare::echo::{self, Plan, Report};
use fanfare_benches::bare::idle::Idle;
use fanfare_benches::bare::{BURST_BYTES_MAX, Burst, Failure, Target};

/// A masked echo client that is not the limit: it counts bytes and compares nothing.
#[derive(Debug, Parser)]
#[command(
    name = "bare_client",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Cli {
    #[command(flatten)]
    echo: Option<EchoArgs>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open connections that do nothing, in steps.
    Idle(IdleArgs),
}

#[derive(Debug, Args)]
struct EchoArgs {
    /// The server's address.
    #[arg(long, value_name = "ADDR")]
    connect: SocketAddr,
    /// Connections to open.
    #[arg(long, value_name = "N", default_value = "100", value_parser = parse_count)]
    connections: usize,
    /// Payload bytes of a message.
    #[arg(long, value_name = "BYTES", default_value_t = 20)]
    size: usize,
    /// Messages in flight on each connection, sent as one burst.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count)]
    depth: usize,
    /// How long to measure, after one second of warm-up.
    #[arg(long, value_name = "S", default_value = "3", value_parser = parse_seconds)]
    seconds: Duration,
    /// Path of the upgrade request.
    #[arg(long, default_value = "/", value_parser = parse_path)]
    path: String,
    /// Send text frames, not binary ones.
    #[arg(long)]
    text: bool,
    /// Process id of the server: its CPU time a message is measured too.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct IdleArgs {
    /// The server's address.
    #[arg(long, value_name = "ADDR")]
    connect: SocketAddr,
    /// Connections to open.
    #[arg(long, value_name = "N", default_value = "15000", value_parser = parse_count)]
    connections: usize,
    /// Connections to open in one step.
    #[arg(long, value_name = "N", default_value = "2500", value_parser = parse_count)]
    step: usize,
    /// Path of the upgrade request.
    #[arg(long, default_value = "/", value_parser = parse_path)]
    path: String,
    /// Offer permessage-deflate, and fail unless the server agrees.
    #[arg(long)]
    deflate: bool,
    /// A file of text messages, a line each: every connection sends the next one, and no other.
    #[arg(long, value_name = "FILE")]
    say: Option<PathBuf>,
    /// After each step, and before the first, wait for a line on stdin.
    #[arg(long)]
    hold: bool,
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err("not a number from 1 to 1000000".into()),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 0.1..=86_400.0) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number from 0.1 to 86400".into()),
    }
}

fn parse_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.into());
    }
    Err("a path starts with a slash and has no spaces".into())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match (cli.command, cli.echo) {
        (Some(Command::Idle(args)), _) => run_idle(&args),
        (None, Some(args)) => run_echo(args),
        (None, None) => usage_error("--connect ADDR is missing"),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bare_client: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the process with clap's wording and exit code 2.
fn usage_error(message: &str) -> ! {
    Cli::command()
        .error(clap::error::ErrorKind::ValueValidation, message)
        .exit()
}

fn run_echo(args: EchoArgs) -> Result<(), Failure> {
    let Some(burst) = Burst::new(args.size, args.depth, args.text) else {
        usage_error(&format!(
            "--size times --depth makes a burst of more than {BURST_BYTES_MAX} bytes"
        ));
    };
    let json = args.json;
    let plan = Plan {
        target: Target {
            addr: args.connect,
            path: args.path,
            deflate: false,
        },
        connections: args.connections,
        burst,
        depth: args.depth,
        size: args.size,
        duration: args.seconds,
        server_pid: args.server_pid,
    };
    let report = echo::run(&plan)?;
    let line = if json {
        json_line(&report)
    } else {
        human_line(&report)
    };
    println!("{line}");
    Ok(())
}

fn human_line(report: &Report) -> String {
    let server = match report.server_cpu_ns_per_message {
        Some(ns) => format!(", server {ns:.1} ns/msg"),
        None => String::new(),
    };
    format!(
        "{:.0} msg/s, {:.1} MB/s of payload, client {:.1} ns/msg{server}",
        report.messages_per_second,
        report.payload_bytes_per_second / 1e6,
        report.client_cpu_ns_per_message,
    )
}

fn json_line(report: &Report) -> String {
    let [from, to] = report.counted_seconds;
    let server = match report.server_cpu_ns_per_message {
        Some(ns) => format!("{ns:.3}"),
        None => "null".into(),
    };
    format!(
        "{{\"messages\":{},\"counted_seconds\":[{from:.6},{to:.6}],\"messages_per_second\":{:.3},\"payload_bytes_per_second\":{:.3},\
         \"client_cpu_ns_per_message\":{:.3},\"server_cpu_ns_per_message\":{server}}}",
        report.messages,
        report.messages_per_second,
        report.payload_bytes_per_second,
        report.client_cpu_ns_per_message,
    )
}

fn run_idle(args: &IdleArgs) -> Result<(), Failure> {
    let messages: Vec<String> = match &args.say {
        None => Vec::new(),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|e| Failure::Io("--say", e))?;
            // JSON objects of one message are joined by newlines, which the file has escaped.
            text.lines().map(|line| line.replace("\\n", "\n")).collect()
        }
    };
    let target = Target {
        addr: args.connect,
        path: args.path.clone(),
        deflate: args.deflate,
    };
    let mut idle = Idle::new(target, &messages);
    let mut lines = io::stdin().lock().lines();
    let mut open = 0;
    loop {
        idle.open_up_to(open)?;
        idle.check()?;
        println!("{open}");
        io::stdout().flush().map_err(|e| Failure::Io("stdout", e))?;
        if args.hold {
            match lines.next() {
                Some(Ok(_)) => {}
                // Whoever held us is gone.
                None => return Ok(()),
                Some(Err(error)) => return Err(Failure::Io("stdin", error)),
            }
            idle.check()?;
        }
        if open == args.connections {
            return Ok(());
        }
        open = args.connections.min(open + args.step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_report_without_a_server_pid_says_null() {
        let report = Report {
            messages: 10,
            counted_seconds: [1.5, 3.5],
            messages_per_second: 5.0,
            payload_bytes_per_second: 100.0,
            client_cpu_ns_per_message: 3.25,
            server_cpu_ns_per_message: None,
        };
        assert_eq!(
            json_line(&report),
            "{\"messages\":10,\"counted_seconds\":[1.500000,3.500000],\"messages_per_second\":5.000,\"payload_bytes_per_second\":100.000,\
             \"client_cpu_ns_per_message\":3.250,\"server_cpu_ns_per_message\":null}"
        );
    }
}
