//! A worker: one thread, one poller, its own connections. In: readiness, deadlines, deliveries of its
//! inbox, a request to stop. Out: turns for connections, and publications for their subscribers.
//!
//! A turn ends in a [`Fate`]: the connection waits for its next edge or deadline, wants another turn
//! without either (the ready list), is handed over, or is gone.
//!
//! Never: touches a payload; blocks anywhere but in `poll`; holds a connection of another worker.

mod accept;
mod crew;
mod deliver;
mod drain;
mod refusals;
mod spare;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fanfare_codec::handshake::Status;
use mio::{Events, Poll, Token};

use crate::admission::{Admission, Place};
use crate::clock::{Clock, Moment, Time};
use crate::config::Config;
use crate::conn::{Conn, Context, Fate, Notes, Readiness, Why};
use crate::deflate::Contexts;
use crate::http::Handover;
use crate::limits::{BUSY_TURNS_MICROS_MAX, EVENTS_PER_POLL, LISTENERS_MAX, RECEIVE_BUFFER_BYTES};
use crate::listener::Listener;
use crate::metrics::{self, Metrics};
use crate::push::CHECK_INTERVAL;
use crate::service::Service;
use crate::shutdown::Stop;
use crate::slab::{ConnId, Slab};
use crate::timers::Wheel;

pub(crate) use crew::Crew;

use accept::{AcceptState, Accepting};
use deliver::Deliveries;
use drain::Draining;
use refusals::{Refusals, Warnings};
use spare::Spare;

pub(crate) const WAKER: Token = Token(usize::MAX);
/// Of the first listener; those of the others follow downwards.
const LISTENER: usize = usize::MAX - 1;
/// Of the last listener that there may be.
const LISTENER_LAST: usize = LISTENER - (LISTENERS_MAX - 1);

const _: () = assert!(
    LISTENERS_MAX < (u32::MAX - Slab::<Conn>::SLOTS_MAX) as usize,
    "no connection's token is a listener's"
);

pub(crate) struct Reactor {
    poll: Poll,
    clock: Clock,
    now: Time,
    config: Config,
    /// None once the daemon stops.
    accepting: Vec<Accepting>,
    /// Others may have accepted for this worker.
    newcomers_wait: bool,
    admission: Arc<Admission>,
    crew: Arc<Crew>,
    /// Of all workers, this one.
    number: usize,
    service: Service,
    deflate: Contexts,
    stop: Stop,
    draining: Draining,
    conns: Slab<Conn>,
    wheel: Wheel,
    /// Connections whose next turn waits for nothing: their edge is used up, their socket is not.
    ready: Vec<ConnId>,
    /// Those of them that say more than fits a turn, in the order of their turns: for some time, then it is the
    /// others' turn again.
    busy: VecDeque<ConnId>,
    receive_buffer: Box<[u8]>,
    replies: Vec<u8>,
    deliveries: Deliveries,
    metrics: Arc<metrics::Worker>,
    /// Everybody's.
    all_metrics: Arc<Metrics>,
    refusals: Refusals,
    warnings: Warnings,
    spare: Spare,
}

/// What a reactor is made of, beside its poller.
pub(crate) struct Parts {
    /// At most [`LISTENERS_MAX`].
    pub(crate) listeners: Vec<Listener>,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) admission: Arc<Admission>,
    pub(crate) crew: Arc<Crew>,
    /// Of all workers, this one.
    pub(crate) number: usize,
    pub(crate) service: Service,
    pub(crate) stop: Stop,
    /// Of all workers: what it counts into, nobody else does.
    pub(crate) metrics: Arc<Metrics>,
    /// Of all workers one, if the service has an engine.
    pub(crate) keeps_engine: bool,
}

impl Reactor {
    pub(crate) fn new(poll: Poll, parts: Parts) -> io::Result<Self> {
        let mut accepting = Vec::new();
        for (n, mut listener) in parts.listeners.into_iter().enumerate() {
            listener.register(poll.registry(), Token(LISTENER - n))?;
            accepting.push(Accepting::new(listener));
        }
        let now = parts.clock.read();
        // An echo has neither: what is due and never done would keep the worker awake.
        let (upkeep_at, check_at) = match &parts.service {
            Service::Echo => (None, Time::NEVER),
            Service::Push(_) => (parts.keeps_engine.then_some(now), now + CHECK_INTERVAL),
        };
        Ok(Self {
            now,
            poll,
            clock: parts.clock,
            deflate: Contexts::new(parts.config.deflate.as_ref(), Arc::clone(&parts.admission)),
            config: parts.config,
            accepting,
            newcomers_wait: false,
            admission: parts.admission,
            crew: parts.crew,
            number: parts.number,
            service: parts.service,
            stop: parts.stop,
            draining: Draining::No,
            conns: Slab::new(),
            wheel: Wheel::new(),
            ready: Vec::new(),
            busy: VecDeque::new(),
            receive_buffer: vec![0; RECEIVE_BUFFER_BYTES].into(),
            replies: Vec::new(),
            deliveries: Deliveries::new(upkeep_at, check_at),
            metrics: parts.metrics.worker(parts.number),
            all_metrics: parts.metrics,
            refusals: Refusals::default(),
            warnings: Warnings::default(),
            spare: Spare::new(),
        })
    }

