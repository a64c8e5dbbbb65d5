//! refresh, sub_refresh, and what happens to who brings nothing.
//!
//! Never: subscribes without an end.

use std::time::Duration;

use fanfare_hub::Time;

use super::connect::alice;
use super::subscribe::{subscribe, subscribed, with};
use super::told::{Got, Told};
use super::world::*;
use crate::codes::{ClientError, Disconnect};
use crate::command::{Method, Refresh, SubRefresh};
use crate::hook::{Granted, HookAnswer, HookEvent, HookFailed};
use crate::message::Expiry;
use crate::session::PingKind;
use crate::token::{Claims, TokenError};

fn refresh() -> Method {
    Method::Refresh(Refresh {
        token: "t".to_owned(),
    })
}

fn sub_refresh(channel: &str) -> Method {
    Method::SubRefresh(SubRefresh {
        channel: channel.to_owned(),
        token: "t".to_owned(),
    })
}

fn until(at: Time) -> Claims {
    Claims {
        expires_at: Some(at),
        ..alice()
    }
}

fn quiet(settings: &mut Settings) {
    settings.client.ping_interval = None;
}

#[test]
fn a_session_ends_a_grace_after_its_token() {
    let mut world = World::with(quiet);
    let ends = world.now + Duration::from_secs(60);
    let conn = world.connected_as(until(ends));
    world.pass(Duration::from_millis(84_999));
    assert!(world.is_open(conn));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.closed(conn), 3005);
}

#[test]
fn a_new_token_moves_the_end() {
    let mut world = World::with(quiet);
    let ends = world.now + Duration::from_secs(60);
    let conn = world.connected_as(until(ends));
    world.pass(Duration::from_secs(60));
    world.command(conn, 2, refresh());
    world.verified(Ok(until(ends + Duration::from_secs(60))));
    assert!(matches!(
        world.reply(conn, 2),
        Got::Refresh(Expiry(Some(60)))
    ));
    world.pass(Duration::from_millis(84_999));
    assert!(world.is_open(conn));
    world.command(conn, 3, refresh());
    world.verified(Ok(alice()));
    assert!(matches!(world.reply(conn, 3), Got::Refresh(Expiry(None))));
    world.pass(Duration::from_secs(10_000));
    assert!(world.is_open(conn));
}

#[test]
fn a_refresh_that_fails_closes_unless_it_may_be_tried_again() {
    let mut world = World::with(|_| {});
    let bob = Claims {
        user: "bob".to_owned(),
        ..Claims::default()
    };
    for (result, code) in [
        (Err(TokenError::Expired), 3005),
        (Err(TokenError::Invalid), 3500),
        (Ok(bob), 3500),
        (Ok(until(world.now)), 3005),
    ] {
        let conn = world.connected_as(alice());
        world.command(conn, 2, refresh());
        world.verified(result.clone());
        assert_eq!(world.closed(conn), code, "{result:?}");
    }
    let conn = world.connected_as(alice());
    world.command(conn, 2, refresh());
    world.verified(Err(TokenError::Unavailable));
    assert_eq!(world.error(conn, 2), 100);
    world.is_busy = true;
    world.command(conn, 2, refresh());
    assert_eq!(world.error(conn, 2), 100);
    let mut world = World::with(|s| s.client.has_tokens = false);
    let conn = world.connected();
    world.command(conn, 2, refresh());
    assert_eq!(world.error(conn, 2), 108);
}

fn of_backend(world: &mut World) -> Conn {
    let conn = world.open(None, PingKind::Protocol);
    world.command(conn, 1, connect(""));
    world.hooked(Ok(HookAnswer::Granted(Granted {
        user: "alice".to_owned(),
        meta: Some("1".into()),
        expire_at: Some(world.now + Duration::from_secs(60)),
        ..Granted::default()
    })));
    world.told(conn);
    conn
}

fn backend(settings: &mut Settings) {
    settings.client.has_connect_hook = true;
    settings.client.has_refresh_hook = true;
    quiet(settings);
}

#[test]
fn the_backend_is_asked_when_the_time_it_gave_is_over() {
    let mut world = World::with(backend);
    let conn = of_backend(&mut world);
    world.pass(Duration::from_millis(59_999));
    assert!(world.calls.is_empty());
    world.pass(Duration::from_millis(1));
    let call = &world.calls[0].2;
    assert!(matches!(call.event, HookEvent::Refresh));
    assert_eq!(
        (call.user.as_str(), call.meta.as_deref()),
        ("alice", Some(&b"1"[..]))
    );
    world.pass(Duration::from_secs(1));
    assert_eq!(world.calls.len(), 1, "once");
    let expire_at = Some(world.now + Duration::from_secs(100));
    world.hooked(Ok(HookAnswer::Granted(Granted {
        expire_at,
        ..Granted::default()
    })));
    world.pass(Duration::from_secs(99));
    assert!(world.calls.is_empty() && world.is_open(conn) && world.told(conn).is_empty());
    world.pass(Duration::from_secs(1));
    world.hooked(Ok(HookAnswer::Granted(Granted::default())));
    world.pass(Duration::from_secs(10_000));
    assert!(world.calls.is_empty() && world.is_open(conn), "for ever");
}

