//! How a stop reaches every worker. In: SIGTERM or SIGINT. Out: a flag, and something to wake each
//! worker's poller. And that SIGHUP ends nothing before somebody listens to it.
//!
//! The handler sets the flag and writes to a pipe that the main thread polls; that wakes the others.
//! A second signal ends the process in the handler.
//!
//! Never: closes a connection; the reactors do.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::net::UnixStream;
use mio::{Interest, Registry, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::config::Drain;
use crate::notify;

/// The process's signal handlers.
pub(crate) struct Signals {
    requested: Arc<AtomicBool>,
    pipe: UnixStream,
}

/// What a worker looks at when its poller is woken.
pub(crate) struct Stop {
    requested: Arc<AtomicBool>,
    /// The workers that this one wakes: the main thread's has all others.
    others: Arc<[Arc<Waker>]>,
    /// The handler's, in the main thread's.
    pipe: Option<UnixStream>,
}

impl Signals {
    pub(crate) fn install() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let (pipe, handlers_end) = StdUnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag unset, and sets it.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&requested))?;
            flag::register(signal, Arc::clone(&requested))?;
            low_level::pipe::register(signal, handlers_end.try_clone()?)?;
        }
        Ok(Self {
            requested,
            pipe: UnixStream::from_std(pipe),
        })
    }

    /// From here on SIGHUP does not end the process. Set once it came.
    pub(crate) fn note_hangups() -> io::Result<Arc<AtomicBool>> {
        let came = Arc::new(AtomicBool::new(false));
        flag::register(SIGHUP, Arc::clone(&came))?;
        Ok(came)
    }

    /// Set once the daemon stops.
    pub(crate) fn requested(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.requested)
    }

    /// For a worker that is woken by the main thread's.
    pub(crate) fn stop_of_thread(&self) -> Stop {
        Stop {
            requested: Arc::clone(&self.requested),
            others: Arc::default(),
            pipe: None,
        }
    }

    /// For the main thread's worker, woken by the handler; `others` are woken by it.
    pub(crate) fn stop_of_main(
        mut self,
        registry: &Registry,
        token: Token,
        others: Arc<[Arc<Waker>]>,
    ) -> io::Result<Stop> {
        registry.register(&mut self.pipe, token, Interest::READABLE)?;
        Ok(Stop {
            requested: self.requested,
            others,
            pipe: Some(self.pipe),
        })
    }
}

impl Stop {
    /// Whether to stop; tells the others if so.
    pub(crate) fn is_requested(&self, drain: Drain) -> bool {
        let requested = self.requested.load(Ordering::SeqCst);
        if requested && self.pipe.is_some() {
            let Drain {
                delay,
                window,
                timeout,
                ..
            } = drain;
            tracing::info!(?delay, ?window, ?timeout, "stopping: not ready any more");
            notify::stopping();
            for waker in &*self.others {
                if let Err(error) = waker.wake() {
                    tracing::error!("cannot wake a worker: {error}");
                }
            }
        }
        requested
    }
}
