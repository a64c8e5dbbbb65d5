//! Time. In: nothing. Out: nanoseconds since the run began, and the CPU time of a thread.
//!
//! The one place that reads a clock; everything else is handed the answer.
//!
//! Never: sleeps, decides what a time means.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the [`Clock`] was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nanos(pub(crate) u64);

impl Nanos {
    /// Further away than any run lasts.
    pub(crate) const MAX: Self = Self(u64::MAX);

    /// Nanoseconds from `earlier` to here; 0 if it is not earlier.
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time from `earlier` to here; zero if it is not earlier.
    pub(crate) const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.since(earlier))
    }

    /// `duration` later.
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

/// A duration in nanoseconds, 584 years at most.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A clock that all threads of a run share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: u64,
}

impl Clock {
    /// A clock that reads 0 now.
    pub(crate) fn start() -> Self {
        Self {
            origin: nanos(read(ClockId::Monotonic)),
        }
    }

    /// The time since [`start`](Self::start).
    #[inline]
    pub(crate) fn now(&self) -> Nanos {
        Nanos(nanos(read(ClockId::Monotonic)) - self.origin)
    }
}

/// CPU time, user and system, that the calling thread has used.
pub(crate) fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// Both clocks count up from zero. Read without the detour over `Instant`: it is read once a receive.
#[inline]
fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}
