//! publish, history, presence, rpc and send, and how many of them.
//!
//! Never: subscribes for its own sake.

use std::num::NonZeroU32;

use bytes::Bytes;
use fanfare_hub::EngineError;

use super::connect::alice;
use super::subscribe::subscribe;
use super::told::{Got, Told};
use super::world::*;
use crate::codes::{ClientError, Disconnect};
use crate::command::{History, Method, Position, Publish, Rpc};
use crate::hook::{Granted, HookAnswer, HookEvent, HookFailed};
use crate::limits::{ERRORS_MAX, PENDING_MAX};
use crate::session::Taken;
use crate::token::Claims;

pub(super) fn publish(channel: &str, data: &str) -> Method {
    Method::Publish(Publish {
        channel: channel.to_owned(),
        data: Bytes::from(data.to_owned()),
    })
}

fn history_of(channel: &str, change: impl FnOnce(&mut History)) -> Method {
    let mut history = History {
        channel: channel.to_owned(),
        ..History::default()
    };
    change(&mut history);
    Method::History(history)
}

fn presence(channel: &str) -> Method {
    Method::Presence {
        channel: channel.to_owned(),
    }
}

fn stats(channel: &str) -> Method {
    Method::PresenceStats {
        channel: channel.to_owned(),
    }
}

fn refused(world: &mut World, conn: Conn, method: Method) -> u32 {
    world.command(conn, 9, method);
    world.error(conn, 9)
}

#[test]
fn a_publication_is_answered_when_the_engine_has_it() {
    let mut world = World::with(|_| {});
    let conn = world.connected_as(Claims {
        info: Some("1".into()),
        ..alice()
    });
    world.command(conn, 2, subscribe("hist:a"));
    world.settle();
    world.told(conn);
    world.command(conn, 3, publish("hist:a", "{\"a\":\n1}"));
    assert!(world.told(conn).is_empty());
    world.settle();
    let told = world.told(conn);
    let publication = told.iter().find_map(|told| match told {
        Told::Publication(_, publication) => Some(publication),
        _ => None,
    });
    let publication = publication.unwrap();
    assert_eq!(
        publication.payload.as_text(),
        Some("{\"a\":1}"),
        "no raw newline"
    );
    let info = publication.info.as_ref().unwrap();
    assert_eq!(
        (info.user.as_str(), info.client.as_str()),
        ("alice", "client-0")
    );
    assert!(
        told.iter()
            .any(|told| matches!(told, Told::Reply(3, Got::Publish)))
    );
}

#[test]
fn a_publication_that_may_not_be_is_refused() {
    let mut world = World::with(|s| {
        s.namespaces
            .add(
                "subs",
                fanfare_hub::ChannelOptions {
                    allow_publish_for_client: false,
                    allow_publish_for_subscriber: true,
                    ..open()
                },
            )
            .unwrap();
    });
    let conn = world.connected();
    let long = format!("\"{}\"", "x".repeat(999));
    for (channel, data, code) in [
        ("", "1", 107),
        ("nowhere:a", "1", 102),
        ("shut:a", "1", 103),
        ("subs:a", "1", 103),
        ("open:a", "", 107),
        ("open:a", &long, 106),
        ("$open:a", "1", 103),
        ("open:a#bob", "1", 103),
    ] {
        let code_of = refused(&mut world, conn, publish(channel, data));
        assert_eq!(code_of, code, "{channel} {data:.10}");
    }
    world.command(conn, 2, subscribe("subs:a"));
    world.settle();
    world.told(conn);
    world.command(conn, 3, publish("subs:a", "1"));
    world.settle();
    assert_eq!(world.told(conn).len(), 2);
    world.command(conn, 4, publish("subs:a", "1"));
    world.fail(0, EngineError::LimitReached);
    assert_eq!(world.error(conn, 4), 106);
    world.is_busy = true;
    assert_eq!(refused(&mut world, conn, publish("open:a", "1")), 100);
    assert_eq!(refused(&mut world, conn, publish("hook:a", "1")), 100);
}

