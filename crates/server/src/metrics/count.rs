//! Numbers that one thread counts and others read. In: what has happened. Out: sums.
//!
//! One writer each, so that counting is a load and a store: nothing is locked, no cache line is fought for. A
//! second writer would lose counts, so whoever counts has a set of its own, and readers add them up.
//!
//! Never: orders anything else: a reader may see one number ahead of another.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread changes.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    #[inline]
    pub(crate) fn sub(&self, n: u64) {
        self.set(self.get().wrapping_sub(n));
    }

    #[inline]
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many durations fell between bounds.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// One more than there are bounds: the last has no end.
    buckets: [Count; BOUNDS_MICROS.len() + 1],
    sum_micros: Count,
}

/// The longest duration of each bucket, in microseconds.
pub(super) const BOUNDS_MICROS: [u64; 15] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000,
];

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { Count(AtomicU64::new(0)) }; BOUNDS_MICROS.len() + 1],
            sum_micros: Count::default(),
        }
    }
}

impl Histogram {
    #[inline]
    pub(crate) fn observe(&self, micros: u64) {
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].add(1);
        self.sum_micros.add(micros);
    }

    /// How many there were up to each bound, and in all.
    pub(super) fn cumulative(&self) -> [u64; BOUNDS_MICROS.len() + 1] {
        let mut sum = 0;
        self.buckets.each_ref().map(|bucket| {
            sum += bucket.get();
            sum
        })
    }

    pub(super) fn sum_micros(&self) -> u64 {
        self.sum_micros.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_up_and_down() {
        let count = Count::default();
        count.add(5);
        count.sub(2);
        assert_eq!(count.get(), 3);
        count.set(7);
        assert_eq!(count.get(), 7);
    }

    #[test]
    fn a_duration_is_counted_up_to_every_bound_that_it_does_not_pass() {
        let histogram = Histogram::default();
        for micros in [0, 50, 51, 2_500_000, 2_500_001] {
            histogram.observe(micros);
        }
        let cumulative = histogram.cumulative();
        assert_eq!(cumulative[0], 2, "0 and 50 µs are up to 50 µs");
        assert_eq!(cumulative[1], 3);
        assert_eq!(cumulative[BOUNDS_MICROS.len() - 1], 4);
        assert_eq!(cumulative[BOUNDS_MICROS.len()], 5);
        assert_eq!(histogram.sum_micros(), 5_000_102);
        assert!(BOUNDS_MICROS.is_sorted());
    }
}
