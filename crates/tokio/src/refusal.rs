//! What a server says instead of a 101. In: a response's head, and what arrives of its body. Out: all of it that is
//! kept, for whoever asked.
//!
//! Never: keeps more than the first 4 KiB of a body; waits longer than the handshake may take; follows a redirect.

use std::fmt;

use fanfare_codec::handshake::{ResponseHead, Status, UpgradeFailed};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::client::header;

/// Bytes that are read of a body.
const BODY_BYTES_MAX: usize = 4 << 10;

/// What a server has said instead of a 101: a challenge, a redirect, an error.
///
/// ```no_run
/// use fanfare_tokio::{ClientRequest, Config, Error, client};
///
/// # async fn run(socket: tokio::net::TcpStream) -> Result<(), Error> {
/// let request = ClientRequest::new("ws://example.org/chat")?;
/// match client(socket, request, &Config::DEFAULT).await {
///     Err(Error::Upgrade(refusal)) => match refusal.location() {
///         Some(location) => println!("it is at {location} now"),
///         None => println!("{}: {}", refusal.status.0, refusal.text()),
///     },
///     other => drop(other?),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// What is wrong with it: the status, or a 101 that does not answer our request.
    pub failed: UpgradeFailed,
    /// Its status.
    pub status: Status,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The beginning of its body: what arrived within
    /// [`handshake_timeout`](crate::Config::handshake_timeout) of the first 4 KiB.
    pub body: Vec<u8>,
}

impl Refusal {
    /// The value of the first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        header(&self.headers, name)
    }

    /// Where a redirect leads, as the server has written it: perhaps a path alone. It is not followed.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        std::str::from_utf8(self.header("Location")?).ok()
    }

    /// The body as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl fmt::Debug for Refusal {
    /// Headers by name: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.headers.iter().map(|(name, _)| name);
        f.debug_struct("Refusal")
            .field("failed", &self.failed)
            .field("status", &self.status)
            .field("headers", &names.collect::<Vec<_>>())
            .field("body", &self.text())
            .finish()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failed.fmt(f)
    }
}

impl std::error::Error for Refusal {}

/// Where a response's body ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Bytes(usize),
    Chunked,
    UntilClose,
}

impl Extent {
    fn of(response: &ResponseHead<'_>) -> Self {
        let headers = response.headers();
        if matches!(response.status().0, 100..200 | 204 | 304) {
            return Self::Bytes(0);
        }
        if let Some(last) = headers.list("Transfer-Encoding").last() {
            return match last.eq_ignore_ascii_case(b"chunked") {
                true => Self::Chunked,
                false => Self::UntilClose,
            };
        }
        let len = headers.first("Content-Length").map(std::str::from_utf8);
        match len.map(|len| len.unwrap_or_default().parse()) {
            Some(Ok(len)) => Self::Bytes(len),
            _ => Self::UntilClose,
        }
    }
}

/// A refusal whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Unread {
    refusal: Refusal,
    extent: Extent,
}

impl Unread {
    /// `rest`: what was read behind the head.
    pub(crate) fn new(
        failed: UpgradeFailed,
        response: &ResponseHead<'_>,
        headers: Vec<(String, Vec<u8>)>,
        rest: &[u8],
    ) -> Self {
        let refusal = Refusal {
            failed,
            status: response.status(),
            headers,
            body: rest[..rest.len().min(BODY_BYTES_MAX)].to_vec(),
        };
        Self {
            refusal,
            extent: Extent::of(response),
        }
    }

    fn is_whole(&self) -> bool {
        let body = &self.refusal.body;
        body.len() >= BODY_BYTES_MAX
            || match self.extent {
                Extent::Bytes(len) => body.len() >= len,
                Extent::Chunked => dechunk(body).1,
                Extent::UntilClose => false,
            }
    }

    /// Reads until the body is whole, long enough, or broken off. What was read stays if this is dropped.
    pub(crate) async fn read<S: AsyncRead + Unpin>(&mut self, io: &mut S) {
        while !self.is_whole() {
            let body = &mut self.refusal.body;
            let room = (BODY_BYTES_MAX - body.len()) as u64;
            match (&mut *io).take(room).read_buf(body).await {
                Ok(0) | Err(_) => return, // it is about the refusal, not about how its body ends
                Ok(_) => {}
            }
        }
    }

    /// What there is of it.
    pub(crate) fn finish(self) -> Box<Refusal> {
        let Self {
            mut refusal,
            extent,
        } = self;
        match extent {
            Extent::Bytes(len) => refusal.body.truncate(len),
            Extent::Chunked => refusal.body = dechunk(&refusal.body).0,
            Extent::UntilClose => {}
        }
        Box::new(refusal)
    }
}

/// The data of the chunks at the start of `raw` (RFC 9112 §7.1), and whether nothing more is to be had: the last chunk is
/// there, or something that is no chunk.
fn dechunk(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    while let Some(feed) = raw.iter().position(|&b| b == b'\n') {
        let line = raw[..feed].split(|&b| b == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(line.trim_ascii()).unwrap_or_default();
        let Ok(size @ 1..) = usize::from_str_radix(size, 16) else {
            return (data, true);
        };
        raw = &raw[feed + 1..];
        let (chunk, behind) = raw.split_at(size.min(raw.len()));
        data.extend_from_slice(chunk);
        raw = match behind {
            [b'\r', b'\n', next @ ..] => next,
            [] | [b'\r'] => return (data, false),
            _ => return (data, true),
        };
    }
    (data, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_however_far_they_have_come() {
        let raw = b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n";
        for len in 0..=raw.len() {
            let (data, is_whole) = dechunk(&raw[..len]);
            assert!(b"abc0123456789".starts_with(&data), "{len}");
            assert_eq!(is_whole, len >= raw.len() - 2, "{len}");
        }
        assert_eq!(dechunk(raw).0, b"abc0123456789");
    }

    #[test]
    fn what_is_no_chunk_ends_the_body() {
        for raw in [
            &b"x\r\n"[..],
            b"\r\n",
            b"-1\r\nab",
            b"fffffffffffffffff\r\nab",
            b"\xff\r\n",
        ] {
            assert_eq!(dechunk(raw), (Vec::new(), true), "{raw:?}");
        }
        assert_eq!(dechunk(b"1\r\nabc"), (b"a".to_vec(), true));
        let largest = format!("{:x}\r\nab", usize::MAX);
        assert_eq!(dechunk(largest.as_bytes()), (b"ab".to_vec(), false));
    }
}
