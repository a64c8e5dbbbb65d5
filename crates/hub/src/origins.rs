//! Everyone who may ask an engine. In: their inboxes, once, before the engine is made. Out: a number for
//! each, and wake-ups for those who sleep.
//!
//! Never: changes once an engine has it.

use std::sync::Arc;

use crate::engine::OriginId;
use crate::inbox::{Inbox, Owner};
use crate::limits::ORIGINS_MAX;

/// Everyone who may ask an engine, each with its inbox.
#[derive(Debug, Default)]
pub struct Origins {
    inboxes: Vec<Arc<Inbox>>,
    workers: Vec<OriginId>,
}

impl Origins {
    /// A worker: it gets orders.
    ///
    /// # Panics
    ///
    /// Past [`ORIGINS_MAX`].
    pub fn add_worker(&mut self, inbox: Arc<Inbox>) -> OriginId {
        let origin = self.add_caller(inbox);
        self.workers.push(origin);
        origin
    }

    /// Another caller, say the API: it gets answers, and publications if it subscribes, but no orders.
    ///
    /// # Panics
    ///
    /// Past [`ORIGINS_MAX`].
    pub fn add_caller(&mut self, inbox: Arc<Inbox>) -> OriginId {
        assert!(self.inboxes.len() < ORIGINS_MAX, "too many origins");
        let number = u16::try_from(self.inboxes.len()).expect("ORIGINS_MAX fits");
        self.inboxes.push(inbox);
        OriginId(number)
    }

    /// The inbox of `origin`.
    ///
    /// # Panics
    ///
    /// If another [`Origins`] has numbered it.
    #[must_use]
    pub fn inbox(&self, origin: OriginId) -> &Inbox {
        &self.inboxes[usize::from(origin.0)]
    }

    /// Those who get orders.
    #[must_use]
    pub fn workers(&self) -> &[OriginId] {
        &self.workers
    }

    /// Wakes everyone in `wakes`. No lock is held.
    pub fn wake(&self, wakes: &WakeSet) {
        for (word, mut bits) in wakes.0.iter().copied().enumerate() {
            while bits != 0 {
                let index = word * 64 + bits.trailing_zeros() as usize;
                self.inboxes[index].wake();
                bits &= bits - 1;
            }
        }
    }
}

/// Owners to wake once the locks are free.
#[derive(Clone, Copy, Debug, Default)]
pub struct WakeSet([u64; ORIGINS_MAX / 64]);

impl WakeSet {
    /// Notes what a push said of its owner.
    pub const fn note(&mut self, origin: OriginId, owner: Owner) {
        if matches!(owner, Owner::Asleep) {
            self.0[origin.0 as usize / 64] |= 1 << (origin.0 % 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::inbox::{InboxLimits, Wake};

    /// Counts how often its owner was woken.
    #[derive(Clone, Debug, Default)]
    struct Woken(Arc<AtomicUsize>);

    impl Wake for Woken {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn only_those_who_sleep_are_woken_each_once() {
        let mut origins = Origins::default();
        let woken: Vec<Woken> = (0..ORIGINS_MAX).map(|_| Woken::default()).collect();
        let ids: Vec<OriginId> = woken
            .iter()
            .map(|woken| Inbox::new(InboxLimits::default(), woken.clone()))
            .map(|inbox| origins.add_caller(Arc::new(inbox)))
            .collect();
        let mut wakes = WakeSet::default();
        for n in [0, 63, 64, 255] {
            wakes.note(ids[n], Owner::Asleep);
            wakes.note(ids[n], Owner::Awake);
            wakes.note(ids[n], Owner::Asleep);
        }
        wakes.note(ids[7], Owner::Awake);
        origins.wake(&wakes);
        let count = |n: usize| woken[n].0.load(Ordering::Relaxed);
        let found: Vec<usize> = (0..ORIGINS_MAX).filter(|n| count(*n) > 0).collect();
        assert_eq!(found, [0, 63, 64, 255]);
        assert!(found.iter().all(|n| count(*n) == 1));
        assert!(origins.workers().is_empty(), "a caller is no worker");
    }
}
