//! The upgrade as a server sees it (RFC 6455 §4.1, §4.2, §4.4; RFC 9112 for the head).
//!
//! Never: tests what a server may decide freely: paths, origins, credentials.

use super::{Case, Level, Step};
use crate::drivers::KEY;
use crate::wire::Frame;
use fanfare_codec::Role;

/// The group's cases for a server.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(accepted());
    cases.extend(request_lines());
    cases.extend(targets());
    cases.extend(missing_or_wrong());
    cases.extend(doubled());
    cases.extend(keys());
    cases.extend(versions());
    cases.extend(subprotocols());
    cases.extend(pipelined());
    cases
}

pub(super) const LINE: &str = "GET /echo HTTP/1.1";

/// The headers that §4.2.1 asks for.
pub(super) fn headers() -> Vec<(String, String)> {
    [
        ("Host", "localhost"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

pub(super) fn request(line: &str, headers: &[(String, String)]) -> Vec<u8> {
    let mut out = format!("{line}\r\n");
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    (out + "\r\n").into_bytes()
}

/// The good request with this header's value replaced, or the header added.
fn with(name: &str, value: &str) -> Vec<u8> {
    let mut headers = headers();
    match headers.iter_mut().find(|(n, _)| n == name) {
        Some((_, old)) => value.clone_into(old),
        None => headers.push((name.to_owned(), value.to_owned())),
    }
    request(LINE, &headers)
}

/// The good request with a further header line, whatever is there already.
pub(super) fn and(line: &str) -> Vec<u8> {
    let mut bytes = request(LINE, &headers());
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(line.as_bytes());
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes
}

pub(super) fn case(rfc: &'static str, id: impl AsRef<str>) -> Case {
    Case::connected(Role::Server, rfc, id)
}

/// The upgrade succeeds, and frames work after it.
pub(super) fn accept(case: Case, request: impl Into<Vec<u8>>) -> Case {
    case.send_bytes(request)
        .step(Step::ExpectAccepted { protocol: None })
        .send([Frame::text("open")])
        .expect_text("open")
        .then_close()
}

pub(super) fn refuse(case: Case, request: Vec<u8>, statuses: &[u16]) -> Case {
    case.send_bytes(request).step(Step::ExpectRefused {
        statuses: statuses.to_vec(),
        header: None,
    })
}

/// §4.2.1: what varies without breaking a rule.
fn accepted() -> Vec<Case> {
    let mut cases = vec![
        accept(case("4.2.1", "accept/plain"), request(LINE, &headers())),
        accept(
            case("4.2.1", "accept/absolute-uri"),
            request("GET http://localhost/echo?a=b HTTP/1.1", &headers()),
        ),
        accept(
            case("4.2.1", "accept/absolute-uri-without-path"),
            request("GET HTTPS://localhost?a=b HTTP/1.1", &headers()),
        ),
        accept(
            case("4.2.1", "accept/query"),
            request("GET /?q=%20/&x HTTP/1.1", &headers()),
        ),
    ];
    let lower: Vec<_> = headers()
        .into_iter()
        .map(|(n, v)| (n.to_lowercase(), v))
        .collect();
    let upper: Vec<_> = headers()
        .into_iter()
        .map(|(n, v)| (n.to_uppercase(), v))
        .collect();
    let reversed: Vec<_> = headers().into_iter().rev().collect();
    for (id, headers) in [("lower", lower), ("upper", upper), ("reversed", reversed)] {
        cases.push(accept(
            case("4.2.1", format!("accept/header-names-{id}")),
            request(LINE, &headers),
        ));
    }
    for (n, value) in [
        "WebSocket",
        "WEBSOCKET",
        "h2c, websocket",
        "websocket , h2c",
    ]
    .iter()
    .enumerate()
    {
        cases.push(accept(
            case("4.2.1", format!("accept/upgrade-list-{n}")),
            with("Upgrade", value),
        ));
    }
    for (n, value) in [
        "upgrade",
        "UPGRADE",
        "keep-alive, Upgrade",
        "Upgrade,keep-alive",
        ",, upgrade ,",
        "keep-alive ,\tUpgrade",
    ]
    .iter()
    .enumerate()
    {
        cases.push(accept(
            case("4.2.1", format!("accept/connection-list-{n}")),
            with("Connection", value),
        ));
    }
    for (id, line) in [
        ("second-connection-header", "Connection: keep-alive"),
        ("second-upgrade-header", "Upgrade: h2c"),
        ("origin", "Origin: http://example.org"),
        ("cookie", "Cookie: a=b; c=d"),
        (
            "unoffered-extension-is-not-taken",
            "Sec-WebSocket-Extensions: x-unheard-of; a=1, another",
        ),
        ("empty-value", "X-Empty:"),
        ("no-space", "X-Tight:value"),
        ("much-space", "X-Loose: \t  value \t "),
        ("obs-text", "X-Latin: \u{e9}"),
    ] {
        cases.push(accept(case("4.2.1", format!("accept/{id}")), and(line)));
    }
    let second = String::from_utf8(and("Connection: Upgrade")).expect("ascii");
    cases.push(accept(
        case("4.2.1", "accept/token-in-second-connection-header"),
        second.replacen("Connection: Upgrade", "Connection: keep-alive", 1),
    ));
    cases.push(accept(
        case("4.2.1", "accept/host-with-port"),
        with("Host", "localhost:8080"),
    ));
    cases
}

/// §4.1 items 1–3, RFC 9112 §3.
fn request_lines() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH"] {
        let line = format!("{method} /echo HTTP/1.1");
        cases.push(
            case("4.1", format!("method/{method}"))
                .send_bytes(request(&line, &headers()))
                .step(Step::ExpectRefused {
                    statuses: vec![405],
                    header: Some(("allow", "GET")),
                }),
        );
    }
    cases.push(
        case("4.1", "method/lower-case-get-is-another-method")
            .send_bytes(request("get /echo HTTP/1.1", &headers()))
            .step(Step::ExpectRefused {
                statuses: vec![400, 405, 501],
                header: None,
            }),
    );
    let http10 = request("GET /echo HTTP/1.0", &headers());
    cases.push(refuse(
        case("4.2.1", "version/http-1.0"),
        http10,
        &[400, 426, 505],
    ));
    for (id, line) in [
        ("http-2.0", "GET /echo HTTP/2.0"),
        ("http-1.2x", "GET /echo HTTP/1.1x"),
        ("none", "GET /echo"),
        ("lower-case", "GET /echo http/1.1"),
        ("not-http", "GET /echo XTTP/1.1"),
    ] {
        cases.push(refuse(
            case("4.2.1", format!("version/{id}")),
            request(line, &headers()),
            &[400, 505],
        ));
    }
    for (id, line) in [
        ("space-in-target", "GET /ec ho HTTP/1.1"),
        ("no-target", "GET HTTP/1.1"),
        ("two-spaces", "GET  /echo HTTP/1.1"),
        ("leading-space", " GET /echo HTTP/1.1"),
        ("empty", ""),
        ("nul-in-target", "GET /ec\0ho HTTP/1.1"),
        ("nul-in-method", "G\0ET /echo HTTP/1.1"),
        ("trailing-space", "GET /echo HTTP/1.1 "),
    ] {
        // RFC 9112 §2.2 lets a server skip an empty line before the request, and §3 lets it be
        // lenient about white space; a WebSocket server that isn't can't be misled.
        let case = case("4.2.1", format!("request-line/{id}")).level(Level::May);
        cases.push(refuse(case, request(line, &headers()), &[400, 505]));
    }
    cases
}

/// §4.2.1 item 1, §3: a path or an absolute URI, without a fragment; else "MUST stop processing".
fn targets() -> Vec<Case> {
    [
        ("asterisk", "*"),
        ("authority", "localhost:80"),
        ("relative", "echo"),
        ("other-scheme", "ftp://localhost/echo"),
        ("one-slash", "http:/localhost/echo"),
        ("no-authority", "http:///echo"),
        ("scheme-alone", "http://"),
        ("query-alone", "?a=b"),
        ("fragment", "/echo#part"),
        ("fragment-in-uri", "http://localhost/echo#part"),
    ]
    .into_iter()
    .map(|(id, target)| {
        let line = format!("GET {target} HTTP/1.1");
        refuse(
            case("4.2.1", format!("target/{id}")),
            request(&line, &headers()),
            &[400],
        )
    })
    .collect()
}

/// §4.2.1: each header that must be there, with what it must say.
fn missing_or_wrong() -> Vec<Case> {
    let mut cases = Vec::new();
    // Without `Upgrade` it is plain HTTP, which a WebSocket endpoint may answer with 426.
    let statuses = |name: &str| match name {
        "Upgrade" | "Connection" | "Sec-WebSocket-Version" => vec![400, 426],
        _ => vec![400],
    };
    for (name, _) in headers() {
        let rest: Vec<_> = headers().into_iter().filter(|(n, _)| *n != name).collect();
        cases.push(refuse(
            case("4.2.1", format!("missing/{name}")),
            request(LINE, &rest),
            &statuses(&name),
        ));
        cases.push(refuse(
            case("4.2.1", format!("empty/{name}")).level(if name == "Host" {
                Level::Info
            } else {
                Level::Must
            }),
            with(&name, ""),
            &statuses(&name),
        ));
    }
    for (n, value) in ["websockets", "web socket", "h2c", "\"websocket\""]
        .iter()
        .enumerate()
    {
        cases.push(refuse(
            case("4.2.1", format!("wrong/upgrade-{n}")),
            with("Upgrade", value),
            &[400, 426],
        ));
    }
    for (n, value) in ["keep-alive", "close", "upgraded", "Upgrade keep-alive"]
        .iter()
        .enumerate()
    {
        cases.push(refuse(
            case("4.2.1", format!("wrong/connection-{n}")),
            with("Connection", value),
            &[400, 426],
        ));
    }
    cases
}

/// §11.3.1, §11.3.5, RFC 9112 §3.2: once each, whatever the second says and however it is spelt.
fn doubled() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, value) in headers() {
        // Two versions may as well be seen as one that is not 13.
        let statuses: &[u16] = match name.as_str() {
            "Host" | "Sec-WebSocket-Key" => &[400],
            "Sec-WebSocket-Version" => &[400, 426],
            _ => continue, // lists: a second header goes on with the first
        };
        for (id, line) in [
            ("same", format!("{name}: {value}")),
            ("other", format!("{name}: other")),
            ("empty", format!("{name}:")),
            ("lower-case", format!("{}: other", name.to_lowercase())),
        ] {
            let case = case("4.2.1", format!("duplicate/{name}-{id}"));
            cases.push(refuse(case, and(&line), statuses));
        }
    }
    cases
}

