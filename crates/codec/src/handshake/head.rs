//! HTTP heads (RFC 9112 §2–5), of requests and responses alike. In: a buffer that grows from its
//! start. Out: where the head ends, and its headers.
//!
//! Never: reads a byte twice while looking for the end; accepts a bare LF, a NUL or a folded line,
//! which some proxies read differently than we would.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::Status;

/// Caps on a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HeadLimits {
    /// The start line, all headers and the empty line, in bytes.
    pub max_head_bytes: usize,
    /// Header lines.
    pub max_headers: usize,
}

impl HeadLimits {
    /// 16 KiB, 100 headers.
    pub const DEFAULT: Self = Self {
        max_head_bytes: 16 << 10,
        max_headers: 100,
    };

    /// With another [`max_head_bytes`](Self::max_head_bytes).
    #[must_use]
    pub const fn with_max_head_bytes(mut self, bytes: usize) -> Self {
        self.max_head_bytes = bytes;
        self
    }

    /// With another [`max_headers`](Self::max_headers).
    #[must_use]
    pub const fn with_max_headers(mut self, headers: usize) -> Self {
        self.max_headers = headers;
        self
    }
}

impl Default for HeadLimits {
    /// [`HeadLimits::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The bytes are not an HTTP/1 head, or it is past a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// The first byte cannot start an HTTP head; 0x16 is TLS on a plain port.
    NotHttp(u8),
    /// A line ends in LF without CR.
    BareLineFeed,
    /// The request or status line is malformed.
    StartLine,
    /// The version is not HTTP/1.0 or HTTP/1.1.
    Version,
    /// A header's name is malformed, or its line is folded.
    HeaderName,
    /// A header's value holds a control character.
    HeaderValue,
    /// Longer than this many bytes.
    TooLong(usize),
    /// More than this many headers.
    TooManyHeaders(usize),
}

impl HeadError {
    /// The status to answer a request with.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::NotHttp(_)
            | Self::BareLineFeed
            | Self::StartLine
            | Self::HeaderName
            | Self::HeaderValue => Status::BAD_REQUEST,
            Self::Version => Status::VERSION_NOT_SUPPORTED,
            Self::TooLong(_) | Self::TooManyHeaders(_) => Status::HEADERS_TOO_LARGE,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp(0x16) => f.write_str("byte 0x16: TLS on a port that speaks plain HTTP"),
            Self::NotHttp(byte) => write!(f, "byte 0x{byte:02x} cannot start an HTTP head"),
            Self::BareLineFeed => f.write_str("line feed without carriage return"),
            Self::StartLine => f.write_str("malformed start line"),
            Self::Version => f.write_str("not HTTP/1.0 or HTTP/1.1"),
            Self::HeaderName => f.write_str("malformed or folded header line"),
            Self::HeaderValue => f.write_str("control character in a header value"),
            Self::TooLong(max) => write!(f, "head longer than {max} bytes"),
            Self::TooManyHeaders(max) => write!(f, "more than {max} headers"),
        }
    }
}

impl core::error::Error for HeadError {}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName => Self::HeaderName,
            httparse::Error::HeaderValue => Self::HeaderValue,
            httparse::Error::Version => Self::Version,
            httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token
            | httparse::Error::TooManyHeaders => Self::StartLine,
        }
    }
}

/// A head found whole.
struct Head<'b> {
    bytes: &'b [u8],
    headers: usize,
}

/// A head parsed: its start line, its headers and its length.
pub(super) struct Parsed<'b, S> {
    pub(super) start_line: S,
    pub(super) headers: Headers<'b>,
    pub(super) len: usize,
}

/// Finds the end of a head that grows.
#[derive(Clone, Debug)]
pub(super) struct HeadScanner {
    limits: HeadLimits,
    /// Bytes looked at.
    scanned: usize,
    line_start: usize,
    /// Lines that are not empty: the start line and the headers.
    lines: usize,
}

