//! The churn scenario: connections that come and go. In: so many slots, each of which connects, is
//! upgraded, has some messages echoed if asked to, closes and connects again. Out: handshakes, and how
//! long each of their steps took.
//!
//! Closed loop: a slot connects again as soon as its connection is closed, so there are always as many
//! on their way. Open loop: connections have their times, whatever the server does; when no slot is free
//! they wait, and their time runs on. What was due before the end and still waits then is begun after it;
//! what has found no slot when the timeout has passed as well is a fault of class `timeout` each. So a
//! stall at the end is not left out: here those handshakes count that were due in the measured time, in a
//! closed loop those that ended in it.
//!
//! A handshake lasts from just before the socket is made, or from when it should have been (open loop),
//! to just after the receive call that brings the 101; messages have the echo scenario's latency. A slot
//! whose connection failed rests for [`REST`], so that a server that is gone is not stormed.
//!
//! This side begins the closing handshake and the server closes the socket first (RFC 6455 §7.1.1): so
//! TIME_WAIT is the server's. Where the server leaves that to its clients, ports can run out, and that is
//! a fault of class `connect` which says so.
//!
//! Never: prints, touches a socket.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::echo::{Echo, EchoWorker};
use super::pace::{Arrivals, Pace};
use super::{Scenario, Schedule, Slots, Worker};
use crate::client::{Clients, Handler, Opening, Outbox, Piece, Route};
use crate::clock::Nanos;
use crate::fault::{Fault, FaultClass};
use crate::stats::{Measure, Tally};

/// The time between a connection that failed and the next in its slot.
const REST: Duration = Duration::from_millis(100);

/// What to run.
#[derive(Debug)]
pub(crate) struct Churn {
    /// What each connection has echoed, in a closed loop of depth 1.
    pub(crate) echo: Echo,
    /// So many messages a connection.
    pub(crate) messages: u64,
    /// Connections a second, on all slots together; `None`: as fast as it goes.
    pub(crate) per_second: Option<f64>,
}

impl Scenario for Churn {
    type Worker<'a> = ChurnWorker<'a>;

    fn worker(&self, slots: Slots, mut random: fastrand::Rng) -> io::Result<ChurnWorker<'_>> {
        Ok(ChurnWorker {
            churn: self,
            slots,
            echo: self.echo.worker(slots, random.fork())?,
            route: None,
            phases: vec![Phase::Free; slots.count],
            begun: vec![Nanos::default(); slots.count],
            finished: Vec::new(),
            free: VecDeque::new(),
            resting: VecDeque::new(),
            busy: 0,
            pace: None,
            due_until: Nanos::MAX,
            schedule: None,
            is_running: false,
            has_opened: false,
            now: Nanos::default(),
            random,
        })
    }
}

/// The slots of one thread.
pub(crate) struct ChurnWorker<'a> {
    churn: &'a Churn,
    slots: Slots,
    /// Counts for all of it.
    echo: EchoWorker<'a>,
    /// Known with the first connection.
    route: Option<Route>,
    phases: Vec<Phase>,
    /// When each slot's connection was begun, or should have been.
    begun: Vec<Nanos>,
    /// Connections that are to be closed in the next tick.
    finished: Vec<usize>,
    /// Slots that may connect, the longest free in front.
    free: VecDeque<usize>,
    /// Slots whose connection failed, and until when they rest.
    resting: VecDeque<(Nanos, usize)>,
    /// Slots that are connecting or closing.
    busy: usize,
    /// The times of an open loop.
    pace: Option<Pace>,
    /// Those before this are kept.
    due_until: Nanos,
    schedule: Option<Schedule>,
    is_running: bool,
    has_opened: bool,
    /// Of the last tick.
    now: Nanos,
    random: fastrand::Rng,
}

/// What the connection of a slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is none.
    Free,
    Opening,
    Open,
    Closing,
}