#[test]
fn the_backend_changes_or_refuses_a_publication() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    let error = ClientError {
        code: 4001,
        message: "no".into(),
        is_temporary: false,
    };
    for (answer, code) in [(Ok(HookAnswer::Error(error)), 4001), (Err(HookFailed), 100)] {
        world.command(conn, 2, publish("hook:a", "1"));
        let HookEvent::Publish { channel, data } = &world.calls[0].2.event else {
            panic!("{:?}", world.calls[0].2);
        };
        assert_eq!((channel.as_str(), &data[..]), ("hook:a", &b"1"[..]));
        world.hooked(answer);
        assert_eq!(world.error(conn, 2), code);
    }
    world.command(conn, 3, publish("hook:a", "1"));
    let next = publish("hook:a", "2");
    assert_eq!(
        world.command(conn, 4, next),
        Some(Taken::NotYet),
        "it could overtake"
    );
    assert_eq!(
        world.command(conn, 4, publish("hist:a", "2")),
        Some(Taken::Done)
    );
    world.hooked(Ok(HookAnswer::Granted(Granted {
        data: Some("\"changed\"".into()),
        skip_history: true,
        ..Granted::default()
    })));
    let fanfare_hub::Request::Publish(request) = &world.requests[1].1 else {
        panic!("{:?}", world.requests);
    };
    assert_eq!(request.payload.as_text(), Some("\"changed\""));
    assert_eq!(request.retention, None);
    world.settle();
    assert_eq!(world.told(conn).len(), 2);
    world.command(conn, 5, publish("hook:a", "1"));
    world.hooked(Ok(HookAnswer::Disconnect(Disconnect::PERMISSION_DENIED)));
    assert_eq!(world.closed(conn), 3507);
}

#[test]
fn history_is_a_page_of_it() {
    let mut world = World::with(|s| {
        s.namespaces
            .add(
                "long",
                fanfare_hub::ChannelOptions {
                    allow_history_for_client: true,
                    ..history(1000)
                },
            )
            .unwrap();
    });
    let conn = world.connected();
    for n in 1..=310 {
        world.publish("long:a", &n.to_string());
    }
    for (limit, since, reverse, first, count) in [
        (0, None, false, 0, 0),
        (2, None, false, 1, 2),
        (2, None, true, 310, 2),
        (-1, None, false, 1, 300),
        (i32::MAX, None, false, 1, 300),
        (5, Some(300), false, 301, 5),
        (5, Some(300), true, 299, 5),
        (5, Some(310), false, 0, 0),
    ] {
        let ask = history_of("long:a", |h| {
            h.limit = limit;
            h.since = since.map(|offset| Position {
                offset,
                epoch: String::new(),
            });
            h.reverse = reverse;
        });
        world.command(conn, 2, ask);
        world.settle();
        let Got::History(publications, position) = world.reply(conn, 2) else {
            panic!("no history");
        };
        assert_eq!((publications.len(), position.unwrap().offset), (count, 310));
        let offset = publications
            .first()
            .map_or(0, |p| p.position.unwrap().offset);
        assert_eq!(offset, first, "{limit} {since:?} {reverse}");
    }
    let foreign = history_of("long:a", |h| {
        h.limit = 1;
        h.since = Some(Position {
            offset: 1,
            epoch: "other".to_owned(),
        });
    });
    world.command(conn, 2, foreign);
    world.settle();
    assert_eq!(world.error(conn, 2), 112);
}

#[test]
fn a_page_of_history_ends_at_so_many_bytes() {
    let mut world = World::with(|s| {
        s.namespaces
            .add(
                "long",
                fanfare_hub::ChannelOptions {
                    allow_history_for_client: true,
                    ..history(10)
                },
            )
            .unwrap();
    });
    let conn = world.connected();
    for (bytes, count) in [(400_000, 2), (1_100_000, 1)] {
        let channel = format!("long:{bytes}");
        for _ in 0..4 {
            world.publish(&channel, &format!("\"{}\"", "x".repeat(bytes)));
        }
        world.command(conn, 2, history_of(&channel, |h| h.limit = -1));
        world.settle();
        let Got::History(publications, position) = world.reply(conn, 2) else {
            panic!("no history");
        };
        assert_eq!((publications.len(), position.unwrap().offset), (count, 4));
    }
}

