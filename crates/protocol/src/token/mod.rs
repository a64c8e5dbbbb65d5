//! Who a client is, as a JWT says (RFC 7519, 8725). In: a token, keys, the time. Out: its claims.
//!
//! Never: takes the algorithm from the token; reads a clock; fetches a key.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use fanfare_hub::Time;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A connection.
    Connection,
    /// A subscription.
    Subscription,
}

/// What a verified token says. A claim that the other kind has is left as it is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `sub`; empty: anonymous.
    pub user: String,
    /// `exp`: from then on the token is not taken, and what it opened ends.
    pub expires_at: Option<Time>,
    /// `expire_at`: what it opened ends then instead; `Some(None)`: never (a value of 0).
    pub expire_at: Option<Option<Time>>,
    /// `info` or `b64info`: what others learn of the client.
    pub info: Option<Bytes>,
    /// `meta`: for the backend alone.
    pub meta: Option<Bytes>,
    /// `channels`: server-side subscriptions.
    pub channels: Vec<String>,
    /// `subs`: the same with options.
    pub subs: BTreeMap<String, Grant>,
    /// `channel`, of a subscription token.
    pub channel: String,
    /// `client`, of a subscription token: only for that one.
    pub client: Option<String>,
    /// `override`, of a subscription token.
    pub options: Overrides,
}

impl Claims {
    /// When what the token opens ends.
    #[must_use]
    pub fn ends_at(&self) -> Option<Time> {
        self.expire_at.unwrap_or(self.expires_at)
    }
}

/// A subscription that a token or the backend gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// What others learn of the client in this channel.
    pub info: Option<Bytes>,
    /// For the client.
    pub data: Option<Bytes>,
    /// What it changes of the namespace's options.
    pub options: Overrides,
}

/// What a token or the backend changes of a namespace's options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The client is listed in presence.
    pub presence: Option<bool>,
    /// Others are told when it comes and goes.
    pub join_leave: Option<bool>,
    /// It is told of others.
    pub force_push_join_leave: Option<bool>,
    /// It may recover.
    pub force_recovery: Option<bool>,
    /// It is positioned.
    pub force_positioning: Option<bool>,
}

/// Why a token is not taken.
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
