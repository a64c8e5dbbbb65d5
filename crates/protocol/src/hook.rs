//! What the operator's backend is asked, and what it says. In: nothing. Out: values.
//!
//! Never: knows HTTP.

use std::collections::BTreeMap;
use std::collections::HashMap;

use bytes::Bytes;
use fanfare_hub::{Channel, Time};

use crate::codes::{ClientError, Disconnect};
use crate::message::Encoding;
use crate::token::{Grant, Overrides};

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
    /// A subscription's time runs out: may it stay?
    SubRefresh {
        /// To which channel.
        channel: Channel,
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

/// What the backend answered.
#[derive(Clone, Debug)]
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
    /// connect, refresh, subscribe, sub_refresh: when it ends; none: never.
    pub expire_at: Option<Time>,
    /// refresh, sub_refresh: it ends now.
    pub expired: bool,
    /// connect, refresh, subscribe: what others learn of it.
    pub info: Option<Bytes>,
    /// connect, subscribe, rpc: for the client; publish: in the place of what it published.
    pub data: Option<Bytes>,
    /// connect: for the backend alone.
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
