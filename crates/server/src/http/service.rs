//! The loop of the HTTP thread. In: sockets, answers, signals, a stop. Out: a task for each connection.
//!
//! Never: serves a connection itself; has more of them than the caps in `limits.rs`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::Handover;
use super::api;
use super::connection::{self, Peer, Requests};
use super::error::Refusal;
use super::page::Page;
use super::probes::{self, Door, Probes};
use super::socket::Socket;
use super::stream::Stream;
use crate::access;
use crate::limits::API_CONNECTIONS_MAX;
use crate::tls::Tls;

/// How long accepting pauses when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the HTTP thread runs.
pub(super) struct Service {
    handovers: Handovers,
    own: Option<Own>,
    /// Each connection has a receiver: they tell it to end, and that it has not yet.
    stopping: watch::Sender<bool>,
}

/// Sockets that come from workers.
struct Handovers {
    waiting: mpsc::Receiver<Handover>,
    served: Arc<Semaphore>,
    router: Router,
}

/// The API's own listener.
struct Own {
    listener: TcpListener,
    tls: Option<Tls>,
    served: Arc<Semaphore>,
    router: Router,
}

impl Service {
    pub(super) fn new(
        probes: &Arc<Probes>,
        served: Arc<Semaphore>,
        listener: Option<(TcpListener, Option<Tls>)>,
        waiting: mpsc::Receiver<Handover>,
        page: Option<Page>,
    ) -> Self {
        let has_api = listener.is_none();
        let page = page.map_or_else(Router::new, Page::router);
        let own = listener.map(|(listener, tls)| Own {
            listener,
            tls,
            served: Arc::new(Semaphore::new(API_CONNECTIONS_MAX)),
            router: router(probes, Door::Own),
        });
        Self {
            handovers: Handovers {
                waiting,
                served,
                router: page.merge(router(probes, Door::Main { has_api })),
            },
            own,
            stopping: watch::Sender::new(false),
        }
    }

    /// Serves until `stops` says how long what is under way may still take, and then that long at most.
    /// `answers` brings the engine's answers for as long.
    pub(super) async fn run(
        mut self,
        answers: impl Future<Output = ()>,
        mut hangups: Signal,
        on_hangup: Box<dyn Fn() + Send>,
        stops: oneshot::Receiver<Duration>,
    ) {
        let mut answers = std::pin::pin!(answers);
        let reloads = async {
            while hangups.recv().await.is_some() {
                on_hangup();
            }
            std::future::pending().await
        };
        let drain = tokio::select! {
            drain = stops => drain.unwrap_or_default(), // nobody is left who could stop it
            () = &mut answers => return,
            () = reloads => return,
            () = self.handovers.take_all(&self.stopping) => return,
            () = accept_all(self.own.as_ref(), &self.stopping) => return,
        };
        self.own = None;
        self.handovers.waiting.close();
        let ends = async {
            self.handovers.take_rest(&self.stopping).await;
            self.stopping.send_replace(true);
            self.stopping.closed().await;
        };
        tokio::select! {
            ended = timeout(drain, ends) => if ended.is_err() {
                tracing::info!("HTTP: {} connections are cut off", self.stopping.receiver_count());
            },
            () = &mut answers => {}
        }
    }
}

impl Handovers {
    /// Takes sockets for ever.
    async fn take_all(&mut self, stopping: &watch::Sender<bool>) {
        self.take_rest(stopping).await;
        std::future::pending().await
    }

    /// Takes sockets until no more can come.
    async fn take_rest(&mut self, stopping: &watch::Sender<bool>) {
        loop {
            // Given back at once: a socket that is not there yet is not being served.
            drop(self.served.acquire().await.expect("nobody closes it"));
            let Some(handover) = self.waiting.recv().await else {
                return;
            };
            let served = Arc::clone(&self.served).try_acquire_owned();
            let served = served.expect("there was room, and nobody else takes it");
            let Handover {
                socket,
                tls,
                received,
                client,
                place,
            } = handover;
            let addr = socket.peer_addr().ok();
            let peer = Peer { addr, client };
            let socket = match Stream::handed_over(socket, tls) {
                Ok(socket) => Socket::new(socket, received.into()),
                Err(error) => {
                    tracing::warn!("cannot poll a connection: {error}");
                    continue;
                }
            };
            let router = self.router.clone();
            let stopping = stopping.subscribe();
            tokio::spawn(async move {
                connection::serve(socket, router, peer, Requests::One, stopping).await;
                drop((place, served)); // the socket is closed
            });
        }
    }
}

/// Accepts for ever.
async fn accept_all(own: Option<&Own>, stopping: &watch::Sender<bool>) {
    let Some(own) = own else {
        return std::future::pending().await;
    };
    let mut is_warned = false;
    loop {
        let served = Arc::clone(&own.served).acquire_owned().await;
        let served = served.expect("nobody closes it");
        let (socket, peer) = match own.listener.accept().await {
            Ok((socket, peer)) => {
                tracing::debug!(%peer, "accepted for the API");
                let (addr, client) = (Some(peer), None);
                (socket, Peer { addr, client })
            }
            // Its peer has gone already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                if !is_warned {
                    tracing::warn!("the API does not accept for a moment: {error}");
                }
                is_warned = true;
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        is_warned = false;
        // Without it an answer in two pieces would wait for the peer's acknowledgement.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!("no TCP_NODELAY: {error}");
        }
        let socket = match Stream::accepted(socket, own.tls.as_ref()) {
            Ok(stream) => Socket::new(stream, bytes::Bytes::new()),
            Err(error) => {
                tracing::warn!("TLS: {error}");
                continue;
            }
        };
        let router = own.router.clone();
        let stopping = stopping.subscribe();
        tokio::spawn(async move {
            connection::serve(socket, router, peer, Requests::Any, stopping).await;
            drop(served);
        });
    }
}

/// What is where.
pub(super) fn router(probes: &Arc<Probes>, door: Door) -> Router {
    let router = probes::routes(probes, door).fallback(|| async { Refusal::NotFound });
    let router = match door {
        Door::Main { has_api: false } => router,
        Door::Main { has_api: true } | Door::Own => {
            let methods = Router::new()
                .route("/api/{method}", any(api::serve))
                .with_state(Arc::clone(&probes.api));
            router.merge(methods)
        }
    };
    router.layer(from_fn_with_state(Arc::clone(probes), count))
}

/// Counts an answer, and logs it if all are.
async fn count(State(probes): State<Arc<Probes>>, request: Request, next: Next) -> Response {
    let Some(clock) = probes.access_log else {
        let response = next.run(request).await;
        probes.metrics.answers(response.status().as_u16());
        return response;
    };
    let began = clock.read();
    let peer: Option<Peer> = request.extensions().get().copied();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    probes.metrics.answers(status);
    let took = clock.read().since(began);
    let addr = peer.as_ref().and_then(|peer| peer.addr.as_ref());
    let client = peer.and_then(|peer| peer.client);
    let request = (method.as_str(), &*path);
    access::answered(&"http", addr, client, request, status, took);
    response
}
