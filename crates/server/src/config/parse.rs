//! Values as flags and files write them alike. In: text or a number. Out: what it means, or what is wanted.
//!
//! Never: says which flag or key it was; whoever asks knows.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::time::Duration;

/// A year: past that a timer wheel's arithmetic would be the limit.
const SECONDS_MAX: f64 = 365.0 * 86_400.0;

/// An address; a host name is looked up.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    match text.to_socket_addrs() {
        Ok(mut found) => found.next().ok_or_else(|| "no such host".into()),
        Err(error) => Err(format!("{error}; want HOST:PORT, such as 127.0.0.1:9001")),
    }
}

/// More than nothing, at most a year.
pub(crate) fn seconds(seconds: f64) -> Result<Duration, String> {
    let duration = seconds_or_zero(seconds)?;
    if duration.is_zero() {
        return Err("must be more than 0".into());
    }
    Ok(duration)
}

/// At most a year.
pub(crate) fn seconds_or_zero(seconds: f64) -> Result<Duration, String> {
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err("want seconds, such as 10 or 0.5, and at most a year of them".into());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// As many workers as there are cores.
pub(crate) fn one_a_core() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_finite_and_at_most_a_year() {
        assert_eq!(seconds(0.5), Ok(Duration::from_millis(500)));
        assert_eq!(seconds_or_zero(0.0), Ok(Duration::ZERO));
        assert_eq!(
            seconds(SECONDS_MAX),
            Ok(Duration::from_secs(365 * 24 * 3600))
        );
        for bad in [-1.0, f64::NAN, f64::INFINITY, SECONDS_MAX * 2.0] {
            assert!(seconds_or_zero(bad).is_err(), "{bad}");
        }
        // Less than the clock can tell is nothing.
        for nothing in [0.0, -0.0, 1e-12] {
            assert!(seconds(nothing).is_err(), "{nothing}");
        }
    }
}
