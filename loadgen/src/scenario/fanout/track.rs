//! What one subscriber has of one series. In: the numbers of publications, as they are delivered, and
//! from which on it is owed them. Out: what each delivery is, and which publications are missing.
//!
//! What is published while a subscriber is away it may get or not: it is not owed. What it gets of that
//! is in order if it is ahead of all that it got since it is back.
//!
//! Never: reads a clock, looks at a payload, counts.

use std::ops::Range;

/// What a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In its place, or ahead of some that may yet come.
    InOrder,
    /// The same, and the subscriber was not owed it.
    Unowed,
    /// Behind one that was published later.
    Late { is_owed: bool },
    /// Once more.
    Repeated,
}

/// Ranges of publications that are not owed and remembered: one of an earlier range that comes after all
/// is taken for a repeated one.
const EXCUSED_MAX: usize = 64;

/// The publications of one series that one subscriber has.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// The one after the furthest that was delivered, or is not owed.
    next: u64,
    /// Those before it that were not delivered, in order, none empty. While the last of them is not owed
    /// and ends at `next`, nothing behind it was delivered.
    holes: Vec<Hole>,
}

/// Publications that were not delivered.
#[derive(Clone, Debug)]
struct Hole {
    range: Range<u64>,
    is_owed: bool,
}

impl Track {
    /// One that begins at publication `next`: it had all before.
    pub(super) const fn starting_at(next: u64) -> Self {
        Self {
            next,
            holes: Vec::new(),
        }
    }

    /// The number after the furthest that was delivered, or is not owed.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Publication `seq` was delivered.
    #[inline]
    pub(super) fn deliver(&mut self, seq: u64) -> Delivery {
        if seq < self.next {
            return self.fill(seq);
        }
        if seq > self.next {
            self.holes.push(Hole {
                range: self.next..seq,
                is_owed: true,
            });
        }
        self.next = seq + 1;
        Delivery::InOrder
    }

    #[cold]
    fn fill(&mut self, seq: u64) -> Delivery {
        let at = self.holes.partition_point(|hole| hole.range.end <= seq);
        let found = self.holes.get_mut(at);
        let Some(hole) = found.filter(|hole| hole.range.contains(&seq)) else {
            return Delivery::Repeated;
        };
        let is_owed = hole.is_owed;
        let is_ahead = !is_owed && hole.range.end == self.next;
        let rest = Hole {
            range: seq + 1..hole.range.end,
            is_owed,
        };
        hole.range.end = seq;
        // Where the front part stays, the rest comes behind it.
        let behind = if hole.range.is_empty() {
            self.holes.remove(at);
            at
        } else {
            at + 1
        };
        if !rest.range.is_empty() {
            self.holes.insert(behind, rest);
        }
        if is_ahead {
            Delivery::Unowed
        } else {
            Delivery::Late { is_owed }
        }
    }

    /// Of the first `sent` publications those behind the furthest delivered are not owed.
    pub(super) fn excuse(&mut self, sent: u64) {
        if sent <= self.next {
            return;
        }
        match self.holes.last_mut() {
            Some(hole) if !hole.is_owed && hole.range.end == self.next => hole.range.end = sent,
            _ => {
                self.holes.push(Hole {
                    range: self.next..sent,
                    is_owed: false,
                });
                self.forget_excused();
            }
        }
        self.next = sent;
    }

    /// Keeps what is remembered of what is not owed within its bound.
    fn forget_excused(&mut self) {
        let excused = self.holes.iter().filter(|hole| !hole.is_owed);
        if excused.count() > EXCUSED_MAX
            && let Some(first) = self.holes.iter().position(|hole| !hole.is_owed)
        {
            self.holes.remove(first);
        }
    }

    /// Whether publication `seq` is owed and was not delivered; `with_tail` says it of those behind the
    /// furthest.
    pub(super) fn misses(&self, seq: u64, with_tail: bool) -> bool {
        if seq >= self.next {
            return with_tail;
        }
        let at = self.holes.partition_point(|hole| hole.range.end <= seq);
        let hole = self.holes.get(at);
        hole.is_some_and(|hole| hole.is_owed && hole.range.contains(&seq))
    }

