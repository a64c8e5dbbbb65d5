//! How much of something may be had a second. In: the time, and what was had. Out: what is left.
//!
//! The generic cell rate algorithm (ITU-T I.371 Annex A): a bucket of tokens that is as deep as a second's worth, and
//! all of it in one number, so that it fits an atomic.
//!
//! Never: reads a clock.

use core::num::NonZeroU32;

const SECOND_NS: u64 = 1_000_000_000;

/// What of a second's worth is left. It is whole at first.
///
/// ```
/// use core::num::NonZeroU32;
/// use fanfare_protocol::Allowance;
///
/// let (mut allowance, per_second) = (Allowance::default(), NonZeroU32::new(2).unwrap());
/// let now_us = 7_000_000;
/// assert!(allowance.take(per_second, now_us) && allowance.take(per_second, now_us));
/// assert!(!allowance.take(per_second, now_us));
/// assert!(allowance.take(per_second, now_us + 500_000));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// When it is whole again, in nanoseconds of whatever clock: the "theoretical arrival time".
    whole_at_ns: u64,
}

impl Allowance {
    /// The one that is whole at that time, in nanoseconds.
    #[must_use]
    pub const fn whole_at(ns: u64) -> Self {
        Self { whole_at_ns: ns }
    }

    /// When it is whole, in nanoseconds.
    #[must_use]
    pub const fn whole_at_ns(self) -> u64 {
        self.whole_at_ns
    }

    /// How many may be had now, at most `per_second`. More than a billion a second are not told apart from any number.
    #[must_use]
    pub const fn left(self, per_second: NonZeroU32, now_us: u64) -> u32 {
        let missing_ns = self.whole_at_ns.saturating_sub(ns(now_us));
        let cost_ns = cost_ns(per_second);
        let whole_ns = cost_ns * per_second.get() as u64; // a second, but for what does not divide it
        match whole_ns.saturating_sub(missing_ns).checked_div(cost_ns) {
            None => u32::MAX,
            #[expect(clippy::cast_possible_truncation, reason = "at most what fits")]
            Some(left) => left as u32,
        }
    }

    /// Without `count`, whether there were so many or not.
    #[must_use]
    pub const fn without(self, count: u32, per_second: NonZeroU32, now_us: u64) -> Self {
        let now_ns = ns(now_us);
        let from_ns = if self.whole_at_ns > now_ns {
            self.whole_at_ns
        } else {
            now_ns
        };
        Self {
            whole_at_ns: from_ns.saturating_add(cost_ns(per_second).saturating_mul(count as u64)),
        }
    }

    /// Takes one, if one is left.
    pub const fn take(&mut self, per_second: NonZeroU32, now_us: u64) -> bool {
        let is_left = self.left(per_second, now_us) > 0;
        if is_left {
            *self = self.without(1, per_second, now_us);
        }
        is_left
    }
}

const fn ns(us: u64) -> u64 {
    us.saturating_mul(1000)
}

const fn cost_ns(per_second: NonZeroU32) -> u64 {
    SECOND_NS / per_second.get() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;

    fn per_second(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    #[test]
    fn a_second_s_worth_may_be_had_at_once_and_comes_back_evenly() {
        for rate in [1, 3, 10, 1000, 1_000_000] {
            let rate = per_second(rate);
            let mut allowance = Allowance::default();
            let mut had = 0;
            while allowance.take(rate, 0) {
                had += 1;
            }
            assert_eq!(had, rate.get());
            let one_us = SECOND_US.div_ceil(u64::from(rate.get()));
            assert!(!allowance.take(rate, one_us - 1), "{rate}");
            assert!(allowance.take(rate, one_us), "{rate}");
            assert!(!allowance.take(rate, one_us), "{rate}");
            assert!(allowance.left(rate, 3 * SECOND_US) == rate.get(), "{rate}");
        }
    }

    #[test]
    fn what_was_had_beyond_it_is_owed() {
        let rate = per_second(10);
        let allowance = Allowance::default().without(15, rate, 0);
        assert_eq!(allowance.left(rate, 0), 0);
        assert_eq!(allowance.left(rate, SECOND_US / 2), 0);
        assert_eq!(allowance.left(rate, SECOND_US), 5);
        assert_eq!(Allowance::whole_at(allowance.whole_at_ns()), allowance);
    }

    #[test]
    fn ends_of_the_range_are_no_traps() {
        let allowance = Allowance::default().without(u32::MAX, per_second(1), u64::MAX);
        assert_eq!(allowance.left(per_second(1), 0), 0);
        let endless = per_second(u32::MAX);
        assert_eq!(Allowance::default().left(endless, 0), u32::MAX);
        let mut allowance = Allowance::default();
        assert!((0..3_000_000).all(|_| allowance.take(endless, 0)));
    }
}
