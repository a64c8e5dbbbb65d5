//! Points in time, as the caller tells them. In: milliseconds. Out: the same, ordered.
//!
//! Never: reads a clock.

use std::ops::Add;
use std::time::Duration;

/// A point in time: milliseconds since the Unix epoch, by a clock that never goes back.
///
/// The server takes the wall clock once and adds a monotonic clock to it. Workers read theirs once a
/// batch, so two callers may be some milliseconds apart: whoever keeps state never lets it go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// A point in time from milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates: a duration too long for the type never ends.
    fn add(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_duration_saturates() {
        let time = Time::from_millis(5) + Duration::MAX;
        assert_eq!(time.as_millis(), u64::MAX);
    }
}
