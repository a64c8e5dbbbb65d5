//! The conformance catalogue against the codec, every case cut in every way.
//!
//! Never: holds a case of its own (see `fanfare_tests::catalogue`).
#![allow(clippy::print_stdout, reason = "a suite prints its table")]

use fanfare_tests::catalogue::{self, Group};
use fanfare_tests::drivers::codec;
use std::collections::HashSet;

const SEED: u64 = 6455;

fn holds(group: Group, cases_min: usize) {
    let report = codec::run_all(&catalogue::group(group), SEED);
    println!("{}", report.table());
    assert!(
        report.cases() >= cases_min,
        "only {} cases of {}",
        report.cases(),
        group.name()
    );
    assert!(report.holds(), "{}", report.failures());
}

#[test]
fn s4_handshake_holds_however_it_is_cut() {
    holds(Group::Handshake, 400);
}

#[test]
fn s5_2_framing_holds_however_it_is_cut() {
    holds(Group::Framing, 500);
}

#[test]
fn s5_5_control_frames_hold_however_they_are_cut() {
    holds(Group::Control, 350);
}

#[test]
fn s7_4_close_holds_for_all_65536_codes_however_it_is_cut() {
    holds(Group::Close, 2 * 65_536);
}

#[test]
fn s8_1_utf8_fails_at_the_exact_byte_however_it_is_cut() {
    holds(Group::Utf8, 1_000);
}

#[test]
fn case_ids_are_unique() {
    let mut seen = HashSet::new();
    for case in catalogue::all() {
        assert!(seen.insert(case.id.clone()), "{} twice", case.id);
    }
}
