//! The bare client and the ceiling, as processes, against each other.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use support::Ceiling;

const FRAME_BYTES: &str = "26";

fn echo(ceiling: &Ceiling, flags: &[&str]) -> Output {
    bare_client(&["--connect", &ceiling.addr, "--seconds", "0.2"])
        .args(["--connections", "5"])
        .args(flags)
        .output()
        .unwrap()
}

fn bare_client(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bare_client"));
    command.args(flags);
    command
}

#[track_caller]
fn assert_fails_with(output: &Output, code: i32, text: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(text), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn every_depth_and_size_is_answered_in_full() {
    for (frame_bytes, flags) in [
        (FRAME_BYTES, ["--size", "20", "--depth", "1"]),
        (FRAME_BYTES, ["--size", "20", "--depth", "16"]),
        ("1008", ["--size", "1000", "--depth", "7"]),
        // More in flight than the sockets hold: short sends on both sides.
        ("100014", ["--size", "100000", "--depth", "200"]),
    ] {
        let ceiling = Ceiling::start(&["--frame-bytes", frame_bytes]);
        let pid = ceiling.process.id().to_string();
        let flags = [&flags[..], &["--json", "--server-pid", &pid]].concat();
        let output = echo(&ceiling, &flags);
        assert!(output.status.success(), "{flags:?}: {output:?}");
        let line = String::from_utf8(output.stdout).unwrap();
        assert!(line.starts_with("{\"messages\":"), "{line}");
        assert!(!line.contains("null"), "{line}");
    }
}

#[test]
fn too_many_bytes_fail() {
    let output = echo(&Ceiling::start(&[]), &["--depth", "2"]);
    assert_fails_with(&output, 1, "more bytes than an echo has");
}

#[test]
fn too_few_bytes_fail() {
    let output = echo(&Ceiling::start(&["--frame-bytes", "1000"]), &[]);
    assert_fails_with(&output, 1, "5 connection(s) got no complete answer");
}

#[test]
fn a_server_that_ends_fails() {
    let mut ceiling = Ceiling::start(&[]);
    let mut client = bare_client(&["idle", "--hold", "--connect", &ceiling.addr])
        .args(["--connections", "10", "--step", "10"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "0");
    stdin.write_all(b"\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "10");
    ceiling.process.kill().unwrap();
    ceiling.process.wait().unwrap();
    stdin.write_all(b"\n").unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(1));
}

#[test]
fn nobody_listening_is_1_and_bad_flags_are_2() {
    let refused = bare_client(&["--connect", "127.0.0.1:1"]).output().unwrap();
    assert_fails_with(&refused, 1, "connection 1: ");
    for flags in [&["--connect", "nowhere"][..], &["--depth", "0"], &["idle"]] {
        let output = bare_client(flags).output().unwrap();
        assert_fails_with(&output, 2, "error: ");
    }
}

#[test]
fn idle_without_hold_opens_everything_and_ends() {
    let ceiling = Ceiling::start(&[]);
    let output = bare_client(&["idle", "--connect", &ceiling.addr])
        .args(["--connections", "25", "--step", "10"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"0\n10\n20\n25\n");
}
