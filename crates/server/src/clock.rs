//! The only place that reads the clock. In: nothing. Out: milliseconds since the worker began.
//!
//! Read once a batch of events: a connection's deadlines are seconds away, a `clock_gettime` for
//! each message would be wasted.
//!
//! Never: wall-clock time.

use std::ops::Add;
use std::time::{Duration, Instant};

/// A point in a worker's time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(u64);

impl Time {
    /// Later than any deadline.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub(crate) const fn as_millis(self) -> u64 {
        self.0
    }

    /// How far away `self` is, zero if past.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

/// `Duration::as_millis` in 64 bits: deadlines are worked out in every turn.
const fn millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000) + duration.subsec_millis() as u64
}

/// A worker's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    pub(crate) fn read(&self) -> Time {
        Time(millis(self.origin.elapsed()))
    }
}
