//! What the backend says in front of an upgrade. In: its answer to the connect call. Out: what the client gets.
//!
//! Never: hands on a header that is not meant for the client, or a body.

use fanfare_codec::handshake::Status;
use fanfare_protocol::hook::HookAnswer;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{HeaderName, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};

use super::Failure;
use crate::limits::HOOK_HEADERS_BYTES_MAX;

/// What comes of a request to upgrade.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whether it is let in.
    pub(crate) decision: Decision,
    /// Headers of the answer to the client, 101 or not: valid names and values.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// Whether a client is let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The backend says so in JSON, or refuses in JSON.
    Answered(HookAnswer),
    /// It refuses with this status (401, 403), or sends the client elsewhere (301, 302, 303, 307, 308, with a
    /// `Location` among the headers).
    Refused(Status),
}

impl Entry {
    /// `parse` reads the body of a 200.
    pub(super) fn from_answer(
        status: StatusCode,
        headers: &HeaderMap,
        parse: impl FnOnce() -> Result<HookAnswer, Failure>,
    ) -> Result<Self, Failure> {
        let mut handed_on = HandedOn::default();
        let decision = match status.as_u16() {
            200 => Decision::Answered(parse()?),
            code @ (401 | 403) => {
                handed_on.take("WWW-Authenticate", &WWW_AUTHENTICATE, headers)?;
                Decision::Refused(Status(code))
            }
            code @ (301 | 302 | 303 | 307 | 308) if headers.contains_key(LOCATION) => {
                handed_on.take("Location", &LOCATION, headers)?;
                Decision::Refused(Status(code))
            }
            code => return Err(Failure::Status(code)),
        };
        handed_on.take("Set-Cookie", &SET_COOKIE, headers)?;
        Ok(Self {
            decision,
            headers: handed_on.headers,
        })
    }
}

/// Headers for the client.
#[derive(Default)]
struct HandedOn {
    headers: Vec<(&'static str, String)>,
    bytes: usize,
}

impl HandedOn {
    fn take(
        &mut self,
        name: &'static str,
        key: &HeaderName,
        headers: &HeaderMap,
    ) -> Result<(), Failure> {
        for value in headers.get_all(key) {
            let value = str::from_utf8(value.as_bytes()).map_err(|_| Failure::Header(name))?;
            self.bytes += name.len() + value.len();
            if self.bytes > HOOK_HEADERS_BYTES_MAX {
                return Err(Failure::Header(name));
            }
            self.headers.push((name, value.to_owned()));
        }
        Ok(())
    }
}
