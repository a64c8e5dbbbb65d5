//! Flags. In: the process's arguments. Out: a [`Config`] or [`Sources`] of one, or one line that names the
//! flag at fault.
//!
//! Never: opens anything (but a host name in `--listen` is looked up).

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use fanfare_codec::Limits;
use figment::value::Value;

use crate::config::{
    Bounds, Config, Deflate, Drain, Listen, Sources, TcpSettings, Timeouts, parse,
};
use crate::limits::UNIX_SOCKET_MODE;
use crate::listener::ListenAddr;
use crate::logging::LogLevel;
use crate::mint::Token;
use crate::peer::Trusted;
use crate::tls::{CertificateFiles, ClientAuth, MinVersion, Tls, TlsFile, TlsSettings};

/// A WebSocket push server.
#[derive(Debug, Parser)]
#[command(name = "fanfare", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What is logged to stderr; RUST_LOG, if set, wins (`RUST_LOG=fanfare=trace`). Below `info` it
    /// is a line or more a connection: whoever reads it too slowly slows the daemon.
    /// [default: info, or what the config of `serve` says].
    #[arg(long, value_name = "LEVEL", global = true)]
    pub(crate) log_level: Option<LogLevel>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Echo every message on any path; for benchmarks and conformance suites.
    #[command(after_help = "\
`GET /health` answers 200, other plain HTTP 426. Exit codes: 0 done, 1 the daemon failed, 2 bad usage,
128 + N ended by a second signal. SIGTERM and SIGINT close every connection with
1001 and end the daemon within --drain-timeout; a second one ends it at once.

Example:
  fanfare echo --listen 127.0.0.1:9001 --workers 2")]
    Echo(Echo),

    /// The push server.
    #[command(after_help = "\
Settings come from --config, then from the environment (FANFARE_API__LISTEN=127.0.0.1:9000 is `listen` of
[api]; a list is written as in TOML), then from flags; the later wins. `fanfare default-config` explains
each key. SIGHUP reads them again. Nothing is open that they do not open.

SIGTERM and SIGINT drain: /ready fails at once, then after a delay connections are closed one after the
other ([drain] says when), exit code 0. A second one ends the daemon at once, exit code 128 + N.

Examples:
  fanfare serve --dev
  fanfare serve --config fanfare.toml --workers 4")]
    Serve(Serve),

    /// Check what `serve` would be told, by the same flags and environment; exit code 2 if it is wrong.
    CheckConfig(Serve),

    /// Print a token for `serve`: a JWT for a connection, or with --channel for a subscription.
    #[command(after_help = "\
It is signed with --key or --key-file, or with the secret of [token] in --config or in the environment
(FANFARE_TOKEN__HMAC_KEY), which say its algorithm, audience and issuer, too.

Examples:
  fanfare token --config fanfare.toml --user ada --channels news
  fanfare token --algorithm RS256 --key-file issuer.pem --user ada --channel '$chat:1' --expires-in 60")]
    Token(Token),

    /// Print a config file in which every key is explained and has its default.
    DefaultConfig,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// A TOML file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// For trying things out: listens on the loopback alone, and opens all channels, the API and /echo
    /// to whoever is there.
    #[arg(long)]
    dev: bool,

    /// Where to listen: HOST:PORT, unix:PATH, systemd or systemd:NAME; may be given several times. Port 0 takes a
    /// free one and logs it [default: 127.0.0.1:8000].
    #[arg(long, value_name = "ADDR")]
    listen: Vec<ListenAddr>,

    /// Threads, each with its own listener and connections [default: one a core].
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// Connections in all; more are answered 503 [default: what the descriptor limit allows].
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,
}

/// As `listen` is written: one place, or a list.
fn places(places: &[ListenAddr]) -> Option<Value> {
    match places {
        [] => None,
        [one] => Some(one.to_string().into()),
        several => {
            let several: Vec<String> = several.iter().map(ToString::to_string).collect();
            Some(several.into())
        }
    }
}

impl Serve {
    /// `log_level`: the flag that all commands have.
    pub(crate) fn into_sources(
        self,
        log_level: Option<LogLevel>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Sources {
        Sources::new(self.config, environment, self.dev)
            .flag("--listen", "listen", places(&self.listen))
            .flag("--workers", "workers", self.workers.map(NonZeroUsize::get))
            .flag(
                "--max-connections",
                "max_connections",
                self.max_connections.map(NonZeroUsize::get),
            )
            .flag("--log-level", "log_level", log_level.map(LogLevel::name))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Echo {
    /// Where to listen: HOST:PORT, unix:PATH, systemd or systemd:NAME; may be given several times. Port 0 takes a
    /// free one and logs it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001")]
    listen: Vec<ListenAddr>,

    /// Threads, each with its own listener and connections [default: one a core].
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// Connections in all; more are answered 503 [default: what the descriptor limit allows].
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,

    /// The largest message; a larger one is closed with 1009.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_message_bytes)]
    max_message_bytes: u64,

    /// The largest frame; a larger one is closed with 1009 [default: the largest message].
    #[arg(long, value_name = "BYTES")]
    max_frame_bytes: Option<u64>,

    /// The most frames a message may be cut into; more are closed with 1009.
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_fragments)]
    max_fragments: u32,

    /// Agree to permessage-deflate with whoever offers it, and compress every answer to them.
    #[arg(long)]
    deflate: bool,

    /// Unsent bytes past which a connection is not read until it has drained.
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 10)]
    max_output_bytes: usize,

    /// How long an upgrade request may take.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    handshake_timeout: Duration,

    /// Silence after which a client is pinged; 0 never pings.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds_or_zero)]
    ping_interval: Duration,

    /// How long a pinged client may stay silent before it is closed.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pong_timeout: Duration,

    /// How long a client may take none of what it is sent before it is cut off.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    send_timeout: Duration,

    /// How long to wait for a client's close frame, once ours has left, and again for its FIN.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    close_timeout: Duration,

    /// How long after SIGTERM or SIGINT the daemon ends at the latest.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    drain_timeout: Duration,

    /// A PEM file: the certificate for wss:// and https://, and those between it and a root behind it. Both files
    /// are read once.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// A PEM file that holds that certificate's key.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

