//! What the push server counts: numbers that move by what a test does, under names that Prometheus' conventions
//! allow.
//!
//! Never: a number that another test could move: each has a server of its own.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]
#![allow(clippy::print_stdout, reason = "the suite prints what it has measured")]

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use fanfare_tests::client::Client;
use fanfare_tests::clock;
use fanfare_tests::http::Http;
use fanfare_tests::push::{KEY, Push, eventually};
use fanfare_tests::samples::{Samples, expect_moved, scrape};
use fanfare_tests::session::{Session, Wire};
use fanfare_tests::wire::Frame;
use serde_json::json;

/// With sessions and echoes, an API of its own, and one worker: what one test does is in one place.
fn start(head: &str, tail: &str) -> Push {
    let tail = format!("[client]\nallow_anonymous = true\n{tail}");
    Push::start(&format!("workers = 1\necho = true\n{head}"), &tail)
}

#[test]
fn connections_subscriptions_and_closes_are_counted_by_kind_and_code() {
    let push = start("", "");
    let before = Samples::of(&push);
    let mut raw = push.subscribe("open:a");
    let other = push.subscribe("open:b");
    let mut session = Session::anonymous(&push, Wire::Json);
    session.subscribe("open:a");
    session.subscribe("past:a");
    let (mut echo, _) = Client::enter(push.addr(), "/echo", &[]);
    echo.expect_echo("hello");
    let open = [
        ("fanfare_connections{worker=\"0\",kind=\"raw\"}", 2.0),
        ("fanfare_connections{worker=\"0\",kind=\"session\"}", 1.0),
        ("fanfare_connections{worker=\"0\",kind=\"echo\"}", 1.0),
        ("fanfare_connections{worker=\"0\",kind=\"handshake\"}", 0.0),
        ("fanfare_connections_opened_total{kind=\"raw\"}", 2.0),
        ("fanfare_connections_opened_total{kind=\"session\"}", 1.0),
        ("fanfare_connections_opened_total{kind=\"echo\"}", 1.0),
        ("fanfare_connections_accepted_total{worker=\"0\"}", 4.0),
        ("fanfare_subscriptions{worker=\"0\"}", 4.0),
        ("fanfare_channels", 3.0),
        // connect, and two times subscribe
        ("fanfare_received_messages_total", 3.0),
        ("fanfare_sent_messages_total{type=\"reply\"}", 3.0),
    ];
    expect_moved(&push, &before, &open);

    raw.say(&Frame::close(1000, ""));
    raw.expect_close(1000);
    drop(raw);
    drop(other); // without a close
    echo.say(&Frame::close(4000, ""));
    echo.expect_close(4000);
    drop(echo);
    let order = json!({"user": "", "disconnect": {"code": 3503, "reason": "go"}});
    push.api().result("disconnect", &order);
    session.expect_closed(3503, "an order");
    drop(session);
    let closed = [
        ("fanfare_connections{worker=\"0\",kind=\"raw\"}", 0.0),
        ("fanfare_connections{worker=\"0\",kind=\"session\"}", 0.0),
        ("fanfare_connections{worker=\"0\",kind=\"echo\"}", 0.0),
        ("fanfare_connections{worker=\"0\",kind=\"closing\"}", 0.0),
        (
            "fanfare_disconnects_total{code=\"1000\",initiator=\"client\"}",
            1.0,
        ),
        (
            "fanfare_disconnects_total{code=\"1006\",initiator=\"client\"}",
            1.0,
        ),
        (
            "fanfare_disconnects_total{code=\"other\",initiator=\"client\"}",
            1.0,
        ),
        (
            "fanfare_disconnects_total{code=\"3503\",initiator=\"server\"}",
            1.0,
        ),
        ("fanfare_subscriptions{worker=\"0\"}", 0.0),
        ("fanfare_channels", 0.0),
        ("fanfare_handshakes_refused_total{status=\"none\"}", 0.0),
    ];
    expect_moved(&push, &before, &closed);
}

