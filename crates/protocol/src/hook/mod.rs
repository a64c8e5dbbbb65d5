//! What the operator's backend is asked, and what it says: `request.rs` writes the one as JSON, `answer.rs`
//! reads the other. In: values, or the bytes of an answer. Out: the bytes of a request, or values.
//!
//! Never: knows HTTP.

mod answer;
mod request;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use fanfare_hub::{Channel, Time};

use crate::codes::{ClientError, Disconnect};
use crate::message::Encoding;
use crate::token::{Grant, Overrides};

pub use answer::BadAnswer;

/// Something that the backend is asked about.
#[derive(Clone, Debug)]
pub struct HookCall {
    /// The client's id.
    pub client: String,
    /// Its user; empty: anonymous, or not known yet.
    pub user: String,
    /// Its wire; none: `/raw`.
    pub encoding: Option<Encoding>,
    /// `meta` of its token, or of the backend's own answer to connect.
    pub meta: Option<Bytes>,
    /// What about.
    pub event: HookEvent,
}

/// What the backend is asked about.
#[derive(Clone, Debug)]
pub enum HookEvent {
    /// May it connect, and who is it?
    Connect {
        /// The client's.
        data: Bytes,
        /// See `version`.
        name: String,
        /// The client's own.
        version: String,
        /// Headers in the place of those that a browser could not send.
        headers: HashMap<String, String>,
        /// Server-side subscriptions that it had.
        channels: Vec<String>,
    },
    /// Its time runs out: may it stay?
    Refresh,
    /// May it subscribe?
    Subscribe {
        /// To which channel.
        channel: Channel,
        /// The client's.
        data: Bytes,
    },
    /// May it publish?
    Publish {
        /// Where.
        channel: Channel,
        /// What.
        data: Bytes,
    },
    /// A call.
    Rpc {
        /// Which.
        method: String,
        /// The client's.
        data: Bytes,
    },
}

/// What kind of thing the backend is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookKind {
    /// [`HookEvent::Connect`].
    Connect,
    /// [`HookEvent::Refresh`].
    Refresh,
    /// [`HookEvent::Subscribe`].
    Subscribe,
    /// [`HookEvent::Publish`].
    Publish,
    /// [`HookEvent::Rpc`].
    Rpc,
}

impl HookKind {
    /// Every kind; each stands at its own number.
    pub const ALL: [Self; 5] = [
        Self::Connect,
        Self::Refresh,
        Self::Subscribe,
        Self::Publish,
        Self::Rpc,
    ];
}

impl fmt::Display for HookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Rpc => "rpc",
        })
    }
}

impl HookEvent {
    /// What kind of thing it is.
    #[must_use]
    pub const fn kind(&self) -> HookKind {
        match self {
            Self::Connect { .. } => HookKind::Connect,
            Self::Refresh => HookKind::Refresh,
            Self::Subscribe { .. } => HookKind::Subscribe,
            Self::Publish { .. } => HookKind::Publish,
            Self::Rpc { .. } => HookKind::Rpc,
        }
    }
}

/// What the backend answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookAnswer {
    /// Yes, and so.
    Granted(Granted),
    /// The client's command gets this error.
    Error(ClientError),
    /// The client is closed.
    Disconnect(Disconnect),
}

/// What the backend grants; what does not belong to what it was asked is left as it is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// connect: who it is.
    pub user: String,
    /// connect, refresh, subscribe: when it ends; none: never.
    pub expire_at: Option<Time>,
    /// refresh: it ends now.
    pub expired: bool,
    /// All but publish and rpc: what others learn of it. JSON without raw newlines.
    pub info: Option<Bytes>,
    /// connect, subscribe, rpc: for the client; publish: in the place of what it published. JSON without raw
    /// newlines; to a client that speaks Protobuf it may be anything.
    pub data: Option<Bytes>,
    /// connect: for the backend alone. JSON.
    pub meta: Option<Bytes>,
    /// connect: server-side subscriptions.
    pub channels: Vec<String>,
    /// connect: the same with options.
    pub subs: BTreeMap<String, Grant>,
    /// subscribe: what it changes of the namespace's options.
    pub options: Overrides,
    /// publish: no history.
    pub skip_history: bool,
}

/// The backend could not be asked, did not answer in time, or answered what makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookFailed;
