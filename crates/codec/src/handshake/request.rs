//! The server's reading of an upgrade request (RFC 6455 §4.2.1). In: the bytes of a head. Out: the
//! request; and, if it keeps every rule, the upgrade that it asks for.
//!
//! Never: answers; [`super::Response`] does.

use core::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::accept_key::{ACCEPT_BYTES, accept_key};
use super::head::{Count, HeadError, HeadLimits, HeadScanner, Headers, is_token};
use super::{Response, Status};

/// Finds and parses one request head.
#[derive(Clone, Debug)]
pub struct RequestDecoder {
    scanner: HeadScanner,
}

impl RequestDecoder {
    /// For a connection that has sent nothing yet.
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
    /// [`HeadError`]: answer with `Response::from(&error)` and close.
    pub fn decode<'b>(&mut self, received: &'b [u8]) -> Result<Option<Request<'b>>, HeadError> {
        let parsed = self.scanner.decode(received, |headers, bytes| {
            let mut request = httparse::Request::new(headers);
            if request.parse(bytes)? != httparse::Status::Complete(bytes.len()) {
                return Ok(None);
            }
            let target_and_version = request.path.zip(request.version);
            Ok(request.method.zip(target_and_version))
        })?;
        Ok(parsed.map(|parsed| {
            let (method, (target, minor_version)) = parsed.start_line;
            Request {
                method,
                target,
                minor_version,
                headers: parsed.headers,
                head_len: parsed.len,
            }
        }))
    }
}

/// A request of any kind.
#[derive(Clone, Debug)]
pub struct Request<'b> {
    method: &'b str,
    target: &'b str,
    minor_version: u8,
    headers: Headers<'b>,
    head_len: usize,
}

impl<'b> Request<'b> {
    /// A request that another HTTP library has parsed: HTTP/1 of this minor version. Its head has no length here.
    ///
    /// ```
    /// use fanfare_codec::handshake::{Headers, Request, UpgradeError};
    ///
    /// let headers = [("Host", &b"example.org"[..]), ("Upgrade", b"websocket")];
    /// let request = Request::new("GET", "/chat", 1, Headers::new(headers));
    /// let missing = request.upgrade().unwrap_err();
    /// assert_eq!(missing, UpgradeError::Missing("Connection: Upgrade"));
    /// ```
    #[must_use]
    pub const fn new(
        method: &'b str,
        target: &'b str,
        minor_version: u8,
        headers: Headers<'b>,
    ) -> Self {
        Self {
            method,
            target,
            minor_version,
            headers,
            head_len: 0,
        }
    }

