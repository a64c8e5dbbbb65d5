//! The one place where the benches ask what time it is.
//!
//! Never: converts or rounds.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

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
    read(ClockId::Monotonic).as_secs_f64()
}

/// CPU time of the calling thread: what others on the machine take is not in it.
#[must_use]
#[inline]
pub fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}
