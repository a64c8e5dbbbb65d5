//! What a session is given of what was before, and subscriptions that the server makes.
//!
//! Never: takes silence for an answer: what must not come is followed by something that must.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fanfare_tests::api::Api;
use fanfare_tests::jwt::{Key, SECRET};
use fanfare_tests::push::{Push, eventually};
use fanfare_tests::session::{Came, OPEN, Session, WIRES};
use serde_json::{Value, json};

fn start() -> Push {
    Push::start("workers = 2", OPEN)
}

/// Publishes the numbers `1..=last`; the epoch.
#[track_caller]
fn publish_up_to(api: &mut Api, channel: &str, last: u64) -> String {
    let mut epoch = String::new();
    for n in 1..=last {
        let result = api.publish(channel, &json!(n));
        result["epoch"].as_str().unwrap().clone_into(&mut epoch);
    }
    epoch
}

fn offsets(subscribed: &Value) -> Vec<u64> {
    let publications = subscribed["publications"].as_array();
    let publications = publications.map_or(&[][..], Vec::as_slice);
    let offset = |publication: &Value| {
        assert_eq!(publication["offset"], publication["data"], "{publication}");
        publication["offset"].as_u64().unwrap()
    };
    publications.iter().map(offset).collect()
}

/// Asks to recover from here.
fn recover(channel: &str, offset: u64, epoch: &str) -> Value {
    json!({
        "channel": channel, "recover": true, "offset": offset, "epoch": epoch,
        "positioned": true, "recoverable": true, "flag": 1,
    })
}

/// A channel, its top, and offsets to come back with: whether what is missed then is there.
type Case<'a> = (&'a str, u64, &'a [(u64, bool)]);

#[test]
fn who_was_away_gets_what_it_missed_or_is_told() {
    let push = start();
    let mut api = push.api();
    // Of `past` a thousand are kept, of `short` five, of `brief` none after a while.
    let cases: [Case<'_>; 4] = [
        (
            "past:a",
            10,
            &[
                (0, true),
                (1, true),
                (9, true),
                (10, true),
                (11, false),
                (99, false),
            ],
        ),
        (
            "past:long",
            400,
            &[(99, false), (100, true), (101, true), (400, true)],
        ),
        (
            "short:a",
            8,
            &[(0, false), (2, false), (3, true), (7, true), (8, true)],
        ),
        ("brief:a", 3, &[(0, false), (2, false), (3, true)]),
    ];
    let mut epochs = Vec::new();
    for (channel, top, _) in cases {
        epochs.push(publish_up_to(&mut api, channel, top));
    }
    eventually("the past of brief:a is gone", || {
        let page = api.result("history", &json!({"channel": "brief:a", "limit": 1}));
        page["publications"].as_array().is_none_or(Vec::is_empty)
    });
    for wire in WIRES {
        for ((channel, top, from), epoch) in cases.iter().zip(&epochs) {
            for (offset, recovers) in *from {
                for asked in [epoch.as_str(), "", "another"] {
                    let recovers = *recovers && asked != "another";
                    let mut session = Session::anonymous(&push, wire);
                    let subscribed = session.result("subscribe", &recover(channel, *offset, asked));
                    let case = format!("{wire:?} {channel} {offset} {asked:?}: {subscribed}");
                    assert_eq!(subscribed["was_recovering"], true, "{case}");
                    assert_eq!(subscribed["epoch"], epoch.as_str(), "{case}");
                    let recovered = subscribed["recovered"].as_bool().unwrap_or(false);
                    assert_eq!(recovered, recovers, "{case}");
                    let at = subscribed["offset"].as_u64().unwrap_or(0);
                    if recovers {
                        assert_eq!(at, *offset, "{case}");
                        let missed: Vec<u64> = (offset + 1..=*top).collect();
                        assert_eq!(offsets(&subscribed), missed, "{case}");
                    } else {
                        assert_eq!(at, *top, "{case}");
                        assert_eq!(offsets(&subscribed), [0; 0], "{case}");
                        // Who would rather be refused is.
                        let mut request = recover(channel, *offset, asked);
                        request["flag"] = json!(3);
                        let mut other = Session::anonymous(&push, wire);
                        other.expect_error("subscribe", &request, 112);
                        // And is not subscribed.
                        other.subscribe(channel);
                    }
                }
            }
        }
    }
}

