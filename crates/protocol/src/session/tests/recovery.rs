//! What a subscriber gets of the past (PROTOCOL.md, "Subscribe and recover").
//!
//! Never: asks who may.

use fanfare_hub::{InboxLimits, Since};

use super::subscribe::{subscribed, with};
use super::told::{Got, Told};
use super::world::*;
use crate::command::{Method, Position};
use crate::message::Subscription;

fn epoch_of(world: &mut World, conn: Conn, channel: &str) -> String {
    world.command(conn, 90, with(channel, |s| s.positioned = true));
    world.settle();
    let epoch = subscribed(world, conn, 90)
        .position
        .unwrap()
        .epoch
        .to_string();
    world.command(conn, 91, super::subscribe::unsubscribe(channel));
    world.told(conn);
    epoch
}

fn recover(channel: &str, offset: u64, epoch: &str) -> Method {
    with(channel, |s| {
        s.recover = true;
        s.since = Position {
            offset,
            epoch: epoch.to_owned(),
        };
    })
}

fn told_of(world: &mut World, conn: Conn, method: Method) -> Subscription {
    world.command(conn, 2, method);
    world.settle();
    let subscription = subscribed(world, conn, 2);
    world.command(
        conn,
        3,
        super::subscribe::unsubscribe(subscription.channel.as_str()),
    );
    world.told(conn);
    subscription
}

#[test]
fn what_was_missed_comes_from_the_request_s_offset_on() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    for n in 0..12 {
        world.publish("hist:a", &n.to_string());
    }
    let epoch = epoch_of(&mut world, conn, "hist:a");
    // Ten are kept: 3 to 12.
    for (offset, of, expected) in [
        (12, epoch.as_str(), Some(0)),
        (9, &epoch, Some(3)),
        (2, &epoch, Some(10)),
        (2, "", Some(10)),
        (1, &epoch, None),
        (13, &epoch, None),
        (9, "another", None),
        (9, "_", None),
        (0, &epoch, None),
    ] {
        let sub = told_of(&mut world, conn, recover("hist:a", offset, of));
        assert!(sub.was_recovering && sub.terms.is_recoverable && sub.terms.is_positioned);
        let got = sub.recovered.then_some(sub.publications.len());
        assert_eq!(got, expected, "{offset} of {of:?}");
        let position = sub.position.unwrap();
        assert_eq!(position.epoch.to_string(), epoch);
        let start = if sub.recovered { offset } else { 12 };
        assert_eq!(position.offset, start, "{offset} of {of:?}");
        assert!(sub.recovered || sub.publications.is_empty());
        for (publication, offset) in sub.publications.iter().zip(offset + 1..) {
            assert_eq!(publication.position.unwrap().offset, offset);
        }
    }
}

#[test]
fn in_cache_mode_the_latest_is_all_that_is_missed() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    let sub = told_of(&mut world, conn, recover("cache:a", 0, ""));
    assert!(sub.was_recovering && !sub.recovered, "there is none yet");
    for n in 0..5 {
        world.publish("cache:a", &n.to_string());
    }
    let sub = told_of(&mut world, conn, with("cache:a", |_| {}));
    assert!(!sub.was_recovering && sub.publications.is_empty());
    let epoch = sub.position.unwrap().epoch.to_string();
    for (offset, of, expected) in [
        (0, "", 1),
        (0, epoch.as_str(), 1),
        (1, &epoch, 1), // its successor is gone from history
        (4, &epoch, 1),
        (5, "", 1),
        (5, "another", 1),
        (9, &epoch, 1),
        (5, &epoch, 0), // it has it
    ] {
        let sub = told_of(&mut world, conn, recover("cache:a", offset, of));
        let case = format!("{offset} of {of:?}");
        assert!(sub.was_recovering && sub.recovered, "{case}");
        assert_eq!(sub.position.unwrap().offset, offset, "{case}");
        let offsets = sub.publications.iter().map(|p| p.position.unwrap().offset);
        assert_eq!(offsets.collect::<Vec<_>>(), vec![5; expected], "{case}");
    }
}

#[test]
fn a_channel_that_does_not_recover_gives_a_plain_subscription() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    let sub = told_of(&mut world, conn, recover("open:a", 5, "x"));
    assert!(!sub.was_recovering && !sub.recovered && sub.position.is_none());
}

#[test]
fn flag_2_refuses_what_can_not_be_recovered() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    world.publish("hist:a", "1");
    let strict = |offset, epoch: &str| {
        with("hist:a", |s| {
            s.recover = true;
            s.since = Position {
                offset,
                epoch: epoch.to_owned(),
            };
            s.flag = 3;
        })
    };
    world.command(conn, 2, strict(1, "another"));
    world.settle();
    assert_eq!(world.error(conn, 2), 112);
    assert!(world.table.is_empty());
    assert!(told_of(&mut world, conn, strict(1, "")).recovered);
    let plain = told_of(&mut world, conn, with("hist:a", |s| s.flag = 2));
    assert!(!plain.was_recovering, "it did not ask for the past");
}

#[test]
fn a_past_longer_than_a_reply_is_not_recovered() {
    let mut world = World::with(|_| {});
    let conn = world.connected();
    let long = format!("\"{}\"", "x".repeat(300_000));
    for _ in 0..4 {
        world.publish("hist:a", &long);
    }
    let sub = told_of(&mut world, conn, recover("hist:a", 0, ""));
    assert!(sub.was_recovering && !sub.recovered && sub.publications.is_empty());
    assert_eq!(sub.position.unwrap().offset, 4, "it goes on from the top");
    let sub = told_of(&mut world, conn, recover("hist:a", 1, ""));
    assert!(sub.recovered);
    assert_eq!(sub.publications.len(), 3);
}

#[test]
fn what_the_api_lets_recover_follows_its_push() {
    let mut world = World::new(settings(), InboxLimits::default(), 1);
    let conn = world.connected();
    for n in 0..3 {
        world.publish("hist:a", &n.to_string());
    }
    let options = world
        .settings
        .namespaces
        .resolve(&fanfare_hub::Channel::parse("hist:a").unwrap());
    let order = fanfare_hub::Action::Subscribe {
        channel: fanfare_hub::Channel::parse("hist:a").unwrap(),
        options: std::sync::Arc::clone(options.unwrap()),
        channel_info: None,
        data: Some("1".into()),
        since: Some(Since {
            offset: 1,
            epoch: None,
        }),
    };
    world.order(conn, &order);
    world.settle();
    let told = world.told(conn);
    let [
        Told::Subscribed(sub),
        Told::Publication(_, two),
        Told::Publication(_, three),
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(
        (sub.position.unwrap().offset, &sub.data[..]),
        (1, &b"1"[..])
    );
    assert!(sub.publications.is_empty() && sub.terms.is_recoverable);
    assert_eq!(two.position.unwrap().offset, 2);
    assert_eq!(three.position.unwrap().offset, 3);
    world.order(conn, &order);
    world.settle();
    assert!(world.told(conn).is_empty(), "it is there already");
    world.command(conn, 5, with("hist:a", |_| {}));
    assert!(matches!(world.reply(conn, 5), Got::Error(error) if error.code == 105));
}
