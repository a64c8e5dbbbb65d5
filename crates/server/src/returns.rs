//! What other threads find out for a worker's connections. In: findings of the verifiers and of the HTTP
//! thread. Out: the same, on the worker's own thread.
//!
//! Never: blocks for longer than it takes to move a list; keeps what nobody asked for.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use fanfare_hub::Wake;
use fanfare_protocol::Number;
use fanfare_protocol::hook::{HookAnswer, HookFailed};
use fanfare_protocol::token::{Claims, TokenError};

use crate::http::hooks::Entry;
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
    waiting: Mutex<Vec<Return>>,
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
            waiting.push(Return {
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

    /// Takes all that wait, in the order in which they were found.
    pub(crate) fn take(&self) -> Vec<Return> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Return>> {
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