#[test]
fn in_cache_mode_whoever_comes_gets_the_latest_and_then_what_is_next() {
    let push = start();
    let mut api = push.api();
    for wire in WIRES {
        let channel = format!("state:{wire:?}");
        let epoch = publish_up_to(&mut api, &channel, 7);
        let come = |offset, asked: &str| {
            let mut session = Session::anonymous(&push, wire);
            let subscribed = session.result("subscribe", &recover(&channel, offset, asked));
            (session, subscribed)
        };
        let mut sessions = Vec::new();
        for (offset, asked, latest) in [(0, "", 1), (3, epoch.as_str(), 1), (7, &epoch, 0)] {
            let (session, subscribed) = come(offset, asked);
            assert_eq!(subscribed["recovered"], true, "{subscribed}");
            assert_eq!(offsets(&subscribed), vec![7; latest], "{subscribed}");
            sessions.push(session);
        }
        api.publish(&channel, &json!(8));
        for session in &mut sessions {
            let publication = session.publication(&channel);
            assert_eq!(publication["offset"], 8, "{publication}");
        }
        // Without the latest, whoever has it is where the channel is, and nobody else.
        api.result("history_remove", &json!({"channel": channel}));
        for (offset, recovers) in [(7, false), (8, true)] {
            let (_, subscribed) = come(offset, &epoch);
            let recovered = subscribed["recovered"].as_bool().unwrap_or(false);
            assert_eq!(recovered, recovers, "{subscribed}");
            assert_eq!(offsets(&subscribed), [0; 0], "{subscribed}");
        }
    }
}

#[test]
fn after_a_recovery_the_next_offset_is_next() {
    let push = start();
    let mut api = push.api();
    for wire in WIRES {
        let channel = format!("past:{wire:?}");
        let epoch = publish_up_to(&mut api, &channel, 5);
        let mut lost = Session::anonymous(&push, wire);
        let mut kept = Session::anonymous(&push, wire);
        kept.result("subscribe", &recover(&channel, 2, &epoch));
        lost.result("subscribe", &recover(&channel, 2, "another"));
        for n in 6..=8 {
            api.publish(&channel, &json!(n));
            for session in [&mut kept, &mut lost] {
                let publication = session.publication(&channel);
                assert_eq!(publication["offset"], n, "{publication}");
            }
        }
    }
}

#[test]
fn a_position_is_no_recovery_where_it_is_not_allowed() {
    let push = start();
    let mut api = push.api();
    let epoch = publish_up_to(&mut api, "kept:a", 3);
    for wire in WIRES {
        for channel in ["kept:a", "open:a"] {
            let mut session = Session::anonymous(&push, wire);
            let subscribed = session.result("subscribe", &recover(channel, 1, &epoch));
            let case = format!("{wire:?} {channel}: {subscribed}");
            for field in ["recovered", "recoverable", "positioned"] {
                assert!(!subscribed[field].as_bool().unwrap_or(false), "{case}");
            }
            assert_eq!(offsets(&subscribed), [0; 0], "{case}");
        }
    }
}

