//! The client's side of the upgrade (RFC 6455 §4.1). In: where to connect and 16 random bytes, then
//! the bytes of the response. Out: the request, and the connection's terms or what is wrong.
//!
//! Never: resolves, connects, follows a redirect.

use alloc::string::String;
#[cfg(feature = "deflate")]
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::accept_key::{ACCEPT_BYTES, accept_key};
use super::extensions::EXTENSIONS;
use super::head::{Count, HeadError, HeadLimits, HeadScanner, Headers, is_token};
use super::request::PROTOCOL;
use super::response::{InvalidHeader, Status, append_header, append_line};
#[cfg(feature = "deflate")]
use crate::deflate::{DeflateOffer, DeflateTerms};

/// An upgrade request, and what its answer must contain.
///
/// ```
/// use fanfare_codec::handshake::{ClientHandshake, HeadLimits, ResponseDecoder};
///
/// let nonce = *b"the sample nonce"; // yours: 16 random bytes
/// let handshake = ClientHandshake::new("example.org", "/chat", nonce)?.subprotocol("chat")?;
/// let mut request = Vec::new();
/// handshake.encode(&mut request);
/// assert!(request.starts_with(b"GET /chat HTTP/1.1\r\nHost: example.org\r\n"));
///
/// let received = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
///     Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
///     Sec-WebSocket-Protocol: chat\r\n\r\n\x81\x02Hi";
/// let response = ResponseDecoder::new(HeadLimits::default()).decode(received)?.expect("whole");
/// assert_eq!(handshake.verify(&response)?.protocol, Some("chat"));
/// assert_eq!(&received[response.head_len()..], b"\x81\x02Hi");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ClientHandshake {
    /// Everything but the protocols and the final empty line.
    head: Vec<u8>,
    /// Where the key stands in it.
    key_at: usize,
    protocols: Vec<String>,
    /// The one that is liked best first.
    #[cfg(feature = "deflate")]
    deflate: Vec<DeflateOffer>,
    accept: [u8; ACCEPT_BYTES],
}

/// Whether a header would contradict what the handshake says.
fn is_own(name: &str) -> bool {
    const OWN: [&str; 5] = [
        "Host",
        "Connection",
        "Upgrade",
        "Content-Length",
        "Transfer-Encoding",
    ];
    const PREFIX: &str = "Sec-WebSocket-";
    let start = name.get(..PREFIX.len());
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
        || start.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

impl fmt::Debug for ClientHandshake {
    /// The request line and the names of the headers: their values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = String::from_utf8_lossy(&self.head);
        let mut lines = head.lines();
        let line = lines.next().unwrap_or_default();
        let names = lines.filter_map(|line| line.split(':').next());
        f.debug_struct("ClientHandshake")
            .field("line", &line)
            .field("headers", &names.collect::<Vec<_>>())
            .field("protocols", &self.protocols)
            .finish_non_exhaustive()
    }
}

