//! `fanfare`: the command line to a running daemon. In: arguments, signals. Out: an exit code.
//!
//! Exit codes: 0 done, 1 the daemon failed, 2 bad usage, 128 + N ended by a second signal N.
//!
//! Never: serves a connection itself.

mod cli;
mod clock;
mod config;
mod conn;
mod daemon;
mod echo;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "`fanfare serve` is being built")
)]
mod http;
mod limits;
mod listener;
mod outbound;
mod reactor;
mod shutdown;
mod slab;
mod timers;
mod transport;

use std::io::Write;
use std::process::ExitCode;

use cli::Command;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(usage) => return usage.report(),
    };
    cli.init_logging();
    let outcome = match cli.command {
        Command::Echo(echo) => daemon::run(&echo.into_config()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not a log line: no level or filter may silence it, nor a lost stderr turn it into a panic.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            error.exit_code()
        }
    }
}
