//! What operators look at. In: GET /health, /ready, /metrics. Out: whether the daemon lives, whether it would
//! serve now, what it has counted.
//!
//! Never: asks a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fanfare_hub::{Channel, EngineInfo, Request};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::access;
use super::api::Api;
use super::error::Refusal;
use crate::clock::{Clock, Time};
use crate::limits::{ENGINE_SUMS_KEPT, READY_TIME_MAX};
use crate::metrics::{self, Metrics};

/// What the answers are made of.
#[derive(Debug)]
pub(super) struct Probes {
    pub(super) api: Arc<Api>,
    pub(super) metrics: Arc<Metrics>,
    /// If each answer is logged: the clock that it is timed by.
    pub(super) access_log: Option<Clock>,
    /// Workers run.
    pub(super) serving: Arc<AtomicBool>,
    /// They are told to end.
    pub(super) stopping: Arc<AtomicBool>,
    /// The engine's, and when they were: to add them up takes it time.
    pub(super) sums: Mutex<Option<(Time, EngineInfo)>>,
}

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// `api.listen`, which whoever may read metrics can reach.
    Own,
    /// The main port, with `/api` or without.
    Main { has_api: bool },
}

/// The probes of a door.
pub(super) fn routes(probes: &Arc<Probes>, door: Door) -> Router {
    let no_get = || async { Refusal::NotAllowed { allow: "GET, HEAD" } };
    let metrics = move |State(probes): State<Arc<Probes>>, headers: HeaderMap| async move {
        probes.metrics(door, &headers).await
    };
    Router::new()
        .route("/health", get(|| async { "ok\n" }).fallback(no_get))
        .route("/ready", get(ready).fallback(no_get))
        .route("/metrics", get(metrics).fallback(no_get))
        .with_state(Arc::clone(probes))
}

/// Whether new connections would be served.
async fn ready(State(probes): State<Arc<Probes>>) -> Response {
    match probes.is_ready().await {
        Ok(()) => "ok\n".into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

impl Probes {
    async fn is_ready(&self) -> Result<(), Refusal> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(Refusal::Stopping);
        }
        if !self.serving.load(Ordering::SeqCst) {
            return Err(Refusal::Starting);
        }
        // Whatever it says, it is there.
        let channel = Channel::parse("ready").expect("a channel's name");
        let asked = self.api.caller().ask(Request::PresenceStats(channel));
        match timeout(READY_TIME_MAX, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Refusal::NoEngine),
        }
    }

    async fn metrics(&self, door: Door, headers: &HeaderMap) -> Result<Response, Refusal> {
        let live = self.api.live();
        match door {
            Door::Own => {}
            Door::Main { .. } if live.metrics_public => {}
            Door::Main { has_api: true } => access::check(&live, headers)?,
            Door::Main { has_api: false } => return Err(Refusal::NotFound),
        }
        let sums = self.sums().await;
        let text = self.metrics.expose(sums, self.api.node().users());
        Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
    }

    /// The engine's sums of now, or nearly. None: it does not answer.
    async fn sums(&self) -> Option<EngineInfo> {
        let caller = self.api.caller();
        let mut kept = self.sums.lock().await;
        let now = caller.clock().read();
        if let Some((at, sums)) = *kept
            && now.since(at) < ENGINE_SUMS_KEPT
        {
            return Some(sums);
        }
        let asked = timeout(READY_TIME_MAX, caller.ask(Request::Info)).await;
        *kept = match asked {
            Ok(Ok(fanfare_hub::Response::Info(sums))) => Some((now, sums)),
            _ => None,
        };
        kept.map(|(_, sums)| sums)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request as HttpRequest;

    use super::super::fixture::{KEY, World, ask, live};
    use super::*;
    use crate::config::{ApiAccess, Live};

    fn get(path: &str, key: Option<&str>) -> HttpRequest<Body> {
        let mut request = HttpRequest::get(path);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        request.body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn who_may_read_metrics_depends_on_the_door_the_key_and_the_config() {
        let main = |has_api| Door::Main { has_api };
        let cases = [
            (Door::Own, false, None, 200),
            (main(true), false, None, 401),
            (main(true), false, Some("wrong"), 401),
            (main(true), false, Some(KEY), 200),
            (main(true), true, None, 200),
            (main(false), false, None, 404),
            (main(false), false, Some(KEY), 404),
            (main(false), true, None, 200),
        ];
        for (door, metrics_public, key, status) in cases {
            let mut world = World::new();
            world.live.store(Arc::new(Live {
                metrics_public,
                ..live(ApiAccess::Keys(vec![KEY.to_owned()]))
            }));
            let router = world.router_of(door);
            let (came, text) = ask(&router, get("/metrics", key)).await;
            let case = format!("{door:?}, public {metrics_public}, {key:?}: {text}");
            assert_eq!(came, status, "{case}");
            assert_eq!(
                text.contains("\nfanfare_channels 0\n"),
                status == 200,
                "{case}"
            );
        }
    }

    #[tokio::test]
    async fn sums_of_the_engine_and_answers_of_this_thread_are_among_them() {
        let mut world = World::new();
        let router = world.router_of(Door::Own);
        world.subscribe("plain:a", "u", "c");
        assert_eq!(ask(&router, get("/nothing", None)).await.0, 404);
        let (_, text) = ask(&router, get("/metrics", None)).await;
        for line in [
            "fanfare_channels 1",
            "fanfare_channels_kept 1",
            "fanfare_http_requests_total{status=\"404\"} 1",
            "fanfare_publications_total{source=\"api\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in:\n{text}");
        }
    }

    #[tokio::test]
    async fn ready_says_why_not() {
        let mut world = World::new();
        let router = world.router();
        assert_eq!(
            ask(&router, get("/ready", None)).await,
            (200, "ok\n".to_owned())
        );
        world.serving.store(false, Ordering::SeqCst);
        let (status, why) = ask(&router, get("/ready", None)).await;
        assert_eq!((status, &*why), (503, "the server does not listen yet\n"));
        world.stopping.store(true, Ordering::SeqCst);
        let (status, why) = ask(&router, get("/ready", None)).await;
        assert_eq!((status, &*why), (503, "the server stops\n"));
    }

    #[tokio::test]
    async fn whoever_has_no_engine_is_not_ready() {
        let mut world = World::new();
        let router = world.router_without_answers();
        let (status, why) = ask(&router, get("/ready", None)).await;
        assert_eq!((status, &*why), (503, "the engine does not answer\n"));
        assert_eq!(ask(&router, get("/health", None)).await.0, 200);
    }
}
