//! Subscribers that are cut, or told that they missed something, and come back to where they stood.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::run;
use super::server::{Centrifuge, Conduct, MISDEEDS};
use super::wire::ENCODINGS;
use crate::harness::{errors, report, shell_command};
use crate::positions::{losses, number};

/// Everybody is cut several times.
const CUTS: &str = "--cut-rate 60";

const ALL: u64 = MISDEEDS.len() as u64;

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
fn who_comes_back_gets_everything_once_and_in_order() {
    for encoding in ENCODINGS {
        for (flags, subscribers) in [
            ("", 4),
            ("--cut-pause 0.05 --threads 2 --positioned", 6),
            ("--publishers 3 --threads 3", 5),
            ("--cut-pause 100", 20),
            ("--size 24..3000 --burst 20", 4),
            ("--size 8000 --cut-pause 0.1", 12),
        ] {
            let server = Centrifuge::start(Conduct::Honest);
            let flags = format!("--subscribers {subscribers} {CUTS} {flags}");
            let report = report(&run(&server, encoding, &flags), 0);
            check_resumed(&report, subscribers);
            let requests = server.requests();
            let back = requests.iter().filter(|request| request.recover.is_some());
            assert!(back.count() as u64 >= number(&report, "cuts"), "{flags}");
        }
    }
}

#[test]
fn a_misdeed_counts_once_however_often_its_victims_are_cut() {
    for encoding in ENCODINGS {
        for (conduct, of_one) in [
            (Conduct::Drop, [ALL, 0, 0, 0]),
            (Conduct::Repeat, [0, ALL, 0, 0]),
            (Conduct::Swap, [0, 0, ALL, 0]),
            (Conduct::Corrupt(1), [0, 0, 0, ALL]),
        ] {
            for flags in ["", "--threads 2 --cut-pause 0.03"] {
                let server = Centrifuge::start(conduct);
                let flags = format!("--subscribers 5 {CUTS} {flags}");
                let report = report(&run(&server, encoding, &flags), 1);
                let expected = of_one.map(|n| n * 5);
                assert_eq!(
                    losses(&report),
                    expected,
                    "{encoding:?} {conduct:?} {flags}"
                );
                assert_eq!(number(&report, "resumes"), number(&report, "cuts"));
            }
        }
    }
}

#[test]
fn who_hears_that_what_it_missed_is_gone_has_no_gap() {
    for encoding in ENCODINGS {
        let server = Centrifuge::start(Conduct::Keep(15));
        let flags = format!("--subscribers 4 {CUTS} --cut-pause 0.04 --threads 2");
        let report = report(&run(&server, encoding, &flags), 0);
        let told = number(&report, "told");
        assert!(told > 0);
        assert_eq!(told, server.told());
        // Who is not back is not cut again.
        let cuts = number(&report, "cuts");
        assert_eq!(told + number(&report, "resumes"), cuts);
    }
}

#[test]
fn who_is_told_comes_back_to_where_it_stood_and_loses_nothing() {
    for encoding in ENCODINGS {
        for (conduct, flags) in [
            (Conduct::Unsubscribe(2500), ""),
            (Conduct::Close(3010), "--threads 2"),
            (Conduct::Close(4000), "--told 3010,4000"),
            (Conduct::Unsubscribe(2502), "--told 2502"),
        ] {
            let server = Centrifuge::start(conduct);
            let flags = format!("--subscribers 4 --positioned {flags}");
            let report = report(&run(&server, encoding, &flags), 0);
            let told = number(&report, "told");
            assert_eq!(told, 4 * ALL, "{conduct:?}");
            assert_eq!(told, server.told(), "{conduct:?}");
            assert_eq!(number(&report, "resumes"), told, "{conduct:?}");
            let publications = number(&report, "publications");
            assert_eq!(number(&report, "publications_complete"), publications);
            assert_eq!(number(&report, "deliveries"), publications * 4);
        }
        // Without a position it comes back as a new one.
        let server = Centrifuge::start(Conduct::Unsubscribe(2500));
        let report = report(&run(&server, encoding, "--subscribers 4"), 0);
        assert_eq!(number(&report, "told"), 4 * ALL);
        assert_eq!(number(&report, "resumes"), 0);
    }
}

#[test]
fn who_has_no_positions_comes_back_as_a_new_one() {
    for encoding in ENCODINGS {
        let server = Centrifuge::start(Conduct::Forget);
        let flags = format!("--subscribers 6 {CUTS} --cut-pause 0.05 --threads 2");
        let report = report(&run(&server, encoding, &flags), 0);
        assert!(number(&report, "cuts") > 10);
        assert_eq!(number(&report, "resumes"), 0);
        assert_eq!(number(&report, "told"), 0);
        assert!(number(&report, "deliveries") > 0);
    }
}

#[test]
fn who_is_refused_when_it_comes_back_is_one_fault_and_no_gap() {
    for encoding in ENCODINGS {
        let server = Centrifuge::start(Conduct::RefuseReturn(100));
        let flags = format!("--subscribers 2 {CUTS} --threads 2");
        let report = report(&run(&server, encoding, &flags), 1);
        assert_eq!(number(&report, "cuts"), 2);
        assert_eq!(errors(&report), [0, 2, 0, 0, 0, 0]);
        assert_eq!(losses(&report), [0; 4]);
    }
}

#[test]
fn what_is_recovered_in_another_epoch_is_a_fault() {
    for encoding in ENCODINGS {
        let server = Centrifuge::start(Conduct::ChangeEpoch);
        let flags = format!("--subscribers 4 {CUTS}");
        let report = report(&run(&server, encoding, &flags), 1);
        let told = number(&report, "told");
        assert!(told > 0);
        assert_eq!(losses(&report), [0, 0, 0, told]);
        assert_eq!(number(&report, "resumes"), 0);
    }
}

#[test]
fn ctrl_c_while_subscribers_are_away_loses_nothing() {
    for encoding in ENCODINGS {
        for flags in ["", "--cut-pause 100"] {
            let server = Centrifuge::start(Conduct::Honest);
            let child = shell_command(&format!(
                "fanout {} {} --subscribers 8 {CUTS} {flags} --rate 200 --duration 100000 --warmup 0 --json",
                server.url,
                encoding.flag(),
            ))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("loadgen starts");
            server.await_published(100);
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            kill_process(pid.expect("pids are positive"), Signal::INT).expect("it still runs");
            let report = report(&child.wait_with_output().expect("it ends"), 0);
            assert_eq!(report["interrupted"], true, "{flags}");
            assert!(number(&report, "cuts") > 0, "{flags}");
        }
    }
}
