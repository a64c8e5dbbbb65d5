//! What a run comes to. In: one measurement after another, on each thread. Out: sums, quantiles and
//! rates.
//!
//! Never: measures, prints.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::fault::{Fault, FaultClass};

/// Three significant digits: each latency is told within 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Latencies past an hour count as an hour.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// How many faults of each class, and what the first was.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    counts: [u64; FaultClass::ALL.len()],
    first: [Option<String>; FaultClass::ALL.len()],
}

impl Faults {
    /// Counts one.
    pub(crate) fn add(&mut self, fault: Fault) {
        let at = fault.class as usize;
        self.counts[at] += 1;
        self.first[at].get_or_insert(fault.detail);
    }

    /// Adds those of another thread.
    fn merge(&mut self, other: Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        for (first, theirs) in self.first.iter_mut().zip(other.first) {
            if first.is_none() {
                *first = theirs;
            }
        }
    }

    /// How many of one class.
    pub(crate) const fn count(&self, class: FaultClass) -> u64 {
        self.counts[class as usize]
    }

    /// What the first of a class was; empty if there was none.
    pub(crate) fn first(&self, class: FaultClass) -> &str {
        self.first[class as usize].as_deref().unwrap_or_default()
    }

    /// Whether nothing went wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts == [0; FaultClass::ALL.len()]
    }
}

/// What one thread counts.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Messages answered, byte for byte, while the run was measured.
    pub(crate) messages: u64,
    /// Their latencies.
    latency_ns: Histogram<u64>,
    /// From the first connection to the last goodbye, warm-up included.
    pub(crate) faults: Faults,
    /// CPU of the thread while the run was measured.
    pub(crate) cpu: Duration,
}

impl Tally {
    /// Nothing counted.
    pub(crate) fn new() -> Self {
        Self {
            messages: 0,
            latency_ns: Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
                .expect("the bounds are constants that the histogram allows"),
            faults: Faults::default(),
            cpu: Duration::ZERO,
        }
    }

    /// Counts a message that was answered after `latency_ns`.
    #[inline]
    pub(crate) fn answered(&mut self, latency_ns: u64) {
        self.messages += 1;
        self.latency_ns.saturating_record(latency_ns);
    }

    /// Adds what another thread counted.
    pub(crate) fn merge(&mut self, other: Self) {
        self.messages += other.messages;
        self.latency_ns
            .add(&other.latency_ns)
            .expect("both have the same bounds");
        self.faults.merge(other.faults);
        self.cpu += other.cpu;
    }

    /// Quantiles of what was counted; `None` if nothing was.
    pub(crate) fn latency(&self) -> Option<Latency> {
        let micros = |ns: u64| ns as f64 / 1_000.0;
        let at = |quantile| micros(self.latency_ns.value_at_quantile(quantile));
        (!self.latency_ns.is_empty()).then(|| Latency {
            min: micros(self.latency_ns.min()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(self.latency_ns.max()),
        })
    }
}

/// Quantiles, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// `count` in `duration`, a second; 0 if there was no time.
pub(crate) fn per_second(count: f64, duration: Duration) -> f64 {
    if duration.is_zero() {
        0.0
    } else {
        count / duration.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let (mut odd, mut even) = (Tally::new(), Tally::new());
        for us in (1..=100_000u64).rev() {
            if us % 2 == 0 { &mut even } else { &mut odd }.answered(us * 1_000);
        }
        odd.merge(even);
        let latency = odd.latency().expect("messages were counted");
        for (got, want) in [
            (latency.min, 1.0),
            (latency.p50, 50_000.0),
            (latency.p90, 90_000.0),
            (latency.p99, 99_000.0),
            (latency.p999, 99_900.0),
            (latency.max, 100_000.0),
        ] {
            assert!((got - want).abs() <= want * 0.001, "{got} for {want}");
        }
        assert_eq!(odd.messages, 100_000);
    }

    #[test]
    fn no_message_has_no_latency_and_no_rate() {
        assert!(Tally::new().latency().is_none());
        assert!(per_second(0.0, Duration::ZERO).abs() < f64::EPSILON);
    }

    #[test]
    fn the_first_fault_of_a_class_is_kept_when_threads_merge() {
        let (mut one, mut other) = (Faults::default(), Faults::default());
        other.add(Fault::new(FaultClass::Closed, "theirs"));
        one.add(Fault::new(FaultClass::Mismatch, "ours"));
        one.merge(other);
        assert_eq!(one.count(FaultClass::Closed), 1);
        assert_eq!(one.first(FaultClass::Closed), "theirs");
        assert_eq!(one.first(FaultClass::Mismatch), "ours");
        assert!(!one.is_empty());
    }
}