#[test]
fn history_and_presence_are_for_who_may() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    for (method, code) in [
        (history_of("", |_| {}), 107),
        (history_of("nowhere:a", |_| {}), 102),
        (history_of("open:a", |_| {}), 108),
        (history_of("hist:a", |_| {}), 103),
        (presence("nowhere:a"), 102),
        (presence("shut:a"), 108),
        (stats("shut:a"), 108),
        (presence("$open:a"), 103),
        (stats("open:a#bob"), 103),
        (stats(""), 107),
    ] {
        assert_eq!(
            refused(&mut world, conn, method.clone()),
            code,
            "{method:?}"
        );
    }
    world.change(|s| {
        let deaf = fanfare_hub::ChannelOptions {
            presence: true,
            ..Default::default()
        };
        s.namespaces.add("deaf", deaf).unwrap();
    });
    assert_eq!(refused(&mut world, conn, presence("deaf:a")), 103);
    assert_eq!(refused(&mut world, conn, stats("deaf:a")), 103);
    world.command(conn, 2, subscribe("hist:a"));
    world.settle();
    world.told(conn);
    world.command(conn, 3, history_of("hist:a", |_| {}));
    world.settle();
    assert!(
        matches!(world.reply(conn, 3), Got::History(..)),
        "a subscriber may"
    );
}

#[test]
fn presence_names_and_counts_who_is_there() {
    let mut world = World::with(|_| {});
    let (anna, bob) = (world.connected(), world.connected_as(alice()));
    for conn in [anna, bob] {
        world.command(conn, 2, subscribe("open:a"));
    }
    world.settle();
    world.told(anna);
    world.command(anna, 3, presence("open:a"));
    world.settle();
    let Got::Presence(roster) = world.reply(anna, 3) else {
        panic!("no roster")
    };
    let mut clients: Vec<_> = roster.iter().map(|info| info.client.as_str()).collect();
    clients.sort_unstable();
    assert_eq!(clients, ["client-0", "client-1"]);
    world.command(anna, 4, stats("open:a"));
    world.settle();
    let Got::PresenceStats(counts) = world.reply(anna, 4) else {
        panic!("no counts")
    };
    assert_eq!((counts.clients, counts.users), (2, 2));
    world.command(anna, 5, presence("open:a"));
    world.fail(0, EngineError::TooLarge);
    assert_eq!(world.error(anna, 5), 106);
}

#[test]
fn a_call_is_the_backends() {
    let rpc = Method::Rpc(Rpc {
        method: "sum".to_owned(),
        data: "[1]".into(),
    });
    let mut world = World::with(|_| {});
    let conn = world.connected();
    assert_eq!(refused(&mut world, conn, rpc.clone()), 104);
    let mut world = World::with(|s| s.client.has_rpc_hook = true);
    let conn = world.connected_as(Claims {
        meta: Some("7".into()),
        ..alice()
    });
    world.command(conn, 2, rpc.clone());
    let call = &world.calls[0].2;
    assert_eq!(
        (call.user.as_str(), call.meta.as_deref()),
        ("alice", Some(&b"7"[..]))
    );
    assert!(
        matches!(&call.event, HookEvent::Rpc { method, data } if method == "sum" && &data[..] == b"[1]")
    );
    world.command(conn, 3, rpc.clone());
    world.calls.reverse();
    for data in ["3", "4"] {
        let granted = Granted {
            data: Some(data.into()),
            ..Granted::default()
        };
        world.hooked(Ok(HookAnswer::Granted(granted)));
    }
    let told = world.told(conn);
    assert!(
        matches!(&told[..], [Told::Reply(3, Got::Rpc(three)), Told::Reply(2, Got::Rpc(four))]
        if &three[..] == b"3" && &four[..] == b"4"),
        "{told:?}"
    );
    world.command(conn, 4, rpc.clone());
    world.hooked(Err(HookFailed));
    assert_eq!(world.error(conn, 4), 100);
    world.command(conn, 5, rpc.clone());
    world.hooked(Ok(HookAnswer::Error(ClientError::NOT_AVAILABLE)));
    assert_eq!(world.error(conn, 5), 108);
    world.is_busy = true;
    assert_eq!(refused(&mut world, conn, rpc.clone()), 100);
    world.is_busy = false;
    world.command(conn, 6, rpc);
    world.hooked(Ok(HookAnswer::Disconnect(Disconnect::FORCE_DISCONNECT)));
    assert_eq!(world.closed(conn), 3503);
}

