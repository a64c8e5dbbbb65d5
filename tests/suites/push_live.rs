//! The push server under the load generator: every publication at every subscriber, once, in order, while
//! subscribers are cut and come back, stall, or are told that what they missed is gone.
//!
//! Never: measures how fast that is.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::process::{Command, Stdio};

use fanfare_tests::binaries::loadgen;
use fanfare_tests::push::{KEY, Push};
use serde_json::Value;

/// Of each run.
const FLAGS: &str = "--duration 6 --warmup 0.5 --no-progress --json -";
/// Of most.
const CROWD: &str = "--subscribers 200 --channels 10";

/// The report of a `loadgen fanout` that found no fault.
fn report_of(push: &Push, query: &str, crowd: &str, flags: &[&str]) -> Value {
    let url = format!("ws://{}/raw/{{channel}}{query}", push.addr());
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
    let push = Push::start("workers = 2", "[websocket]\nmax_output_bytes = 65536");
    // Each is sent 11 MB, of which the kernel holds 4.
    let crowd = "--subscribers 40 --channels 2 --stalled 10%";
    let flags = "--channel-prefix open:live- --publishers 2 --rate 120 --size 30000";
    let flags: Vec<&str> = flags.split_ascii_whitespace().collect();
    let report = report_of(&push, "", crowd, &flags);
    assert_at_least(&report, "deliveries", 10_000);
    assert_eq!(report["stalled"], 4, "{report}");
    assert_eq!(report["stalled_closed"], 4, "{report}");
    let codes = report["stalled_close_codes"].to_string();
    assert!(codes.contains("3008"), "{codes}");
}
