//! `loadgen echo` against servers that behave and servers that do not.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use super::harness::{errors, limited, loadgen, output, report, stderr};
use super::server::{Conduct, MISDEED_AT, Server};

#[test]
fn an_honest_server_loses_nothing_at_any_size() {
    let server = Server::start(Conduct::Honest);
    for size in [0, 1, 7, 8, 9, 20, 125, 126, 65_535, 65_536, 1_000_000] {
        for kind in ["--text", "--binary"] {
            let url = &server.url;
            let before = server.received.load(Ordering::SeqCst);
            let output = output(&format!(
                "echo {url} --connections 5 --depth 3 --threads 2 --size {size} {kind} \
                 --duration 0.1 --warmup 0 --json -"
            ));
            report(&output, 0);
            // The first windows are sent and waited for, however short the run is.
            assert!(server.received.load(Ordering::SeqCst) >= before + 5 * 3);
        }
    }
}

#[test]
fn fragmented_replies_and_pings_are_no_fault() {
    let server = Server::start(Conduct::Fragmented);
    for size in [0, 2, 20, 100_000] {
        let url = &server.url;
        let output = output(&format!(
            "echo {url} --connections 3 --depth 2 --size {size} --duration 0.1 --warmup 0 --json"
        ));
        report(&output, 0);
        assert!(server.received.load(Ordering::SeqCst) > 0);
    }
}

