//! What other threads find out for a worker's connections. In: findings of the verifiers and of the HTTP
//! thread. Out: the same, on the worker's own thread.
//!
//! Never: blocks for longer than it takes to move a list; keeps what nobody asked for.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use fanfare_hub::Wake;
use fanfare_protocol::Number;
use fanfare_protocol::hook::{HookAnswer, HookFailed};
use fanfare_protocol::token::{Claims, TokenError};

use crate::http::hooks::Entry;
use crate::limits::FINDINGS_PER_TURN_MAX;
use crate::slab::ConnId;

/// What was found out.
#[derive(Debug)]
pub(crate) enum Finding {
    /// What a token says.
    Verified(Result<Claims, TokenError>),
    /// What the backend says.
    Hooked(Result<HookAnswer, HookFailed>),
    /// What it says in front of the upgrade.
    Admitted(Result<Entry, HookFailed>),
}

/// For whom.
#[derive(Debug)]
pub(crate) struct Return {
    pub(crate) conn: ConnId,
    pub(crate) number: Number,
    pub(crate) finding: Finding,
}

/// A worker's findings, and the bell that wakes it.
pub(crate) struct Returns {
    waiting: Mutex<VecDeque<Return>>,
    bell: Box<dyn Wake>,
}

/// Where a finding goes. It is sent once; a connection that has gone by then does not get it.
#[derive(Debug)]
pub(crate) struct ReturnAddress {
    pub(crate) returns: Arc<Returns>,
    pub(crate) conn: ConnId,
    pub(crate) number: Number,
}

impl ReturnAddress {
    /// Hands a finding to the worker, and wakes it.
    pub(crate) fn send(self, finding: Finding) {
        let Self {
            returns,
            conn,
            number,
        } = self;
        let is_first = {
            let mut waiting = returns.lock();
            waiting.push_back(Return {
                conn,
                number,
                finding,
            });
            waiting.len() == 1
        };
        if is_first {
            returns.bell.wake();
        }
    }
}

impl Returns {
    pub(crate) fn new(bell: impl Wake + 'static) -> Self {
        Self {
            waiting: Mutex::default(),
            bell: Box::new(bell),
        }
    }

    /// Takes what waits, as much as a turn has time for, in the order in which it was found. True: more is left, and
    /// the bell will not ring for it.
    pub(crate) fn take(&self) -> (Vec<Return>, bool) {
        let mut waiting = self.lock();
        let len = waiting.len().min(FINDINGS_PER_TURN_MAX);
        let taken = waiting.drain(..len).collect();
        (taken, !waiting.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Return>> {
        self.waiting
            .lock()
            .expect("nothing under this lock panics but for want of memory")
    }
}

impl fmt::Debug for Returns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Returns({})", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug)]
    struct Rings(Arc<AtomicUsize>);

    impl Wake for Rings {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_turn_takes_no_more_than_it_has_time_for_and_is_told_that_more_is_left() {
        let rings = Arc::default();
        let returns = Arc::new(Returns::new(Rings(Arc::clone(&rings))));
        let count = 2 * FINDINGS_PER_TURN_MAX + 1;
        for number in 0..count {
            let address = ReturnAddress {
                returns: Arc::clone(&returns),
                conn: ConnId::from(mio::Token(1)),
                number: Number(number.try_into().expect("they are few")),
            };
            address.send(Finding::Verified(Err(TokenError::Invalid)));
        }
        assert_eq!(rings.load(Ordering::Relaxed), 1, "for the first alone");
        let mut taken = Vec::new();
        for expected in [true, true, false] {
            let (some, are_left) = returns.take();
            assert!(some.len() <= FINDINGS_PER_TURN_MAX);
            assert_eq!(are_left, expected);
            taken.extend(some.into_iter().map(|back| back.number.0 as usize));
        }
        assert_eq!(taken, (0..count).collect::<Vec<_>>());
    }
}
