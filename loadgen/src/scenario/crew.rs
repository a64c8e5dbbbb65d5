//! The threads of a run. In: a scenario. Out: what they counted together, what the server used
//! meanwhile, and, while it lasts, how far it is.
//!
//! Never: touches a connection, prints.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use super::course::{Leg, Share};
use super::{Course, Scenario, Schedule, Slots};
use crate::client::Clients;
use crate::clock::{Clock, Nanos};
use crate::cpus;
use crate::observe::{Server, ServerUse};
use crate::stats::Tally;

/// The time between two looks at the gauges.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The same while connections are made, of which thousands may come in that time.
const OPENING_INTERVAL: Duration = Duration::from_millis(20);

/// What the threads of a run share.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) clock: Clock,
    /// Set by Ctrl-C and when a thread fails.
    stop: Arc<AtomicBool>,
    schedule: OnceLock<Schedule>,
}

impl Crew {
    /// A run that ends early once `stop` is set.
    pub(crate) fn new(stop: Arc<AtomicBool>) -> Self {
        Self {
            clock: Clock::start(),
            stop,
            schedule: OnceLock::new(),
        }
    }

    /// Ends the run early.
    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the run is to end early.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Known once every thread is ready.
    pub(super) fn schedule(&self) -> Option<Schedule> {
        self.schedule.get().copied()
    }
}

/// How far one thread is, for others to look at: written by its thread alone, a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Gauge {
    open: AtomicUsize,
    messages: AtomicU64,
    faults: AtomicU64,
}

impl Gauge {
    #[inline]
    pub(super) fn show(&self, open: usize, messages: u64, faults: u64) {
        self.open.store(open, Ordering::Relaxed);
        self.messages.store(messages, Ordering::Relaxed);
        self.faults.store(faults, Ordering::Relaxed);
    }
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connections are being made.
    Opening,
    /// Load that is not measured.
    WarmingUp,
    /// Load that is.
    Measuring,
    /// The last replies are waited for.
    Draining,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// Since the phase began.
    pub(crate) elapsed: Duration,
    /// Connections that are open.
    pub(crate) open: usize,
    /// Messages, or whatever is counted, since the measurement began.
    pub(crate) messages: u64,
    /// Faults since the start.
    pub(crate) faults: u64,
}

/// What a run brings home.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// How long was measured; less than asked for when the run ended early.
    pub(crate) measured: Duration,
    /// The user ended it.
    pub(crate) interrupted: bool,
    /// What the server used while the run was measured.
    pub(crate) server: Option<ServerUse>,
    /// Its process ended before the run did.
    pub(crate) server_is_gone: bool,
}

enum News {
    Ready,
    Done(Box<io::Result<Share>>),
}

/// Runs `scenario` to its end; `watch` is told every tenth of a second how far it is, and more often
/// while connections are made.
///
/// # Errors
///
/// When the OS gives no thread, no poll instance or no random bytes.
pub(crate) fn run<S: Scenario>(
    scenario: &S,
    course: &Course,
    crew: &Crew,
    server: Option<&Server>,
    watch: &mut dyn FnMut(&Progress),
) -> io::Result<Outcome> {
    let gauges: Vec<Gauge> = std::iter::repeat_with(Gauge::default)
        .take(course.threads)
        .collect();
    let (sender, news) = mpsc::channel();
    thread::scope(|scope| {
        for (number, gauge) in gauges.iter().enumerate() {
            let sender = sender.clone();
            thread::Builder::new()
                .name(format!("loadgen-{number}"))
                .spawn_scoped(scope, move || {
                    // The receiver outlives the scope's threads: it cannot be gone.
                    let ready = || drop(sender.send(News::Ready));
                    let share = work(scenario, number, course, crew, gauge, &ready);
                    drop(sender.send(News::Done(Box::new(share))));
                })
                .inspect_err(|_| crew.stop())?;
        }
        drop(sender);
        let collector = Collector {
            course,
            crew,
            server,
            gauges: &gauges,
            began: crew.clock.now(),
            before: None,
            after: None,
        };
        // Threads that wait for one that failed must not wait for ever.
        collector.collect(&news, watch).inspect_err(|_| crew.stop())
    })
}

