//! What a client is told. In: values that borrow. Out: the same, for an encoder.
//!
//! Never: knows how it is written.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_hub::{ClientInfo, PresenceStats, Publication};

use crate::codes::{ClientError, Unsubscribed};

/// A wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JSON objects joined by newlines, in text frames.
    Json,
    /// Protobuf messages, each behind its length as a varint, in binary frames.
    Protobuf,
}

/// An answer to a command.
#[derive(Clone, Debug)]
pub struct Reply<'m> {
    /// The command's.
    pub id: u32,
    /// What came of it.
    pub outcome: Result<Outcome<'m>, &'m ClientError>,
}

/// What came of a command.
#[derive(Clone, Debug)]
pub enum Outcome<'m> {
    /// A session.
    Connect(ConnectResult<'m>),
    /// A subscription.
    Subscribe(SubscriptionResult<'m>),
    /// Its end.
    Unsubscribe,
    /// A publication.
    Publish,
    /// Who is there.
    Presence(&'m [Arc<ClientInfo>]),
    /// How many are there.
    PresenceStats(PresenceStats),
    /// Publications, and where the stream stands.
    History {
        /// In the order that was asked for.
        publications: &'m [Arc<Publication>],
        /// Its top.
        position: Option<fanfare_hub::Position>,
    },
    /// When the session ends now.
    Refresh {
        /// Required.
        client: &'m str,
        /// The server's.
        version: &'m str,
        /// When.
        expiry: Expiry,
    },
    /// When the subscription ends now.
    SubRefresh(Expiry),
    /// What the backend said.
    Rpc {
        /// JSON on the JSON wire.
        data: &'m Bytes,
    },
}

/// Whether something ends, and in how many seconds: `expires` and `ttl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry(
    /// Seconds from now; none: it does not expire.
    pub Option<u32>,
);

/// What a client learns when it connects.
#[derive(Clone, Debug)]
pub struct ConnectResult<'m> {
    /// Its id.
    pub client: &'m str,
    /// The server's.
    pub version: &'m str,
    /// When the session ends.
    pub expiry: Expiry,
    /// What the backend says; empty: nothing.
    pub data: &'m Bytes,
    /// Server-side subscriptions.
    pub subs: &'m [Subscription],
    /// Seconds between pings; 0: none.
    pub ping: u32,
    /// Whether it is to answer them.
    pub pong: bool,
    /// The same for all subscriptions of one session.
    pub session: &'m str,
    /// The server's name.
    pub node: &'m str,
    /// Milliseconds since the Unix epoch.
    pub time: u64,
}

/// A server-side subscription, as [`ConnectResult::subs`] has it.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// To which channel.
    pub channel: fanfare_hub::Channel,
    /// What it may.
    pub terms: crate::session::Terms,
    /// Where it starts: in front of the publications if it recovered.
    pub position: Option<fanfare_hub::Position>,
    /// Whether it asked for the past.
    pub was_recovering: bool,
    /// Whether it got all of it.
    pub recovered: bool,
    /// What it has missed, in order.
    pub publications: Vec<Arc<Publication>>,
    /// When it ends.
    pub expiry: Expiry,
    /// What the backend says of it; empty: nothing.
    pub data: Bytes,
}

/// What a subscriber learns first.
#[derive(Clone, Debug)]
pub struct SubscriptionResult<'m>(
    /// The channel in it is not written.
    pub &'m Subscription,
);

/// News without a command.
#[derive(Clone, Debug)]
pub enum Push<'m> {
    /// Of a channel.
    Publication {
        /// Which.
        channel: &'m str,
        /// What.
        publication: &'m Publication,
    },
    /// Somebody came.
    Join {
        /// Where.
        channel: &'m str,
        /// Who.
        info: &'m ClientInfo,
    },
    /// Somebody left.
    Leave {
        /// Where.
        channel: &'m str,
        /// Who.
        info: &'m ClientInfo,
    },
    /// A subscription has ended.
    Unsubscribe {
        /// To which channel.
        channel: &'m str,
        /// Why.
        why: &'m Unsubscribed,
    },
    /// A server-side subscription has begun.
    Subscribe(SubscriptionResult<'m>),
    /// A message of the backend.
    Message {
        /// JSON on the JSON wire.
        data: &'m Bytes,
    },
    /// The session ends at another time than it knew.
    Refresh(Expiry),
}
