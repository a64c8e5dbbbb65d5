//! One thread of a fan-out run. In: its connections, subscribers and then publishers, and when to publish.
//! Out: publications, at their times, and the wait for the last deliveries; what arrives goes to the
//! [`Audience`], those that come and go to `returns`.
//!
//! Never: looks at a payload.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::audience::Audience;
use super::bursts::Bursts;
use super::centrifuge::{Answers, Members};
use super::cuts::Cuts;
use super::post::{Post, Poster};
use super::stalled::{self, Stalled};
use super::wait::Wait;
use super::{Fanout, narrow};
use crate::client::{Clients, Handler, Opening, Outbox, Piece, Route};
use crate::clock::Nanos;
use crate::fault::{Fault, FaultClass};
use crate::payload::Stamp;
use crate::scenario::{Schedule, Slots, Worker};
use crate::stats::{Counter, Measure, Tally};

/// How long servers have to subscribe a connection that they have upgraded.
const SETTLE: Duration = Duration::from_millis(200);

/// The connections of one thread: subscribers, then publishers.
pub(crate) struct FanoutWorker<'a> {
    pub(super) fanout: &'a Fanout,
    pub(super) slots: Slots,
    pub(super) audience: Audience<'a>,
    pub(super) publishers: Vec<Publisher>,
    /// Of each connection, if it speaks the Centrifuge protocol.
    pub(super) members: Members,
    /// Commands that are being written.
    pub(super) scratch: Vec<u8>,
    /// Of each channel, once they are needed.
    pub(super) routes: Vec<Option<Route>>,
    pub(super) cuts: Cuts,
    pub(super) stalled: Stalled,
    bursts: Option<Bursts>,
    /// The publisher that publishes the burst under way.
    publishing: Option<usize>,
    /// The one that publishes the next.
    next_in_turn: usize,
    /// Publishers that have got something to send in this tick.
    touched: Vec<usize>,
    /// The threads that publish over HTTP; the first worker has them.
    posters: Vec<JoinHandle<Tally>>,
    pub(super) wait: Wait,
    /// Of the last tick.
    pub(super) now: Nanos,
    pub(super) random: fastrand::Rng,
    pub(super) tally: Tally,
}

/// A connection that publishes.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    /// It may publish.
    pub(super) is_open: bool,
    /// The intended times of publications that are due.
    pub(super) due: Vec<Nanos>,
    /// What it waits for, if publications are answered.
    pub(super) answers: Answers,
}

impl<'a> FanoutWorker<'a> {
    /// The worker of the thread with the connections of `slots`.
    pub(super) fn new(fanout: &'a Fanout, slots: Slots, mut random: fastrand::Rng) -> Self {
        let subscribers = slots.within(0..fanout.shared.layout.subscribers).len();
        // Over HTTP the server chooses the kind.
        let kind = fanout.post.is_none().then_some(fanout.kind);
        let envelope = fanout.envelope.as_ref();
        let parts = fanout.threads_of_channels();
        let audience = Audience::new(
            &fanout.shared,
            kind,
            envelope,
            slots.first,
            subscribers,
            parts,
        );
        let speakers = fanout.dialect.as_ref().map_or(0, |_| slots.count);
        Self {
            fanout,
            slots,
            members: Members::new(speakers),
            scratch: Vec::new(),
            audience: if fanout.dialect.is_some() {
                audience.with_places()
            } else {
                audience
            },
            publishers: (subscribers..slots.count)
                .map(|_| Publisher::default())
                .collect(),
            routes: Vec::new(),
            stalled: Stalled::new(&fanout.shared.layout, slots),
            cuts: Cuts::new(subscribers, random.fork()),
            bursts: None,
            publishing: None,
            next_in_turn: 0,
            touched: Vec::new(),
            posters: Vec::new(),
            wait: Wait::NotYet,
            now: Nanos::default(),
            random,
            tally: Tally::default(),
        }
    }
}

