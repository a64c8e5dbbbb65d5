//! The life of the process. In: a config. Out: workers that run, and all end.
//!
//! The main thread is the first worker, and with one worker the only thread: the kernel spares a
//! process with one thread the reference count of every descriptor it is handed.
//!
//! Never: waits for a peer longer than the drain timeout.

use std::fmt;
use std::io;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use mio::{Poll, Waker};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{Config, ServeConfig, Sources};
use crate::limits::reserved_descriptors;
use crate::listener::Listener;
use crate::reactor::{Admission, Reactor, WAKER};
use crate::shutdown::Signals;

/// Why the daemon does not run.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The operating system refused what the daemon needs.
    Refused { what: String, error: io::Error },
    /// A flag asks for more than the descriptor limit allows.
    TooManyConnections { wanted: usize, descriptors: u64 },
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused { .. } => ExitCode::FAILURE,
            Self::TooManyConnections { .. } => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { what, error } => write!(f, "{what}: {error}"),
            Self::TooManyConnections {
                wanted,
                descriptors,
            } => write!(
                f,
                "--max-connections {wanted} needs {descriptors} descriptors; raise the limit \
                 first: ulimit -n {descriptors}"
            ),
        }
    }
}

/// Names what was attempted when the operating system says no.
trait During<T> {
    fn during(self, what: &dyn fmt::Display) -> Result<T, Failure>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: &dyn fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::Refused {
            what: what.to_string(),
            error,
        })
    }
}

/// Serves until SIGTERM or SIGINT, then until every connection is closed or the drain timeout ends.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    let signals = Signals::install().during(&"cannot handle signals")?;
    let capacity = connection_capacity(config)?;
    let (mut listeners, addr) = Listener::bind_many(config.listen, config.workers.get())
        .during(&format_args!("cannot listen on {}", config.listen))?;
    let own_listener = listeners.remove(0);
    let admission = Arc::new(Admission::new(capacity));

    let mut wakers = Vec::new();
    let mut threads = Vec::new();
    for (number, listener) in (1..).zip(listeners) {
        let poll = new_poll()?;
        wakers.push(Waker::new(poll.registry(), WAKER).during(&"cannot make a waker")?);
        let stop = signals.stop_of_thread();
        let reactor = Reactor::new(poll, listener, config.clone(), Arc::clone(&admission), stop)
            .during(&"cannot poll")?;
        threads.push(spawn(number, reactor)?);
    }
    // Held until the threads have ended: a waker that is dropped takes its wake with it.
    let wakers: Arc<[Waker]> = wakers.into();
    let poll = new_poll()?;
    let stop = signals
        .stop_of_main(poll.registry(), WAKER, Arc::clone(&wakers))
        .during(&"cannot poll signals")?;
    let reactor =
        Reactor::new(poll, own_listener, config.clone(), admission, stop).during(&"cannot poll")?;
    tracing::info!(
        workers = config.workers,
        max_connections = capacity,
        "listening on ws://{addr}"
    );
    reactor.run().during(&"cannot poll")?;
    for thread in threads {
        thread
            .join()
            .expect("a worker that panics ends the process");
    }
    drop(wakers);
    tracing::info!("stopped");
    Ok(())
}

/// Serves what `config` opens; on SIGHUP, what `sources` say then.
pub(crate) fn serve(config: ServeConfig, sources: Sources) -> Result<(), Failure> {
    drop((config, sources));
    Err(io::Error::from(io::ErrorKind::Unsupported)).during(&"cannot serve yet")
}

/// A worker on a thread of its own. If it fails, so does the process: its connections are lost, and
/// its listener would go on collecting more.
fn spawn(number: usize, reactor: Reactor) -> Result<JoinHandle<()>, Failure> {
    let work = move || {
        let run = std::panic::AssertUnwindSafe(|| reactor.run());
        match std::panic::catch_unwind(run) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!("cannot poll: {error}");
                process::exit(1);
            }
            Err(_) => process::exit(1), // the panic hook has said where
        }
    };
    thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(work)
        .during(&"cannot start a thread")
}

fn new_poll() -> Result<Poll, Failure> {
    Poll::new().during(&"cannot make a poller")
}

/// Raises the descriptor limit as far as it goes; gives how many connections fit under it.
fn connection_capacity(config: &Config) -> Result<usize, Failure> {
    let Rlimit { maximum, current } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let reserved = reserved_descriptors(config.workers);
    let fitting = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit.saturating_sub(reserved)).unwrap_or(usize::MAX)
    });
    match config.max_connections {
        Some(wanted) if wanted > fitting => Err(Failure::TooManyConnections {
            wanted,
            descriptors: (wanted as u64).saturating_add(reserved),
        }),
        Some(wanted) => Ok(wanted),
        None => Ok(fitting),
    }
}
