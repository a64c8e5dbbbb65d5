//! `since` and `history`: what was before comes first, in order, once; or 3010 says that it is gone.
//!
//! Never: takes silence for an answer: what must not come is followed by something that must.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::sync::{Condvar, Mutex};
use std::thread;

use fanfare_tests::api::{Api, position};
use fanfare_tests::client::{Client, PATIENCE};
use fanfare_tests::push::{Push, eventually};
use fanfare_tests::wire::{Frame, TEXT};
use serde_json::json;

/// Publishes the numbers `1..=last`; the position after the last.
#[track_caller]
fn publish_up_to(api: &mut Api, channel: &str, last: u64) -> String {
    let mut at = String::new();
    for n in 1..=last {
        at = position(&api.publish(channel, &json!(n)));
    }
    at
}

#[track_caller]
fn expect_numbers(client: &mut Client, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        client.expect_text(&n.to_string());
    }
}

fn epoch(at: &str) -> &str {
    at.split_once(':').expect("offset:epoch").1
}

#[test]
fn since_gives_all_that_came_after_in_order_and_goes_on() {
    let push = Push::start("workers = 2", "");
    let mut api = push.api();
    // Each on a channel of its own, so that offsets are what the case says.
    for since in [0, 1, 7, 9, 10] {
        for with_epoch in [true, false] {
            let channel = format!("past:{since}{with_epoch}");
            let top = publish_up_to(&mut api, &channel, 10);
            let epoch = if with_epoch {
                format!(":{}", epoch(&top))
            } else {
                String::new()
            };
            let mut client = push.subscribe(&format!("{channel}?since={since}{epoch}"));
            api.publish(&channel, &json!(11));
            expect_numbers(&mut client, since + 1..=11);
        }
    }
}

#[test]
fn since_is_exactly_what_meta_said() {
    let push = Push::start("", "");
    let mut api = push.api();
    let (mut client, at) = push.subscribe_at("past:a?meta=1");
    client.expect_text(&at);
    let mut positions = vec![at];
    for n in 1..=5 {
        api.publish("past:a", &json!(n));
        let message = client.text();
        let (at, payload) = message.split_once(' ').expect("a space");
        assert_eq!(payload, n.to_string());
        positions.push(at.to_owned());
    }
    for (seen, at) in positions.iter().enumerate() {
        // Percent-encoded too: browsers do that to a colon in a query.
        for at in [at.clone(), at.replace(':', "%3A")] {
            let mut client = push.subscribe(&format!("past:a?since={at}"));
            expect_numbers(&mut client, seen as u64 + 1..=5);
        }
    }
}

#[test]
fn since_with_meta_greets_first_and_prefixes_what_is_recovered() {
    let push = Push::start("", "");
    let mut api = push.api();
    let start = api.position("past:a");
    let positions: Vec<String> = (1..=5)
        .map(|n| position(&api.publish("past:a", &json!(n))))
        .collect();
    let since = &positions[1];
    let mut client = push.subscribe(&format!("past:a?meta=1&since={since}"));
    let greeting = client.text();
    // Whoever was cut off right behind the greeting would come back with it: it must lose nothing then.
    assert_eq!(&greeting, since, "started at {start}");
    for n in 3..=5 {
        client.expect_text(&format!("{} {n}", positions[n - 1]));
    }
    let live = position(&api.publish("past:a", &json!(6)));
    client.expect_text(&format!("{live} 6"));
}

#[test]
fn history_with_meta_greets_first_and_prefixes_what_was_before() {
    let push = Push::start("", "");
    let mut api = push.api();
    let positions: Vec<String> = (1..=5)
        .map(|n| position(&api.publish("past:a", &json!(n))))
        .collect();
    let mut client = push.subscribe("past:a?history=2&meta=1");
    // A position to come back with, as above.
    assert_eq!(client.text(), positions[2]);
    client.expect_text(&format!("{} 4", positions[3]));
    client.expect_text(&format!("{} 5", positions[4]));
    let live = position(&api.publish("past:a", &json!(6)));
    client.expect_text(&format!("{live} 6"));
}