#[test]
fn a_backend_that_does_not_answer_is_asked_again_within_the_grace() {
    let mut world = World::with(backend);
    let conn = of_backend(&mut world);
    world.pass(Duration::from_secs(60));
    for answer in [
        Err(HookFailed),
        Ok(HookAnswer::Error(ClientError::INTERNAL)),
        Err(HookFailed),
    ] {
        world.hooked(answer);
        assert!(world.calls.is_empty());
        world.pass(Duration::from_secs(5));
        assert_eq!(world.calls.len(), 1);
    }
    world.pass(Duration::from_secs(10));
    assert_eq!(world.closed(conn), 3005, "nobody said that it may stay");

    let mut world = World::with(backend);
    let conn = of_backend(&mut world);
    world.is_busy = true;
    world.pass(Duration::from_secs(84));
    assert!(world.is_open(conn) && world.calls.is_empty());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.closed(conn), 3005);
}

#[test]
fn the_backend_ends_a_session() {
    let over = Granted {
        expired: true,
        ..Granted::default()
    };
    let past = Granted {
        expire_at: Some(Time::from_millis(1)),
        ..Granted::default()
    };
    for (answer, code) in [
        (HookAnswer::Granted(over), 3005),
        (HookAnswer::Granted(past), 3005),
        (HookAnswer::Disconnect(Disconnect::FORCE_DISCONNECT), 3503),
    ] {
        let mut world = World::with(backend);
        let conn = of_backend(&mut world);
        world.pass(Duration::from_secs(60));
        world.hooked(Ok(answer));
        assert_eq!(world.closed(conn), code);
    }
    let mut world = World::with(|s| {
        backend(s);
        s.client.has_refresh_hook = false;
    });
    let conn = of_backend(&mut world);
    world.pass(Duration::from_secs(84));
    assert!(world.is_open(conn) && world.calls.is_empty());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.closed(conn), 3005);
}

fn subscribed_until(world: &mut World, conn: Conn, channel: &str, at: Time) {
    world.command(conn, 2, with(channel, |s| s.token = "t".to_owned()));
    world.verified(Ok(Claims {
        channel: channel.to_owned(),
        ..until(at)
    }));
    world.settle();
    subscribed(world, conn, 2);
}

#[test]
fn a_subscription_ends_a_grace_after_its_token_and_no_other_with_it() {
    let mut world = World::with(quiet);
    let conn = world.connected_as(alice());
    world.command(conn, 2, subscribe("open:b"));
    world.settle();
    world.told(conn);
    let now = world.now;
    subscribed_until(&mut world, conn, "open:c", now + Duration::from_secs(20));
    subscribed_until(&mut world, conn, "open:a", now + Duration::from_secs(10));
    world.pass(Duration::from_secs(34));
    assert!(world.told(conn).is_empty());
    for channel in ["open:a", "open:c"] {
        world.pass(Duration::from_secs(1));
        let told = world.told_one(conn);
        assert!(matches!(&told, Told::Unsubscribed(of, why) if of == channel && why.code == 2501));
        world.pass(Duration::from_secs(9));
    }
    world.pass(Duration::from_secs(1000));
    assert!(world.told(conn).is_empty() && world.table.len() == 1);
}

#[test]
fn a_new_subscription_token_moves_its_end() {
    let mut world = World::with(quiet);
    let conn = world.connected_as(alice());
    let now = world.now;
    subscribed_until(&mut world, conn, "open:a", now + Duration::from_secs(10));
    world.pass(Duration::from_secs(10));
    world.command(conn, 3, sub_refresh("open:a"));
    let later = now + Duration::from_secs(40);
    world.verified(Ok(Claims {
        channel: "open:a".to_owned(),
        ..until(later)
    }));
    assert!(matches!(
        world.reply(conn, 3),
        Got::SubRefresh(Expiry(Some(30)))
    ));
    world.pass(Duration::from_secs(54));
    assert!(world.told(conn).is_empty());
    world.pass(Duration::from_secs(1));
    assert!(matches!(world.told_one(conn), Told::Unsubscribed(_, why) if why.code == 2501));
}

#[test]
fn a_subscription_token_that_is_not_taken() {
    let mut world = World::with(quiet);
    let conn = world.connected_as(alice());
    let now = world.now;
    subscribed_until(&mut world, conn, "open:a", now + Duration::from_secs(10));
    let other = Claims {
        channel: "open:b".to_owned(),
        ..alice()
    };
    for (result, code) in [
        (Err(TokenError::Invalid), 103),
        (Err(TokenError::Unavailable), 100),
        (Ok(other), 103),
    ] {
        world.command(conn, 3, sub_refresh("open:a"));
        world.verified(result);
        assert_eq!(world.error(conn, 3), code);
        assert_eq!(world.table.len(), 1);
    }
    world.command(conn, 3, sub_refresh("open:a"));
    world.verified(Err(TokenError::Expired));
    let told = world.told(conn);
    assert!(
        matches!(&told[..], [Told::Unsubscribed(channel, why), Told::Reply(3, Got::Error(error))]
        if channel == "open:a" && why.code == 2501 && error.code == 109),
        "{told:?}"
    );
    for (channel, code) in [("open:a", 103), ("", 107)] {
        world.command(conn, 4, sub_refresh(channel));
        assert_eq!(world.error(conn, 4), code);
    }
}

#[test]
fn a_subscription_that_went_while_its_token_was_verified_is_not_there() {
    let mut world = World::with(quiet);
    let conn = world.connected_as(alice());
    let now = world.now;
    subscribed_until(&mut world, conn, "open:a", now + Duration::from_secs(10));
    world.command(conn, 3, sub_refresh("open:a"));
    world.pass(Duration::from_secs(35));
    assert!(matches!(world.told_one(conn), Told::Unsubscribed(..)));
    world.verified(Ok(Claims {
        channel: "open:a".to_owned(),
        ..alice()
    }));
    assert_eq!(world.error(conn, 3), 103);
}