impl ClientHandshake {
    /// A request for `target` (path and query) at `host` (with its port if that is not the
    /// scheme's). `nonce` must be fresh and random (§4.1 item 7).
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when `host` or `target` holds white space or a control character.
    pub fn new(host: &str, target: &str, nonce: [u8; 16]) -> Result<Self, InvalidHeader> {
        let is_line_safe = |s: &str| !s.bytes().any(|b| b <= b' ' || b == 0x7F);
        if !target.starts_with('/') || !is_line_safe(target) || !is_line_safe(host) {
            return Err(InvalidHeader::MALFORMED);
        }
        let key = STANDARD.encode(nonce);
        let mut head = Vec::new();
        for part in ["GET ", target, " HTTP/1.1\r\n"] {
            head.extend_from_slice(part.as_bytes());
        }
        for (name, value) in [
            ("Host", host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", &key),
        ] {
            append_line(&mut head, name, value);
        }
        let key_at = head.len() - b"\r\n".len() - key.len();
        append_line(&mut head, "Sec-WebSocket-Version", "13");
        Ok(Self {
            head,
            key_at,
            protocols: Vec::new(),
            #[cfg(feature = "deflate")]
            deflate: Vec::new(),
            accept: accept_key(key.as_bytes()),
        })
    }

    /// The same request with another `nonce`: every connection needs a fresh one (§4.1 item 7), and a request may be
    /// kept for the next.
    ///
    /// ```
    /// use fanfare_codec::handshake::ClientHandshake;
    ///
    /// let encoded = |handshake: &ClientHandshake| {
    ///     let mut out = Vec::new();
    ///     handshake.encode(&mut out);
    ///     out
    /// };
    /// let first = ClientHandshake::new("example.org", "/", [1; 16])?.header("Cookie", "a=b")?;
    /// let second = ClientHandshake::new("example.org", "/", [2; 16])?.header("Cookie", "a=b")?;
    /// assert_ne!(encoded(&first), encoded(&second));
    /// assert_eq!(encoded(&first.with_nonce([2; 16])), encoded(&second));
    /// # Ok::<(), fanfare_codec::handshake::InvalidHeader>(())
    /// ```
    #[must_use]
    pub fn with_nonce(mut self, nonce: [u8; 16]) -> Self {
        let key = STANDARD.encode(nonce);
        self.head[self.key_at..self.key_at + key.len()].copy_from_slice(key.as_bytes());
        self.accept = accept_key(key.as_bytes());
        self
    }

    /// Offers a subprotocol, after those offered before.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when it is not a token or was offered already.
    pub fn subprotocol(mut self, protocol: &str) -> Result<Self, InvalidHeader> {
        if !is_token(protocol.as_bytes()) || self.protocols.iter().any(|p| p == protocol) {
            return Err(InvalidHeader::MALFORMED);
        }
        self.protocols.push(protocol.into());
        Ok(self)
    }

    /// Offers permessage-deflate; a further offer is for a server that accepts none before it (RFC 7692 §5).
    ///
    /// The answer's terms are in [`Accepted::deflate`].
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn offer_deflate(mut self, offer: DeflateOffer) -> Self {
        self.deflate.push(offer);
        self
    }

    /// Adds a header: an origin, a cookie, credentials.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when the name is not a token or the value holds a control character, and for headers that say
    /// what the handshake itself does: `Host`, `Connection`, `Upgrade`, those of a body, `Sec-WebSocket-…`.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        if is_own(name) {
            return Err(InvalidHeader::OWN);
        }
        append_header(&mut self.head, name, value)?;
        Ok(self)
    }

    /// Appends the request to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        if !self.protocols.is_empty() {
            append_line(out, PROTOCOL, &self.protocols.join(", "));
        }
        #[cfg(feature = "deflate")]
        if !self.deflate.is_empty() {
            let offers: Vec<String> = self.deflate.iter().map(ToString::to_string).collect();
            append_line(out, EXTENSIONS, &offers.join(", "));
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Holds `response` against what was asked for (§4.1, on the response).
    ///
    /// # Errors
    ///
    /// The first rule that it breaks: close the connection.
    pub fn verify<'b>(&self, response: &ResponseHead<'b>) -> Result<Accepted<'b>, UpgradeFailed> {
        let headers = &response.headers;
        if response.status != Status::SWITCHING_PROTOCOLS {
            return Err(UpgradeFailed::Status(response.status));
        }
        if response.minor_version == 0 {
            return Err(UpgradeFailed::Http10);
        }
        if !headers.lists("Upgrade", "websocket") {
            return Err(UpgradeFailed::Upgrade);
        }
        if !headers.lists("Connection", "Upgrade") {
            return Err(UpgradeFailed::Connection);
        }
        match headers.only("Sec-WebSocket-Accept") {
            Count::One(accept) if accept == self.accept => {}
            _ => return Err(UpgradeFailed::Accept),
        }
        #[cfg(feature = "deflate")]
        let deflate =
            crate::deflate::verify(headers, &self.deflate).map_err(|_| UpgradeFailed::Extension)?;
        #[cfg(not(feature = "deflate"))]
        if headers.list(EXTENSIONS).next().is_some() {
            return Err(UpgradeFailed::Extension);
        }
        let protocol = match headers.only(PROTOCOL) {
            Count::None => None,
            Count::One(chosen) => Some(self.offered(chosen).ok_or(UpgradeFailed::Protocol)?),
            Count::Many => return Err(UpgradeFailed::Protocol),
        };
        Ok(Accepted {
            protocol,
            #[cfg(feature = "deflate")]
            deflate,
        })
    }

    /// `chosen` as text, if it was offered.
    fn offered<'b>(&self, chosen: &'b [u8]) -> Option<&'b str> {
        let chosen = core::str::from_utf8(chosen).ok()?;
        self.protocols.iter().any(|p| p == chosen).then_some(chosen)
    }
}

