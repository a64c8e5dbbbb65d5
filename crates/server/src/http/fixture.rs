//! What tests of this module stand on. In: nothing. Out: an engine with a worker and the API, and their
//! settings.
//!
//! Never: part of the daemon.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use fanfare_hub::{
    Batch, CatchUp, Channel, ChannelOptions, ClientId, ClientInfo, Delivery, Engine, Inbox,
    InboxLimits, Member, MemoryConfig, MemoryEngine, Namespaces, OriginId, Origins, Payload,
    Publish, Subscribe, Tags, UserId, Wake,
};
use serde_json::Value;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use super::api::{Api, Node};
use super::caller::Caller;
use super::probes::{Door, Probes};
use super::service::router;
use super::{Mailbox, Setup};
use crate::admission::Admission;
use crate::clock::Clock;
use crate::config::{ApiAccess, Live, SharedLive};
use crate::limits::HANDOVERS_SERVED_MAX;
use crate::metrics::Metrics;
use crate::reactor::Crew;

/// The key of [`live`].
pub(super) const KEY: &str = "a-key";
pub(super) const PUBLICATION_BYTES_MAX: usize = 1 << 20;
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;

#[derive(Debug)]
struct NobodySleeps;

impl Wake for NobodySleeps {
    fn wake(&self) {}
}

/// `plain` keeps nothing; `kept` has history; `seen` has presence.
pub(super) fn live(api: ApiAccess) -> Live {
    let history = ChannelOptions {
        history_size: 10,
        history_ttl: Duration::from_secs(60),
        history_meta_ttl: Duration::from_secs(600),
        ..ChannelOptions::default()
    };
    let seen = ChannelOptions {
        presence: true,
        ..ChannelOptions::default()
    };
    let mut namespaces = Namespaces::default();
    namespaces.add("plain", ChannelOptions::default()).unwrap();
    namespaces.add("kept", history).unwrap();
    namespaces.add("seen", seen).unwrap();
    Live {
        namespaces,
        api,
        publication_bytes_max: PUBLICATION_BYTES_MAX,
        ..Live::closed()
    }
}

