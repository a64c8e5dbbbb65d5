//! The hub in a simulated world: workers, an API, clients that come, go, read slowly and lose their
//! connections, and a clock. In: a seed. Out: what happened, counted; a panic if a rule of the design is
//! broken.
//!
//! The world knows what must come out, because it keeps a naive `model` of every channel and of what each
//! subscription is owed, and nothing of the hub's own structures. Everything random comes from the seed.
//!
//! Never: waits, or reads a clock.

mod client;
mod model;
mod questions;
mod steps;
pub mod threads;
mod worker;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fanfare_hub::{
    Batch, Engine, Inbox, InboxLimits, MemoryConfig, MemoryEngine, OriginId, Origins, Publication,
    Retention, SubscriptionId, Subscriptions, Ticket, Time, Upkeep, Wake,
};

use client::Client;
use model::{ModelChannel, ModelEpochs};

/// Callers' clocks are at most so far behind.
const SKEW_MILLIS_MAX: u64 = 3;
/// A client subscribes to so many channels at once.
const CHANNELS_PER_CONNECTION_MAX: usize = 4;
/// A client's connection that has more waiting is closed.
const OUTBOX_MAX: usize = 24;

const KEYS_TTL_MILLIS: u64 = 60;

/// How often what happened, by name: a simulation that never meets a case proves nothing of it.
pub type Events = BTreeMap<&'static str, u64>;

/// In the simulation somebody always comes by to drain.
#[derive(Debug)]
struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

/// A publication that a subscription is owed.
#[derive(Clone, Copy, Debug)]
struct Owed {
    id: u64,
    /// Its worker's inbox did not take it.
    is_lost: bool,
}

/// A subscription, as the world knows it.
#[derive(Debug)]
struct Subscription {
    client: usize,
    channel: usize,
    worker: usize,
    id: SubscriptionId,
    /// It follows positions: asked for them, on a channel that has some.
    is_positioned: bool,
    is_answered: bool,
    is_told: bool,
    is_open: bool,
    /// Its name in presence.
    member: Option<String>,
    /// It asked for what it has missed since what its client has.
    is_resumed: bool,
    owed: VecDeque<Owed>,
}

/// What the table of a worker keeps with a subscriber.
#[derive(Debug)]
struct Seat {
    subscription: usize,
    /// In this turn of the worker's …
    turn: u64,
    /// … it starts behind so many publications of the channel.
    behind: usize,
}

/// A join or leave that a worker is owed: which, the channel, the client.
type Event = (bool, usize, String);

/// One of those who ask the engine.
#[derive(Debug)]
struct Asking {
    origin: OriginId,
    inbox: Arc<Inbox>,
    batch: Batch,
    /// What answers must say, by ticket.
    open: HashMap<Ticket, model::Expected>,
    /// Answers that it has not taken.
    open_count: usize,
    /// Publications, joins and leaves in the inbox, and their bytes.
    waiting: usize,
    waiting_bytes: usize,
    waiting_events: usize,
    next_ticket: u64,
}

/// A worker.
#[derive(Debug)]
struct Worker {
    asking: Asking,
    table: Subscriptions<Vec<Arc<Publication>>, Seat>,
    turn: u64,
    events: VecDeque<Event>,
    events_lost: u64,
    orders: usize,
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    rng: fastrand::Rng,
    engine: MemoryEngine,
    limits: InboxLimits,
    now: u64,
    channels: Vec<ModelChannel>,
    epochs: ModelEpochs,
    workers: Vec<Worker>,
    api: Asking,
    clients: Vec<Client>,
    subscriptions: Vec<Subscription>,
    /// Where what was published with a key is, and until when that is known.
    keys: HashMap<(usize, String), (Option<model::Place>, u64)>,
    /// A key whose publish is being done.
    keyed: Option<(usize, String)>,
    next_publication: u64,
    connections: u64,
    events: Events,
}

