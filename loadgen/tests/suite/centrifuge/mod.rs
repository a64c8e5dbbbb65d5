//! `loadgen fanout --dialect centrifuge-…` against a server that behaves and one that does not, in both
//! encodings.

mod faults;
mod recovery;
pub(crate) mod server;
mod wire;

use std::process::Output;

use serde_json::Value;

use crate::harness::{errors, report, shell};
use crate::positions::{losses, number};
use server::{Centrifuge, Conduct};
use wire::{ENCODINGS, Encoding};

/// Long enough for every misdeed, all of them in the measured time.
const TIMES: &str = "--rate 400 --duration 0.5 --warmup 0.3 --timeout 3 --json";

fn run(server: &Centrifuge, encoding: Encoding, flags: &str) -> Output {
    run_for(server, encoding, flags, TIMES)
}

fn run_for(server: &Centrifuge, encoding: Encoding, flags: &str, times: &str) -> Output {
    let (url, dialect) = (&server.url, encoding.flag());
    shell(&format!("fanout {url} {dialect} {flags} {times}"))
}

/// Everybody got everything.
fn check_whole(report: &Value, subscribers_of_channel: u64) {
    assert_eq!(errors(report), [0; 6]);
    assert_eq!(losses(report), [0; 4]);
    let publications = number(report, "publications");
    assert!(publications > 0);
    assert_eq!(number(report, "publications_complete"), publications);
    let deliveries = publications * subscribers_of_channel;
    assert_eq!(number(report, "deliveries"), deliveries);
}

#[test]
fn a_server_is_measured_at_any_size_and_spread() {
    for encoding in ENCODINGS {
        let server = Centrifuge::start(Conduct::Honest);
        for (flags, subscribers_of_channel) in [
            ("--subscribers 1", 1),
            ("--subscribers 12 --publishers 3 --positioned", 12),
            ("--subscribers 12 --channels 4 --threads 2", 3),
            (
                "--subscribers 12 --channels 4 --publishers 8 --threads 3 --positioned",
                3,
            ),
            (
                "--subscribers 4 --size 24..300 --channel-prefix a.b:c- --burst 7",
                4,
            ),
            (
                "--subscribers 4 --size 100..3000 --delivery '{\"a\":[\"{payload}\",{}]}'",
                4,
            ),
        ] {
            let report = report(&run(&server, encoding, flags), 0);
            check_whole(&report, subscribers_of_channel);
        }
        let requests = server.requests();
        assert!(requests.iter().all(|request| request.recover.is_none()));
        let positioned = requests.iter().filter(|request| request.positioned);
        assert_eq!(positioned.count(), 12 + 12, "subscribers alone");
        // Larger than what is received at once.
        let flags = "--subscribers 2 --size 300000 --positioned";
        let times = "--rate 20 --duration 0.5 --warmup 0 --timeout 10 --json";
        let output = run_for(&server, encoding, flags, times);
        check_whole(&report(&output, 0), 2);
    }
    let server = Centrifuge::start(Conduct::Honest);
    let output = run(&server, Encoding::Protobuf, "--subscribers 3 --binary");
    check_whole(&report(&output, 0), 3);
}

#[test]
fn many_objects_in_a_message_are_taken_one_by_one() {
    for encoding in ENCODINGS {
        let server = Centrifuge::start(Conduct::Pack);
        for flags in ["", "--size 9000 --positioned"] {
            let output = run(&server, encoding, &format!("--subscribers 3 {flags}"));
            check_whole(&report(&output, 0), 3);
        }
    }
}

#[test]
fn publications_go_over_http_too() {
    let server = Centrifuge::start(Conduct::Honest);
    let http = &server.http_url;
    let json = "'{\"channel\":\"{channel}\",\"data\":\"{payload}\"}'";
    let base64 =
        "'{\"channel\":\"{channel}\",\"b64data\":\"{b64payload}\"}' --delivery '{payload}'";
    for (encoding, template) in [
        (Encoding::Json, json),
        (Encoding::Protobuf, json),
        (Encoding::Protobuf, base64),
    ] {
        let output = run_for(
            &server,
            encoding,
            &format!(
                "--subscribers 9 --channels 3 --positioned --publishers 2 --threads 2 \
                 --publish-http {http}api/publish --publish-json {template}"
            ),
            "--rate 100 --duration 0.5 --warmup 0.3 --timeout 15 --json",
        );
        check_whole(&report(&output, 0), 3);
    }
}

#[test]
fn pings_are_answered_where_they_are_to_be() {
    for (encoding, pong) in ENCODINGS.into_iter().flat_map(|e| [(e, true), (e, false)]) {
        let server = Centrifuge::start(Conduct::Ping { pong });
        let output = run(&server, encoding, "--subscribers 3 --threads 2");
        check_whole(&report(&output, 0), 3);
        let pongs = server.pongs();
        // Three and a publisher, for 0.8 s.
        assert!(if pong { pongs > 30 } else { pongs == 0 }, "{pongs} pongs");
    }
}

#[test]
fn tokens_go_into_the_connect_command_in_turn() {
    for encoding in ENCODINGS {
        let server = Centrifuge::start(Conduct::Honest);
        let output = run(&server, encoding, "--subscribers 2 --token one.to_ken");
        check_whole(&report(&output, 0), 2);
        assert_eq!(server.tokens(), ["one.to_ken"; 3]);

        let server = Centrifuge::start(Conduct::Honest);
        let file = std::env::temp_dir().join(format!(
            "loadgen-tokens-{}-{encoding:?}",
            std::process::id()
        ));
        std::fs::write(&file, "first\nsecond\n").expect("it can be written");
        let flags = format!("--subscribers 3 --tokens-file {}", file.display());
        let output = run(&server, encoding, &flags);
        std::fs::remove_file(&file).expect("it is there");
        check_whole(&report(&output, 0), 3);
        // The fourth is the publisher.
        assert_eq!(server.tokens(), ["first", "first", "second", "second"]);
    }
}

#[test]
fn stalled_subscribers_are_no_part_of_the_figures() {
    for encoding in ENCODINGS {
        let server = Centrifuge::start(Conduct::Honest);
        let flags = "--subscribers 10 --stalled 3 --size 3000 --positioned --threads 2";
        let report = report(&run(&server, encoding, flags), 0);
        assert_eq!(number(&report, "stalled"), 3);
        check_whole(&report, 7);
    }
}
