//! What the push server logs: of connections, of requests, of refusals.
//!
//! Never: looks for words that a filter could have taken out.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use fanfare_tests::client::upgrade;
use fanfare_tests::http::Http;
use fanfare_tests::push::Push;
use fanfare_tests::wire::Frame;
use serde_json::{Value, json};

fn start(head: &str) -> Push {
    Push::start(&format!("workers = 1\n{head}"), "")
}

#[test]
fn logs_are_objects_and_the_access_log_tells_of_every_answer_and_every_end() {
    let push = start("log_format = \"json\"\naccess_log = true");
    let from = push.daemon().log().len();
    let line = |what: &str, path: &str, word: &str| -> Value {
        let fits = |line: &str| {
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                panic!("{line:?} is no JSON");
            };
            line["message"] == word && line["path"] == path
        };
        let line = push.daemon().log().wait_for(what, from, fits);
        serde_json::from_str(&line).unwrap()
    };
    let mut raw = push.subscribe("open:a?token=");
    let answered = line("an upgrade", "/raw/open:a", "answered");
    assert_eq!(answered["status"], 101, "{answered}");
    assert_eq!(answered["method"], "GET", "{answered}");
    assert!(
        answered["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{answered}"
    );
    assert!(
        answered["duration_ms"].is_u64() && answered["timestamp"].is_string(),
        "{answered}"
    );
    raw.say(&Frame::text("twelve bytes"));
    raw.expect_text("twelve bytes");
    raw.say(&Frame::close(1000, ""));
    raw.expect_close(1000);
    drop(raw);
    let closed = line("its end", "/raw/open:a", "closed");
    assert_eq!(closed["conn"], answered["conn"], "{closed}");
    assert_eq!(
        (&closed["code"], &closed["initiator"]),
        (&json!(1000), &json!("client"))
    );
    // A masked text, a close with a code; the head of the request is among them.
    let head = upgrade("/raw/open:a?token=", &[]).len();
    assert_eq!(
        closed["received_bytes"],
        json!(head + 6 + 12 + 6 + 2),
        "{closed}"
    );
    assert!(closed["sent_bytes"].as_u64() > Some(2 + 12 + 4), "{closed}");

    assert_eq!(
        push.refusal("/raw/closed:a?token=secret", &[]).status(),
        401
    );
    let refused = line("a refusal", "/raw/closed:a", "answered");
    assert_eq!(refused["status"], 401, "{refused}");
    let health = Http::connect(push.addr()).request("GET /health", &[], b"");
    assert_eq!(health.status(), 200);
    let answered = line("plain HTTP", "/health", "answered");
    assert_eq!(answered["status"], 200, "{answered}");
    assert!(
        answered["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{answered}"
    );
    let lines = push.daemon().log().lines();
    assert!(
        !lines.iter().any(|line| line.contains("secret")),
        "{lines:?}"
    );
}

#[test]
fn whom_a_proxy_names_is_in_the_access_log_whatever_was_asked() {
    let push = start("log_format = \"json\"\naccess_log = true\ntrusted_proxies = [\"127.0.0.1\"]");
    let named = [("X-Forwarded-For", "192.0.2.7")];
    let health = Http::connect(push.addr()).request("GET /health", &named, b"");
    assert_eq!(health.status(), 200);
    assert_eq!(push.refusal("/raw/closed:a", &named).status(), 403);
    let _ = Http::connect(push.addr()).request("GET /ready", &[], b"");
    for (path, client) in [
        ("/health", json!("192.0.2.7")),
        ("/raw/closed:a", json!("192.0.2.7")),
        ("/ready", Value::Null),
    ] {
        let fits = |line: &str| {
            serde_json::from_str(line)
                .is_ok_and(|line: Value| line["message"] == "answered" && line["path"] == path)
        };
        let line = push.daemon().log().wait_for(path, 0, fits);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["client"], client, "{line}");
    }
}

#[test]
fn refusals_are_logged_but_not_each_of_them() {
    let push = start("");
    for _ in 0..50 {
        assert_eq!(push.refusal("/raw/closed:a", &[]).status(), 403);
    }
    let fits = |line: &str| line.contains("refused") && line.contains("status=403");
    let _ = push.daemon().log().wait_for("a refusal", 0, fits);
    let lines = push.daemon().log().lines();
    let count = lines.iter().filter(|line| fits(line)).count();
    assert!((1..=4).contains(&count), "{count} lines");
    assert!(lines.iter().any(|line| line.contains("conn=")), "{lines:?}");
}