/// §4.1 item 7, §4.2.1 item 5: 16 bytes in base64.
fn keys() -> Vec<Case> {
    let refused = [
        ("15-bytes", "dGhlIHNhbXBsZSBub25j"),
        ("17-bytes", "dGhlIHNhbXBsZSBub25jZSE="),
        ("18-bytes", "dGhlIHNhbXBsZSBub25jZSEh"),
        ("no-padding", "dGhlIHNhbXBsZSBub25jZQ"),
        ("half-padding", "dGhlIHNhbXBsZSBub25jZQ="),
        ("third-padding", "dGhlIHNhbXBsZSBub25jZQ==="),
        ("early-padding", "dGhlIHNhbXBsZSBub25j=Q=="),
        ("url-alphabet", "-_hlIHNhbXBsZSBub25jZQ=="),
        ("space-inside", "dGhlIHNhbXBs ZSBub25jZQ=="),
        ("not-ascii", "dGhlIHNhbXBsZSBub25j\u{e9}Q=="),
        ("list", "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="),
        ("one-digit", "d"),
    ];
    let mut cases: Vec<Case> = refused
        .into_iter()
        .map(|(id, key)| {
            refuse(
                case("4.2.1", format!("key/{id}")),
                with("Sec-WebSocket-Key", key),
                &[400],
            )
        })
        .collect();
    // Which bytes it decodes to is not looked at: this one is all zero.
    cases.push(
        case("4.2.1", "key/spaces-around-are-not-part-of-it")
            .send_bytes(with("Sec-WebSocket-Key", &format!(" \t{KEY}  ")))
            .step(Step::ExpectAccepted { protocol: None })
            .then_close(),
    );
    cases
}

