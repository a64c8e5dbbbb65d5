//! Who runs in a case, as what, and what their times come to. In: runners and their parts. Out: one
//! result a case.
//!
//! Never: measures, prints.

use std::collections::BTreeMap;

use crate::race::{Course, Runner, race};
use crate::statistics::Spread;

/// What a runner stands for.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Ours,
    Peer {
        name: &'static str,
        /// What of the case's work it leaves undone; empty if nothing.
        lacks: String,
        /// The reads it is fed, where there are any; it is judged by its best.
        read_bytes: Option<usize>,
    },
    /// Taken off the others.
    WireCopy,
    /// The physical bound of moving the bytes.
    Limit,
    /// One of the validators that a text which is not ASCII needs besides: the best counts.
    LimitValidator,
}

/// The runners of one case.
pub(crate) struct Field {
    /// As tables and JSON call it.
    pub(crate) case: String,
    /// Payload of a message, in bytes; the mean where sizes differ.
    pub(crate) payload_bytes: f64,
    runners: Vec<Runner>,
    parts: Vec<Part>,
}

impl Field {
    pub(crate) fn new(case: &str, payload_bytes: f64) -> Self {
        Self {
            case: case.to_owned(),
            payload_bytes,
            runners: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Adds a runner; gives its place.
    pub(crate) fn add(&mut self, part: Part, runner: Runner) -> usize {
        self.parts.push(part);
        self.runners.push(runner);
        self.parts.len() - 1
    }

    /// Lets them run.
    pub(crate) fn race(mut self, course: Course, seed: u64) -> Outcome {
        let samples = race(&mut self.runners, course, seed);
        let mut outcome = Outcome {
            case: self.case,
            payload_bytes: self.payload_bytes,
            ours: Spread::of(&[f64::NAN]),
            peers: BTreeMap::new(),
            limit_ns: None,
        };
        let mut validator_ns: Option<f64> = None;
        for (part, samples) in self.parts.into_iter().zip(&samples) {
            let spread = Spread::of(samples);
            match part {
                Part::Ours => outcome.ours = spread,
                Part::WireCopy => {}
                Part::Limit => outcome.limit_ns = Some(spread.median),
                Part::LimitValidator => {
                    let best = validator_ns.map_or(spread.median, |ns| ns.min(spread.median));
                    validator_ns = Some(best);
                }
                Part::Peer {
                    name,
                    lacks,
                    read_bytes,
                } => {
                    let peer = Peer {
                        spread,
                        lacks,
                        read_bytes,
                    };
                    let best = outcome.peers.entry(name).or_insert_with(|| peer.clone());
                    if peer.spread.median < best.spread.median {
                        *best = peer;
                    }
                }
            }
        }
        if let (Some(limit), Some(validator)) = (&mut outcome.limit_ns, validator_ns) {
            *limit += validator;
        }
        outcome
    }
}

/// What a peer's times come to, at the reads that suit it best.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) spread: Spread,
    pub(crate) lacks: String,
    pub(crate) read_bytes: Option<usize>,
}

impl Peer {
    pub(crate) fn does_the_same_work(&self) -> bool {
        self.lacks.is_empty()
    }
}

/// What a case came to; times are nanoseconds a message.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) case: String,
    pub(crate) payload_bytes: f64,
    pub(crate) ours: Spread,
    pub(crate) peers: BTreeMap<&'static str, Peer>,
    pub(crate) limit_ns: Option<f64>,
}

impl Outcome {
    /// The fastest peer that does the same work.
    pub(crate) fn best_peer(&self) -> Option<(&'static str, &Peer)> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.does_the_same_work())
            .min_by(|a, b| a.1.spread.median.total_cmp(&b.1.spread.median))
            .map(|(&name, peer)| (name, peer))
    }

    /// How many times as fast as that peer ours is.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let (_, best) = self.best_peer()?;
        Some(best.spread.median / self.ours.median)
    }

    /// How many times as long as the physical bound ours takes.
    pub(crate) fn to_limit(&self) -> Option<f64> {
        Some(self.ours.median / self.limit_ns?)
    }
}
