//! The figures are right: against servers that note what they did.

use std::fs::{self, File};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use super::harness::{errors, loadgen, output, report, stderr};
use super::server::{Conduct, Server};

/// How far a quantile may be from the server's own.
const TOLERANCE: f64 = 0.02;

/// So long that what a busy machine adds to a message's way is small beside it.
const MEDIAN_DELAY: Duration = Duration::from_millis(100);

/// Compares the report's quantiles with those of the first `messages` delays, all but the tolerance.
fn assert_quantiles(report: &Value, server: &Server) {
    let messages = report["messages"].as_u64().expect("a count");
    let messages = usize::try_from(messages).expect("it fits");
    let mut delays = server.delays.lock().expect("nobody panics with it").clone();
    assert!(messages > 2_000, "{messages} messages are few");
    assert!(delays.len() >= messages, "{} delays", delays.len());
    delays.truncate(messages);
    delays.sort_unstable();
    for (name, thousandths) in [("p50", 500), ("p90", 900), ("p99", 990), ("p999", 999)] {
        let rank = (messages * thousandths).div_ceil(1_000);
        let logged = delays[rank - 1].as_secs_f64() * 1e6;
        let told = report["latency_microseconds"][name]
            .as_f64()
            .expect("a number");
        let ratio = told / logged;
        eprintln!("{name}: told {told:.0} us, logged {logged:.0} us, ratio {ratio:.4}");
        assert!(
            (ratio - 1.0).abs() <= TOLERANCE,
            "{name}: {told} for {logged}"
        );
    }
}

#[test]
fn quantiles_agree_with_the_delays_that_the_server_notes_in_a_closed_loop() {
    let server = Server::start(Conduct::DelayedAtRandom {
        median: MEDIAN_DELAY,
    });
    let output = output(&format!(
        "echo {} --connections 200 --duration 4 --warmup 0 --json",
        server.url
    ));
    assert_quantiles(&report(&output, 0), &server);
}

#[test]
fn quantiles_agree_with_the_delays_that_the_server_notes_in_an_open_loop() {
    let server = Server::start(Conduct::DelayedAtRandom {
        median: MEDIAN_DELAY,
    });
    // Slow enough that no message waits behind the one before it on its connection.
    let output = output(&format!(
        "echo {} --connections 500 --rate 300 --poisson --duration 8 --warmup 0 --json",
        server.url
    ));
    let report = report(&output, 0);
    assert_quantiles(&report, &server);
    assert!(report["send_lag_microseconds"]["p50"].is_number());
}

#[test]
fn every_fault_is_counted_exactly() {
    for (conduct, class) in [
        (Conduct::CorruptByte(0), 3),
        (Conduct::CorruptByte(19), 3),
        (Conduct::Shorten, 3),
        (Conduct::OtherKind, 3),
        (Conduct::Repeat, 3),
        (Conduct::Swap, 3),
        (Conduct::Drop, 5),
    ] {
        for load in ["--depth 256", "--rate 3000"] {
            let server = Server::start_repeating(conduct, 29);
            let output = output(&format!(
                "echo {} --connections 4 --threads 2 {load} --timeout 1 --duration 0.5 --warmup 0.1 \
                 --json",
                server.url
            ));
            let errors = errors(&report(&output, 1));
            let misdeeds = server.misdeeds.load(Ordering::SeqCst) as u64;
            assert!(misdeeds > 10, "{misdeeds} misdeeds are few");
            let counted: u64 = errors.iter().sum();
            assert_eq!(counted, misdeeds, "{conduct:?} {load}: {errors:?}");
            // A reply that waits for another to overtake it waits for ever when it is the last.
            let last = if conduct == Conduct::Swap { 4 } else { 0 };
            assert!(
                errors[class] + last >= misdeeds,
                "{conduct:?} {load}: {errors:?}"
            );
        }
    }
}

#[test]
fn what_was_sent_is_what_is_told() {
    let server = Server::start(Conduct::Honest);
    let output = output(&format!(
        "echo {} --connections 7 --threads 3 --rate 2000 --duration 1 --warmup 0 --size 10..300 \
         --multibyte --json",
        server.url
    ));
    let report = report(&output, 0);
    let received = server.received.load(Ordering::SeqCst) as u64;
    assert_eq!(report["messages"].as_u64(), Some(received));
    assert!((1_980..=2_010).contains(&received), "{received}");
}

#[test]
fn a_file_has_the_results_where_the_summary_cannot_be_printed() {
    let server = Server::start(Conduct::Honest);
    let file = std::env::temp_dir().join(format!("loadgen-report-{}", std::process::id()));
    let full = File::options().write(true).open("/dev/full");
    let run = loadgen(&format!(
        "echo {} --connections 1 --duration 0.1 --warmup 0 --json {}",
        server.url,
        file.display()
    ))
    .stdout(full.expect("Linux has it"))
    .output()
    .expect("loadgen starts");
    let json = fs::read_to_string(&file).expect("loadgen has made it");
    fs::remove_file(&file).expect("it is ours");
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr(&run).contains("standard output"), "{}", stderr(&run));
    let report: Value = serde_json::from_str(&json).expect("it is whole");
    assert_eq!(report["scenario"], "echo");
}
