//! The push server under the load generator: every publication at every subscriber, once, in order, while
//! subscribers are cut and come back, stall, or are told that what they missed is gone.
//!
//! Never: measures how fast that is.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::process::{Command, Stdio};
use std::thread;

use fanfare_tests::binaries::loadgen;
use fanfare_tests::push::{KEY, Push, eventually};
use serde_json::{Value, json};

/// Of each run.
const FLAGS: &str = "--duration 6 --warmup 0.5 --no-progress --json -";
/// Sessions without a token are let in.
const SESSIONS: &str = "[client]\nallow_anonymous = true";
/// Of most.
const CROWD: &str = "--subscribers 200 --channels 10";

/// The report of a `loadgen fanout` that found no fault.
fn report_of(push: &Push, query: &str, crowd: &str, flags: &[&str]) -> Value {
    report_at(push, &format!("/raw/{{channel}}{query}"), crowd, flags)
}

/// The same at any path.
fn report_at(push: &Push, path: &str, crowd: &str, flags: &[&str]) -> Value {
    let url = format!("ws://{}{path}", push.addr());
    let mut command = Command::new(loadgen());
    command
        .args(["fanout", &url])
        .args(FLAGS.split_ascii_whitespace())
        .args(crowd.split_ascii_whitespace())
        .args(flags)
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let summary = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{flags:?}: {summary}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for fault in ["gaps", "duplicates", "disordered", "refused"] {
        assert_eq!(report[fault], 0, "{fault}: {summary}");
    }
    for (fault, count) in report["errors"].as_object().expect("errors") {
        assert_eq!(count, 0, "{fault}: {summary}");
    }
    eprintln!("{summary}");
    report
}

/// What a run that did not do its work would not have.
#[track_caller]
fn assert_at_least(report: &Value, key: &str, least: u64) {
    let count = report[key].as_u64();
    assert!(count >= Some(least), "{key}: {count:?} in {report}");
}

#[test]
fn who_is_cut_and_resumes_loses_nothing() {
    let push = Push::start("workers = 2", "");
    let flags = "--channel-prefix past:live- --publishers 20 --rate 300 --poisson --burst 3 \
                 --cut-rate 100 --cut-pause 0.02 --resume since={position}";
    let mut flags: Vec<&str> = flags.split_ascii_whitespace().collect();
    flags.extend(["--delivery", "{position} {payload}"]);
    let report = report_of(&push, "?meta=1", CROWD, &flags);
    assert_at_least(&report, "deliveries", 25_000);
    assert_at_least(&report, "resumes", 400);
    // Of a thousand that are kept nobody has missed three hundred.
    assert_eq!(report["told"], 0, "{report}");
}

#[test]
fn sessions_that_are_cut_recover_everything_in_both_encodings() {
    let push = Push::start("workers = 2", SESSIONS);
    for dialect in ["centrifuge-json", "centrifuge-protobuf"] {
        let flags = format!(
            "--dialect {dialect} --positioned --channel-prefix past:{dialect}- --publishers 20 --rate 300 \
             --poisson --burst 3 --cut-rate 100 --cut-pause 0.02"
        );
        let flags: Vec<&str> = flags.split_ascii_whitespace().collect();
        let report = report_at(&push, "/connection/websocket", CROWD, &flags);
        assert_at_least(&report, "deliveries", 25_000);
        assert_at_least(&report, "resumes", 400);
        assert_eq!(report["resumes"], report["cuts"], "{report}");
        assert_eq!(report["told"], 0, "{report}");
    }
}

#[test]
fn sessions_that_were_away_for_too_long_are_told() {
    let push = Push::start("workers = 2", SESSIONS);
    // Ten are kept, and longer away than it takes to publish as many is every second.
    let flags = "--dialect centrifuge-json --positioned --channel-prefix recovers:session- --publishers 10 \
                 --rate 600 --burst 6 --cut-rate 100 --cut-pause 0.15";
    let flags: Vec<&str> = flags.split_ascii_whitespace().collect();
    let report = report_at(&push, "/connection/websocket", CROWD, &flags);
    assert_at_least(&report, "deliveries", 40_000);
    assert_at_least(&report, "resumes", 100);
    assert_at_least(&report, "told", 20);
}

#[test]
fn what_the_api_publishes_is_complete_too() {
    let push = Push::start("workers = 2", "");
    let url = format!("http://{}/api/publish", push.daemon().api());
    let key = format!("X-API-Key: {KEY}");
    let flags = [
        ("--channel-prefix", "past:api-"),
        ("--publishers", "4"),
        ("--rate", "100"),
        ("--cut-rate", "60"),
        ("--resume", "since={position}"),
        ("--publish-http", &url),
        ("--publish-header", &key),
        (
            "--publish-json",
            r#"{"channel":"{channel}","data":"{payload}"}"#,
        ),
        ("--delivery", r#"{position} "{payload}""#),
    ];
    let flags: Vec<&str> = flags
        .iter()
        .flat_map(|(name, value)| [*name, value])
        .collect();
    let report = report_of(&push, "?meta=1", CROWD, &flags);
    assert_at_least(&report, "deliveries", 8_000);
    assert_at_least(&report, "resumes", 200);
    assert_eq!(report["told"], 0, "{report}");
}

#[test]
fn who_was_away_for_too_long_is_told_and_nobody_loses_in_silence() {
    let push = Push::start("workers = 2", "");
    // Ten are kept, and longer away than it takes to publish as many is every second.
    let flags = "--channel-prefix recovers:live- --publishers 10 --rate 600 --burst 6 --cut-rate 100 \
                 --cut-pause 0.15 --resume since={position}";
    let mut flags: Vec<&str> = flags.split_ascii_whitespace().collect();
    flags.extend(["--delivery", "{position} {payload}"]);
    let report = report_of(&push, "?meta=1", CROWD, &flags);
    assert_at_least(&report, "deliveries", 40_000);
    assert_at_least(&report, "resumes", 100);
    assert_at_least(&report, "told", 20);
}

#[test]
fn who_stalls_is_closed_and_takes_nothing_from_the_others() {
    let websocket = "[websocket]\nmax_output_bytes = 65536\nsend_timeout = 1\nclose_timeout = 1";
    let push = Push::start("workers = 2", websocket);
    // Each is sent 11 MB, of which the kernel holds 4.
    let crowd = "--subscribers 40 --channels 2 --stalled 10%";
    let flags = "--channel-prefix open:live- --publishers 2 --rate 120 --size 30000";
    let flags: Vec<&str> = flags.split_ascii_whitespace().collect();
    let report = thread::scope(|scope| {
        let run = scope.spawn(|| report_of(&push, "", crowd, &flags));
        let mut api = push.api();
        // On each channel twenty subscribers and who publishes; then without the two that stall.
        for clients in [21, 19] {
            for channel in ["open:live-0", "open:live-1"] {
                let request = json!({"channel": channel});
                let mut stats = || api.result("presence_stats", &request)["num_clients"].clone();
                let what = format!("{clients} clients on {channel}");
                eventually(&what, || stats() == clients);
            }
        }
        run.join().expect("a report without a fault")
    });
    assert_at_least(&report, "deliveries", 10_000);
    assert_eq!(report["stalled"], 4, "{report}");
}
