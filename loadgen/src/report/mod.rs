//! What the user is told. In: a run and what it came to. Out: one [`Report`], which
//! [`text`] writes for people and [`json`] for programs; `progress` tells how far a run is.
//!
//! Never: measures; computes only what is a ratio of two of its numbers.

mod fanout;
mod json;
mod lines;
mod progress;
mod text;
mod warnings;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::cli::{OutputArgs, Usage};
use crate::fault::FaultClass;
use crate::scenario::Outcome;
use crate::stats::{Counter, Measure, per_second};
use crate::weight::Weight;
pub(crate) use progress::ProgressLine;
pub(crate) use text::plural;

/// Where results go besides the summary.
#[derive(Debug)]
pub(crate) struct Outputs {
    json: JsonTo,
    hgrm: Option<File>,
}

#[derive(Debug)]
enum JsonTo {
    Nowhere,
    Stdout,
    File(File),
}

impl Outputs {
    /// What the flags name; files are made now, so that no run ends without a place for its results.
    ///
    /// # Errors
    ///
    /// [`Usage`] when a file cannot be made.
    pub(crate) fn open(args: &OutputArgs) -> Result<Self, Usage> {
        let create = |flag: &str, path: &Path| {
            File::create(path).map_err(|error| Usage(format!("{flag} {}: {error}", path.display())))
        };
        Ok(Self {
            json: match args.json.as_deref() {
                None => JsonTo::Nowhere,
                Some(path) if path == Path::new("-") => JsonTo::Stdout,
                Some(path) => JsonTo::File(create("--json", path)?),
            },
            hgrm: args
                .hgrm
                .as_deref()
                .map(|path| create("--hgrm", path))
                .transpose()?,
        })
    }
}

/// What was run, for the reader.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    /// The subcommand's name.
    pub(crate) scenario: &'static str,
    pub(crate) url: &'a str,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    /// The rest, as in `depth 1, 20 B binary`.
    pub(crate) detail: String,
    /// Messages a second that were asked for; `None` in a closed loop.
    pub(crate) rate_per_second: Option<f64>,
    /// One message in so many was compared whole.
    pub(crate) compared_one_in: u32,
    /// What its report is about.
    pub(crate) headline: Headline,
    /// Of the connections, those that read slowly on purpose; `None` where there can be none.
    pub(crate) slow_connections: Option<usize>,
}

/// What the report of a scenario is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Headline {
    /// Messages that were answered.
    Messages,
    /// Pings that were answered.
    Pings,
    /// Messages that came unasked.
    Received,
    /// Connections that are there, and what they weigh.
    Held,
    /// Connections that were made.
    Handshakes,
    /// Connections that came back, in so many rounds if there was time.
    Returns { rounds: usize },
    /// Publications that were delivered, sent so many at a time; so many subscribers never read.
    Deliveries { burst: u32, stalled: usize },
}

impl Headline {
    /// What is counted, and what one of it is called.
    pub(crate) const fn unit(self) -> (Counter, &'static str) {
        match self {
            Self::Messages | Self::Received | Self::Held => (Counter::Messages, "message"),
            Self::Pings => (Counter::Messages, "pong"),
            Self::Handshakes | Self::Returns { .. } => (Counter::Handshakes, "handshake"),
            Self::Deliveries { .. } => (Counter::Messages, "delivery"),
        }
    }

    /// What is the measure of the server.
    const fn measure(self) -> Measure {
        match self {
            Self::Handshakes | Self::Returns { .. } => Measure::Handshake,
            Self::Received => Measure::Gap,
            Self::Messages | Self::Pings | Self::Held | Self::Deliveries { .. } => Measure::Latency,
        }
    }

    /// Whether handshakes are counted and timed.
    const fn has_handshakes(self) -> bool {
        matches!(self, Self::Handshakes | Self::Returns { .. })
    }
}

/// `error`, with what could not be written.
fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// A run and what it came to.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) subject: Subject<'a>,
    pub(crate) outcome: &'a Outcome,
    /// What a connection weighs, where that was asked for.
    pub(crate) weight: Weight,
}

impl Report<'_> {
    /// Writes what was asked for and prints the summary: files first, so that they have the results
    /// wherever the summary goes. JSON on standard output has it for itself: the summary then goes to
    /// standard error.
    ///
    /// # Errors
    ///
    /// When one of them cannot be written; it is named.
    pub(crate) fn publish(&self, to: Outputs) -> io::Result<()> {
        let summary = text::summary(self);
        let measure = self.subject.headline.measure();
        if let (Some(mut file), Some(latency)) = (to.hgrm, self.outcome.tally.spectrum(measure)) {
            let written = latency.write_hgrm(&mut file);
            written.map_err(|error| named("--hgrm", &error))?;
        }
        let written = match to.json {
            JsonTo::Nowhere => Ok(()),
            JsonTo::Stdout => {
                let json = json::write(self, &mut io::stdout().lock());
                io::stderr().write_all(summary.as_bytes())?;
                return json.map_err(|error| named("--json", &error));
            }
            JsonTo::File(mut file) => json::write(self, &mut file),
        };
        io::stdout()
            .write_all(summary.as_bytes())
            .map_err(|error| named("standard output", &error))?;
        written.map_err(|error| named("--json", &error))
    }

    /// `counter`, a second of the measured time.
    fn per_second(&self, counter: Counter) -> f64 {
        per_second(
            self.outcome.tally.count(counter) as f64,
            self.outcome.measured,
        )
    }

    /// CPU seconds as microseconds a message, or whatever is counted; `None` without one.
    fn cpu_micros_each(&self, cpu: Duration) -> Option<f64> {
        let (counter, _) = self.subject.headline.unit();
        let count = self.outcome.tally.count(counter);
        (count > 0).then(|| cpu.as_secs_f64() * 1e6 / count as f64)
    }

    /// The share of their time that the client's threads were on a CPU, 0 to 1.
    fn client_busy(&self) -> f64 {
        let tally = &self.outcome.tally;
        per_second(tally.cpu.as_secs_f64(), tally.cpu_span)
    }

    fn errors(&self) -> impl Iterator<Item = (FaultClass, u64)> {
        let faults = &self.outcome.tally.faults;
        FaultClass::ALL
            .into_iter()
            .map(|class| (class, faults.count(class)))
    }
}
