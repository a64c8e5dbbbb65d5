//! The life of the process. In: a config, then signals. Out: workers that run, and all end.
//!
//! Never: waits for a peer longer than the drain timeout.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use mio::{Poll, Token, Waker};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::Config;
use crate::limits::RESERVED_DESCRIPTORS;
use crate::listener::Listener;
use crate::reactor::{self, Reactor};

/// The operating system refused what the daemon needs.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    error: Option<io::Error>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            None => f.write_str(&self.what),
            Some(error) => write!(f, "{}: {error}", self.what),
        }
    }
}

/// Names what was attempted when the operating system says no.
trait While<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> While<T> for io::Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            what: what(),
            error: Some(error),
        })
    }
}

/// What main waits for.
enum Event {
    Signal(i32),
    WorkerEnded(thread::Result<io::Result<()>>),
}

/// A worker's handle for the rest of the process.
pub(crate) struct StopHandle {
    requested: Arc<AtomicBool>,
    waker: Waker,
}

impl StopHandle {
    fn stop(&self) {
        self.requested.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            tracing::error!("cannot wake a worker: {error}");
        }
    }
}

/// Serves until SIGTERM or SIGINT, then until every connection is closed or the drain timeout ends.
pub(crate) fn run_until_signalled(config: &Config) -> Result<(), Failure> {
    let (events, received) = mpsc::channel();
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).during(|| "cannot handle signals".to_owned())?;
    let capacity = connection_capacity(config.max_connections)?;
    let (listeners, addr) = Listener::bind_many(config.listen, config.workers.get())
        .during(|| format!("cannot listen on {}", config.listen))?;
    let admission = Arc::new(reactor::Admission::new(capacity));

    let mut stops = Vec::new();
    for (number, listener) in listeners.into_iter().enumerate() {
        let requested = Arc::new(AtomicBool::new(false));
        let (poll, waker) = poll_with_waker(reactor::WAKER).during(|| "cannot poll".to_owned())?;
        let reactor = Reactor::new(
            poll,
            listener,
            config.clone(),
            Arc::clone(&admission),
            Arc::clone(&requested),
        )
        .during(|| "cannot poll a listener".to_owned())?;
        let events = events.clone();
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let run = std::panic::AssertUnwindSafe(|| reactor.run());
                let _ = events.send(Event::WorkerEnded(std::panic::catch_unwind(run)));
            })
            .during(|| "cannot start a thread".to_owned())?;
        stops.push(StopHandle { requested, waker });
    }
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                let _ = events.send(Event::Signal(signal));
            }
        })
        .during(|| "cannot start a thread".to_owned())?;
    tracing::info!(
        workers = stops.len(),
        max_connections = capacity,
        "listening on ws://{addr}"
    );
    supervise(&received, &stops)
}

fn supervise(received: &mpsc::Receiver<Event>, stops: &[StopHandle]) -> Result<(), Failure> {
    let mut stopping = false;
    let mut running = stops.len();
    while running > 0 {
        match received.recv() {
            Ok(Event::Signal(signal)) if stopping => {
                tracing::warn!("a second signal: ending at once");
                std::process::exit(128 + signal);
            }
            Ok(Event::Signal(signal)) => {
                tracing::info!(signal, "stopping: closing every connection with 1001");
                stopping = true;
                stops.iter().for_each(StopHandle::stop);
            }
            Ok(Event::WorkerEnded(Ok(Ok(())))) => running -= 1,
            Ok(Event::WorkerEnded(Ok(Err(error)))) => return Err(error).during(|| "poll".into()),
            // The panic hook has printed where.
            Ok(Event::WorkerEnded(Err(_))) | Err(_) => {
                return Err(Failure {
                    what: "a worker panicked".to_owned(),
                    error: None,
                });
            }
        }
    }
    tracing::info!("stopped");
    Ok(())
}

fn poll_with_waker(token: Token) -> io::Result<(Poll, Waker)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), token)?;
    Ok((poll, waker))
}

/// Raises the descriptor limit as far as it goes; gives how many connections fit under it.
fn connection_capacity(wanted: Option<usize>) -> Result<usize, Failure> {
    let Rlimit { maximum, current } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let descriptors = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit.saturating_sub(RESERVED_DESCRIPTORS)).unwrap_or(usize::MAX)
    });
    match wanted {
        Some(wanted) if wanted > descriptors => Err(Failure {
            what: format!(
                "--max-connections {wanted} needs {} descriptors; raise the limit first: \
                 ulimit -n {}",
                wanted as u64 + RESERVED_DESCRIPTORS,
                wanted as u64 + RESERVED_DESCRIPTORS
            ),
            error: None,
        }),
        Some(wanted) => Ok(wanted),
        None => Ok(descriptors),
    }
}
