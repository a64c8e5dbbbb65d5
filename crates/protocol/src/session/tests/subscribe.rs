//! subscribe and unsubscribe: who may, and what comes of it.
//!
//! Never: recovers.

use std::time::Duration;

use bytes::Bytes;
use fanfare_hub::EngineError;

use super::connect::alice;
use super::told::{Got, Told};
use super::world::*;
use crate::codes::{ClientError, Disconnect};
use crate::command::{Method, Subscribe};
use crate::hook::{Granted, HookAnswer, HookEvent, HookFailed};
use crate::message::{Expiry, Subscription};
use crate::session::{Origin, Taken};
use crate::token::{Claims, Overrides, TokenError, TokenKind};

pub(super) fn subscribe(channel: &str) -> Method {
    with(channel, |_| {})
}

pub(super) fn with(channel: &str, change: impl FnOnce(&mut Subscribe)) -> Method {
    let mut subscribe = Subscribe {
        channel: channel.to_owned(),
        ..Subscribe::default()
    };
    change(&mut subscribe);
    Method::Subscribe(Box::new(subscribe))
}

pub(super) fn unsubscribe(channel: &str) -> Method {
    Method::Unsubscribe {
        channel: channel.to_owned(),
    }
}

pub(super) fn subscribed(world: &mut World, conn: Conn, id: u32) -> Subscription {
    match world.reply(conn, id) {
        Got::Subscribe(subscription) => subscription,
        other => panic!("{other:?}"),
    }
}

fn refused(world: &mut World, conn: Conn, method: Method) -> u32 {
    world.command(conn, 9, method);
    world.error(conn, 9)
}

#[test]
fn the_reply_comes_before_what_is_published_behind_it() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    assert_eq!(
        world.command(conn, 2, subscribe("hist:a")),
        Some(Taken::Done)
    );
    world.publish("hist:a", "0");
    world.work(0);
    world.publish("hist:a", "1");
    assert!(world.told(conn).is_empty());
    world.drain();
    let told = world.told(conn);
    assert!(matches!(
        &told[..],
        [Told::Reply(2, Got::Subscribe(_)), Told::Publication(..)]
    ));
}

#[test]
fn what_can_not_be_a_channel_or_has_no_namespace_is_refused() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    for (channel, code) in [
        ("", 107),
        ("open:\n", 107),
        ("open:é", 107),
        ("nowhere:a", 102),
        ("a", 102),
        ("shut:a", 103),
        ("$open:a", 103),
        ("open:a#bob", 103),
    ] {
        assert_eq!(
            refused(&mut world, conn, subscribe(channel)),
            code,
            "{channel}"
        );
    }
    assert_eq!(refused(&mut world, conn, subscribe(&"x".repeat(256))), 107);
    assert!(world.table.is_empty() && world.session(conn).is_connected());
}

#[test]
fn a_channel_of_users_is_for_them() {
    let mut world = World::with(|_| {});
    let conn = world.connected_as(alice());
    world.command(conn, 2, subscribe("open:a#bob,alice"));
    world.settle();
    subscribed(&mut world, conn, 2);
    assert_eq!(refused(&mut world, conn, subscribe("open:b#bob")), 103);
    assert_eq!(
        refused(&mut world, conn, subscribe("hook:b#bob")),
        103,
        "no hook is asked"
    );
}

#[test]
fn nobody_subscribes_twice_or_too_often() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    for n in 0..CHANNELS_MAX {
        world.command(conn, 2, subscribe(&format!("open:{n}")));
    }
    world.settle();
    world.told(conn);
    assert_eq!(refused(&mut world, conn, subscribe("open:0")), 105);
    assert_eq!(refused(&mut world, conn, subscribe("open:more")), 106);
    world.command(conn, 3, unsubscribe("open:0"));
    assert!(matches!(world.reply(conn, 3), Got::Unsubscribe));
    world.command(conn, 4, subscribe("open:more"));
    world.settle();
    subscribed(&mut world, conn, 4);
    world.command(conn, 5, unsubscribe("open:nothing of it"));
    assert!(matches!(world.reply(conn, 5), Got::Unsubscribe));
}

#[test]
fn commands_about_a_channel_wait_for_its_subscription() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    world.command(conn, 2, subscribe("hist:a"));
    for method in [
        subscribe("hist:a"),
        unsubscribe("hist:a"),
        Method::Presence {
            channel: "hist:a".to_owned(),
        },
        Method::PresenceStats {
            channel: "hist:a".to_owned(),
        },
        Method::Publish(crate::command::Publish {
            channel: "hist:a".to_owned(),
            data: "1".into(),
        }),
        Method::History(crate::command::History {
            channel: "hist:a".to_owned(),
            ..crate::command::History::default()
        }),
        Method::SubRefresh(crate::command::SubRefresh {
            channel: "hist:a".to_owned(),
            token: "t".to_owned(),
        }),
    ] {
        assert_eq!(world.command(conn, 3, method), Some(Taken::NotYet));
    }
    assert_eq!(
        world.command(conn, 4, subscribe("hist:b")),
        Some(Taken::Done)
    );
    world.settle();
    world.told(conn);
    assert_eq!(
        world.command(conn, 3, subscribe("hist:a")),
        Some(Taken::Done)
    );
}

