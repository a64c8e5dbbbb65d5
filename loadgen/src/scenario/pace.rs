//! When messages should be sent, whatever the server does (open loop). In: a rate. Out: one intended
//! time after another.
//!
//! Never: waits, skips a time that has passed.

use crate::clock::Nanos;

/// How the intended times are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    /// At equal distances.
    Constant,
    /// Independent of one another: exponential distances.
    Poisson,
}

/// The intended times of one thread.
#[derive(Debug)]
pub(crate) struct Pace {
    arrivals: Arrivals,
    interval_ns: f64,
    /// Since `start`.
    next_ns: f64,
    start: Nanos,
    random: fastrand::Rng,
}

impl Pace {
    /// `per_second` times a second. The first comes within an interval of `start`, at random, so that
    /// threads are not in step.
    pub(crate) fn new(
        arrivals: Arrivals,
        per_second: f64,
        start: Nanos,
        mut random: fastrand::Rng,
    ) -> Self {
        let interval_ns = 1e9 / per_second;
        Self {
            arrivals,
            interval_ns,
            next_ns: random.f64() * interval_ns,
            start,
            random,
        }
    }

    /// The next intended time.
    #[inline]
    pub(crate) fn next(&self) -> Nanos {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative; past 584 years it saturates"
        )]
        let offset = self.next_ns as u64;
        Nanos(self.start.0.saturating_add(offset))
    }

    /// Takes the next intended time if it has come.
    #[inline]
    pub(crate) fn take_due(&mut self, now: Nanos) -> Option<Nanos> {
        let next = self.next();
        if next > now {
            return None;
        }
        self.next_ns += match self.arrivals {
            Arrivals::Constant => self.interval_ns,
            Arrivals::Poisson => -(1.0 - self.random.f64()).ln() * self.interval_ns,
        };
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(arrivals: Arrivals, count: usize) -> Vec<u64> {
        let random = fastrand::Rng::with_seed(5);
        let mut pace = Pace::new(arrivals, 1_000.0, Nanos(7_000), random);
        std::iter::repeat_with(|| pace.take_due(Nanos::MAX).expect("all are due").0)
            .take(count)
            .collect()
    }

    #[test]
    fn constant_times_are_an_interval_apart_and_do_not_drift() {
        let times = times(Arrivals::Constant, 100_001);
        assert!((7_000..1_007_000).contains(&times[0]));
        for pair in times.windows(2) {
            assert!((999_999..=1_000_001).contains(&(pair[1] - pair[0])));
        }
        assert!((times[100_000] - times[0]).abs_diff(100_000_000_000) < 1_000);
    }

    #[test]
    fn poisson_times_have_the_rate_and_the_spread_of_an_exponential() {
        let times = times(Arrivals::Poisson, 100_001);
        let mean = (times[100_000] - times[0]) as f64 / 100_000.0;
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "{mean}");
        // A share of 1 − 1/e is shorter than the mean.
        let short = times.windows(2).filter(|p| p[1] - p[0] < 1_000_000).count();
        assert!((short as f64 / 100_000.0 - 0.632).abs() < 0.01, "{short}");
    }

    #[test]
    fn a_time_that_has_not_come_is_not_taken() {
        let random = fastrand::Rng::with_seed(6);
        let mut pace = Pace::new(Arrivals::Constant, 10.0, Nanos(0), random);
        let next = pace.next();
        assert_eq!(pace.take_due(Nanos(next.0 - 1)), None);
        assert_eq!(pace.take_due(next), Some(next));
        assert!(pace.next() > next);
    }
}