impl FanoutWorker<'_> {
    /// Gives out the publications whose time has come, to the open publishers in turn.
    fn send_due(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        while let Some(bursts) = &mut self.bursts
            && let Some(due) = bursts.take_due(now)
        {
            if due.begins_burst {
                self.publishing = self.next_open();
            }
            let Some(at) = self.publishing else {
                break;
            };
            let publisher = &mut self.publishers[at];
            if publisher.due.is_empty() {
                self.touched.push(self.audience.len() + at);
            }
            publisher.due.push(due.intended);
        }
        while let Some(conn) = self.touched.pop() {
            clients.refill(conn, self);
        }
    }

    /// The next open publisher in turn.
    fn next_open(&mut self) -> Option<usize> {
        for _ in 0..self.publishers.len() {
            let at = self.next_in_turn;
            self.next_in_turn = (at + 1) % self.publishers.len();
            if self.publishers[at].is_open {
                return Some(at);
            }
        }
        None
    }

    /// Starts the publishers that post.
    fn start_posters(
        &mut self,
        schedule: Schedule,
        start: Nanos,
        post: &Arc<Post>,
        clients: &Clients<'_>,
    ) {
        let fanout = self.fanout;
        let layout = fanout.shared.layout;
        for number in 0..layout.publishers {
            let share = layout.series_of_publisher(number).len() as f64 / layout.series() as f64;
            let bursts = fanout.bursts(share, start, self.random.fork());
            let shared = Arc::clone(&fanout.shared);
            let poster = Poster::new(shared, Arc::clone(post), number, clients.clock(), bursts);
            let started = thread::Builder::new()
                .name(format!("publisher-{number}"))
                .spawn(move || poster.run(schedule.until));
            match started {
                Ok(thread) => self.posters.push(thread),
                Err(error) => {
                    let detail = format_args!("publisher {number}: no thread: {error}");
                    self.tally
                        .faults
                        .add(Fault::new(FaultClass::Refused, detail));
                }
            }
        }
    }

    /// A connection failed.
    #[cold]
    pub(super) fn count(&mut self, conn: usize, fault: &Fault) {
        self.count_many(1, conn, fault);
    }

    /// The same, so many times.
    #[cold]
    pub(super) fn count_many(&mut self, count: u64, conn: usize, fault: &Fault) {
        let number = self.slots.first + conn;
        let (who, number) = match number.checked_sub(self.fanout.shared.layout.subscribers) {
            None => ("subscriber", number),
            Some(number) => ("publisher", number),
        };
        let detail = format_args!("{who} {number}: {}", fault.detail);
        let fault = Fault::new(fault.class, detail);
        self.tally.faults.add_many(count, fault);
    }

    /// A connection is gone, or no good any more.
    pub(super) fn lose(&mut self, conn: usize, fault: &Fault) {
        match conn.checked_sub(self.audience.len()) {
            None => self.lose_subscriber(conn, fault),
            Some(at) => {
                self.forget_answers(conn);
                self.publishers[at] = Publisher::default();
                self.count(conn, fault);
            }
        }
    }
}

