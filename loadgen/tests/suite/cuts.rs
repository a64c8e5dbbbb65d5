//! `loadgen fanout` that cuts subscribers, against servers that bring back what they missed, that do not,
//! and that say so.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::broadcast::{self, Broadcast};
use super::harness::{errors, output, report, shell_command};
use super::peer;
use super::positions::{DELIVERY, losses, misdeeds, number, run};
use super::server;
use super::stream::{Conduct, Stream};

/// Everybody is cut several times.
const CUTS: &str = "--cut-rate 60 --resume 'since={position}'";

/// Nothing was lost, and everybody who was cut came back to where it stood.
fn check_resumed(report: &Value, subscribers: u64) {
    let cuts = number(report, "cuts");
    assert!(cuts > 10, "{cuts} cuts are few");
    assert_eq!(number(report, "resumes"), cuts);
    assert_eq!(number(report, "told"), 0);
    let publications = number(report, "publications");
    assert_eq!(number(report, "publications_complete"), publications);
    assert_eq!(number(report, "deliveries"), publications * subscribers);
}

#[test]
fn who_resumes_gets_everything_once_and_in_order() {
    for (flags, subscribers) in [
        ("", 4),
        ("--cut-pause 0.05 --threads 2", 6),
        ("--publishers 3 --threads 3", 5),
        ("--cut-pause 100", 20),
        ("--size 24..3000 --burst 20", 4),
    ] {
        let server = Stream::start(Conduct::Honest);
        let report = report(&run(&server, subscribers, &format!("{CUTS} {flags}")), 0);
        check_resumed(&report, subscribers);
        // Those that only come back at the end are not measured.
        let is_measured = flags != "--cut-pause 100";
        let took = &report["reconnect_microseconds"]["max"];
        assert_eq!(took.is_number(), is_measured, "{flags}: {took}");
    }
}

#[test]
fn a_misdeed_counts_once_however_often_its_victims_are_cut() {
    for (conduct, of_one) in misdeeds() {
        for flags in ["", "--threads 2 --cut-pause 0.03"] {
            let server = Stream::start(conduct);
            let report = report(&run(&server, 5, &format!("{CUTS} {flags}")), 1);
            let expected = of_one.map(|n| n * 5);
            assert_eq!(losses(&report), expected, "{conduct:?} {flags}");
            assert_eq!(number(&report, "resumes"), number(&report, "cuts"));
        }
    }
}

#[test]
fn who_comes_back_as_a_new_one_misses_what_was_published_meanwhile_and_that_is_no_gap() {
    let server = Broadcast::start(broadcast::Conduct::Honest);
    for flags in [
        "--subscribers 4",
        "--subscribers 12 --channels 4 --threads 3",
        "--subscribers 1 --threads 2",
        "--subscribers 12 --threads 6",
    ] {
        let report = report(
            &output(&format!(
                "fanout {}{{channel}} {flags} --cut-rate 40 --cut-pause 0.05 --rate 400 --duration 0.5 \
                 --warmup 0.3 --timeout 3 --json",
                server.url
            )),
            0,
        );
        assert!(number(&report, "cuts") > 3, "{flags}: {report}");
        assert_eq!(number(&report, "resumes"), 0, "{flags}");
        assert!(number(&report, "deliveries") > 0, "{flags}");
        let publications = number(&report, "publications");
        let complete = number(&report, "publications_complete");
        assert!(complete <= publications, "{flags}");
        if flags == "--subscribers 12 --threads 6" {
            // Threads have nobody at times, but somebody is always there.
            assert_eq!(complete, publications, "{flags}");
        }
    }
}

#[test]
fn who_is_told_that_it_missed_something_has_no_gap() {
    let server = Stream::start(Conduct::Keep(3));
    let flags = format!("{CUTS} --cut-pause 0.05 --threads 2");
    let report = report(&run(&server, 4, &flags), 0);
    let told = number(&report, "told");
    // One may be cut again before it hears of it.
    assert!((1..=server.told()).contains(&told), "{told}");
    assert!(number(&report, "resumes") >= told);
}

#[test]
fn a_server_may_tell_at_any_time_and_with_the_codes_that_are_named() {
    for flags in ["", "--threads 2", "--told 4000,3010"] {
        let server = Stream::start(Conduct::Tell);
        let report = report(&run(&server, 4, flags), 0);
        assert_eq!(number(&report, "told"), server.told(), "{flags}");
        assert!(server.told() >= 4, "{flags}");
        assert_eq!(number(&report, "cuts"), 0, "{flags}");
        assert!(number(&report, "deliveries") > 0, "{flags}");
    }
    let server = Stream::start(Conduct::Tell);
    let report = report(&run(&server, 4, "--told 4000"), 1);
    assert_eq!(errors(&report), [0, 0, 0, 0, 4, 0]);
    assert_eq!(losses(&report), [0; 4]);
    assert_eq!(number(&report, "told"), 0);
}

#[test]
fn one_that_does_not_come_back_is_one_fault_and_no_gap() {
    for (conduct, flags) in [
        (server::Conduct::Forbid, ""),
        (server::Conduct::SilentAtUpgrade, "--threads 2"),
        (server::Conduct::HangupAtUpgrade, "--cut-pause 0.01"),
    ] {
        // Two subscribers and a publisher, who hears nothing either.
        let url = peer::start(
            move |number| match number {
                ..3 => server::Conduct::Honest,
                _ => conduct,
            },
            |_, peer| {
                while peer.next().is_some() {}
                Some(())
            },
        );
        let report = report(
            &output(&format!(
                "fanout {url} --subscribers 2 --cut-rate 50 {flags} --rate 100 --duration 0.5 \
                 --warmup 0.3 --timeout 0.5 --json"
            )),
            1,
        );
        assert_eq!(number(&report, "cuts"), 2, "{conduct:?}");
        let [connect, handshake, protocol, mismatch, closed, timeout] = errors(&report);
        assert_eq!(handshake + timeout, 2, "{report}");
        assert_eq!(connect + protocol + mismatch + closed, 0, "{report}");
        assert_eq!(losses(&report), [0; 4], "{conduct:?}");
    }
}

#[test]
fn ctrl_c_while_subscribers_are_away_loses_nothing() {
    for (flags, resumes) in [("", false), ("--cut-pause 100", false), (CUTS, true)] {
        let server = Stream::start(Conduct::Honest);
        let flags = if resumes {
            flags.to_owned()
        } else {
            format!("--cut-rate 60 {flags}")
        };
        let child = shell_command(&format!(
            "fanout '{}{{channel}}?meta=1' {DELIVERY} --subscribers 8 {flags} --rate 200 \
             --duration 100000 --warmup 0 --json",
            server.url
        ))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("loadgen starts");
        server.await_published(100);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("pids are positive"), Signal::INT).expect("it still runs");
        let output = child.wait_with_output().expect("it ends");
        let report = report(&output, 0);
        assert_eq!(report["interrupted"], true, "{flags}");
        assert!(number(&report, "cuts") > 0, "{flags}");
        assert_eq!(number(&report, "resumes") > 0, resumes, "{flags}");
    }
}
