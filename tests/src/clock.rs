//! The one place that reads the time. In: nothing. Out: now.
//!
//! Never: sleeps.

use std::time::{Duration, Instant};

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