impl Worker for FanoutWorker<'_> {
    fn connect(&mut self, conn: usize, route: &Route, clients: &mut Clients<'_>) {
        let shared = &self.fanout.shared;
        let number = self.slots.first + conn;
        let channel = shared.layout.channel_of_connection(number);
        if self.routes.is_empty() {
            self.routes.resize(shared.layout.channels, None);
        }
        if self.routes[channel].is_none() {
            let path = route
                .as_str()
                .replace("{channel}", &shared.channels[channel]);
            match Route::new(path) {
                Ok(route) => self.routes[channel] = Some(route),
                Err(error) => return self.lost(conn, Fault::new(FaultClass::Handshake, error)),
            }
        }
        let expanded = self.routes[channel].take();
        if let Some(expanded) = &expanded {
            let is_stalled = self.stalled.contains(conn);
            let receive_bytes = is_stalled.then_some(stalled::RECEIVE_BYTES);
            clients.connect_with(conn, expanded, receive_bytes, self);
        }
        self.routes[channel] = expanded;
    }

    fn is_ready(&mut self, now: Nanos, clients: &mut Clients<'_>) -> bool {
        self.expire_members(now, clients);
        self.members.are_settled()
    }

    fn begin(&mut self, schedule: Schedule, now: Nanos, clients: &mut Clients<'_>) {
        let fanout = self.fanout;
        fanout.shared.ledger.begin(schedule);
        let start = now.after(SETTLE).min(schedule.from);
        if !self.publishers.is_empty() {
            let share = self.publishers.len() as f64 / fanout.shared.layout.publishers as f64;
            self.bursts = Some(fanout.bursts(share, start, self.random.fork()));
        }
        self.stalled.limit_read(0, clients);
        let layout = fanout.shared.layout;
        let reading = self.audience.len() - self.stalled.count();
        if let Some(per_second) = fanout.cuts.per_second
            && reading > 0
        {
            let share = reading as f64 / (layout.subscribers - layout.stalled) as f64;
            self.cuts.begin(per_second * share, start);
        }
        if self.slots.first == 0
            && let Some(post) = &fanout.post
        {
            self.start_posters(schedule, start, post, clients);
        }
    }

    fn tick(&mut self, now: Nanos, clients: &mut Clients<'_>) -> Nanos {
        self.now = now;
        self.expire_members(now, clients);
        self.send_due(now, clients);
        self.cut_and_return(now, clients);
        let next_check = self.proceed_to_wait(now, clients);
        let next_send = self.bursts.as_ref().map_or(Nanos::MAX, Bursts::next);
        next_send.min(next_check).min(self.cuts.next())
    }

    fn end(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        let ledger = &self.fanout.shared.ledger;
        // What was due is sent, however late this thread is: a stall of its own must not hide.
        if let Some(schedule) = ledger.schedule() {
            self.send_due(now.min(schedule.until), clients);
        }
        self.bursts = None;
        self.cuts.end(now, |conn| self.audience.is_owed(conn));
        ledger.stop_running();
        self.wait = Wait::ForPublishers { check: now };
    }

    /// Those that are away come back.
    fn is_over(&self, clients: &Clients<'_>) -> bool {
        clients.live() == 0 && self.cuts.away() == 0
    }

    fn is_drained(&self) -> bool {
        self.wait == Wait::Over
    }

    fn finish(&mut self) {
        for poster in self.posters.drain(..) {
            match poster.join() {
                Ok(tally) => self.tally.merge(tally),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        self.count_unanswered();
        self.audience.finish(self.wait.has_ended(), &mut self.tally);
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

impl Handler for FanoutWorker<'_> {
    fn opened(&mut self, conn: usize, opening: &Opening) {
        if self.fanout.dialect.is_some() {
            return self.greet(conn);
        }
        match conn.checked_sub(self.audience.len()) {
            None => self.welcome(conn, opening),
            Some(at) => self.publishers[at].is_open = true,
        }
    }

    #[inline]
    fn data(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>) {
        if let Some(dialect) = &self.fanout.dialect {
            return self.hear(conn, now, dialect, piece);
        }
        // What a publisher gets is nobody's delivery.
        if conn < self.audience.len() && !self.stalled.contains(conn) {
            self.audience.take(conn, now, piece, &mut self.tally);
        }
    }

    fn refill(&mut self, conn: usize, now: Nanos, out: &mut Outbox) {
        if let Some(dialect) = &self.fanout.dialect {
            return self.speak(conn, now, dialect, out);
        }
        let Some(at) = conn.checked_sub(self.audience.len()) else {
            return;
        };
        let shared = &self.fanout.shared;
        let series = self.series_of(conn);
        for intended in self.publishers[at].due.drain(..) {
            let stamp = Stamp {
                series: narrow(series),
                seq: shared.ledger.publish(series),
                intended,
            };
            let (front, filler) = shared.stamps.publication(stamp);
            out.message(self.fanout.kind, &[&front, filler]);
            if shared.is_measured(intended) {
                self.tally.add(Counter::Publications, 1);
                self.tally.record(Measure::SendLag, now.since(intended));
            }
        }
    }

    fn lost(&mut self, conn: usize, fault: Fault) {
        self.forget_conversation(conn);
        self.lose(conn, &fault);
    }
}
