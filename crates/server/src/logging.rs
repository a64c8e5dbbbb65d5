//! What is said on stderr. In: a level, which a reload may change. Out: the process's subscriber.
//!
//! Never: lets a lost stderr end the process.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The least severe events that are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// As flags and files write it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// Puts another filter into a subscriber; false if that is gone.
type Replace = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// The process's, if a reload may use it.
static REPLACE: OnceLock<Replace> = OnceLock::new();

/// Logs to stderr from now on; once a process. Without `RUST_LOG` the level is the filter; a malformed
/// directive in it is dropped with a word on stderr, by the library.
pub(crate) fn init(level: LogLevel, format: LogFormat) {
    let directives = rust_log();
    let is_fixed = directives.is_some();
    let filter = directives.map_or_else(|| filter(level), EnvFilter::new);
    let (subscriber, replace) = subscriber(filter, format, io::stderr);
    tracing::subscriber::set_global_default(subscriber).expect("logging begins once");
    if !is_fixed {
        REPLACE.get_or_init(|| replace);
    }
}

/// Logs at `level` from now on; false where that has no effect, because `RUST_LOG` decides.
#[must_use]
pub(crate) fn set_level(level: LogLevel) -> bool {
    REPLACE.get().is_some_and(|replace| replace(filter(level)))
}

/// Takes events that pass a filter.
type Logger = Box<dyn Subscriber + Send + Sync>;

fn subscriber<W>(filter: EnvFilter, format: LogFormat, writer: W) -> (Logger, Replace)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .log_internal_errors(false) // its complaint about a lost stderr goes there, and panics
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    match format {
        LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            let replace = move |filter| handle.reload(filter).is_ok();
            (Box::new(builder.finish()), Box::new(replace))
        }
        LogFormat::Json => {
            let builder = builder
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_filter_reloading();
            let handle = builder.reload_handle();
            let replace = move |filter| handle.reload(filter).is_ok();
            (Box::new(builder.finish()), Box::new(replace))
        }
    }
}

fn rust_log() -> Option<String> {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV).ok()?;
    (!directives.is_empty()).then_some(directives)
}

fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    EnvFilter::default().add_directive(level.into())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{Level, enabled};

    use super::*;

    #[test]
    fn a_level_can_change_while_events_are_logged() {
        let (subscriber, replace) = subscriber(filter(LogLevel::Warn), LogFormat::Text, io::sink);
        tracing::subscriber::with_default(subscriber, || {
            let enabled = || (enabled!(Level::WARN), enabled!(Level::DEBUG));
            assert_eq!(enabled(), (true, false));
            assert!(replace(filter(LogLevel::Debug)));
            assert_eq!(enabled(), (true, true));
            assert!(replace(filter(LogLevel::Off)));
            assert_eq!(enabled(), (false, false));
        });
    }

    /// What was written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_is_an_object_a_line_with_what_an_event_says_at_its_top() {
        let written = Written::default();
        let writer = written.clone();
        let (subscriber, replace) =
            subscriber(filter(LogLevel::Info), LogFormat::Json, move || {
                writer.clone()
            });
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(conn = "1.2", status = 503, "a \"word\"\nor two");
            assert!(replace(filter(LogLevel::Off)));
            tracing::error!("not written");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "a \"word\"\nor two");
        assert_eq!(line["conn"], "1.2");
        assert_eq!(line["status"], 503);
        assert!(line["timestamp"].is_string(), "{line}");
    }

    #[test]
    fn levels_are_named_alike_everywhere() {
        for level in LogLevel::value_variants() {
            let flag = level.to_possible_value().expect("no level is hidden");
            assert_eq!(flag.get_name(), level.name());
            let in_a_file = figment::value::Value::serialize(level).expect("a string");
            assert_eq!(in_a_file, level.name().into());
        }
    }
}
