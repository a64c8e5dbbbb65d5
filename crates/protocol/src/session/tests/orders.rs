//! What the API does to sessions.
//!
//! Never: goes through the API.

use std::sync::Arc;
use std::time::Duration;

use fanfare_hub::{Action, Channel, EngineError};

use super::connect::alice;
use super::subscribe::{subscribe, subscribed};
use super::told::{Got, Told};
use super::world::*;
use crate::message::Expiry;
use crate::session::{Origin, PingKind};
use crate::token::Claims;

fn disconnect(code: u16, reason: &str) -> Action {
    Action::Disconnect {
        code,
        reason: reason.into(),
    }
}

pub(super) fn unsubscribe_from(channel: Option<&str>, code: u32) -> Action {
    Action::Unsubscribe {
        channel: channel.map(|name| Channel::parse(name).unwrap()),
        code,
        reason: "".into(),
    }
}

pub(super) fn subscribe_to(world: &World, channel: &str) -> Action {
    let channel = Channel::parse(channel).unwrap();
    let options = Arc::clone(world.settings.namespaces.resolve(&channel).unwrap());
    Action::Subscribe {
        channel,
        options,
        channel_info: None,
        data: None,
        since: None,
    }
}

#[test]
fn a_disconnect_closes_with_its_code_and_never_without_a_reason() {
    for (reason, expected) in [("out", "out"), ("", "force disconnect")] {
        let mut world = World::with(|_| {});
        let conn = world.connected();
        world.order(conn, &disconnect(4501, reason));
        let told = world.told(conn);
        assert!(
            matches!(&told[..], [Told::Closed(close)] if close.code == 4501 && close.reason == expected)
        );
    }
}

#[test]
fn an_unsubscribe_is_told_to_who_was_subscribed() {
    let mut world = World::with(|_| {});
    let conn = world.connected_as(Claims {
        channels: vec!["open:s".to_owned()],
        ..alice()
    });
    for channel in ["open:a", "open:b"] {
        world.command(conn, 2, subscribe(channel));
    }
    world.settle();
    world.told(conn);
    world.order(conn, &unsubscribe_from(Some("open:a"), 2000));
    let told = world.told_one(conn);
    assert!(
        matches!(&told, Told::Unsubscribed(channel, why)
        if channel == "open:a" && why.code == 2000 && !why.reason.is_empty()),
        "{told:?}"
    );
    world.order(conn, &unsubscribe_from(Some("open:a"), 2000));
    assert!(world.told(conn).is_empty());
    world.order(conn, &unsubscribe_from(None, 2500));
    let told = world.told(conn);
    assert!(
        told.len() == 2
            && told
                .iter()
                .all(|told| matches!(told, Told::Unsubscribed(..)))
    );
    assert!(world.table.is_empty());
}

#[test]
fn a_subscribe_that_waits_is_answered_before_its_end() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    world.command(conn, 2, subscribe("open:a"));
    world.command(conn, 3, subscribe("hook:a"));
    world.order(conn, &unsubscribe_from(None, 2000));
    assert!(world.told(conn).is_empty());
    world.settle();
    world.hooked(Ok(crate::hook::HookAnswer::Granted(
        crate::hook::Granted::default(),
    )));
    world.settle();
    let told = world.told(conn);
    assert!(
        matches!(&told[..], [
        Told::Reply(2, Got::Subscribe(_)), Told::Unsubscribed(a, _),
        Told::Reply(3, Got::Subscribe(_)), Told::Unsubscribed(b, _),
    ] if a == "open:a" && b == "hook:a"),
        "{told:?}"
    );
    assert!(world.table.is_empty());
    world.command(conn, 2, subscribe("open:a"));
    world.order(conn, &unsubscribe_from(None, 2000));
    world.fail(0, EngineError::Unavailable);
    assert_eq!(world.error(conn, 2), 100);
}

#[test]
fn a_subscription_that_the_client_does_not_know_goes_without_a_word() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    let order = subscribe_to(&world, "force:a");
    world.order(conn, &order);
    world.order(conn, &unsubscribe_from(Some("force:a"), 2000));
    world.settle();
    assert!(
        world.told(conn).is_empty() && world.table.is_empty(),
        "its answer came too late"
    );
    world.order(conn, &order);
    world.fail(0, EngineError::Unavailable);
    assert!(world.told(conn).is_empty() && world.table.is_empty());
    world.command(conn, 2, subscribe("force:a"));
    world.settle();
    subscribed(&mut world, conn, 2);
}

#[test]
fn orders_reach_a_session_whose_connect_is_not_answered() {
    let mut world = World::with(|_| {});
    let conn = world.open(None, PingKind::Protocol);
    world.command(conn, 1, connect("t"));
    world.order(conn, &unsubscribe_from(None, 2000));
    world.verified(Ok(Claims {
        channels: ["open:a", "open:b", "open:c"].map(String::from).into(),
        ..alice()
    }));
    world.work(0);
    world.drain(); // open:a is live, and not told
    let order = subscribe_to(&world, "open:d");
    world.order(conn, &order);
    world.order(conn, &unsubscribe_from(Some("open:a"), 2000));
    world.order(conn, &unsubscribe_from(Some("open:b"), 2000));
    assert!(world.told(conn).is_empty());
    world.order(
        conn,
        &Action::Refresh {
            expire_at: Some(world.now + Duration::from_secs(9)),
        },
    );
    world.settle();
    let told = world.told(conn);
    let Told::Reply(1, Got::Connect(reply)) = &told[0] else {
        panic!("{told:?}")
    };
    assert_eq!(reply.expiry, Expiry(Some(9)));
    let mut channels: Vec<_> = reply.subs.iter().map(|s| s.channel.as_str()).collect();
    channels.sort_unstable();
    channels.extend(told[1..].iter().map(|told| match told {
        Told::Subscribed(sub) => sub.channel.as_str(),
        other => panic!("{other:?}"),
    }));
    assert_eq!(channels, ["open:a", "open:c", "open:d"]);
    world.pass(Duration::ZERO);
    let told = world.told_one(conn);
    assert!(
        matches!(told, Told::Unsubscribed(channel, why) if channel == "open:a" && why.code == 2000)
    );
}

#[test]
fn what_the_api_subscribes_is_server_side() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    let order = subscribe_to(&world, "force:a");
    world.order(conn, &order);
    world.settle();
    let Told::Subscribed(sub) = world.told_one(conn) else {
        panic!("no push")
    };
    assert_eq!(sub.terms.origin, Origin::Server);
    assert!(sub.terms.is_recoverable && sub.position.is_some());
}

#[test]
fn the_api_moves_a_session_s_end() {
    let mut world = World::with(|s| s.client.ping_interval = None);
    let conn = world.connected();
    let expire_at = Some(world.now + Duration::from_secs(10));
    world.order(conn, &Action::Refresh { expire_at });
    assert!(matches!(
        world.told_one(conn),
        Told::Refreshed(Expiry(Some(10)))
    ));
    world.order(conn, &Action::Refresh { expire_at: None });
    assert!(matches!(
        world.told_one(conn),
        Told::Refreshed(Expiry(None))
    ));
    world.pass(Duration::from_secs(1000));
    assert!(world.is_open(conn));
    world.order(conn, &Action::Refresh { expire_at });
    assert_eq!(world.closed(conn), 3005);
}
