//! What a session needs of its worker. In: nothing. Out: the seam.
//!
//! Never: blocks: what takes time is answered later, by its [`Number`].

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use fanfare_hub::{
    Busy, CatchUp, Channel, ChannelOptions, ClientInfo, Namespaces, OpenError, Request, Time,
};

use super::Terms;
use crate::hook::HookCall;
use crate::message::{Push, Reply};
use crate::token::TokenKind;

/// What of a session waits for an answer. The session draws it, and no two that wait have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Number(pub u32);

/// Whether a command was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// It is answered, or will be. The next may be given.
    Done,
    /// Not yet: give it again, and nothing else before it, once the session has been told an answer.
    NotYet,
}

/// Where a subscription stands in the worker's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The engine has been asked.
    Pending(Terms),
    /// It is told what is published.
    Live(Terms),
}

/// What a subscription is to be.
#[derive(Debug)]
pub struct Wish<'w> {
    /// To which channel.
    pub channel: &'w Channel,
    /// The options of its namespace, with what a token or the backend changed of them.
    pub options: &'w ChannelOptions,
    /// What was agreed. `terms.number` is what the answer carries.
    pub terms: Terms,
    /// What it wants of the past.
    pub catch_up: CatchUp,
    /// What presence says of it, if it is a member (`terms.is_member`).
    pub info: Arc<ClientInfo>,
}

/// What holds for a session now. A reload changes it between two calls.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    /// What channels may and keep.
    pub namespaces: &'r Namespaces,
    /// What clients may.
    pub client: &'r ClientSettings,
    /// The time of this turn.
    pub now: Time,
}

/// What an operator decides about clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// A client without credentials may connect, as an anonymous one.
    pub allow_anonymous: bool,
    /// Whether a token can be verified: keys are there.
    pub has_tokens: bool,
    /// Whether a connect without a token goes to the backend.
    pub has_connect_hook: bool,
    /// Whether a session of the backend's is refreshed there.
    pub has_refresh_hook: bool,
    /// Whether calls and messages go to the backend.
    pub has_rpc_hook: bool,
    /// Each user is subscribed to a channel of its own, in this namespace (empty: the default one).
    pub personal_namespace: Option<Box<str>>,
    /// Between two pings; none: none.
    pub ping_interval: Option<Duration>,
    /// How long a pong may take; none: none is asked for.
    pub pong_timeout: Option<Duration>,
    /// From the upgrade to connect.
    pub connect_timeout: Duration,
    /// From a token's end to the disconnect.
    pub expiry_grace: Duration,
    /// Commands a second; none: as many as it likes.
    pub commands_per_second_max: Option<NonZeroU32>,
    /// The largest payload of a publication.
    pub publication_bytes_max: usize,
}

/// A session's worker, for one turn.
pub trait Host {
    /// Where its subscription to `channel` stands; none: there is none.
    fn standing(&self, channel: &str) -> Option<Standing>;

    /// Whether subscribe hooks are set for the channel, or publish hooks.
    fn has_subscribe_hook(&self, channel: &Channel) -> bool;

    /// See [`has_subscribe_hook`](Self::has_subscribe_hook).
    fn has_publish_hook(&self, channel: &Channel) -> bool;

    /// Changes what was agreed of a subscription that stands.
    fn set_terms(&mut self, channel: &str, terms: Terms);

    /// Every subscription, in no order; the host's own order of calls is not changed by what `each` says.
    fn for_each(&self, each: &mut dyn FnMut(&Channel, Standing));

    /// Reserves a subscription and asks the engine. Its answer is
    /// [`Session::on_subscribed`](super::Session), or [`Session::on_answer`](super::Session) if it is an error.
    ///
    /// # Errors
    ///
    /// Nothing was done.
    fn subscribe(&mut self, wish: Wish<'_>) -> Result<(), NotSubscribed>;

    /// Ends a subscription, answered or not; false: there was none.
    fn unsubscribe(&mut self, channel: &str) -> bool;

    /// Asks the engine; [`Session::on_answer`](super::Session) comes later.
    ///
    /// # Errors
    ///
    /// [`Busy`]: nothing was done.
    fn request(&mut self, number: Number, request: Request) -> Result<(), Busy>;

    /// Verifies a token, here or on another thread; [`Session::on_verified`](super::Session) comes later, never
    /// before this returns.
    ///
    /// # Errors
    ///
    /// [`Busy`]: too many wait.
    fn verify(&mut self, number: Number, kind: TokenKind, token: String) -> Result<(), Busy>;

    /// Asks the operator's backend; [`Session::on_hook`](super::Session) comes later.
    ///
    /// # Errors
    ///
    /// [`Busy`]: too many wait.
    fn call(&mut self, number: Number, call: HookCall) -> Result<(), Busy>;

    /// The session is its user's from here on; counts it against the user's connections. False: the user has as
    /// many as it may.
    fn enter(&mut self, info: &Arc<ClientInfo>) -> bool;

    /// It is nobody's any more: its connect was refused. Whoever it was may have another in its place.
    fn leave(&mut self, info: &ClientInfo);

    /// Sends an answer.
    fn reply(&mut self, reply: &Reply<'_>);

    /// Sends news.
    fn push(&mut self, push: &Push<'_>);

    /// Sends a ping: an empty object.
    fn ping(&mut self);
}

/// Why there is no subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSubscribed {
    /// The table's reason.
    Refused(OpenError),
    /// The engine takes no more requests of this worker.
    Busy,
}
