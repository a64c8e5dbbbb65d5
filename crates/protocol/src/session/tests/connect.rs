//! connect and what it begins.
//!
//! Never: looks at what a token says beyond its claims.

use std::collections::BTreeMap;
use std::time::Duration;

use fanfare_hub::{ChannelOptions, EngineError, Time};

use super::told::{Connected, Got, Told};
use super::world::*;
use crate::codes::{ClientError, Disconnect};
use crate::command::{Connect, Method, Position, Rpc, Subscribe};
use crate::hook::{Granted, HookAnswer, HookEvent, HookFailed};
use crate::message::Expiry;
use crate::session::{Origin, PingKind, Taken};
use crate::token::{Claims, Grant, Overrides, TokenError, TokenKind};

pub(super) fn alice() -> Claims {
    Claims {
        user: "alice".to_owned(),
        ..Claims::default()
    }
}

fn connected(world: &mut World, conn: Conn, id: u32) -> Connected {
    match world.reply(conn, id) {
        Got::Connect(connected) => connected,
        other => panic!("{other:?}"),
    }
}

fn with_token(claims: Result<Claims, TokenError>) -> (World, Conn) {
    let mut world = World::with(|_| {});
    let conn = world.open(None, PingKind::Protocol);
    assert_eq!(world.command(conn, 7, connect("t")), Some(Taken::Done));
    assert_eq!(world.verifies[0].2, TokenKind::Connection);
    world.verified(claims);
    world.settle();
    (world, conn)
}

#[test]
fn an_anonymous_client_is_told_its_id_and_how_it_is_pinged() {
    let mut world = World::with(|_| {});
    let conn = world.open(None, PingKind::Protocol);
    assert!(!world.session(conn).is_connected());
    world.command(conn, 7, connect(""));
    let told = connected(&mut world, conn, 7);
    assert_eq!(
        (told.client.as_str(), told.ping, told.pong),
        ("client-0", 25, true)
    );
    assert_eq!(told.expiry, Expiry(None));
    assert!(told.data.is_empty());
    assert!(world.session(conn).is_connected() && world.session(conn).takes_commands());
    assert_eq!(world.session(conn).info().unwrap().user.as_str(), "");
}

#[test]
fn a_client_that_is_pinged_by_websocket_is_told_of_no_pings() {
    let mut world = World::with(|_| {});
    let conn = world.open(None, PingKind::WebSocket);
    world.command(conn, 7, connect(""));
    let told = connected(&mut world, conn, 7);
    assert_eq!((told.ping, told.pong), (0, false));
    world.pass(Duration::from_secs(1000));
    assert!(world.told(conn).is_empty());
}

#[test]
fn whatever_else_comes_first_or_second_is_a_bad_request() {
    let first = [
        Method::Pong,
        Method::Unknown,
        Method::Rpc(Rpc::default()),
        Method::Send { data: "1".into() },
        Method::Presence {
            channel: "open:a".to_owned(),
        },
    ];
    for method in first {
        let mut world = World::with(|_| {});
        let conn = world.open(None, PingKind::Protocol);
        let id = u32::from(!matches!(method, Method::Pong | Method::Send { .. }));
        assert_eq!(world.command(conn, id, method.clone()), None);
        assert_eq!(world.closed(conn), 3501, "{method:?}");
    }
    let mut world = World::with(|_| {});
    let conn = world.open(None, PingKind::Protocol);
    world.command(conn, 0, connect(""));
    assert_eq!(world.closed(conn), 3501, "connect without an id");
    let conn = world.connected();
    world.command(conn, 2, connect(""));
    assert_eq!(world.closed(conn), 3501, "a second connect");
    for (id, method) in [
        (5, Method::Unknown),
        (0, Method::Unknown),
        (5, Method::Pong),
        (0, Method::Pong),
        (
            0,
            Method::Presence {
                channel: "open:a".to_owned(),
            },
        ),
    ] {
        let conn = world.connected();
        world.command(conn, id, method.clone());
        assert_eq!(world.closed(conn), 3501, "{id} {method:?}");
    }
}

#[test]
fn no_credentials_where_some_are_needed_is_a_bad_request() {
    let mut world = World::with(|s| s.client.allow_anonymous = false);
    let conn = world.open(None, PingKind::Protocol);
    world.command(conn, 7, connect(""));
    assert_eq!(world.closed(conn), 3501);
}

