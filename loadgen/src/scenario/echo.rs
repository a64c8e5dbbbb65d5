//! The echo scenario: every message comes back as it was sent. In: connections, messages and when to
//! send them. Out: what was answered, how fast, and what was not.
//!
//! Closed loop: each connection keeps `depth` messages in flight and sends the next when one is
//! answered. So a server that stalls is also asked less, and its stall weighs little in the quantiles.
//! Open loop: messages have their times, whatever the server does, and latency runs from there: a stall
//! weighs as much as users would feel it. Either way it ends just after the receive call that brings
//! the end of the reply.
//!
//! Never: prints, touches a socket.

use std::io;

use super::course::expiry_interval_ns;
pub(crate) use super::pace::Arrivals;
use super::pace::Pace;
use super::window::{Reply, Window};
use super::{Scenario, Schedule, Slots, Timing, Worker};
use crate::client::{Clients, Handler, Opening, Outbox, Piece, Route};
use crate::clock::Nanos;
use crate::fault::{Fault, FaultClass};
use crate::payload::{Comparison, Corpus, Series};
use crate::stats::{Counter, Measure, Tally};

/// What one connection may have in flight in [`Loop::Pressed`]: more than two kernels buffer.
const PRESSED_BYTES_MAX: usize = 16 << 20;

/// How much of that is sent at once.
const PRESSED_BYTES_STEP: usize = 64 << 10;

/// What to run.
#[derive(Debug)]
pub(crate) struct Echo {
    pub(crate) corpus: Corpus,
    pub(crate) carrier: Carrier,
    pub(crate) loop_kind: Loop,
    pub(crate) timing: Timing,
}

/// What carries the payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Messages, which an echo server sends back.
    Messages,
    /// Pings, which every server answers; the payloads have at most 125 bytes.
    Pings,
}

/// When the next message is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loop {
    /// When one is answered: so many in flight on each connection.
    Closed { depth: usize },
    /// At its time: so many a second, on all connections in turn.
    Open { arrivals: Arrivals, per_second: f64 },
    /// Whenever the connection is asked, some more, up to a cap on what is in flight.
    Pressed,
}

impl Loop {
    /// What a connection that has just opened has in flight: nothing.
    fn window(self) -> Window {
        match self {
            Self::Closed { depth } => Window::bounded(depth),
            Self::Open { .. } | Self::Pressed => Window::unbounded(),
        }
    }
}

impl Echo {
    /// Puts message `seq` on its way.
    #[inline]
    fn put(&self, out: &mut Outbox, series: Series, seq: u64) {
        let payload = self.corpus.payload(series, seq);
        match self.carrier {
            Carrier::Messages => out.message(self.corpus.kind(), &payload.parts()),
            Carrier::Pings => out.ping(&payload.parts().concat()),
        }
    }
}

impl Scenario for Echo {
    type Worker<'a> = EchoWorker<'a>;

    fn worker(&self, slots: Slots, mut random: fastrand::Rng) -> io::Result<EchoWorker<'_>> {
        let session = || Session {
            series: self.corpus.series(&mut random),
            window: Window::unbounded(),
            comparison: Comparison::new(true),
            unsent: 0,
            is_open: false,
        };
        Ok(EchoWorker {
            echo: self,
            slots,
            sessions: std::iter::repeat_with(session).take(slots.count).collect(),
            schedule: None,
            is_sending: false,
            pace: None,
            next_in_turn: 0,
            touched: Vec::new(),
            next_expiry: Nanos::MAX,
            random,
            tally: Tally::default(),
        })
    }
}

/// A payload that came in one piece, as a message would.
const fn whole<'p>(corpus: &Corpus, payload: &'p [u8]) -> Piece<'p> {
    Piece {
        kind: corpus.kind(),
        offset: 0,
        data: payload,
        ends_message: true,
    }
}

/// The connections of one thread.
pub(crate) struct EchoWorker<'a> {
    echo: &'a Echo,
    slots: Slots,
    sessions: Vec<Session>,
    /// `None` until all threads are ready.
    schedule: Option<Schedule>,
    /// In a closed loop, from the start, whenever this thread takes notice of it, to the end of the
    /// measurement: so the first windows are sent even in a run that is over at once.
    is_sending: bool,
    /// The times of an open loop.
    pace: Option<Pace>,
    /// The connection that an open loop's next message is for.
    next_in_turn: usize,
    /// Connections that have got something to send in this tick.
    touched: Vec<usize>,
    next_expiry: Nanos,
    random: fastrand::Rng,
    tally: Tally,
}

/// What an echo connection remembers; two cache lines and the times in its window.
#[repr(align(64))]
struct Session {
    series: Series,
    window: Window,
    comparison: Comparison,
    /// Messages at the end of the window that are due and not handed to the socket.
    unsent: u32,
    is_open: bool,
}

const _: () = assert!(size_of::<Session>() <= 128);