impl ChurnWorker<'_> {
    fn enter(&mut self, conn: usize, phase: Phase) {
        let is_busy = |phase| matches!(phase, Phase::Opening | Phase::Closing);
        let before = std::mem::replace(&mut self.phases[conn], phase);
        self.busy += usize::from(is_busy(phase));
        self.busy -= usize::from(is_busy(before));
    }

    /// Has an open connection closed in the next tick.
    fn finish(&mut self, conn: usize) {
        if self.phases[conn] == Phase::Open {
            self.enter(conn, Phase::Closing);
            self.finished.push(conn);
        }
    }

    /// When the next connection of an open loop is due, if another is.
    fn next_due(&self) -> Option<Nanos> {
        let next = self.pace.as_ref()?.next();
        (next < self.due_until).then_some(next)
    }

    /// Takes the time of a connection that is due.
    fn take_due(&mut self, now: Nanos) -> Option<Nanos> {
        if self.pace.is_none() {
            return self.is_running.then_some(now);
        }
        self.next_due()?;
        self.pace.as_mut()?.take_due(now)
    }

    /// Whether connections are still made: those that were due before the end, after it.
    fn is_connecting(&self) -> bool {
        self.is_running || self.next_due().is_some()
    }

    /// Counts the connections that were due before the end and have waited too long after it.
    fn give_up_overdue(&mut self, now: Nanos) {
        let timeout = self.churn.echo.timing.timeout;
        if self.is_running || now < self.due_until.after(timeout) {
            return;
        }
        let mut given_up = 0;
        while self.take_due(now).is_some() {
            given_up += 1;
        }
        if given_up > 0 {
            let detail =
                format_args!("no slot was free for a connection {timeout:?} after the end");
            let fault = Fault::new(FaultClass::Timeout, detail);
            self.echo.tally().faults.add_many(given_up, fault);
        }
    }

    /// Connects the slots that are free and due.
    fn start_due(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        let Some(route) = self.route.clone() else {
            return;
        };
        // Those that fail at once rest: each is looked at once.
        for _ in 0..self.free.len() {
            let Some(intended) = self.take_due(now) else {
                return;
            };
            let Some(conn) = self.free.pop_front() else {
                return;
            };
            if self.pace.is_some() && self.schedule.is_some_and(|s| s.covers(intended)) {
                let lag = now.since(intended);
                self.echo.tally().record(Measure::SendLag, lag);
            }
            self.begun[conn] = intended;
            self.enter(conn, Phase::Opening);
            clients.connect(conn, &route, self);
        }
    }
}

impl Worker for ChurnWorker<'_> {
    fn connect(&mut self, conn: usize, route: &Route, clients: &mut Clients<'_>) {
        if self.route.is_none() {
            self.route = Some(route.clone());
        }
        self.enter(conn, Phase::Opening);
        clients.connect(conn, route, self);
    }

    fn begin(&mut self, schedule: Schedule, now: Nanos, clients: &mut Clients<'_>) {
        self.schedule = Some(schedule);
        self.is_running = true;
        self.due_until = schedule.until;
        self.echo.start(schedule, now);
        if let Some(per_second) = self.churn.per_second {
            let share = self.slots.count as f64 / self.slots.total as f64;
            let random = self.random.fork();
            self.pace = Some(Pace::new(
                Arrivals::Constant,
                per_second * share,
                schedule.start,
                random,
            ));
        }
        for conn in 0..self.slots.count {
            clients.refill(conn, self);
        }
    }

    fn tick(&mut self, now: Nanos, clients: &mut Clients<'_>) -> Nanos {
        self.now = now;
        // What was not answered in time is counted; its connection has nothing more to wait for.
        for conn in self.echo.expire(now) {
            self.finish(conn);
        }
        while let Some(conn) = self.finished.pop() {
            clients.close(conn, self);
        }
        while let Some(&(until, conn)) = self.resting.front()
            && until <= now
        {
            self.resting.pop_front();
            self.free.push_back(conn);
        }
        self.give_up_overdue(now);
        if !self.is_connecting() {
            return self.echo.next_expiry();
        }
        self.start_due(now, clients);
        let next_rested = self.resting.front().map_or(Nanos::MAX, |&(until, _)| until);
        let next_start = match self.next_due() {
            Some(next) if !self.free.is_empty() => next,
            _ => Nanos::MAX,
        };
        next_start.min(next_rested).min(self.echo.next_expiry())
    }

    fn end(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        self.is_running = false;
        self.due_until = if self.is_over(clients) {
            Nanos::default()
        } else {
            self.due_until.min(now)
        };
    }

    fn is_drained(&self) -> bool {
        self.busy == 0 && self.next_due().is_none() && self.echo.is_drained()
    }

    /// Connections come back, unless there never was one.
    fn is_over(&self, clients: &Clients<'_>) -> bool {
        !self.has_opened && clients.live() == 0
    }

    fn tally(&mut self) -> &mut Tally {
        self.echo.tally()
    }
}

impl Handler for ChurnWorker<'_> {
    fn opened(&mut self, conn: usize, opening: &Opening) {
        self.has_opened = true;
        self.enter(conn, Phase::Open);
        self.echo.opened(conn, opening);
        let (begun, counts_at) = match self.pace {
            Some(_) => (self.begun[conn], self.begun[conn]),
            None => (opening.started, opening.opened),
        };
        if self.schedule.is_some_and(|s| s.covers(counts_at)) {
            opening.record_in(self.echo.tally(), begun);
        }
    }

    fn data(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>) {
        self.echo.data(conn, now, piece);
    }

    fn refill(&mut self, conn: usize, now: Nanos, out: &mut Outbox) {
        if !self.is_connecting() {
            return;
        }
        if self.echo.sent(conn) < self.churn.messages {
            self.echo.refill(conn, now, out);
        } else if self.echo.is_settled(conn) {
            self.finish(conn);
        }
    }

    fn closed(&mut self, conn: usize, _now: Nanos) {
        self.enter(conn, Phase::Free);
        self.echo.forget(conn);
        self.free.push_back(conn);
    }

    fn lost(&mut self, conn: usize, fault: Fault) {
        self.enter(conn, Phase::Free);
        self.echo.lost(conn, fault);
        self.resting.push_back((self.now.after(REST), conn));
    }
}
