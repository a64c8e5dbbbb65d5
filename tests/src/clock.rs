//! The one place that reads the time. In: nothing. Out: now.
//!
//! Never: sleeps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The present.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that the others use"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// How long is left until `deadline`; at least a millisecond, which socket timeouts need.
#[must_use]
pub fn left_until(deadline: Instant) -> Duration {
    deadline
        .saturating_duration_since(now())
        .max(Duration::from_millis(1))
}

/// What a wall clock says, in whole seconds since 1970.
///
/// # Panics
///
/// If it was never set.
#[must_use]
pub fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock that is set").as_secs()
}
