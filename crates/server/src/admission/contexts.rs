//! Contexts of permessage-deflate, over all workers. In: what is asked for, and what of messages is under way. Out:
//! promises, as many as there may be, and sums.
//!
//! A context that a connection may keep between messages is made on first use, but counts from the handshake on: nobody
//! can be told later that there is none.
//!
//! Never: makes a context.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(super) struct Contexts {
    promised: Arc<AtomicUsize>,
    max: usize,
}

/// One context, until this is dropped.
#[derive(Debug)]
pub(crate) struct Promise(Arc<AtomicUsize>);

impl Contexts {
    pub(super) fn new(max: usize) -> Self {
        Self {
            promised: Arc::default(),
            max,
        }
    }

    /// None: all are promised.
    pub(super) fn promise(&self) -> Option<Promise> {
        let one_more = |promised| (promised < self.max).then_some(promised + 1);
        // Nothing else is read by it.
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.promised.fetch_update(set, fetch, one_more).ok()?;
        Some(Promise(Arc::clone(&self.promised)))
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Compressed messages that have begun to come and not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HalfWay {
    /// Those that refer to none before them.
    pub(crate) messages: usize,
    /// Memory of what any of them was inflated to.
    pub(crate) bytes: usize,
}

/// The same of all workers, each of which tells its own.
#[derive(Debug, Default)]
pub(crate) struct HalfWays {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl HalfWays {
    /// One worker's were `before` when it told them last, and are `now`.
    pub(crate) fn moves(&self, before: HalfWay, now: HalfWay) {
        for (sum, before, now) in [
            (&self.messages, before.messages, now.messages),
            (&self.bytes, before.bytes, now.bytes),
        ] {
            if before != now {
                sum.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn sum(&self) -> HalfWay {
        HalfWay {
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_worker_ends_makes_room_for_another() {
        let all = HalfWays::default();
        let of = |messages, bytes| HalfWay { messages, bytes };
        all.moves(of(0, 0), of(3, 500));
        all.moves(of(0, 0), of(1, 7));
        assert_eq!(all.sum(), of(4, 507));
        all.moves(of(3, 500), of(1, 400));
        assert_eq!(all.sum(), of(2, 407));
    }

    #[test]
    fn a_promise_that_is_dropped_can_be_given_again() {
        let contexts = Contexts::new(2);
        let (first, second) = (contexts.promise(), contexts.promise());
        assert!(first.is_some() && second.is_some());
        assert!(contexts.promise().is_none());
        drop(first);
        assert!(contexts.promise().is_some());
        assert!(Contexts::new(0).promise().is_none());
    }
}