#[test]
fn recovery_while_somebody_publishes_gives_every_offset_once() {
    let push = start();
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut api = push.api();
            let mut n = 0;
            while !ends.load(Ordering::Relaxed) {
                n += 1;
                api.publish("past:load", &json!(n));
            }
        });
        for wire in WIRES {
            let mut session = Session::anonymous(&push, wire);
            let subscribed = session.subscribe("past:load");
            let epoch = subscribed["epoch"].as_str().unwrap().to_owned();
            let mut at = subscribed["offset"].as_u64().unwrap_or(0);
            for cut in 0..60 {
                let case = format!("{wire:?}, cut {cut}");
                for _ in 0..cut % 7 {
                    let publication = session.publication("past:load");
                    at += 1;
                    assert_eq!(publication["offset"], at, "{case}: {publication}");
                }
                drop(session);
                session = Session::anonymous(&push, wire);
                let id = session.send("subscribe", &recover("past:load", at, &epoch));
                let Came::Reply(of, reply) = session.came() else {
                    panic!("{case}: the reply comes first");
                };
                assert_eq!(of, id, "{case}");
                let subscribed = &reply["subscribe"];
                assert_eq!(subscribed["recovered"], true, "{case}: {reply}");
                for offset in offsets(subscribed) {
                    at += 1;
                    assert_eq!(offset, at, "{case}: {reply}");
                }
            }
        }
        ends.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_inbox_that_overflows_is_told_with_2500_and_recovered() {
    const ROUND: u64 = 100;
    let tail = format!("{OPEN}[inbox]\ndeliveries_max = 2");
    let push = Push::start("workers = 1", &tail);
    let mut api = push.api();
    for wire in WIRES {
        let channel = format!("past:{wire:?}");
        let mut session = Session::anonymous(&push, wire);
        let epoch = session.subscribe(&channel)["epoch"].clone();
        let (mut at, mut told, mut rounds) = (0, 0, 0);
        while told < 3 {
            assert!(rounds < 100, "{wire:?}: it never overflows");
            let commands: Vec<Value> = (rounds * ROUND + 1..=(rounds + 1) * ROUND)
                .map(|n| json!({"publish": {"channel": channel, "data": n}}))
                .collect();
            api.answer("batch", json!({"commands": commands}).to_string());
            rounds += 1;
            while at < rounds * ROUND {
                let push = session.push();
                let case = format!("{wire:?} after {at}: {push}");
                if push["unsubscribe"].is_object() {
                    assert_eq!(push["unsubscribe"]["code"], 2500, "{case}");
                    let reason = push["unsubscribe"]["reason"].as_str();
                    assert!(reason.is_some_and(|reason| !reason.is_empty()), "{case}");
                    told += 1;
                    let request = recover(&channel, at, epoch.as_str().unwrap());
                    let subscribed = session.result("subscribe", &request);
                    assert_eq!(subscribed["recovered"], true, "{case}: {subscribed}");
                    for offset in offsets(&subscribed) {
                        at += 1;
                        assert_eq!(offset, at, "{case}: {subscribed}");
                    }
                    continue;
                }
                at += 1;
                assert_eq!(push["pub"]["offset"], at, "{case}");
            }
        }
    }
}

/// Users have personal channels, and tokens are HS256.
fn start_with_tokens(more: &str) -> Push {
    let tail = format!(
        "{OPEN}personal_channels = true\npersonal_namespace = \"past\"\n\
         [token]\nalgorithm = \"HS256\"\nhmac_key = \"{SECRET}\"\n{more}"
    );
    Push::start("workers = 2", &tail)
}

#[test]
fn the_server_subscribes_to_what_the_token_says_and_to_the_personal_channel() {
    let push = start_with_tokens("");
    let mut api = push.api();
    let claims = json!({"sub": "ada", "channels": ["past:a", "open:b", "closed:c", "past:a"]});
    let token = Key::secret(SECRET).token(&claims);
    for wire in WIRES {
        let (mut session, connected) = Session::connected(&push, wire, &json!({"token": token}));
        let case = format!("{wire:?}: {connected}");
        let subs = connected["subs"].as_object().unwrap();
        let mut channels: Vec<&str> = subs.keys().map(String::as_str).collect();
        channels.sort_unstable();
        assert_eq!(
            channels,
            ["closed:c", "open:b", "past:#ada", "past:a"],
            "{case}"
        );
        for channel in ["past:#ada", "past:a"] {
            assert_eq!(subs[channel]["positioned"], true, "{case}");
            assert_eq!(subs[channel]["recoverable"], true, "{case}");
        }
        for channel in channels {
            api.publish(channel, &json!(channel));
            session.expect_data(channel, &json!(channel));
            session.expect_error("subscribe", &json!({"channel": channel}), 105);
        }
        // Who has no name has no channel of its own.
        let (_, connected) = Session::connected(&push, wire, &json!({}));
        assert!(
            connected["subs"]
                .as_object()
                .is_none_or(serde_json::Map::is_empty),
            "{connected}"
        );
        session.result("unsubscribe", &json!({"channel": "open:b"}));
        api.publish("open:b", &json!("out"));
        session.expect_quiet("news after unsubscribe");
    }
    let nowhere = Key::secret(SECRET).token(&json!({"sub": "ada", "channels": ["nowhere:a"]}));
    for wire in WIRES {
        let mut session = Session::open(push.addr(), wire);
        session.expect_error("connect", &json!({"token": nowhere}), 102);
    }
}