#[test]
fn publications_are_counted_in_and_out_and_timed_until_they_have_left() {
    let push = start("", "");
    let mut raws = [push.subscribe("past:a"), push.subscribe("past:a")];
    let mut session = Session::anonymous(&push, Wire::Protobuf);
    session.subscribe("past:a");
    let before = Samples::of(&push);
    let mut api = push.api();
    for n in 0..10 {
        api.publish("past:a", &json!({"n": n}));
    }
    api.publish("past:nobody", &json!("x"));
    let text = "a client's";
    raws[0].say(&Frame::text(text));
    for raw in &mut raws {
        for n in 0..10 {
            raw.expect_text(&format!("{{\"n\":{n}}}"));
        }
        raw.expect_text(text);
    }
    for _ in 0..11 {
        session.publication("past:a");
    }
    let payloads = 10 * r#"{"n":0}"#.len() + r#""x""#.len() + text.len();
    #[expect(clippy::cast_precision_loss, reason = "it is small")]
    let moves = [
        ("fanfare_publications_total{source=\"api\"}", 11.0),
        ("fanfare_publications_total{source=\"client\"}", 1.0),
        ("fanfare_sent_messages_total{type=\"delivery\"}", 33.0),
        ("fanfare_sent_messages_total{type=\"reply\"}", 0.0),
        ("fanfare_received_messages_total", 1.0),
        // Where nobody is subscribed there is nothing to tell.
        (
            "fanfare_publication_flush_seconds_count{worker=\"0\"}",
            11.0,
        ),
        (
            "fanfare_publication_flush_seconds_bucket{worker=\"0\",le=\"+Inf\"}",
            11.0,
        ),
        ("fanfare_history_publications", 12.0),
        ("fanfare_history_bytes", payloads as f64),
        ("fanfare_output_queued_bytes", 0.0),
        ("fanfare_output_pinned_bytes", 0.0),
    ];
    expect_moved(&push, &before, &moves);
    let after = Samples::of(&push);
    let sum = after.get("fanfare_publication_flush_seconds_sum{worker=\"0\"}");
    assert!(
        sum > 0.0 && sum < 11.0 * 20.0,
        "{sum} s for 11 publications"
    );
    let turns = after.get("fanfare_worker_turn_seconds_count{worker=\"0\"}");
    assert!(turns >= 12.0, "{turns} turns");
    let received =
        after.get("fanfare_received_bytes_total") - before.get("fanfare_received_bytes_total");
    assert_eq!(
        received,
        6.0 + f64::from(u8::try_from(text.len()).unwrap()),
        "one masked frame"
    );
    let sent = after.get("fanfare_sent_bytes_total") - before.get("fanfare_sent_bytes_total");
    let raw_frames = 2.0 * (10.0 * 9.0 + 12.0);
    assert!(sent > raw_frames + 11.0 * 7.0, "{sent} bytes");
}

#[test]
fn refusals_are_counted_by_status() {
    let push = start("max_connections = 3", "");
    let before = Samples::of(&push);
    assert_eq!(push.refusal("/raw/closed:a", &[]).status(), 403);
    assert_eq!(push.refusal("/raw/nowhere:a", &[]).status(), 404);
    assert_eq!(push.refusal("/nothing", &[]).status(), 404);
    assert_eq!(push.refusal("/raw/open:a?history=1", &[]).status(), 400);
    drop(Client::connect(push.addr())); // says nothing
    let moves = [
        ("fanfare_handshakes_refused_total{status=\"403\"}", 1.0),
        ("fanfare_handshakes_refused_total{status=\"404\"}", 2.0),
        ("fanfare_handshakes_refused_total{status=\"400\"}", 1.0),
        ("fanfare_handshakes_refused_total{status=\"503\"}", 0.0),
        ("fanfare_handshakes_refused_total{status=\"none\"}", 1.0),
        ("fanfare_connections{worker=\"0\",kind=\"handshake\"}", 0.0),
        ("fanfare_connections{worker=\"0\",kind=\"closing\"}", 0.0),
    ];
    expect_moved(&push, &before, &moves);
    let clients: Vec<Client> = (0..3).map(|_| push.subscribe("open:a")).collect();
    assert_eq!(push.refusal("/raw/open:a", &[]).status(), 503);
    let moves = [("fanfare_handshakes_refused_total{status=\"503\"}", 1.0)];
    expect_moved(&push, &before, &moves);
    drop(clients);
}

