//! Contexts of permessage-deflate that connections may keep between messages. In: what is asked for. Out: promises,
//! as many as there may be.
//!
//! A context is made on first use, but counts from the handshake on: nobody can be told later that there is none.
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

#[cfg(test)]
mod tests {
    use super::*;

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
