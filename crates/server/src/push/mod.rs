//! A worker's part of the push server. In: requests of its connections, and what its inbox brings. Out:
//! requests for the engine, news for single connections, segments for many.
//!
//! A tick is what one batch of the inbox brings: publications of a channel wait here until the batch is
//! through, are encoded once for each cohort, and every subscriber gets its share of the same bytes.
//!
//! Never: reads or writes a socket; knows a connection but by its id; encodes a publication twice for one
//! cohort.

mod client_id;
mod publish;
mod raw;
mod segment;
#[cfg(test)]
mod tests;
mod upgrade;
mod welcome;

use std::ops::Range;
use std::sync::Arc;

use fanfare_hub::{
    Activation, Answer, Batch, Channel, ChannelId, ChannelOptions, ConnToken, Delivery, Engine,
    EngineError, Inbox, Member, Order, OriginId, Publication, Recovery, Request, Response,
    SlowReader, Subscribe, Subscribed, SubscriptionId, Subscriptions, Target, Ticket, Unsubscribe,
    Upkeep,
};
use mio::Token;

use crate::clock::{Clock, Time};
use crate::config::SharedLive;
use crate::http::{Gateway, Handover};
use crate::limits::{PUBLISHED_BYTES_PER_TICK_MAX, PUBLISHES_PER_TICK_MAX, SEGMENT_BYTES_MAX};
use crate::outbound::Excess;
use crate::slab::ConnId;

pub(crate) use client_id::ClientIds;
pub(crate) use publish::NotPublished;
use raw::Wishes;
pub(crate) use segment::Segment;
#[cfg(test)]
pub(crate) use segment::tests::segment as test_segment;
pub(crate) use welcome::Welcome;

use segment::Cohort;

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
    /// Bytes that wait in this tick.
    waiting_bytes: usize,
    /// Publishes of this worker's connections since it last drained its inbox, and their bytes.
    published: usize,
    published_bytes: usize,
    /// An empty one, with room, for the next channel.
    spare: Vec<Arc<Publication>>,
}

/// What of a channel waits to be told.
#[derive(Debug, Default)]
struct Tick {
    publications: Vec<Arc<Publication>>,
}

/// What a worker keeps with a subscription.
#[derive(Clone, Copy, Debug)]
struct Follower {
    cohort: Cohort,
    /// The engine has an entry for it, whatever the namespace says by now.
    is_member: bool,
    /// Publications of this tick that came before its answer.
    skips: u32,
}

/// Whom of a worker's connections an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    Nobody,
    One(ConnId),
    Everybody,
}

/// What a delivery means for a connection.
#[derive(Debug)]
pub(crate) enum News {
    /// It is subscribed.
    Welcome(ConnId, Welcome),
    /// Its subscription, or what it published, came to nothing.
    Failed(ConnId, EngineError),
    /// For those that its target matches.
    Order(Arc<Order>),
    /// Enough waits: hand it out before the next delivery.
    TickIsFull,
}

/// The generation in the ticket of a publish: no subscription has it.
const PUBLISH: u64 = u64::MAX;

/// A raw client has one channel.
const CHANNELS_PER_CONNECTION: usize = 1;

