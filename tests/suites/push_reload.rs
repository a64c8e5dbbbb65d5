//! SIGHUP: what it changes for those who come, what it leaves to those who are there, what it cannot.
//!
//! Never: takes a signal that was sent for one that was obeyed.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::net::TcpStream;

use fanfare_tests::api::Api;
use fanfare_tests::client::{Client, PATIENCE};
use fanfare_tests::clock;
use fanfare_tests::daemon::{Daemon, fanfare, free_address};
use fanfare_tests::push::eventually;
use fanfare_tests::wire::{Frame, Head};
use rustix::process::Signal;
use serde_json::json;

const BEFORE: &str = r#"
workers = 2
echo = false
[websocket]
allowed_origins = ["https://old.example"]
subprotocols = ["old"]
response_headers = ["X-Age: old"]
[publication]
max_bytes = 100
[api]
listen = "{api}"
keys = ["the-old-key"]
[namespaces.stays]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
history_size = 10
history_ttl = 300
force_recovery = true
[namespaces.goes]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
"#;

const AFTER: &str = r#"
workers = 2
echo = false
[websocket]
allowed_origins = ["https://new.example"]
subprotocols = ["new"]
response_headers = ["X-Age: new"]
[publication]
max_bytes = 200
[api]
listen = "{api}"
keys = ["the-new-key"]
[namespaces.stays]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
history_size = 10
history_ttl = 300
force_recovery = true
[namespaces.comes]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
"#;

/// Reads the config again; returns once there is a warning, or worse, in which `word` stands.
#[track_caller]
fn reload_with_warning(daemon: &Daemon, config: &str, word: &str) {
    daemon.rewrite_config(config).unwrap();
    let from = daemon.log().len();
    daemon.signal(Signal::HUP).unwrap();
    let what = format!("warning of {word}");
    let _ = daemon.log().wait_for(&what, from, |line| {
        (line.contains("WARN") || line.contains("ERROR")) && line.contains(word)
    });
}

fn ask(daemon: &Daemon, path: &str, headers: &[(&str, &str)]) -> Head {
    Client::ask(daemon.addr(), path, headers).1
}

/// All of a reload is in force once the last of it is; the API's key is as good as any.
#[track_caller]
fn wait_for_key(daemon: &Daemon, key: &str) -> Api {
    let mut api = Api::new(daemon.api(), key);
    eventually("the key", || api.post("info", "{}").status() == 200);
    api
}

#[test]
fn a_reload_changes_what_it_may_and_drops_nobody() {
    let daemon = Daemon::serve(BEFORE, &[]).unwrap();
    let mut old_api = Api::new(daemon.api(), "the-old-key");
    let mut stays = Client::enter(daemon.addr(), "/raw/stays:a", &[]).0;
    let mut goes = Client::enter(daemon.addr(), "/raw/goes:a", &[]).0;
    assert_eq!(ask(&daemon, "/raw/comes:a", &[]).status(), Some(404));
    old_api.publish("stays:a", &json!(1));
    old_api.publish("goes:a", &json!(1));
    stays.expect_text("1");
    goes.expect_text("1");

    daemon.rewrite_config(AFTER).unwrap();
    daemon.signal(Signal::HUP).unwrap();
    let mut api = wait_for_key(&daemon, "the-new-key");
    assert_eq!(old_api.post("info", "{}").status(), 401, "the old key");

    // Who was there is there, in all its state.
    assert!(api.publish("stays:a", &json!(2))["offset"] == 2);
    stays.expect_text("2");
    for client in [&mut stays, &mut goes] {
        client.say(&Frame::ping("alive"));
        assert_eq!(client.frame().expect("a pong").payload, b"alive");
    }
    let mut late = Client::enter(daemon.addr(), "/raw/stays:a?since=0", &[]).0;
    late.expect_text("1");
    late.expect_text("2");

    for (path, headers, status) in [
        ("/raw/comes:a", &[][..], 101),
        ("/raw/goes:a", &[], 404),
        ("/raw/stays:a", &[("Origin", "https://new.example")], 101),
        ("/raw/stays:a", &[("Origin", "https://old.example")], 403),
    ] {
        let head = ask(&daemon, path, headers);
        assert_eq!(head.status(), Some(status), "{path} {headers:?}: {head:?}");
    }
    let head = ask(
        &daemon,
        "/raw/stays:a",
        &[("Sec-WebSocket-Protocol", "old, new")],
    );
    assert!(head.lists("Sec-WebSocket-Protocol", "new"), "{head:?}");
    assert_eq!(head.all("X-Age").collect::<Vec<_>>(), ["new"]);
    api.expect_error("publish", &json!({"channel": "goes:a", "data": 1}), 102);
    api.publish("stays:a", &json!("x".repeat(198)));
    let over = json!({"channel": "stays:a", "data": "x".repeat(199)});
    api.expect_error("publish", &over, 106);
    stays.expect_text(&format!("\"{}\"", "x".repeat(198)));
    // What was allowed is no longer, to those who are there as well.
    stays.say(&Frame::text("may I?"));
    stays.expect_closed(3507, "permission denied");
}

