//! The flags of `loadgen fanout` that say how subscribers are cut and come back.
//!
//! Never: opens a socket or a file.

use std::time::Duration;

use clap::Args;

use super::Usage;
use super::args::{rate, seconds};
use crate::payload::Envelope;
use crate::scenario::fanout::{CutPlan, Resume};

/// More cuts a second than one machine has ports for.
const CUT_RATE_MAX: f64 = 100_000.0;

/// How subscribers are cut and come back.
#[derive(Args, Debug)]
#[command(next_help_heading = "Cuts")]
pub(crate) struct CutArgs {
    /// Cut a subscriber so many times a second, each time one drawn at random, and have it connect again
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) cut_rate: Option<f64>,

    /// Seconds from a cut to the next connection
    #[arg(
        long,
        value_name = "SECS",
        default_value = "0",
        value_parser = seconds,
        requires = "cut_rate"
    )]
    cut_pause: Duration,

    /// Put this at the end of the URL's query when a subscriber that knows its position connects again;
    /// {position} stands for that
    #[arg(
        long,
        value_name = "QUERY",
        value_parser = Resume::parse,
        requires = "cut_rate"
    )]
    resume: Option<Resume>,

    /// Codes, of close frames or of the protocol's unsubscribes, with which the server tells a subscriber
    /// that it has missed something
    #[arg(
        long,
        value_name = "CODE,…",
        default_value = "3010,2500",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u16).range(1000..5000)
    )]
    told: Vec<u16>,
}

impl CutArgs {
    /// What they say.
    pub(crate) fn plan(&self) -> CutPlan {
        CutPlan {
            per_second: self.cut_rate,
            pause: self.cut_pause,
            resume: self.resume.clone(),
            told: self.told.clone(),
        }
    }

    /// Whether a flag says how subscribers come back to their positions.
    pub(super) const fn resumes(&self) -> bool {
        self.resume.is_some()
    }

    /// As the report tells it.
    pub(crate) fn describe(&self) -> String {
        let resuming = match self.resume {
            Some(_) => " and resumed",
            None => "",
        };
        self.cut_rate.map_or_else(String::new, |rate| {
            format!(", {rate} subscribers/s cut{resuming}")
        })
    }

    /// Rules that more than one flag can break; `delivery` is how publications are told.
    pub(super) fn check(&self, delivery: &Envelope) -> Result<(), Usage> {
        if self.cut_rate.is_some_and(|rate| rate > CUT_RATE_MAX) {
            return Err(Usage(format!("--cut-rate: {CUT_RATE_MAX} at most")));
        }
        if self.resume.is_some() && !delivery.has_position() {
            return Err(Usage(
                "--resume: nobody has a position unless --delivery has {position} in it".to_owned(),
            ));
        }
        Ok(())
    }
}
