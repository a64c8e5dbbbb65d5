//! The storm scenario: all connections are cut at once and come back. In: connections, rounds, and over
//! what time they come back. Out: for each round how long after the cut the first, half, nearly all and
//! the last were back, and what failed on the way.
//!
//! A connection is back with the receive call that brings its 101; the time runs from the moment at
//! which the round's cut was due, on all threads the same. An attempt that fails is counted and made
//! again, after a wait that doubles up to [`BACKOFF_DOUBLINGS`] times and is drawn between its half and
//! one and a half of it. The next round begins a pause after the last connection is back. The run ends
//! with the last round, or with its time; a connection that is not back by then is a fault of class
//! `timeout`, unless its last attempt still fails or succeeds.
//!
//! Never: prints, touches a socket.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::{Scenario, Schedule, Slots, Worker};
use crate::client::{Clients, Handler, Opening, Outbox, Piece, Route};
use crate::clock::{Nanos, nanos};
use crate::fault::{Fault, FaultClass};
use crate::stats::Tally;

/// How often the wait between two attempts doubles.
const BACKOFF_DOUBLINGS: u32 = 5;

/// Between two looks at whether another thread has brought the last connection back.
const LOOK: Duration = Duration::from_millis(5);

/// What to run.
#[derive(Debug)]
pub(crate) struct Storm {
    plan: StormPlan,
    rounds: Rounds,
}

/// What the flags say of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StormPlan {
    pub(crate) rounds: usize,
    /// The time over which the connections come back; zero: at once.
    pub(crate) jitter: Duration,
    /// From the last connection's return to the next cut.
    pub(crate) pause: Duration,
    /// The wait after a first failed attempt.
    pub(crate) backoff: Duration,
    /// End with a closing handshake rather than a reset.
    pub(crate) is_polite: bool,
}

impl Storm {
    /// A storm over so many connections, on all threads.
    pub(crate) fn new(plan: StormPlan, connections: usize) -> Self {
        Self {
            plan,
            rounds: Rounds {
                connections,
                current: AtomicUsize::new(0),
                cut_at: AtomicU64::new(u64::MAX),
                missing: AtomicUsize::new(connections),
                has_opened: AtomicBool::new(false),
            },
        }
    }
}

/// How far the storm is, for all threads.
#[derive(Debug)]
struct Rounds {
    connections: usize,
    /// The round that is under way or waited for, from 0.
    current: AtomicUsize,
    /// When its cut is due.
    cut_at: AtomicU64,
    /// Connections that are not back in it.
    missing: AtomicUsize,
    has_opened: AtomicBool,
}

impl Rounds {
    /// The current round and when its cut is due.
    fn current(&self) -> (usize, Nanos) {
        let current = self.current.load(Ordering::Acquire);
        (current, Nanos(self.cut_at.load(Ordering::Relaxed)))
    }

    /// Every thread says so; none is cut before all have begun, since none of the others' is back.
    fn set_first_cut(&self, at: Nanos) {
        self.cut_at.store(at.0, Ordering::Relaxed);
    }

    /// One is back; the last one lets the next round begin at `next_cut_at`.
    fn note_return(&self, next_cut_at: Nanos) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.missing.store(self.connections, Ordering::Relaxed);
            self.cut_at.store(next_cut_at.0, Ordering::Relaxed);
            self.current.fetch_add(1, Ordering::Release);
        }
    }
}

impl Scenario for Storm {
    type Worker<'a> = StormWorker<'a>;

    fn worker(&self, slots: Slots, random: fastrand::Rng) -> io::Result<StormWorker<'_>> {
        Ok(StormWorker {
            storm: self,
            slots,
            route: None,
            phases: vec![Phase::Away; slots.count],
            failures: vec![0; slots.count],
            due: BinaryHeap::new(),
            dialling: 0,
            round: None,
            cut_at: Nanos::default(),
            schedule: None,
            is_running: false,
            now: Nanos::default(),
            random,
            tally: Tally::default(),
        })
    }
}

/// The connections of one thread.
pub(crate) struct StormWorker<'a> {
    storm: &'a Storm,
    slots: Slots,
    /// Known with the first connection.
    route: Option<Route>,
    phases: Vec<Phase>,
    /// Attempts of the current round that failed.
    failures: Vec<u32>,
    /// When which connection is to be tried.
    due: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// Connections that are being made.
    dialling: usize,
    /// The last round that this thread has begun.
    round: Option<usize>,
    /// When that one's cut was due.
    cut_at: Nanos,
    schedule: Option<Schedule>,
    is_running: bool,
    /// Of the last tick.
    now: Nanos,
    random: fastrand::Rng,
    tally: Tally,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It is gone, and nobody waits for it before the next round.
    Away,
    Open,
    /// Its closing handshake is under way.
    Leaving,
    /// It is to come back, and waits for its time.
    Due,
    /// It is being made.
    Dialling,
}

