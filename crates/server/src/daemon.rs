//! The life of the process. In: a config. Out: workers that run, and all end.
//!
//! The main thread is the first worker. With one worker `fanfare echo` has no other thread: the kernel spares
//! such a process the reference count of every descriptor it is handed. `fanfare serve` has one more, for HTTP.
//!
//! Never: waits for a peer longer than the drain timeout.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use fanfare_hub::{Engine, Inbox, MemoryConfig, MemoryEngine, Origins, Wake};
use mio::{Poll, Waker};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::admission::Admission;
use crate::clock::Clock;
use crate::config::{self, Config, ServeConfig, SharedLive, Sources};
use crate::http;
use crate::limits::{
    DESCRIPTORS_AHEAD_MAX, HTTP_DESCRIPTORS, LISTENERS_MAX, TOKEN_DESCRIPTORS, hook_descriptors,
    reserved_descriptors,
};
use crate::listener::{Bound, ListenAddr, Listener, Passed};
use crate::metrics::Metrics;
use crate::notify;
use crate::push::{Census, ClientIds, Link, Push};
use crate::reactor::{Crew, Parts, Reactor, WAKER};
use crate::returns::Returns;
use crate::service::Service;
use crate::shutdown::Signals;
use crate::tokens::Tokens;

/// Why the daemon does not run.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The operating system refused what the daemon needs.
    Refused { what: String, error: io::Error },
    /// More listeners than a worker may have: systemd passes on too many descriptors.
    TooManyListeners,
    /// A flag asks for more than the descriptor limit allows.
    TooManyConnections { wanted: usize, descriptors: u64 },
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused { .. } | Self::TooManyListeners => ExitCode::FAILURE,
            Self::TooManyConnections { .. } => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { what, error } => write!(f, "{what}: {error}"),
            Self::TooManyListeners => {
                write!(f, "cannot listen on more than {LISTENERS_MAX} sockets")
            }
            Self::TooManyConnections {
                wanted,
                descriptors,
            } => write!(
                f,
                "max_connections {wanted} (--max-connections) needs {descriptors} descriptors; raise the limit \
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

/// What every daemon stands on.
struct Ground {
    signals: Signals,
    capacity: usize,
    urls: Vec<String>,
    clock: Clock,
    admission: Arc<Admission>,
    metrics: Arc<Metrics>,
    /// Set once workers run.
    serving: Arc<AtomicBool>,
    crew: Arc<Crew>,
    posts: Vec<Post>,
}

/// A worker's place, before it is taken.
struct Post {
    listeners: Vec<Listener>,
    poll: Poll,
    waker: Arc<Waker>,
}

impl Ground {
    /// Signals, descriptors, sockets that listen; nobody accepts yet.
    ///
    /// `descriptors` are those that are needed beside workers and their connections.
    fn prepare(config: &Config, descriptors: u64) -> Result<Self, Failure> {
        let signals = Signals::install().during(&"cannot handle signals")?;
        let mut passed = Passed::from_env();
        let capacity = connection_capacity(config, descriptors + passed.len() as u64)?;
        make_descriptor_table(config, capacity);
        let Bound { workers, urls } =
            Bound::new(config, &mut passed).map_err(|(addr, error)| Failure::Refused {
                what: format!("cannot listen on {addr}"),
                error,
            })?;
        if workers
            .iter()
            .any(|listeners| listeners.len() > LISTENERS_MAX)
        {
            return Err(Failure::TooManyListeners);
        }
        let post = |listeners| {
            let poll = Poll::new().during(&"cannot make a poller")?;
            let waker = Waker::new(poll.registry(), WAKER).during(&"cannot make a waker")?;
            Ok(Post {
                listeners,
                poll,
                waker: Arc::new(waker),
            })
        };
        let posts: Vec<Post> = workers.into_iter().map(post).collect::<Result<_, _>>()?;
        let wakers = posts.iter().map(|post| Arc::clone(&post.waker));
        let clock = Clock::start();
        let mut metrics = Metrics::new(config.workers.get(), clock);
        if let Some(tls) = &config.tls {
            metrics = metrics.with_handshakes(tls.handshakes());
        }
        Ok(Self {
            signals,
            capacity,
            urls,
            clock,
            metrics: Arc::new(metrics),
            serving: Arc::default(),
            admission: Arc::new(
                Admission::new(
                    capacity,
                    config.bounds.per_address_max,
                    config.bounds.arrivals_per_second_max,
                )
                .with_contexts(config.deflate.map_or(0, |deflate| deflate.contexts_max)),
            ),
            crew: Arc::new(Crew::new(wakers)),
            posts,
        })
    }

    /// Runs a worker at each post, until all have ended.
    ///
    /// Out: how long what is left may take to end.
    fn run(self, config: &Config, services: Vec<Service>) -> Result<Duration, Failure> {
        let Self {
            signals,
            clock,
            admission,
            metrics,
            serving,
            crew,
            ..
        } = self;
        let parts = |listeners, service, stop, number| Parts {
            listeners,
            config: config.clone(),
            clock,
            admission: Arc::clone(&admission),
            crew: Arc::clone(&crew),
            number,
            service,
            stop,
            metrics: Arc::clone(&metrics),
            keeps_engine: number == 0,
        };
        let mut posts = self.posts.into_iter().zip(services);
        let (own, own_service) = posts.next().expect("there is a worker at least");
        // Held until the threads have ended: a waker that is dropped takes its wake with it.
        let mut wakers = Vec::new();
        let mut threads = Vec::new();
        for (number, (post, service)) in (1..).zip(posts) {
            let stop = signals.stop_of_thread();
            let reactor = Reactor::new(post.poll, parts(post.listeners, service, stop, number))
                .during(&"cannot poll")?;
            wakers.push(post.waker);
            threads.push(spawn(number, reactor)?);
        }
        let wakers: Arc<[Arc<Waker>]> = wakers.into();
        let stop = signals
            .stop_of_main(own.poll.registry(), WAKER, Arc::clone(&wakers))
            .during(&"cannot poll signals")?;
        let reactor = Reactor::new(own.poll, parts(own.listeners, own_service, stop, 0))
            .during(&"cannot poll")?;
        serving.store(true, Ordering::SeqCst);
        for url in self.urls {
            tracing::info!(
                workers = config.workers,
                max_connections = self.capacity,
                "listening on {url}"
            );
        }
        notify::ready();
        let ends_at = reactor.run().during(&"cannot poll")?;
        for thread in threads {
            thread
                .join()
                .expect("a worker that panics ends the process");
        }
        drop((wakers, own.waker));
        Ok(ends_at.since(clock.read()))
    }
}

/// `fanfare echo`, until SIGTERM or SIGINT, and until every connection is closed or the drain timeout ends.
pub(crate) fn echo(config: &Config) -> Result<(), Failure> {
    let ground = Ground::prepare(config, 0)?;
    let services = ground.posts.iter().map(|_| Service::Echo).collect();
    ground.run(config, services)?;
    tracing::info!("stopped");
    Ok(())
}

/// `fanfare serve`, as long; on SIGHUP, what `sources` say then.
pub(crate) fn serve(serve: ServeConfig, sources: Sources) -> Result<(), Failure> {
    let config = serve.daemon;
    let hung_up = Signals::note_hangups().during(&"cannot handle signals")?;
    let descriptors =
        HTTP_DESCRIPTORS + TOKEN_DESCRIPTORS + hook_descriptors(serve.hooks_in_flight_max);
    let ground = Ground::prepare(&config, descriptors)?;
    let api_tls = config.tls.clone().filter(|_| serve.api_tls);
    let bind_api = |addr| bind_api(addr, api_tls.is_some());
    let api_listener = serve.api_listen.map(bind_api).transpose()?;
    let random = || {
        let number = getrandom::u64().map_err(io::Error::from);
        number.during(&"cannot draw a random number")
    };
    // Epochs are public, and tell their seed: nothing else may come from it.
    let client_seed = random()?;
    let live: SharedLive = Arc::new(ArcSwap::from_pointee(serve.live));
    let tokens = Tokens::start(&live).during(&"cannot start a thread")?;

    let mut origins = Origins::default();
    let census = Arc::new(Census::default());
    let mut posts = Vec::new();
    for post in &ground.posts {
        let bell = Bell(Arc::clone(&post.waker));
        let inbox = Arc::new(Inbox::new(serve.inbox, bell.clone()));
        let returns = Arc::new(Returns::new(bell));
        posts.push((origins.add_worker(Arc::clone(&inbox)), inbox, returns));
    }
    let mailbox = http::Mailbox::new(serve.inbox);
    let api_origin = origins.add_caller(mailbox.inbox());
    let engine_config = MemoryConfig {
        seed: random()?,
        shard_seed: random()?,
        ..serve.engine
    };
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new(engine_config, origins));

    let reload = {
        let (running, live, tokens) = (serve.running, Arc::clone(&live), tokens.clone());
        let tls = config.tls.clone();
        Arc::new(move || {
            notify::reloading();
            config::reload(&sources, &running, &live);
            match (&tls, &live.load().tls) {
                (Some(tls), Some(loaded)) => tls.adopt(Arc::clone(loaded)),
                (None, None) => {}
                _ => tracing::warn!("reload: whether there is TLS stays as it was until a restart"),
            }
            if let Err(error) = tokens.reload(&live) {
                tracing::error!("reload: cannot start a thread that verifies tokens: {error}");
            }
            notify::ready();
        })
    };
    let on_hangup = Arc::clone(&reload);
    let http = http::start(http::Setup {
        mailbox,
        engine: Arc::clone(&engine),
        origin: api_origin,
        clock: ground.clock,
        live: Arc::clone(&live),
        listener: api_listener,
        listener_tls: api_tls,
        tls: config.tls.clone(),
        admission: Arc::clone(&ground.admission),
        crew: Arc::clone(&ground.crew),
        census: Arc::clone(&census),
        metrics: Arc::clone(&ground.metrics),
        access_log: config.access_log,
        body_bytes_max: serve.api_body_bytes_max,
        page: serve.page,
        hooks_in_flight_max: serve.hooks_in_flight_max,
        serving: Arc::clone(&ground.serving),
        stopping: ground.signals.requested(),
        on_hangup: Box::new(move || on_hangup()),
    })
    .during(&"cannot start the HTTP thread")?;
    if hung_up.load(Ordering::SeqCst) {
        reload(); // it came before the thread listened
    }
    let service = |(worker, (origin, inbox, returns))| {
        Service::Push(Box::new(Push::new(Link {
            engine: Arc::clone(&engine),
            origin,
            inbox,
            live: Arc::clone(&live),
            clock: ground.clock,
            client_ids: ClientIds::new(client_seed, worker as u64),
            gateway: http.gateway(),
            hooks: http.hooks(),
            tokens: tokens.clone(),
            returns,
            census: Arc::clone(&census),
            metrics: ground.metrics.worker(worker),
            channels_max: serve.channels_max,
            has_echo: serve.echo,
        })))
    };
    let services = (0_usize..).zip(posts).map(service).collect();
    let left = ground.run(&config, services)?;
    http.stop(left);
    tracing::info!("stopped");
    Ok(())
}

