//! Publications of one series that not all subscribers of one thread have. In: deliveries, and
//! subscribers that are lost. Out: the profile of each publication, once nobody is waited for.
//!
//! Memory is what is on its way: a publication that all have leaves. One that somebody misses stays
//! until the end, up to a cap; then the oldest is given up and its spread is not told.
//!
//! Never: shared among threads, counts faults.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::profile::{Profile, Whole};

/// Publications kept in a row; those that are overtaken by so many are kept one by one.
const RECENT_MAX: usize = 4096;

/// Publications kept one by one.
pub(super) const STALE_MAX: usize = 1 << 18;

/// Publications on their way to one thread's subscribers.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The number of the first in `recent`.
    base: u64,
    recent: VecDeque<Entry>,
    /// Before `base` and not over.
    stale: BTreeMap<u64, Entry>,
    /// Not followed any more, for lack of room.
    given_up: Vec<u64>,
}

#[derive(Debug)]
struct Entry {
    /// Subscribers that do not have it and are still there.
    left: u32,
    is_measured: bool,
    profile: Profile,
}

impl Entry {
    fn take(&mut self) -> Whole {
        Whole {
            profile: std::mem::take(&mut self.profile),
            is_measured: self.is_measured,
        }
    }
}

impl Pending {
    /// Publication `seq` was delivered after `ns`, to one of `live` subscribers: the whole if that was
    /// the last. All deliveries of one publication are measured, or none.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        seq: u64,
        ns: u64,
        live: u32,
        is_measured: bool,
    ) -> Option<Whole> {
        while seq >= self.end() {
            self.expect_next(live);
        }
        let entry = self.entry(seq)?;
        entry.left = entry.left.checked_sub(1)?;
        entry.is_measured = is_measured;
        entry.profile.record(ns);
        if entry.left > 0 {
            return None;
        }
        let whole = entry.take();
        self.leave(seq);
        Some(whole)
    }

    /// The next publication that is not known is for `live` subscribers.
    #[inline]
    fn expect_next(&mut self, live: u32) {
        if self.recent.len() == RECENT_MAX {
            self.set_oldest_aside();
        }
        self.recent.push_back(Entry {
            left: live,
            is_measured: false,
            profile: Profile::default(),
        });
    }

    /// All before `end` are for `live` subscribers and those that left before. Gives those that are for
    /// nobody.
    pub(super) fn expect(&mut self, end: u64, live: u32) -> Range<u64> {
        let first = self.end();
        while self.end() < end {
            self.expect_next(live);
        }
        if live > 0 {
            return end..end;
        }
        self.leave(first);
        first..end
    }

    /// The publications that were given up since the last call.
    #[inline]
    pub(super) fn take_given_up(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.given_up)
    }

    /// The number after the last that is known.
    pub(super) fn end(&self) -> u64 {
        self.base + self.recent.len() as u64
    }

    #[inline]
    fn entry(&mut self, seq: u64) -> Option<&mut Entry> {
        match seq.checked_sub(self.base) {
            Some(at) => self.recent.get_mut(usize::try_from(at).ok()?),
            None => self.stale.get_mut(&seq),
        }
    }

    /// Forgets publication `seq`, which is over.
    #[inline]
    fn leave(&mut self, seq: u64) {
        if seq < self.base {
            self.stale.remove(&seq);
        }
        while self.recent.front().is_some_and(|entry| entry.left == 0) {
            self.recent.pop_front();
            self.base += 1;
        }
    }

    /// Makes room in the row.
    #[cold]
    fn set_oldest_aside(&mut self) {
        let Some(entry) = self.recent.pop_front() else {
            return;
        };
        if entry.left > 0 {
            self.stale.insert(self.base, entry);
        }
        self.base += 1;
        if self.stale.len() > STALE_MAX
            && let Some((oldest, _)) = self.stale.pop_first()
        {
            self.given_up.push(oldest);
        }
    }

    /// A subscriber is lost that misses those of which `misses` says so: gives those that only it was
    /// waited for.
    pub(super) fn forget_subscriber(&mut self, misses: impl Fn(u64) -> bool) -> Vec<(u64, Whole)> {
        let base = self.base;
        let recent = (base..).zip(self.recent.iter_mut());
        let stale = self.stale.iter_mut().map(|(&seq, entry)| (seq, entry));
        let mut complete = Vec::new();
        for (seq, entry) in stale.chain(recent) {
            if entry.left > 0 && misses(seq) {
                entry.left -= 1;
                if entry.left == 0 {
                    complete.push((seq, entry.take()));
                }
            }
        }
        for &(seq, _) in &complete {
            self.leave(seq);
        }
        complete
    }

    /// The publications that somebody misses.
    pub(super) fn incomplete(&self) -> impl Iterator<Item = u64> {
        let recent = (self.base..).zip(&self.recent);
        let left = recent.filter(|(_, entry)| entry.left > 0);
        self.stale.keys().copied().chain(left.map(|(seq, _)| seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_complete_with_its_last_delivery() {
        let mut pending = Pending::default();
        for seq in [1, 0, 1, 0] {
            assert!(pending.deliver(seq, 5, 3, true).is_none());
        }
        for seq in [1, 0] {
            let whole = pending.deliver(seq, 6, 3, true).expect("the last one");
            let figures = whole.profile.figures().expect("three deliveries");
            assert_eq!((figures.first, figures.median, figures.last), (5, 5, 6));
        }
        assert!(pending.recent.is_empty());
    }

    #[test]
    fn what_is_complete_takes_no_room_and_what_is_missed_little() {
        let mut pending = Pending::default();
        assert!(pending.deliver(0, 5, 2, true).is_none(), "one misses it");
        for seq in 1..100_000 {
            assert!(pending.deliver(seq, 5, 2, true).is_none());
            assert!(pending.deliver(seq, 6, 2, true).is_some());
        }
        assert!(pending.recent.len() <= RECENT_MAX);
        assert_eq!(pending.incomplete().collect::<Vec<_>>(), [0]);
        assert!(pending.deliver(0, 7, 2, true).is_some(), "late, but there");
        assert_eq!(pending.incomplete().count(), 0);
    }

    #[test]
    fn a_lost_subscriber_is_not_waited_for() {
        let mut pending = Pending::default();
        pending.deliver(0, 5, 2, true); // by both
        pending.deliver(0, 5, 2, true);
        pending.deliver(1, 5, 2, true); // by the one that is lost
        pending.deliver(2, 5, 2, true); // by the other
        let complete = pending.forget_subscriber(|seq| seq >= 2);
        assert_eq!(complete.iter().map(|c| c.0).collect::<Vec<_>>(), [2]);
        assert_eq!(pending.incomplete().collect::<Vec<_>>(), [1]);
        assert!(pending.deliver(1, 5, 1, true).is_some());
        assert!(pending.deliver(3, 5, 1, true).is_some());
        assert_eq!(pending.incomplete().count(), 0);
    }

    #[test]
    fn one_who_joins_later_is_not_waited_for_with_what_was_sent_before() {
        let mut pending = Pending::default();
        assert_eq!(pending.expect(2, 0), 0..2, "nobody is there");
        assert_eq!(pending.end(), 2);
        assert!(pending.recent.is_empty());
        pending.deliver(2, 5, 1, true).expect("there is one");
        assert!(pending.expect(4, 1).is_empty());
        assert!(pending.deliver(3, 5, 2, true).is_some(), "that one has it");
        assert!(pending.deliver(4, 5, 2, true).is_none(), "both are to");
        assert_eq!(pending.incomplete().collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn past_the_cap_the_oldest_is_given_up() {
        let mut pending = Pending::default();
        let mut given_up = Vec::new();
        for seq in 0..(STALE_MAX + RECENT_MAX + 3) as u64 {
            assert!(pending.deliver(seq, 5, 2, true).is_none());
            given_up.extend(pending.take_given_up());
        }
        assert_eq!(given_up, [0, 1, 2]);
        assert!(pending.deliver(0, 5, 2, true).is_none());
    }
}