impl EchoWorker<'_> {
    /// Gives out the messages whose time has come, to the open connections in turn.
    fn send_due(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        while let Some(pace) = &mut self.pace
            && let Some(intended) = pace.take_due(now)
        {
            let Some(conn) = self.next_open() else {
                break;
            };
            let session = &mut self.sessions[conn];
            session.window.send(intended);
            if session.unsent == 0 {
                self.touched.push(conn);
            }
            session.unsent += 1;
        }
        while let Some(conn) = self.touched.pop() {
            clients.refill(conn, self);
        }
    }

    /// The next open connection in turn.
    fn next_open(&mut self) -> Option<usize> {
        for _ in 0..self.sessions.len() {
            let conn = self.next_in_turn;
            self.next_in_turn = (conn + 1) % self.sessions.len();
            if self.sessions[conn].is_open {
                return Some(conn);
            }
        }
        None
    }

    /// Hands the messages that are due on `conn` to its socket.
    fn send_unsent(&mut self, conn: usize, now: Nanos, out: &mut Outbox) {
        let session = &mut self.sessions[conn];
        let next = session.window.next();
        for seq in next - u64::from(session.unsent)..next {
            self.echo.put(out, session.series, seq);
            let intended = session.window.sent_at(seq);
            if self.schedule.is_some_and(|s| s.covers(intended)) {
                self.tally.record(Measure::SendLag, now.since(intended));
            }
        }
        session.unsent = 0;
    }

    /// Counts messages that have waited too long, if it is time to look; the connections where others
    /// may take their places.
    pub(super) fn expire(&mut self, now: Nanos) -> Vec<usize> {
        let mut freed = Vec::new();
        if now < self.next_expiry {
            return freed;
        }
        self.next_expiry = Nanos(now.0 + expiry_interval_ns(self.echo.timing.timeout));
        let timeout = self.echo.timing.timeout;
        for conn in 0..self.sessions.len() {
            let session = &mut self.sessions[conn];
            let expired = session.window.expire(now, timeout);
            // What was never sent is not sent any more.
            let waiting = u32::try_from(session.window.in_flight()).unwrap_or(u32::MAX);
            session.unsent = session.unsent.min(waiting);
            for _ in 0..expired {
                self.count(
                    conn,
                    FaultClass::Timeout,
                    &format!("no reply in {timeout:?}"),
                );
            }
            if expired > 0 {
                freed.push(conn);
            }
        }
        freed
    }

    /// From here on messages may be sent; the caller asks for them.
    pub(super) fn start(&mut self, schedule: Schedule, now: Nanos) {
        self.schedule = Some(schedule);
        self.is_sending = true;
        self.next_expiry = Nanos(now.0 + expiry_interval_ns(self.echo.timing.timeout));
    }

    /// When to look for overdue messages next.
    pub(super) const fn next_expiry(&self) -> Nanos {
        self.next_expiry
    }

    /// How many messages connection `conn` has sent, or should have, since it opened.
    pub(super) fn sent(&self, conn: usize) -> u64 {
        self.sessions[conn].window.next()
    }

    /// Whether connection `conn` waits for nothing.
    pub(super) fn is_settled(&self, conn: usize) -> bool {
        self.sessions[conn].window.is_empty()
    }

    /// A pong came: it answers the ping that it repeats and, as §5.5.3 has it, those before.
    pub(super) fn answered_at_once(&mut self, conn: usize, now: Nanos, payload: &[u8]) {
        let corpus = &self.echo.corpus;
        let session = &mut self.sessions[conn];
        let series = session.series;
        let Some(expected) = session.window.expected() else {
            if payload.len() == corpus.size_max() {
                self.compare(conn, now, &whole(corpus, payload));
            }
            return;
        };
        let latest =
            (expected..session.window.next()).find(|&seq| corpus.is_message(series, seq, payload));
        let Some(latest) = latest else {
            return self.compare(conn, now, &whole(corpus, payload));
        };
        while let Some(seq) = self.sessions[conn].window.expected()
            && seq <= latest
        {
            let sent_at = self.sessions[conn].window.answer_expected();
            self.answered(sent_at, now, payload.len() as u64);
        }
    }

    /// Forgets a connection that the caller has ended.
    pub(super) fn forget(&mut self, conn: usize) {
        let session = &mut self.sessions[conn];
        session.window = Window::unbounded();
        (session.is_open, session.unsent) = (false, 0);
    }

    #[cold]
    fn count(&mut self, conn: usize, class: FaultClass, what: &str) {
        let fault = Fault::new(class, what);
        self.slots.count_fault(&mut self.tally, conn, &fault);
    }

    #[inline]
    fn answered(&mut self, sent_at: Nanos, now: Nanos, len: u64) {
        // In an open loop what was to be sent is measured, so that a stall at the end is not left out.
        let counts_at = match self.echo.loop_kind {
            Loop::Closed { .. } | Loop::Pressed => now,
            Loop::Open { .. } => sent_at,
        };
        if self.schedule.is_some_and(|s| s.covers(counts_at)) {
            self.tally.add(Counter::Messages, 1);
            self.tally.add(Counter::PayloadBytes, len);
            self.tally.record(Measure::Latency, now.since(sent_at));
        }
    }

    /// The way of a reply that came in pieces, or is not the one expected.
    fn compare(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>) {
        let corpus = &self.echo.corpus;
        let session = &mut self.sessions[conn];
        let series = session.series;
        if piece.offset == 0 {
            let expected = session.window.expected();
            let compares_tail = expected.is_none_or(|seq| corpus.compares_tail(seq));
            session.comparison = Comparison::new(compares_tail);
        }
        let comparison = &mut session.comparison;
        comparison.push(corpus, series, piece.kind, piece.offset, piece.data);
        if !piece.ends_message {
            return;
        }
        let len = piece.offset.saturating_add(piece.data.len() as u64);
        let seq_bits = comparison.finish(corpus, series, len);
        let fits = |seq| corpus.size(series, seq) as u64 == len;
        let fault = match session.window.reply(seq_bits, fits) {
            Reply::Answer(sent_at) => return self.answered(sent_at, now, len),
            Reply::Late => return,
            Reply::Changed => "a reply is not what was sent",
            Reply::Repeated => "a reply came twice",
            Reply::OutOfOrder => "a reply came out of order",
            Reply::Unasked => "a message came that answers nothing",
        };
        self.count(conn, FaultClass::Mismatch, fault);
    }
}

