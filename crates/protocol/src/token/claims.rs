//! What a token says. In: nothing. Out: values that own their bytes.
//!
//! Never: knows how a token is written.

use std::collections::BTreeMap;

use bytes::Bytes;
use fanfare_hub::{ChannelOptions, Time};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A connection.
    Connection,
    /// A subscription.
    Subscription,
}

/// What a verified token says. A claim that the other kind has is left as it is by default.
///
/// Every `Bytes` is JSON without raw newlines: it may stand in a frame as it is.
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
    /// `channel`, of a subscription token, where it is never empty.
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

    /// What the token is for: one that names a channel is for a subscription.
    #[must_use]
    pub const fn kind(&self) -> TokenKind {
        if self.channel.is_empty() {
            TokenKind::Connection
        } else {
            TokenKind::Subscription
        }
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

impl Overrides {
    /// The options of a namespace, with these changes.
    #[must_use]
    pub fn applied_to(self, options: &ChannelOptions) -> ChannelOptions {
        let mut changed = options.clone();
        let Self {
            presence,
            join_leave,
            force_push_join_leave,
            force_recovery,
            force_positioning,
        } = self;
        for (option, value) in [
            (&mut changed.presence, presence),
            (&mut changed.join_leave, join_leave),
            (&mut changed.force_push_join_leave, force_push_join_leave),
            (&mut changed.force_recovery, force_recovery),
            (&mut changed.force_positioning, force_positioning),
        ] {
            *option = value.unwrap_or(*option);
        }
        changed
    }
}