/// An engine in memory with one worker, and the API's place at it.
pub(super) struct World {
    pub(super) engine: Arc<MemoryEngine>,
    pub(super) worker: OriginId,
    pub(super) inbox: Arc<Inbox>,
    pub(super) origin: OriginId,
    pub(super) clock: Clock,
    pub(super) live: SharedLive,
    pub(super) admission: Arc<Admission>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) serving: Arc<AtomicBool>,
    pub(super) stopping: Arc<AtomicBool>,
    mailbox: Option<Mailbox>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_limits(InboxLimits::default())
    }

    /// With these limits of the worker's inbox.
    pub(super) fn with_limits(limits: InboxLimits) -> Self {
        let mailbox = Mailbox::new(InboxLimits::default());
        let inbox = Arc::new(Inbox::new(limits, NobodySleeps));
        let mut origins = Origins::default();
        let worker = origins.add_worker(Arc::clone(&inbox));
        let origin = origins.add_caller(mailbox.inbox());
        let live = live(ApiAccess::Keys(vec!["other".to_owned(), KEY.to_owned()]));
        Self {
            engine: Arc::new(MemoryEngine::new(MemoryConfig::new(7), origins)),
            worker,
            inbox,
            origin,
            clock: Clock::start(),
            live: Arc::new(ArcSwap::from_pointee(live)),
            admission: Arc::new(Admission::of_any(100)),
            metrics: Arc::new(Metrics::new(1, Clock::start())),
            serving: Arc::new(AtomicBool::new(true)),
            stopping: Arc::default(),
            mailbox: Some(mailbox),
        }
    }

    pub(super) fn set_access(&self, api: ApiAccess) {
        self.live.store(Arc::new(live(api)));
    }

    /// Everything that is served, on a runtime that is there already.
    pub(super) fn router(&mut self) -> Router {
        self.router_of(Door::Main { has_api: true })
    }

    /// The same behind another door.
    pub(super) fn router_of(&mut self, door: Door) -> Router {
        let (router, answers) = self.parts(door);
        tokio::spawn(answers);
        router
    }

    /// The same with an engine whose answers never arrive.
    pub(super) fn router_without_answers(&mut self) -> Router {
        self.parts(Door::Own).0
    }

    fn parts(&mut self, door: Door) -> (Router, impl Future<Output = ()> + Send + use<>) {
        let mailbox = self.mailbox.take().expect("only once");
        let engine = Arc::clone(&self.engine) as Arc<dyn Engine>;
        let (caller, answers) = Caller::new(mailbox, engine, self.origin, self.clock);
        let served = Arc::new(Semaphore::new(HANDOVERS_SERVED_MAX));
        let node = Node::new(
            Arc::new(Crew::asleep(3)),
            Arc::clone(&self.admission),
            Arc::default(),
            served,
        );
        let live = Arc::clone(&self.live);
        let metrics = Arc::clone(&self.metrics);
        let api = Api::new(caller, live, node, metrics, BODY_BYTES_MAX);
        let probes = Probes {
            api: Arc::new(api),
            metrics: Arc::clone(&self.metrics),
            access_log: None,
            serving: Arc::clone(&self.serving),
            stopping: Arc::clone(&self.stopping),
            sums: Default::default(),
        };
        (router(&Arc::new(probes), door), answers)
    }

    pub(super) fn setup(&mut self) -> Setup {
        Setup {
            census: Arc::default(),
            mailbox: self.mailbox.take().expect("only once"),
            engine: Arc::clone(&self.engine) as _,
            origin: self.origin,
            clock: self.clock,
            live: Arc::clone(&self.live),
            listener: None,
            listener_tls: None,
            tls: None,
            admission: Arc::clone(&self.admission),
            crew: Arc::new(Crew::asleep(3)),
            body_bytes_max: BODY_BYTES_MAX,
            page: false,
            hooks_in_flight_max: 4,
            metrics: Arc::clone(&self.metrics),
            access_log: false,
            serving: Arc::clone(&self.serving),
            stopping: Arc::clone(&self.stopping),
            on_hangup: Box::new(|| {}),
        }
    }

    /// A client that subscribes through the worker.
    pub(super) fn subscribe(&self, channel: &str, user: &str, client: &str) {
        let info = client_info(user, client, r#"{"a":1}"#);
        let subscribe = Subscribe {
            channel: Channel::parse(channel).unwrap(),
            subscribers: 1,
            retention: None,
            catch_up: CatchUp::Now,
            member: Some(Member {
                info: Arc::new(info),
                is_listed: true,
                is_announced: false,
            }),
        };
        self.request(fanfare_hub::Request::Subscribe(subscribe));
    }

    /// What a client publishes through the worker.
    pub(super) fn publish_text(&self, channel: &str, text: &str, connection_info: &'static str) {
        let channel = Channel::parse(channel).unwrap();
        let retention = self
            .live
            .load()
            .namespaces
            .resolve(&channel)
            .unwrap()
            .retention();
        self.request(fanfare_hub::Request::Publish(Publish {
            channel,
            payload: Payload::text(text.to_owned()),
            tags: Tags::default(),
            info: Some(Arc::new(client_info("u", "c", connection_info))),
            retention,
            idempotency_key: None,
        }));
    }

    fn request(&self, request: fanfare_hub::Request) {
        let now = self.clock.for_hub(self.clock.read());
        self.engine
            .request(now, self.worker, None, request)
            .unwrap();
    }

    /// What the worker has got since it looked last.
    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        let mut batch = Batch::default();
        let mut all = Vec::new();
        while self.inbox.drain(&mut batch) {
            all.extend(&mut batch);
        }
        all
    }
}

fn client_info(user: &str, client: &str, connection_info: &'static str) -> ClientInfo {
    ClientInfo {
        user: UserId::from(user),
        client: ClientId::from(client),
        connection_info: Some(connection_info.into()),
        channel_info: None,
    }
}

/// Status and body of an answer to a POST with the key.
pub(super) async fn post(router: &Router, path: &str, body: impl Into<Body>) -> (u16, String) {
    let request = Request::post(path).header("x-api-key", KEY);
    ask(router, request.body(body.into()).unwrap()).await
}

/// Status and body of the answer to `request`.
pub(super) async fn ask(router: &Router, request: Request<Body>) -> (u16, String) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.into()).unwrap())
}

/// The answer of a method that is called rightly.
pub(super) async fn call(router: &Router, method: &str, body: impl Into<Body>) -> Value {
    let (status, text) = post(router, &format!("/api/{method}"), body).await;
    assert_eq!(status, 200, "{method}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{method}: {error}: {text}"))
}