/// §4.2.2 item 4, §4.4.
fn versions() -> Vec<Case> {
    ["0", "7", "8", "12", "14", "25", "130", "1", "255"]
        .into_iter()
        .map(|version| (version, vec![426]))
        // Outside the grammar of §4.1: not a version at all.
        .chain(["013", "13.0", "+13", "13, 8", "8, 13", "256", "x", "99999999999999999999", "13;", "0x0d"].map(|v| (v, vec![400, 426])))
        .map(|(version, statuses)| {
            let header = (statuses == [426]).then_some(("sec-websocket-version", "13"));
            case("4.4", format!("websocket-version/{version}"))
                .send_bytes(with("Sec-WebSocket-Version", version))
                .step(Step::ExpectRefused { statuses, header })
        })
        .collect()
}

/// §4.2.2 item 5, `/subprotocol/`. The codec driver's server knows `chat` and `superchat`.
fn subprotocols() -> Vec<Case> {
    let mut cases = Vec::new();
    for (id, lines, chosen) in [
        (
            "first-of-client",
            "Sec-WebSocket-Protocol: superchat, chat",
            Some("superchat"),
        ),
        (
            "skips-unknown",
            "Sec-WebSocket-Protocol: x,chat",
            Some("chat"),
        ),
        (
            "two-headers",
            "Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: chat",
            Some("chat"),
        ),
        ("case-matters", "Sec-WebSocket-Protocol: Chat", None),
        ("none-known", "Sec-WebSocket-Protocol: x, y", None),
        (
            "empty-elements",
            "Sec-WebSocket-Protocol: , x,,chat ,",
            Some("chat"),
        ),
    ] {
        let mut case = case("4.2.2", format!("subprotocol/{id}"));
        case.live = chosen.is_none();
        cases.push(
            case.send_bytes(and(lines))
                .step(Step::ExpectAccepted {
                    protocol: chosen.map(str::to_owned),
                })
                .then_close(),
        );
    }
    for (id, value) in [
        ("twice", "chat, chat"),
        ("not-a-token", "ch at"),
        ("quoted", "\"chat\""),
    ] {
        cases.push(refuse(
            case("4.1", format!("subprotocol/{id}")).level(Level::May),
            and(&format!("Sec-WebSocket-Protocol: {value}")),
            &[400],
        ));
    }
    cases
}