#[test]
fn an_engine_that_fails_fails_the_command() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    for (error, code) in [
        (EngineError::Unavailable, 100),
        (EngineError::Overloaded, 100),
        (EngineError::LimitReached, 106),
        (EngineError::TooLarge, 106),
        (EngineError::UnrecoverablePosition, 112),
    ] {
        world.command(conn, 2, subscribe("hist:a"));
        world.fail(0, error);
        assert_eq!(world.error(conn, 2), code);
        world.settle();
        assert!(world.table.is_empty());
    }
    world.is_busy = true;
    assert_eq!(refused(&mut world, conn, subscribe("hist:a")), 100);
    assert_eq!(
        refused(&mut world, conn, with("hist:a", |s| s.token = "t".into())),
        100
    );
    assert_eq!(refused(&mut world, conn, subscribe("hook:a")), 100);
}

fn for_channel(channel: &str) -> Claims {
    Claims {
        channel: channel.to_owned(),
        ..alice()
    }
}

#[test]
fn a_private_channel_needs_a_token_for_it() {
    let mut world = World::with(|_| {});
    let conn = world.connected_as(alice());
    let ask = with("$shut:a", |s| s.token = "t".to_owned());
    let wrong = [
        (Err(TokenError::Expired), 109),
        (Err(TokenError::Invalid), 103),
        (Err(TokenError::Unavailable), 100),
        (Ok(for_channel("$shut:b")), 103),
        (Ok(for_channel("")), 103),
        (
            Ok(Claims {
                user: "bob".to_owned(),
                ..for_channel("$shut:a")
            }),
            103,
        ),
        (
            Ok(Claims {
                client: Some("client-9".to_owned()),
                ..for_channel("$shut:a")
            }),
            103,
        ),
        (
            Ok(Claims {
                expire_at: Some(Some(world.now)),
                ..for_channel("$shut:a")
            }),
            109,
        ),
    ];
    for (result, code) in wrong {
        world.command(conn, 2, ask.clone());
        assert_eq!(world.verifies[0].2, TokenKind::Subscription);
        world.verified(result.clone());
        assert_eq!(world.error(conn, 2), code, "{result:?}");
    }
    world.command(conn, 3, ask.clone());
    assert_eq!(world.command(conn, 4, ask), Some(Taken::NotYet));
    let ends = world.now + Duration::from_secs(30);
    world.verified(Ok(Claims {
        client: Some("client-0".to_owned()),
        expires_at: Some(ends),
        info: Some("9".into()),
        options: Overrides {
            presence: Some(true),
            ..Overrides::default()
        },
        ..for_channel("$shut:a")
    }));
    world.settle();
    let subscription = subscribed(&mut world, conn, 3);
    assert_eq!(subscription.expiry, Expiry(Some(30)));
    assert!(subscription.terms.is_member);
    assert_eq!(subscription.terms.origin, Origin::Client);
}

#[test]
fn a_subscription_token_without_keys_opens_nothing() {
    let mut world = World::with(|s| s.client.has_tokens = false);
    let conn = world.connected();
    let ask = with("open:a", |s| s.token = "t".to_owned());
    assert_eq!(refused(&mut world, conn, ask), 103);
    let mut world = World::with(|_| {});
    let conn = world.connected();
    let long = "t".repeat(crate::limits::TOKEN_BYTES_MAX + 1);
    assert_eq!(
        refused(&mut world, conn, with("open:a", |s| s.token = long)),
        103
    );
}

#[test]
fn a_token_opens_what_is_for_other_users() {
    let mut world = World::with(|_| {});
    let conn = world.connected_as(alice());
    world.command(conn, 2, with("shut:a#bob", |s| s.token = "t".to_owned()));
    world.verified(Ok(for_channel("shut:a#bob")));
    world.settle();
    subscribed(&mut world, conn, 2);
}

#[test]
fn the_backend_decides_where_it_is_asked() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    let ask = with("hook:a", |s| s.data = Bytes::from("1"));
    let error = ClientError {
        code: 4000,
        message: "no".into(),
        is_temporary: false,
    };
    let over = Granted {
        expire_at: Some(world.now),
        ..Granted::default()
    };
    for (answer, code) in [
        (Ok(HookAnswer::Error(error)), 4000),
        (Ok(HookAnswer::Granted(over)), 110),
        (Err(HookFailed), 100),
    ] {
        world.command(conn, 2, ask.clone());
        let HookEvent::Subscribe { channel, data } = &world.calls[0].2.event else {
            panic!("{:?}", world.calls[0].2);
        };
        assert_eq!((channel.as_str(), &data[..]), ("hook:a", &b"1"[..]));
        world.hooked(answer);
        assert_eq!(world.error(conn, 2), code);
    }
    world.command(conn, 3, ask.clone());
    world.hooked(Ok(HookAnswer::Granted(Granted {
        data: Some("5".into()),
        expire_at: Some(world.now + Duration::from_secs(5)),
        options: Overrides {
            force_positioning: Some(true),
            ..Overrides::default()
        },
        ..Granted::default()
    })));
    world.settle();
    let subscription = subscribed(&mut world, conn, 3);
    assert_eq!(&subscription.data[..], b"5");
    assert_eq!(
        subscription.expiry,
        Expiry(None),
        "there is no token to bring"
    );
    assert!(subscription.terms.is_positioned);
    assert!(subscription.terms.expire_at().is_some());
    let conn = world.connected();
    world.command(conn, 2, ask);
    world.hooked(Ok(HookAnswer::Disconnect(Disconnect::PERMISSION_DENIED)));
    assert_eq!(world.closed(conn), 3507);
}

