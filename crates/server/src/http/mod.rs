//! Plain HTTP: everything that is no upgrade. In: sockets that workers hand over, and those of
//! `api.listen`. Out: answers of the API.
//!
//! One thread with an event loop of its own (tokio, hyper, axum): what it does is rare beside what workers
//! do, and a well-kept library does it better than we would.
//!
//! ```text
//! worker ── Gateway::hand_over ──┐                       ┌─ /health, /ready, /metrics, / (--dev)
//!                                ├─ Socket ─ connection ─┤
//! api.listen ── accept ──────────┘                       └─ /api/… ── Caller ── engine
//!                                                                        ↑
//!                                                             Mailbox ── answers
//! ```
//!
//! Never: upgrades a connection; holds up a worker.

mod access;
mod api;
mod body;
mod caller;
mod client;
mod connection;
mod error;
#[cfg(test)]
mod fixture;
pub(crate) mod hooks;
mod json;
mod page;
mod probes;
mod service;
mod socket;
mod stream;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener, TcpStream as StdTcpStream};
use std::os::fd::AsFd;
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fanfare_hub::{Engine, OriginId};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::admission::{Admission, Place};
use crate::clock::Clock;
use crate::config::SharedLive;
use crate::echo;
use crate::limits::{HANDOVERS_SERVED_MAX, HANDOVERS_WAITING_MAX, LOOKUPS_AT_ONCE_MAX};
use crate::metrics::Metrics;
use crate::push::Census;
use crate::reactor::Crew;
use crate::tls::{self, Direct, Tls, TlsSession};

use api::{Api, Node};
use caller::Caller;
use client::Client;
use page::Page;
use probes::Probes;
use service::Service;

pub(crate) use caller::Mailbox;
pub(crate) use hooks::Hooks;

/// A connection whose request is not the reactor's business.
#[derive(Debug)]
pub(crate) struct Handover {
    /// In no poller any more; it does not block. Of TCP, or of a Unix socket.
    pub(crate) socket: StdTcpStream,
    /// The session on it, which goes on; none: it is plain.
    pub(crate) tls: Option<Box<TlsSession>>,
    /// What was read from it: a whole request head, and what came with it.
    pub(crate) received: Box<[u8]>,
    /// Whom it is for, if a proxy has said so.
    pub(crate) client: Option<IpAddr>,
    /// Counts it as open until it is dropped.
    pub(crate) place: Place,
}

impl Handover {
    /// Answers 503, as far as the socket takes it at once: nobody waits for it.
    pub(crate) fn refuse(self) {
        let mut answer = Vec::new();
        echo::unavailable(&"too many requests are under way").encode(&mut answer);
        // A peer that does not take it sees the end.
        let _ = match self.tls {
            None => (&self.socket).write(&answer).map(drop),
            Some(mut session) => {
                let mut wire = Direct(self.socket.as_fd());
                let sent = session.send(&answer, &mut wire);
                sent.and_then(|_| session.finish(&mut wire))
            }
        };
    }
}

/// What the HTTP thread works with.
pub(crate) struct Setup {
    /// Its inbox is `origin`'s.
    pub(crate) mailbox: Mailbox,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) origin: OriginId,
    pub(crate) clock: Clock,
    pub(crate) live: SharedLive,
    /// `api.listen`. With it `/api` is there alone, and 404 on sockets that are handed over.
    pub(crate) listener: Option<StdTcpListener>,
    /// What that speaks; none: plain HTTP.
    pub(crate) listener_tls: Option<Tls>,
    /// Whose files are looked at: they may change.
    pub(crate) tls: Option<Tls>,
    /// For `info`, as are the users and what each worker has.
    pub(crate) admission: Arc<Admission>,
    pub(crate) crew: Arc<Crew>,
    pub(crate) census: Arc<Census>,
    pub(crate) body_bytes_max: usize,
    /// Whether a page is at `/`.
    pub(crate) page: bool,
    /// Calls of one kind that the backend is asked at once.
    pub(crate) hooks_in_flight_max: usize,
    /// `/metrics` tells them; the API counts what it publishes.
    pub(crate) metrics: Arc<Metrics>,
    /// Whether each answer is logged.
    pub(crate) access_log: bool,
    /// `/ready` says so, if workers run and have not been told to end.
    pub(crate) serving: Arc<AtomicBool>,
    pub(crate) stopping: Arc<AtomicBool>,
    /// On SIGHUP, on the HTTP thread: it may take the time that it takes to read a file.
    pub(crate) on_hangup: Box<dyn Fn() + Send>,
}