impl Echo {
    /// # Errors
    ///
    /// One line that names the flag whose file is at fault.
    pub(crate) fn into_config(self) -> Result<Config, String> {
        let tls = self.tls()?;
        Ok(Config {
            listen: self.listen.into_iter().map(Listen::plain).collect(),
            unix_socket_mode: UNIX_SOCKET_MODE,
            tcp: TcpSettings::default_beside(self.send_timeout),
            trusted: Trusted::default(),
            workers: self.workers.unwrap_or_else(parse::one_a_core),
            max_connections: self.max_connections.map(NonZeroUsize::get),
            message_limits: Limits::DEFAULT
                .with_max_frame_bytes(self.max_frame_bytes.unwrap_or(self.max_message_bytes))
                .with_max_message_bytes(self.max_message_bytes)
                .with_max_fragments(self.max_fragments),
            deflate: self.deflate.then_some(Deflate::ECHO),
            output_bytes_max: self.max_output_bytes,
            bounds: Bounds::NONE,
            timeouts: Timeouts {
                handshake: self.handshake_timeout,
                ping_interval: (!self.ping_interval.is_zero()).then_some(self.ping_interval),
                pong: self.pong_timeout,
                send: self.send_timeout,
                close: self.close_timeout,
            },
            drain: Drain::at_once(self.drain_timeout),
            access_log: false,
            tls,
        })
    }

    fn tls(&self) -> Result<Option<Tls>, String> {
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) else {
            return Ok(None); // clap wants both or neither
        };
        let settings = TlsSettings {
            certificates: vec![CertificateFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            }],
            client_auth: ClientAuth::None,
            client_ca: None,
            min_version: MinVersion::default(),
        };
        let loaded = settings.load().map_err(|fault| {
            let flag = match fault.file {
                TlsFile::Key(_) => "--tls-key",
                TlsFile::Certificate(_) | TlsFile::ClientCa => "--tls-certificate",
            };
            format!("{flag}: {fault}")
        })?;
        Ok(Some(Tls::new(loaded)))
    }
}

/// The command line asked for help, or made no sense.
#[derive(Debug)]
pub(crate) struct Usage(clap::Error);

pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Usage> {
    Cli::try_parse_from(args).map_err(Usage)
}

impl Usage {
    /// Help goes to stdout with exit code 0; a mistake is one line on stderr with exit code 2.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.0.use_stderr() {
            return match self.0.print() {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
        eprintln!("{}", self.line());
        ExitCode::from(2)
    }

    /// clap's first paragraph, which names the flag, on one line.
    fn line(&self) -> String {
        if self.0.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return "error: a subcommand is missing; see --help".into();
        }
        let text = self.0.to_string();
        let lines = text.lines().take_while(|line| !line.trim().is_empty());
        lines.map(str::trim).collect::<Vec<_>>().join(" ")
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    parse::seconds(number(text)?)
}

fn seconds_or_zero(text: &str) -> Result<Duration, String> {
    parse::seconds_or_zero(number(text)?)
}

fn number(text: &str) -> Result<f64, String> {
    text.parse()
        .map_err(|_| "want seconds, such as 10 or 0.5".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: &[&str]) -> String {
        let args = ["fanfare"].iter().chain(args).map(OsString::from);
        parse(args).expect_err("must be refused").line()
    }

    #[test]
    fn the_flags_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mistake_is_one_line_that_names_the_flag() {
        for (args, named) in [
            (&["echo", "--bogus"][..], "--bogus"),
            (&["echo", "--workers", "0"], "--workers"),
            (&["echo", "--listen", "nowhere"], "--listen"),
            (&["echo", "--ping-interval", "-1"], "-1"),
            (&["echo", "--close-timeout", "0"], "--close-timeout"),
            (
                &["echo", "--max-message-bytes", "1.5"],
                "--max-message-bytes",
            ),
            (&["echo", "--log-level", "loud"], "--log-level"),
            (&["echo", "--tls-key", "a"], "--tls-certificate"),
            (&["echo", "--tls-certificate", "a"], "--tls-key"),
            (&["serve", "--workers", "0"], "--workers"),
            (&["serve", "--listen", "nowhere"], "--listen"),
            (&["check-config", "--bogus"], "--bogus"),
            (&["sing"], "sing"),
            (&[], "subcommand"),
        ] {
            let line = refused(args);
            assert!(line.contains(named), "{args:?}: {line}");
            assert_eq!(line.lines().count(), 1, "{args:?}: {line}");
        }
    }

    #[test]
    fn flags_of_serve_are_settings() {
        let args =
            "fanfare serve --dev --listen [::1]:1 --workers 3 --max-connections 4 --log-level off";
        let cli = parse(args.split(' ').map(OsString::from)).expect("flags");
        let Command::Serve(serve) = cli.command else {
            panic!("serve");
        };
        let config = serve
            .into_sources(cli.log_level, [])
            .read()
            .expect("settings");
        assert!(
            config.to_string().starts_with("listens on [::1]:1;"),
            "{config}"
        );
        assert_eq!(config.daemon.workers.get(), 3);
        assert_eq!(config.daemon.max_connections, Some(4));
        assert_eq!(config.log_level, LogLevel::Off);
        assert!(config.echo, "--dev");
    }
}
