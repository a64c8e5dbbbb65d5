//! The only place that reads the clock. In: nothing. Out: milliseconds since the daemon began, microseconds for
//! what is measured, and what the wall clock would say then.
//!
//! Read once a batch of events: a connection's deadlines are seconds away, a `clock_gettime` for
//! each message would be wasted.
//!
//! Never: reads the wall clock twice: time goes on evenly, whoever sets it.

use std::num::NonZeroU64;
use std::ops::Add;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in a worker's time, in milliseconds; one more than those, so that an `Option` of it is no larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(NonZeroU64);

const _: () = assert!(size_of::<Option<Time>>() == size_of::<u64>());

impl Time {
    /// Later than any deadline.
    pub(crate) const NEVER: Self = Self(NonZeroU64::MAX);

    pub(crate) const fn from_millis(millis: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(millis))
    }

    /// Of [`NEVER`](Self::NEVER), more than a clock ever tells.
    pub(crate) const fn as_millis(self) -> u64 {
        self.0.get() - 1
    }

    /// How far away `self` is, zero if past.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.get().saturating_sub(earlier.0.get()))
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

/// A point in the same time, exact enough to measure by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    micros: u64,
}

impl Moment {
    /// As deadlines count it.
    pub(crate) const fn time(self) -> Time {
        Time::from_millis(self.micros / 1000)
    }

    /// Microseconds from `earlier` on, none if that is later.
    pub(crate) const fn micros_since(self, earlier: Self) -> u64 {
        self.micros.saturating_sub(earlier.micros)
    }
}

/// The daemon's clock: every copy tells the same time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// When that was, in milliseconds since the Unix epoch.
    origin_millis: u64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            origin: Instant::now(),
            origin_millis: since_epoch.map_or(0, millis), // before 1970: a clock that is not set
        }
    }

    pub(crate) fn read(self) -> Time {
        self.moment().time()
    }

    pub(crate) fn moment(self) -> Moment {
        let elapsed = self.origin.elapsed();
        Moment {
            micros: elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros()),
        }
    }

    /// Seconds since the Unix epoch when the daemon began.
    pub(crate) const fn began_at_seconds(self) -> f64 {
        self.origin_millis as f64 / 1000.0
    }

    /// `moment` as the hub counts it.
    pub(crate) const fn for_hub_exactly(self, moment: Moment) -> fanfare_hub::Time {
        let origin = self.origin_millis.saturating_mul(1000);
        fanfare_hub::Time::from_micros(origin.saturating_add(moment.micros))
    }

    /// `time` as the hub counts it: the endless one stays endless.
    pub(crate) const fn for_hub(self, time: Time) -> fanfare_hub::Time {
        let millis = match time {
            Time::NEVER => u64::MAX,
            time => self.origin_millis.saturating_add(time.as_millis()),
        };
        fanfare_hub::Time::from_millis(millis)
    }

    /// `time` as workers count it: the endless one stays endless.
    pub(crate) const fn of_hub(self, time: fanfare_hub::Time) -> Time {
        match time.as_millis() {
            u64::MAX => Time::NEVER,
            millis => Time::from_millis(millis.saturating_sub(self.origin_millis)),
        }
    }
}
