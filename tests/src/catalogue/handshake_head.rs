//! The head of an upgrade request as bytes (RFC 9112 §2–6): malformed, too large, with a body, cut off.
//!
//! Never: tests what the headers mean (see `handshake.rs`).

use super::handshake::{LINE, accept, and, case, headers, refuse, request};
use super::{Case, Level, Step};

/// The group's cases for a server.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(malformed());
    cases.extend(oversize());
    cases.extend(bodies());
    cases.extend(ends());
    cases
}

/// RFC 9112 §2.2, §5: what a proxy in front may read differently than we would.
fn malformed() -> Vec<Case> {
    let good = String::from_utf8(request(LINE, &headers())).expect("ascii");
    let line = |id: &str, line: &str| (id.to_owned(), and(line));
    let mut requests = vec![
        (
            "bare-lf-everywhere".to_owned(),
            good.replace("\r\n", "\n").into_bytes(),
        ),
        (
            "bare-lf-after-request-line".to_owned(),
            good.replacen("\r\n", "\n", 1).into_bytes(),
        ),
        (
            "bare-lf-ends-head".to_owned(),
            good.replace("\r\n\r\n", "\r\n\n").into_bytes(),
        ),
        (
            "bare-lf-lf".to_owned(),
            good.replace("\r\n\r\n", "\n\n").into_bytes(),
        ),
        ("bare-cr-in-value".to_owned(), and("X-A: b\rc")),
        (
            "cr-cr-lf".to_owned(),
            good.replacen("localhost\r\n", "localhost\r\r\n", 1)
                .into_bytes(),
        ),
        (
            "folded-first".to_owned(),
            good.replacen("\r\nHost", "\r\n Host", 1).into_bytes(),
        ),
        (
            "tls-hello".to_owned(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03".to_vec(),
        ),
        ("zeros".to_owned(), vec![0; 64]),
        (
            "frame-without-upgrade".to_owned(),
            b"\x81\x85\x01\x02\x03\x04abcde".to_vec(),
        ),
    ];
    requests.extend([
        line("folded-space", "X-A: b\r\n c"),
        line("folded-tab", "X-A: b\r\n\tc"),
        line("folded-connection", "X-A:\r\n Upgrade"),
        line("nul-in-value", "X-A: b\0c"),
        line("nul-in-name", "X\0A: b"),
        line("delete-in-value", "X-A: b\x7Fc"),
        line("escape-in-value", "X-A: b\x1Bc"),
        line("space-before-colon", "X-A : b"),
        line("space-in-name", "X A: b"),
        line("no-colon", "X-A"),
        line("no-name", ": b"),
        line("bare-lf-in-header", "X-A: b\nX-C: d"),
        line("bracket-in-name", "X[A]: b"),
    ]);
    requests
        .into_iter()
        .map(|(id, bytes)| refuse(case("4.2.1", format!("malformed/{id}")), bytes, &[400]))
        .collect()
}

/// RFC 6585 §5. The codec's default caps are 16 KiB and 100 headers.
fn oversize() -> Vec<Case> {
    let many = |n: usize| {
        (0..n)
            .map(|n| format!("X-{n}: v"))
            .collect::<Vec<_>>()
            .join("\r\n")
    };
    let fits = 100 - headers().len();
    vec![
        refuse(
            case("10.4", "oversize/one-header"),
            and(&format!("X-A: {}", "b".repeat(20_000))),
            &[431],
        ),
        refuse(
            case("10.4", "oversize/one-name"),
            and(&"X".repeat(20_000)),
            &[431],
        ),
        refuse(
            case("10.4", "oversize/target"),
            request(&format!("GET /{} HTTP/1.1", "a".repeat(20_000)), &headers()),
            &[414, 431],
        ),
        case("10.4", "oversize/never-ends")
            .send_bytes("GET /".to_owned() + &"a".repeat(40_000))
            .step(Step::ExpectRefused {
                statuses: vec![414, 431],
                header: None,
            }),
        accept(case("10.4", "oversize/100-headers"), and(&many(fits))),
        refuse(
            case("10.4", "oversize/101-headers"),
            and(&many(fits + 1)),
            &[431],
        ),
        accept(
            case("10.4", "oversize/15000-bytes-fit"),
            and(&format!("X-A: {}", "b".repeat(14_800))),
        ),
    ]
}

/// A request with a body is no upgrade: its bytes must not be taken for frames, nor frames for them.
fn bodies() -> Vec<Case> {
    let mut cases = Vec::new();
    for (id, line) in [
        ("content-length-5", "Content-Length: 5"),
        ("content-length-not-a-number", "Content-Length: five"),
        ("content-length-negative", "Content-Length: -1"),
        (
            "content-length-huge",
            "Content-Length: 99999999999999999999",
        ),
        (
            "content-length-two",
            "Content-Length: 0\r\nContent-Length: 5",
        ),
        ("transfer-encoding", "Transfer-Encoding: chunked"),
        ("transfer-encoding-identity", "Transfer-Encoding: identity"),
        ("both", "Content-Length: 0\r\nTransfer-Encoding: chunked"),
    ] {
        cases.push(refuse(
            case("4.2.1", format!("body/{id}")).level(Level::Should),
            and(line),
            &[400],
        ));
    }
    cases.push(accept(
        case("4.2.1", "body/content-length-0").level(Level::May),
        and("Content-Length: 0"),
    ));
    cases
}

/// The peer leaves at every byte of the head; nobody may be left waiting, nothing is upgraded.
fn ends() -> Vec<Case> {
    let bytes = request(LINE, &headers());
    let mut cases = Vec::new();
    for at in 0..bytes.len() {
        let case = case("4.2.1", format!("eof-at/{at}"));
        let case = if at > 0 {
            case.send_bytes(&bytes[..at])
        } else {
            case
        };
        cases.push(case.step(Step::Eof).step(Step::ExpectEnd));
    }
    let reset = case("4.2.1", "rst-inside-head").send_bytes(&bytes[..40]);
    cases.push(reset.step(Step::Reset).step(Step::ExpectEnd));
    cases
}
