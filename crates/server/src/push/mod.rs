//! A worker's part of the push server. In: requests of its connections, and what its inbox brings. Out:
//! requests for the engine, news for single connections, segments for many.
//!
//! A tick is what one batch of the inbox brings: publications of a channel wait here until the batch is
//! through, are encoded once for each variant, and every subscriber gets its share of the same bytes.
//!
//! Never: reads or writes a socket; knows a connection but by its id; encodes a publication twice for one
//! variant.

mod admit;
mod answers;
mod check;
mod client_id;
mod credentials;
mod desk;
mod publish;
mod raw;
mod segment;
#[cfg(test)]
mod tests;
mod tick;
mod upgrade;
mod users;
mod welcome;
mod wire;

use std::sync::Arc;

use arc_swap::Guard;
use fanfare_hub::{
    Batch, Channel, ChannelId, ClientInfo, ConnToken, Engine, EngineError, Inbox, Member, Order,
    OriginId, Request, Response, Subscribe, Subscribed, SubscriptionId, Subscriptions, Target,
    Ticket, Unsubscribe, Upkeep,
};
use fanfare_protocol::{NotSubscribed, Number, Terms, Wish};
use mio::Token;

use crate::clock::{Clock, Moment, Time};
use crate::config::{Live, SharedLive};
use crate::exceeded::Exceeded;
use crate::http::{Gateway, Handover, Hooks};
use crate::limits::{PUBLISHED_BYTES_PER_TICK_MAX, PUBLISHES_PER_TICK_MAX};
use crate::metrics;
use crate::returns::{Return, Returns};
use crate::slab::ConnId;
use crate::tokens::Tokens;

pub(crate) use admit::{Candidate, Who};
pub(crate) use check::CHECK_INTERVAL;
pub(crate) use client_id::ClientIds;
pub(crate) use desk::Desk;
pub(crate) use publish::NotPublished;
pub(crate) use segment::Segment;
#[cfg(test)]
pub(crate) use segment::tests::segment as test_segment;
pub(crate) use tick::Share;
pub(crate) use upgrade::Start;
pub(crate) use users::Census;
pub(crate) use welcome::Welcome;

use segment::Variant;
use tick::Tick;
use users::Users;

/// What connects a worker with everyone else.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) origin: OriginId,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) live: SharedLive,
    pub(crate) clock: Clock,
    pub(crate) client_ids: ClientIds,
    /// Takes plain HTTP over.
    pub(crate) gateway: Gateway,
    /// Verify tokens.
    pub(crate) tokens: Tokens,
    /// Ask the operator's backend.
    pub(crate) hooks: Hooks,
    /// What other threads find out for this worker's connections.
    pub(crate) returns: Arc<Returns>,
    /// The users of all workers.
    pub(crate) census: Arc<Census>,
    /// What its worker counts into.
    pub(crate) metrics: Arc<metrics::Worker>,
    /// Channels that a session may have.
    pub(crate) channels_max: usize,
    pub(crate) has_echo: bool,
}

/// A worker's subscriptions, and what waits to be told to them.
#[derive(Debug)]
pub(crate) struct Push {
    link: Link,
    table: Subscriptions<Tick, Follower>,
    /// Channels with publications of this tick.
    dirty: Vec<ChannelId>,
    /// Subscriptions that were answered while publications of this tick waited.
    joined: Vec<SubscriptionId>,
    /// When the publications of this tick were published.
    published_at: Vec<fanfare_hub::Time>,
    /// When this turn of the worker began.
    turn_began: fanfare_hub::Time,
    /// Bytes that wait in this tick.
    waiting_bytes: usize,
    /// Publishes of this worker's connections since it last drained its inbox, and their bytes.
    published: usize,
    published_bytes: usize,
    /// An empty one, with room, for the next channel.
    spare: Vec<tick::Item>,
    users: Users,
    /// The place of the channel whose position is checked next.
    next_checked: usize,
    /// What was found out at once for the session whose turn it is.
    found: Vec<Return>,
    /// An object that is being written, before its frame's header is known.
    object: Vec<u8>,
}

/// What a worker keeps with a subscription.
#[derive(Clone, Copy, Debug)]
struct Follower {
    variant: Variant,
    /// What of this tick came before its answer.
    skips: u32,
    terms: Terms,
}

/// Whom of a worker's connections an order is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    These(Vec<ConnId>),
    /// All that have no user.
    Anonymous,
}