#[test]
fn a_token_says_who_it_is_and_when_it_ends() {
    let mut world = World::with(|_| {});
    let ends = world.now + Duration::from_millis(59_001);
    let claims = Claims {
        info: Some("{}".into()),
        expires_at: Some(ends),
        ..alice()
    };
    let conn = world.open(None, PingKind::Protocol);
    world.command(conn, 7, connect("t"));
    assert!(!world.session(conn).takes_commands());
    let rpc = Method::Rpc(Rpc::default());
    assert_eq!(world.command(conn, 8, rpc), Some(Taken::NotYet));
    world.verified(Ok(claims));
    let told = connected(&mut world, conn, 7);
    assert_eq!(told.expiry, Expiry(Some(60)));
    let info = world.session(conn).info().unwrap();
    assert_eq!(info.user.as_str(), "alice");
    assert_eq!(info.connection_info.as_deref(), Some(&b"{}"[..]));
}

#[test]
fn expire_at_counts_instead_of_exp() {
    let at = Time::from_millis(1_700_000_000_000);
    for (expire_at, expiry) in [
        (None, Some(10)),
        (Some(None), None),
        (Some(Some(at + Duration::from_secs(20))), Some(20)),
    ] {
        let (mut world, conn) = with_token(Ok(Claims {
            expires_at: Some(at + Duration::from_secs(10)),
            expire_at,
            ..alice()
        }));
        assert_eq!(connected(&mut world, conn, 7).expiry, Expiry(expiry));
    }
}

#[test]
fn a_bad_token_closes_and_an_expired_one_gets_another_try() {
    let (mut world, conn) = with_token(Err(TokenError::Invalid));
    assert_eq!(world.closed(conn), 3500);
    let (mut world, conn) = with_token(Err(TokenError::Expired));
    assert_eq!(world.error(conn, 7), 109);
    world.command(conn, 8, connect("t"));
    assert_eq!(world.closed(conn), 3501, "after a connect that failed");
    let (mut world, conn) = with_token(Err(TokenError::Unavailable));
    assert_eq!(world.error(conn, 7), 100);
    world.pass(Duration::from_secs(11));
    assert_eq!(world.closed(conn), 3502, "it does not go by itself");
    let past = Claims {
        expire_at: Some(Some(Time::from_millis(5))),
        ..alice()
    };
    let (mut world, conn) = with_token(Ok(past));
    assert_eq!(world.error(conn, 7), 109);
}

#[test]
fn a_token_that_nobody_can_look_at() {
    let mut world = World::with(|s| s.client.has_tokens = false);
    let conn = world.open(Some("cookie"), PingKind::Protocol);
    world.command(conn, 7, connect(""));
    connected(&mut world, conn, 7);
    let conn = world.open(None, PingKind::Protocol);
    world.command(conn, 7, connect("t"));
    assert_eq!(world.closed(conn), 3500, "there are no keys");
    let mut world = World::with(|_| {});
    let conn = world.open(None, PingKind::Protocol);
    world.command(
        conn,
        7,
        connect(&"t".repeat(crate::limits::TOKEN_BYTES_MAX + 1)),
    );
    assert_eq!(world.closed(conn), 3500, "it is too long");
    let conn = world.open(None, PingKind::Protocol);
    world.is_busy = true;
    world.command(conn, 7, connect("t"));
    assert_eq!(world.error(conn, 7), 100, "too many wait");
}

#[test]
fn the_upgrades_token_counts_if_connect_brings_none() {
    let mut world = World::with(|_| {});
    for (in_connect, taken) in [("", "upgrade"), ("connect", "connect")] {
        let conn = world.open(Some("upgrade"), PingKind::Protocol);
        world.command(conn, 7, connect(in_connect));
        assert_eq!(world.verifies.pop().unwrap().3, taken);
    }
}

#[test]
fn a_user_has_so_many_connections() {
    let mut world = World::with(|_| {});
    world.users_max = 1;
    world.connected_as(alice());
    let conn = world.open(None, PingKind::Protocol);
    world.command(conn, 7, connect("t"));
    world.verified(Ok(alice()));
    assert_eq!(world.closed(conn), 3504);
}

#[test]
fn a_refused_connect_gives_the_user_s_place_back() {
    let mut world = World::with(|_| {});
    world.users_max = 1;
    let conn = world.open(None, PingKind::Protocol);
    world.command(conn, 7, connect("t"));
    world.verified(Ok(Claims {
        channels: vec!["nowhere:a".into()],
        ..alice()
    }));
    assert_eq!(world.error(conn, 7), 102);
    assert_eq!(world.left, [alice().user]);
    assert!(world.is_open(conn), "it is told, and goes by itself");
    world.connected_as(alice());
}

#[test]
fn who_does_not_connect_in_time_is_stale() {
    let mut world = World::with(|_| {});
    let conn = world.open(None, PingKind::Protocol);
    world.pass(Duration::from_millis(9_999));
    assert!(world.is_open(conn));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.closed(conn), 3502);
}

