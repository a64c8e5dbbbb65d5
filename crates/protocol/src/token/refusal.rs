//! Why a token is not taken. In: nothing. Out: what a session acts on, and what an operator reads.
//!
//! Never: tells a client more than that its token has expired or is not valid.

use std::fmt;

/// Why a token is not taken, as far as a client may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// Its time is over: a client brings another.
    Expired,
    /// Not a token, not signed with a known key and the configured algorithm, not yet valid, for another
    /// audience, or of another issuer.
    Invalid,
    /// It can't be verified now.
    Unavailable,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the token has expired",
            Self::Invalid => "the token is not valid",
            Self::Unavailable => "the token can't be verified now",
        })
    }
}

impl std::error::Error for TokenError {}

/// Why a token is not taken, for an operator's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than [`TOKEN_BYTES_MAX`](crate::limits::TOKEN_BYTES_MAX).
    TooLong,
    /// Not three parts in base64, or no header.
    Malformed,
    /// Its header has a `crit`: it means something that nobody here knows (RFC 7515 §4.1.11).
    Critical,
    /// Another algorithm than the configured ones, `none` among them, or not the one of its key.
    Algorithm,
    /// It names a key that is not known, or none where there are several.
    UnknownKey,
    /// Signed by somebody else.
    Signature,
    /// Its claims are no JSON object, or one of them has another type than it should.
    Claims,
    /// It is for another audience.
    Audience,
    /// Of another issuer.
    Issuer,
    /// `nbf` is in the future.
    NotYet,
    /// A subscription's for a connection, or the other way round (RFC 8725 §3.12).
    Kind,
    /// `exp` is past, and everything else is right.
    Expired,
}

impl From<Refusal> for TokenError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Expired => Self::Expired,
            _ => Self::Invalid,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "it is too long",
            Self::Malformed => "it is not a JWT",
            Self::Critical => "its header has a `crit`",
            Self::Algorithm => "its algorithm is not the configured one",
            Self::UnknownKey => "its key is not known",
            Self::Signature => "its signature is not of its key",
            Self::Claims => "its claims make no sense",
            Self::Audience => "it is for another audience",
            Self::Issuer => "it is of another issuer",
            Self::NotYet => "it is not valid yet",
            Self::Kind => "it is for something else",
            Self::Expired => "it has expired",
        })
    }
}

impl std::error::Error for Refusal {}
