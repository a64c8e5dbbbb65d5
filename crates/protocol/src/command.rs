//! What a client asks. In: nothing. Out: values that own their bytes.
//!
//! Never: says whether the client may.

use std::collections::HashMap;

use bytes::Bytes;
use fanfare_hub::Since;

/// One command of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The reply carries it. 0: no reply is wanted ([`Method::Send`]), or it is a [`Method::Pong`].
    pub id: u32,
    /// What.
    pub method: Method,
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// The first command of a session, and no other.
    Connect(Box<Connect>),
    /// A subscription.
    Subscribe(Box<Subscribe>),
    /// Its end.
    Unsubscribe {
        /// Of which channel.
        channel: String,
    },
    /// A publication.
    Publish(Publish),
    /// Who is there.
    Presence {
        /// In which channel.
        channel: String,
    },
    /// How many are there.
    PresenceStats {
        /// In which channel.
        channel: String,
    },
    /// Publications of the past.
    History(History),
    /// A new connection token.
    Refresh(Refresh),
    /// A new subscription token.
    SubRefresh(SubRefresh),
    /// A call of the operator's backend.
    Rpc(Rpc),
    /// A message for the operator's backend that nobody answers.
    Send {
        /// JSON on the JSON wire, else any bytes.
        data: Bytes,
    },
    /// The answer to a ping: an object without an id, and without a method that anybody knows.
    Pong,
    /// An object with an id and no method, or one that nobody knows.
    Unknown,
}

impl Method {
    /// What an object without a method asks for.
    pub(crate) const fn missing(id: u32) -> Self {
        if id == 0 { Self::Pong } else { Self::Unknown }
    }
}

/// `connect`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connect {
    /// A JWT; empty: none.
    pub token: String,
    /// For the operator's backend.
    pub data: Bytes,
    /// The client's name and version, as it says.
    pub name: String,
    /// See `name`.
    pub version: String,
    /// Headers that a browser could not send in its upgrade: for the operator's backend.
    pub headers: HashMap<String, String>,
    /// Where it was in server-side subscriptions, by channel.
    pub subs: HashMap<String, Subscribe>,
}

/// `subscribe`, or a server-side subscription that a client had.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscribe {
    /// The channel; in [`Connect::subs`] empty, the key says it.
    pub channel: String,
    /// A subscription JWT; empty: none.
    pub token: String,
    /// For the operator's backend.
    pub data: Bytes,
    /// It wants what it has missed since `since`.
    pub recover: bool,
    /// Where it was: `offset` and `epoch`.
    pub since: Position,
    /// It wants to be told of holes.
    pub positioned: bool,
    /// It wants to be able to recover.
    pub recoverable: bool,
    /// It wants to be told who comes and goes.
    pub join_leave: bool,
    /// Bit 1 (value 2): refuse with error 112 what can't be recovered.
    pub flag: u64,
}

/// A position as it is on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last offset that the client has.
    pub offset: u64,
    /// The epoch that it knows; empty: any.
    pub epoch: String,
}

impl From<&Position> for Since {
    fn from(position: &Position) -> Self {
        Self {
            offset: position.offset,
            epoch: fanfare_hub::Epoch::parse(&position.epoch),
        }
    }
}

/// `publish`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publish {
    /// Where.
    pub channel: String,
    /// JSON on the JSON wire, else any bytes.
    pub data: Bytes,
}

/// `history`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Of which channel.
    pub channel: String,
    /// At most so many; 0: the position alone. Negative: as many as one answer holds.
    pub limit: i32,
    /// Only what comes after it, or before it with `reverse`.
    pub since: Option<Position>,
    /// From the latest to the oldest.
    pub reverse: bool,
}

/// `refresh`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refresh {
    /// A connection JWT.
    pub token: String,
}

/// `sub_refresh`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubRefresh {
    /// Of which subscription.
    pub channel: String,
    /// A subscription JWT.
    pub token: String,
}

/// `rpc`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rpc {
    /// The backend knows what that is.
    pub method: String,
    /// JSON on the JSON wire, else any bytes.
    pub data: Bytes,
}