fn bind_api(addr: SocketAddr, has_tls: bool) -> Result<TcpListener, Failure> {
    let what = format_args!("cannot listen on {addr} (api.listen)");
    let listener = TcpListener::bind(addr).during(&what)?;
    let addr = listener.local_addr().during(&what)?;
    let scheme = if has_tls { "https" } else { "http" };
    tracing::info!("the API listens on {scheme}://{addr}");
    Ok(listener)
}

/// Wakes a worker for its inbox.
#[derive(Clone, Debug)]
struct Bell(Arc<Waker>);

impl Wake for Bell {
    fn wake(&self) {
        if let Err(error) = self.0.wake() {
            tracing::error!("cannot wake a worker: {error}");
        }
    }
}

/// A worker on a thread of its own. If it fails, so does the process: its connections are lost, and
/// its listener would go on collecting more.
fn spawn(number: usize, reactor: Reactor) -> Result<JoinHandle<()>, Failure> {
    let work = move || {
        let run = std::panic::AssertUnwindSafe(|| reactor.run());
        match std::panic::catch_unwind(run) {
            Ok(Ok(_)) => {}
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

/// Raises the descriptor limit as far as it goes; gives how many connections fit under it.
fn connection_capacity(config: &Config, others: u64) -> Result<usize, Failure> {
    let Rlimit { maximum, current } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let listeners = config.listen.iter().map(|place| match place.addr {
        ListenAddr::Tcp(_) => config.workers.get() as u64,
        ListenAddr::Unix(_) => 1,
        ListenAddr::Systemd { .. } => 0, // those were counted as they were passed on
    });
    let reserved = reserved_descriptors(config.workers, listeners.sum()) + others;
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

/// Has the kernel make its table of descriptors as long as it may become, while there is one thread.
///
/// With several, whoever is given the descriptor that it has no room for waits until no core looks at the old table
/// (`expand_fdtable` in Linux's fs/file.c): 10 to 30 ms for a worker, at each power of two.
fn make_descriptor_table(config: &Config, capacity: usize) {
    let ahead = config.max_connections.unwrap_or(DESCRIPTORS_AHEAD_MAX);
    let last = i32::try_from(capacity.min(ahead)).unwrap_or(i32::MAX);
    if let Err(error) = fcntl_dupfd_cloexec(io::stderr(), last) {
        tracing::debug!("the table of descriptors grows as they come: {error}");
    }
}