/// A client may send frames before it has read the 101 of a server that it knows.
fn pipelined() -> Vec<Case> {
    let sender = crate::wire::Sender::Client;
    let piped = |id: &str, frames: &[Frame]| {
        let mut parts = vec![request(LINE, &headers())];
        parts.extend(frames.iter().map(|frame| frame.encode(sender)));
        case("4.2.2", format!("pipelined/{id}"))
            .step(Step::Send(parts))
            .step(Step::ExpectAccepted { protocol: None })
    };
    vec![
        piped("text", &[Frame::text("first")])
            .expect_text("first")
            .then_close(),
        piped("text-and-ping", &[Frame::text("first"), Frame::ping("p")])
            .expect_text("first")
            .expect_pong("p")
            .then_close(),
        piped("close", &[Frame::close(1000, "")]).expect_close_answer(Some(1000)),
        piped("broken-frame", &[Frame::text("x").wrong_mask()]).expect_fail(1002),
        piped("3000-bytes", &[Frame::binary(vec![7; 3_000])])
            .expect_binary(vec![7; 3_000])
            .then_close(),
        piped("half-a-frame", &[])
            .send_bytes(&Frame::text("half").encode(sender)[..7])
            .expect_silence()
            .send_bytes(&Frame::text("half").encode(sender)[7..])
            .expect_text("half")
            .then_close(),
    ]
}