#[test]
fn what_is_sent_goes_to_the_backend_and_is_not_answered() {
    let send = Method::Send { data: "1".into() };
    let mut world = World::with(|_| {});
    let conn = world.connected();
    assert_eq!(world.command(conn, 0, send.clone()), Some(Taken::Done));
    assert!(world.calls.is_empty() && world.told(conn).is_empty());
    world.change(|s| s.client.has_rpc_hook = true);
    for _ in 0..PENDING_MAX * 2 {
        assert_eq!(
            world.command(conn, 0, send.clone()),
            Some(Taken::Done),
            "it never waits"
        );
    }
    // A client alone does not fill what all share: what is more is dropped.
    assert_eq!(world.calls.len(), PENDING_MAX);
    assert!(matches!(&world.calls[0].2.event, HookEvent::Rpc { method, .. } if method.is_empty()));
    while !world.calls.is_empty() {
        world.hooked(Ok(HookAnswer::Disconnect(Disconnect::FORCE_DISCONNECT)));
    }
    assert!(world.is_open(conn) && world.told(conn).is_empty());
}

#[test]
fn so_many_commands_wait_and_no_more() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    for id in 1..=u32::try_from(PENDING_MAX).unwrap() {
        assert!(world.session(conn).takes_commands());
        assert_eq!(world.command(conn, id, stats("open:a")), Some(Taken::Done));
    }
    assert!(!world.session(conn).takes_commands());
    assert_eq!(
        world.command(conn, 99, stats("open:a")),
        Some(Taken::NotYet)
    );
    world.work(0);
    world.drain();
    assert_eq!(world.command(conn, 99, stats("open:a")), Some(Taken::Done));
}

#[test]
fn who_asks_too_fast_is_told_so() {
    let mut world = World::with(|s| s.client.commands_per_second_max = NonZeroU32::new(10));
    let conn = world.connected();
    let error = |world: &mut World| {
        world.command(conn, 2, presence("open:a"));
        world.settle();
        matches!(world.reply(conn, 2), Got::Error(error) if error == ClientError::TOO_MANY_REQUESTS)
    };
    let errors: Vec<bool> = (0..12).map(|_| error(&mut world)).collect();
    assert_eq!(errors.iter().filter(|e| !**e).count(), 9, "connect was one");
    assert!(errors[9] && errors[10] && errors[11]);
    world.pass(std::time::Duration::from_millis(100));
    assert!(!error(&mut world), "one a tenth of a second");
    assert!(error(&mut world));
    world.change(|s| s.client.has_rpc_hook = true);
    world.command(conn, 0, Method::Send { data: "1".into() });
    assert!(world.calls.is_empty(), "what can't be refused is dropped");
}

#[test]
fn a_command_that_is_not_taken_costs_nothing() {
    let mut world = World::with(|s| s.client.commands_per_second_max = NonZeroU32::new(3));
    let conn = world.connected();
    world.command(conn, 2, subscribe("hist:a"));
    for _ in 0..10 {
        assert_eq!(
            world.command(conn, 3, presence("hist:a")),
            Some(Taken::NotYet)
        );
    }
    world.settle();
    world.told(conn);
    world.command(conn, 3, presence("hist:a"));
    world.settle();
    assert!(matches!(world.reply(conn, 3), Got::Presence(_)));
}

#[test]
fn who_fails_too_often_is_closed() {
    let mut world = World::with(|s| s.client.ping_interval = None);
    let conn = world.connected();
    for round in 0..3 {
        for _ in 0..ERRORS_MAX {
            world.command(conn, 2, presence(""));
        }
        assert!(world.is_open(conn), "{round}");
        world.pass(crate::limits::ERRORS_TIME);
    }
    for _ in 0..=ERRORS_MAX {
        world.command(conn, 2, presence(""));
    }
    assert_eq!(world.closed(conn), 3509);
}

#[test]
fn who_asks_too_fast_is_not_closed_for_it() {
    let mut world = World::with(|s| {
        s.client.ping_interval = None;
        s.client.commands_per_second_max = NonZeroU32::new(1);
    });
    let conn = world.connected();
    for _ in 0..ERRORS_MAX * 2 {
        world.command(conn, 2, presence("open:a"));
        let got = world.reply(conn, 2);
        assert!(matches!(got, Got::Error(error) if error == ClientError::TOO_MANY_REQUESTS));
    }
    assert!(world.is_open(conn));
}
