//! The one place where the benches ask what time it is.
//!
//! Never: converts or rounds.

use std::time::{Duration, Instant};

/// The monotonic time, now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock the others ask"
)]
#[must_use]
#[inline]
pub fn now() -> Instant {
    Instant::now()
}

/// CLOCK_MONOTONIC in seconds, which other processes of the machine read too.
#[must_use]
pub fn machine_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
    .as_secs_f64()
}
