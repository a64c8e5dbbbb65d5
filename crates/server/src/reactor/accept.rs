//! How connections come in. In: listeners' edges, what another worker has accepted. Out: connections in the slab, as
//! many as may be; some for other workers.
//!
//! Never: reads from a connection.

use std::io;
use std::time::Duration;

use fanfare_codec::handshake::Status;

use super::Reactor;
use super::spare::tell;
use crate::admission::Admitted;
use crate::clock::Time;
use crate::conn::{Conn, Newcomer};
use crate::exceeded::Exceeded;
use crate::limits::{ACCEPTS_PER_TURN_MAX, TURNED_AWAY_PER_TURN_MAX};
use crate::listener::{Accepted, Listener};
use crate::peer::Entrance;
use crate::slab::ConnId;
use crate::transport::Transport;

/// How long accepting pauses when descriptors or places have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often that is logged at most.
const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// A listener, and why it is not being accepted from.
pub(super) struct Accepting {
    listener: Listener,
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
            listener,
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
        self.spare.refill();
        for accepting in &mut self.accepting {
            if let AcceptState::PausedUntil(_) = accepting.state {
                accepting.state = AcceptState::Ready;
            }
        }
    }

    pub(super) fn accept(&mut self) {
        for n in 0..self.accepting.len() {
            self.accept_from(n);
        }
        if self.newcomers_wait {
            self.take_in();
        }
    }

    /// Accepts from the listener with this number.
    fn accept_from(&mut self, n: usize) {
        match self.accepting[n].state {
            AcceptState::Ready => {}
            AcceptState::PausedUntil(at) if at <= self.now => {}
            AcceptState::PausedUntil(_) | AcceptState::WaitsForEdge => return,
        }
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            if self.admission.is_overrun() {
                let max = self.admission.max();
                self.pause_accepting(n, &format_args!("{max} connections are open"));
                return;
            }
            let listener = &self.accepting[n].listener;
            match listener.accept() {
                Accepted::Connection(transport, peer) => {
                    let (is_proxied, is_shared) = (listener.is_proxied, listener.is_shared);
                    let entrance = Entrance::new(peer, is_proxied, &self.config.trusted);
                    // Whom a proxy's connection is for has yet to be said.
                    let client = entrance.client.filter(|_| !entrance.is_trusted);
                    let (admitted, holding) = self.admission.enter(client, self.now);
                    if let Admitted::Refused(exceeded) = admitted {
                        self.metrics.exceeds(exceeded);
                        if holding.is_nothing() {
                            self.turn_away_at_once(transport, exceeded);
                            continue;
                        }
                    }
                    let newcomer = Newcomer {
                        transport,
                        peer,
                        entrance,
                        admitted,
                        holding,
                    };
                    let own = if is_shared {
                        self.crew.hand_out(self.number, newcomer)
                    } else {
                        self.crew.enter(self.number);
                        Some(newcomer)
                    };
                    if let Some(Err(error)) = own.map(|newcomer| self.admit(newcomer)) {
                        self.pause_accepting(n, &error);
                        return;
                    }
                }
                Accepted::Lost => {}
                Accepted::Nobody => {
                    self.accepting[n].state = AcceptState::WaitsForEdge;
                    return;
                }
                Accepted::Exhausted(error) => {
                    self.turn_away(n);
                    self.pause_accepting(n, &error);
                    return;
                }
            }
        }
        self.accepting[n].state = AcceptState::Ready;
    }

    /// More are refused than may wait to be told why: what can be told is told now.
    fn turn_away_at_once(&self, transport: Transport, exceeded: Exceeded) {
        self.admission.leave();
        if self.config.tls.is_none() {
            tell(transport, exceeded);
            self.metrics.answers(Status::UNAVAILABLE);
        }
    }

    /// Nothing is left to accept with: some of those who wait are told so all the same.
    fn turn_away(&mut self, n: usize) {
        let listener = &self.accepting[n].listener;
        let answers = self.config.tls.is_none();
        for _ in 0..TURNED_AWAY_PER_TURN_MAX {
            if !self.spare.turn_away(listener, answers) {
                return;
            }
            self.metrics.exceeds(Exceeded::Descriptors);
            if answers {
                self.metrics.answers(Status::UNAVAILABLE);
            }
        }
    }

    /// Takes in what another worker has accepted for this one.
    fn take_in(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let Some((newcomer, are_left)) = self.crew.take(self.number) else {
                self.newcomers_wait = false;
                return;
            };
            if let Err(error) = self.admit(newcomer) {
                tracing::warn!("a connection is lost: {error}");
            }
            self.newcomers_wait = are_left;
            if !are_left {
                return;
            }
        }
    }

    /// Nobody comes in any more; who waits to be taken in is turned away.
    pub(super) fn stop_accepting(&mut self) {
        self.accepting.clear();
        for _ in 0..self.crew.close(self.number) {
            self.admission.leave();
        }
        self.newcomers_wait = false;
    }

    /// Takes a connection in, from wherever it came. If that fails it is gone.
    fn admit(&mut self, newcomer: Newcomer) -> io::Result<ConnId> {
        let taken_in = self.insert(newcomer);
        if taken_in.is_err() {
            self.admission.leave();
            self.crew.leave(self.number);
        }
        taken_in
    }

    fn insert(&mut self, newcomer: Newcomer) -> io::Result<ConnId> {
        let newcomer = Newcomer {
            transport: newcomer.transport.secured(self.config.tls.as_ref())?,
            ..newcomer
        };
        let peer = newcomer.peer;
        let conn = Conn::new(newcomer, self.now, &self.config);
        let id = self.conns.insert(conn);
        let conn = self.conns.get_mut(id).expect("inserted a line above");
        if let Err(error) = conn.register(self.poll.registry(), id.into()) {
            self.conns.remove(id);
            return Err(error);
        }
        tracing::debug!(conn = %id, %peer, "accepted");
        if let Some(at) = conn.nearer_deadline(&self.config) {
            self.wheel.arm(id.slot(), at);
        }
        self.metrics.enters(conn.load().kind);
        Ok(id)
    }

    fn pause_accepting(&mut self, n: usize, why: &dyn std::fmt::Display) {
        let accepting = &mut self.accepting[n];
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
