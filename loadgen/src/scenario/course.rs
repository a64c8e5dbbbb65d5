//! The course of every run, on one thread. In: a [`Worker`] and its connections. Out: its counts.
//!
//! All connections are made, then all threads start at one time: warm-up, measurement, and then,
//! nothing new being sent, what is still on its way is waited for, so that nothing is lost unseen.
//!
//! Never: knows a scenario.

use std::io;
use std::time::Duration;

use super::crew::{Crew, Gauge};
use super::{Course, Schedule, Slots, Worker};
use crate::client::Clients;
use crate::clock::{Nanos, nanos, thread_cpu};
use crate::stats::{Measure, Tally};

/// Connections that one thread makes at the same time.
const OPENING_MAX: usize = 128;

/// The longest wait in the kernel, so that Ctrl-C and timeouts are noticed.
const TICK: Duration = Duration::from_millis(50);

/// The wait in the kernel while other threads are not ready.
const START_TICK: Duration = Duration::from_millis(1);

/// What a thread brings home.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) tally: Tally,
    /// When it stopped to measure.
    pub(super) ended: Nanos,
}

/// A worker on its way through a run.
pub(super) struct Leg<'a, W> {
    pub(super) worker: W,
    pub(super) clients: Clients<'a>,
    pub(super) slots: Slots,
    pub(super) course: &'a Course,
    pub(super) crew: &'a Crew,
    pub(super) gauge: &'a Gauge,
}

impl<W: Worker> Leg<'_, W> {
    /// Goes the whole way; calls `ready` when every connection is open or has failed.
    pub(super) fn go(mut self, ready: &dyn Fn()) -> io::Result<Share> {
        self.open()?;
        ready();
        let mut ended = self.crew.clock.now();
        if let Some(schedule) = self.await_schedule()? {
            self.worker
                .begin(schedule, self.crew.clock.now(), &mut self.clients);
            self.run_until(schedule.from, None)?;
            let (began, cpu_before) = (self.crew.clock.now(), thread_cpu());
            ended = self.run_until(schedule.until, Some(schedule))?;
            let tally = self.worker.tally();
            tally.cpu = thread_cpu().saturating_sub(cpu_before);
            tally.cpu_span = ended.duration_since(began);
            self.worker.end(ended, &mut self.clients);
            self.drain()?;
        }
        self.worker.finish();
        self.clients.close_all();
        let mut tally = std::mem::take(self.worker.tally());
        tally.deflate = self.clients.savings();
        Ok(Share { tally, ended })
    }

    /// Makes all connections, each not before its time; comes back when each is open and ready, or has
    /// failed.
    fn open(&mut self) -> io::Result<()> {
        let started = self.crew.clock.now();
        let mut begun = 0;
        while !self.crew.is_stopped() {
            let now = self.crew.clock.now();
            let is_ready = self.worker.is_ready(now, &mut self.clients);
            if begun == self.slots.count && self.clients.opening() == 0 && is_ready {
                break;
            }
            let mut due = now;
            while begun < self.slots.count && self.clients.opening() < OPENING_MAX {
                due = started.after(self.ramp_of(begun));
                if due > now {
                    break;
                }
                let route = self.course.dial.route();
                self.worker.connect(begun, route, &mut self.clients);
                begun += 1;
            }
            let wait = if due > now {
                due.duration_since(now)
            } else {
                TICK
            };
            self.turn(wait.min(TICK).min(self.course.timing.timeout))?;
        }
        Ok(())
    }

    /// How long after the start connection `conn` is begun.
    fn ramp_of(&self, conn: usize) -> Duration {
        let number = (self.slots.first + conn) as f64;
        self.course.ramp.mul_f64(number / self.slots.total as f64)
    }

    /// Waits for the other threads; `None` when the run ended before it began.
    fn await_schedule(&mut self) -> io::Result<Option<Schedule>> {
        loop {
            let schedule = self.crew.schedule();
            if schedule.is_some() || self.crew.is_stopped() {
                return Ok(schedule);
            }
            self.turn(START_TICK)?;
        }
    }

    /// Keeps the load up until `mark`, Ctrl-C or the loss of what it is put on; tells the time.
    fn run_until(&mut self, mark: Nanos, measured: Option<Schedule>) -> io::Result<Nanos> {
        let mut now = self.crew.clock.now();
        while now < mark && !self.worker.is_over(&self.clients) && !self.crew.is_stopped() {
            let due = self.worker.tick(now, &mut self.clients);
            now = self.turn_until(now, mark.min(due))?;
            if let Some(lag) = self.clients.lag_ns()
                && measured.is_some()
            {
                self.worker.tally().record(Measure::LoopLag, lag);
            }
        }
        Ok(now)
    }

    /// Waits until nothing is waited for any more.
    fn drain(&mut self) -> io::Result<()> {
        let mut now = self.crew.clock.now();
        while !self.worker.is_drained() && !self.crew.is_stopped() {
            let due = self.worker.tick(now, &mut self.clients);
            now = self.turn_until(now, due)?;
        }
        Ok(())
    }

    /// One turn of the clients.
    fn turn(&mut self, wait: Duration) -> io::Result<Nanos> {
        let now = self.clients.turn(wait, &mut self.worker)?;
        self.after_turn(now);
        Ok(now)
    }

    /// The same, but back on time if something is due before the usual wait is over.
    fn turn_until(&mut self, now: Nanos, due: Nanos) -> io::Result<Nanos> {
        if due >= now.after(TICK) {
            return self.turn(TICK);
        }
        let now = self.clients.turn_until(due, &mut self.worker)?;
        self.after_turn(now);
        Ok(now)
    }

    /// What comes with every turn.
    fn after_turn(&mut self, now: Nanos) {
        let timeout = self.course.timing.timeout;
        self.clients.expire(now, timeout, &mut self.worker);
        let tally = self.worker.tally();
        self.gauge.show(
            self.clients.live() - self.clients.opening(),
            tally.count(self.course.counted),
            tally.faults.total(),
        );
    }
}

/// The time between two looks at messages that may be overdue: timeouts are kept within a tenth.
pub(super) fn expiry_interval_ns(timeout: Duration) -> u64 {
    nanos(timeout) / 10
}