#[test]
fn whoever_reads_slowly_holds_memory_and_then_is_counted_as_cut_off() {
    let websocket = "[websocket]\nmax_output_bytes = 262144\nsend_timeout = 60\nclose_timeout = 60";
    let push = start("", websocket);
    let before = Samples::of(&push);
    let slow = Client::narrow(push.addr(), "/raw/open:slow", &[]);
    let mut api = push.api();
    let payload = json!("x".repeat(16 << 10));
    let mut has_queued = false;
    for n in 0.. {
        assert!(n < 3000, "nobody was cut off");
        api.publish("open:slow", &payload);
        if n % 8 == 0 {
            let now = Samples::of(&push);
            let queued = now.get("fanfare_output_queued_bytes");
            let pinned = now.get("fanfare_output_pinned_bytes");
            has_queued |= queued > 0.0 && pinned >= queued;
            if now.get("fanfare_slow_closes_total{cause=\"output\"}") > 0.0 {
                break;
            }
        }
    }
    assert!(has_queued, "nothing waited before it was cut off");
    let closed = [
        ("fanfare_slow_closes_total{cause=\"output\"}", 1.0),
        ("fanfare_slow_closes_total{cause=\"timeout\"}", 0.0),
        (
            "fanfare_disconnects_total{code=\"3008\",initiator=\"server\"}",
            1.0,
        ),
        ("fanfare_connections{worker=\"0\",kind=\"closing\"}", 1.0),
    ];
    expect_moved(&push, &before, &closed);
    drop(slow);
    let gone = [
        ("fanfare_output_queued_bytes", 0.0),
        ("fanfare_output_pinned_bytes", 0.0),
        ("fanfare_connections{worker=\"0\",kind=\"closing\"}", 0.0),
    ];
    expect_moved(&push, &before, &gone);
}

#[test]
fn recoveries_are_counted_by_their_result() {
    let push = start("", "");
    let mut api = push.api();
    api.publish("short:a", &json!(0));
    let old = api.position("short:a");
    for n in 1..10 {
        api.publish("short:a", &json!(n));
    }
    let recent = api.position("short:a");
    api.publish("short:a", &json!(10));
    let before = Samples::of(&push);
    let mut good = push.subscribe(&format!("short:a?since={recent}"));
    good.expect_text("10");
    let mut bad = push.subscribe(&format!("short:a?since={old}"));
    bad.expect_closed(3010, "insufficient");
    let mut session = Session::anonymous(&push, Wire::Json);
    let (offset, epoch) = recent.split_once(':').unwrap();
    let offset: u64 = offset.parse().unwrap();
    let recover = json!({"channel": "short:a", "recover": true, "offset": offset, "epoch": epoch});
    let result = session.result("subscribe", &recover);
    assert_eq!(result["recovered"], true, "{result}");
    let moves = [
        ("fanfare_recoveries_total{result=\"recovered\"}", 2.0),
        ("fanfare_recoveries_total{result=\"not_recovered\"}", 1.0),
        (
            "fanfare_disconnects_total{code=\"3010\",initiator=\"server\"}",
            1.0,
        ),
    ];
    expect_moved(&push, &before, &moves);
}

#[test]
fn who_may_read_them() {
    let get = |push: &Push, headers: &[(&str, &str)]| {
        let mut http = Http::connect(push.addr());
        http.request("GET /metrics", headers, b"").status()
    };
    let apikey = format!("apikey {KEY}");
    let key = [("Authorization", apikey.as_str())];
    // With an API of its own, the main port gives nothing away.
    let push = start("", "");
    assert_eq!((get(&push, &[]), get(&push, &key)), (404, 404));
    let push = start("", "[metrics]\npublic = true");
    assert_eq!(get(&push, &[]), 200);
    let push = Push::on_one_port("", "");
    assert_eq!((get(&push, &[]), get(&push, &key)), (401, 200));
}

/// The families of an exposition: name, type, help.
fn families(text: &str) -> Vec<(String, String, String)> {
    let mut families = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix("# HELP ") else {
            continue;
        };
        let (name, help) = rest.split_once(' ').unwrap();
        let kind = lines.next().unwrap();
        let kind = kind.strip_prefix(&format!("# TYPE {name} "));
        let kind = kind.unwrap_or_else(|| panic!("no type behind {line}"));
        families.push((name.to_owned(), kind.to_owned(), help.to_owned()));
    }
    families
}

