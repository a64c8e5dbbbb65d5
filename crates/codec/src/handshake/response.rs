//! The server's answer to a request (RFC 6455 §4.2.2). In: a status, headers, a body. Out: the bytes
//! of the response.
//!
//! Never: lets a caller's value break out of its header line.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use super::head::is_token;
use super::request::{PROTOCOL, Upgrade};

/// An HTTP status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    /// 101: the connection now speaks WebSocket.
    pub const SWITCHING_PROTOCOLS: Self = Self(101);
    /// 200.
    pub const OK: Self = Self(200);
    /// 302: goes with `Location`.
    pub const FOUND: Self = Self(302);
    /// 307: the same, with the same method; goes with `Location`.
    pub const TEMPORARY_REDIRECT: Self = Self(307);
    /// 308: the same, for ever.
    pub const PERMANENT_REDIRECT: Self = Self(308);
    /// 400: the request breaks a rule.
    pub const BAD_REQUEST: Self = Self(400);
    /// 401: credentials are missing; goes with `WWW-Authenticate`.
    pub const UNAUTHORIZED: Self = Self(401);
    /// 403: the credentials or the origin do not suffice.
    pub const FORBIDDEN: Self = Self(403);
    /// 404.
    pub const NOT_FOUND: Self = Self(404);
    /// 405: goes with `Allow`.
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    /// 408: the request did not arrive in time.
    pub const REQUEST_TIMEOUT: Self = Self(408);
    /// 426: goes with `Upgrade`.
    pub const UPGRADE_REQUIRED: Self = Self(426);
    /// 429: goes with `Retry-After`.
    pub const TOO_MANY_REQUESTS: Self = Self(429);
    /// 431: the head is past a limit.
    pub const HEADERS_TOO_LARGE: Self = Self(431);
    /// 503: full, or about to stop; goes with `Retry-After`.
    pub const UNAVAILABLE: Self = Self(503);
    /// 505.
    pub const VERSION_NOT_SUPPORTED: Self = Self(505);

    /// The reason phrase; clients ignore it (RFC 9112 §4).
    const fn reason(self) -> &'static str {
        match self.0 {
            101 => "Switching Protocols",
            200 => "OK",
            301 => "Moved Permanently",
            302 => "Found",
            307 => "Temporary Redirect",
            308 => "Permanent Redirect",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            426 => "Upgrade Required",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => "",
        }
    }
}

/// A response to be encoded.
///
/// Anything but a 101 closes the connection and says so: a kept-alive connection could ask for an
/// upgrade that nobody waits for any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: Status,
    /// Header lines, each with its CRLF.
    lines: Vec<u8>,
    /// The `Connection` header of anything but a 101.
    connection: &'static str,
    body: Cow<'static, [u8]>,
    /// The answer to a HEAD request: the body's length is told, and it is not sent.
    omits_body: bool,
}

