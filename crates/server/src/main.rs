//! `fanfare`: the command line to a running daemon. In: arguments, environment, signals. Out: an exit code.
//!
//! Exit codes: 0 done, 1 the daemon failed, 2 bad usage or settings, 128 + N ended by a second signal N.
//!
//! Never: serves a connection itself.

mod access;
mod admission;
mod cli;
mod clock;
mod codes;
mod config;
mod conn;
mod daemon;
mod deflate;
mod echo;
mod exceeded;
#[cfg(test)]
mod folder;
mod http;
mod limits;
mod listener;
mod logging;
mod metrics;
mod mint;
mod notify;
mod outbound;
mod peer;
mod push;
mod reactor;
mod returns;
mod service;
mod shutdown;
mod slab;
mod stream;
mod timers;
mod tls;
mod tokens;
mod transport;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use cli::{Cli, Command};
use logging::{LogFormat, LogLevel};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(cli) => run(cli),
        Err(usage) => usage.report(),
    }
}

fn run(cli: Cli) -> ExitCode {
    let Cli { log_level, command } = cli;
    let outcome = match command {
        Command::Echo(echo) => {
            logging::init(log_level.unwrap_or_default(), LogFormat::Text);
            match echo.into_config() {
                Ok(config) => daemon::echo(&config),
                Err(error) => return fail(&error, ExitCode::from(2)),
            }
        }
        Command::Serve(serve) => {
            let sources = serve.into_sources(log_level, std::env::vars_os());
            let config = match sources.read() {
                Ok(config) => config,
                Err(error) => return fail(&error, ExitCode::from(2)),
            };
            logging::init(config.log_level, config.log_format);
            config.exposure.log();
            daemon::serve(config, sources)
        }
        Command::CheckConfig(serve) => return check_config(serve, log_level),
        Command::Token(token) => {
            return match token.issue(std::env::vars_os()) {
                Ok(token) => print(&format_args!("{token}\n")),
                Err(error) => fail(&error, ExitCode::from(2)),
            };
        }
        Command::DefaultConfig => return print(&config::DEFAULT_FILE),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit_code()),
    }
}

fn check_config(serve: cli::Serve, log_level: Option<LogLevel>) -> ExitCode {
    let sources = serve.into_sources(log_level, std::env::vars_os());
    match sources.read() {
        Ok(config) => {
            for doubt in config.exposure.doubts() {
                let _ = writeln!(io::stderr(), "warning: {doubt}");
            }
            print(&format_args!("{}: ok\n{config}\n", sources.name()))
        }
        Err(error) => fail(&error, ExitCode::from(2)),
    }
}

fn print(text: &dyn fmt::Display) -> ExitCode {
    match write!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Not a log line: no level or filter may silence it, nor a lost stderr turn it into a panic.
fn fail(error: &dyn fmt::Display, code: ExitCode) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {error}");
    code
}