/// The HTTP thread.
pub(crate) struct Server {
    gateway: Gateway,
    hooks: Hooks,
    stop: oneshot::Sender<Duration>,
    thread: JoinHandle<()>,
    /// Where the API's own listener is bound.
    #[cfg_attr(not(test), expect(dead_code, reason = "the daemon has bound it"))]
    listens_on: Option<SocketAddr>,
}

/// The way of a socket from a worker to the HTTP thread.
#[derive(Clone, Debug)]
pub(crate) struct Gateway(mpsc::Sender<Handover>);

impl Gateway {
    /// Nobody is behind it.
    #[cfg(test)]
    pub(crate) fn closed() -> Self {
        Self(mpsc::channel(1).0)
    }

    /// Hands a connection over, without waiting.
    ///
    /// # Errors
    ///
    /// It comes back if [`HANDOVERS_WAITING_MAX`] wait already, or the thread stops: 503 to the peer.
    pub(crate) fn hand_over(&self, handover: Handover) -> Result<(), Handover> {
        self.0.try_send(handover).map_err(|refused| match refused {
            TrySendError::Full(handover) | TrySendError::Closed(handover) => handover,
        })
    }
}

/// Starts the thread. SIGHUP is handled from here on, and nobody waits for the listener.
///
/// # Errors
///
/// The operating system's: no thread, no poller, no signal handler, or the listener is none.
pub(crate) fn start(setup: Setup) -> io::Result<Server> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOKUPS_AT_ONCE_MAX)
        .build()?;
    let (listener, hangups) = {
        let _within = runtime.enter();
        let listener = setup.listener.map(from_std).transpose()?;
        (listener, signal(SignalKind::hangup())?)
    };
    let listens_on = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let served = Arc::new(Semaphore::new(HANDOVERS_SERVED_MAX));
    let (caller, answers) = Caller::new(setup.mailbox, setup.engine, setup.origin, setup.clock);
    let node = Node::new(
        setup.crew,
        setup.admission,
        setup.census,
        Arc::clone(&served),
    );
    let api = Api::new(
        caller,
        setup.live,
        node,
        Arc::clone(&setup.metrics),
        setup.body_bytes_max,
    );
    let probes = Arc::new(Probes {
        api: Arc::new(api),
        metrics: setup.metrics,
        access_log: setup.access_log.then_some(setup.clock),
        serving: setup.serving,
        stopping: setup.stopping,
        sums: Default::default(),
    });
    let (hooks, asking) = hooks::new(setup.hooks_in_flight_max, Client::new());
    let (gateway, handovers) = mpsc::channel(HANDOVERS_WAITING_MAX);
    let (stop, stops) = oneshot::channel();
    let page = setup.page.then(|| Page::new(listens_on));
    let listener = listener.map(|listener| (listener, setup.listener_tls));
    let service = Service::new(&probes, served, listener, handovers, page);
    let on_hangup = setup.on_hangup;
    let thread = thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || {
            let answers = async {
                tokio::select! {
                    () = answers => {}
                    () = asking.run() => {}
                    () = tls::watch(setup.tls) => {}
                }
            };
            run_or_end_process(runtime, service.run(answers, hangups, on_hangup, stops));
        })?;
    Ok(Server {
        gateway: Gateway(gateway),
        hooks,
        stop,
        thread,
        listens_on,
    })
}

impl Server {
    pub(crate) fn gateway(&self) -> Gateway {
        self.gateway.clone()
    }

    /// The way to the operator's backend.
    pub(crate) fn hooks(&self) -> Hooks {
        self.hooks.clone()
    }

    /// Accepts nothing more, lets what is under way end within `drain`, and ends the thread. What workers
    /// hand over from now on comes back to them.
    pub(crate) fn stop(self, drain: Duration) {
        let _ = self.stop.send(drain); // a thread that has failed has ended the process
        self.thread
            .join()
            .expect("a thread that panics ends the process");
    }
}

fn from_std(listener: StdTcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// If this thread fails, so does the process: workers would go on handing it connections.
fn run_or_end_process(runtime: Runtime, service: impl Future<Output = ()>) {
    let run = std::panic::AssertUnwindSafe(|| runtime.block_on(service));
    if std::panic::catch_unwind(run).is_err() {
        process::exit(1); // the panic hook has said where
    }
}

#[cfg(test)]
mod tests;