impl Response {
    /// The 101 that accepts `upgrade` (§4.2.2 step 5).
    #[must_use]
    pub fn switching_protocols(upgrade: &Upgrade<'_>) -> Self {
        let mut response = Self::new(Status::SWITCHING_PROTOCOLS);
        response.lines.extend_from_slice(
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        response.lines.extend_from_slice(upgrade.accept());
        response.lines.extend_from_slice(b"\r\n");
        response
    }

    /// Any other response: a refusal, a redirect (with a `Location`), a 401 (with a
    /// `WWW-Authenticate`), a health report.
    #[must_use]
    pub const fn new(status: Status) -> Self {
        Self {
            status,
            lines: Vec::new(),
            connection: "close",
            body: Cow::Borrowed(&[]),
            omits_body: false,
        }
    }

    /// A refusal whose body says why.
    #[must_use]
    pub fn refusal(status: Status, why: &dyn fmt::Display) -> Self {
        Self::new(status).body("text/plain; charset=utf-8", format!("{why}\n").into_bytes())
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The subprotocol that the connection will speak; one that the client offered.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when it is not a token.
    pub fn subprotocol(self, protocol: &str) -> Result<Self, InvalidHeader> {
        if !is_token(protocol.as_bytes()) {
            return Err(InvalidHeader::MALFORMED);
        }
        self.header(PROTOCOL, protocol)
    }

    /// permessage-deflate, as `answer` says.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, answer: &crate::deflate::DeflateAnswer) -> Self {
        append_line(
            &mut self.lines,
            super::extensions::EXTENSIONS,
            &answer.to_string(),
        );
        self
    }

    /// Its header lines, for an HTTP library that sends them; without `Content-Length`, which depends on the body.
    ///
    /// ```
    /// use fanfare_codec::handshake::{Response, UpgradeError};
    ///
    /// let response = Response::from(&UpgradeError::Method);
    /// let headers: Vec<_> = response.headers().collect();
    /// assert!(headers.contains(&("Allow", "GET")) && headers.contains(&("Connection", "close")));
    /// assert_eq!(response.content(), b"a WebSocket upgrade is a GET\n");
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = core::str::from_utf8(&self.lines).unwrap_or_default(); // made of `str`s, all of them
        let connection =
            (self.status != Status::SWITCHING_PROTOCOLS).then_some(("Connection", self.connection));
        lines
            .split_terminator("\r\n")
            .filter_map(|line| line.split_once(": "))
            .chain(connection)
    }

    /// The body, also of an answer to a HEAD request.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.body
    }

    /// Adds a header, such as `Set-Cookie`; one of the same name stays.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when the name is not a token or the value holds a control character.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        append_header(&mut self.lines, name, value)?;
        Ok(self)
    }

    /// Sets the body and its `Content-Type`.
    #[must_use]
    pub fn body(self, content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        let mut response = self.fixed_header("Content-Type", content_type);
        response.body = body.into();
        response
    }

    /// The same as an answer to a HEAD request: all but the body (RFC 9110 §9.3.2).
    #[must_use]
    pub const fn without_body(mut self) -> Self {
        self.omits_body = true;
        self
    }

    /// Tells the client that, and how, this endpoint can be upgraded to (RFC 9110 §7.8).
    pub(super) fn offer_upgrade(self) -> Self {
        let mut response = self
            .fixed_header("Upgrade", "websocket")
            .fixed_header("Sec-WebSocket-Version", "13");
        response.connection = "close, Upgrade";
        response
    }

    /// A header that is known to be valid.
    pub(super) fn fixed_header(mut self, name: &'static str, value: &'static str) -> Self {
        append_line(&mut self.lines, name, value);
        self
    }

    /// Appends the response to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let status = self.status;
        out.extend_from_slice(format!("HTTP/1.1 {} {}\r\n", status.0, status.reason()).as_bytes());
        out.extend_from_slice(&self.lines);
        if status != Status::SWITCHING_PROTOCOLS {
            append_line(out, "Connection", self.connection);
            append_line(out, "Content-Length", &self.body.len().to_string());
        }
        out.extend_from_slice(b"\r\n");
        if !self.omits_body {
            out.extend_from_slice(&self.body);
        }
    }
}

/// A header line, or an error and nothing.
pub(super) fn append_header(
    out: &mut Vec<u8>,
    name: &str,
    value: &str,
) -> Result<(), InvalidHeader> {
    let is_value = value.bytes().all(|b| b == b'\t' || !b.is_ascii_control());
    if !is_token(name.as_bytes()) || !is_value {
        return Err(InvalidHeader::MALFORMED);
    }
    append_line(out, name, value);
    Ok(())
}

/// A header line that is known to be valid.
pub(super) fn append_line(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// A header of the caller's that HTTP cannot carry, or that would contradict the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHeader {
    is_own: bool,
}

impl InvalidHeader {
    /// The name is not a token, or the value holds a control character.
    pub(super) const MALFORMED: Self = Self { is_own: false };
    /// The handshake says this itself.
    pub(super) const OWN: Self = Self { is_own: true };
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.is_own {
            false => "header name is not a token, or its value holds a control character",
            true => "this header is the handshake's own",
        })
    }
}

impl core::error::Error for InvalidHeader {}
