//! Why a request comes to nothing. In: whose fault it is. Out: a status with one line of text, or an error
//! of the API, which is an answer like any other (PROTOCOL.md, "Server HTTP API").
//!
//! Never: tells more of the daemon than the caller needs.

use std::fmt::{self, Display};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fanfare_hub::{Busy, ChannelError, EngineError, UnknownNamespace};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::limits::REFUSAL_BYTES_MAX;

/// A request that reaches no method of the API.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The caller's: nothing is there.
    NotFound,
    /// The caller's: what is there takes other methods.
    NotAllowed { allow: &'static str },
    /// The caller's: no key, or none that counts.
    Unauthorized,
    /// A page's that may not connect.
    ForeignPage,
    /// The caller's: the body is not what the method takes.
    Malformed(String),
    /// The caller's, or the network's: the body ends early.
    Cut,
    /// The caller's: the body took longer than [`BODY_TIME_MAX`](crate::limits::BODY_TIME_MAX).
    TooSlow,
    /// The caller's: the body is larger than `api.max_body_bytes`.
    TooLarge { bytes_max: usize },
    /// Nobody's: too many bodies are under way.
    Full,
    /// Ours: the call took longer than [`CALL_TIME_MAX`](crate::limits::CALL_TIME_MAX).
    Unanswered,
    /// Nobody's: the daemon stops.
    Stopping,
    /// Nobody's: the daemon begins.
    Starting,
    /// Ours: the engine does not answer.
    NoEngine,
}

impl Refusal {
    /// A body that is not what the method takes, in one line: `why` may quote the body.
    pub(super) fn malformed(why: &dyn Display) -> Self {
        let mut line = String::new();
        for c in why.to_string().chars() {
            if line.len() + c.len_utf8() > REFUSAL_BYTES_MAX {
                line.push('…');
                break;
            }
            line.push(if c.is_control() { ' ' } else { c });
        }
        Self::Malformed(line)
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::NotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ForeignPage => StatusCode::FORBIDDEN,
            Self::Malformed(_) | Self::Cut => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full | Self::Unanswered | Self::Stopping | Self::Starting | Self::NoEngine => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// A header that says more.
    fn header(&self) -> Option<(header::HeaderName, HeaderValue)> {
        let (name, value) = match self {
            Self::NotAllowed { allow } => (header::ALLOW, *allow),
            Self::Unauthorized => (header::WWW_AUTHENTICATE, "apikey"),
            // Not of what may be done already: to repeat it would do it twice.
            Self::Full => (header::RETRY_AFTER, "1"),
            // The rest of the body is not read.
            Self::TooSlow | Self::TooLarge { .. } => (header::CONNECTION, "close"),
            _ => return None,
        };
        Some((name, HeaderValue::from_static(value)))
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is nothing here"),
            Self::NotAllowed { allow } => write!(f, "this answers {allow} only"),
            Self::Unauthorized => {
                f.write_str("an API key is needed: X-API-Key, or Authorization: apikey")
            }
            Self::ForeignPage => f.write_str("pages of this origin may not connect"),
            Self::Malformed(why) => f.write_str(why),
            Self::Cut => f.write_str("the body ends early"),
            Self::TooSlow => f.write_str("the body took too long"),
            Self::TooLarge { bytes_max } => {
                write!(f, "the body is larger than {bytes_max} bytes")
            }
            Self::Full => f.write_str("too many requests are under way"),
            Self::Unanswered => f.write_str("the answer took too long"),
            Self::Stopping => f.write_str("the server stops"),
            Self::Starting => f.write_str("the server does not listen yet"),
            Self::NoEngine => f.write_str("the engine does not answer"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("{self}\n")).into_response();
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// An error of the API: 200, with a code of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// Ours, for now: the engine can't be reached or does not answer.
    Internal,
    /// The caller's: the config does not know the channel's namespace.
    UnknownChannel,
    /// The caller's: more than a limit allows.
    LimitExceeded,
    /// The caller's: well-formed, and means nothing.
    BadRequest(String),
    /// The caller's: the channel's namespace has no such thing.
    NotAvailable,
    /// Nobody's: try again.
    TooManyRequests,
    /// The caller's: its position is of another epoch, or ahead of the stream.
    UnrecoverablePosition,
}

impl ApiError {
    /// What is wrong with `field`.
    pub(super) fn bad_request(field: &str, why: impl Display) -> Self {
        Self::BadRequest(format!("{field}: {why}"))
    }

    /// PROTOCOL.md, "Codes".
    pub(super) const fn code(&self) -> u32 {
        match self {
            Self::Internal => 100,
            Self::UnknownChannel => 102,
            Self::LimitExceeded => 106,
            Self::BadRequest(_) => 107,
            Self::NotAvailable => 108,
            Self::TooManyRequests => 111,
            Self::UnrecoverablePosition => 112,
        }
    }
}

impl Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internal => f.write_str("internal server error"),
            Self::UnknownChannel => f.write_str("unknown channel"),
            Self::LimitExceeded => f.write_str("limit exceeded"),
            Self::BadRequest(why) => write!(f, "bad request: {why}"),
            Self::NotAvailable => f.write_str("not available"),
            Self::TooManyRequests => f.write_str("too many requests"),
            Self::UnrecoverablePosition => f.write_str("unrecoverable position"),
        }
    }
}

