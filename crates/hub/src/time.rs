//! Points in time, as the caller tells them. In: milliseconds, or microseconds. Out: the same, ordered.
//!
//! Never: reads a clock.

use std::ops::Add;
use std::time::Duration;

const MICROS_PER_MILLI: u64 = 1000;

/// A point in time: microseconds since the Unix epoch, by a clock that never goes back.
///
/// The server takes the wall clock once and adds a monotonic clock to it. Workers read theirs once a
/// batch, so two callers may be some milliseconds apart: whoever keeps state never lets it go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// A point in time from milliseconds since the Unix epoch; what is too far away never comes.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(MICROS_PER_MILLI))
    }

    /// Milliseconds since the Unix epoch: `u64::MAX` of what never comes.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        match self.0 {
            u64::MAX => u64::MAX,
            micros => micros / MICROS_PER_MILLI,
        }
    }

    /// A point in time from microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates: a duration too long for the type never ends.
    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_duration_saturates() {
        let time = Time::from_millis(5) + Duration::MAX;
        assert_eq!(time.as_millis(), u64::MAX);
        assert_eq!(Time::from_millis(u64::MAX).as_millis(), u64::MAX);
    }

    #[test]
    fn milliseconds_are_thousands_of_microseconds() {
        assert_eq!(Time::from_millis(5), Time::from_micros(5000));
        assert_eq!(Time::from_micros(5999).as_millis(), 5);
    }
}