/// What a delivery means for a connection.
#[derive(Debug)]
pub(crate) enum News {
    /// A raw client is subscribed.
    Welcome(ConnId, Welcome),
    /// A session is.
    Subscribed(ConnId, Number, Subscribed),
    /// A session has its answer.
    Answer(ConnId, Number, Result<Response, EngineError>),
    /// A raw client's subscription, or what it published, came to nothing.
    Failed(ConnId, EngineError),
    /// For those that its target matches.
    Order(Arc<Order>),
    /// Enough waits: hand it out before the next delivery.
    TickIsFull,
}

/// A subscription that has missed something, and has ended.
#[derive(Debug)]
pub(crate) struct Insufficient {
    pub(crate) conn: ConnId,
    pub(crate) channel: Channel,
    pub(crate) terms: Terms,
}

/// The generation in the ticket of a raw client's publish: no subscription has it.
const PUBLISH: u64 = u64::MAX;
/// The same of a session's request; the lower half is its number.
const REQUEST: u64 = (u32::MAX as u64 - 2) << 32;

impl Push {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            table: Subscriptions::new(link.channels_max),
            dirty: Vec::new(),
            joined: Vec::new(),
            published_at: Vec::new(),
            turn_began: fanfare_hub::Time::default(),
            waiting_bytes: 0,
            published: 0,
            published_bytes: 0,
            spare: Vec::new(),
            users: Users::default(),
            next_checked: 0,
            found: Vec::new(),
            object: Vec::new(),
            link,
        }
    }

    /// The worker is up since `moment` and drains its inbox before it sleeps.
    pub(crate) fn rouse(&mut self, moment: Moment) {
        self.turn_began = self.link.clock.for_hub_exactly(moment);
        self.link.inbox.rouse();
    }

    /// How many subscriptions there are.
    pub(crate) fn count_subscriptions(&self) {
        let count = self.table.len() as u64;
        self.link.metrics.subscriptions.set(count);
    }

    /// What was published has been told, to whoever takes it.
    pub(crate) fn count_flushed(&mut self) {
        if self.published_at.is_empty() {
            return;
        }
        let clock = self.link.clock;
        let now = clock.for_hub_exactly(clock.moment()).as_micros();
        for at in self.published_at.drain(..) {
            let took = now.saturating_sub(at.as_micros());
            self.link.metrics.flush.observe(took);
        }
        self.published_at.shrink_to(PUBLISHES_PER_TICK_MAX);
    }

    /// Fills `batch`; false: nothing is left, and the next delivery wakes the worker.
    pub(crate) fn drain(&mut self, batch: &mut Batch) -> bool {
        self.published = 0;
        self.published_bytes = 0;
        self.link.inbox.drain(batch)
    }

    /// Whether this worker's own connections have published so much that it should drain its inbox before
    /// it reads on.
    pub(crate) const fn is_crowded(&self) -> bool {
        self.published >= PUBLISHES_PER_TICK_MAX
            || self.published_bytes >= PUBLISHED_BYTES_PER_TICK_MAX
    }

    /// A client publishes so many bytes.
    fn count_publish(&mut self, bytes: usize) {
        self.link.metrics.publications.add(1);
        self.published += 1;
        self.published_bytes += bytes;
    }

    /// The settings of now.
    pub(crate) fn live(&self) -> Guard<Arc<Live>> {
        self.link.live.load()
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.link.clock
    }

    /// What was found out at once for the session whose turn it is.
    pub(crate) fn next_found(&mut self) -> Option<Return> {
        self.found.pop()
    }

    /// The session is closed: nobody wants what is left.
    pub(crate) fn forget_found(&mut self) {
        self.found.clear();
    }

    /// Hands a connection over to the HTTP thread.
    pub(crate) fn hand_over(&self, handover: Handover) -> Result<(), Handover> {
        self.link.gateway.hand_over(handover)
    }

    /// Lets the engine forget what is past its time.
    pub(crate) fn tick_engine(&self, now: Time) -> Upkeep {
        self.link.engine.tick(self.link.clock.for_hub(now))
    }

    /// What other threads have found out.
    pub(crate) fn take_returns(&self) -> (Vec<Return>, bool) {
        self.link.returns.take()
    }

    /// Requests a subscription; [`News`] of it comes later.
    fn subscribe(
        &mut self,
        conn: ConnId,
        variant: impl Into<Variant>,
        wish: Wish<'_>,
        now: Time,
    ) -> Result<(), NotSubscribed> {
        let Wish {
            channel,
            options,
            terms,
            catch_up,
            info,
        } = wish;
        let follower = Follower {
            variant: variant.into(),
            skips: 0,
            terms,
        };
        let opened = self.table.open(token(conn), channel, follower);
        let opened = opened.map_err(NotSubscribed::Refused)?;
        let member = terms.is_member.then(|| Member {
            info,
            is_listed: options.presence,
            is_announced: options.join_leave,
        });
        let ticket = Ticket {
            token: token(conn).0,
            generation: opened.id.generation(),
        };
        let request = Request::Subscribe(Subscribe {
            channel: channel.clone(),
            subscribers: opened.subscribers,
            retention: options.retention(),
            catch_up,
            member,
        });
        if self.request(Some(ticket), request, now).is_err() {
            self.table.close(opened.id); // the engine has not heard of it
            return Err(NotSubscribed::Busy);
        }
        Ok(())
    }

    /// The connection is no subscriber any more, if it was one; `info`: who it was, if that is known.
    pub(crate) fn leave(&mut self, conn: ConnId, info: Option<&ClientInfo>, now: Time) {
        while let Some(id) = self.table.any_of(token(conn)) {
            self.close(id, now);
        }
        if let Some(info) = info {
            self.give_back(conn, info);
        }
    }

    /// The connection is not its user's any more, if it was.
    fn give_back(&mut self, conn: ConnId, info: &ClientInfo) {
        if self.users.remove(&info.user, conn) {
            self.link.census.leave(&info.user);
        }
    }

    /// Counts a connection to its user; false: the user has as many as it may.
    fn enter(&mut self, conn: ConnId, info: &ClientInfo) -> bool {
        let max = self.link.live.load().connections_per_user_max;
        let may = self.link.census.enter(&info.user, max);
        if !may {
            self.link.metrics.exceeds(Exceeded::ConnectionsPerUser);
        }
        if may {
            self.users.insert(&info.user, conn);
        }
        may
    }

    fn close(&mut self, id: SubscriptionId, now: Time) {
        let Some(closed) = self.table.close(id) else {
            return;
        };
        let client_id = || self.link.client_ids.id(conn_of(closed.conn));
        let request = Request::Unsubscribe(Unsubscribe {
            channel: closed.channel,
            subscribers: closed.subscribers,
            client: closed.data.terms.is_member.then(client_id),
        });
        self.request(None, request, now)
            .expect("a request without a ticket is never refused");
    }

    /// Whether `conn` has a subscription to the channel with this id.
    pub(crate) fn is_in(&self, conn: ConnId, channel: ChannelId) -> bool {
        let name = self.table.channel_name(channel);
        name.is_some_and(|name| self.table.find(token(conn), name.as_str()).is_some())
    }

    /// Whether `conn` has a subscription, to `channel` if it is given.
    pub(crate) fn is_subscribed(&self, conn: ConnId, channel: Option<&Channel>) -> bool {
        match channel {
            Some(channel) => self.table.find(token(conn), channel.as_str()).is_some(),
            None => self.table.any_of(token(conn)).is_some(),
        }
    }

    /// Those that an order may be for: whose they are is still to be asked.
    pub(crate) fn meant(&self, target: &Target) -> Meant {
        match &target.client {
            None if target.user.is_anonymous() => Meant::Anonymous,
            None => Meant::These(self.users.of(&target.user)),
            Some(client) => Meant::These(self.link.client_ids.conn(client).into_iter().collect()),
        }
    }

    /// A subscription that has missed something; it ends. Ask after each batch until there is none.
    pub(crate) fn next_insufficient(&mut self, now: Time) -> Option<Insufficient> {
        loop {
            let id = self.table.next_insufficient()?;
            let Some((channel, subscriber)) = self.table.subscription(id) else {
                continue;
            };
            let insufficient = Insufficient {
                conn: conn_of(subscriber.conn()),
                channel: channel.clone(),
                terms: subscriber.data().terms,
            };
            self.close(id, now);
            self.link.metrics.insufficient.add(1);
            return Some(insufficient);
        }
    }

    fn request(
        &self,
        ticket: Option<Ticket>,
        request: Request,
        now: Time,
    ) -> Result<(), fanfare_hub::Busy> {
        // As exactly as is known: a publication's way to its subscribers is measured from here.
        let now = self.link.clock.for_hub(now).max(self.turn_began);
        let Link { engine, origin, .. } = &self.link;
        engine.request(now, *origin, ticket, request)
    }
}

/// A connection as the hub knows it: slot and generation, as the poller's token has them.
fn token(conn: ConnId) -> ConnToken {
    ConnToken(Token::from(conn).0 as u64)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the server is for 64-bit targets"
)]
fn conn_of(token: ConnToken) -> ConnId {
    ConnId::from(Token(token.0 as usize))
}