#[test]
fn server_side_subscriptions_recover_in_connect_and_miss_nothing_that_races_it() {
    let push = start_with_tokens("");
    let token = Key::secret(SECRET).token(&json!({"sub": "ada", "channels": ["past:race"]}));
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut api = push.api();
            let mut n = 0;
            while !ends.load(Ordering::Relaxed) {
                n += 1;
                api.publish("past:race", &json!(n));
            }
        });
        for wire in WIRES {
            let (mut at, mut epoch) = (0, String::new());
            for cut in 0..60 {
                let case = format!("{wire:?}, cut {cut}");
                let mut session = Session::open(push.addr(), wire);
                let mut request = json!({"token": token});
                if !epoch.is_empty() {
                    request["subs"] =
                        json!({"past:race": {"recover": true, "offset": at, "epoch": epoch}});
                }
                let id = session.send("connect", &request);
                let Came::Reply(of, reply) = session.came() else {
                    panic!("{case}: the reply comes first");
                };
                assert_eq!(of, id, "{case}");
                let subscribed = &reply["connect"]["subs"]["past:race"];
                if epoch.is_empty() {
                    at = subscribed["offset"].as_u64().unwrap_or(0);
                    subscribed["epoch"].as_str().unwrap().clone_into(&mut epoch);
                } else {
                    assert_eq!(subscribed["recovered"], true, "{case}: {reply}");
                    assert_eq!(
                        subscribed["offset"].as_u64().unwrap_or(0),
                        at,
                        "{case}: {reply}"
                    );
                }
                for offset in offsets(subscribed) {
                    at += 1;
                    assert_eq!(offset, at, "{case}: {reply}");
                }
                for _ in 0..cut % 7 {
                    let publication = session.publication("past:race");
                    at += 1;
                    assert_eq!(publication["offset"], at, "{case}: {publication}");
                }
            }
        }
        ends.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_server_side_subscription_that_missed_something_closes_3010() {
    let push = start_with_tokens("[inbox]\ndeliveries_max = 2");
    let mut api = push.api();
    let token = Key::secret(SECRET).token(&json!({"sub": "ada", "channels": ["past:over"]}));
    for wire in WIRES {
        let mut session = Session::with_token(&push, wire, &token);
        let mut closed = false;
        for _ in 0..100 {
            let command = json!({"publish": {"channel": "past:over", "data": 1}});
            let mut commands = vec![command; 100];
            commands.push(json!({"publish": {"channel": "past:#ada", "data": "end"}}));
            api.answer("batch", json!({"commands": commands}).to_string());
            closed = loop {
                match session.came() {
                    Came::Push(told) if told["pub"]["data"] == "end" => break false,
                    Came::Push(told) => assert!(told["pub"].is_object(), "{wire:?}: {told}"),
                    Came::Closed(code, reason) => {
                        assert_eq!(code, 3010, "{wire:?}: {reason}");
                        assert!(!reason.is_empty(), "{wire:?}");
                        break true;
                    }
                    other => panic!("{wire:?}: {other:?}"),
                }
            };
            if closed {
                break;
            }
        }
        assert!(closed, "{wire:?}: it never overflows");
    }
}

