//! A worker: one thread, one poller, its own connections. In: readiness, deadlines, a request to
//! stop. Out: turns for connections.
//!
//! A turn ends in a [`Fate`]: the connection waits for its next edge or deadline, wants another turn
//! without either (the ready list), or is gone.
//!
//! Never: touches a payload; blocks anywhere but in `poll`; holds a connection of another worker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Token};

use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::conn::{Admitted, Conn, Context, Fate, Readiness};
use crate::limits::{
    ACCEPTS_PER_TURN_MAX, EVENTS_PER_POLL, RECEIVE_BUFFER_BYTES, REFUSED_CONNECTIONS_MAX,
};
use crate::listener::{Accepted, Listener};
use crate::shutdown::Stop;
use crate::slab::{ConnId, Slab};
use crate::timers::Wheel;
use crate::transport::Transport;

pub(crate) const WAKER: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);

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

    fn enter(&self) -> Admitted {
        if self.open.fetch_add(1, Ordering::Relaxed) < self.max {
            Admitted::Served
        } else {
            Admitted::Refused
        }
    }

    fn leave(&self) {
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

#[cfg(test)]
impl Place {
    /// As if a worker had accepted it.
    pub(crate) fn take(admission: &Arc<Admission>) -> Self {
        admission.enter();
        Self(Arc::clone(admission))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

pub(crate) struct Reactor {
    poll: Poll,
    clock: Clock,
    now: Time,
    config: Config,
    accepting: Accepting,
    admission: Arc<Admission>,
    stop: Stop,
    /// Set once the stop is under way: when to give up on those who have not closed.
    ends_at: Option<Time>,
    conns: Slab<Conn>,
    wheel: Wheel,
    /// Connections whose next turn waits for nothing: their edge is used up, their socket is not.
    ready: Vec<ConnId>,
    receive_buffer: Box<[u8]>,
    replies: Vec<u8>,
}

/// The listener, and why it is not being accepted from.
struct Accepting {
    /// `None` once the daemon stops.
    listener: Option<Listener>,
    state: AcceptState,
    warned_at: Option<Time>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AcceptState {
    /// Taken up by the listener's next edge.
    WaitsForEdge,
    /// Its turn was used up: taken up by the next loop.
    Ready,
    /// Nothing left to accept with: taken up then, or when a connection closes.
    PausedUntil(Time),
}

impl Accepting {
    /// Somebody connects; a pause goes on all the same.
    fn on_edge(&mut self) {
        if self.state == AcceptState::WaitsForEdge {
            self.state = AcceptState::Ready;
        }
    }
}

impl Reactor {
    pub(crate) fn new(
        poll: Poll,
        mut listener: Listener,
        config: Config,
        admission: Arc<Admission>,
        stop: Stop,
    ) -> io::Result<Self> {
        listener.register(poll.registry(), LISTENER)?;
        let clock = Clock::start();
        Ok(Self {
            now: clock.read(),
            poll,
            clock,
            config,
            accepting: Accepting {
                listener: Some(listener),
                state: AcceptState::WaitsForEdge,
                warned_at: None,
            },
            admission,
            stop,
            ends_at: None,
            conns: Slab::new(),
            wheel: Wheel::new(),
            ready: Vec::new(),
            receive_buffer: vec![0; RECEIVE_BUFFER_BYTES].into(),
            replies: Vec::new(),
        })
    }

    /// Serves until a stop is requested and every connection is gone.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        let (mut turns, mut expired) = (Vec::new(), Vec::new());
        while !self.is_finished() {
            match self.wait(&mut events) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.now = self.clock.read();
            for event in &events {
                match event.token() {
                    WAKER => self.stop_if_requested(),
                    LISTENER => self.accepting.on_edge(),
                    token => {
                        let readiness = Readiness {
                            readable: event.is_readable(),
                            writable: event.is_writable(),
                            peer_closed: event.is_read_closed() || event.is_error(),
                        };
                        self.turn(token.into(), |conn, cx| conn.on_event(readiness, cx));
                    }
                }
            }
            std::mem::swap(&mut self.ready, &mut turns);
            for id in turns.drain(..) {
                self.turn(id, Conn::on_ready);
            }
            self.wheel.expire(self.now, &mut expired);
            for slot in expired.drain(..) {
                if let Some(id) = self.conns.id_at(slot) {
                    self.turn(id, Conn::on_deadline);
                }
            }
            self.accept();
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.ends_at
            .is_some_and(|end| self.conns.len() == 0 || self.now >= end)
    }

    /// Waits for news, or for the next deadline; not at all if a turn is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        if !self.ready.is_empty() || self.accepting.state == AcceptState::Ready {
            return self.poll.poll(events, Some(Duration::ZERO));
        }
        let accept = match self.accepting.state {
            AcceptState::PausedUntil(at) => at,
            AcceptState::Ready | AcceptState::WaitsForEdge => Time::NEVER,
        };
        let end = self.ends_at.unwrap_or(Time::NEVER);
        let next = self.wheel.next().min(accept).min(end);
        let wait = (next != Time::NEVER).then(|| next.since(self.now));
        self.poll.poll(events, wait)
    }

    /// Gives a connection its turn and does what it says.
    #[inline]
    fn turn(&mut self, id: ConnId, turn: impl FnOnce(&mut Conn, &mut Context<'_>) -> Fate) {
        let Some(conn) = self.conns.get_mut(id) else {
            return; // an event for one that went earlier in this batch
        };
        debug_assert!(self.replies.is_empty(), "the last turn left replies behind");
        let mut cx = Context {
            receive_buffer: &mut self.receive_buffer,
            replies: &mut self.replies,
            config: &self.config,
            now: self.now,
        };
        match turn(conn, &mut cx) {
            Fate::Wait => {}
            Fate::Again => self.ready.push(id),
            Fate::Gone(why) => {
                tracing::debug!(conn = %id, "closed: {why}");
                self.remove(id);
                return;
            }
        }
        if let Some(at) = conn.nearer_deadline(&self.config) {
            self.wheel.arm(id.slot(), at);
        }
    }

    fn remove(&mut self, id: ConnId) {
        self.wheel.disarm(id.slot());
        self.conns.remove(id); // closing the descriptor takes it out of the poller
        self.admission.leave();
        if let AcceptState::PausedUntil(_) = self.accepting.state {
            self.accepting.state = AcceptState::Ready;
        }
    }

    fn accept(&mut self) {
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
                    let id = self.admit(transport);
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
    fn admit(&mut self, transport: Transport) -> io::Result<ConnId> {
        let admitted = self.admission.enter();
        let id = self
            .conns
            .insert(Conn::new(transport, admitted, self.now, &self.config));
        let conn = self.conns.get_mut(id).expect("inserted a line above");
        if let Err(error) = conn.register(self.poll.registry(), id.into()) {
            self.conns.remove(id);
            return Err(error);
        }
        if let Some(at) = conn.nearer_deadline(&self.config) {
            self.wheel.arm(id.slot(), at);
        }
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

    fn stop_if_requested(&mut self) {
        if self.ends_at.is_some() || !self.stop.is_requested() {
            return;
        }
        self.accepting.listener = None;
        self.ends_at = Some(self.now + self.config.timeouts.drain);
        for id in self.conns.ids().collect::<Vec<_>>() {
            self.turn(id, Conn::on_stop);
        }
    }
}
