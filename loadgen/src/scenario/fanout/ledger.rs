//! What the threads of a fan-out run share. In: what each publishes, and its part of the profile of
//! each publication. Out: how much there is to be had, whole profiles, and when all is over.
//!
//! Never: reads a clock, counts faults.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::pending::STALE_MAX;
use super::profile::{Profile, Whole};
use crate::scenario::Schedule;

/// The books of a run.
#[derive(Debug)]
pub(super) struct Ledger {
    series: Box<[Book]>,
    /// Set by the first thread that begins, before anything is published.
    schedule: OnceLock<Schedule>,
    /// Threads with connections that may still publish.
    running: AtomicUsize,
    /// HTTP publishers that may.
    posting: AtomicUsize,
    /// Threads whose subscribers wait for publications.
    waiting: AtomicUsize,
    /// Threads that have not handed in everything.
    unfinished: AtomicUsize,
}

/// The book of one series; a cache line of its own, since threads look at it at every delivery.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Book {
    sent: AtomicU64,
    /// Sent, and refused or never answered: nobody has a right to them.
    failed: Mutex<Vec<u64>>,
    joint: Mutex<Joint>,
}

/// Publications of which some threads have handed in their parts.
#[derive(Debug, Default)]
struct Joint {
    wholes: BTreeMap<u64, Assembly>,
    /// Before this one, what is not in `wholes` is complete or given up.
    horizon: u64,
}

#[derive(Debug, Default)]
struct Assembly {
    profile: Profile,
    parts: u32,
    is_measured: bool,
    /// Somebody misses it.
    is_incomplete: bool,
}

impl Ledger {
    /// Nothing is published.
    pub(super) fn new(series: usize, threads: usize, posters: usize) -> Self {
        Self {
            series: std::iter::repeat_with(Book::default).take(series).collect(),
            schedule: OnceLock::new(),
            running: AtomicUsize::new(threads),
            posting: AtomicUsize::new(posters),
            waiting: AtomicUsize::new(threads),
            unfinished: AtomicUsize::new(threads),
        }
    }

    /// Notes the times of the run; those of every thread are the same.
    pub(super) fn begin(&self, schedule: Schedule) {
        self.schedule.get_or_init(|| schedule);
    }

    /// `None` before anything is published.
    #[inline]
    pub(super) fn schedule(&self) -> Option<Schedule> {
        self.schedule.get().copied()
    }

    /// Takes the number of the next publication of a series, just before it is sent; only its
    /// publisher does.
    pub(super) fn publish(&self, series: usize) -> u64 {
        self.series[series].sent.fetch_add(1, Ordering::AcqRel)
    }

    /// How many publications of a series were sent.
    #[inline]
    pub(super) fn sent(&self, series: usize) -> u64 {
        self.series[series].sent.load(Ordering::Acquire)
    }

    /// Notes that the server did not take a publication.
    pub(super) fn fail(&self, series: usize, seq: u64) {
        lock(&self.series[series].failed).push(seq);
    }

    /// The publications that the server did not take.
    pub(super) fn failed(&self, series: usize) -> Vec<u64> {
        lock(&self.series[series].failed).clone()
    }

    /// A thread with connections publishes nothing more.
    pub(super) fn stop_running(&self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
    }

    /// An HTTP publisher publishes nothing more.
    pub(super) fn stop_posting(&self) {
        self.posting.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether a thread with connections is still running.
    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire) > 0
    }

    /// Whether nothing more will be published.
    pub(super) fn is_published(&self) -> bool {
        !self.is_running() && self.posting.load(Ordering::Acquire) == 0
    }

    /// The subscribers of a thread wait for nothing more.
    pub(super) fn stop_waiting(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether no thread's subscribers wait for anything.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Takes a thread's part of a publication; gives the whole when it was the last of `parts`.
    /// The flag of one that is given up for lack of room comes second.
    pub(super) fn hand_in(
        &self,
        series: usize,
        seq: u64,
        part: Whole,
        parts: u32,
    ) -> (Option<Whole>, bool) {
        let mut joint = lock(&self.series[series].joint);
        if seq < joint.horizon && !joint.wholes.contains_key(&seq) {
            return (None, false);
        }
        let whole = joint.wholes.entry(seq).or_default();
        whole.profile.merge(part.profile);
        whole.is_measured |= part.is_measured;
        whole.parts += 1;
        if whole.parts == parts {
            let is_complete = !whole.is_incomplete;
            let whole = joint.wholes.remove(&seq);
            let completed = whole.filter(|_| is_complete).map(Assembly::complete);
            return (completed, false);
        }
        let is_full = joint.wholes.len() > STALE_MAX;
        if is_full && let Some((oldest, _)) = joint.wholes.pop_first() {
            joint.horizon = joint.horizon.max(oldest + 1);
        }
        (None, is_full)
    }

    /// Notes that a publication never reached somebody.
    pub(super) fn mark_incomplete(&self, series: usize, seq: u64) {
        let mut joint = lock(&self.series[series].joint);
        if let Some(whole) = joint.wholes.get_mut(&seq) {
            whole.is_incomplete = true;
        } else if seq >= joint.horizon {
            let whole = Assembly {
                is_incomplete: true,
                ..Assembly::default()
            };
            joint.wholes.insert(seq, whole);
        }
    }

    /// A thread has handed in everything. The last one gets what is left: publications of which the
    /// threads without subscribers, theirs being lost, owe parts that do not exist.
    pub(super) fn finish(&self) -> Vec<Whole> {
        if self.unfinished.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Vec::new();
        }
        let books = self.series.iter();
        books
            .flat_map(|book| std::mem::take(&mut lock(&book.joint).wholes).into_values())
            .filter(|whole| !whole.is_incomplete)
            .map(Assembly::complete)
            .collect()
    }
}

impl Assembly {
    fn complete(self) -> Whole {
        Whole {
            profile: self.profile,
            is_measured: self.is_measured,
        }
    }
}

/// A thread that panics leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(ns: u64) -> Whole {
        let mut profile = Profile::default();
        profile.record(ns);
        Whole {
            profile,
            is_measured: true,
        }
    }

    #[test]
    fn a_publication_is_whole_with_the_last_part() {
        let ledger = Ledger::new(1, 2, 0);
        assert!(ledger.hand_in(0, 7, part(5), 2).0.is_none());
        let whole = ledger.hand_in(0, 7, part(9), 2).0.expect("both are there");
        let figures = whole.profile.figures().expect("two deliveries");
        assert_eq!((figures.first, figures.last), (5, 9));
        assert!(ledger.finish().is_empty() && ledger.finish().is_empty());
    }

    #[test]
    fn the_last_thread_gets_what_a_lost_thread_owes_but_not_what_somebody_misses() {
        let ledger = Ledger::new(1, 2, 0);
        for seq in 0..3 {
            assert!(ledger.hand_in(0, seq, part(5), 2).0.is_none());
        }
        ledger.mark_incomplete(0, 1);
        ledger.mark_incomplete(0, 9);
        assert!(ledger.finish().is_empty());
        assert_eq!(ledger.finish().len(), 2);
    }

    #[test]
    fn past_the_cap_the_oldest_is_given_up_for_good() {
        let ledger = Ledger::new(1, 1, 0);
        for seq in 0..STALE_MAX as u64 {
            assert!(!ledger.hand_in(0, seq, part(5), 2).1);
        }
        assert!(ledger.hand_in(0, STALE_MAX as u64, part(5), 2).1);
        assert!(ledger.hand_in(0, 0, part(5), 2).0.is_none());
        assert_eq!(ledger.finish().len(), STALE_MAX);
    }
}
