//! How connections are made, as a user asks for it: `wss`, headers, subprotocols, sources.

mod certificates;
mod server;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use certificates::{Authority, TemporaryFile};
use rustls::version::{TLS12, TLS13};
use serde_json::Value;
use server::{Ending, Server, Setup};

/// Connections of a run that does not say otherwise.
const CONNECTIONS: usize = 3;

/// Runs the echo scenario for a moment; `args` are separated by `|`, so that they can hold spaces.
fn echo(url: &str, args: &str) -> Output {
    echo_on(CONNECTIONS, url, args)
}

fn echo_on(connections: usize, url: &str, args: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["echo", url, "--duration", "0.1", "--warmup", "0", "--json"])
        .args(["--connections", &connections.to_string()])
        .args(args.split('|').map(str::trim).filter(|arg| !arg.is_empty()))
        .stdin(Stdio::null())
        .output()
        .expect("loadgen starts")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("messages are UTF-8")
}

fn assert_lossless(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

/// All connections failed in the upgrade, and one line tells why.
fn assert_handshake_fault(output: &Output, why: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["errors"]["handshake"], CONNECTIONS, "{report}");
    let told = stderr(output).lines().filter(|line| line.contains(why));
    assert_eq!(told.count(), 1, "'{why}' in {}", stderr(output));
}

fn assert_refused(output: &Output, start: &str) {
    assert_eq!(output.status.code(), Some(2), "{}", stderr(output));
    assert_eq!(stderr(output).lines().count(), 1, "{}", stderr(output));
    let expected = format!("error: {start}");
    assert!(
        stderr(output).starts_with(&expected),
        "{start}: {}",
        stderr(output)
    );
}

#[test]
fn wss_loses_nothing_at_any_size_and_version() {
    const DEPTH: usize = 3;
    for versions in [[&TLS12], [&TLS13]] {
        let authority = Authority::of("127.0.0.1", &versions);
        let server = Server::start(Setup {
            tls: Some(authority.server.clone()),
            ..Setup::default()
        });
        let (url, ca) = (format!("wss://{}/", server.address), authority.file.path());
        // Under, at and over a record, and more than the buffers of TLS and of the socket.
        for size in [0, 20, 16_000, 16_384, 70_000, 1_000_000, 8_000_000] {
            let args = format!("--ca|{ca}|--size|{size}|--depth|{DEPTH}|--threads|2");
            assert_lossless(&echo(&url, &args));
            for _ in 0..CONNECTIONS {
                let ending = server.endings.recv_timeout(Duration::from_secs(30));
                let is_clean = matches!(ending, Ok(Ending::Clean { echoed: DEPTH.. }));
                assert!(is_clean, "{size} B: {ending:?}");
            }
        }
    }
}

#[test]
fn wss_names_the_server_and_asks_for_http_1() {
    let authority = Authority::of("localhost", &[&TLS13]);
    let server = Server::start_on(
        "localhost",
        Setup {
            tls: Some(authority.server.clone()),
            ..Setup::default()
        },
    );
    let other = Authority::of("127.0.0.1", &[&TLS13]);
    let (own, other) = (authority.file.path(), other.file.path());
    let args = format!("--ca|{other}|--ca|{own}");
    assert_lossless(&echo(&format!("wss://{}/", server.address), &args));
    let visits = server.visits();
    assert_eq!(visits.len(), CONNECTIONS);
    for visit in visits {
        assert_eq!(visit.server_name.as_deref(), Some("localhost"));
        assert_eq!(visit.alpn.as_deref(), Some("http/1.1"));
        assert_eq!(visit.header("Host"), format!("localhost:{}", server.port));
    }
}

#[test]
fn an_unknown_authority_is_a_handshake_fault_unless_insecure() {
    let authority = Authority::of("127.0.0.1", &[&TLS12, &TLS13]);
    let other = Authority::of("127.0.0.1", &[&TLS13]);
    let server = Server::start(Setup {
        tls: Some(authority.server),
        ..Setup::default()
    });
    let url = format!("wss://{}/", server.address);
    for args in [String::new(), format!("--ca|{}", other.file.path())] {
        assert_handshake_fault(&echo(&url, &args), "UnknownIssuer");
    }
    assert_eq!(server.visits().len(), 0, "nothing is asked of a stranger");
    assert_lossless(&echo(&url, "--insecure"));
}

#[test]
fn a_certificate_for_another_name_is_a_handshake_fault_unless_insecure() {
    for versions in [[&TLS12], [&TLS13]] {
        let authority = Authority::of("example.org", &versions);
        let server = Server::start(Setup {
            tls: Some(authority.server.clone()),
            ..Setup::default()
        });
        let url = format!("wss://{}/", server.address);
        let output = echo(&url, &format!("--ca|{}", authority.file.path()));
        assert_handshake_fault(&output, "not valid for name");
        assert_lossless(&echo(&url, "--insecure"));
    }
}

#[test]
fn plain_and_tls_do_not_mix() {
    let plain = Server::start(Setup::default());
    let url = format!("wss://{}/", plain.address);
    assert_handshake_fault(&echo(&url, "--insecure|--timeout|2"), "handshake");
    let authority = Authority::of("127.0.0.1", &[&TLS13]);
    let tls = Server::start(Setup {
        tls: Some(authority.server),
        ..Setup::default()
    });
    let url = format!("ws://{}/", tls.address);
    assert_handshake_fault(&echo(&url, "--timeout|2"), "handshake");
}