    /// Serves until a stop is requested and every connection is gone. Out: when it would have ended in any case.
    pub(crate) fn run(mut self) -> io::Result<Time> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        let (mut turns, mut expired) = (Vec::new(), Vec::new());
        self.deliver(); // an inbox that was never drained would not wake us
        while !self.is_finished() {
            match self.wait(&mut events) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let moment = self.clock.moment();
            self.now = moment.time();
            if let Service::Push(push) = &mut self.service {
                push.rouse(moment);
            }
            for event in &events {
                match event.token() {
                    WAKER => {
                        self.newcomers_wait = true;
                        self.stop_if_requested();
                    }
                    Token(listener @ LISTENER_LAST..=LISTENER) => {
                        if let Some(accepting) = self.accepting.get_mut(LISTENER - listener) {
                            accepting.on_edge();
                        }
                    }
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
            self.hear_the_busy();
            self.wheel.expire(self.now, &mut expired);
            for slot in expired.drain(..) {
                if let Some(id) = self.conns.id_at(slot) {
                    self.turn(id, Conn::on_deadline);
                }
            }
            self.accept();
            self.deliver();
            self.drain();
            self.count_turn(moment);
        }
        Ok(self.draining.ends_at().unwrap_or(self.now))
    }

    /// Turns of those that say much, as many as there is time for. Whoever is left is the first next time.
    fn hear_the_busy(&mut self) {
        if self.busy.is_empty() {
            return;
        }
        let begins_at = self.clock.moment();
        for _ in 0..self.busy.len() {
            let Some(id) = self.busy.pop_front() else {
                return;
            };
            self.turn(id, Conn::on_ready);
            self.deliver_if_crowded();
            if self.clock.moment().micros_since(begins_at) >= BUSY_TURNS_MICROS_MAX {
                return;
            }
        }
    }

    /// A turn of the loop ends, that began at `moment`.
    fn count_turn(&mut self, moment: Moment) {
        self.warnings.log(&self.metrics, self.now);
        if self.config.deflate.is_some() {
            self.deflate.tell();
            self.metrics.has_contexts(self.deflate.sums());
        }
        if let Service::Push(push) = &self.service {
            push.count_subscriptions();
            self.metrics.events_lost.set(self.deliveries.events_lost());
            let now = self.clock.moment();
            self.metrics.turns.observe(now.micros_since(moment));
        }
    }

    fn is_finished(&self) -> bool {
        self.draining.is_over(self.conns.len(), self.now)
    }

    /// Waits for news, or for the next deadline; not at all if a turn is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let is_due = !self.ready.is_empty()
            || !self.busy.is_empty()
            || self.deliveries.are_left
            || self.newcomers_wait;
        let mut accept = Time::NEVER;
        let mut may_accept = false;
        for accepting in &self.accepting {
            match accepting.state {
                AcceptState::PausedUntil(at) => accept = accept.min(at),
                AcceptState::Ready => may_accept = true,
                AcceptState::WaitsForEdge => {}
            }
        }
        if is_due || may_accept {
            return self.poll.poll(events, Some(Duration::ZERO));
        }
        let end = self.draining.next();
        let upkeep = self.deliveries.upkeep_at.unwrap_or(Time::NEVER);
        let next = self
            .wheel
            .next()
            .min(accept)
            .min(end)
            .min(upkeep)
            .min(self.deliveries.check_at);
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
            deflate: &mut self.deflate,
            config: &self.config,
            metrics: &self.metrics,
            admission: &self.admission,
            all_metrics: &self.all_metrics,
            id,
            now: self.now,
            notes: Notes::default(),
        };
        let before = conn.load();
        let fate = turn(conn, &mut cx);
        let notes = cx.notes;
        let after = conn.load();
        if before != after {
            self.metrics.changes(before, after);
        }
        if notes != Notes::default() {
            self.refusals.note(id, conn, notes, &self.metrics, self.now);
        }
        match fate {
            Fate::Wait => {}
            Fate::Again if conn.is_busy() => self.busy.push_back(id),
            Fate::Again => self.ready.push(id),
            Fate::Gone(why) => return self.remove(id, &why),
            Fate::HandOver => return self.hand_over(id),
        }
        if let Some(at) = conn.nearer_deadline(&self.config) {
            self.wheel.arm(id.slot(), at);
        }
    }

    fn remove(&mut self, id: ConnId, why: &Why) {
        if let Some(conn) = self.conns.get_mut(id)
            && let Some(client) = conn.client()
        {
            tracing::debug!(conn = %id, %client, "closed: {why}");
        } else {
            tracing::debug!(conn = %id, "closed: {why}");
        }
        self.wheel.disarm(id.slot());
        // Closing the descriptor takes it out of the poller.
        if let Some(mut conn) = self.conns.remove(id) {
            conn.count_end(why, &self.metrics);
            if let Some(access) = conn.access() {
                access.log_end(id, self.now);
            }
            if conn.is_subscriber() {
                self.service.leave(id, conn.info(), self.now);
            }
        }
        self.admission.leave();
        self.crew.leave(self.number);
        self.resume_accepting();
    }

    /// A connection whose request is plain HTTP.
    fn hand_over(&mut self, id: ConnId) {
        let (Service::Push(push), Some(conn)) = (&self.service, self.conns.remove(id)) else {
            return;
        };
        self.wheel.disarm(id.slot());
        self.metrics.leaves(conn.load());
        self.crew.leave(self.number);
        let client = conn.client();
        let (transport, received, holding) = conn.into_parts();
        let place = Place::of_admitted(&self.admission, holding);
        let refused = match transport.into_socket(self.poll.registry()) {
            Ok((socket, tls)) => push.hand_over(Handover {
                socket,
                tls,
                received,
                client,
                place,
            }),
            Err(error) => {
                tracing::debug!(conn = %id, "not handed over: {error}");
                return self.resume_accepting();
            }
        };
        match refused {
            Ok(()) => tracing::debug!(conn = %id, "handed over"),
            Err(handover) => {
                self.metrics.answers(Status::UNAVAILABLE);
                handover.refuse();
                self.resume_accepting();
            }
        }
    }
}