#[test]
fn each_fault_is_counted_once_in_its_class() {
    for (conduct, expected) in [
        (Conduct::CorruptByte(0), [0, 0, 0, 1, 0, 0]),
        (Conduct::CorruptByte(7), [0, 0, 0, 1, 0, 0]),
        (Conduct::CorruptByte(8), [0, 0, 0, 1, 0, 0]),
        (Conduct::CorruptByte(19), [0, 0, 0, 1, 0, 0]),
        (Conduct::Shorten, [0, 0, 0, 1, 0, 0]),
        (Conduct::OtherKind, [0, 0, 0, 1, 0, 0]),
        (Conduct::Repeat, [0, 0, 0, 1, 0, 0]),
        (Conduct::Swap, [0, 0, 0, 1, 0, 0]),
        (Conduct::Drop, [0, 0, 0, 0, 0, 1]),
        (Conduct::Hangup, [0, 0, 0, 0, 1, 0]),
        (Conduct::GoAway, [0, 0, 0, 0, 1, 0]),
        (Conduct::BreakProtocol, [0, 0, 1, 0, 0, 0]),
    ] {
        for kind in ["--text", "--binary"] {
            const { assert!(MISDEED_AT < 4 * 4) }; // the first windows reach it, at any speed
            let server = Server::start(conduct);
            let url = &server.url;
            let output = output(&format!(
                "echo {url} --connections 4 --depth 4 {kind} --timeout 2 \
                 --duration 0.1 --warmup 0 --json"
            ));
            let report = report(&output, 1);
            assert_eq!(errors(&report), expected, "{conduct:?} {kind}");
            assert!(stderr(&output).contains("LOST"), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_lost_message_at_depth_1_is_a_timeout() {
    let server = Server::start(Conduct::Drop);
    let url = &server.url;
    let output = output(&format!(
        "echo {url} --connections 1 --timeout 1 --duration 0.3 --warmup 0 --json"
    ));
    assert_eq!(errors(&report(&output, 1)), [0, 0, 0, 0, 0, 1]);
}

#[test]
fn connections_that_never_open_are_counted_and_end_the_run() {
    for conduct in [
        Conduct::Forbid,
        Conduct::WrongAccept,
        Conduct::HangupAtUpgrade,
        Conduct::SilentAtUpgrade,
    ] {
        let server = Server::start(conduct);
        let url = &server.url;
        // It would fail by the harness's patience, not by luck, if the run lasted as asked.
        let output = output(&format!(
            "echo {url} --connections 3 --threads 2 --duration 100000 --timeout 0.3 --json"
        ));
        let report = report(&output, 1);
        assert_eq!(errors(&report), [0, 3, 0, 0, 0, 0], "{conduct:?}");
        assert_eq!(report["latency_microseconds"]["p50"], Value::Null);
        if conduct == Conduct::Forbid {
            assert!(stderr(&output).contains("403"), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_port_where_nobody_listens_is_a_connect_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let output = output(&format!("echo ws://{address}/ --connections 3 --json"));
    assert_eq!(errors(&report(&output, 1)), [3, 0, 0, 0, 0, 0]);
}

#[test]
fn bad_usage_is_one_line_and_exit_code_2() {
    for (args, named) in [
        ("", "--help"),
        ("echo", "<URL>"),
        ("echo http://127.0.0.1/", "<URL>"),
        ("echo ws://127.0.0.1/ --connections none", "--connections"),
        ("echo ws://127.0.0.1/ --pid 4294967295", "--pid"),
        ("echo ws://127.0.0.1/ --json /nowhere/at/all.json", "--json"),
    ] {
        let output = output(args);
        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(output.stdout.is_empty(), "{args}");
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        assert!(stderr(&output).contains(named), "{}", stderr(&output));
    }
}

#[test]
fn a_descriptor_limit_that_is_too_low_is_told_before_the_run() {
    let server = Server::start(Conduct::Honest);
    let args = format!(
        "echo {} --connections 200 --duration 0.1 --warmup 0 --json",
        server.url
    );
    let refused = limited("-n 100", &args);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    for part in ["--connections 200", "the limit is 100", "prlimit"] {
        assert!(stderr(&refused).contains(part), "{}", stderr(&refused));
    }
    assert_eq!(server.received.load(Ordering::SeqCst), 0);
    // A soft limit alone is raised.
    report(&limited("-S -n 100", &args), 0);
}

#[test]
fn ctrl_c_prints_the_results_so_far() {
    let (sender, started) = mpsc::channel();
    let server = Server::start_with(Conduct::Honest, move |number| {
        if number == 1_000 {
            sender.send(()).expect("the test waits");
        }
    });
    let args = format!(
        "echo {} --connections 4 --duration 100000 --warmup 0 --json",
        server.url
    );
    let child: Child = loadgen(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("loadgen starts");
    started
        .recv_timeout(Duration::from_secs(30))
        .expect("messages arrive");
    let pid = i32::try_from(child.id()).expect("pids are small");
    let pid = rustix::process::Pid::from_raw(pid).expect("pids are positive");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it still runs");
    let output = child.wait_with_output().expect("it ends");
    let report = report(&output, 0);
    assert!(report["messages"].as_u64() > Some(0));
    assert!(report["duration_seconds"].as_f64() < Some(60.0));
    assert!(
        stderr(&output).contains("interrupted"),
        "{}",
        stderr(&output)
    );
}

/// Far more is due than the sockets and the client keep for the server: it waits, and is sent.
#[test]
fn what_a_deaf_server_does_not_take_is_sent_when_it_listens() {
    let server = Server::start(Conduct::Deaf(Duration::from_secs(1)));
    let output = output(&format!(
        "echo {} --connections 2 --rate 400 --size 100000 --duration 1 --warmup 0 --json",
        server.url
    ));
    let report = report(&output, 0);
    assert_eq!(report["messages"], 400);
    assert!(report["latency_microseconds"]["p50"].as_f64() > Some(300_000.0));
}

#[test]
fn latency_is_never_less_than_the_delay() {
    let delay = Duration::from_millis(20);
    let server = Server::start(Conduct::Delayed(delay));
    let url = &server.url;
    let output = output(&format!(
        "echo {url} --connections 2 --duration 0.5 --warmup 0.1 --json --pid {}",
        std::process::id()
    ));
    let report = report(&output, 0);
    assert!(report["latency_microseconds"]["min"].as_f64() >= Some(20_000.0));
    assert!(report["server_rss_bytes"].as_u64() > Some(0));
    assert!(report["server_cpu_seconds"].is_number());
}

#[test]
fn json_goes_to_a_file_and_the_summary_to_stdout() {
    let server = Server::start(Conduct::Honest);
    let file = std::env::temp_dir().join(format!("loadgen-{}.json", std::process::id()));
    let output = output(&format!(
        "echo {} --connections 2 --duration 0.1 --warmup 0 --json {}",
        server.url,
        file.display()
    ));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let summary = String::from_utf8(output.stdout).expect("the summary is UTF-8");
    for part in ["throughput", "p99.9", "errors       none", "CPU a message"] {
        assert!(summary.contains(part), "{summary}");
    }
    let written = std::fs::read_to_string(&file).expect("the file is there");
    std::fs::remove_file(&file).expect("it is ours");
    let report: Value = serde_json::from_str(&written).expect("it is JSON");
    assert_eq!(report["scenario"], "echo");
}

#[test]
fn a_server_process_that_ends_meanwhile_is_told() {
    let server = Server::start(Conduct::Honest);
    let mut process = Command::new("sleep")
        .arg("60")
        .spawn()
        .expect("sleep starts");
    let run = loadgen(&format!(
        "echo {} --connections 2 --duration 0.6 --warmup 0 --pid {} --json",
        server.url,
        process.id()
    ))
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("loadgen starts");
    while server.received.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    process.kill().expect("it still runs");
    process.wait().expect("it ends");
    let output = run.wait_with_output().expect("it ends");
    let report = report(&output, 0);
    assert_eq!(report["server_cpu_seconds"], Value::Null);
    assert!(
        stderr(&output).contains("gone before the end"),
        "{}",
        stderr(&output)
    );
}
