//! What tests of hooks stand on. In: how a backend answers. Out: one that does, on the loopback, and a worker
//! that asks it.
//!
//! Never: waits without an event, or longer than [`PATIENCE`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use axum::response::Response;
use fanfare_codec::handshake::{HeadLimits, RequestDecoder};
use fanfare_hub::{Busy, Channel, Wake};
use fanfare_protocol::hook::{HookAnswer, HookCall, HookEvent, HookFailed};
use fanfare_protocol::{Encoding, Number};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::super::super::connection::{self, Peer, Requests};
use super::super::*;
use crate::config::Sources;
use crate::returns::{Return, Returns};
use crate::slab::{ConnId, Slab};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A request as the backend got it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// A backend that answers whatever it is asked in one way.
pub(super) struct TestBackend {
    pub(super) port: u16,
    pub(super) connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl TestBackend {
    pub(super) async fn start<A, F>(answer: A) -> Self
    where
        A: Fn() -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send,
    {
        Self::start_over(answer, async |socket| Some(socket)).await
    }

    /// With `secure` in front of HTTP.
    pub(super) async fn start_over<A, F, S>(
        answer: A,
        secure: impl AsyncFn(tokio::net::TcpStream) -> Option<S> + 'static,
    ) -> Self
    where
        A: Fn() -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send,
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let router = {
            let seen = Arc::clone(&seen);
            Router::new().fallback(async move |request: Request<Body>| {
                let (head, body) = request.into_parts();
                assert_eq!(head.method, "POST");
                let body = to_bytes(body, usize::MAX).await.unwrap();
                seen.lock().unwrap().push(Seen {
                    path: head.uri.to_string(),
                    headers: head.headers,
                    body: String::from_utf8(body.into()).unwrap(),
                });
                answer().await
            })
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let secure = Arc::new(secure);
        tokio::task::spawn_local(async move {
            let stopping = watch::Sender::new(false);
            loop {
                let (socket, addr) = listener.accept().await.unwrap();
                let (addr, client) = (Some(addr), None);
                let peer = Peer { addr, client };
                count.fetch_add(1, Ordering::Relaxed);
                let (router, stops) = (router.clone(), stopping.subscribe());
                let secure = Arc::clone(&secure);
                tokio::task::spawn_local(async move {
                    if let Some(socket) = secure(socket).await {
                        connection::serve(socket, router, peer, Requests::Any, stops).await;
                    }
                });
            }
        });
        Self {
            port,
            connections,
            seen,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?key=1", self.port)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// What it was asked since the last look.
    pub(super) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// A 200 with this JSON.
pub(super) fn json(text: impl Into<String>) -> Response {
    Response::new(Body::from(text.into()))
}

/// An answer with this status and these headers, and a body that nobody reads.
pub(super) fn status(code: u16, headers: &[(&'static str, &str)]) -> Response {
    let mut answer = Response::builder().status(code);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Body::from("<html>never read</html>")).unwrap()
}

#[derive(Debug)]
struct Bell(Arc<Notify>);

impl Wake for Bell {
    fn wake(&self) {
        self.0.notify_one();
    }
}

/// A worker with one connection.
pub(super) struct Worker {
    pub(super) hooks: Hooks,
    pub(super) settings: HookSettings,
    pub(super) returns: Arc<Returns>,
    pub(super) rung: Arc<Notify>,
    pub(super) conn: ConnId,
}

impl Worker {
    /// Every hook is `url`, but for `others`: settings, as variables.
    pub(super) fn asking(url: &str, others: &[(&str, &str)]) -> Self {
        Self::asking_with(url, others, 4, Client::new())
    }

    pub(super) fn asking_with(
        url: &str,
        others: &[(&str, &str)],
        in_flight_max: usize,
        client: Client,
    ) -> Self {
        let hooks = [
            "FANFARE_HOOKS__CONNECT",
            "FANFARE_HOOKS__REFRESH",
            "FANFARE_HOOKS__RPC",
            "FANFARE_NAMESPACES__CHAT__SUBSCRIBE_HOOK",
            "FANFARE_NAMESPACES__CHAT__PUBLISH_HOOK",
        ];
        let is_other = |hook| others.iter().any(|(name, _)| *name == hook);
        let every = hooks.map(|name| (name, url));
        let every = every.iter().filter(|(name, _)| !is_other(*name));
        let environment = every.chain(others);
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        let config = Sources::new(None, environment, false).read().unwrap();
        let (hooks, asking) = new(in_flight_max, client);
        tokio::task::spawn_local(asking.run());
        let rung = Arc::new(Notify::new());
        Self {
            hooks,
            settings: config.live.hooks,
            returns: Arc::new(Returns::new(Bell(Arc::clone(&rung)))),
            rung,
            conn: Slab::new().insert(()),
        }
    }

    pub(super) fn address(&self, number: u32) -> ReturnAddress {
        ReturnAddress {
            returns: Arc::clone(&self.returns),
            conn: self.conn,
            number: Number(number),
        }
    }

    /// Headers of an upgrade with these lines, as far as they are kept.
    pub(super) fn headers(&self, lines: &str) -> ClientHeaders {
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        let mut decoder = RequestDecoder::new(HeadLimits::DEFAULT);
        let request = decoder.decode(head.as_bytes()).unwrap().unwrap();
        ClientHeaders::of_upgrade(&self.settings, request.headers(), None)
    }

    pub(super) fn ask(&self, number: u32, call: HookCall) -> Result<(), Busy> {
        let mut headers = ClientHeaders::default();
        let to = self.address(number);
        self.hooks.call(&self.settings, call, &mut headers, to)
    }

    /// The next `count` findings.
    pub(super) async fn findings(&self, count: usize) -> Vec<Return> {
        let mut all = Vec::new();
        while all.len() < count {
            let (taken, _) = self.returns.take();
            if taken.is_empty() {
                let rung = timeout(PATIENCE, self.rung.notified()).await;
                rung.unwrap_or_else(|_| panic!("{} of {count} findings", all.len()));
            }
            all.extend(taken);
        }
        assert_eq!(all.len(), count);
        all
    }

    pub(super) async fn hooked(&self, call: HookCall) -> Result<HookAnswer, HookFailed> {
        self.ask(7, call).unwrap();
        let finding = self.findings(1).await.remove(0);
        assert_eq!((finding.conn, finding.number), (self.conn, Number(7)));
        match finding.finding {
            Finding::Hooked(hooked) => hooked,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn admitted(&self) -> Result<Entry, HookFailed> {
        let mut headers = ClientHeaders::default();
        let to = self.address(8);
        let admit = self
            .hooks
            .admit(&self.settings, connect(), &mut headers, to);
        admit.unwrap();
        let finding = self.findings(1).await.remove(0);
        assert_eq!((finding.conn, finding.number), (self.conn, Number(8)));
        match finding.finding {
            Finding::Admitted(admitted) => admitted,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn call(event: HookEvent) -> HookCall {
    HookCall {
        client: "c1".into(),
        user: "56".into(),
        encoding: Some(Encoding::Json),
        meta: Some(r#"{"m":1}"#.into()),
        event,
    }
}

pub(super) fn connect() -> HookCall {
    let event = HookEvent::Connect {
        data: r#"{"d":1}"#.into(),
        name: "js".into(),
        version: "1".into(),
        headers: Default::default(),
        channels: vec!["news".into()],
    };
    HookCall {
        user: String::new(),
        meta: None,
        ..call(event)
    }
}

pub(super) fn rpc(data: impl Into<bytes::Bytes>) -> HookCall {
    call(HookEvent::Rpc {
        method: "m".into(),
        data: data.into(),
    })
}

pub(super) fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

/// Runs what spawns on its own thread.
pub(super) async fn locally(test: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().run_until(test).await;
}
