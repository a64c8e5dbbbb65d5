//! How connections come in. In: a listener's edges. Out: connections in the slab, as many as may be.
//!
//! Never: reads from a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Reactor;
use crate::clock::Time;
use crate::conn::{Admitted, Conn};
use crate::limits::{ACCEPTS_PER_TURN_MAX, REFUSED_CONNECTIONS_MAX};
use crate::listener::{Accepted, Listener};
use crate::slab::ConnId;
use crate::transport::Transport;

/// How long accepting pauses when descriptors or places have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often that is logged at most.
const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// How many connections the daemon has, over all workers.
#[derive(Debug)]
pub(crate) struct Admission {
    open: AtomicUsize,
    max: usize,
}

impl Admission {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            open: AtomicUsize::new(0),
            max,
        }
    }

    /// Connections that are open now, those that were handed on among them.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self) -> Admitted {
        if self.open.fetch_add(1, Ordering::Relaxed) < self.max {
            Admitted::Served
        } else {
            Admitted::Refused
        }
    }

    pub(super) fn leave(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Past the cap and past those who are told so.
    fn is_overrun(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.max.saturating_add(REFUSED_CONNECTIONS_MAX)
    }
}

/// A connection that a worker has handed on: it counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Admission>);

impl Place {
    /// The place of a connection that was admitted.
    pub(super) fn of_admitted(admission: &Arc<Admission>) -> Self {
        Self(Arc::clone(admission))
    }

    /// As if a worker had accepted it.
    #[cfg(test)]
    pub(crate) fn take(admission: &Arc<Admission>) -> Self {
        admission.enter();
        Self::of_admitted(admission)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The listener, and why it is not being accepted from.
pub(super) struct Accepting {
    /// `None` once the daemon stops.
    pub(super) listener: Option<Listener>,
    pub(super) state: AcceptState,
    warned_at: Option<Time>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AcceptState {
    /// Taken up by the listener's next edge.
    WaitsForEdge,
    /// Its turn was used up: taken up by the next loop.
    Ready,
    /// Nothing left to accept with: taken up then, or when a connection closes.
    PausedUntil(Time),
}

impl Accepting {
    pub(super) const fn new(listener: Listener) -> Self {
        Self {
            listener: Some(listener),
            state: AcceptState::WaitsForEdge,
            warned_at: None,
        }
    }

    /// Somebody connects; a pause goes on all the same.
    pub(super) fn on_edge(&mut self) {
        if self.state == AcceptState::WaitsForEdge {
            self.state = AcceptState::Ready;
        }
    }
}

impl Reactor {
    /// A place is free: whoever waits for one may come.
    pub(super) fn resume_accepting(&mut self) {
        if let AcceptState::PausedUntil(_) = self.accepting.state {
            self.accepting.state = AcceptState::Ready;
        }
    }

    pub(super) fn accept(&mut self) {
        match self.accepting.state {
            AcceptState::Ready => {}
            AcceptState::PausedUntil(at) if at <= self.now => {}
            AcceptState::PausedUntil(_) | AcceptState::WaitsForEdge => return,
        }
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let Some(listener) = &self.accepting.listener else {
                self.accepting.state = AcceptState::WaitsForEdge;
                return;
            };
            if self.admission.is_overrun() {
                let max = self.admission.max;
                self.pause_accepting(&format_args!("{max} connections are open"));
                return;
            }
            match listener.accept() {
                Accepted::Connection(transport, peer) => {
                    let id = self.admit(transport, peer);
                    match id {
                        Ok(id) => tracing::debug!(conn = %id, %peer, "accepted"),
                        Err(error) => {
                            self.admission.leave();
                            self.pause_accepting(&error);
                            return;
                        }
                    }
                }
                Accepted::Lost => {}
                Accepted::Nobody => {
                    self.accepting.state = AcceptState::WaitsForEdge;
                    return;
                }
                Accepted::Exhausted(error) => {
                    self.pause_accepting(&error);
                    return;
                }
            }
        }
        self.accepting.state = AcceptState::Ready;
    }

    /// Takes a connection in, from wherever it came.
    fn admit(&mut self, transport: Transport, peer: SocketAddr) -> io::Result<ConnId> {
        let admitted = self.admission.enter();
        let transport = transport.secured(self.config.tls.as_ref())?;
        let conn = Conn::new(transport, admitted, peer, self.now, &self.config);
        let id = self.conns.insert(conn);
        let conn = self.conns.get_mut(id).expect("inserted a line above");
        if let Err(error) = conn.register(self.poll.registry(), id.into()) {
            self.conns.remove(id);
            return Err(error);
        }
        if let Some(at) = conn.nearer_deadline(&self.config) {
            self.wheel.arm(id.slot(), at);
        }
        self.metrics.enters(conn.load().kind);
        Ok(id)
    }

    fn pause_accepting(&mut self, why: &dyn std::fmt::Display) {
        let accepting = &mut self.accepting;
        accepting.state = AcceptState::PausedUntil(self.now + ACCEPT_PAUSE);
        if accepting
            .warned_at
            .is_none_or(|at| self.now.since(at) >= ACCEPT_WARNING_INTERVAL)
        {
            accepting.warned_at = Some(self.now);
            tracing::warn!("not accepting for a moment: {why}");
        }
    }
}