impl Serialize for ApiError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut error = serializer.serialize_struct("Error", 2)?;
        error.serialize_field("code", &self.code())?;
        error.serialize_field("message", &self.to_string())?;
        error.end()
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::LimitReached | EngineError::TooLarge => Self::LimitExceeded,
            EngineError::UnrecoverablePosition => Self::UnrecoverablePosition,
            EngineError::Overloaded => Self::TooManyRequests,
            _ => Self::Internal,
        }
    }
}

impl From<Busy> for ApiError {
    fn from(Busy: Busy) -> Self {
        Self::TooManyRequests
    }
}

impl From<ChannelError> for ApiError {
    fn from(error: ChannelError) -> Self {
        Self::bad_request("channel", error)
    }
}

impl From<UnknownNamespace> for ApiError {
    fn from(UnknownNamespace: UnknownNamespace) -> Self {
        Self::UnknownChannel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_engine_has_a_code() {
        let cases = [
            (
                ApiError::from(EngineError::LimitReached),
                106,
                "limit exceeded",
            ),
            (EngineError::TooLarge.into(), 106, "limit exceeded"),
            (
                EngineError::UnrecoverablePosition.into(),
                112,
                "unrecoverable position",
            ),
            (EngineError::Overloaded.into(), 111, "too many requests"),
            (
                EngineError::Unavailable.into(),
                100,
                "internal server error",
            ),
            (Busy.into(), 111, "too many requests"),
            (UnknownNamespace.into(), 102, "unknown channel"),
            (
                ChannelError::Empty.into(),
                107,
                "bad request: channel: a channel name has at least one character",
            ),
            (ApiError::NotAvailable, 108, "not available"),
        ];
        for (error, code, message) in cases {
            let expected = serde_json::json!({"code": code, "message": message});
            assert_eq!(serde_json::to_value(&error).unwrap(), expected, "{error:?}");
        }
    }

    #[test]
    fn each_refusal_has_a_status_and_one_line() {
        let cases = [
            (Refusal::NotFound, 404, None),
            (
                Refusal::NotAllowed { allow: "POST" },
                405,
                Some(("allow", "POST")),
            ),
            (
                Refusal::Unauthorized,
                401,
                Some(("www-authenticate", "apikey")),
            ),
            (Refusal::ForeignPage, 403, None),
            (Refusal::malformed(&"no"), 400, None),
            (Refusal::Cut, 400, None),
            (Refusal::TooSlow, 408, Some(("connection", "close"))),
            (
                Refusal::TooLarge { bytes_max: 1 },
                413,
                Some(("connection", "close")),
            ),
            (Refusal::Full, 503, Some(("retry-after", "1"))),
            (Refusal::Unanswered, 503, None),
            (Refusal::Stopping, 503, None),
            (Refusal::Starting, 503, None),
            (Refusal::NoEngine, 503, None),
        ];
        for (refusal, status, header) in cases {
            let line = refusal.to_string();
            assert!(!line.is_empty() && !line.contains('\n'), "{line}");
            let response = refusal.into_response();
            assert_eq!(response.status().as_u16(), status, "{line}");
            if let Some((name, value)) = header {
                assert_eq!(response.headers()[name], value, "{line}");
            }
        }
    }

    #[test]
    fn a_quoted_body_stays_in_one_short_line() {
        let Refusal::Malformed(line) = Refusal::malformed(&"unknown field `a\r\nb\u{7f}`") else {
            unreachable!()
        };
        assert_eq!(line, "unknown field `a  b `");
        let Refusal::Malformed(line) = Refusal::malformed(&"é".repeat(REFUSAL_BYTES_MAX)) else {
            unreachable!()
        };
        assert_eq!(line, "é".repeat(REFUSAL_BYTES_MAX / 2) + "…");
    }
}
