//! What has a cap in the settings, at its cap: channels, idempotency keys, inboxes, messages; and what has
//! none where it may seem so.
//!
//! Never: takes an overflow for granted: a test that needs one goes on until there was one.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_tests::client::Client;
use fanfare_tests::push::{Push, eventually};
use fanfare_tests::wire::{BINARY, CLOSE, Frame, TEXT};
use serde_json::{Value, json};

#[test]
fn past_the_channels_that_fit_503_and_106() {
    let push = Push::start("", "[engine]\nchannels_max = 3");
    let mut api = push.api();
    let channels = ["past:0", "open:1", "open:2"];
    let mut inside = channels.map(|channel| push.subscribe(channel));
    for path in ["/raw/past:3", "/raw/open:3", "/raw/past:3?since=0"] {
        let refusal = push.refusal(path, &[]);
        refusal.expect_line(path, 503, &[]);
        let retry: Vec<&str> = refusal.head.all("Retry-After").collect();
        assert_eq!(retry, ["1"], "{path}: {refusal:?}");
    }
    api.expect_error("publish", &json!({"channel": "past:3", "data": 1}), 106);
    // Those that are there are served, and a second subscriber needs no second place.
    let mut second = push.subscribe("past:0");
    api.publish("past:0", &json!(1));
    inside[0].expect_text("1");
    second.expect_text("1");
    inside[1].say(&Frame::close(1000, ""));
    inside[1].expect_close(1000);
    eventually("a place", || {
        Client::ask(push.addr(), "/raw/open:3", &[]).1.status() == Some(101)
    });
}

#[test]
fn an_idempotency_key_is_remembered_for_its_time() {
    let push = Push::start("", "[engine]\nidempotency_ttl = 0.2");
    let mut api = push.api();
    let request = json!({"channel": "past:a", "data": 1, "idempotency_key": "k"});
    let first = api.result("publish", &request);
    assert_eq!(first["offset"], 1);
    eventually("it is forgotten", || {
        api.result("publish", &request)["offset"] == 2
    });
}

#[test]
fn past_the_idempotency_keys_that_fit_the_oldest_is_forgotten() {
    let push = Push::start("", "[engine]\nidempotency_keys_max = 10");
    let mut api = push.api();
    let mut publish = |key: u32| {
        let key = key.to_string();
        let request = json!({"channel": "past:a", "data": 1, "idempotency_key": key});
        api.result("publish", &request)["offset"].as_u64().unwrap()
    };
    for key in 1..=1000 {
        assert_eq!(publish(key), u64::from(key));
        assert_eq!(publish(key), u64::from(key), "the newest is remembered");
    }
    assert_eq!(publish(1), 1001, "the first is not");
}

/// Publishes `count` numbers in one request.
fn publish_at_once(push: &Push, channel: &str, numbers: std::ops::Range<u64>) {
    let commands: Vec<Value> = numbers
        .map(|n| json!({"publish": {"channel": channel, "data": n}}))
        .collect();
    let answer = push
        .api()
        .answer("batch", json!({"commands": commands}).to_string());
    for reply in answer["replies"].as_array().unwrap() {
        assert!(reply["publish"].is_object(), "{reply}");
    }
}

#[test]
fn an_inbox_that_overflows_is_told_with_3010_and_recovered() {
    const ROUND: u64 = 100;
    let push = Push::start("workers = 1", "[inbox]\ndeliveries_max = 2");
    let mut client = push.subscribe("past:a");
    let (mut seen, mut told, mut rounds) = (0, 0, 0);
    while told < 3 {
        assert!(rounds < 100, "it never overflows");
        publish_at_once(
            &push,
            "past:a",
            rounds * ROUND + 1..(rounds + 1) * ROUND + 1,
        );
        rounds += 1;
        while seen < rounds * ROUND {
            let frame = client.frame().expect("a message or a close");
            if frame.opcode == CLOSE {
                let (code, reason) = frame.payload.split_at(2);
                assert_eq!(code, 3010_u16.to_be_bytes());
                assert!(reason.starts_with(b"insufficient state"), "{reason:?}");
                told += 1;
                client = push.subscribe(&format!("past:a?since={seen}"));
                continue;
            }
            assert_eq!(frame.opcode, TEXT);
            seen += 1;
            assert_eq!(frame.payload, seen.to_string().as_bytes(), "round {rounds}");
        }
    }
}

