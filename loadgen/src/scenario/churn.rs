//! The churn scenario: connections that come and go. In: so many slots, each of which connects, is
//! upgraded, has some messages echoed if asked to, closes and connects again. Out: handshakes, and how
//! long each of their steps took.
//!
//! Closed loop: a slot connects again as soon as its connection is closed, so there are always as many
//! on their way. Open loop: connections have their times, whatever the server does; when no slot is free
//! they wait, and their time runs on. A handshake lasts from just before the socket is made, or from when
//! it should have been (open loop), to just after the receive call that brings the 101; messages have
//! the echo scenario's latency. A slot whose connection failed rests for [`REST`], so that a server that is gone is not stormed.
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
use crate::fault::Fault;
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

    /// Connects the slots that are free and due.
    fn start_due(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        let Some(route) = self.route.clone() else {
            return;
        };
        // Those that fail at once rest: each is looked at once.
        for _ in 0..self.free.len() {
            let intended = match &mut self.pace {
                None => now,
                Some(pace) => match pace.take_due(now) {
                    None => return,
                    Some(intended) => intended,
                },
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
        self.echo.start(schedule, now);
        if let Some(per_second) = self.churn.per_second {
            let share = self.slots.count as f64 / self.slots.total as f64;
            let random = self.random.fork();
            self.pace = Some(Pace::new(
                Arrivals::Constant,
                per_second * share,
                now,
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
        if !self.is_running {
            return self.echo.next_expiry();
        }
        self.start_due(now, clients);
        let next_rested = self.resting.front().map_or(Nanos::MAX, |&(until, _)| until);
        let next_start = match &self.pace {
            Some(pace) if !self.free.is_empty() => pace.next(),
            _ => Nanos::MAX,
        };
        next_start.min(next_rested).min(self.echo.next_expiry())
    }

    fn end(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        self.is_running = false;
        self.echo.end(now, clients);
    }

    fn is_drained(&self) -> bool {
        self.busy == 0 && self.echo.is_drained()
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
        if self.schedule.is_some_and(|s| s.covers(opening.opened)) {
            let begun = match self.pace {
                Some(_) => self.begun[conn],
                None => opening.started,
            };
            opening.record_in(self.echo.tally(), begun);
        }
    }

    fn data(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>) {
        self.echo.data(conn, now, piece);
    }

    fn refill(&mut self, conn: usize, now: Nanos, out: &mut Outbox) {
        if !self.is_running {
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
