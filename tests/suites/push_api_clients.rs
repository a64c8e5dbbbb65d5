//! What the HTTP API tells of clients and does to them: presence, channels, counts, disconnect, unsubscribe.
//!
//! Never: knows which worker a client is on; there are enough of both.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::collections::BTreeSet;

use fanfare_tests::api::{Api, assert_error};
use fanfare_tests::client::Client;
use fanfare_tests::push::{Push, eventually};
use serde_json::{Value, json};

#[test]
fn presence_is_who_is_there() {
    let push = Push::start("workers = 2", "");
    let mut api = push.api();
    let channel = json!({"channel": "open:a"});
    assert_eq!(api.result("presence", &channel)["presence"], json!({}));
    let inside: Vec<Client> = (0..5).map(|_| push.subscribe("open:a")).collect();
    let _elsewhere = push.subscribe("open:b");
    eventually("all are present", || api.clients("open:a").len() == 5);
    let presence = api.result("presence", &channel);
    for (name, info) in presence["presence"].as_object().unwrap() {
        assert_eq!(info["client"], json!(name), "{presence}");
        let user = info["user"].as_str();
        assert!(user.is_none_or(str::is_empty), "{presence}");
    }
    let stats = api.result("presence_stats", &channel);
    assert_eq!(stats, json!({"num_clients": 5, "num_users": 1}));
    drop(inside);
    eventually("all have left", || {
        let stats = api.result("presence_stats", &channel);
        let number = |name: &str| stats[name].as_u64().unwrap_or(0);
        (number("num_clients"), number("num_users")) == (0, 0)
    });
}

#[test]
fn channels_are_those_with_somebody_inside() {
    let push = Push::start("workers = 2", "");
    let mut api = push.api();
    api.publish("past:nobody", &json!(1));
    let _clients = [
        "open:a1", "open:a2", "open:b1", "past:a1", "news", "open:a1", "open:x*y",
    ]
    .map(|channel| push.subscribe(channel));
    let mut ask = |request: &Value| {
        let result = api.result("channels", request);
        let channels = result["channels"].as_object().expect("an object").clone();
        let counts = channels.into_iter().map(|(name, info)| {
            let count = info["num_clients"].as_u64().expect("a number");
            (name, count)
        });
        counts.collect::<BTreeSet<(String, u64)>>()
    };
    let set = |pairs: &[(&str, u64)]| {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect::<BTreeSet<_>>()
    };
    let all = set(&[
        ("open:a1", 2),
        ("open:a2", 1),
        ("open:b1", 1),
        ("past:a1", 1),
        ("news", 1),
        ("open:x*y", 1),
    ]);
    for request in [json!({}), json!({"pattern": "*"})] {
        assert_eq!(ask(&request), all, "{request}");
    }
    for (pattern, pairs) in [
        ("open:a*", &[("open:a1", 2), ("open:a2", 1)][..]),
        ("open:?1", &[("open:a1", 2), ("open:b1", 1)]),
        ("*a1", &[("open:a1", 2), ("past:a1", 1)]),
        ("news", &[("news", 1)]),
        ("new", &[]),
        ("?ews", &[("news", 1)]),
        ("????", &[("news", 1)]),
        ("*:*1*", &[("open:a1", 2), ("open:b1", 1), ("past:a1", 1)]),
        ("OPEN:*", &[]),
        ("[no]ews", &[]),
        ("open:x*y", &[("open:x*y", 1)]),
    ] {
        assert_eq!(ask(&json!({"pattern": pattern})), set(pairs), "{pattern}");
    }
    // One that takes for ever where each star is tried at each place.
    let stars = "*o".repeat(100) + "*x";
    assert_eq!(ask(&json!({"pattern": stars})), set(&[]));
}

#[test]
fn info_counts_clients_channels_and_subscriptions() {
    let push = Push::start("workers = 2", "");
    let mut api = push.api();
    let _clients = ["open:a", "open:a", "open:b"].map(|channel| push.subscribe(channel));
    let mut node = Value::Null;
    eventually("three clients are counted", || {
        let info = api.result("info", &json!({}));
        let nodes = info["nodes"].as_array().expect("nodes").clone();
        assert_eq!(nodes.len(), 1, "{info}");
        node = nodes[0].clone();
        node["num_clients"] == 3
    });
    assert_eq!(
        (&node["num_channels"], &node["num_subs"]),
        (&json!(2), &json!(3)),
        "{node}"
    );
    for name in ["uid", "name", "version"] {
        assert!(
            node[name].as_str().is_some_and(|text| !text.is_empty()),
            "{node}"
        );
    }
    assert!(
        node["uptime"].as_u64().is_some_and(|seconds| seconds < 600),
        "{node}"
    );
}

/// Names of all clients on `open:a`, once there are this many.
fn names(api: &mut Api, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    eventually("all are present", || {
        names = api.clients("open:a");
        names.len() == count
    });
    names
}

