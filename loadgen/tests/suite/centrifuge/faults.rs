//! What a server does wrong, counted exactly.

use std::thread;

use super::server::{Centrifuge, Conduct, MISDEEDS};
use super::wire::{ENCODINGS, Encoding};
use super::{TIMES, check_whole, run, run_for};
use crate::harness::{errors, report, shell, stderr};
use crate::positions::{losses, number};

const ALL: u64 = MISDEEDS.len() as u64;

/// What each conduct comes to, for one subscriber: gaps, duplicates, disordered, changed.
const MISTOLD: [(Conduct, [u64; 4]); 14] = [
    (Conduct::Drop, [ALL, 0, 0, 0]),
    (Conduct::Repeat, [0, ALL, 0, 0]),
    (Conduct::Swap, [0, 0, ALL, 0]),
    // The last of the payload, and of what stands around it the last and the first.
    (Conduct::Corrupt(1), [0, 0, 0, ALL]),
    (Conduct::Corrupt(40), [0, 0, 0, ALL]),
    (Conduct::Corrupt(64), [0, 0, 0, ALL]),
    (Conduct::Corrupt(0), [0, 0, 0, ALL]),
    (Conduct::Shorten, [0, 0, 0, ALL]),
    (Conduct::OtherKind, [0, 0, 0, ALL]),
    (Conduct::Cut, [0, 0, 0, ALL]),
    (Conduct::Misnumber, [0, 0, 0, ALL]),
    (Conduct::Unnumber, [0, 0, 0, ALL]),
    (Conduct::SkipOffsets, [ALL, 0, 0, 0]),
    (Conduct::Reverse, [0, 0, ALL, 0]),
];

#[test]
fn each_publication_that_is_not_told_as_it_is_counts_once_for_each_subscriber() {
    for (conduct, of_one) in MISTOLD {
        // At the same time: a run mostly waits.
        thread::scope(|scope| {
            for encoding in ENCODINGS {
                for flags in ["", "--threads 2 --publishers 2"] {
                    scope.spawn(move || check_mistold(encoding, conduct, of_one, flags));
                }
            }
        });
    }
}

fn check_mistold(encoding: Encoding, conduct: Conduct, of_one: [u64; 4], flags: &str) {
    if encoding == Encoding::Json && conduct == Conduct::Corrupt(0) {
        return; // no JSON: no honest server could have taken it
    }
    let server = Centrifuge::start(conduct);
    let output = run(
        &server,
        encoding,
        &format!("--subscribers 6 --positioned {flags}"),
    );
    let report = report(&output, 1);
    let context = format!("{encoding:?} {conduct:?} {flags}");
    assert!(server.published() > MISDEEDS[2], "{context}");
    assert_eq!(losses(&report), of_one.map(|n| n * 6), "{context}");
    let [connect, handshake, protocol, _, closed, timeout] = errors(&report);
    let others = [connect, handshake, protocol, closed, timeout];
    assert_eq!(others, [0; 5], "{context}");
    assert!(stderr(&output).contains("LOST"), "{}", stderr(&output));
}

#[test]
fn without_positions_offsets_are_not_looked_at_and_publications_are() {
    for encoding in ENCODINGS {
        for (conduct, code, expected) in [
            (Conduct::Drop, 1, [ALL * 3, 0, 0, 0]),
            (Conduct::Misnumber, 0, [0; 4]),
            (Conduct::SkipOffsets, 0, [0; 4]),
            (Conduct::Reverse, 0, [0; 4]),
        ] {
            let server = Centrifuge::start(conduct);
            let report = report(&run(&server, encoding, "--subscribers 3"), code);
            assert_eq!(losses(&report), expected, "{encoding:?} {conduct:?}");
        }
    }
}

#[test]
fn a_publication_of_another_channel_counts_once_whatever_it_is_called() {
    for encoding in ENCODINGS {
        for conduct in [Conduct::Leak, Conduct::LeakUnderTheirName] {
            let server = Centrifuge::start(conduct);
            let flags = "--subscribers 6 --channels 2 --positioned";
            let times = "--rate 800 --duration 0.5 --warmup 0.3 --timeout 3 --json";
            let report = report(&run_for(&server, encoding, flags, times), 1);
            // From each channel to the three of the other.
            let mismatches = 2 * 3 * ALL;
            assert_eq!(losses(&report), [0, 0, 0, mismatches], "{conduct:?}");
        }
    }
}

#[test]
fn a_publication_before_the_answer_is_a_fault() {
    for encoding in ENCODINGS {
        let server = Centrifuge::start(Conduct::Early);
        let report = report(&run(&server, encoding, "--subscribers 4"), 1);
        assert_eq!(losses(&report), [0, 0, 0, 4]);
        let publications = number(&report, "publications");
        assert_eq!(number(&report, "publications_complete"), publications);
    }
}