#[test]
fn every_connection_shows_its_own_lines() {
    let server = Server::start(Setup::default());
    let headers = TemporaryFile::new("X-Line: 0\tX-Even: yes\nX-Line: 1\tX-Even: no\n");
    let tokens = TemporaryFile::new("red\ngreen\nblue\n");
    let cookies = TemporaryFile::new("id=0; theme=dark\r\nid=1\r\n");
    let args = format!(
        "--headers-file|{}|--tokens-file|{}|--cookies-file|{}|--threads|2\
         |--header|Origin: https://example.org|--header|X-Empty:",
        headers.path(),
        tokens.path(),
        cookies.path()
    );
    let url = format!("ws://{}/raw/news?since=1", server.address);
    assert_lossless(&echo_on(7, &url, &args));
    let mut seen: Vec<String> = server
        .visits()
        .iter()
        .map(|visit| {
            assert!(
                visit
                    .request
                    .starts_with("GET /raw/news?since=1 HTTP/1.1\r\n")
            );
            assert_eq!(visit.header("Origin"), "https://example.org");
            assert_eq!(visit.header("X-Empty"), "");
            ["X-Line", "X-Even", "Authorization", "Cookie"]
                .map(|name| visit.header(name))
                .join(" ")
        })
        .collect();
    seen.sort();
    let mut expected: Vec<String> = (0..7)
        .map(|i| {
            let even = ["yes", "no"][i % 2];
            let token = ["red", "green", "blue"][i % 3];
            let cookie = ["id=0; theme=dark", "id=1"][i % 2];
            format!("{} {even} Bearer {token} {cookie}", i % 2)
        })
        .collect();
    expected.sort();
    assert_eq!(seen, expected);
}

#[test]
fn one_token_and_cookies_for_all() {
    let server = Server::start(Setup::default());
    let url = format!("ws://{}/", server.address);
    let args = "--token|s3cret|--cookie|a=b|--cookie|c=d|--subprotocol|v2|--subprotocol|v1";
    assert_lossless(&echo(&url, args));
    let visits = server.visits();
    assert_eq!(visits.len(), CONNECTIONS);
    for visit in visits {
        assert_eq!(visit.header("Authorization"), "Bearer s3cret");
        assert_eq!(visit.header("Cookie"), "a=b; c=d");
        assert_eq!(visit.header("Sec-WebSocket-Protocol"), "v2, v1");
    }
}

#[test]
fn a_subprotocol_that_was_not_offered_is_a_handshake_fault() {
    let server = Server::start(Setup {
        subprotocol: Some("v1"),
        ..Setup::default()
    });
    let url = format!("ws://{}/", server.address);
    assert_lossless(&echo(&url, "--subprotocol|v2|--subprotocol|v1"));
    assert_handshake_fault(&echo(&url, "--subprotocol|v2"), "subprotocol");
    assert_handshake_fault(&echo(&url, ""), "subprotocol");
}

#[test]
fn connections_come_from_the_sources_in_turn() {
    let server = Server::start(Setup::default());
    let url = format!("ws://{}/", server.address);
    assert_lossless(&echo(&url, "--source|127.0.0.9,127.0.1.2-127.0.1.3"));
    let mut sources: Vec<String> = server
        .visits()
        .iter()
        .map(|visit| visit.source.to_string())
        .collect();
    sources.sort();
    assert_eq!(sources, ["127.0.0.9", "127.0.1.2", "127.0.1.3"]);
}

#[test]
fn what_cannot_be_followed_is_refused_before_the_run() {
    let server = Server::start(Setup::default());
    let url = format!("ws://{}/", server.address);
    let reserved = TemporaryFile::new("X-A: 1\nX-A: 1\tSec-WebSocket-Key: x\n");
    let empty = TemporaryFile::new("");
    let no_pem = TemporaryFile::new("certificate, honestly");
    let (reserved, empty, no_pem) = (reserved.path(), empty.path(), no_pem.path());
    for (args, start) in [
        ("--header|X-A", "--header: "),
        ("--header|X A: 1", "--header: "),
        ("--header|X-A: 1\r\nX-B: 2", "--header: "),
        ("--header|Host: other", "--header: Host"),
        (
            "--header|sec-websocket-version: 8",
            "--header: sec-websocket-version",
        ),
        ("--token|two words", "--token: "),
        ("--token|t|--header|Authorization: Basic x", "--token: "),
        ("--cookie|crumbs", "--cookie: "),
        ("--subprotocol|a b", "--subprotocol: "),
        (
            &format!("--headers-file|{reserved}"),
            &format!("--headers-file: {reserved}:2: "),
        ),
        (
            &format!("--tokens-file|{empty}"),
            &format!("--tokens-file: {empty}: "),
        ),
        (
            "--cookies-file|/nowhere/at/all",
            "--cookies-file: /nowhere/at/all: ",
        ),
        ("--source|127.0.0.300", "--source: "),
        ("--source|192.0.2.1", "--source: 192.0.2.1: "),
        ("--source|::1", "--source: "),
        ("--insecure", "--insecure: "),
        (&format!("--ca|{no_pem}"), "--ca: "),
    ] {
        assert_refused(&echo(&url, args), start);
    }
    let url = format!("wss://{}/", server.address);
    for (args, start) in [
        (format!("--ca|{no_pem}"), format!("--ca: {no_pem}: ")),
        (
            "--ca|/nowhere/at/all".to_owned(),
            "--ca: /nowhere/at/all: ".to_owned(),
        ),
        (format!("--ca|{no_pem}|--insecure"), "--ca: ".to_owned()),
    ] {
        assert_refused(&echo(&url, &args), &start);
    }
    assert_refused(&echo("wss://in valid/", ""), "<URL>: ");
    assert_eq!(server.visits().len(), 0);
}
