//! Ctrl-C, which ends every scenario with the results so far and is no loss.

use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::harness::{errors, loadgen, report, stderr};
use super::peer::{self, Peer};
use super::server::Conduct;

/// The report of a run that gets Ctrl-C when `serve` sends the word for a connection.
fn interrupted(
    scenario: &str,
    serve: impl Fn(&mut Peer, &dyn Fn()) -> Option<()> + Send + Sync + 'static,
) -> Value {
    let (sender, word) = mpsc::channel();
    let url = peer::start(
        |_| Conduct::Honest,
        // Once the word was heard nobody listens any more.
        move |_, peer| {
            serve(peer, &|| {
                let _ = sender.send(());
            })
        },
    );
    let (name, flags) = scenario.split_once(' ').unwrap_or((scenario, ""));
    let child = loadgen(&format!(
        "{name} {url} --connections 10 --duration 100000 --warmup 0 --json {flags}"
    ))
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("loadgen starts");
    let is_heard = word.recv_timeout(Duration::from_secs(30));
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("pids are positive"), Signal::INT).expect("it still runs");
    let output = child.wait_with_output().expect("it ends");
    is_heard.unwrap_or_else(|_| panic!("{scenario}: {}", stderr(&output)));
    let report = report(&output, 0);
    assert_eq!(report["interrupted"], true, "{scenario}");
    assert_eq!(errors(&report), [0; 6], "{scenario}");
    report
}

#[test]
fn ctrl_c_ends_every_scenario_and_loses_nothing() {
    for scenario in [
        "idle",
        "idle --heartbeat 0.1",
        "ping",
        "receive",
        "churn",
        "churn --messages 1",
        "storm --rounds 1000 --pause 0",
        "slow",
        "slow --receive",
    ] {
        interrupted(scenario, |peer, word| {
            word();
            peer.behave()
        });
    }
}

#[test]
fn connections_that_an_interrupted_storm_has_not_brought_back_are_no_fault() {
    let report = interrupted("storm --jitter 100000", |peer, word| {
        // The cut is a reset: nothing more comes.
        while peer.next().is_some() {}
        word();
        Some(())
    });
    let rounds = report["storm_rounds"].as_array().expect("a list");
    assert_eq!(rounds.len(), 1);
    assert_eq!(rounds[0]["returned"], 0);
}