/// What one thread does.
fn work<S: Scenario>(
    scenario: &S,
    number: usize,
    course: &Course,
    crew: &Crew,
    gauge: &Gauge,
    ready: &dyn Fn(),
) -> io::Result<Share> {
    if !course.cpus.is_empty() {
        cpus::pin_thread(course.cpus[number % course.cpus.len()])?;
    }
    let slots = Slots::of_thread(number, course.threads, course.connections);
    let leg = Leg {
        worker: scenario.worker(slots, os_seeded()?)?,
        clients: Clients::new(
            &course.dial,
            slots.first..slots.first + slots.count,
            crew.clock,
            os_seeded()?,
        )?,
        slots,
        course,
        crew,
        gauge,
    };
    leg.go(ready)
}

/// A fast generator that starts where nobody can guess.
///
/// # Errors
///
/// When the OS gives no random bytes.
pub(crate) fn os_seeded() -> io::Result<fastrand::Rng> {
    let mut seed = [0; 8];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
    Ok(fastrand::Rng::with_seed(u64::from_ne_bytes(seed)))
}

/// The main thread's part: it waits, looks and sums up.
struct Collector<'a> {
    course: &'a Course,
    crew: &'a Crew,
    server: Option<&'a Server>,
    gauges: &'a [Gauge],
    began: Nanos,
    /// What the server had used when the measurement began and when it ended.
    before: Option<ServerUse>,
    after: Option<ServerUse>,
}

impl Collector<'_> {
    fn collect(
        mut self,
        news: &mpsc::Receiver<News>,
        watch: &mut dyn FnMut(&Progress),
    ) -> io::Result<Outcome> {
        let mut total = Tally::default();
        let mut ended = Nanos::default();
        let mut ready = 0;
        loop {
            let now = self.crew.clock.now();
            self.sample_server(now);
            watch(&self.progress(now));
            match news.recv_timeout(self.next_mark(now).duration_since(now)) {
                Ok(News::Ready) => {
                    ready += 1;
                    if ready == self.course.threads {
                        self.set_schedule();
                    }
                }
                Ok(News::Done(share)) => {
                    let share = (*share)?;
                    ended = ended.max(share.ended);
                    total.merge(share.tally);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let after = self.after.or_else(|| self.server.and_then(Server::sample));
        let server_is_gone = self.server.is_some() && after.is_none();
        let measured = self.crew.schedule().map_or(Duration::ZERO, |schedule| {
            ended.min(schedule.until).duration_since(schedule.from)
        });
        Ok(Outcome {
            tally: total,
            measured,
            interrupted: self.crew.is_stopped(),
            server: self.before.zip(after).map(|(from, to)| to.since(from)),
            server_is_gone,
        })
    }

    fn set_schedule(&self) {
        let timing = self.course.timing;
        let start = self.crew.clock.now();
        let from = start.after(timing.warmup);
        let until = from.after(timing.duration);
        self.crew
            .schedule
            .get_or_init(|| Schedule { start, from, until });
    }

    /// Samples the server as exactly at the measurement's ends as this thread wakes.
    fn sample_server(&mut self, now: Nanos) {
        let (Some(schedule), Some(server)) = (self.crew.schedule(), self.server) else {
            return;
        };
        if now >= schedule.from && self.before.is_none() {
            self.before = server.sample();
        }
        if now >= schedule.until && self.after.is_none() {
            self.after = server.sample();
        }
    }

    /// When to look next.
    fn next_mark(&self, now: Nanos) -> Nanos {
        let look = now.after(PROGRESS_INTERVAL);
        match self.crew.schedule() {
            Some(schedule) if now < schedule.from => look.min(schedule.from),
            Some(schedule) if now < schedule.until => look.min(schedule.until),
            Some(_) => look,
            None => now.after(OPENING_INTERVAL),
        }
    }

    fn progress(&self, now: Nanos) -> Progress {
        let (phase, since) = match self.crew.schedule() {
            None => (Phase::Opening, self.began),
            Some(schedule) if now < schedule.from => (Phase::WarmingUp, schedule.start),
            Some(schedule) if now < schedule.until => (Phase::Measuring, schedule.from),
            Some(schedule) => (Phase::Draining, schedule.until),
        };
        let gauges = self.gauges.iter();
        Progress {
            phase,
            elapsed: now.duration_since(since),
            open: gauges.clone().map(|g| g.open.load(Ordering::Relaxed)).sum(),
            messages: gauges
                .clone()
                .map(|g| g.messages.load(Ordering::Relaxed))
                .sum(),
            faults: gauges.map(|g| g.faults.load(Ordering::Relaxed)).sum(),
        }
    }
}
