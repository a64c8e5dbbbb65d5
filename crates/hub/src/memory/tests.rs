//! The engine's rules, one at a time, with one worker and one other caller. How they hold together is
//! for the simulation (`tests/suites/hub.rs`).
//!
//! Never: needs a thread.

use super::*;
use crate::engine::{CatchUp, ChannelSummary, Recovery, Subscribed};
use crate::history::{HistoryQuery, HistoryRead, Retention};
use crate::idempotency::IdempotencyKey;
use crate::inbox::{Batch, Delivery, Inbox, InboxLimits, Wake};
use crate::order::{Action, Target};
use crate::position::{Position, Since};
use crate::presence::{ClientInfo, Member, PresenceStats};
use crate::publication::{Payload, Tags};

const RETENTION: Option<Retention> = Some(Retention {
    size: 3,
    ttl: Duration::from_millis(100),
    meta_ttl: Duration::from_millis(1000),
});

#[derive(Debug)]
struct NobodySleeps;

impl Wake for NobodySleeps {
    fn wake(&self) {}
}

struct Fixture {
    engine: MemoryEngine,
    worker: OriginId,
    caller: OriginId,
    inboxes: [Arc<Inbox>; 2],
    now: Time,
}

impl Fixture {
    fn new() -> Self {
        Self::with(MemoryConfig::new(1), InboxLimits::default())
    }