impl Worker for EchoWorker<'_> {
    fn connect(&mut self, conn: usize, route: &Route, clients: &mut Clients<'_>) {
        clients.connect(conn, route, self);
    }

    fn begin(&mut self, schedule: Schedule, now: Nanos, clients: &mut Clients<'_>) {
        self.start(schedule, now);
        match self.echo.loop_kind {
            Loop::Closed { .. } => {
                for conn in 0..self.sessions.len() {
                    if self.sessions[conn].is_open {
                        clients.refill(conn, self);
                    }
                }
            }
            Loop::Open {
                arrivals,
                per_second,
            } => {
                let share = self.slots.count as f64 / self.slots.total as f64;
                let random = self.random.fork();
                self.pace = Some(Pace::new(
                    arrivals,
                    per_second * share,
                    schedule.start,
                    random,
                ));
            }
            Loop::Pressed => {}
        }
    }

    fn tick(&mut self, now: Nanos, clients: &mut Clients<'_>) -> Nanos {
        self.send_due(now, clients);
        for conn in self.expire(now) {
            clients.refill(conn, self);
        }
        let next_send = self.pace.as_ref().map_or(Nanos::MAX, Pace::next);
        next_send.min(self.next_expiry)
    }

    fn end(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        // What was due is sent, however late this thread is: a stall of its own must not hide.
        if let Some(schedule) = self.schedule {
            self.send_due(now.min(schedule.until), clients);
        }
        (self.pace, self.is_sending) = (None, false);
    }

    fn is_drained(&self) -> bool {
        self.sessions.iter().all(|s| s.window.is_empty())
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

impl Handler for EchoWorker<'_> {
    fn opened(&mut self, conn: usize, _opening: &Opening) {
        let session = &mut self.sessions[conn];
        session.window = self.echo.loop_kind.window();
        session.is_open = true;
    }

    #[inline]
    fn data(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>) {
        let corpus = &self.echo.corpus;
        let session = &mut self.sessions[conn];
        if piece.offset == 0
            && piece.ends_message
            && piece.kind == corpus.kind()
            && let Some(seq) = session.window.expected()
            && corpus.is_message(session.series, seq, piece.data)
        {
            let sent_at = session.window.answer_expected();
            self.answered(sent_at, now, piece.data.len() as u64);
        } else {
            self.compare(conn, now, piece);
        }
    }

    #[inline]
    fn refill(&mut self, conn: usize, now: Nanos, out: &mut Outbox) {
        let session = &mut self.sessions[conn];
        match self.echo.loop_kind {
            Loop::Closed { .. } if self.is_sending => {
                for _ in 0..session.window.room() {
                    let seq = session.window.send(now);
                    self.echo.put(out, session.series, seq);
                }
            }
            Loop::Open { .. } => self.send_unsent(conn, now, out),
            Loop::Pressed if self.is_sending => {
                let size = self.echo.corpus.size_max().max(1);
                let in_flight = session.window.next() - session.window.oldest();
                let room = (PRESSED_BYTES_MAX / size).max(1) as u64;
                let more = (PRESSED_BYTES_STEP / size).max(1) as u64;
                for _ in 0..more.min(room.saturating_sub(in_flight)) {
                    let seq = session.window.send(now);
                    self.echo.put(out, session.series, seq);
                }
            }
            Loop::Closed { .. } | Loop::Pressed => {}
        }
    }

    fn lost(&mut self, conn: usize, fault: Fault) {
        self.forget(conn);
        self.count(conn, fault.class, &fault.detail);
    }
}