#[test]
fn what_needs_a_restart_is_named_and_stays() {
    let daemon = Daemon::serve(BEFORE, &[]).unwrap();
    for (from, to, key) in [
        ("workers = 2", "workers = 3", "workers"),
        ("echo = false", "echo = true", "echo"),
        (
            "workers = 2",
            "workers = 2\nmax_connections = 77",
            "max_connections",
        ),
        (
            "workers = 2",
            "workers = 2\ndrain.timeout = 77",
            "drain.timeout",
        ),
        (
            "[websocket]",
            "[websocket]\nmax_output_bytes = 7777",
            "max_output_bytes",
        ),
        (
            "[websocket]",
            "[websocket]\nping_interval = 77",
            "ping_interval",
        ),
        (
            "[api]",
            "[engine]\nchannels_max = 77\n[api]",
            "channels_max",
        ),
        ("[api]", "[inbox]\nbytes_max = 77\n[api]", "bytes_max"),
        (
            "listen = \"{api}\"",
            "listen = \"127.0.0.1:1\"",
            "api.listen",
        ),
        ("keys =", "max_body_bytes = 777\nkeys =", "max_body_bytes"),
    ] {
        reload_with_warning(&daemon, &BEFORE.replace(from, to), key);
    }
    assert_eq!(ask(&daemon, "/echo", &[]).status(), Some(404));
    // What can be changed is changed in the same reload.
    let both = AFTER.replace("workers = 2", "workers = 3");
    reload_with_warning(&daemon, &both, "workers");
    wait_for_key(&daemon, "the-new-key");
}

#[test]
fn a_broken_file_changes_nothing_and_says_why() {
    let daemon = Daemon::serve(BEFORE, &[]).unwrap();
    let mut client = Client::enter(daemon.addr(), "/raw/stays:a", &[]).0;
    let mut api = Api::new(daemon.api(), "the-old-key");
    for (n, (config, word)) in [
        (
            AFTER.replace("max_bytes = 200", "max_bites = 200"),
            "max_bites",
        ),
        (AFTER.replace("the-new-key", "short"), "api.keys"),
        (AFTER.replace("history_ttl = 300\n", ""), "history_ttl"),
        ("listen =".to_owned(), ".toml:1"),
    ]
    .iter()
    .enumerate()
    {
        reload_with_warning(&daemon, config, word);
        // Another look at what it could have changed by half.
        api.publish("stays:a", &json!(n));
        client.expect_text(&n.to_string());
        assert_eq!(
            ask(&daemon, "/raw/goes:a", &[]).status(),
            Some(101),
            "{word}"
        );
        assert_eq!(
            ask(&daemon, "/raw/comes:a", &[]).status(),
            Some(404),
            "{word}"
        );
        let old = ask(
            &daemon,
            "/raw/stays:a",
            &[("Origin", "https://old.example")],
        );
        assert_eq!(old.status(), Some(101), "{word}");
    }
    daemon.rewrite_config(AFTER).unwrap();
    daemon.signal(Signal::HUP).unwrap();
    wait_for_key(&daemon, "the-new-key");
}

#[test]
fn flags_and_environment_still_win_after_a_reload() {
    let environment = [("FANFARE_PUBLICATION__MAX_BYTES", "50")];
    let daemon = Daemon::serve_in(BEFORE, &[], &environment).unwrap();
    daemon.rewrite_config(AFTER).unwrap();
    daemon.signal(Signal::HUP).unwrap();
    let mut api = wait_for_key(&daemon, "the-new-key");
    let over = json!({"channel": "stays:a", "data": "x".repeat(49)});
    api.expect_error("publish", &over, 106);
}

#[test]
fn many_signals_at_once_are_one_reload_or_more() {
    let daemon = Daemon::serve(BEFORE, &[]).unwrap();
    let mut client = Client::enter(daemon.addr(), "/raw/stays:a", &[]).0;
    for n in 0..30 {
        let config = if n % 2 == 0 { AFTER } else { BEFORE };
        daemon.rewrite_config(config).unwrap();
        daemon.signal(Signal::HUP).unwrap();
    }
    daemon.rewrite_config(AFTER).unwrap();
    daemon.signal(Signal::HUP).unwrap();
    let mut api = wait_for_key(&daemon, "the-new-key");
    api.publish("stays:a", &json!(1));
    client.expect_text("1");
}

#[test]
fn a_reload_while_everybody_publishes_loses_nothing() {
    let daemon = Daemon::serve(BEFORE, &[]).unwrap();
    let mut client = Client::enter(daemon.addr(), "/raw/stays:a", &[]).0;
    let config = AFTER.replace("the-new-key", "the-old-key");
    let mut api = Api::new(daemon.api(), "the-old-key");
    for n in 0..400_u32 {
        if n % 20 == 0 {
            let config = if n % 40 == 0 { &config } else { BEFORE };
            daemon.rewrite_config(config).unwrap();
            daemon.signal(Signal::HUP).unwrap();
        }
        assert_eq!(api.publish("stays:a", &json!(n))["offset"], n + 1);
        client.expect_text(&n.to_string());
    }
}

#[test]
fn without_a_file_a_reload_is_harmless() {
    let daemon = Daemon::serve("", &["--dev"]).unwrap();
    let mut client = Client::enter(daemon.addr(), "/raw/news", &[]).0;
    daemon.signal(Signal::HUP).unwrap();
    for n in 0..20 {
        client.say(&Frame::text(n.to_string()));
        client.expect_text(&n.to_string());
    }
    let _other = Client::enter(daemon.addr(), "/raw/other", &[]);
}

#[test]
fn a_signal_that_comes_early_ends_nothing() {
    // Its port is open: to whoever starts and reloads it, it runs.
    for attempt in 0..20 {
        let addr = free_address().unwrap();
        let mut serve = fanfare();
        serve.args(["serve", "--listen", &addr.to_string()]);
        let mut daemon = Daemon::spawn(serve, addr).unwrap();
        let deadline = clock::now() + PATIENCE;
        while TcpStream::connect(addr).is_err() {
            assert!(clock::now() < deadline, "it never listens");
        }
        daemon.signal(Signal::HUP).unwrap();
        let ready = daemon.ready();
        ready.unwrap_or_else(|error| panic!("attempt {attempt}: {error}"));
    }
}
