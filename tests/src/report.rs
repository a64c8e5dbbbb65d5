//! What came of a run of the catalogue. In: outcomes. Out: counts a group, a table, JSON.
//!
//! Never: runs a case, prints.

use crate::catalogue::{Case, Chop, Group, Level};
use crate::drivers::Failure;
use std::fmt::Write as _;
use std::time::Duration;

/// One run of one case that did not hold.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Of the case.
    pub id: String,
    /// Of the case.
    pub group: Group,
    /// Of the case.
    pub rfc: &'static str,
    /// Of the case.
    pub level: Level,
    /// How its bytes were cut.
    pub chop: Chop,
    /// Where and how.
    pub failure: Failure,
}

impl Failed {
    /// What `case` did under `chop`.
    #[must_use]
    pub fn new(case: &Case, chop: Chop, failure: Failure) -> Self {
        Self {
            id: case.id.clone(),
            group: case.group,
            rfc: case.rfc,
            level: case.level,
            chop,
            failure,
        }
    }

    /// Whether it makes the whole run fail.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.level != Level::Info
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Failure {
            step,
            expected,
            got,
        } = &self.failure;
        write!(
            f,
            "{} (RFC 6455 §{}, {:?}) {:?}, step {step}\n  expected {expected}\n  got      {got}",
            self.id, self.rfc, self.level, self.chop
        )
    }
}

/// The counts of one group.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    cases: usize,
    runs: usize,
    failed_cases: usize,
    failed_runs: usize,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which driver.
    pub driver: &'static str,
    /// How long it took.
    pub took: Duration,
    /// Every failure, in the order of the cases.
    pub failed: Vec<Failed>,
    counts: [Counts; Group::ALL.len()],
}

impl Report {
    /// An empty one.
    #[must_use]
    pub fn new(driver: &'static str) -> Self {
        Self {
            driver,
            took: Duration::ZERO,
            failed: Vec::new(),
            counts: Default::default(),
        }
    }

    /// Adds a case: how often it ran and what failed.
    pub fn add(&mut self, case: &Case, runs: usize, failed: Vec<Failed>) {
        let counts = &mut self.counts[case.group as usize];
        counts.cases += 1;
        counts.runs += runs;
        counts.failed_runs += failed.len();
        counts.failed_cases += usize::from(!failed.is_empty());
        self.failed.extend(failed);
    }

    /// Cases in all groups.
    #[must_use]
    pub fn cases(&self) -> usize {
        self.counts.iter().map(|counts| counts.cases).sum()
    }

    /// Whether every case above [`Level::Info`] held.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.failed.iter().any(Failed::counts)
    }

    /// The first failure of each failing case, whatever its level.
    #[must_use]
    pub fn first_failures(&self) -> Vec<&Failed> {
        let mut firsts: Vec<&Failed> = self.failed.iter().collect();
        firsts.dedup_by(|failed, first| failed.id == first.id);
        firsts
    }

    /// What a failing test prints: the first failure of each case that counts, at most 40 of them.
    #[must_use]
    pub fn failures(&self) -> String {
        let mut firsts = self.first_failures();
        firsts.retain(|failed| failed.counts());
        let mut out = format!("{}: {} cases do not hold\n", self.driver, firsts.len());
        for failed in firsts.iter().take(40) {
            let _ = writeln!(out, "{failed}");
        }
        out
    }

    /// A line a group.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = format!(
            "{:<12} {:>8} {:>9} {:>8} {:>8}\n",
            self.driver, "cases", "runs", "passed", "failed"
        );
        let mut all = Counts::default();
        for group in Group::ALL {
            let counts = self.counts[group as usize];
            out.push_str(&row(group.name(), counts));
            all.cases += counts.cases;
            all.runs += counts.runs;
            all.failed_cases += counts.failed_cases;
        }
        out + &row("all", all) + &format!("in {:.1} s\n", self.took.as_secs_f64())
    }

    /// The same and every failure, for machines.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let groups: serde_json::Map<_, _> = Group::ALL
            .into_iter()
            .map(|group| {
                let counts = self.counts[group as usize];
                let value = serde_json::json!({
                    "cases": counts.cases,
                    "runs": counts.runs,
                    "passed": counts.cases - counts.failed_cases,
                    "failed": counts.failed_cases,
                    "failed_runs": counts.failed_runs,
                });
                (group.name().to_owned(), value)
            })
            .collect();
        let failed: Vec<_> = self
            .failed
            .iter()
            .map(|failed| {
                serde_json::json!({
                    "id": failed.id,
                    "rfc": failed.rfc,
                    "level": format!("{:?}", failed.level),
                    "chop": format!("{:?}", failed.chop),
                    "step": failed.failure.step,
                    "expected": failed.failure.expected,
                    "got": failed.failure.got,
                })
            })
            .collect();
        serde_json::json!({
            "driver": self.driver,
            "seconds": self.took.as_secs_f64(),
            "holds": self.holds(),
            "groups": groups,
            "failures": failed,
        })
    }
}

fn row(name: &str, counts: Counts) -> String {
    format!(
        "{name:<12} {:>8} {:>9} {:>8} {:>8}\n",
        counts.cases,
        counts.runs,
        counts.cases - counts.failed_cases,
        counts.failed_cases
    )
}