impl Push {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link,
            table: Subscriptions::new(CHANNELS_PER_CONNECTION),
            dirty: Vec::new(),
            joined: Vec::new(),
            waiting_bytes: 0,
            published: 0,
            published_bytes: 0,
            spare: Vec::new(),
        }
    }

    /// The worker is up and drains its inbox before it sleeps.
    pub(crate) fn rouse(&self) {
        self.link.inbox.rouse();
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

    /// Hands a connection over to the HTTP thread.
    pub(crate) fn hand_over(&self, handover: Handover) -> Result<(), Handover> {
        self.link.gateway.hand_over(handover)
    }

    /// Lets the engine forget what is past its time.
    pub(crate) fn tick_engine(&self, now: Time) -> Upkeep {
        self.link.engine.tick(self.link.clock.for_hub(now))
    }

    /// Requests a subscription; [`News::Welcome`] or [`News::Failed`] comes later. False: the engine takes no
    /// more requests of this worker.
    pub(crate) fn subscribe(
        &mut self,
        conn: ConnId,
        channel: &Channel,
        options: &ChannelOptions,
        wishes: Wishes,
        now: Time,
    ) -> bool {
        let is_member = options.presence || options.join_leave;
        let follower = Follower {
            cohort: wishes.cohort,
            is_member,
            skips: 0,
        };
        let Ok(opened) = self.table.open(token(conn), channel, follower) else {
            return false; // it has none yet: the table is full
        };
        let member = is_member.then(|| Member {
            info: self.link.client_ids.info(conn),
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
            catch_up: wishes.catch_up,
            member,
        });
        let is_taken = self.request(Some(ticket), request, now).is_ok();
        if !is_taken {
            self.table.close(opened.id); // the engine has not heard of it
        }
        is_taken
    }

    /// The connection is no subscriber any more, if it was one.
    pub(crate) fn leave(&mut self, conn: ConnId, now: Time) {
        while let Some(id) = self.table.any_of(token(conn)) {
            self.close(id, now);
        }
    }

    fn close(&mut self, id: SubscriptionId, now: Time) {
        let Some(closed) = self.table.close(id) else {
            return;
        };
        let client_id = || self.link.client_ids.id(conn_of(closed.conn));
        let request = Request::Unsubscribe(Unsubscribe {
            channel: closed.channel,
            subscribers: closed.subscribers,
            client: closed.data.is_member.then(client_id),
        });
        self.request(None, request, now)
            .expect("a request without a ticket is never refused");
    }

    /// Whether `conn` has a subscription, to `channel` if it is given.
    pub(crate) fn is_subscribed(&self, conn: ConnId, channel: Option<&Channel>) -> bool {
        match channel {
            Some(channel) => self.table.find(token(conn), channel.as_str()).is_some(),
            None => self.table.any_of(token(conn)).is_some(),
        }
    }

    /// Those that an order is for: raw clients are anonymous.
    pub(crate) fn meant(&self, target: &Target) -> Meant {
        match &target.client {
            _ if !target.user.is_anonymous() => Meant::Nobody,
            None => Meant::Everybody,
            Some(client) => match self.link.client_ids.conn(client) {
                None => Meant::Nobody,
                Some(conn) => Meant::One(conn),
            },
        }
    }

    /// Takes one delivery: publications wait, all else is news.
    pub(crate) fn take(&mut self, delivery: Delivery, now: Time) -> Option<News> {
        match delivery {
            Delivery::Publication {
                channel,
                publication,
            } => self.wait_for_others(&channel, publication),
            Delivery::Answer(answer) => self.take_answer(*answer, now),
            Delivery::Missed(missed) => {
                self.table.miss(&missed);
                None
            }
            Delivery::Order(order) => Some(News::Order(order)),
            // A raw subscriber is not told who comes and goes.
            Delivery::Join { .. } | Delivery::Leave { .. } => None,
        }
    }

    fn wait_for_others(
        &mut self,
        channel: &Channel,
        publication: Arc<Publication>,
    ) -> Option<News> {
        let id = self.table.accept(channel, &publication)?;
        let (_, tick, _) = self.table.channel_mut(id)?;
        if tick.publications.is_empty() {
            self.dirty.push(id);
            if tick.publications.capacity() == 0 {
                tick.publications = std::mem::take(&mut self.spare);
            }
        }
        self.waiting_bytes +=
            publication.payload.bytes().len() + raw::head_bytes_max(Cohort::Positioned);
        tick.publications.push(publication);
        (self.waiting_bytes >= SEGMENT_BYTES_MAX).then_some(News::TickIsFull)
    }

    fn take_answer(&mut self, answer: Answer, now: Time) -> Option<News> {
        let Answer { ticket, outcome } = answer;
        let conn = conn_of(ConnToken(ticket.token));
        match outcome {
            Ok(Response::Subscribed(subscribed)) => self.welcome(ticket, subscribed),
            Ok(_) => None,
            Err(error) if ticket.generation == PUBLISH => Some(News::Failed(conn, error)),
            Err(error) => {
                let id = SubscriptionId::from_generation(ticket.generation);
                let (_, subscriber) = self.table.subscription(id)?;
                if subscriber.conn() != token(conn) {
                    return None; // it has ended, and its slot has another tenant
                }
                self.close(id, now);
                Some(News::Failed(conn, error))
            }
        }
    }

    fn welcome(&mut self, ticket: Ticket, subscribed: Subscribed) -> Option<News> {
        let Subscribed {
            position, recovery, ..
        } = subscribed;
        // Whoever can't recover is told so, and is not a subscriber that could miss anything.
        let is_positioned = !matches!(recovery, Recovery::NotRecovered);
        let Activation::Live { id, channel } = self.table.activate(ticket, position, is_positioned)
        else {
            return None;
        };
        let (_, tick, _) = self.table.channel_mut(channel)?;
        let waiting = u32::try_from(tick.publications.len()).unwrap_or(u32::MAX);
        let follower = self.table.data_mut(id)?;
        follower.skips = waiting;
        let cohort = follower.cohort;
        if waiting > 0 {
            self.joined.push(id);
        }
        let welcome = Welcome::new(cohort, position, recovery);
        Some(News::Welcome(conn_of(ConnToken(ticket.token)), welcome))
    }

    /// A connection whose subscription has missed something. Ask after each batch until there is none.
    pub(crate) fn next_insufficient(&mut self) -> Option<ConnId> {
        let id = self.table.next_insufficient()?;
        let (_, subscriber) = self.table.subscription(id)?;
        Some(conn_of(subscriber.conn()))
    }

    /// Ends the tick: tells every subscriber its share of what waits.
    pub(crate) fn fan_out(
        &mut self,
        mut tell: impl FnMut(ConnId, &Arc<Segment>, Range<u32>, Excess),
    ) {
        if self.dirty.is_empty() {
            return;
        }
        let live = self.link.live.load();
        for id in self.dirty.drain(..) {
            let Some((name, tick, subscribers)) = self.table.channel_mut(id) else {
                continue; // all have left
            };
            let mut publications = std::mem::take(&mut tick.publications);
            let excess = live
                .namespaces
                .resolve(name)
                .map_or(Excess::Report, |options| options.slow_reader.into());
            let mut segments = [const { None::<Arc<Segment>> }; Cohort::COUNT];
            for subscriber in subscribers.iter().filter(|s| s.is_live()) {
                let Follower { cohort, skips, .. } = *subscriber.data();
                let behind = publications.iter().skip(skips as usize);
                let Some(older) = behind.clone().position(|p| subscriber.takes(p)) else {
                    continue;
                };
                let segment = segments[cohort.index()]
                    .get_or_insert_with(|| Arc::new(Segment::encode(&publications, cohort)));
                let range = segment.from(skips as usize + older);
                tell(conn_of(subscriber.conn()), segment, range, excess);
            }
            publications.clear();
            self.spare = publications;
        }
        for id in self.joined.drain(..) {
            if let Some(follower) = self.table.data_mut(id) {
                follower.skips = 0;
            }
        }
        self.waiting_bytes = 0;
        self.spare.shrink_to(PUBLISHES_PER_TICK_MAX);
    }

    fn request(
        &self,
        ticket: Option<Ticket>,
        request: Request,
        now: Time,
    ) -> Result<(), fanfare_hub::Busy> {
        let now = self.link.clock.for_hub(now);
        let Link { engine, origin, .. } = &self.link;
        engine.request(now, *origin, ticket, request)
    }
}

impl From<SlowReader> for Excess {
    fn from(slow: SlowReader) -> Self {
        match slow {
            SlowReader::Close => Self::Report,
            SlowReader::DropOldest => Self::DropOldest,
            SlowReader::Conflate => Self::KeepLatest,
        }
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
