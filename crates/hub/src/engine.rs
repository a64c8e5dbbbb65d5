//! The seam between what is published and who is told. In: requests of workers and of the API. Out:
//! answers and publications, through the asker's [`Inbox`](crate::Inbox).
//!
//! Never: blocks; knows a namespace or a permission: a request carries what is needed of them.
//!
//! # What every engine promises
//!
//! 1. Within a channel, each inbox gets publications in the order of their offsets.
//! 2. The answer to a [`Subscribe`] stands in the inbox before every publication with an offset above
//!    [`Subscribed::position`], and behind every one of an earlier epoch or without a position. Others
//!    may come behind it (an engine across a network): whoever subscribed skips offsets that it has.
//! 3. What does not fit an inbox leaves a [`Missed`](crate::Delivery::Missed) in its place.
//! 4. A [`Published`](Response::Published) with a position means that the publication is in the history
//!    and on its way to every inbox with subscribers.
//! 5. A request with a ticket that was not refused is answered once, at any later time; answers for
//!    different channels come in any order.
//! 6. A worker's requests for one channel take effect in the order in which it made them.

use std::fmt;
use std::sync::Arc;

use crate::channel::Channel;
use crate::history::{HistoryQuery, HistoryRead, Retention};
use crate::idempotency::IdempotencyKey;
use crate::order::Order;
use crate::pattern::ChannelPattern;
use crate::position::{Position, Since};
use crate::presence::ClientInfo;
use crate::presence::{ClientId, Member, PresenceStats, Roster};
use crate::publication::{Payload, Publication, Tags};
use crate::time::Time;

/// Who asks an engine: a worker or the API. An [`Origins`](crate::Origins) numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginId(pub(crate) u16);

/// Whose answer it is. The engine gives it back as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The connection or the API call. A token of the server's, with a generation in it if slots are
    /// used again.
    pub token: u64,
    /// What of it asked: for a subscription
    /// [`SubscriptionId::generation`](crate::SubscriptionId::generation), so that one that was
    /// superseded can't be answered; else what the asker likes, say a command's id.
    pub generation: u64,
}

/// What an engine can be asked.
#[derive(Debug)]
pub enum Request {
    /// → [`Response::Subscribed`]
    Subscribe(Subscribe),
    /// → [`Response::Unsubscribed`]
    Unsubscribe(Unsubscribe),
    /// → [`Response::Published`]
    Publish(Publish),
    /// → [`Response::History`]
    History(History),
    /// Forgets a channel's publications, not its position. → [`Response::HistoryRemoved`]
    HistoryRemove(Channel),
    /// Who is there. → [`Response::Presence`]
    Presence(Channel),
    /// How many are there. → [`Response::PresenceStats`]
    PresenceStats(Channel),
    /// Channels with subscribers. → [`Response::Channels`]
    Channels(ChannelPattern),
    /// Sums over everything. → [`Response::Info`]
    Info,
    /// An order for every worker. → [`Response::Ordered`]
    Order(Order),
}

/// Joins a worker to a channel's publications, and gives what a subscriber has missed.
#[derive(Debug)]
pub struct Subscribe {
    /// The channel.
    pub channel: Channel,
    /// The worker's subscriptions to it, this one included, answered or not. The worker's table is the
    /// truth ([`Opened::subscribers`](crate::Opened::subscribers)): an engine remembers what it was
    /// told last and counts nothing itself.
    pub subscribers: u32,
    /// What the channel keeps; none: no positions.
    pub retention: Option<Retention>,
    /// What the subscriber wants of the past.
    pub catch_up: CatchUp,
    /// Its entry in presence, and whether others are told.
    pub member: Option<Member>,
}

/// What a subscriber wants of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// Nothing: from now.
    Now,
    /// Everything after a place, or nothing: see [`Recovery`].
    Since(Since),
    /// The latest publications, at most so many. One is cache mode.
    Last(u32),
}

/// Leaves a channel.
#[derive(Debug)]
pub struct Unsubscribe {
    /// The channel.
    pub channel: Channel,
    /// The worker's subscriptions that remain
    /// ([`Closed::subscribers`](crate::Closed::subscribers)); 0: it gets no more publications.
    pub subscribers: u32,
    /// Whose entry in presence goes.
    pub client: Option<ClientId>,
}