#[test]
fn names_and_units_follow_the_conventions_of_prometheus() {
    let push = start("", "");
    let response = scrape(&push);
    let content: Vec<&str> = response.head.all("Content-Type").collect();
    assert_eq!(content, ["text/plain; version=0.0.4; charset=utf-8"]);
    let text = response.text();
    assert!(text.ends_with('\n'), "the last line ends, too");
    let families = families(&text);
    assert!(families.len() > 25, "{families:?}");
    let names: BTreeSet<&str> = families.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names.len(), families.len(), "each family is there once");
    for (name, kind, help) in &families {
        let is_snake = name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
        assert!(is_snake && !name.contains("__"), "{name}");
        assert!(
            name.starts_with("fanfare_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(help.ends_with('.'), "{name}: {help:?}");
        assert_eq!(
            name.ends_with("_total"),
            kind == "counter",
            "{name} is a {kind}"
        );
        for word in [
            "_ms", "_millis", "_micros", "_us", "_kb", "_kib", "_mb", "_mib", "_count", "_sum",
        ] {
            assert!(
                !name.contains(&format!("{word}_")) && !name.ends_with(word),
                "{name}"
            );
        }
        if kind == "histogram" {
            assert!(name.ends_with("_seconds"), "{name}: base units");
        }
        for kind in ["counter", "gauge", "histogram"] {
            assert!(!name.contains(kind), "{name} says its type");
        }
    }
    // Every sample is of a family; a histogram's buckets grow up to its count.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let of_histogram = ["_bucket", "_sum", "_count"].iter();
        let mut of_histogram = of_histogram.filter_map(|suffix| name.strip_suffix(suffix));
        assert!(
            names.contains(name) || of_histogram.any(|name| names.contains(name)),
            "{line}"
        );
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "fanfare_build_info",
    ] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn promtool_has_nothing_to_say_against_them() {
    let push = start("", "");
    let mut raw = push.subscribe("open:a");
    push.api().publish("open:a", &json!(1));
    raw.expect_text("1");
    let text = scrape(&push).text();
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool =
        promtool.expect("promtool, of Debian's prometheus: scripts/setup test installs it");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn a_scrape_at_ten_thousand_channels_is_as_long_as_at_none_and_takes_no_worker() {
    const SESSIONS: usize = 10;
    const CHANNELS_EACH: usize = 1000;
    let push = start("", "max_channels = 2000");
    let short = scrape(&push).text().lines().count();
    let mut sessions: Vec<Session> = (0..SESSIONS)
        .map(|_| Session::anonymous(&push, Wire::Json))
        .collect();
    for (n, session) in sessions.iter_mut().enumerate() {
        for channels in (0..CHANNELS_EACH).collect::<Vec<_>>().chunks(100) {
            let ids: Vec<u64> = channels
                .iter()
                .map(|m| session.send("subscribe", &json!({"channel": format!("past:{n}-{m}")})))
                .collect();
            for id in ids {
                assert!(session.reply(id)["subscribe"].is_object());
            }
        }
    }
    eventually("all channels", || {
        Samples::of(&push).get("fanfare_channels") >= 10_000.0
    });
    let turns = |push: &Push| {
        let samples = Samples::of(push);
        let of = |name| {
            samples.get(&format!(
                "fanfare_worker_turn_seconds_{name}{{worker=\"0\"}}"
            ))
        };
        (of("count"), of("sum"))
    };
    let (mut http, mut fastest) = (Http::connect(push.daemon().api()), Duration::MAX);
    let before = turns(&push);
    let began = clock::now();
    const SCRAPES: u32 = 100;
    for _ in 0..SCRAPES {
        let at = clock::now();
        let text = http.request("GET /metrics", &[], b"").text();
        fastest = fastest.min(at.elapsed());
        let lines = text.lines().count();
        assert!(
            lines < short + 20,
            "{lines} lines, {short} without channels"
        );
        assert!(text.len() < 64 << 10, "{} bytes", text.len());
    }
    let took = began.elapsed();
    let after = turns(&push);
    println!("{SCRAPES} scrapes at 10,000 channels: {took:?}, the fastest {fastest:?}");
    assert!(took < SCRAPES * Duration::from_millis(100), "{took:?}");
    // The worker has its own to do, a few times a second, whoever scrapes.
    let (count, busy) = (after.0 - before.0, after.1 - before.1);
    println!("meanwhile the worker had {count} turns, {busy} s");
    let own = took.as_secs_f64() * 20.0 + 50.0;
    assert!(
        count < own,
        "{count} turns of the worker while {SCRAPES} scrapes went on"
    );
}
