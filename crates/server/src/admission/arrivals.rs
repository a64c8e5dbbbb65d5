//! How many connections come in a second. In: the time. Out: whether one more may.
//!
//! Never: locks: every worker asks here for each connection that it accepts.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use fanfare_protocol::Allowance;

use crate::clock::Time;

#[derive(Debug)]
pub(super) struct Arrivals {
    per_second_max: NonZeroU32,
    /// [`Allowance::whole_at_ns`].
    whole_at_ns: AtomicU64,
}

impl Arrivals {
    pub(super) const fn new(per_second_max: NonZeroU32) -> Self {
        Self {
            per_second_max,
            whole_at_ns: AtomicU64::new(0),
        }
    }

    /// Whether one more may come; if so it counts.
    pub(super) fn take(&self, now: Time) -> bool {
        let one_more = |whole_at_ns| {
            let mut allowance = Allowance::whole_at(whole_at_ns);
            let is_left = allowance.take(self.per_second_max, now.as_millis().saturating_mul(1000));
            is_left.then_some(allowance.whole_at_ns())
        };
        let order = Ordering::Relaxed;
        self.whole_at_ns
            .fetch_update(order, order, one_more)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn threads_that_ask_at_once_get_no_more_than_there_are() {
        let arrivals = Arrivals::new(NonZeroU32::new(1000).unwrap());
        let ask = || {
            let asked = (0..1000).filter(|_| arrivals.take(Time::from_millis(0)));
            asked.count()
        };
        let had: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(had, 1000);
    }
}
