//! Who of the workers gets a connection that one of them accepts for all. In: connections. Out: the same, in the
//! inbox of the worker that has the fewest.
//!
//! A listener whose socket there is one of (a Unix socket, one of systemd's) is the first worker's; whoever it
//! accepts is handed to the least loaded, the first worker among them.
//!
//! Never: blocks for longer than it takes to move a few words; keeps a connection of a worker that has ended.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use crate::conn::Newcomer;
use crate::limits::NEWCOMERS_WAITING_MAX;

/// All workers, by number.
#[derive(Debug)]
pub(crate) struct Crew(Box<[Member]>);

/// A worker, as the others see it. On cache lines of its own: each counts its connections.
#[derive(Debug)]
#[repr(align(128))]
struct Member {
    /// Its connections, those that wait for it among them.
    open: AtomicUsize,
    inbox: Mutex<Inbox>,
    waker: Arc<Waker>,
}

#[derive(Debug, Default)]
struct Inbox {
    waiting: VecDeque<Newcomer>,
    /// The worker takes no more.
    is_closed: bool,
}

impl Crew {
    pub(crate) fn new(wakers: impl IntoIterator<Item = Arc<Waker>>) -> Self {
        let member = |waker| Member {
            open: AtomicUsize::new(0),
            inbox: Mutex::default(),
            waker,
        };
        Self(wakers.into_iter().map(member).collect())
    }

    /// Workers that nobody runs.
    #[cfg(test)]
    pub(crate) fn asleep(workers: usize) -> Self {
        let waker = |_| {
            let poll = mio::Poll::new().expect("a poller");
            Arc::new(Waker::new(poll.registry(), mio::Token(0)).expect("a waker"))
        };
        Self::new((0..workers).map(waker))
    }

    /// Connections of each worker now.
    pub(crate) fn loads(&self) -> Vec<usize> {
        let open = self.0.iter().map(|member| &member.open);
        open.map(|open| open.load(Ordering::Relaxed)).collect()
    }

    /// Worker `own` has one more.
    pub(super) fn enter(&self, own: usize) {
        self.0[own].open.fetch_add(1, Ordering::Relaxed);
    }

    /// Worker `own` has one less.
    pub(super) fn leave(&self, own: usize) {
        self.0[own].open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Gives `newcomer` to whoever has the fewest connections, and counts it there. It comes back if that is
    /// worker `own`, who asks, or if there is no room for it in the other's inbox.
    pub(super) fn hand_out(&self, own: usize, newcomer: Newcomer) -> Option<Newcomer> {
        let numbered = self.0.iter().enumerate();
        let load = |(_, member): &(usize, &Member)| member.open.load(Ordering::Relaxed);
        let least = numbered.min_by_key(load);
        let Some((_, member)) = least.filter(|(number, _)| *number != own) else {
            self.enter(own);
            return Some(newcomer);
        };
        let mut inbox = member.inbox();
        if inbox.is_closed || inbox.waiting.len() >= NEWCOMERS_WAITING_MAX {
            drop(inbox);
            self.enter(own);
            return Some(newcomer);
        }
        member.open.fetch_add(1, Ordering::Relaxed);
        let was_empty = inbox.waiting.is_empty();
        inbox.waiting.push_back(newcomer);
        drop(inbox);
        // Else it was woken already, and has not taken all yet.
        if was_empty && let Err(error) = member.waker.wake() {
            tracing::error!("cannot wake a worker: {error}");
        }
        None
    }

    /// The next that waits for worker `own`, and whether more do.
    pub(super) fn take(&self, own: usize) -> Option<(Newcomer, bool)> {
        let mut inbox = self.0[own].inbox();
        let next = inbox.waiting.pop_front()?;
        Some((next, !inbox.waiting.is_empty()))
    }

    /// Worker `own` takes no more; how many have waited in vain.
    pub(super) fn close(&self, own: usize) -> usize {
        let mut inbox = self.0[own].inbox();
        inbox.is_closed = true;
        let waited = std::mem::take(&mut inbox.waiting);
        self.0[own].open.fetch_sub(waited.len(), Ordering::Relaxed);
        waited.len()
    }
}

impl Member {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::admission::{Admitted, Holding};
    use crate::peer::{Entrance, Peer, Trusted};
    use crate::stream::Stream;
    use crate::transport::Transport;

    fn newcomer() -> Newcomer {
        let (socket, _) = UnixStream::pair().unwrap();
        Newcomer {
            transport: Transport::Plain(Stream::from(OwnedFd::from(socket))),
            peer: Peer::Unix,
            entrance: Entrance::new(Peer::Unix, false, &Trusted::default()),
            admitted: Admitted::Served,
            holding: Holding::NOTHING,
        }
    }

    #[test]
    fn whoever_has_the_fewest_gets_the_next() {
        let crew = Crew::asleep(3);
        for _ in 0..30 {
            crew.hand_out(0, newcomer());
        }
        assert_eq!(crew.loads(), [10, 10, 10]);
        for _ in 0..4 {
            crew.leave(2);
        }
        for _ in 0..4 {
            assert!(crew.hand_out(0, newcomer()).is_none());
        }
        assert_eq!(crew.loads(), [10, 10, 10]);
        let mut taken = 0;
        while crew.take(2).is_some() {
            taken += 1;
        }
        assert_eq!(taken, 14);
        assert!(crew.take(0).is_none(), "its own came back at once");
    }

    #[test]
    fn a_full_or_closed_inbox_gives_it_back() {
        let crew = Crew::asleep(2);
        for _ in 0..NEWCOMERS_WAITING_MAX * 2 {
            crew.hand_out(0, newcomer());
        }
        assert_eq!(crew.loads(), [NEWCOMERS_WAITING_MAX; 2]);
        crew.enter(0);
        assert!(crew.hand_out(0, newcomer()).is_some(), "it is full");
        assert_eq!(crew.close(1), NEWCOMERS_WAITING_MAX);
        assert_eq!(crew.loads()[1], 0);
        assert!(crew.hand_out(0, newcomer()).is_some(), "it is closed");
        assert!(crew.take(1).is_none());
    }
}
