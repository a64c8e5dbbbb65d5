//! What the user is told. In: a run and what it came to. Out: one [`Report`], which
//! [`text`] writes for people and [`json`] for programs.
//!
//! Never: measures; computes only what is a ratio of two of its numbers.

mod json;
mod text;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::cli::{EchoArgs, Usage};
use crate::fault::FaultClass;
use crate::scenario::Outcome;
use crate::stats::per_second;

/// Where the JSON goes.
#[derive(Debug)]
pub(crate) enum JsonTo {
    Nowhere,
    Stdout,
    File(File),
}

impl JsonTo {
    /// What `--json` names; a file is made now, so that no run ends without a place for its results.
    ///
    /// # Errors
    ///
    /// [`Usage`] when the file cannot be made.
    pub(crate) fn open(json: Option<&Path>) -> Result<Self, Usage> {
        match json {
            None => Ok(Self::Nowhere),
            Some(path) if path == Path::new("-") => Ok(Self::Stdout),
            Some(path) => match File::create(path) {
                Ok(file) => Ok(Self::File(file)),
                Err(error) => Err(Usage(format!("--json {}: {error}", path.display()))),
            },
        }
    }
}

/// A run and what it came to.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    args: &'a EchoArgs,
    outcome: &'a Outcome,
}

impl<'a> Report<'a> {
    /// Of an echo run.
    pub(crate) const fn echo(args: &'a EchoArgs, outcome: &'a Outcome) -> Self {
        Self { args, outcome }
    }

    /// Prints the summary and writes the JSON that was asked for. JSON on standard output has it
    /// for itself: the summary then goes to standard error.
    ///
    /// # Errors
    ///
    /// When one of them cannot be written.
    pub(crate) fn publish(&self, json: JsonTo) -> io::Result<()> {
        let summary = text::summary(self);
        match json {
            JsonTo::Nowhere => io::stdout().write_all(summary.as_bytes()),
            JsonTo::Stdout => {
                io::stderr().write_all(summary.as_bytes())?;
                json::write(self, &mut io::stdout().lock())
            }
            JsonTo::File(mut file) => {
                io::stdout().write_all(summary.as_bytes())?;
                json::write(self, &mut file)
            }
        }
    }

    fn messages_per_second(&self) -> f64 {
        per_second(self.outcome.tally.messages as f64, self.outcome.measured)
    }

    fn payload_bytes_per_second(&self) -> f64 {
        self.messages_per_second() * f64::from(self.args.size)
    }

    /// CPU seconds as microseconds a message; `None` without messages.
    fn cpu_micros_per_message(&self, cpu: Duration) -> Option<f64> {
        let messages = self.outcome.tally.messages;
        (messages > 0).then(|| cpu.as_secs_f64() * 1e6 / messages as f64)
    }

    /// The share of the measured time that the client's threads were on a CPU, 0 to 1.
    fn client_busy(&self) -> f64 {
        per_second(self.outcome.tally.cpu.as_secs_f64(), self.outcome.measured)
            / f64::from(self.args.threads)
    }

    fn errors(&self) -> impl Iterator<Item = (FaultClass, u64)> {
        let faults = &self.outcome.tally.faults;
        FaultClass::ALL
            .into_iter()
            .map(|class| (class, faults.count(class)))
    }
}
