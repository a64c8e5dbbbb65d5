//! What a run does. In: a [`Scenario`], connections and times. Out: what all threads counted.
//!
//! A scenario says what one thread does with its connections (a [`Worker`]); `course` leads every
//! worker through the same run, `crew` starts the threads and brings their counts together.
//!
//! Never: opens a socket, prints.

pub(crate) mod churn;
mod course;
mod crew;
pub(crate) mod echo;
pub(crate) mod fanout;
mod pace;
pub(crate) mod ping;
pub(crate) mod receive;
pub(crate) mod slow;
pub(crate) mod storm;
mod window;

use std::io;
use std::ops::Range;
use std::time::Duration;

use crate::client::{Clients, Dial, Handler, Opening, Route};
use crate::clock::Nanos;
use crate::fault::Fault;
use crate::stats::{Counter, Measure, Tally};
pub(crate) use crew::{Crew, Outcome, Phase, Progress, os_seeded, run};

/// A way to put load on a server.
pub(crate) trait Scenario: Sync {
    /// What each thread does.
    type Worker<'a>: Worker
    where
        Self: 'a;

    /// The worker of the thread that has these connections.
    ///
    /// # Errors
    ///
    /// When the OS gives no random bytes.
    fn worker(&self, slots: Slots, random: fastrand::Rng) -> io::Result<Self::Worker<'_>>;
}

/// One thread's part of a scenario. The course calls, in this order: [`connect`](Self::connect) for
/// every connection, [`is_ready`](Self::is_ready), [`begin`](Self::begin) once all threads are ready, [`tick`](Self::tick) again and
/// again, [`end`](Self::end) when the time is over, `tick` until [`is_drained`](Self::is_drained), and
/// [`finish`](Self::finish).
/// What arrives meanwhile comes through [`Handler`].
pub(crate) trait Worker: Handler {
    /// Starts to make connection `conn`; `route` is the URL's.
    fn connect(&mut self, conn: usize, route: &Route, clients: &mut Clients<'_>);

    /// Whether the connections that are open are all ready for the load; asked again and again once they
    /// are made, and until they are.
    fn is_ready(&mut self, _now: Nanos, _clients: &mut Clients<'_>) -> bool {
        true
    }

    /// The load begins.
    fn begin(&mut self, schedule: Schedule, now: Nanos, clients: &mut Clients<'_>);

    /// Does what is due at `now`, and tells when it next has something to do.
    fn tick(&mut self, now: Nanos, clients: &mut Clients<'_>) -> Nanos;

    /// From here on nothing new is sent.
    fn end(&mut self, now: Nanos, clients: &mut Clients<'_>);

    /// Whether nothing is waited for any more. Ticks see to it that this comes true.
    fn is_drained(&self) -> bool;

    /// The run is over: nothing more arrives.
    fn finish(&mut self) {}

    /// Whether there is nothing left to put load on.
    fn is_over(&self, clients: &Clients<'_>) -> bool {
        clients.live() == 0
    }

    /// What it has counted.
    fn tally(&mut self) -> &mut Tally;
}

impl Opening {
    /// Counts a handshake that was begun, or should have been, at `begun`, and how long its steps took.
    fn record_in(&self, tally: &mut Tally, begun: Nanos) {
        tally.add(Counter::Handshakes, 1);
        for (measure, from, to) in [
            (Measure::Handshake, begun, self.opened),
            (Measure::Connect, self.started, self.connected),
            (Measure::Tls, self.connected, self.secured),
            (Measure::Upgrade, self.secured, self.opened),
        ] {
            // Without TLS that step takes no time, which is no measurement.
            if measure != Measure::Tls || to > from {
                tally.record(measure, to.since(from));
            }
        }
    }
}

/// The connections of one thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    /// The number, in the whole run, of this thread's connection 0.
    pub(crate) first: usize,
    /// How many this thread has.
    pub(crate) count: usize,
    /// How many the run has.
    pub(crate) total: usize,
}

impl Slots {
    /// The part of `total` connections that thread `thread` of `threads` has.
    const fn of_thread(thread: usize, threads: usize, total: usize) -> Self {
        let first = total * thread / threads;
        Self {
            first,
            count: total * (thread + 1) / threads - first,
            total,
        }
    }

    /// Counts a fault of this thread's connection `conn`.
    #[cold]
    fn count_fault(self, tally: &mut Tally, conn: usize, fault: &Fault) {
        let number = self.first + conn;
        let detail = format_args!("connection {number}: {}", fault.detail);
        tally.faults.add(Fault::new(fault.class, detail));
    }

    /// Those connections of `group`, numbers in the whole run, that this thread has, as its own numbers.
    pub(crate) fn within(&self, group: Range<usize>) -> Range<usize> {
        let local = |number: usize| number.clamp(self.first, self.first + self.count) - self.first;
        local(group.start)..local(group.end)
    }
}

/// How a run is led, whatever its scenario.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) dial: Dial,
    /// In all.
    pub(crate) connections: usize,
    /// What is shown while the run lasts.
    pub(crate) counted: Counter,
    pub(crate) threads: usize,
    /// CPUs for the threads, in turn; empty: wherever the kernel likes.
    pub(crate) cpus: Vec<usize>,
    /// The time over which the connections are begun.
    pub(crate) ramp: Duration,
    pub(crate) timing: Timing,
}

/// How long each part of a run lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Load that is not measured.
    pub(crate) warmup: Duration,
    /// Load that is.
    pub(crate) duration: Duration,
    /// The longest wait for a connection, an upgrade or a reply.
    pub(crate) timeout: Duration,
}

/// When the load begins, and when the measurement begins and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) start: Nanos,
    pub(crate) from: Nanos,
    pub(crate) until: Nanos,
}

impl Schedule {
    /// Whether `now` is measured.
    #[inline]
    pub(crate) fn covers(&self, now: Nanos) -> bool {
        now >= self.from && now < self.until
    }
}