#[test]
fn an_inbox_that_overflows_keeps_the_order_where_nobody_counts() {
    let push = Push::start("workers = 1", "[inbox]\ndeliveries_max = 2");
    let mut client = push.subscribe("open:a");
    let (mut last, mut missed) = (0, 0);
    for round in 0..100 {
        publish_at_once(&push, "open:a", round * 100 + 1..(round + 1) * 100 + 1);
        // This one comes alone, and finds room.
        let marker = format!("\"end of {round}\"");
        eventually("the marker", || {
            push.api()
                .publish("open:a", &json!(format!("end of {round}")));
            loop {
                let text = client.text();
                if text == marker {
                    return true;
                }
                let Ok(n) = text.parse::<u64>() else {
                    continue; // a marker of an earlier round that was sent twice
                };
                assert!(n > last, "{n} after {last}");
                missed += n - last - 1;
                last = n;
            }
        });
        if missed > 0 {
            return;
        }
    }
    panic!("it never overflows");
}

#[test]
fn a_past_that_is_larger_than_what_may_wait_is_recovered_by_who_reads() {
    let push = Push::start("", "[websocket]\nmax_output_bytes = 65536");
    let mut api = push.api();
    // 300 of 60,000 bytes: 18 MB, where 64 KiB may wait.
    let bytes = |n: usize| vec![u8::try_from(n % 251).unwrap(); 60_000];
    for n in 1..=300 {
        let request = json!({"channel": "past:a", "b64data": STANDARD.encode(bytes(n))});
        api.result("publish", &request);
    }
    for target in ["past:a?since=0", "past:a?history=300"] {
        let mut client = push.subscribe(target);
        for n in 1..=300 {
            let frame = client.frame().expect("a message, not the end");
            let reason = String::from_utf8_lossy(&frame.payload[..frame.payload.len().min(100)]);
            assert_eq!(
                frame.opcode, BINARY,
                "{target}: {reason} in the place of {n}"
            );
            assert!(frame.payload == bytes(n), "{target}: {n} has changed");
        }
    }
}

#[test]
fn one_publication_larger_than_what_may_wait_still_arrives() {
    let push = Push::start("", "[websocket]\nmax_output_bytes = 1000");
    let mut api = push.api();
    for channel in ["open:a", "past:a", "oldest:a", "latest:a"] {
        let mut client = push.subscribe(channel);
        for len in [998, 999, 1000, 100_000] {
            let text = "x".repeat(len);
            api.publish(channel, &json!(text));
            client.expect_text(&json!(text).to_string());
        }
    }
}

#[test]
fn the_limits_of_frames_and_fragments_are_1009() {
    let limits = "[websocket]\nmax_message_bytes = 2000\nmax_frame_bytes = 1000\nmax_fragments = 3";
    let push = Push::start("", limits);
    let mut client = push.subscribe("open:a");
    client.say(&Frame::binary([1; 1000]).not_final());
    client.say(&Frame::continuation([1; 1000]));
    client.expect_binary(&[1; 2000]);
    client.say(&Frame::binary([1; 1000]).not_final());
    client.say(&Frame::continuation([1; 1000]).not_final());
    client.say(&Frame::continuation([1; 1]));
    client.expect_close(1009);
    let mut client = push.subscribe("open:a");
    client.say(&Frame::binary("").declaring(1001));
    client.expect_close(1009);
    let mut client = push.subscribe("open:a");
    client.say(&Frame::binary("").not_final());
    for _ in 0..3 {
        client.say(&Frame::continuation("").not_final());
    }
    client.expect_close(1009);
}