    /// How many are missing of the first `sent`, those behind the furthest delivered included if
    /// `with_tail`.
    pub(super) fn missing(&self, sent: u64, with_tail: bool) -> u64 {
        let owed = self.holes.iter().filter(|hole| hole.is_owed);
        let holes: u64 = owed.map(|hole| hole.range.end - hole.range.start).sum();
        let tail = if with_tail {
            sent.saturating_sub(self.next)
        } else {
            0
        };
        holes + tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(seqs: &[u64]) -> (Track, Vec<Delivery>) {
        let mut track = Track::default();
        let deliveries = seqs.iter().map(|&seq| track.deliver(seq)).collect();
        (track, deliveries)
    }

    use Delivery::{InOrder, Repeated, Unowed};

    const LATE: Delivery = Delivery::Late { is_owed: true };

    #[test]
    fn what_never_comes_is_missing() {
        let (track, deliveries) = track(&[0, 1, 4, 5]);
        assert_eq!(deliveries, [InOrder; 4]);
        assert_eq!(track.missing(8, false), 2);
        assert_eq!(track.missing(8, true), 4);
        for (with_tail, missed) in [(false, vec![2, 3]), (true, vec![2, 3, 6, 7])] {
            let found: Vec<u64> = (0..8).filter(|&seq| track.misses(seq, with_tail)).collect();
            assert_eq!(found, missed);
        }
    }

    #[test]
    fn a_hole_is_filled_from_any_side_and_once() {
        for order in [
            [2, 3, 4],
            [4, 3, 2],
            [3, 2, 4],
            [3, 4, 2],
            [2, 4, 3],
            [4, 2, 3],
        ] {
            let (mut track, _) = track(&[0, 1, 5]);
            for (filled, seq) in order.into_iter().enumerate() {
                assert_eq!(track.missing(6, true), 3 - filled as u64);
                assert_eq!(track.deliver(seq), LATE, "{order:?}");
                assert_eq!(track.deliver(seq), Repeated, "{order:?}");
            }
            assert_eq!(track.missing(6, true), 0);
            assert!(track.holes.is_empty());
        }
    }

    #[test]
    fn swapped_neighbours_are_one_late_delivery() {
        let (track, deliveries) = track(&[0, 2, 1, 3, 3]);
        assert_eq!(deliveries, [InOrder, InOrder, LATE, InOrder, Repeated]);
        assert_eq!(track.missing(4, true), 0);
    }

    #[test]
    fn what_is_not_owed_may_come_in_order_and_is_not_missing() {
        let (mut track, _) = track(&[0, 1]);
        track.excuse(6);
        assert_eq!(track.missing(6, true), 0);
        assert!((0..6).all(|seq| !track.misses(seq, true)));
        assert_eq!(track.deliver(3), Unowed);
        assert_eq!(track.deliver(2), Delivery::Late { is_owed: false });
        assert_eq!(track.deliver(5), Unowed);
        assert_eq!(track.deliver(4), Delivery::Late { is_owed: false });
        assert_eq!(track.deliver(5), Repeated);
        assert_eq!(track.deliver(6), InOrder);
        assert_eq!(track.missing(7, true), 0);
        assert!(track.holes.is_empty());
    }

    #[test]
    fn what_is_owed_behind_it_is_missing_and_so_are_holes_before_it() {
        let (mut track, _) = track(&[0, 2]);
        track.excuse(5);
        track.excuse(6);
        assert_eq!(track.deliver(8), InOrder);
        assert_eq!(track.missing(10, true), 4);
        let missed: Vec<u64> = (0..10).filter(|&seq| track.misses(seq, true)).collect();
        assert_eq!(missed, [1, 6, 7, 9]);
        assert_eq!(track.deliver(4), Delivery::Late { is_owed: false });
        assert_eq!(track.deliver(7), LATE);
    }

    #[test]
    fn what_is_remembered_of_what_is_not_owed_has_a_bound() {
        let mut track = Track::default();
        for round in 0..10_000 {
            assert_eq!(track.deliver(2 * round), InOrder);
            track.excuse(2 * round + 2);
        }
        assert!(track.holes.len() <= EXCUSED_MAX);
        assert_eq!(track.missing(20_000, true), 0);
    }
}
