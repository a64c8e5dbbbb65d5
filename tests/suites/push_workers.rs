//! Many workers: who publishes and who subscribes are on different ones, and nobody can tell.
//!
//! Never: asks which worker a connection is on; the kernel spreads them, and there are many.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fanfare_tests::client::Client;
use fanfare_tests::push::Push;
use fanfare_tests::wire::{Frame, Sender};
use serde_json::json;

const SUBSCRIBERS: usize = 12;
/// Of these, so many publish too.
const PUBLISHERS: usize = 6;
const EACH: usize = 60;
/// The API publishes as many.
const ALL: usize = (PUBLISHERS + 1) * EACH;

/// Who published and its how-manieth: `3:17`, as JSON too.
fn parts(message: &str) -> (usize, usize) {
    let (who, n) = message.trim_matches('"').split_once(':').expect("who:n");
    (who.parse().unwrap(), n.parse().unwrap())
}

/// A subscriber; where there are offsets, one that is told them.
fn join(push: &Push, channel: &str) -> Client {
    if !channel.starts_with("past:") {
        return push.subscribe(channel);
    }
    let (mut client, at) = push.subscribe_at(&format!("{channel}?meta=1"));
    client.expect_text(&at);
    client
}

/// The payload of a subscriber's `n`-th message, whose offset is `n`, if it has one.
fn payload(message: &str, n: usize) -> String {
    let Some((at, payload)) = message.split_once(' ') else {
        return message.to_owned();
    };
    assert!(at.starts_with(&format!("{n}:")), "{message} is the {n}th");
    payload.to_owned()
}

/// Everyone's messages, in the order in which they came.
fn all_publish(push: &Push, channel: &str) -> Vec<Vec<String>> {
    let clients: Vec<Client> = (0..SUBSCRIBERS).map(|_| join(push, channel)).collect();
    thread::scope(|scope| {
        for (who, client) in clients.iter().enumerate().take(PUBLISHERS) {
            let mut socket = client.socket.try_clone().unwrap();
            scope.spawn(move || {
                for n in 0..EACH {
                    let frame = Frame::text(format!("{who}:{n}")).encode(Sender::Client);
                    socket.write_all(&frame).unwrap();
                }
            });
        }
        scope.spawn(|| {
            let mut api = push.api();
            for n in 0..EACH {
                api.publish(channel, &json!(format!("{PUBLISHERS}:{n}")));
            }
        });
        let readers: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                scope.spawn(move || {
                    let all = 1..=ALL;
                    all.map(|n| payload(&client.text(), n)).collect::<Vec<_>>()
                })
            })
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().expect("a subscriber that got everything"))
            .collect()
    })
}

#[test]
fn all_subscribers_of_all_workers_see_one_order() {
    for workers in 2..=4 {
        let push = Push::start(&format!("workers = {workers}"), "");
        for channel in ["open:a", "past:a"] {
            let seen = all_publish(&push, channel);
            let case = format!("{channel}, {workers} workers");
            // What each publisher said is there, in its order.
            for who in 0..=PUBLISHERS {
                let said = seen[0].iter().map(|message| parts(message));
                let said: Vec<usize> = said.filter(|(w, _)| *w == who).map(|(_, n)| n).collect();
                assert_eq!(said, (0..EACH).collect::<Vec<_>>(), "of {who}, {case}");
            }
            for (reader, other) in seen.iter().enumerate() {
                assert_eq!(other, &seen[0], "{reader} and 0 differ, {case}");
            }
            if channel == "past:a" {
                let mut late = push.subscribe("past:a?history=300");
                for message in &seen[0][ALL - 300..] {
                    assert_eq!(&late.text(), message, "of the history, {case}");
                }
            }
        }
    }
}

#[test]
fn a_broadcast_reaches_each_channel_once() {
    let push = Push::start("workers = 3", "");
    let channels: Vec<String> = (0..60).map(|n| format!("open:{n}")).collect();
    let mut clients: Vec<(usize, Client)> = (0..120)
        .map(|n| (n % 60, push.subscribe(&channels[n % 60])))
        .collect();
    let mut api = push.api();
    for round in 0..5 {
        api.result("broadcast", &json!({"channels": channels, "data": round}));
        for (n, channel) in channels.iter().enumerate() {
            api.publish(channel, &json!({"for": n}));
        }
    }
    for (n, client) in &mut clients {
        for round in 0..5 {
            client.expect_text(&round.to_string());
            client.expect_text(&format!("{{\"for\":{n}}}"));
        }
    }
}

#[test]
fn those_who_stay_lose_nothing_while_others_come_and_go() {
    const LAST: u64 = 1500;
    const CHANNELS: [&str; 2] = ["open:a", "past:a"];
    let push = Push::start("workers = 3", "");
    let ended = AtomicBool::new(false);
    let mut stay: Vec<Client> = (0..6).map(|n| push.subscribe(CHANNELS[n % 2])).collect();
    let visit = |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut visits = 0;
        while !ended.load(Ordering::Acquire) {
            let mut client = push.subscribe(CHANNELS[random.usize(..2)]);
            let first: u64 = client.text().parse().unwrap();
            for n in 1..random.u64(1..6) {
                client.expect_text(&(first + n).to_string());
            }
            visits += 1;
        }
        assert!(visits > 3, "only {visits} visits");
    };
    thread::scope(|scope| {
        let visitors: Vec<_> = (0..3)
            .map(|seed| {
                scope.spawn({
                    let visit = &visit;
                    move || visit(seed)
                })
            })
            .collect();
        let mut api = push.api();
        let mut n = 0;
        // Whoever has just come waits for something.
        while n < LAST || !visitors.iter().all(thread::ScopedJoinHandle::is_finished) {
            n += 1;
            for channel in CHANNELS {
                api.publish(channel, &json!(n));
            }
            for client in &mut stay {
                client.expect_text(&n.to_string());
            }
            ended.store(n >= LAST, Ordering::Release);
        }
    });
}
