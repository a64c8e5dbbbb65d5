//! What one subscriber has of one series. In: the numbers of publications, as they are delivered. Out:
//! what each delivery is, and which publications are missing.
//!
//! Never: reads a clock, looks at a payload, counts.

use std::ops::Range;

/// What a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In its place, or ahead of some that may yet come.
    InOrder,
    /// Behind one that was published later.
    Late,
    /// Once more.
    Repeated,
}

/// The publications of one series that one subscriber has.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// The one after the furthest that was delivered.
    next: u64,
    /// Those before it that were not, in order, none empty.
    holes: Vec<Range<u64>>,
}

impl Track {
    /// Publication `seq` was delivered.
    #[inline]
    pub(super) fn deliver(&mut self, seq: u64) -> Delivery {
        if seq < self.next {
            return self.fill(seq);
        }
        if seq > self.next {
            self.holes.push(self.next..seq);
        }
        self.next = seq + 1;
        Delivery::InOrder
    }

    #[cold]
    fn fill(&mut self, seq: u64) -> Delivery {
        let at = self.holes.partition_point(|hole| hole.end <= seq);
        let Some(hole) = self.holes.get_mut(at).filter(|hole| hole.contains(&seq)) else {
            return Delivery::Repeated;
        };
        let rest = seq + 1..hole.end;
        hole.end = seq;
        if hole.is_empty() {
            self.holes.remove(at);
        } else {
            // Where the front part stays, the rest comes behind it.
            return self.split(at + 1, rest);
        }
        self.split(at, rest)
    }

    fn split(&mut self, at: usize, rest: Range<u64>) -> Delivery {
        if !rest.is_empty() {
            self.holes.insert(at, rest);
        }
        Delivery::Late
    }

    /// Whether publication `seq` was not delivered; `with_tail` says it of those behind the furthest.
    pub(super) fn misses(&self, seq: u64, with_tail: bool) -> bool {
        if seq >= self.next {
            return with_tail;
        }
        let at = self.holes.partition_point(|hole| hole.end <= seq);
        self.holes.get(at).is_some_and(|hole| hole.contains(&seq))
    }

    /// How many are missing of the first `sent`, those behind the furthest delivered included if
    /// `with_tail`.
    pub(super) fn missing(&self, sent: u64, with_tail: bool) -> u64 {
        let holes: u64 = self.holes.iter().map(|hole| hole.end - hole.start).sum();
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

    use Delivery::{InOrder, Late, Repeated};

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
                assert_eq!(track.deliver(seq), Late, "{order:?}");
                assert_eq!(track.deliver(seq), Repeated, "{order:?}");
            }
            assert_eq!(track.missing(6, true), 0);
            assert!(track.holes.is_empty());
        }
    }

    #[test]
    fn swapped_neighbours_are_one_late_delivery() {
        let (track, deliveries) = track(&[0, 2, 1, 3, 3]);
        assert_eq!(deliveries, [InOrder, InOrder, Late, InOrder, Repeated]);
        assert_eq!(track.missing(4, true), 0);
    }
}