impl HeadScanner {
    pub(super) const fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            scanned: 0,
            line_start: 0,
            lines: 0,
        }
    }

    /// The head at the start of `received`, once it is whole. `parse` reads it into the headers and
    /// gives its start line; `None` if it and the scanner disagree about where the head ends.
    pub(super) fn decode<'b, S>(
        &mut self,
        received: &'b [u8],
        parse: impl FnOnce(&mut [httparse::Header<'b>], &'b [u8]) -> Result<Option<S>, httparse::Error>,
    ) -> Result<Option<Parsed<'b, S>>, HeadError> {
        let Some(head) = self.find(received)? else {
            return Ok(None);
        };
        let mut headers = vec![httparse::EMPTY_HEADER; head.headers];
        let start_line = parse(&mut headers, head.bytes)?.ok_or(HeadError::StartLine)?;
        Ok(Some(Parsed {
            start_line,
            headers: Headers(headers),
            len: head.bytes.len(),
        }))
    }

    /// `bytes` is everything received so far. Its first [`HeadLimits::max_head_bytes`] decide.
    fn find<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Head<'b>>, HeadError> {
        let max = self.limits.max_head_bytes;
        let window = &bytes[..bytes.len().min(max)];
        while let Some(found) = memchr::memchr(b'\n', &window[self.scanned..]) {
            let feed = self.scanned + found;
            let line = &window[self.line_start..feed];
            // Before its end is judged: without the end it would have been refused for this, too.
            self.check_start(line)?;
            self.scanned = feed + 1;
            self.line_start = feed + 1;
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(HeadError::BareLineFeed);
            };
            match (line.is_empty(), self.lines) {
                // An empty line before the start line is skipped (RFC 9112 §2.2).
                (true, 0) => {}
                (true, lines) => {
                    return Ok(Some(Head {
                        bytes: &window[..=feed],
                        headers: lines - 1,
                    }));
                }
                (false, _) => self.count_line(line[0])?,
            }
        }
        self.scanned = window.len();
        self.check_start(&window[self.line_start..])?;
        if bytes.len() >= max {
            return Err(HeadError::TooLong(max));
        }
        Ok(None)
    }

    /// Judges the start line by its first byte, whether or not the rest is here.
    const fn check_start(&self, line: &[u8]) -> Result<(), HeadError> {
        match line {
            // Perhaps of an empty line: the next byte tells.
            [b'\r', ..] => Ok(()),
            [first, ..] if self.lines == 0 => check_first_byte(*first),
            _ => Ok(()),
        }
    }

    const fn count_line(&mut self, first: u8) -> Result<(), HeadError> {
        if self.lines == 0 {
            if let Err(error) = check_first_byte(first) {
                return Err(error);
            }
        } else if self.lines > self.limits.max_headers {
            return Err(HeadError::TooManyHeaders(self.limits.max_headers));
        }
        self.lines += 1;
        Ok(())
    }
}

/// A method or `HTTP/1.1`: refused at once when it is something else, such as TLS.
const fn check_first_byte(byte: u8) -> Result<(), HeadError> {
    if byte.is_ascii_graphic() {
        Ok(())
    } else {
        Err(HeadError::NotHttp(byte))
    }
}

/// The headers of a head, in their order.
#[derive(Clone, Debug)]
pub struct Headers<'b>(pub(super) Vec<httparse::Header<'b>>);

impl<'b> Headers<'b> {
    /// Those of a request that another HTTP library has parsed, in their order; see
    /// [`Request::new`](super::Request::new).
    pub fn new(pairs: impl IntoIterator<Item = (&'b str, &'b [u8])>) -> Self {
        let pairs = pairs.into_iter();
        Self(
            pairs
                .map(|(name, value)| httparse::Header { name, value })
                .collect(),
        )
    }

    /// Every header, its value without surrounding white space.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.0.iter().map(|h| (h.name, h.value.trim_ascii()))
    }

    /// The values of every header of this name, in any case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The value of the first header of this name, in any case.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    /// The value, when there is exactly one header of this name.
    pub(super) fn only(&self, name: &str) -> Count<'b> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (None, _) => Count::None,
            (Some(value), None) => Count::One(value),
            (Some(_), Some(_)) => Count::Many,
        }
    }

    /// The elements of a comma-separated list, over all headers of this name; empty ones are left out
    /// (RFC 9110 §5.6.1).
    pub fn list(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.all(name)
            .flat_map(|value| value.split(|&b| b == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }

    /// Whether such a list holds `token`, in any case.
    pub(super) fn lists(&self, name: &str, token: &str) -> bool {
        self.list(name)
            .any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// How often a header that may stand once stands there.
pub(super) enum Count<'b> {
    None,
    One(&'b [u8]),
    Many,
}

/// Whether `bytes` are a token (RFC 9110 §5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Whether a token may hold `byte`.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
