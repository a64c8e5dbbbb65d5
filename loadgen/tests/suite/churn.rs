//! `loadgen churn` and `loadgen storm`: connections that come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::harness::{errors, output, report, stderr};
use super::peer::{self, Deed};
use super::server::{Conduct, Server};

#[test]
fn churn_makes_connections_again_and_again() {
    let opened = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&opened);
    let url = peer::start(
        |_| Conduct::Honest,
        move |_, peer| {
            counter.fetch_add(1, Ordering::SeqCst);
            peer.behave()
        },
    );
    let args =
        format!("churn {url} --connections 5 --threads 2 --duration 0.5 --warmup 0.1 --json");
    let report = report(&output(&args), 0);
    let handshakes = report["handshakes"].as_u64().expect("they are counted");
    let opened = opened.load(Ordering::SeqCst) as u64;
    assert!(handshakes > 10 && handshakes <= opened, "{report}");
    for (step, is_timed) in [
        ("handshake", true),
        ("connect", true),
        ("tls", false),
        ("upgrade", true),
    ] {
        let key = format!("{step}_microseconds");
        assert_eq!(report[&key]["p50"].is_number(), is_timed, "{key}");
    }
    assert_eq!(report["messages"], 0);
}

#[test]
fn every_connection_of_a_churn_echoes_its_messages_and_says_goodbye() {
    let (wrong, whole) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (wrongs, wholes) = (Arc::clone(&wrong), Arc::clone(&whole));
    let url = peer::start(
        |_| Conduct::Honest,
        move |_, peer| {
            let mut messages = 0;
            loop {
                match peer.next()? {
                    Deed::Data(bytes) => {
                        messages += 1;
                        peer.binary(&bytes);
                    }
                    Deed::Ping(payload) => peer.pong(&payload),
                    Deed::Close => {
                        // The last ones have no messages: their time was over.
                        let count = if messages == 3 { &wholes } else { &wrongs };
                        count.fetch_add(1, Ordering::SeqCst);
                        return peer.part();
                    }
                }
                peer.flush()?;
            }
        },
    );
    let args = format!(
        "churn {url} --connections 4 --messages 3 --rate 100 --duration 0.5 --warmup 0 --json"
    );
    let report = report(&output(&args), 0);
    let handshakes = report["handshakes"].as_u64().expect("they are counted");
    assert_eq!(handshakes, 50, "each that was due");
    assert!(report["send_lag_microseconds"]["p50"].is_number());
    // Messages count when they are answered: those of the last connections come after the end.
    let messages = report["messages"].as_u64().expect("they are counted");
    assert!((75..=3 * 54).contains(&messages), "{report}");
    assert!(whole.load(Ordering::SeqCst) as u64 >= handshakes - 4);
    // At the end each of the slots may be anywhere on its way.
    assert!(wrong.load(Ordering::SeqCst) <= 4);
}

#[test]
fn each_failed_connection_of_a_churn_is_counted_and_its_slot_goes_on() {
    for (conduct, expected) in [
        (Conduct::Forbid, [0, 3, 0, 0, 0, 0]),
        (Conduct::HangupAtUpgrade, [0, 3, 0, 0, 0, 0]),
        (Conduct::SilentAtUpgrade, [0, 3, 0, 0, 0, 0]),
    ] {
        let admit = move |number: usize| match number {
            10 | 20 | 25 => conduct,
            _ => Conduct::Honest,
        };
        let url = peer::start(admit, |_, peer| peer.behave());
        let args =
            format!("churn {url} --connections 3 --duration 1.5 --warmup 0 --timeout 0.2 --json");
        let report = report(&output(&args), 1);
        assert_eq!(errors(&report), expected, "{conduct:?}");
        assert!(report["handshakes"].as_u64() > Some(25), "{report}");
    }
}

#[test]
fn a_message_that_is_not_echoed_is_one_timeout_and_the_slot_goes_on() {
    let url = peer::start(
        |_| Conduct::Honest,
        |number, peer| {
            if number != 7 {
                return peer.behave();
            }
            while peer.next()? != Deed::Close {}
            peer.part()
        },
    );
    let args = format!(
        "churn {url} --connections 2 --messages 2 --duration 1 --warmup 0 --timeout 0.2 --json"
    );
    let report = report(&output(&args), 1);
    assert_eq!(errors(&report), [0, 0, 0, 0, 0, 1]);
    assert!(report["handshakes"].as_u64() > Some(10), "{report}");
}

/// Connections that are due in [`OPEN_LOOP`].
const DUE: u64 = 30;

/// The first of them, which are served at once: those of the first 0.5 s.
const SERVED: usize = 10;

const OPEN_LOOP: &str = "--connections 2 --rate 20 --duration 1.5 --warmup 0 --json";

#[test]
fn a_server_that_stalls_to_the_end_and_beyond_leaves_no_due_connection_out() {
    let admit = |number: usize| match number.checked_sub(2) {
        Some(number) if number >= SERVED => Conduct::SilentAtUpgrade,
        _ => Conduct::Honest,
    };
    let url = peer::start(admit, |_, peer| peer.behave());
    let report = report(&output(&format!("churn {url} {OPEN_LOOP} --timeout 2")), 1);
    assert_eq!(report["handshakes"], SERVED);
    // Both slots are silent from 0.5 s to 2.5 s, and again until the last wait ends, at 3.5 s.
    let silent = 4;
    let no_slot = DUE - SERVED as u64 - silent;
    assert_eq!(errors(&report), [0, silent, 0, 0, 0, no_slot]);
}

