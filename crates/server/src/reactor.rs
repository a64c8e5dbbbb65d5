//! A worker: one thread, one poller, its own connections. In: readiness, deadlines, deliveries of its
//! inbox, a request to stop. Out: turns for connections, and publications for their subscribers.
//!
//! A turn ends in a [`Fate`]: the connection waits for its next edge or deadline, wants another turn
//! without either (the ready list), is handed over, or is gone.
//!
//! Never: touches a payload; blocks anywhere but in `poll`; holds a connection of another worker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fanfare_codec::CloseCode;
use fanfare_hub::{Action, Batch, Order};
use mio::{Events, Poll, Token};

use crate::clock::{Clock, Time};
use crate::codes;
use crate::config::Config;
use crate::conn::{Admitted, Conn, Context, Fate, Readiness, Told, Why};
use crate::http::Handover;
use crate::limits::{
    ACCEPTS_PER_TURN_MAX, BATCHES_PER_TURN_MAX, EVENTS_PER_POLL, RECEIVE_BUFFER_BYTES,
    REFUSED_CONNECTIONS_MAX,
};
use crate::listener::{Accepted, Listener};
use crate::push::News;
use crate::service::Service;
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

/// How often the first worker lets the engine forget what is past its time.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

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
    service: Service,
    stop: Stop,
    /// Set once the stop is under way: when to give up on those who have not closed.
    ends_at: Option<Time>,
    conns: Slab<Conn>,
    wheel: Wheel,
    /// Connections whose next turn waits for nothing: their edge is used up, their socket is not.
    ready: Vec<ConnId>,
    receive_buffer: Box<[u8]>,
    replies: Vec<u8>,
    deliveries: Deliveries,
}

/// What comes through the inbox.
#[derive(Default)]
struct Deliveries {
    batch: Batch,
    /// More may wait, and nothing will wake the worker for it.
    are_left: bool,
    /// Subscribers that a tick has found to be too slow, or gone.
    troubled: Vec<(ConnId, Trouble)>,
    /// When the engine gets its next tick; never, from this worker, if it is not the first.
    upkeep_at: Option<Time>,
}

enum Trouble {
    TooSlow,
    Gone(Why),
}