    /// `GET` for an upgrade.
    #[must_use]
    pub const fn method(&self) -> &'b str {
        self.method
    }

    /// As it stands in the request line: path and query, or an absolute URI.
    #[must_use]
    pub const fn target(&self) -> &'b str {
        self.target
    }

    /// The target's path, `/` at least; without query, scheme and authority. A target of another
    /// form (`*`, `host:port`), which no upgrade has, is given as it stands.
    #[must_use]
    pub fn path(&self) -> &'b str {
        let path = self.path_and_query().split('?').next().unwrap_or_default();
        if path.is_empty() { "/" } else { path }
    }

    /// What follows the first `?` of the target.
    #[must_use]
    pub fn query(&self) -> Option<&'b str> {
        self.path_and_query()
            .split_once('?')
            .map(|(_, query)| query)
    }

    fn path_and_query(&self) -> &'b str {
        match self.target.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
                &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]
            }
            _ => self.target,
        }
    }

    /// All headers.
    #[must_use]
    pub const fn headers(&self) -> &Headers<'b> {
        &self.headers
    }

    /// Where the head ends in what was received, and the first frame may begin.
    #[must_use]
    pub const fn head_len(&self) -> usize {
        self.head_len
    }

    /// Whether an `Upgrade` header lists `websocket`: such a request wants to be judged by
    /// [`upgrade`](Self::upgrade), any other is plain HTTP.
    #[must_use]
    pub fn wants_websocket(&self) -> bool {
        self.headers.lists("Upgrade", "websocket")
    }

    /// The upgrade that the request asks for.
    ///
    /// # Errors
    ///
    /// The first rule of RFC 6455 §4.2.1 that the request breaks: answer with
    /// `Response::from(&error)` and close.
    pub fn upgrade(&self) -> Result<Upgrade<'_>, UpgradeError> {
        if !self.wants_websocket() {
            return Err(UpgradeError::NotAnUpgrade);
        }
        if self.method != "GET" {
            return Err(UpgradeError::Method);
        }
        if self.minor_version == 0 {
            return Err(UpgradeError::Http10);
        }
        if !is_resource(self.target) {
            return Err(UpgradeError::Target);
        }
        // A ws URI has an authority (§3), so the header that repeats it is not empty.
        if once(self.headers.only("Host"), "Host")?.is_empty() {
            return Err(UpgradeError::Missing("Host"));
        }
        self.check_no_body()?;
        if !self.headers.lists("Connection", "Upgrade") {
            return Err(UpgradeError::Missing("Connection: Upgrade"));
        }
        let version = once(
            self.headers.only("Sec-WebSocket-Version"),
            "Sec-WebSocket-Version",
        )?;
        if version != b"13" {
            return Err(UpgradeError::Version);
        }
        let key = once(self.headers.only("Sec-WebSocket-Key"), "Sec-WebSocket-Key")?;
        if !is_nonce(key) {
            return Err(UpgradeError::Key);
        }
        self.check_protocols()?;
        Ok(Upgrade {
            accept: accept_key(key),
            headers: &self.headers,
        })
    }

    /// Bytes behind the head are frames, never a body.
    fn check_no_body(&self) -> Result<(), UpgradeError> {
        let has_length = self.headers.all("Content-Length").any(|len| len != b"0");
        if has_length || self.headers.first("Transfer-Encoding").is_some() {
            return Err(UpgradeError::Body);
        }
        Ok(())
    }

    /// Tokens, all different (RFC 6455 §4.1 item 10), and few enough to compare.
    fn check_protocols(&self) -> Result<(), UpgradeError> {
        let mut seen = [&b""[..]; PROTOCOLS_MAX];
        for (at, protocol) in self.headers.list(PROTOCOL).enumerate() {
            if at == PROTOCOLS_MAX || !is_token(protocol) || seen[..at].contains(&protocol) {
                return Err(UpgradeError::Protocol);
            }
            seen[at] = protocol;
        }
        Ok(())
    }
}

/// The most subprotocols that one request may offer.
const PROTOCOLS_MAX: usize = 64;

pub(super) const PROTOCOL: &str = "Sec-WebSocket-Protocol";

fn once<'b>(count: Count<'b>, name: &'static str) -> Result<&'b [u8], UpgradeError> {
    match count {
        Count::None => Err(UpgradeError::Missing(name)),
        Count::One(value) => Ok(value),
        Count::Many => Err(UpgradeError::Duplicate(name)),
    }
}

/// A path, or an absolute URI with an authority; never with a fragment (RFC 6455 §3, §4.2.1 item 1).
/// The RFC names http and https, and there are clients that send their ws URI.
fn is_resource(target: &str) -> bool {
    let is_absolute = |(scheme, rest): (&str, &str)| {
        let known = ["http", "https", "ws", "wss"];
        known.iter().any(|name| name.eq_ignore_ascii_case(scheme))
            && !rest.is_empty()
            && !rest.starts_with(['/', '?'])
    };
    let is_known_form =
        target.starts_with('/') || target.split_once("://").is_some_and(is_absolute);
    is_known_form && !target.contains('#')
}

/// Sixteen bytes in base64. The four bits that the last digit leaves over may be anything: some
/// clients draw all 22 digits at random.
fn is_nonce(key: &[u8]) -> bool {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
    );
    let mut nonce = [0; 18]; // `decode_slice` wants room for whole groups of three
    key.len() == 24 && LENIENT.decode_slice(key, &mut nonce) == Ok(16)
}