/// The terms of an accepted upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted<'b> {
    /// The subprotocol that the server chose among those offered.
    pub protocol: Option<&'b str>,
    /// What permessage-deflate does, if the server accepted an offer of it.
    #[cfg(feature = "deflate")]
    pub deflate: Option<DeflateTerms>,
}

/// Finds and parses one response head.
#[derive(Clone, Debug)]
pub struct ResponseDecoder {
    scanner: HeadScanner,
}

impl ResponseDecoder {
    /// For a connection that has received nothing yet.
    #[must_use]
    pub const fn new(limits: HeadLimits) -> Self {
        Self {
            scanner: HeadScanner::new(limits),
        }
    }

    /// `received` is everything since the connection began; call again with more when it gives
    /// `None`.
    ///
    /// # Errors
    ///
    /// [`HeadError`]: close the connection.
    pub fn decode<'b>(
        &mut self,
        received: &'b [u8],
    ) -> Result<Option<ResponseHead<'b>>, HeadError> {
        let parsed = self.scanner.decode(received, |headers, bytes| {
            let mut response = httparse::Response::new(headers);
            let is_whole = response.parse(bytes)? == httparse::Status::Complete(bytes.len());
            Ok(response.code.zip(response.version).filter(|_| is_whole))
        })?;
        Ok(parsed.map(|parsed| {
            let (code, minor_version) = parsed.start_line;
            ResponseHead {
                status: Status(code),
                minor_version,
                headers: parsed.headers,
                head_len: parsed.len,
            }
        }))
    }
}

/// A response of any status.
#[derive(Clone, Debug)]
pub struct ResponseHead<'b> {
    status: Status,
    minor_version: u8,
    headers: Headers<'b>,
    head_len: usize,
}

impl<'b> ResponseHead<'b> {
    /// 101 if the upgrade may have succeeded.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// All headers: a `Location`, cookies, a challenge.
    #[must_use]
    pub const fn headers(&self) -> &Headers<'b> {
        &self.headers
    }

    /// Where the head ends in what was received, and the first frame or the body may begin.
    #[must_use]
    pub const fn head_len(&self) -> usize {
        self.head_len
    }
}

/// The server's answer does not open the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeFailed {
    /// Not 101: a refusal, a redirect, a challenge.
    Status(Status),
    /// A 101 of HTTP/1.0, which has no upgrade.
    Http10,
    /// No `Upgrade: websocket`.
    Upgrade,
    /// No `Connection: Upgrade`.
    Connection,
    /// `Sec-WebSocket-Accept` is missing, doubled, or not the answer to our key.
    Accept,
    /// An extension that was not offered, or an answer that contradicts its offer.
    Extension,
    /// A subprotocol that was not offered, or more than one.
    Protocol,
}

impl fmt::Display for UpgradeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the server answered {} instead of 101", status.0),
            Self::Http10 => f.write_str("the 101 is of HTTP/1.0, which has no upgrade"),
            Self::Upgrade => f.write_str("the 101 has no Upgrade: websocket"),
            Self::Connection => f.write_str("the 101 has no Connection: Upgrade"),
            Self::Accept => f.write_str("Sec-WebSocket-Accept does not answer our key"),
            Self::Extension => {
                f.write_str("the server chose an extension, or terms of one, that were not offered")
            }
            Self::Protocol => f.write_str("the server chose a subprotocol that was not offered"),
        }
    }
}

impl core::error::Error for UpgradeFailed {}