#[test]
fn a_connect_that_is_answered_too_late_may_be_tried_again() {
    let mut world = World::with(|_| {});
    let conn = world.open(None, PingKind::Protocol);
    world.pass(Duration::from_secs(9));
    world.command(conn, 7, connect("t"));
    world.pass(Duration::from_secs(9));
    assert!(world.is_open(conn), "the client was in time");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.closed(conn), 3004);
    world.verified(Ok(alice())); // into nothing
}

fn hooked(answer: Result<HookAnswer, HookFailed>) -> (World, Conn) {
    let mut world = World::with(|s| s.client.has_connect_hook = true);
    let conn = world.open(None, PingKind::Protocol);
    let request = Connect {
        name: "js".to_owned(),
        data: "1".into(),
        subs: [("open:a".to_owned(), Subscribe::default())].into(),
        ..Connect::default()
    };
    world.command(conn, 7, Method::Connect(Box::new(request)));
    let (_, _, call) = &world.calls[0];
    assert_eq!((call.client.as_str(), call.user.as_str()), ("client-0", ""));
    let HookEvent::Connect {
        name,
        data,
        channels,
        ..
    } = &call.event
    else {
        panic!("{call:?}");
    };
    assert_eq!((name.as_str(), &data[..]), ("js", &b"1"[..]));
    assert_eq!(channels, &["open:a"]);
    world.hooked(answer);
    world.settle();
    (world, conn)
}

#[test]
fn the_backend_says_who_it_is() {
    let granted = Granted {
        user: "bob".to_owned(),
        data: Some("{}".into()),
        meta: Some("5".into()),
        expire_at: Some(Time::from_millis(1_700_000_100_000)),
        channels: vec!["open:a".to_owned()],
        ..Granted::default()
    };
    let (mut world, conn) = hooked(Ok(HookAnswer::Granted(granted)));
    let told = connected(&mut world, conn, 7);
    assert_eq!(&told.data[..], b"{}");
    assert_eq!(told.expiry, Expiry(None), "a client has no token to bring");
    assert_eq!(told.subs[0].channel.as_str(), "open:a");
    assert_eq!(world.session(conn).info().unwrap().user.as_str(), "bob");
}

#[test]
fn the_backend_refuses_or_does_not_answer() {
    let error = ClientError {
        code: 1000,
        message: "no".into(),
        is_temporary: false,
    };
    let (mut world, conn) = hooked(Ok(HookAnswer::Error(error)));
    assert_eq!(world.error(conn, 7), 1000);
    let (mut world, conn) = hooked(Ok(HookAnswer::Disconnect(Disconnect::PERMISSION_DENIED)));
    assert_eq!(world.closed(conn), 3507);
    let (mut world, conn) = hooked(Err(HookFailed));
    assert_eq!(world.error(conn, 7), 100);
    let over = Granted {
        expire_at: Some(Time::from_millis(1)),
        ..Granted::default()
    };
    let (mut world, conn) = hooked(Ok(HookAnswer::Granted(over)));
    assert_eq!(world.error(conn, 7), 110);
    let mut world = World::with(|s| s.client.has_connect_hook = true);
    world.is_busy = true;
    let conn = world.open(None, PingKind::Protocol);
    world.command(conn, 7, connect(""));
    assert_eq!(world.error(conn, 7), 100);
}

fn with_subs() -> Claims {
    let positioned = Grant {
        data: Some("7".into()),
        options: Overrides {
            force_positioning: Some(true),
            ..Overrides::default()
        },
        ..Grant::default()
    };
    Claims {
        channels: vec!["open:a".to_owned(), "hist:b".to_owned()],
        subs: BTreeMap::from([("hist:b".to_owned(), positioned)]),
        ..alice()
    }
}

#[test]
fn the_reply_waits_for_every_server_side_subscription() {
    let mut world = World::with(|s| s.client.personal_namespace = Some("force".into()));
    let conn = world.open(None, PingKind::Protocol);
    world.command(conn, 7, connect("t"));
    world.verified(Ok(with_subs()));
    assert_eq!(world.requests.len(), 3, "each channel once");
    while !world.requests.is_empty() {
        assert!(world.told(conn).is_empty() && !world.session(conn).is_connected());
        world.work(0);
        world.publish("hist:b", "1");
        world.drain();
    }
    let told = world.told(conn);
    let Told::Reply(7, Got::Connect(reply)) = &told[0] else {
        panic!("{told:?}");
    };
    let names: Vec<_> = reply
        .subs
        .iter()
        .map(|s| s.channel.as_str().to_owned())
        .collect();
    assert_eq!(names, ["force:#alice", "hist:b", "open:a"]);
    let sub = &reply.subs[1];
    assert_eq!(sub.terms.origin, Origin::Server);
    assert_eq!((&sub.data[..], sub.terms.is_positioned), (&b"7"[..], true));
    assert_eq!(sub.position.unwrap().offset, 1);
    assert!(
        matches!(&told[1..], [Told::Publication(..), ..]),
        "held until then: {told:?}"
    );
    assert!(reply.subs[0].terms.is_recoverable);
}

