//! What is no client's fault, and whom it must not hit: backends that are slow, answers that are long, orders and
//! tokens that are somebody else's.
//!
//! Never: waits for a time to pass, but as a slow backend.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::thread;
use std::time::Duration;

use fanfare_tests::backend::{Answer, Backend};
use fanfare_tests::client::Client;
use fanfare_tests::clock::unix_seconds;
use fanfare_tests::jwt::{Key, SECRET, TOKENS};
use fanfare_tests::push::{Push, eventually};
use fanfare_tests::samples::Samples;
use fanfare_tests::session::{Came, PATH, Session, WIRES, Wire, expect_error};
use serde_json::{Value, json};

#[test]
fn a_pong_behind_commands_that_wait_is_not_missed() {
    let backend = Backend::start(|_| {
        thread::sleep(Duration::from_millis(100)); // it is that slow
        Answer::Json(json!({"result": {}}))
    });
    let namespace = format!(
        "[namespaces.asked]\nallow_subscribe_for_client = true\n\
         allow_subscribe_for_anonymous = true\npublish_hook = \"{}\"\n\
         [client]\nallow_anonymous = true\nping_interval = 0.5\npong_timeout = 0.2\n",
        backend.url("/publish"),
    );
    let push = Push::start("workers = 1", &namespace);
    for wire in WIRES {
        let mut session = Session::connected(&push, wire, &json!({})).0;
        // One after the other, they take 2 s: several pings and as many times the time for a pong.
        let publish = |id: u64| json!({"id": id, "publish": {"channel": "asked:a", "data": id}});
        let commands: Vec<Value> = (100..120).map(publish).collect();
        session.say(&commands);
        let (mut answered, mut pinged) = (Vec::new(), 0);
        while answered.len() < commands.len() {
            match session.came() {
                Came::Ping => {
                    pinged += 1;
                    session.pong();
                }
                Came::Reply(id, reply) => {
                    assert!(reply.get("error").is_none(), "{wire:?}: {reply}");
                    answered.push(id);
                }
                other => panic!("{wire:?}, after {answered:?}: {other:?}"),
            }
        }
        assert_eq!(answered, (100..120).collect::<Vec<u64>>(), "in order");
        assert!(
            pinged > 0,
            "{wire:?}: no ping came, so no pong could be late"
        );
    }
}

#[test]
fn who_comes_back_to_many_channels_over_a_thin_line_recovers_all_of_them() {
    const CHANNELS: usize = 12;
    let settings = "[websocket]\nmax_output_bytes = 65536\n[client]\nallow_anonymous = true\n";
    let push = Push::start("workers = 1", settings);
    let mut api = push.api();
    let data = json!("x".repeat(30_000));
    let channels: Vec<String> = (0..CHANNELS).map(|n| format!("past:{n}")).collect();
    for channel in &channels {
        for _ in 0..20 {
            api.publish(channel, &data);
        }
    }
    for wire in WIRES {
        let mut session = Session::narrow(push.addr(), wire);
        let subscribe = |(n, channel): (usize, &String)| json!({"id": n + 100, "subscribe": {"channel": channel, "recover": true}});
        let commands: Vec<Value> = channels.iter().enumerate().map(subscribe).collect();
        session.say(&commands);
        // 600 KB a channel, 7.2 MB in all, of which little may wait for it.
        for n in 0..CHANNELS {
            let reply = session.reply(n as u64 + 100);
            let result = &reply["subscribe"];
            assert_eq!(result["recovered"], json!(true), "{wire:?} {n}");
            let publications = result["publications"].as_array().unwrap();
            assert_eq!(publications.len(), 20, "{wire:?} {n}");
        }
    }
}

#[test]
fn who_reads_too_slowly_to_be_told_does_not_outlive_its_token() {
    let settings = format!("[websocket]\nmax_output_bytes = 65536\nsend_timeout = 60\n{TOKENS}");
    let push = Push::start("workers = 1", &settings);
    let mut api = push.api();
    let token = Key::secret(SECRET).token(&json!({"sub": "ada", "exp": unix_seconds() + 3}));
    let target = format!("/raw/oldest:a?token={token}");
    let _deaf = Client::narrow(push.addr(), &target, &[]);
    let data = json!("x".repeat(16 << 10));
    let mut waited = false;
    // Something waits for it all the time, and its namespace drops the rest.
    eventually("the token's end is the connection's", || {
        for _ in 0..20 {
            api.publish("oldest:a", &data);
        }
        waited |= Samples::of(&push).get("fanfare_output_queued_bytes") > 0.0;
        let found = api.result("channels", &json!({"pattern": "oldest:*"}));
        found["channels"] == json!({})
    });
    assert!(waited, "it was not slow");
}

#[test]
fn an_order_for_anonymous_clients_is_not_for_those_who_are_still_asked_about() {
    let backend = Backend::start(|_| Answer::Silence);
    let settings = format!(
        "[hooks]\nconnect = \"{}\"\ntimeout = 1.5\n[client]\nallow_anonymous = true\n{TOKENS}",
        backend.url("/connect")
    );
    let push = Push::start("workers = 1", &settings);
    let token = Key::secret(SECRET).token(&json!({}));
    for (n, wire) in WIRES.into_iter().enumerate() {
        let mut anonymous = Session::with_token(&push, wire, &token);
        let mut asked = Session::open(push.addr(), wire);
        let id = asked.send("connect", &json!({}));
        eventually("the backend is asked", || {
            backend.asked("/connect").len() > n
        });
        push.api().result("disconnect", &json!({"user": ""}));
        anonymous.expect_closed(3503, "anonymous");
        // It hears of the backend, and of nothing else.
        expect_error(&asked.reply(id), 100, "asked");
    }
}

#[test]
fn a_token_in_a_url_is_not_in_the_log() {
    let push = Push::start("workers = 1\nlog_level = \"debug\"", TOKENS);
    let token = Key::secret(SECRET).token(&json!({"sub": "ada"}));
    let (_client, _) = Client::enter(push.addr(), &format!("/raw/open:a?token={token}"), &[]);
    let bad = push.refusal("/raw/open:a?token=bad.bad.bad", &[]);
    assert_eq!(bad.head.status(), Some(401));
    let daemon = push.into_daemon();
    let requests = |line: &str| line.contains("/raw/open:a");
    let log = daemon.log();
    let line = log.wait_for("the request", 0, requests);
    assert!(!line.contains("token"), "{line}");
    let is_leak = |line: &String| line.contains(&token) || line.contains("bad.bad.bad");
    assert_eq!(log.lines().into_iter().find(is_leak), None);
}

#[test]
fn a_session_is_offered_one_subprotocol_whatever_else_is_configured() {
    let settings = "[websocket]\nsubprotocols = [\"v12.stomp\", \"centrifuge-protobuf\"]\n\
                    [client]\nallow_anonymous = true\n";
    let push = Push::start("workers = 1", settings);
    for (path, offered, chosen) in [
        (PATH, "v12.stomp, centrifuge-json", "centrifuge-json"),
        (
            PATH,
            "centrifuge-protobuf, v12.stomp",
            "centrifuge-protobuf",
        ),
        (PATH, "v12.stomp", "v12.stomp"),
        ("/raw/open:a", "v12.stomp, centrifuge-json", "v12.stomp"),
    ] {
        let headers = [("Sec-WebSocket-Protocol", offered)];
        let (_, head) = Client::enter(push.addr(), path, &headers);
        let got: Vec<&str> = head.all("Sec-WebSocket-Protocol").collect();
        assert_eq!(got, [chosen], "{path} {offered}");
    }
    let _json = Session::anonymous(&push, Wire::Json);
}