impl StormWorker<'_> {
    fn enter(&mut self, conn: usize, phase: Phase) {
        let before = std::mem::replace(&mut self.phases[conn], phase);
        self.dialling += usize::from(phase == Phase::Dialling);
        self.dialling -= usize::from(before == Phase::Dialling);
    }

    /// Begins the current round if its time has come.
    fn cut_if_due(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        let (current, cut_at) = self.storm.rounds.current();
        let is_next = self.round.is_none_or(|round| round < current);
        if !is_next || current >= self.storm.plan.rounds || now < cut_at {
            return;
        }
        (self.round, self.cut_at) = (Some(current), cut_at);
        self.tally.rounds.begin(current);
        self.failures.fill(0);
        for conn in 0..self.slots.count {
            if self.storm.plan.is_polite && clients.is_open(conn) {
                self.enter(conn, Phase::Leaving);
                clients.close(conn, self);
            } else {
                clients.cut(conn);
                self.plan_return(conn);
            }
        }
    }

    /// Has a connection that was cut come back, after its share of the jitter.
    fn plan_return(&mut self, conn: usize) {
        let jitter = self.storm.plan.jitter.mul_f64(self.random.f64());
        self.plan_attempt(conn, self.cut_at.after(jitter));
    }

    fn plan_attempt(&mut self, conn: usize, at: Nanos) {
        self.enter(conn, Phase::Due);
        self.due.push(Reverse((at, conn)));
    }

    fn dial_due(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        let Some(route) = self.route.clone() else {
            return;
        };
        while let Some(&Reverse((at, conn))) = self.due.peek()
            && at <= now
        {
            self.due.pop();
            self.enter(conn, Phase::Dialling);
            clients.connect(conn, &route, self);
        }
    }

    /// The wait after another failed attempt.
    fn backoff(&mut self, conn: usize) -> Duration {
        let doublings = self.failures[conn].min(BACKOFF_DOUBLINGS);
        self.failures[conn] += 1;
        let wait = self.storm.plan.backoff * (1 << doublings);
        wait.mul_f64(0.5 + self.random.f64())
    }
}

impl Worker for StormWorker<'_> {
    fn connect(&mut self, conn: usize, route: &Route, clients: &mut Clients<'_>) {
        if self.route.is_none() {
            self.route = Some(route.clone());
        }
        self.enter(conn, Phase::Dialling);
        clients.connect(conn, route, self);
    }

    fn begin(&mut self, schedule: Schedule, _now: Nanos, _clients: &mut Clients<'_>) {
        self.schedule = Some(schedule);
        self.is_running = true;
        self.storm.rounds.set_first_cut(schedule.from);
    }

    fn tick(&mut self, now: Nanos, clients: &mut Clients<'_>) -> Nanos {
        self.now = now;
        if !self.is_running {
            return Nanos::MAX;
        }
        self.cut_if_due(now, clients);
        self.dial_due(now, clients);
        let next = self.due.peek().map_or(Nanos::MAX, |&Reverse((at, _))| at);
        next.min(now.after(LOOK))
    }

    fn end(&mut self, now: Nanos, _clients: &mut Clients<'_>) {
        self.is_running = false;
        // An interrupted storm has lost nothing: nobody waited for those that are away.
        if self.schedule.is_none_or(|schedule| now < schedule.until) {
            return;
        }
        for conn in 0..self.slots.count {
            if matches!(self.phases[conn], Phase::Due | Phase::Leaving) {
                let fault = Fault::new(FaultClass::Timeout, "it was not back in time");
                self.slots.count_fault(&mut self.tally, conn, &fault);
                self.enter(conn, Phase::Away);
            }
        }
    }

    fn is_drained(&self) -> bool {
        self.dialling == 0
    }

    /// After the last round, or when there never was a connection.
    fn is_over(&self, clients: &Clients<'_>) -> bool {
        let rounds = &self.storm.rounds;
        let never_opened = !rounds.has_opened.load(Ordering::Relaxed) && clients.live() == 0;
        never_opened || rounds.current().0 >= self.storm.plan.rounds
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

impl Handler for StormWorker<'_> {
    fn opened(&mut self, conn: usize, opening: &Opening) {
        self.storm.rounds.has_opened.store(true, Ordering::Relaxed);
        self.enter(conn, Phase::Open);
        if let Some(round) = self.round {
            let opened = opening.opened;
            opening.record_in(&mut self.tally, opening.started);
            self.tally.rounds.add(round, opened.since(self.cut_at));
            let next_cut = opened.0.saturating_add(nanos(self.storm.plan.pause));
            self.storm.rounds.note_return(Nanos(next_cut));
        }
    }

    fn data(&mut self, _conn: usize, _now: Nanos, _piece: &Piece<'_>) {}

    fn refill(&mut self, _conn: usize, _now: Nanos, _out: &mut Outbox) {}

    fn closed(&mut self, conn: usize, _now: Nanos) {
        self.plan_return(conn);
    }

    fn lost(&mut self, conn: usize, fault: Fault) {
        self.slots.count_fault(&mut self.tally, conn, &fault);
        match (self.phases[conn], self.round) {
            (Phase::Dialling, Some(round)) => {
                self.tally.rounds.add_failure(round);
                let wait = self.backoff(conn);
                self.plan_attempt(conn, self.now.after(wait));
            }
            (Phase::Leaving, _) => self.plan_return(conn),
            _ => self.enter(conn, Phase::Away),
        }
    }
}
