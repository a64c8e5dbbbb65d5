//! Faults, counted. In: one fault after another. Out: how many of each class, and what the first was.
//!
//! Never: decides what a fault is.

use crate::fault::{Fault, FaultClass};

/// How many faults of each class, and what the first was.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    counts: [u64; FaultClass::ALL.len()],
    first: [Option<String>; FaultClass::ALL.len()],
}

impl Faults {
    /// Counts one.
    pub(crate) fn add(&mut self, fault: Fault) {
        self.add_many(1, fault);
    }

    /// Counts so many, which one sentence tells of.
    pub(crate) fn add_many(&mut self, count: u64, fault: Fault) {
        let at = fault.class as usize;
        self.counts[at] += count;
        self.first[at].get_or_insert(fault.detail);
    }

    /// Adds those of another thread.
    pub(crate) fn merge(&mut self, other: Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        for (first, theirs) in self.first.iter_mut().zip(other.first) {
            if first.is_none() {
                *first = theirs;
            }
        }
    }

    /// How many of one class.
    pub(crate) const fn count(&self, class: FaultClass) -> u64 {
        self.counts[class as usize]
    }

    /// How many in all.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What the first of a class was; empty if there was none.
    pub(crate) fn first(&self, class: FaultClass) -> &str {
        self.first[class as usize].as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_class_is_kept_when_threads_merge() {
        let (mut one, mut other) = (Faults::default(), Faults::default());
        other.add(Fault::new(FaultClass::Closed, "theirs"));
        one.add(Fault::new(FaultClass::Mismatch, "ours"));
        one.merge(other);
        assert_eq!(one.count(FaultClass::Closed), 1);
        assert_eq!(one.first(FaultClass::Closed), "theirs");
        assert_eq!(one.first(FaultClass::Mismatch), "ours");
        assert_eq!(one.total(), 2);
    }
}