#[test]
fn positions_are_for_who_may_read_history() {
    let mut world = World::with(|s| {
        s.namespaces
            .add(
                "deaf",
                fanfare_hub::ChannelOptions {
                    allow_history_for_subscriber: false,
                    ..history(5)
                },
            )
            .unwrap();
        s.namespaces
            .add(
                "forced",
                fanfare_hub::ChannelOptions {
                    allow_history_for_subscriber: false,
                    force_positioning: true,
                    ..history(5)
                },
            )
            .unwrap();
    });
    let conn = world.connected();
    // channel, asked positioned, asked recoverable → positioned, recoverable
    let table = [
        ("hist:a", false, false, false, false),
        ("hist:b", true, false, true, false),
        ("hist:c", false, true, true, true),
        ("open:d", true, true, false, false),
        ("deaf:e", true, true, false, false),
        ("forced:f", false, false, true, false),
        ("force:g", false, false, true, true),
    ];
    for (channel, positioned, recoverable, is_positioned, is_recoverable) in table {
        let ask = with(channel, |s| {
            s.positioned = positioned;
            s.recoverable = recoverable;
        });
        world.command(conn, 2, ask);
        world.settle();
        let sub = subscribed(&mut world, conn, 2);
        let got = (sub.terms.is_positioned, sub.terms.is_recoverable);
        assert_eq!(got, (is_positioned, is_recoverable), "{channel}");
        assert_eq!(sub.position.is_some(), is_positioned, "{channel}");
        assert!(!sub.was_recovering && !sub.recovered);
    }
}

#[test]
fn joins_and_leaves_are_told_to_who_asks_or_must() {
    let mut world = World::with(|s| {
        for (name, force) in [("asked", false), ("all", true)] {
            s.namespaces
                .add(
                    name,
                    fanfare_hub::ChannelOptions {
                        join_leave: true,
                        force_push_join_leave: force,
                        presence: false,
                        ..open()
                    },
                )
                .unwrap();
        }
    });
    let conn = world.connected();
    for (channel, asks, gets, is_member) in [
        ("asked:a", false, false, true),
        ("asked:b", true, true, true),
        ("all:a", false, true, true),
        ("open:a", true, false, true),
        ("shut:b", true, false, false),
    ] {
        world.change(|s| s.subscribe_hooks.extend(["shut"]));
        world.command(conn, 2, with(channel, |s| s.join_leave = asks));
        if channel == "shut:b" {
            world.hooked(Ok(HookAnswer::Granted(Granted::default())));
        }
        world.settle();
        let terms = subscribed(&mut world, conn, 2).terms;
        assert_eq!(
            (terms.gets_join_leave, terms.is_member),
            (gets, is_member),
            "{channel}"
        );
    }
}

#[test]
fn a_reload_that_takes_the_namespace_away_refuses_who_was_asked_about() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    world.command(conn, 2, subscribe("hook:a"));
    world.change(|s| s.namespaces = fanfare_hub::Namespaces::default());
    world.hooked(Ok(HookAnswer::Granted(Granted::default())));
    assert_eq!(world.error(conn, 2), 102);
}

#[test]
fn who_missed_something_is_told_or_closed() {
    let limits = fanfare_hub::InboxLimits {
        deliveries_max: 2,
        ..Default::default()
    };
    let mut world = World::new(settings(), limits, 1);
    let conn = world.connected();
    world.command(conn, 2, subscribe("force:a"));
    world.settle();
    subscribed(&mut world, conn, 2);
    for n in 0..3 {
        world.publish("force:a", &n.to_string());
    }
    world.drain();
    let told = world.told(conn);
    assert!(
        matches!(&told[2..], [Told::Unsubscribed(channel, why)]
        if channel == "force:a" && why.code == 2500),
        "{told:?}"
    );

    let conn = world.connected_as(Claims {
        channels: vec!["force:b".to_owned()],
        ..alice()
    });
    for n in 0..3 {
        world.publish("force:b", &n.to_string());
    }
    world.drain();
    assert_eq!(world.closed(conn), 3010);
    assert!(
        world
            .table
            .find(fanfare_hub::ConnToken(0), "force:b")
            .is_none()
    );
}
