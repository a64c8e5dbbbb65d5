//! The conformance catalogue against the daemon over real TCP.
//!
//! Never: holds a case of its own (see `fanfare_tests::catalogue`).
#![allow(clippy::print_stdout, reason = "a suite prints its table")]

use fanfare_tests::catalogue::{self, Group};
use fanfare_tests::drivers::live_server;

#[test]
fn rfc6455_the_daemon_keeps_the_catalogue() {
    let report = live_server::run_all(&catalogue::all(), 6455).expect("the daemon serves");
    println!("{}", report.table());
    assert!(
        report.cases() > 200 * Group::ALL.len(),
        "only {} cases",
        report.cases()
    );
    assert!(report.holds(), "{}", report.failures());
}
