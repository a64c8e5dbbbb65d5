//! The course of a run, whatever its scenario. In: threads of work and a schedule. Out: what they
//! counted, and what the server used meanwhile.
//!
//! All connections are made, then all threads start at one time: warm-up, measurement, and then,
//! nothing new being sent, what is still on its way is waited for, so that nothing is lost unseen.
//!
//! Never: opens a socket, prints.

pub(crate) mod echo;
mod window;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::clock::{Clock, Nanos};
use crate::observe::{Server, ServerUse};
use crate::stats::Tally;

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

/// When the measurement begins and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
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
    pub(crate) fn schedule(&self) -> Option<Schedule> {
        self.schedule.get().copied()
    }
}

/// What a thread brings home.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) tally: Tally,
    /// When it stopped to measure.
    pub(crate) ended: Nanos,
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
}

enum News {
    Ready,
    Done(Box<io::Result<Share>>),
}

/// Runs `work` on each thread. It is given the thread's number and a function to call when its
/// connections are made; the schedule stands when all have called it.
///
/// # Errors
///
/// The first that a thread met.
pub(crate) fn run(
    crew: &Crew,
    threads: usize,
    timing: Timing,
    server: Option<&Server>,
    work: impl Fn(usize, &dyn Fn()) -> io::Result<Share> + Sync,
) -> io::Result<Outcome> {
    let (sender, news) = mpsc::channel();
    thread::scope(|scope| {
        for thread in 0..threads {
            let (sender, work) = (sender.clone(), &work);
            thread::Builder::new()
                .name(format!("loadgen-{thread}"))
                .spawn_scoped(scope, move || {
                    // The receiver outlives the scope's threads: it cannot be gone.
                    let ready = || drop(sender.send(News::Ready));
                    let share = work(thread, &ready);
                    drop(sender.send(News::Done(Box::new(share))));
                })
                .inspect_err(|_| crew.stop())?;
        }
        drop(sender);
        // Threads that wait for one that failed must not wait for ever.
        collect(crew, threads, timing, server, &news).inspect_err(|_| crew.stop())
    })
}

fn collect(
    crew: &Crew,
    threads: usize,
    timing: Timing,
    server: Option<&Server>,
    news: &mpsc::Receiver<News>,
) -> io::Result<Outcome> {
    let mut total = Tally::new();
    let mut ended = Nanos::default();
    let mut ready = 0;
    let (mut before, mut after) = (None, None);
    loop {
        let now = crew.clock.now();
        let mark = match crew.schedule() {
            Some(schedule) if now < schedule.from => schedule.from,
            Some(schedule) => {
                before = before.or_else(|| server.and_then(Server::sample));
                if now < schedule.until {
                    schedule.until
                } else {
                    after = after.or_else(|| server.and_then(Server::sample));
                    Nanos::MAX
                }
            }
            None => Nanos::MAX,
        };
        match news.recv_timeout(mark.duration_since(now)) {
            Ok(News::Ready) => {
                ready += 1;
                if ready == threads {
                    let from = crew.clock.now().after(timing.warmup);
                    let until = from.after(timing.duration);
                    crew.schedule.get_or_init(|| Schedule { from, until });
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
    let after = after.or_else(|| server.and_then(Server::sample));
    let measured = crew.schedule().map_or(Duration::ZERO, |schedule| {
        ended.min(schedule.until).duration_since(schedule.from)
    });
    Ok(Outcome {
        tally: total,
        measured,
        interrupted: crew.is_stopped(),
        server: before.zip(after).map(|(before, after)| after.since(before)),
    })
}