#[test]
fn history_gives_the_last_n_and_goes_on() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut nothing = push.subscribe("past:empty?history=5");
    api.publish("past:empty", &json!("first"));
    nothing.expect_text("\"first\"");
    publish_up_to(&mut api, "past:a", 400);
    let mut clients = Vec::new();
    for n in [1, 2, 5, 299, 300] {
        let mut client = push.subscribe(&format!("past:a?history={n}"));
        expect_numbers(&mut client, 401 - n..=400);
        clients.push(client);
    }
    publish_up_to(&mut api, "short:a", 8);
    let mut all = push.subscribe("short:a?history=300");
    expect_numbers(&mut all, 4..=8);
    api.publish("past:a", &json!("live"));
    api.publish("short:a", &json!("live"));
    clients.push(all);
    for client in &mut clients {
        client.expect_text("\"live\"");
    }
}

#[track_caller]
fn expect_gone(push: &Push, target: &str) {
    let mut client = push.subscribe(target);
    client.expect_closed(3010, "insufficient state");
}

#[test]
fn what_is_gone_is_101_and_then_3010() {
    let push = Push::start("", "");
    let mut api = push.api();
    let top = publish_up_to(&mut api, "short:a", 8);
    let epoch = epoch(&top);
    let mut kept = push.subscribe(&format!("short:a?since=3:{epoch}"));
    expect_numbers(&mut kept, 4..=8);
    for since in [
        "0:other".to_owned(),
        "8:other".to_owned(),
        format!("8:{epoch}x"),
        format!("2:{epoch}"),
        format!("0:{epoch}"),
        "2".to_owned(),
        format!("9:{epoch}"),
        "9".to_owned(),
        format!("18446744073709551615:{epoch}"),
        "18446744073709551615".to_owned(),
    ] {
        expect_gone(&push, &format!("short:a?since={since}"));
        expect_gone(&push, &format!("short:a?meta=0&since={since}"));
    }
    // A channel that never was has an epoch of its own.
    expect_gone(&push, &format!("short:never?since=0:{epoch}"));
    expect_gone(&push, "short:never?since=1");
    // The one that could stay is not disturbed by the others.
    api.publish("short:a", &json!(9));
    expect_numbers(&mut kept, [9]);
}

#[test]
fn what_is_gone_is_3010_with_meta_as_well() {
    let push = Push::start("", "");
    let mut api = push.api();
    publish_up_to(&mut api, "short:a", 8);
    for since in ["0", "9", "8:other"] {
        let mut client = push.subscribe(&format!("short:a?meta=1&since={since}"));
        // Whether it is greeted before is not promised; a publication must not come.
        let frame = client.frame().expect("a frame");
        if frame.opcode == TEXT {
            let greeting = String::from_utf8_lossy(&frame.payload);
            assert!(!greeting.contains(' '), "since={since}: {greeting}");
            client.expect_closed(3010, "insufficient state");
        } else {
            let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
            assert_eq!(code, 3010, "since={since}");
        }
    }
}

#[test]
fn three_hundred_are_recovered_and_one_more_is_too_many() {
    let push = Push::start("", "");
    let mut api = push.api();
    publish_up_to(&mut api, "past:a", 310);
    let mut client = push.subscribe("past:a?since=10");
    expect_numbers(&mut client, 11..=310);
    expect_gone(&push, "past:a?since=9");
}