#[test]
fn connections_that_a_stall_holds_up_until_after_the_end_count_with_their_whole_wait() {
    let stall = Duration::from_millis(1_500);
    let admit = move |number: usize| {
        if number == 2 + SERVED {
            // The kernel takes connections meanwhile, but nobody answers them.
            thread::sleep(stall);
        }
        Conduct::Honest
    };
    let url = peer::start(admit, |_, peer| peer.behave());
    let report = report(&output(&format!("churn {url} {OPEN_LOOP} --timeout 10")), 0);
    assert_eq!(report["handshakes"], DUE);
    assert_eq!(errors(&report), [0; 6]);
    // It lasts from 0.5 s to 2 s: the twenty that are due meanwhile wait 0.5 s at least.
    let median = &report["handshake_microseconds"]["p50"];
    assert!(median.as_f64() > Some(500_000.0), "{median}");
}

#[test]
fn nobody_to_churn_or_storm_ends_the_run() {
    for scenario in ["churn", "churn --rate 100", "storm"] {
        let server = Server::start(Conduct::Forbid);
        let url = &server.url;
        let args = format!("{scenario} {url} --connections 3 --duration 100000 --json");
        let report = report(&output(&args), 1);
        assert_eq!(errors(&report), [0, 3, 0, 0, 0, 0], "{scenario}");
        assert_eq!(report["handshakes"], 0);
    }
}

fn storm_counts(report: &serde_json::Value) -> Vec<(u64, u64)> {
    let rounds = report["storm_rounds"].as_array().expect("a list");
    let count = |round: &serde_json::Value, key: &str| round[key].as_u64().expect("a count");
    rounds
        .iter()
        .map(|round| (count(round, "returned"), count(round, "failed_attempts")))
        .collect()
}

#[test]
fn a_storm_brings_every_connection_back_in_every_round() {
    for flags in ["", "--close", "--jitter 0.1", "--close --jitter 0.1"] {
        let opened = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&opened);
        let url = peer::start(
            |_| Conduct::Honest,
            move |_, peer| {
                counter.fetch_add(1, Ordering::SeqCst);
                peer.behave()
            },
        );
        let args = format!(
            "storm {url} --connections 20 --threads 2 --rounds 3 --pause 0.05 --warmup 0 {flags} --json"
        );
        let report = report(&output(&args), 0);
        assert_eq!(storm_counts(&report), [(20, 0); 3], "{flags}");
        assert_eq!(report["handshakes"], 60, "{flags}");
        assert_eq!(opened.load(Ordering::SeqCst), 20 + 60, "{flags}");
        let round = &report["storm_rounds"][2];
        let at = |key: &str| round[key].as_f64().expect("a time");
        assert!(at("first_microseconds") <= at("median_microseconds"));
        assert!(at("median_microseconds") <= at("p99_microseconds"));
        assert!(at("p99_microseconds") <= at("last_microseconds"));
        assert!(
            report["duration_seconds"].as_f64() < Some(9.0),
            "it ends after its rounds"
        );
    }
}

#[test]
fn attempts_that_fail_are_counted_and_made_again() {
    // Of the ten that come back in the first round, four are refused once, two of these twice.
    let admit = |number: usize| match number {
        10..14 | 20..22 => Conduct::Forbid,
        _ => Conduct::Honest,
    };
    let url = peer::start(admit, |_, peer| peer.behave());
    let args = format!(
        "storm {url} --connections 10 --rounds 2 --pause 0.05 --backoff 0.3 --warmup 0 --json"
    );
    let report = report(&output(&args), 1);
    assert_eq!(storm_counts(&report), [(10, 6), (10, 0)]);
    assert_eq!(errors(&report), [0, 6, 0, 0, 0, 0]);
}

#[test]
fn connections_that_do_not_come_back_are_counted_when_the_time_is_over() {
    let admit = |number: usize| match number {
        0..10 => Conduct::Honest,
        _ => Conduct::Forbid,
    };
    let url = peer::start(admit, |_, peer| peer.behave());
    // One refused attempt each; the next would come after the end.
    let args = format!(
        "storm {url} --connections 10 --rounds 2 --backoff 1000 --duration 0.5 --warmup 0 --json"
    );
    let report = report(&output(&args), 1);
    assert_eq!(storm_counts(&report), [(0, 10)]);
    assert_eq!(errors(&report), [0, 10, 0, 0, 0, 10]);
}

#[test]
fn a_storm_that_is_cut_short_says_how_many_rounds_it_had() {
    let server = Server::start(Conduct::Honest);
    let output = output(&format!(
        "storm {} --connections 3 --rounds 50 --pause 0.2 --duration 0.5 --json",
        server.url
    ));
    let report = report(&output, 0);
    let rounds = report["storm_rounds"].as_array().expect("a list").len();
    assert!(rounds < 50, "{rounds}");
    let warning = format!("only {rounds} of 50 rounds");
    assert!(stderr(&output).contains(&warning), "{}", stderr(&output));
}