/// What a reactor is made of, beside its poller.
pub(crate) struct Parts {
    pub(crate) listener: Listener,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) admission: Arc<Admission>,
    pub(crate) service: Service,
    pub(crate) stop: Stop,
    /// Of all workers one, if the service has an engine.
    pub(crate) keeps_engine: bool,
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
    pub(crate) fn new(poll: Poll, parts: Parts) -> io::Result<Self> {
        let mut listener = parts.listener;
        listener.register(poll.registry(), LISTENER)?;
        let now = parts.clock.read();
        Ok(Self {
            now,
            poll,
            clock: parts.clock,
            config: parts.config,
            accepting: Accepting {
                listener: Some(listener),
                state: AcceptState::WaitsForEdge,
                warned_at: None,
            },
            admission: parts.admission,
            service: parts.service,
            stop: parts.stop,
            ends_at: None,
            conns: Slab::new(),
            wheel: Wheel::new(),
            ready: Vec::new(),
            receive_buffer: vec![0; RECEIVE_BUFFER_BYTES].into(),
            replies: Vec::new(),
            deliveries: Deliveries {
                upkeep_at: parts.keeps_engine.then_some(now),
                ..Deliveries::default()
            },
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
            if let Service::Push(push) = &self.service {
                push.rouse();
            }
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
                        self.deliver_if_crowded();
                    }
                }
            }
            std::mem::swap(&mut self.ready, &mut turns);
            for id in turns.drain(..) {
                self.turn(id, Conn::on_ready);
                self.deliver_if_crowded();
            }
            self.wheel.expire(self.now, &mut expired);
            for slot in expired.drain(..) {
                if let Some(id) = self.conns.id_at(slot) {
                    self.turn(id, Conn::on_deadline);
                }
            }
            self.accept();
            self.deliver();
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.ends_at
            .is_some_and(|end| self.conns.len() == 0 || self.now >= end)
    }

    /// Waits for news, or for the next deadline; not at all if a turn is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let is_due = !self.ready.is_empty() || self.deliveries.are_left;
        if is_due || self.accepting.state == AcceptState::Ready {
            return self.poll.poll(events, Some(Duration::ZERO));
        }
        let accept = match self.accepting.state {
            AcceptState::PausedUntil(at) => at,
            AcceptState::Ready | AcceptState::WaitsForEdge => Time::NEVER,
        };
        let end = self.ends_at.unwrap_or(Time::NEVER);
        let upkeep = self.deliveries.upkeep_at.unwrap_or(Time::NEVER);
        let next = self.wheel.next().min(accept).min(end).min(upkeep);
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
            service: &mut self.service,
            config: &self.config,
            id,
            now: self.now,
        };
        match turn(conn, &mut cx) {
            Fate::Wait => {}
            Fate::Again => self.ready.push(id),
            Fate::Gone(why) => return self.remove(id, &why),
            Fate::HandOver => return self.hand_over(id),
        }
        if let Some(at) = conn.nearer_deadline(&self.config) {
            self.wheel.arm(id.slot(), at);
        }
    }

    fn remove(&mut self, id: ConnId, why: &Why) {
        tracing::debug!(conn = %id, "closed: {why}");
        self.wheel.disarm(id.slot());
        // Closing the descriptor takes it out of the poller.
        if let Some(conn) = self.conns.remove(id)
            && conn.is_subscriber()
        {
            self.service.leave(id, self.now);
        }
        self.admission.leave();
        self.resume_accepting();
    }

    /// A connection whose request is plain HTTP.
    fn hand_over(&mut self, id: ConnId) {
        let (Service::Push(push), Some(conn)) = (&self.service, self.conns.remove(id)) else {
            return;
        };
        self.wheel.disarm(id.slot());
        let place = Place(Arc::clone(&self.admission));
        let (transport, received) = conn.into_parts();
        let refused = match transport.into_socket(self.poll.registry()) {
            Ok(socket) => push.hand_over(Handover {
                socket,
                received,
                place,
            }),
            Err(error) => return tracing::debug!(conn = %id, "not handed over: {error}"),
        };
        match refused {
            Ok(()) => tracing::debug!(conn = %id, "handed over"),
            Err(handover) => handover.refuse(),
        }
        self.resume_accepting();
    }

    fn resume_accepting(&mut self) {
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

    /// Takes what the inbox holds, tells subscribers, and does what it says of single connections.
    fn deliver(&mut self) {
        self.deliveries.are_left = false;
        for _ in 0..BATCHES_PER_TURN_MAX {
            let Service::Push(push) = &mut self.service else {
                return;
            };
            if let Some(at) = self.deliveries.upkeep_at
                && at <= self.now
            {
                push.tick_engine(self.now);
                self.deliveries.upkeep_at = Some(self.now + UPKEEP_INTERVAL);
            }
            if !push.drain(&mut self.deliveries.batch) {
                return;
            }
            self.hand_out();
        }
        self.deliveries.are_left = true;
    }

    /// Before a flood of its own connections fills the inbox: they are read no faster than they are told.
    #[inline]
    fn deliver_if_crowded(&mut self) {
        if let Service::Push(push) = &mut self.service
            && push.is_crowded()
            && push.drain(&mut self.deliveries.batch)
        {
            push.rouse();
            self.hand_out();
        }
    }

    fn hand_out(&mut self) {
        while let Some(delivery) = self.deliveries.batch.next() {
            let Service::Push(push) = &mut self.service else {
                return;
            };
            match push.take(delivery, self.now) {
                None => {}
                Some(News::Welcome(id, welcome)) => {
                    self.turn(id, |conn, cx| conn.on_welcome(welcome, cx));
                }
                Some(News::Failed(id, error)) => {
                    self.turn(id, |conn, cx| conn.on_failed(error, cx))
                }
                Some(News::Order(order)) => self.obey(&order),
                Some(News::TickIsFull) => self.fan_out(),
            }
        }
        while let Service::Push(push) = &mut self.service
            && let Some(id) = push.next_insufficient()
        {
            self.turn(id, Conn::on_insufficient);
        }
        self.fan_out();
    }

    /// Ends a tick: one `send` for each subscriber that is not behind.
    fn fan_out(&mut self) {
        let Service::Push(push) = &mut self.service else {
            return;
        };
        let (conns, wheel, config) = (&mut self.conns, &mut self.wheel, &self.config);
        let troubled = &mut self.deliveries.troubled;
        let now = self.now;
        push.fan_out(|id, segment, range, excess| {
            let Some(conn) = conns.get_mut(id) else {
                return;
            };
            match conn.tell(segment, range, excess, config, now) {
                Told::All => {}
                Told::Later => {
                    if let Some(at) = conn.nearer_deadline(config) {
                        wheel.arm(id.slot(), at);
                    }
                }
                Told::TooSlow => troubled.push((id, Trouble::TooSlow)),
                Told::Gone(why) => troubled.push((id, Trouble::Gone(why))),
            }
        });
        while let Some((id, trouble)) = self.deliveries.troubled.pop() {
            self.turn(id, |conn, cx| match trouble {
                Trouble::TooSlow => conn.on_too_slow(cx),
                Trouble::Gone(why) => Fate::Gone(why),
            });
        }
    }

    /// Does what the API wants to the connections that it means.
    fn obey(&mut self, order: &Order) {
        for id in self.conns.ids().collect::<Vec<_>>() {
            let (Some(conn), Service::Push(push)) = (self.conns.get_mut(id), &self.service) else {
                continue;
            };
            if !conn.is_subscriber() || !push.is_meant(order, id) {
                continue;
            }
            match &order.action {
                Action::Disconnect { code, reason } => {
                    self.turn(id, |conn, cx| conn.close(CloseCode(*code), reason, cx));
                }
                // Its channel is all that a raw client is here for.
                Action::Unsubscribe { channel, .. } if push.is_subscribed(id, channel.as_ref()) => {
                    let code = codes::FORCE_DISCONNECT;
                    self.turn(id, |conn, cx| conn.close(code, "unsubscribed", cx));
                }
                Action::Unsubscribe { .. } | Action::Subscribe { .. } | Action::Refresh { .. } => {}
            }
        }
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