#[test]
fn a_server_side_subscription_recovers_from_where_it_was() {
    let mut world = World::with(|_| {});
    for n in 0..4 {
        world.publish("force:a", &n.to_string());
    }
    let conn = world.open(None, PingKind::Protocol);
    let was_in = Subscribe {
        recover: true,
        since: Position {
            offset: 2,
            epoch: String::new(),
        },
        ..Subscribe::default()
    };
    let request = Connect {
        token: "t".to_owned(),
        subs: [
            ("force:a".to_owned(), was_in.clone()),
            ("open:x".to_owned(), was_in),
        ]
        .into(),
        ..Connect::default()
    };
    world.command(conn, 7, Method::Connect(Box::new(request)));
    world.verified(Ok(Claims {
        channels: vec!["force:a".to_owned()],
        ..alice()
    }));
    world.settle();
    let reply = connected(&mut world, conn, 7);
    assert_eq!(
        reply.subs.len(),
        1,
        "it is not for a client to say where it is"
    );
    let sub = &reply.subs[0];
    assert!(sub.recovered && sub.was_recovering);
    assert_eq!(
        (sub.publications.len(), sub.position.unwrap().offset),
        (2, 2)
    );
}

#[test]
fn what_one_connect_recovers_fits_one_reply() {
    let mut world = World::with(|_| {});
    let long = format!("\"{}\"", "x".repeat(600_000));
    world.publish("force:a", &long);
    world.publish("force:b", &long);
    world.publish("force:c", "1");
    let conn = world.open(None, PingKind::Protocol);
    let was_in = Subscribe {
        recover: true,
        ..Subscribe::default()
    };
    let channels = ["force:a", "force:b", "force:c"].map(str::to_owned);
    let request = Connect {
        token: "t".to_owned(),
        subs: channels.clone().map(|c| (c, was_in.clone())).into(),
        ..Connect::default()
    };
    world.command(conn, 7, Method::Connect(Box::new(request)));
    world.verified(Ok(Claims {
        channels: channels.into(),
        ..alice()
    }));
    world.settle();
    let reply = connected(&mut world, conn, 7);
    let mut recovered = 0;
    for sub in &reply.subs {
        assert!(sub.was_recovering);
        recovered += usize::from(sub.recovered);
        // Who has not recovered starts at the top, else in front of what it gets.
        let (publications, offset) = if sub.recovered { (1, 0) } else { (0, 1) };
        assert_eq!(sub.publications.len(), publications);
        assert_eq!(sub.position.unwrap().offset, offset);
    }
    assert_eq!(recovered, 2, "one of the long ones, and the short one");
}

#[test]
fn a_server_side_subscription_that_fails_fails_connect() {
    for (channel, code) in [("nowhere:a", 102), ("", 102)] {
        let (mut world, conn) = with_token(Ok(Claims {
            channels: vec!["hist:a".to_owned(), channel.to_owned()],
            ..alice()
        }));
        assert_eq!(world.error(conn, 7), code);
        assert!(world.table.is_empty(), "and leaves nothing");
    }
    let many = (0..=CHANNELS_MAX).map(|n| format!("open:{n}")).collect();
    let (mut world, conn) = with_token(Ok(Claims {
        channels: many,
        ..alice()
    }));
    assert_eq!(world.error(conn, 7), 106);
    assert!(world.table.is_empty());

    let mut world = World::with(|_| {});
    let conn = world.open(None, PingKind::Protocol);
    world.command(conn, 7, connect("t"));
    world.verified(Ok(with_subs()));
    world.work(0);
    world.drain();
    world.fail(0, EngineError::Unavailable);
    assert_eq!(world.error(conn, 7), 100);
    world.settle();
    assert!(world.table.is_empty() && world.told(conn).is_empty());
}

#[test]
fn a_personal_channel_is_for_one_user() {
    for (user, expected) in [
        ("alice", Some("#alice")),
        ("a,b", None),
        ("a#b", None),
        ("é", None),
        ("", None),
    ] {
        let mut world = World::with(|s| {
            s.client.personal_namespace = Some("".into());
            s.namespaces.set_unnamed(ChannelOptions::default()).unwrap();
        });
        let conn = world.open(None, PingKind::Protocol);
        world.command(conn, 7, connect("t"));
        world.verified(Ok(Claims {
            user: user.to_owned(),
            ..Claims::default()
        }));
        world.settle();
        let reply = connected(&mut world, conn, 7);
        let channel = reply.subs.first().map(|sub| sub.channel.as_str());
        assert_eq!(channel, expected, "{user}");
    }
}