    fn with(config: MemoryConfig, limits: InboxLimits) -> Self {
        let inboxes = [(); 2].map(|()| Arc::new(Inbox::new(limits, NobodySleeps)));
        let mut origins = Origins::default();
        Self {
            worker: origins.add_worker(Arc::clone(&inboxes[0])),
            caller: origins.add_caller(Arc::clone(&inboxes[1])),
            engine: MemoryEngine::new(config, origins),
            inboxes,
            now: Time::from_millis(10_000),
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// All that waits for the worker.
    fn delivered(&self) -> Vec<Delivery> {
        let mut batch = Batch::default();
        self.inboxes[0].drain(&mut batch);
        batch.collect()
    }

    /// Asks as the other caller, who has nothing else in its inbox.
    fn ask(&self, request: Request) -> Result<Response, EngineError> {
        let ticket = Ticket {
            token: 7,
            generation: 9,
        };
        let asked = self
            .engine
            .request(self.now, self.caller, Some(ticket), request);
        asked.expect("it has nothing else open");
        let mut batch = Batch::default();
        self.inboxes[1].drain(&mut batch);
        let Some(Delivery::Answer(answer)) = batch.next() else {
            panic!("no answer");
        };
        assert_eq!(answer.ticket, ticket);
        assert!(batch.next().is_none(), "one answer");
        answer.outcome
    }

    /// The worker subscribes, and takes the answer.
    fn subscribe(&self, name: &str, catch_up: CatchUp) -> Subscribed {
        let answered = self.try_subscribe(name, catch_up, None);
        answered.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn try_subscribe(
        &self,
        name: &str,
        catch_up: CatchUp,
        member: Option<Member>,
    ) -> Result<Subscribed, EngineError> {
        let ticket = Ticket {
            token: 1,
            generation: 1,
        };
        let request = Request::Subscribe(Subscribe {
            channel: channel(name),
            subscribers: 1,
            retention: RETENTION,
            catch_up,
            member,
        });
        let asked = self
            .engine
            .request(self.now, self.worker, Some(ticket), request);
        asked.expect("it has nothing else open");
        match self.delivered().into_iter().next() {
            Some(Delivery::Answer(answer)) => answer.outcome.map(|response| match response {
                Response::Subscribed(subscribed) => subscribed,
                other => panic!("{other:?}"),
            }),
            other => panic!("{other:?}"),
        }
    }

    fn unsubscribe(&self, name: &str, client: Option<&str>) {
        let request = Request::Unsubscribe(Unsubscribe {
            channel: channel(name),
            subscribers: 0,
            client: client.map(Into::into),
        });
        let asked = self.engine.request(self.now, self.worker, None, request);
        asked.expect("without a ticket nothing is refused");
    }

    fn publish(&self, name: &str) -> Option<Position> {
        self.publish_with(name, RETENTION, None)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn publish_with(
        &self,
        name: &str,
        retention: Option<Retention>,
        key: Option<&str>,
    ) -> Result<Option<Position>, EngineError> {
        let publish = Publish {
            channel: channel(name),
            payload: Payload::text("x".to_owned()),
            tags: Tags::default(),
            info: None,
            retention,
            idempotency_key: key.map(|key| IdempotencyKey::parse(key).unwrap()),
        };
        match self.ask(Request::Publish(publish))? {
            Response::Published(position) => Ok(position),
            other => panic!("{other:?}"),
        }
    }

    fn history(&self, name: &str, query: HistoryQuery) -> Result<HistoryRead, EngineError> {
        let request = Request::History(History {
            channel: channel(name),
            query,
        });
        match self.ask(request)? {
            Response::History(read) => Ok(read),
            other => panic!("{other:?}"),
        }
    }

    fn info(&self) -> EngineInfo {
        match self.ask(Request::Info) {
            Ok(Response::Info(info)) => info,
            other => panic!("{other:?}"),
        }
    }

    fn forget(&self) {
        while self.engine.tick(self.now) == Upkeep::More {}
    }
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

fn member(client: &str) -> Member {
    Member {
        info: Arc::new(ClientInfo {
            user: "u".into(),
            client: client.into(),
            connection_info: None,
            channel_info: None,
        }),
        is_listed: true,
        is_announced: true,
    }
}

#[test]
fn publications_go_to_workers_with_subscribers_only() {
    let fixture = Fixture::new();
    fixture.publish("a");
    assert!(fixture.delivered().is_empty());
    let subscribed = fixture.subscribe("a", CatchUp::Now);
    assert_eq!(subscribed.position.map(|p| p.offset), Some(1));
    let second = fixture.publish("a");
    fixture.publish("b");
    let delivered = fixture.delivered();
    let [Delivery::Publication { publication, .. }] = &delivered[..] else {
        panic!("{delivered:?}");
    };
    assert_eq!(publication.position, second);
    fixture.unsubscribe("a", None);
    fixture.publish("a");
    assert!(fixture.delivered().is_empty());
}

#[test]
fn what_a_worker_says_of_its_subscribers_counts_however_often_it_says_so() {
    let fixture = Fixture::new();
    fixture.subscribe("a", CatchUp::Now);
    fixture.subscribe("a", CatchUp::Now);
    fixture.unsubscribe("a", None);
    fixture.unsubscribe("a", None);
    fixture.unsubscribe("never heard of", None);
    fixture.publish("a");
    assert!(fixture.delivered().is_empty());
    assert_eq!(fixture.info().subscribers, 0);
}

#[test]
fn without_history_there_is_no_offset_and_nothing_is_kept() {
    let fixture = Fixture::new();
    assert_eq!(fixture.publish_with("a", None, None), Ok(None));
    assert_eq!(fixture.info(), EngineInfo::default());
    fixture.subscribe("a", CatchUp::Now);
    fixture.publish("a");
    assert_eq!(
        fixture.publish_with("a", None, None),
        Ok(None),
        "history skipped"
    );
    let delivered = fixture.delivered();
    assert_eq!(delivered.len(), 2);
    assert_eq!(fixture.publish("a").map(|p| p.offset), Some(2));
}

#[test]
fn a_subscriber_gets_what_it_missed_or_hears_that_it_cannot() {
    let mut fixture = Fixture::new();
    let first = fixture.publish("a").unwrap();
    for _ in 0..3 {
        fixture.publish("a");
    }
    let since = |offset| {
        CatchUp::Since(Since {
            offset,
            epoch: Some(first.epoch),
        })
    };
    let recovered = |catch_up| match fixture.subscribe("a", catch_up).recovery {
        Recovery::Recovered(publications) | Recovery::Last(publications) => {
            Some(publications.len())
        }
        Recovery::NotRecovered => None,
        Recovery::NotAsked => panic!("it was asked"),
    };
    assert_eq!(recovered(since(0)), None);
    assert_eq!(recovered(since(1)), Some(3));
    assert_eq!(recovered(since(4)), Some(0));
    assert_eq!(recovered(since(5)), None);
    assert_eq!(recovered(CatchUp::Last(1)), Some(1));
    assert_eq!(recovered(CatchUp::Last(9)), Some(3));
    fixture.pass(100);
    let late = fixture.subscribe("a", since(3));
    assert!(
        matches!(late.recovery, Recovery::NotRecovered),
        "too old, timer or not"
    );
    let top = fixture.subscribe("a", since(4));
    assert!(matches!(top.recovery, Recovery::Recovered(p) if p.is_empty()));
}

#[test]
fn an_epoch_ends_when_nobody_is_there_and_its_time_is_over() {
    let mut fixture = Fixture::new();
    let first = fixture.publish("a").unwrap();
    fixture.subscribe("a", CatchUp::Now);
    fixture.pass(5000);
    fixture.forget();
    fixture.unsubscribe("a", None);
    fixture.pass(999);
    fixture.forget();
    let second = fixture.publish("a").unwrap();
    assert_eq!((second.epoch, second.offset), (first.epoch, 2));
    fixture.pass(1000);
    let third = fixture.publish("a").unwrap();
    assert_ne!(third.epoch, first.epoch, "over, timer or not");
    assert_eq!(third.offset, 1);
    fixture.pass(1000);
    fixture.forget();
    assert_eq!(fixture.info(), EngineInfo::default());
}

#[test]
fn a_stream_without_publications_is_forgotten_early() {
    let mut fixture = Fixture::new();
    let first = fixture.subscribe("a", CatchUp::Now).position;
    fixture.unsubscribe("a", None);
    fixture.pass(99);
    fixture.forget();
    assert_eq!(fixture.subscribe("a", CatchUp::Now).position, first);
    fixture.unsubscribe("a", None);
    fixture.pass(100);
    fixture.forget();
    assert_eq!(fixture.info(), EngineInfo::default());
}

#[test]
fn what_a_channel_keeps_can_change_while_it_is_used() {
    let mut fixture = Fixture::new();
    for _ in 0..3 {
        fixture.publish("a");
    }
    fixture.pass(50);
    let shorter = Retention {
        size: 2,
        ttl: Duration::from_millis(50),
        ..RETENTION.unwrap()
    };
    let request = Request::Subscribe(Subscribe {
        channel: channel("a"),
        subscribers: 1,
        retention: Some(shorter),
        catch_up: CatchUp::Last(9),
        member: None,
    });
    let answer = fixture.ask(request);
    let Ok(Response::Subscribed(Subscribed { recovery, .. })) = answer else {
        panic!("{answer:?}");
    };
    assert!(
        matches!(recovery, Recovery::Last(p) if p.is_empty()),
        "too old by now"
    );
}

#[test]
fn a_removed_history_keeps_its_position() {
    let fixture = Fixture::new();
    fixture.publish("a");
    let answer = fixture.ask(Request::HistoryRemove(channel("a")));
    assert!(matches!(answer, Ok(Response::HistoryRemoved)));
    let read = fixture.history("a", HistoryQuery::default()).unwrap();
    assert!(read.publications.is_empty());
    assert_eq!(read.position.map(|p| p.offset), Some(1));
}

#[test]
fn a_channel_that_nobody_knows_has_no_history() {
    let fixture = Fixture::new();
    let read = fixture.history("a", HistoryQuery::default()).unwrap();
    assert_eq!((read.publications.len(), read.position), (0, None));
    for text in ["1", "0:abc"] {
        let query = HistoryQuery {
            since: Since::parse(text),
            ..HistoryQuery::default()
        };
        let error = fixture.history("a", query).unwrap_err();
        assert_eq!(error, EngineError::UnrecoverablePosition, "{text}");
    }
    assert_eq!(fixture.info().channels_kept, 0, "asking is free");
}

#[test]
fn a_repeated_key_publishes_once() {
    let mut fixture = Fixture::new();
    fixture.subscribe("a", CatchUp::Now);
    let first = fixture.publish_with("a", RETENTION, Some("k"));
    assert_eq!(fixture.publish_with("a", RETENTION, Some("k")), first);
    assert_eq!(fixture.delivered().len(), 1);
    let other = fixture.publish_with("a", RETENTION, Some("l"));
    assert_eq!(other.unwrap().map(|p| p.offset), Some(2));
    fixture.pass(300_000);
    fixture.forget();
    let later = fixture.publish_with("a", RETENTION, Some("k"));
    assert_eq!(later.unwrap().map(|p| p.offset), Some(3));
}

#[test]
fn presence_and_joins_follow_the_answer() {
    let fixture = Fixture::new();
    let ticket = Ticket {
        token: 1,
        generation: 1,
    };
    let request = Request::Subscribe(Subscribe {
        channel: channel("a"),
        subscribers: 1,
        retention: None,
        catch_up: CatchUp::Now,
        member: Some(member("c")),
    });
    let now = fixture.now;
    let asked = fixture
        .engine
        .request(now, fixture.worker, Some(ticket), request);
    asked.unwrap();
    let delivered = fixture.delivered();
    let [Delivery::Answer(_), Delivery::Join { info, .. }] = &delivered[..] else {
        panic!("{delivered:?}");
    };
    assert_eq!(info.client.as_str(), "c");
    let roster = fixture.ask(Request::Presence(channel("a")));
    assert!(matches!(roster, Ok(Response::Presence(r)) if r.len() == 1));
    let stats = |fixture: &Fixture| match fixture.ask(Request::PresenceStats(channel("a"))) {
        Ok(Response::PresenceStats(PresenceStats { clients, users })) => (clients, users),
        other => panic!("{other:?}"),
    };
    assert_eq!(stats(&fixture), (1, 1));
    fixture
        .try_subscribe("a", CatchUp::Now, Some(member("d")))
        .unwrap();
    assert_eq!(stats(&fixture), (2, 1));
    fixture.unsubscribe("a", Some("c"));
    assert_eq!(stats(&fixture), (1, 1));
    assert!(
        fixture.delivered().is_empty(),
        "no subscribers are left to tell"
    );
    fixture.unsubscribe("a", Some("d"));
    assert_eq!(stats(&fixture), (0, 0));
}

#[test]
fn past_the_cap_no_channel_is_taken_in_and_no_refused_one_leaks() {
    let mut fixture = Fixture::with(
        MemoryConfig {
            channels_max: 2,
            ..MemoryConfig::new(1)
        },
        InboxLimits::default(),
    );
    fixture.subscribe("a", CatchUp::Now);
    fixture.publish("b");
    for _ in 0..3 {
        let refused = fixture.try_subscribe("c", CatchUp::Now, Some(member("x")));
        assert_eq!(refused.unwrap_err(), EngineError::LimitReached);
        let refused = fixture.publish_with("c", RETENTION, None);
        assert_eq!(refused, Err(EngineError::LimitReached));
    }
    assert_eq!(
        fixture.publish_with("c", None, None),
        Ok(None),
        "takes no room"
    );
    fixture.publish("b");
    fixture.pass(1000);
    fixture.forget();
    fixture.publish("c");
    assert_eq!(fixture.info().channels_kept, 2);
}

#[test]
fn channels_are_listed_by_name_if_anyone_is_there() {
    let fixture = Fixture::new();
    for name in ["b:2", "b:1", "a:1"] {
        fixture.subscribe(name, CatchUp::Now);
    }
    fixture.publish("b:3");
    let list = |pattern| {
        let pattern = ChannelPattern::parse(pattern).unwrap();
        match fixture.ask(Request::Channels(pattern)) {
            Ok(Response::Channels(found)) => found,
            other => panic!("{other:?}"),
        }
    };
    let summary = |name| ChannelSummary {
        channel: channel(name),
        subscribers: 1,
    };
    assert_eq!(list("b:*"), [summary("b:1"), summary("b:2")]);
    assert_eq!(list("").len(), 3);
    let info = fixture.info();
    let counts = (info.channels, info.subscribers, info.channels_kept);
    assert_eq!(counts, (3, 3, 4));
    assert_eq!((info.publications, info.bytes), (1, 1));
}

#[test]
fn too_many_channels_for_one_answer_are_refused() {
    let fixture = Fixture::new();
    for n in 0..=CHANNELS_LISTED_MAX {
        fixture.subscribe(&format!("c{n}"), CatchUp::Now);
    }
    let all = fixture.ask(Request::Channels(ChannelPattern::default()));
    assert_eq!(all.unwrap_err(), EngineError::TooLarge);
    let some = ChannelPattern::parse("c9?").unwrap();
    let some = fixture.ask(Request::Channels(some));
    assert!(matches!(some, Ok(Response::Channels(found)) if found.len() == 10));
}

#[test]
fn an_order_reaches_every_worker_and_no_other_caller() {
    let limits = InboxLimits {
        orders_max: 1,
        ..InboxLimits::default()
    };
    let fixture = Fixture::with(MemoryConfig::new(1), limits);
    let order = || {
        Request::Order(Order {
            target: Target {
                user: "u".into(),
                client: None,
            },
            action: Action::Disconnect {
                code: 3503,
                reason: "force disconnect".into(),
            },
        })
    };
    assert!(matches!(fixture.ask(order()), Ok(Response::Ordered)));
    assert_eq!(fixture.ask(order()).unwrap_err(), EngineError::Overloaded);
    assert!(matches!(&fixture.delivered()[..], [Delivery::Order(_)]));
    assert!(matches!(fixture.ask(order()), Ok(Response::Ordered)));
}

#[test]
fn a_busy_origin_is_refused_and_nothing_is_done() {
    let limits = InboxLimits {
        requests_max: 1,
        ..InboxLimits::default()
    };
    let fixture = Fixture::with(MemoryConfig::new(1), limits);
    let ticket = Some(Ticket {
        token: 1,
        generation: 1,
    });
    let publish = || {
        Request::Publish(Publish {
            channel: channel("a"),
            payload: Payload::text(String::new()),
            tags: Tags::default(),
            info: None,
            retention: RETENTION,
            idempotency_key: None,
        })
    };
    let request = |ticket| {
        let engine = &fixture.engine;
        engine.request(fixture.now, fixture.worker, ticket, publish())
    };
    assert_eq!(request(ticket), Ok(()));
    assert_eq!(request(ticket), Err(Busy));
    assert_eq!(request(None), Ok(()));
    assert_eq!(fixture.delivered().len(), 1);
    assert_eq!(request(ticket), Ok(()));
    assert_eq!(fixture.info().publications, 3);
}

#[test]
fn a_tick_does_a_bounded_amount_and_says_if_there_is_more() {
    let mut fixture = Fixture::new();
    for n in 0..=TIMERS_PER_TICK_MAX {
        fixture.publish(&format!("c{n}"));
    }
    fixture.pass(100);
    assert_eq!(fixture.engine.tick(fixture.now), Upkeep::More);
    assert_eq!(fixture.info().publications, 1);
    assert_eq!(fixture.engine.tick(fixture.now), Upkeep::Done);
    assert_eq!(fixture.info().publications, 0);
}
