//! `loadgen fanout` against a server that tells positions.

use std::process::Output;

use serde_json::Value;

use super::harness::{errors, report, shell};
use super::stream::{Conduct, MISDEEDS, Stream};

/// Long enough for every misdeed, all of them in the measured time.
const TIMES: &str = "--rate 400 --duration 0.5 --warmup 0.3 --timeout 3 --json";

/// Publications are told with their positions.
pub(crate) const DELIVERY: &str = "--delivery '{position} {payload}'";

pub(crate) fn number(report: &Value, key: &str) -> u64 {
    report[key].as_u64().expect("a count")
}

/// Gaps, duplicates, disordered and changed.
pub(crate) fn losses(report: &Value) -> [u64; 4] {
    let [gaps, duplicates, disordered] =
        ["gaps", "duplicates", "disordered"].map(|key| number(report, key));
    [gaps, duplicates, disordered, errors(report)[3]]
}

/// A run of `subscribers` on one channel.
pub(crate) fn run(server: &Stream, subscribers: u64, flags: &str) -> Output {
    let url = &server.url;
    shell(&format!(
        "fanout '{url}{{channel}}?meta=1' --subscribers {subscribers} {DELIVERY} {flags} {TIMES}"
    ))
}

/// What each conduct comes to, for one subscriber.
pub(crate) fn misdeeds() -> [(Conduct, [u64; 4]); 4] {
    let all = MISDEEDS.len() as u64;
    [
        (Conduct::Drop, [all, 0, 0, 0]),
        (Conduct::Repeat, [0, all, 0, 0]),
        (Conduct::Swap, [0, 0, all, 0]),
        (Conduct::Corrupt, [0, 0, 0, all]),
    ]
}

#[test]
fn publications_are_found_behind_their_positions_and_a_greeting_is_no_fault() {
    let server = Stream::start(Conduct::Honest);
    for (flags, subscribers) in [
        ("", 5),
        ("--threads 3 --publishers 2", 8),
        ("--size 24..400 --burst 3", 4),
        ("--size 300000", 2),
    ] {
        let report = report(&run(&server, subscribers, flags), 0);
        let publications = number(&report, "publications");
        assert!(publications > 0);
        assert_eq!(number(&report, "publications_complete"), publications);
        assert_eq!(number(&report, "deliveries"), publications * subscribers);
    }
}

#[test]
fn each_misdeed_counts_once_for_each_subscriber() {
    for (conduct, of_one) in misdeeds() {
        let server = Stream::start(conduct);
        let report = report(&run(&server, 6, "--threads 2"), 1);
        assert!(server.published() > MISDEEDS[2], "{conduct:?}");
        assert_eq!(losses(&report), of_one.map(|n| n * 6), "{conduct:?}");
    }
}

#[test]
fn a_template_that_the_server_does_not_keep_to_is_seen() {
    let server = Stream::start(Conduct::Honest);
    let url = &server.url;
    let output = shell(&format!(
        "fanout '{url}{{channel}}?meta=1' --subscribers 2 --delivery '{{position}}|{{payload}}' {TIMES}"
    ));
    let report = report(&output, 1);
    let mismatches = errors(&report)[3];
    // What is changed is missing, but no gap beside that. The greetings are positions.
    assert_eq!(mismatches, 2 * server.published() as u64);
    assert_eq!(losses(&report), [0, 0, 0, mismatches]);
    assert_eq!(number(&report, "deliveries"), 0);
}
