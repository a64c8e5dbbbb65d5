//! The Centrifuge client protocol v2, the part of it that a subscriber and a publisher need. In: what a
//! server sends. Out: what it says, borrowed; and the bytes of commands.
//!
//! Written for this tool alone: one that took the server's own decoder would find its errors right. The
//! way of a publication is a scan that builds no tree and allocates nothing, by hand in both encodings: a
//! run receives them by the hundred thousand a second, and all else is rare.
//!
//! Never: knows a connection, a position or what is owed.

mod command;
mod json;
mod objects;
mod protobuf;
mod scan;
#[cfg(test)]
mod tests;

use fanfare_codec::MessageKind;

pub(crate) use command::{Recovery, connect, pong, publish_head, publish_tail, subscribe};
pub(crate) use objects::{Objects, Partial};

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Text messages of objects, with a newline between two.
    Json,
    /// Binary messages of objects, each behind its length.
    Protobuf,
}

/// One object of a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'m> {
    /// An empty one: a ping.
    Ping,
    /// A publication in a channel.
    Publication {
        channel: &'m [u8],
        publication: Publication<'m>,
    },
    /// The end of a subscription.
    Unsubscribe {
        channel: &'m [u8],
        code: u32,
        reason: String,
    },
    /// Another push.
    Push,
    /// The answer to a command.
    Reply { id: u32, outcome: Outcome<'m> },
}

/// What was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Publication<'m> {
    /// In JSON a value as it stands.
    pub(crate) data: &'m [u8],
    /// 0: none.
    pub(crate) offset: u64,
}

/// What became of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome<'m> {
    /// Of `connect`; `wants_pongs`: pings are to be answered.
    Connected { wants_pongs: bool },
    /// Of `subscribe`.
    Subscribed(Subscribed<'m>),
    /// Of another.
    Done,
    /// An error.
    Refused { code: u32, message: String },
}

/// A subscription that stands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscribed<'m> {
    pub(crate) is_positioned: bool,
    pub(crate) is_recoverable: bool,
    pub(crate) has_recovered: bool,
    pub(crate) epoch: Box<str>,
    pub(crate) offset: u64,
    /// What was recovered.
    pub(crate) past: Past<'m>,
}

/// Publications in the answer to a `subscribe`, not looked at yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Past<'m> {
    #[default]
    None,
    /// An array as it stands.
    Json(&'m [u8]),
    /// The whole result.
    Protobuf(&'m [u8]),
}

impl Encoding {
    /// The kind of all messages.
    #[inline]
    pub(crate) const fn kind(self) -> MessageKind {
        match self {
            Self::Json => MessageKind::Text,
            Self::Protobuf => MessageKind::Binary,
        }
    }

    /// The subprotocol that asks for it, if one must.
    pub(crate) const fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Json => None,
            Self::Protobuf => Some("centrifuge-protobuf"),
        }
    }

    /// What an object says; `None` if it is none that a server may send.
    #[inline]
    pub(crate) fn decode(self, object: &[u8]) -> Option<Incoming<'_>> {
        match self {
            Self::Json => json::decode(object),
            Self::Protobuf => protobuf::decode(object),
        }
    }
}

impl<'m> Past<'m> {
    /// Hands on each publication, in order; whether all of them were whole.
    pub(crate) fn each(self, each: impl FnMut(Publication<'m>)) -> bool {
        match self {
            Self::None => Some(()),
            Self::Json(array) => json::past(array, each),
            Self::Protobuf(result) => protobuf::past(result, each),
        }
        .is_some()
    }
}