#[test]
fn who_is_refused_or_not_answered_is_one_fault_and_no_gap() {
    // Two subscribers and a publisher.
    for encoding in ENCODINGS {
        for (conduct, faults, why) in [
            (Conduct::RefuseConnect(101), [0, 3, 0, 0, 0, 0], "error 101"),
            (
                Conduct::RefuseSubscribe(103),
                [0, 3, 0, 0, 0, 0],
                "error 103",
            ),
            (Conduct::MuteSubscribe, [0, 0, 0, 0, 0, 3], "subscribe"),
        ] {
            let server = Centrifuge::start(conduct);
            let output = run_for(
                &server,
                encoding,
                "--subscribers 2 --threads 2",
                "--rate 100 --duration 0.5 --warmup 0 --timeout 0.5 --json",
            );
            let report = report(&output, 1);
            assert_eq!(errors(&report), faults, "{conduct:?}");
            assert_eq!(number(&report, "gaps"), 0);
            assert!(stderr(&output).contains(why), "{}", stderr(&output));
        }
        let server = Centrifuge::start(Conduct::Forget);
        let output = run(&server, encoding, "--subscribers 3 --positioned");
        assert_eq!(errors(&report(&output, 1)), [0, 3, 0, 0, 0, 0]);
        let output = run(&server, encoding, "--subscribers 3");
        check_whole(&report(&output, 0), 3);
    }
}

#[test]
fn an_end_that_does_not_tell_of_a_loss_is_one_fault_and_no_gap() {
    for encoding in ENCODINGS {
        for conduct in [
            Conduct::Unsubscribe(2000),
            Conduct::Unsubscribe(2501),
            Conduct::Close(3503),
        ] {
            let server = Centrifuge::start(conduct);
            let flags = "--subscribers 4 --threads 2 --positioned";
            let report = report(&run(&server, encoding, flags), 1);
            assert_eq!(errors(&report), [0, 0, 0, 0, 4, 0], "{conduct:?}");
            assert_eq!(losses(&report), [0; 4], "{conduct:?}");
            assert_eq!(number(&report, "told"), 0, "{conduct:?}");
        }
    }
}

#[test]
fn what_the_server_refuses_to_publish_is_counted_and_nobody_misses_it() {
    for encoding in ENCODINGS {
        for flags in ["", "--threads 3 --publishers 4"] {
            let flags = format!("--subscribers 4 --positioned {flags}");
            let server = Centrifuge::start(Conduct::RefusePublish(103));
            let output = run(&server, encoding, &flags);
            let told = report(&output, 1);
            assert_eq!(number(&told, "refused"), ALL);
            assert_eq!((losses(&told), errors(&told)), ([0; 4], [0; 6]));
            assert!(stderr(&output).contains("error 103"), "{}", stderr(&output));
            let publications = number(&told, "publications");
            assert_eq!(number(&told, "publications_complete"), publications);
            assert_eq!(number(&told, "deliveries"), publications * 4);

            let server = Centrifuge::start(Conduct::MutePublish);
            let output = run(&server, encoding, &flags);
            let told = report(&output, 1);
            assert_eq!(number(&told, "refused"), ALL);
            assert_eq!((losses(&told), errors(&told)), ([0; 4], [0; 6]));

            let server = Centrifuge::start(Conduct::RepeatAnswer);
            let told = report(&run(&server, encoding, &flags), 1);
            assert_eq!(losses(&told), [0, 0, 0, ALL]);
        }
    }
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    for (flags, named) in [
        ("--positioned", "--positioned"),
        ("--dialect centrifuge-xml", "--dialect"),
        ("--dialect centrifuge-json --binary", "--binary"),
        (
            "--dialect centrifuge-json --cut-rate 1 --resume 's={position}'",
            "--resume",
        ),
        (
            "--dialect centrifuge-protobuf --delivery '{position} {payload}'",
            "--delivery",
        ),
        (
            "--dialect centrifuge-json --delivery '{payload}'",
            "--delivery",
        ),
        (
            "--dialect centrifuge-json --token a --tokens-file b",
            "--tokens-file",
        ),
        ("--dialect centrifuge-json --token ''", "--token"),
    ] {
        let output = shell(&format!("fanout ws://127.0.0.1:1/ {flags} {TIMES}"));
        assert_eq!(output.status.code(), Some(2), "{flags}");
        assert!(stderr(&output).contains(named), "{}", stderr(&output));
    }
}