/// An upgrade that keeps every rule; accept it with [`Response::switching_protocols`], or answer
/// with anything else: a redirect, a 401, a 403.
#[derive(Clone, Debug)]
pub struct Upgrade<'b> {
    accept: [u8; ACCEPT_BYTES],
    headers: &'b Headers<'b>,
}

impl<'b> Upgrade<'b> {
    /// The subprotocols that the client offers, the one it likes best first.
    pub fn protocols(&self) -> impl Iterator<Item = &'b str> {
        self.headers
            .list(PROTOCOL)
            .filter_map(|p| core::str::from_utf8(p).ok())
    }

    /// The first of the client's subprotocols that is among `supported` (case matters).
    #[must_use]
    pub fn select_protocol(&self, supported: &[&str]) -> Option<&'b str> {
        self.protocols().find(|p| supported.contains(p))
    }

    /// The page that a browser's script came from (RFC 6454); others need not send one.
    #[must_use]
    pub fn origin(&self) -> Option<&'b [u8]> {
        self.headers.first("Origin")
    }

    /// All headers of the request: cookies, credentials, extensions.
    #[must_use]
    pub const fn headers(&self) -> &'b Headers<'b> {
        self.headers
    }

    pub(super) const fn accept(&self) -> &[u8; ACCEPT_BYTES] {
        &self.accept
    }
}

/// Why a well-formed request is no valid upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Not `GET`.
    Method,
    /// HTTP/1.0 has no upgrade.
    Http10,
    /// The request's target is neither a path nor an absolute URI.
    Target,
    /// No `Upgrade: websocket`: plain HTTP.
    NotAnUpgrade,
    /// This header, or the token it must list, is missing.
    Missing(&'static str),
    /// This header stands there more than once.
    Duplicate(&'static str),
    /// A `Content-Length` that is not 0, or a `Transfer-Encoding`.
    Body,
    /// A `Sec-WebSocket-Version` that is not 13.
    Version,
    /// A `Sec-WebSocket-Key` that is not 16 bytes in base64.
    Key,
    /// A `Sec-WebSocket-Protocol` with something that is no token, one twice, or more than 64.
    Protocol,
}

impl UpgradeError {
    /// The status to answer with.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Method => Status::METHOD_NOT_ALLOWED,
            Self::NotAnUpgrade | Self::Version => Status::UPGRADE_REQUIRED,
            Self::Http10
            | Self::Target
            | Self::Missing(_)
            | Self::Duplicate(_)
            | Self::Body
            | Self::Key
            | Self::Protocol => Status::BAD_REQUEST,
        }
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("a WebSocket upgrade is a GET"),
            Self::Http10 => f.write_str("HTTP/1.0 has no upgrade: use HTTP/1.1"),
            Self::Target => f.write_str("the target must be a path or an absolute URI"),
            Self::NotAnUpgrade => f.write_str("this is a WebSocket endpoint: send an upgrade"),
            Self::Missing(what) => write!(f, "missing {what}"),
            Self::Duplicate(what) => write!(f, "more than one {what}"),
            Self::Body => f.write_str("a WebSocket upgrade has no body"),
            Self::Version => f.write_str("Sec-WebSocket-Version must be 13"),
            Self::Key => f.write_str("Sec-WebSocket-Key must be 16 bytes in base64"),
            Self::Protocol => {
                f.write_str("Sec-WebSocket-Protocol must list different tokens, 64 at most")
            }
        }
    }
}

impl core::error::Error for UpgradeError {}

impl From<&HeadError> for Response {
    fn from(error: &HeadError) -> Self {
        Self::refusal(error.status(), error)
    }
}

impl From<&UpgradeError> for Response {
    /// With the headers that tell the client what would do: `Allow`, `Upgrade`,
    /// `Sec-WebSocket-Version` (RFC 6455 §4.4, RFC 9110 §15.5.6, §15.5.22).
    fn from(error: &UpgradeError) -> Self {
        let response = Self::refusal(error.status(), error);
        match error {
            UpgradeError::Method => response.fixed_header("Allow", "GET"),
            UpgradeError::NotAnUpgrade | UpgradeError::Version => response.offer_upgrade(),
            _ => response,
        }
    }
}