#[test]
fn disconnect_closes_whom_it_names_on_any_worker() {
    let push = Push::start("workers = 4", "");
    let mut api = push.api();
    for n in 0..20 {
        // Alone, so that its name is known; then among others.
        let mut named = push.subscribe("open:a");
        let name = names(&mut api, 1).remove(0);
        let mut other = push.subscribe("open:a");
        let mut request = json!({"user": "", "client": name});
        if n % 2 == 1 {
            request["disconnect"] = json!({"code": 4000 + n, "reason": "go, é"});
        }
        assert_eq!(api.result("disconnect", &request), json!({}));
        if n % 2 == 1 {
            named.expect_closed(4000 + n, "go, é");
        } else {
            named.expect_closed(3503, "force disconnect");
        }
        api.publish("open:a", &json!("stays"));
        other.expect_text("\"stays\"");
        drop(other);
        eventually("both are gone", || api.clients("open:a").is_empty());
    }
}

#[test]
fn disconnect_without_a_client_closes_everyone_of_the_user() {
    let push = Push::start("workers = 4", "");
    let mut api = push.api();
    let mut clients: Vec<Client> = (0..12)
        .map(|n| push.subscribe(["open:a", "past:a", "mute:a"][n % 3]))
        .collect();
    // Another user's, or a client of that name: nobody.
    for request in [
        json!({"user": "somebody"}),
        json!({"user": "", "client": "no-such-client"}),
    ] {
        assert_eq!(api.result("disconnect", &request), json!({}));
    }
    for channel in ["open:a", "past:a", "mute:a"] {
        api.publish(channel, &json!("still here"));
    }
    assert_eq!(api.result("disconnect", &json!({"user": ""})), json!({}));
    for client in &mut clients {
        client.expect_text("\"still here\"");
        client.expect_closed(3503, "force disconnect");
    }
    for (code, reason) in [
        (2999, "x"),
        (5000, "x"),
        (1000, "x"),
        (0, "x"),
        (65_535, "x"),
        (4000, ""),
    ] {
        let request = json!({"user": "", "disconnect": {"code": code, "reason": reason}});
        api.expect_error("disconnect", &request, 107);
    }
    for code in [3000, 4999] {
        let mut client = push.subscribe("open:a");
        let request = json!({"user": "", "disconnect": {"code": code, "reason": "edge"}});
        api.result("disconnect", &request);
        client.expect_closed(code, "edge");
    }
}

#[test]
fn a_reason_that_no_close_frame_holds_does_not_break_one() {
    let push = Push::start("", "");
    let mut api = push.api();
    // 123 bytes fit; whether more is refused or cut is not said, a broken frame is neither.
    for reason in [
        "x".repeat(123),
        "é".repeat(62),
        "x".repeat(124),
        "é".repeat(1000),
    ] {
        let mut client = push.subscribe("open:a");
        let request = json!({"user": "", "disconnect": {"code": 4000, "reason": reason}});
        let answer = api.answer("disconnect", request.to_string());
        if answer["error"].is_object() {
            assert!(reason.len() > 123, "{} bytes: {answer}", reason.len());
            assert_error(&answer, 107, &reason);
            continue;
        }
        let close = client.frame().expect("a close");
        assert_eq!(close.payload[..2], 4000_u16.to_be_bytes());
        let came = std::str::from_utf8(&close.payload[2..]).expect("UTF-8");
        assert!(
            !came.is_empty() && reason.starts_with(came),
            "{reason}: {came}"
        );
        assert!(reason.len() > 123 || came == reason, "{reason}: {came}");
    }
}

#[test]
fn unsubscribe_closes_whom_it_names_on_any_worker() {
    let push = Push::start("workers = 4", "");
    let mut api = push.api();
    for _ in 0..20 {
        let mut named = push.subscribe("open:a");
        let name = names(&mut api, 1).remove(0);
        let mut other = push.subscribe("open:a");
        for request in [
            json!({"user": "", "channel": "open:b", "client": name}),
            json!({"user": "somebody", "channel": "open:a", "client": name}),
            json!({"user": "", "channel": "open:a", "client": "no-such-client"}),
        ] {
            assert_eq!(api.result("unsubscribe", &request), json!({}));
        }
        api.publish("open:a", &json!("stay"));
        named.expect_text("\"stay\"");
        let request = json!({"user": "", "channel": "open:a", "client": name});
        assert_eq!(api.result("unsubscribe", &request), json!({}));
        named.expect_closed(3503, "unsubscribed");
        other.expect_text("\"stay\"");
        let mut third = push.subscribe("open:a");
        api.result("unsubscribe", &json!({"user": "", "channel": "open:a"}));
        other.expect_closed(3503, "unsubscribed");
        third.expect_closed(3503, "unsubscribed");
        eventually("all are gone", || api.clients("open:a").is_empty());
    }
}
