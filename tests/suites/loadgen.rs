//! `loadgen` against the daemon: what the two together must show.
#![allow(clippy::unwrap_used, reason = "a failed test names its place")]

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fanfare_tests::binaries::loadgen;
use fanfare_tests::daemon::Daemon;
use rustix::process::Signal;
use serde_json::Value;

/// Connections of the large run, and the descriptors that it may have.
const CONNECTIONS: u64 = 15_000;
const DESCRIPTORS: u64 = 20_000;
const OWN_BYTES_MAX: f64 = 1024.0;

/// How long the server is frozen, in the middle of the measured time.
const FROZEN: Duration = Duration::from_secs(1);

fn start(daemon: &Daemon, flags: &str) -> Child {
    Command::new(loadgen())
        .args(["echo", &format!("ws://{}/", daemon.addr()), "--json"])
        .args(flags.split_ascii_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The report of a run that lost nothing.
fn report(run: Child) -> Value {
    let output = run.wait_with_output().unwrap();
    let summary = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{summary}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The loads run at the same time, so both see the same stop.
#[test]
fn a_stop_of_the_server_shows_in_an_open_loop_and_hides_in_a_closed_one() {
    let daemon = Daemon::echo(&["--workers", "1"]).unwrap();
    let flags = "--connections 10 --duration 10 --warmup 0.5";
    let open = start(&daemon, &format!("{flags} --rate 500"));
    let closed = start(&daemon, flags);
    thread::sleep(Duration::from_secs(5));
    daemon.signal(Signal::STOP).unwrap();
    thread::sleep(FROZEN);
    daemon.signal(Signal::CONT).unwrap();
    let (open, closed) = (report(open), report(closed));

    let quantile = |report: &Value, name: &str| {
        let micros = report["latency_microseconds"][name].as_f64().unwrap();
        Duration::from_secs_f64(micros / 1e6)
    };
    // A tenth of the messages was meant to be sent while the server stood; the last of them waited
    // least, so one in a hundred waited for nine tenths of the stop or longer.
    let expected = FROZEN.mul_f64(0.9);
    let p99 = quantile(&open, "p99");
    assert!(p99 > expected.mul_f64(0.95), "{p99:?} in an open loop");
    assert!(p99 < FROZEN.mul_f64(1.2), "{p99:?} in an open loop");
    assert_eq!(open["messages"], 5_000);
    // Ten messages, one a connection, were on their way when it stopped.
    let p99 = quantile(&closed, "p99");
    assert!(p99 < FROZEN / 4, "{p99:?} in a closed loop");
    assert!(quantile(&closed, "max") > expected, "it did see the stop");
}

/// Each end is a process of its own; the descriptor limit leaves little room.
#[test]
fn loadgen_holds_15_000_connections_in_a_kibibyte_each() {
    let daemon = Daemon::echo(&["--workers", "1"]).expect("the daemon starts");
    let command = format!(
        "ulimit -n {DESCRIPTORS} && exec {} idle ws://{}/ --connections {CONNECTIONS} --heartbeat 2 \
         --duration 2 --warmup 0 --timeout 30 --pid {} --json",
        loadgen().display(),
        daemon.addr(),
        daemon.id(),
    );
    let output = Command::new("sh").args(["-c", &command]).output();
    let output = output.expect("sh starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let number = |key: &str| {
        let number = report[key].as_f64();
        number.unwrap_or_else(|| panic!("{key} in {report}"))
    };
    // Each connection has had a heartbeat or is about to: nothing was lost on the way.
    assert!(number("messages") >= CONNECTIONS as f64 * 0.9, "{report}");
    let own = number("client_bytes_per_connection");
    assert!(own > 0.0 && own <= OWN_BYTES_MAX, "{own} B a connection");
    assert!(number("server_user_bytes_per_connection") > 0.0, "{report}");
    assert!(number("kernel_bytes_per_connection") > 0.0, "{report}");
}

#[test]
fn what_is_compressed_is_verified_and_what_it_saves_is_told() {
    let (willing, unwilling) = (
        Daemon::echo(&["--workers", "1", "--deflate"]).unwrap(),
        Daemon::echo(&["--workers", "1"]).unwrap(),
    );
    let flags = "--connections 4 --depth 3 --size 2000 --words --duration 0.3 --warmup 0";
    let run = |daemon: &Daemon, deflate: &str| report(start(daemon, &format!("{flags} {deflate}")));
    let compressed = run(&willing, "--deflate");
    let number = |name: &str| compressed[name].as_i64().unwrap();
    assert_eq!(number("deflate_connections"), 4);
    assert!(number("messages") > 0);
    let payload = number("deflate_payload_bytes");
    assert!(payload >= 2 * 2000 * number("messages"), "{compressed}");
    let saved = number("deflate_saved_bytes");
    assert!(payload / 2 < saved && saved < payload, "{compressed}");

    let refused = run(&unwilling, "--deflate");
    assert_eq!(refused["deflate_connections"], 0);
    assert_eq!(refused["deflate_payload_bytes"], 0);
    let unasked = run(&willing, "");
    assert_eq!(unasked["deflate_connections"], Value::Null);
    assert_eq!(unasked["deflate_saved_bytes"], Value::Null);
}
