//! The upgrade as a client sees it: which answers of a server open the connection (RFC 6455 §4.1, from
//! "Once the client's opening handshake has been sent").
//!
//! The client under test offered `chat` and `superchat`, no extension, and the key of §1.3.
//!
//! Never: asks for redirects or credentials to be handled, which a client may leave alone.

use super::{Case, Level, Step};
use crate::drivers::KEY;
use crate::wire::{self, Frame, Sender};
use fanfare_codec::Role;

const LINE: &str = "HTTP/1.1 101 Switching Protocols";

fn case(id: impl AsRef<str>) -> Case {
    Case::connected(Role::Client, "4.1", id)
}

fn headers() -> Vec<(String, String)> {
    [
        ("Upgrade", "websocket".to_owned()),
        ("Connection", "Upgrade".to_owned()),
        ("Sec-WebSocket-Accept", wire::accept_for(KEY)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn response(line: &str, headers: &[(String, String)]) -> Vec<u8> {
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{line}\r\n{lines}\r\n").into_bytes()
}

fn with(name: &str, value: &str) -> Vec<u8> {
    let mut headers = headers();
    match headers.iter_mut().find(|(n, _)| n == name) {
        Some((_, old)) => value.clone_into(old),
        None => headers.push((name.to_owned(), value.to_owned())),
    }
    response(LINE, &headers)
}

fn and(line: &str) -> Vec<u8> {
    let mut bytes = response(LINE, &headers());
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(line.as_bytes());
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes
}

/// The connection opens: a frame behind the head is echoed.
fn opens(case: Case, response: Vec<u8>) -> Case {
    case.step(Step::Send(vec![
        response,
        Frame::text("hello").encode(Sender::Server),
    ]))
    .expect_text("hello")
    .then_close()
}

/// The client closes TCP and sends no frame, not even for one that it has received.
fn fails(case: Case, response: Vec<u8>) -> Case {
    case.step(Step::Send(vec![
        response,
        Frame::text("hello").encode(Sender::Server),
    ]))
    .step(Step::ExpectEnd)
}

/// The group's cases for a client.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = vec![opens(case("accept/plain"), response(LINE, &headers()))];
    cases.extend(variants());
    cases.extend(wrong_status());
    cases.extend(wrong_headers());
    cases.extend(malformed());
    let bytes = response(LINE, &headers());
    for at in 0..bytes.len() {
        let case = case(format!("eof-at/{at}"));
        let case = if at > 0 {
            case.send_bytes(&bytes[..at])
        } else {
            case
        };
        cases.push(case.step(Step::Eof).step(Step::ExpectEnd));
    }
    cases
}

/// What varies without breaking a rule.
fn variants() -> Vec<Case> {
    let lower: Vec<_> = headers()
        .into_iter()
        .map(|(n, v)| (n.to_lowercase(), v))
        .collect();
    vec![
        opens(case("accept/lower-case-names"), response(LINE, &lower)),
        opens(
            case("accept/upgrade-any-case"),
            with("Upgrade", "WebSocket"),
        ),
        opens(
            case("accept/connection-list"),
            with("Connection", "keep-alive, UPGRADE"),
        ),
        opens(
            case("accept/other-reason"),
            response("HTTP/1.1 101 Web Socket Protocol Handshake", &headers()),
        ),
        opens(
            case("accept/no-reason"),
            response("HTTP/1.1 101 ", &headers()),
        ),
        opens(
            case("accept/spaces-around"),
            with(
                "Sec-WebSocket-Accept",
                &format!("  {}\t", wire::accept_for(KEY)),
            ),
        ),
        opens(
            case("accept/subprotocol"),
            and("Sec-WebSocket-Protocol: superchat"),
        ),
        opens(case("accept/cookie"), and("Set-Cookie: a=b")),
    ]
}

fn wrong_status() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in [
        "100 Continue",
        "200 OK",
        "102 Processing",
        "301 Moved",
        "401 Unauthorized",
        "403 No",
        "404 No",
        "426 Upgrade Required",
        "500 Oh",
        "503 Busy",
        "999 What",
    ] {
        let line = format!("HTTP/1.1 {status}");
        cases.push(fails(
            case(format!("status/{}", &status[..3])),
            response(&line, &headers()),
        ));
    }
    // §4.2.2 has the server say HTTP/1.1; §4.1's list for the client does not mention the version.
    cases.push(fails(
        case("status/http-1.0").level(Level::Info),
        response("HTTP/1.0 101 Switching Protocols", &headers()),
    ));
    cases
}

fn wrong_headers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, _) in headers() {
        let rest: Vec<_> = headers().into_iter().filter(|(n, _)| *n != name).collect();
        cases.push(fails(
            case(format!("missing/{name}")),
            response(LINE, &rest),
        ));
        cases.push(fails(case(format!("empty/{name}")), with(&name, "")));
    }
    let accept = wire::accept_for(KEY);
    let double = format!("{accept}, {accept}");
    for (id, name, value) in [
        ("upgrade-other", "Upgrade", "h2c"),
        ("connection-other", "Connection", "keep-alive"),
        (
            "accept-of-another-key",
            "Sec-WebSocket-Accept",
            "HSmrc0sMlYUkAGmm5OPpG2HaGWk=",
        ),
        ("accept-is-the-key", "Sec-WebSocket-Accept", KEY),
        (
            "accept-in-lower-case",
            "Sec-WebSocket-Accept",
            "s3ppplmbitxaq9kygzzhzrbk+xoo=",
        ),
        ("accept-cut", "Sec-WebSocket-Accept", &accept[..27]),
        (
            "accept-longer",
            "Sec-WebSocket-Accept",
            &format!("{accept}="),
        ),
        ("accept-list", "Sec-WebSocket-Accept", &double),
    ] {
        cases.push(fails(case(format!("wrong/{id}")), with(name, value)));
    }
    for (id, line) in [
        ("protocol-not-offered", "Sec-WebSocket-Protocol: other"),
        ("protocol-in-another-case", "Sec-WebSocket-Protocol: Chat"),
        ("protocol-list", "Sec-WebSocket-Protocol: chat, superchat"),
        (
            "protocol-two-headers",
            "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: superchat",
        ),
        (
            "extension-not-offered",
            "Sec-WebSocket-Extensions: permessage-deflate",
        ),
        (
            "extension-second-header",
            "Sec-WebSocket-Extensions: \r\nSec-WebSocket-Extensions: x",
        ),
    ] {
        cases.push(fails(case(format!("wrong/{id}")), and(line)));
    }
    cases.push(fails(
        case("wrong/accept-two-headers").level(Level::Should),
        and(&format!("Sec-WebSocket-Accept: {accept}")),
    ));
    cases
}

fn malformed() -> Vec<Case> {
    let good = String::from_utf8(response(LINE, &headers())).expect("ascii");
    [
        ("bare-lf", good.replace("\r\n", "\n").into_bytes()),
        ("folded", and("X-A: b\r\n c")),
        ("nul-in-value", and("X-A: b\0c")),
        ("space-before-colon", and("X-A : b")),
        ("frame-instead", b"\x81\x05hello".to_vec()),
        ("http-2", good.replace("HTTP/1.1", "HTTP/2.0").into_bytes()),
        (
            "status-of-two-digits",
            good.replace("101", "10").into_bytes(),
        ),
        (
            "status-of-four-digits",
            good.replace(" 101 ", " 1010 ").into_bytes(),
        ),
        (
            "head-of-40000-bytes",
            and(&format!("X-A: {}", "b".repeat(40_000))),
        ),
    ]
    .into_iter()
    .map(|(id, bytes)| fails(case(format!("malformed/{id}")), bytes))
    .collect()
}