#[test]
fn what_has_outlived_its_time_or_was_removed_is_gone() {
    let push = Push::start("", "");
    let mut api = push.api();
    let top = publish_up_to(&mut api, "brief:a", 3);
    let all = json!({"channel": "brief:a", "limit": 10});
    eventually("the history is over", || {
        let history = api.result("history", &all);
        history["publications"].as_array().is_none_or(Vec::is_empty)
    });
    expect_gone(&push, &format!("brief:a?since=2:{}", epoch(&top)));
    // Nothing was missed at the top.
    let mut client = push.subscribe(&format!("brief:a?since={top}"));
    api.publish("brief:a", &json!(4));
    expect_numbers(&mut client, [4]);

    let top = publish_up_to(&mut api, "past:a", 3);
    let mut there = push.subscribe("past:a");
    api.result("history_remove", &json!({"channel": "past:a"}));
    expect_gone(&push, &format!("past:a?since=1:{}", epoch(&top)));
    // Who was there goes on: it has missed nothing.
    api.publish("past:a", &json!(4));
    expect_numbers(&mut there, [4]);
}

#[test]
fn messages_of_clients_are_recovered_as_they_were() {
    let push = Push::start("", "");
    let mut alice = push.subscribe("past:a");
    alice.say(&Frame::text("no JSON"));
    alice.say(&Frame::binary([0, 200]));
    alice.expect_text("no JSON");
    alice.expect_binary(&[0, 200]);
    for target in ["past:a?since=0", "past:a?history=2"] {
        let mut bob = push.subscribe(target);
        bob.expect_text("no JSON");
        bob.expect_binary(&[0, 200]);
    }
}

/// How far each reader is, for a publisher who must not be further ahead than may be recovered.
struct Progress {
    seen: Mutex<Vec<u64>>,
    changed: Condvar,
}

impl Progress {
    const AHEAD_MAX: u64 = 250;

    fn reached(&self, reader: usize, seen: u64) {
        self.seen.lock().unwrap()[reader] = seen;
        self.changed.notify_all();
    }

    fn wait_to_publish(&self, n: u64) {
        let seen = self.seen.lock().unwrap();
        let behind = |seen: &mut Vec<u64>| seen.iter().any(|seen| seen + Self::AHEAD_MAX < n);
        let (seen, timeout) = self
            .changed
            .wait_timeout_while(seen, PATIENCE, behind)
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "{n} is to come, readers are at {seen:?}"
        );
    }
}

/// Reads a few, leaves, and comes back with the last position, while somebody publishes all the time.
fn come_and_go(push: &Push, progress: &Progress, last: u64, reader: usize) {
    let mut random = fastrand::Rng::with_seed(reader as u64);
    let (mut seen, mut at) = (0, "0".to_owned());
    let mut visits = 0;
    while seen < last {
        let mut client = push.subscribe(&format!("past:busy?meta=1&since={at}"));
        let greeting = client.text();
        assert!(
            !greeting.contains(' '),
            "{greeting} greets, reader {reader}"
        );
        visits += 1;
        for _ in 0..random.u64(1..40).min(last - seen) {
            let message = client.text();
            let case = format!("{message} after {at} (reader {reader}, visit {visits})");
            let (position, payload) = message.split_once(' ').unwrap_or_else(|| panic!("{case}"));
            seen += 1;
            assert_eq!(payload, seen.to_string(), "{case}");
            assert!(position.starts_with(&format!("{seen}:")), "{case}");
            at = position.to_owned();
        }
        progress.reached(reader, seen);
    }
    assert!(visits > 10, "it came back {visits} times only");
}

#[test]
fn who_comes_and_goes_under_load_gets_each_once_and_in_order() {
    const LAST: u64 = 900; // of 1000 that are kept
    const READERS: usize = 6;
    let push = Push::start("workers = 2", "");
    let progress = Progress {
        seen: Mutex::new(vec![0; READERS]),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        for reader in 0..READERS {
            let (push, progress) = (&push, &progress);
            scope.spawn(move || come_and_go(push, progress, LAST, reader));
        }
        let mut api = push.api();
        for n in 1..=LAST {
            progress.wait_to_publish(n);
            api.publish("past:busy", &json!(n));
        }
    });
}