impl World {
    /// A world in which nothing has happened yet. Whether its inboxes overflow, how long histories are
    /// and how many workers there are depends on the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let is_tight = rng.bool();
        let limits = InboxLimits {
            deliveries_max: if is_tight { rng.usize(1..12) } else { 1 << 20 },
            events_max: if is_tight { rng.usize(1..12) } else { 1 << 20 },
            bytes_max: if is_tight { rng.usize(8..60) } else { 1 << 20 },
            requests_max: if rng.u8(..4) == 0 {
                rng.usize(1..6)
            } else {
                1 << 20
            },
            orders_max: 1 << 20,
            marks_max: if rng.bool() { rng.usize(0..3) } else { 1 << 10 },
        };
        let mut origins = Origins::default();
        let asking = |is_worker: bool, origins: &mut Origins| {
            let inbox = Arc::new(Inbox::new(limits, Nobody));
            Asking {
                origin: if is_worker {
                    origins.add_worker(Arc::clone(&inbox))
                } else {
                    origins.add_caller(Arc::clone(&inbox))
                },
                inbox,
                batch: Batch::default(),
                open: HashMap::new(),
                open_count: 0,
                waiting: 0,
                waiting_bytes: 0,
                waiting_events: 0,
                next_ticket: 0,
            }
        };
        let workers = (0..rng.usize(1..4))
            .map(|_| Worker {
                asking: asking(true, &mut origins),
                table: Subscriptions::new(CHANNELS_PER_CONNECTION_MAX),
                turn: 0,
                events: VecDeque::new(),
                events_lost: 0,
                orders: 0,
            })
            .collect();
        let api = asking(false, &mut origins);
        let config = MemoryConfig {
            idempotency_ttl: Duration::from_millis(KEYS_TTL_MILLIS),
            ..MemoryConfig::new(seed)
        };
        let channels = (0..rng.usize(1..6))
            .map(|n| {
                let retention = Retention {
                    size: rng.u32(1..20),
                    ttl: Duration::from_millis(rng.u64(20..80)),
                    meta_ttl: Duration::from_millis(rng.u64(80..400)),
                };
                ModelChannel::new(n, (rng.u8(..4) > 0).then_some(retention))
            })
            .collect();
        Self {
            engine: MemoryEngine::new(config, origins),
            limits,
            now: 1_000_000,
            channels,
            epochs: ModelEpochs::default(),
            workers,
            api,
            clients: (0..rng.usize(2..10)).map(|_| Client::default()).collect(),
            subscriptions: Vec::new(),
            keys: HashMap::new(),
            keyed: None,
            next_publication: 0,
            connections: 0,
            events: Events::new(),
            rng,
        }
    }

    /// Lets so many things happen, ends everything in order, and counts.
    ///
    /// # Panics
    ///
    /// If a rule is broken.
    #[must_use]
    pub fn run(mut self, steps: usize) -> Events {
        for _ in 0..steps {
            self.step();
        }
        self.settle();
        self.end();
        self.events
    }

    /// A caller's clock.
    fn skewed_now(&mut self) -> u64 {
        self.now - self.rng.u64(..=SKEW_MILLIS_MAX)
    }

    fn tick(&self) -> Upkeep {
        // The last of all clocks: what a tick throws away, no caller's clock would still see.
        self.engine
            .tick(Time::from_millis(self.now - SKEW_MILLIS_MAX))
    }

    /// Takes all that waits anywhere: then whoever was not told has everything.
    fn settle(&mut self) {
        // One that is told and leaves is news for the others.
        while (0..self.workers.len()).any(|worker| self.drain_worker(worker)) || self.drain_api() {}
        for client in 0..self.clients.len() {
            self.read_all(client);
        }
        for subscription in &self.subscriptions {
            if !subscription.is_open {
                continue;
            }
            assert!(
                subscription.is_answered,
                "an answer is missing: {subscription:?}"
            );
            assert!(!subscription.is_told, "whoever is told is closed");
            if subscription.is_positioned {
                assert!(
                    subscription.owed.is_empty(),
                    "not all came: {subscription:?}"
                );
                let channel = &self.channels[subscription.channel];
                let view = self.clients[subscription.client].position(subscription.channel);
                let top = channel.top(&self.epochs);
                assert_eq!(view, top, "a client is not where its channel is");
                let table = &self.workers[subscription.worker].table;
                assert_eq!(table.position(subscription.id), top, "nor the table");
            } else {
                let all_lost = subscription.owed.iter().all(|owed| owed.is_lost);
                assert!(all_lost, "not all came: {subscription:?}");
            }
        }
        for worker in &self.workers {
            assert!(worker.asking.open.is_empty(), "unanswered: {worker:?}");
            assert!(worker.events.is_empty(), "joins or leaves are missing");
            assert_eq!(worker.orders, 0, "an order is missing");
        }
        assert!(self.api.open.is_empty(), "unanswered: {:?}", self.api);
    }

    /// Everybody goes and all times run out: nothing may be left.
    fn end(&mut self) {
        for client in 0..self.clients.len() {
            self.cut(client);
        }
        self.settle();
        for worker in &self.workers {
            assert!(worker.table.is_empty() && worker.table.connections() == 0);
        }
        self.now += 1_000_000;
        while self.tick() == Upkeep::More {}
        let info = self.ask_info();
        assert_eq!(info, fanfare_hub::EngineInfo::default(), "something leaks");
    }

    fn note(&mut self, event: &'static str) {
        *self.events.entry(event).or_default() += 1;
    }
}
