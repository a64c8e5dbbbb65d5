//! Pings, and what comes late, twice, or to nobody.
//!
//! Never: subscribes for its own sake.

use std::time::Duration;

use fanfare_hub::{Channel, EngineError, Recovery, Response, Subscribed};

use super::subscribe::subscribe;
use super::told::{Got, Told};
use super::world::*;
use crate::command::Method;
use crate::hook::{Granted, HookAnswer};
use crate::session::Number;
use crate::token::Claims;

#[test]
fn who_answers_pings_stays() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    world.pass(Duration::from_secs(12));
    assert!(world.told(conn).is_empty(), "not in the first half");
    for _ in 0..5 {
        let due = world.session(conn).deadline();
        let wait = Duration::from_millis(due.as_millis() - world.now.as_millis());
        world.pass(wait);
        assert!(matches!(world.told_one(conn), Told::Ping));
        world.pass(Duration::from_secs(7));
        world.command(conn, 0, Method::Pong);
        assert!(world.told(conn).is_empty());
    }
    world.command(conn, 0, Method::Pong);
    assert_eq!(world.closed(conn), 3501, "twice");
}

#[test]
fn who_does_not_answer_a_ping_is_closed() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.closed(conn), 3012);
}

#[test]
fn who_can_not_be_heard_is_not_closed_for_its_silence() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    world.queue(conn, 2, subscribe("hist:a"));
    world.queue(conn, 3, subscribe("hist:a"));
    world.pass(Duration::from_secs(26));
    assert!(matches!(world.told_one(conn), Told::Ping));
    world.queue(conn, 0, Method::Pong);
    world.pass(Duration::from_secs(60));
    assert!(world.is_open(conn) && world.told(conn).is_empty());
    world.settle();
    assert!(world.seats[conn].backlog.is_empty());
    assert_eq!(world.told(conn).len(), 2);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.closed(conn), 3012, "now it could have answered");
}

#[test]
fn who_need_not_answer_is_pinged_all_the_same() {
    let mut world = World::with(|s| s.client.pong_timeout = None);
    let conn = world.connected();
    world.pass(Duration::from_secs(251));
    let pings = world.told(conn).len();
    assert!((9..=10).contains(&pings), "{pings}");
}

#[test]
fn a_reload_does_not_change_what_the_client_waits_for() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    world.change(|s| s.client.ping_interval = None);
    world.pass(Duration::from_secs(26));
    assert!(matches!(world.told_one(conn), Told::Ping));
}

#[test]
fn a_deadline_that_comes_early_does_nothing() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    let deadline = world.session(conn).deadline();
    for _ in 0..3 {
        world.run(conn, |session, rules, desk| {
            session.on_deadline(rules, desk)
        });
    }
    assert_eq!(world.session(conn).deadline(), deadline);
    assert!(world.told(conn).is_empty());
}

/// Gives the session everything that could come under `number`.
pub(super) fn strike(world: &mut World, conn: Conn, number: Number, channel: &str) {
    let channel = Channel::parse(channel).unwrap();
    let subscribed = Subscribed {
        channel,
        position: None,
        recovery: Recovery::NotAsked,
    };
    world.run(conn, |session, rules, desk| {
        session.on_subscribed(number, subscribed, rules, desk)?;
        session.on_answer(number, Ok(Response::Published(None)), rules, desk)?;
        session.on_answer(number, Ok(Response::Presence(Vec::new())), rules, desk)?;
        session.on_answer(number, Err(EngineError::Unavailable), rules, desk)?;
        session.on_verified(number, Ok(Claims::default()), rules, desk)?;
        session.on_hook(
            number,
            Ok(HookAnswer::Granted(Granted::default())),
            rules,
            desk,
        )
    });
}

#[test]
fn a_number_that_nothing_waits_for_is_ignored() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    world.command(conn, 2, subscribe("hist:a"));
    world.settle();
    assert!(matches!(world.reply(conn, 2), Got::Subscribe(_)));
    for number in 0..5 {
        strike(&mut world, conn, Number(number), "hist:a");
        strike(&mut world, conn, Number(u32::MAX - number), "hist:a");
    }
    assert!(world.told(conn).is_empty() && world.is_open(conn));
    assert_eq!(world.table.len(), 1);
}

#[test]
fn another_thing_under_a_number_does_not_stand_for_what_is_waited_for() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    world.command(conn, 2, subscribe("hook:a"));
    let number = world.calls[0].1;
    world.run(conn, |session, rules, desk| {
        session.on_answer(number, Err(EngineError::Unavailable), rules, desk)?;
        session.on_verified(number, Ok(Claims::default()), rules, desk)
    });
    assert!(world.told(conn).is_empty());
    world.hooked(Ok(HookAnswer::Granted(Granted::default())));
    world.settle();
    assert!(matches!(world.reply(conn, 2), Got::Subscribe(_)));
}