#[test]
fn the_api_subscribes_and_unsubscribes_users() {
    let push = start_with_tokens("");
    let mut api = push.api();
    let key = Key::secret(SECRET);
    for wire in WIRES {
        let user = format!("ada{wire:?}");
        let token = key.token(&json!({"sub": user}));
        let other = key.token(&json!({"sub": "bob"}));
        let mut session = Session::with_token(&push, wire, &token);
        let mut other = Session::with_token(&push, wire, &other);
        for channel in ["past:api", "open:api", "closed:api"] {
            let request = json!({"user": user, "channel": channel});
            let case = format!("{wire:?} {channel}");
            api.result("subscribe", &request);
            let told = session.push();
            assert_eq!(told["channel"], channel, "{case}: {told}");
            let subscribed = &told["subscribe"];
            assert!(subscribed.is_object(), "{case}: {told}");
            if channel == "past:api" {
                assert_eq!(subscribed["positioned"], true, "{case}: {told}");
                assert!(subscribed["epoch"].is_string(), "{case}: {told}");
            }
            session.expect_error("subscribe", &json!({"channel": channel}), 105);
            for n in 0..3 {
                api.publish(channel, &json!(n));
                session.expect_data(channel, &json!(n));
            }
            // A second time is nothing new.
            api.result("subscribe", &request);
            api.publish(channel, &json!("still"));
            session.expect_data(channel, &json!("still"));
            api.result("unsubscribe", &request);
            let told = session.push();
            assert_eq!(told["channel"], channel, "{case}: {told}");
            assert_eq!(told["unsubscribe"]["code"], 2000, "{case}: {told}");
            let reason = told["unsubscribe"]["reason"].as_str();
            assert!(
                reason.is_some_and(|reason| !reason.is_empty()),
                "{case}: {told}"
            );
            api.publish(channel, &json!("out"));
            session.expect_quiet(&case);
        }
        other.expect_quiet("orders for somebody else");
        // A subscription of the client's own ends likewise.
        session.subscribe("open:own");
        api.result("unsubscribe", &json!({"user": user, "channel": "open:own"}));
        assert_eq!(session.push()["unsubscribe"]["code"], 2000, "{wire:?}");
    }
}

#[test]
fn an_api_subscribe_that_races_publications_loses_none_after_its_push() {
    let push = start_with_tokens("");
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut api = push.api();
            while !ends.load(Ordering::Relaxed) {
                api.publish("past:orders", &json!(0));
            }
        });
        let mut api = push.api();
        for n in 0..40 {
            let wire = WIRES[n % 2];
            let user = format!("u{n}");
            let token = Key::secret(SECRET).token(&json!({"sub": user}));
            let mut session = Session::with_token(&push, wire, &token);
            api.result(
                "subscribe",
                &json!({"user": user, "channel": "past:orders"}),
            );
            let told = session.push();
            assert!(told["subscribe"].is_object(), "{wire:?} {n}: {told}");
            let mut at = told["subscribe"]["offset"].as_u64().unwrap_or(0);
            for _ in 0..10 {
                at += 1;
                let publication = session.publication("past:orders");
                assert_eq!(
                    publication["offset"], at,
                    "{wire:?} {n}: {publication} after {told}"
                );
            }
        }
        ends.store(true, Ordering::Relaxed);
    });
}

#[test]
fn one_first_frame_may_hold_what_needs_what_is_before_it() {
    let push = start_with_tokens("");
    let token = Key::secret(SECRET).token(&json!({"sub": "ada"}));
    for wire in WIRES {
        let mut session = Session::open(push.addr(), wire);
        let channel = json!({"channel": "past:first"});
        let commands = [
            ("connect", json!({"token": token})),
            ("subscribe", channel.clone()),
            ("publish", json!({"channel": "past:first", "data": 1})),
            ("history", json!({"channel": "past:first", "limit": 1})),
        ];
        let (ids, commands): (Vec<u64>, Vec<Value>) = commands
            .iter()
            .map(|(method, request)| session.next_command(method, request))
            .unzip();
        session.say(&commands);
        for id in ids {
            let reply = session.reply(id);
            // Publishing and history are for subscribers: they wait for the subscription.
            assert!(reply["error"].is_null(), "{wire:?} {id}: {reply}");
        }
        assert_eq!(session.publication("past:first")["data"], 1);
    }
}