/// Publishes.
#[derive(Debug)]
pub struct Publish {
    /// The channel.
    pub channel: Channel,
    /// What.
    pub payload: Payload,
    /// Keys and values beside it.
    pub tags: Tags,
    /// Who; none for the API.
    pub info: Option<Arc<ClientInfo>>,
    /// What the channel keeps; none, also for one publication alone (`skip_history`): no offset.
    pub retention: Option<Retention>,
    /// A second publish with the same key on the channel is answered as the first was, and does
    /// nothing else.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// Reads a channel's history.
#[derive(Debug)]
pub struct History {
    /// The channel.
    pub channel: Channel,
    /// Which part.
    pub query: HistoryQuery,
}

/// What came of a request.
#[derive(Debug)]
pub struct Answer {
    /// Who asked.
    pub ticket: Ticket,
    /// What came of it.
    pub outcome: Result<Response, EngineError>,
}

/// An answer to each [`Request`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Response {
    /// Publications above the position come behind this.
    Subscribed(Subscribed),
    /// The worker knows already; for callers that wait.
    Unsubscribed,
    /// The publication's place; none without history.
    Published(Option<Position>),
    /// A part of the history.
    History(HistoryRead),
    /// The publications are gone.
    HistoryRemoved,
    /// Who is there.
    Presence(Roster),
    /// How many are there.
    PresenceStats(PresenceStats),
    /// Channels by name, at most [`CHANNELS_LISTED_MAX`](crate::limits::CHANNELS_LISTED_MAX).
    Channels(Vec<ChannelSummary>),
    /// Sums.
    Info(EngineInfo),
    /// Every worker has or gets the order.
    Ordered,
}

/// A subscription that is joined.
#[derive(Debug)]
pub struct Subscribed {
    /// The channel.
    pub channel: Channel,
    /// Where its stream stands; none without history.
    pub position: Option<Position>,
    /// What became of [`CatchUp`].
    pub recovery: Recovery,
}

/// What a subscriber gets of the past.
#[derive(Debug)]
pub enum Recovery {
    /// It asked for nothing.
    NotAsked,
    /// Everything after the place that it gave, up to the position, in order.
    Recovered(Vec<Arc<Publication>>),
    /// Some of it is gone: it starts at the position and has missed something.
    NotRecovered,
    /// The latest, in order.
    Last(Vec<Arc<Publication>>),
}

/// A channel with subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSummary {
    /// Its name.
    pub channel: Channel,
    /// Subscriptions on all workers.
    pub subscribers: u64,
}

/// Sums over an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineInfo {
    /// Channels with subscribers.
    pub channels: u64,
    /// Subscriptions on all workers.
    pub subscribers: u64,
    /// Channels of which anything is remembered.
    pub channels_kept: u64,
    /// Publications in histories.
    pub publications: u64,
    /// Their payload bytes.
    pub bytes: u64,
}

/// Why a request came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// A cap of the engine's is reached.
    LimitReached,
    /// `since` is of another epoch, or above the top (error 112 to a client).
    UnrecoverablePosition,
    /// More than one answer may list.
    TooLarge,
    /// Some inbox takes no more orders; some workers may have this one.
    Overloaded,
    /// The engine can't be reached (error 100 to a client, which tries again).
    Unavailable,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LimitReached => "a limit of the engine is reached",
            Self::UnrecoverablePosition => "the position can't be recovered",
            Self::TooLarge => "the answer would be too large",
            Self::Overloaded => "too many orders wait for a worker",
            Self::Unavailable => "the engine can't be reached",
        })
    }
}

impl std::error::Error for EngineError {}

/// The origin has too many requests whose answers it has not taken. Nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many requests are unanswered")
    }
}

impl std::error::Error for Busy {}

/// Whether [`Engine::tick`] has left anything for the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// Nothing is due.
    Done,
    /// More is due: call again soon, others first.
    More,
}

/// Channels, their histories and who is told. Shared by every worker and the API.
pub trait Engine: Send + Sync + fmt::Debug {
    /// Asks. With a ticket the answer comes into `origin`'s inbox, if not at once then later; without
    /// one there is none, and the request is never refused.
    ///
    /// # Errors
    ///
    /// [`Busy`]: nothing was done and no answer will come.
    fn request(
        &self,
        now: Time,
        origin: OriginId,
        ticket: Option<Ticket>,
        request: Request,
    ) -> Result<(), Busy>;

    /// Forgets what is past its time, a bounded amount a call. Some worker calls it about once a second.
    /// Answers never depend on it: what is past its time is not served in any case.
    fn tick(&self, now: Time) -> Upkeep;
}
