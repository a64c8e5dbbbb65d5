//! How many messages a peer has echoed. In: one call each, on the runtime's thread. Out: the sum, on any.
//!
//! Never: costs more than a load and a store.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that one thread counts on and others read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(&'static AtomicU64);

impl Count {
    /// One for the rest of the process.
    pub(crate) fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// One more.
    #[inline]
    pub(crate) fn add(self) {
        self.add_many(1);
    }

    /// So many more.
    #[inline]
    pub(crate) fn add_many(self, more: usize) {
        // No read-modify-write: nobody else writes.
        let messages = self.0.load(Ordering::Relaxed);
        self.0.store(messages + more as u64, Ordering::Relaxed);
    }

    pub(crate) fn messages(self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
