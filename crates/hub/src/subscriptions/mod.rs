//! A worker's subscriptions. In: who subscribes, answers and publications as the worker takes them from its
//! inbox. Out: whom a publication is for, and who has missed something.
//!
//! A channel's subscribers stand in a dense array, so that fan-out is a walk over it; a slot a
//! subscription points back into it, so that leaving is O(1). Where a channel's stream stands is kept once
//! a channel, not once a subscriber: they all read the same inbox. So checking for a hole costs one
//! comparison a publication, and only a hole costs a walk. A connection with one channel costs no
//! allocation of its own, one without any costs nothing at all.
//!
//! Never: hands a publication to a subscription that is not answered yet, or that has missed one before it.

mod followers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use crate::channel::Channel;
use crate::engine::Ticket;
use crate::inbox::Missed;
use crate::limits::SUBSCRIPTIONS_MAX;
use crate::position::Position;
use crate::publication::Publication;
use crate::slots::{SlotId, Slots};

use followers::{ChannelEntry, Start, State};

pub use followers::Subscriber;

/// A connection of the worker's: what it likes, as long as no two that are open have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnToken(pub u64);

/// A subscription of one worker. Stops working when it ends, and is not used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionId(SlotId);

impl SubscriptionId {
    /// As [`Ticket::generation`] carries it.
    #[must_use]
    pub const fn generation(self) -> u64 {
        self.0.to_bits()
    }

    /// From the ticket of an answer. Of anything else it is an id that finds nothing, or the wrong thing.
    #[must_use]
    pub const fn from_generation(generation: u64) -> Self {
        Self(SlotId::from_bits(generation))
    }
}

/// A channel of one worker, as long as it has subscribers there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelId(SlotId);

impl ChannelId {
    /// As [`Ticket::token`] of a position check carries it.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0.to_bits()
    }

    /// From there. Of anything else it is an id that finds nothing, or the wrong thing.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(SlotId::from_bits(bits))
    }
}

/// A subscription that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Goes into the ticket of the request.
    pub id: SubscriptionId,
    /// The channel's subscriptions in this table, this one included: goes into the request.
    pub subscribers: u32,
}

/// A subscription that is no more.
#[derive(Debug)]
pub struct Closed<S> {
    /// Whose it was.
    pub conn: ConnToken,
    /// The channel.
    pub channel: Channel,
    /// What remains of the channel's: goes into the request.
    pub subscribers: u32,
    /// What the worker kept with it.
    pub data: S,
}

/// Why there is no subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The connection has one to the channel (error 105 to a client).
    AlreadySubscribed,
    /// The connection has as many as it may (error 106, or close 3505).
    TooManyChannels,
    /// The worker has [`SUBSCRIPTIONS_MAX`].
    TooManySubscriptions,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadySubscribed => "already subscribed",
            Self::TooManyChannels => "the connection has too many channels",
            Self::TooManySubscriptions => "the worker has too many subscriptions",
        })
    }
}

impl std::error::Error for OpenError {}

/// What an answer did to its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a superseded subscription must not be answered"]
pub enum Activation {
    /// It gets what comes behind the answer. Reply before the next delivery is handled, and if
    /// publications of the channel wait to be handed out, note that it starts behind them.
    Live {
        /// The subscription.
        id: SubscriptionId,
        /// Its channel.
        channel: ChannelId,
    },
    /// It is closed, or was answered: nobody waits for this.
    Superseded,
}

/// Where a subscription's subscriber stands.
#[derive(Debug)]
struct Place {
    channel: SlotId,
    index: u32,
}

/// The subscriptions of one connection; it has one at least.
#[derive(Debug)]
#[expect(
    clippy::box_collection,
    reason = "every connection with one channel would pay for the map's size"
)]
enum Held {
    One(SlotId),
    /// By channel.
    Many(Box<HashMap<SlotId, SlotId>>),
}

/// Which connections have more than one channel.
#[derive(Clone, Copy, Debug)]
pub struct Holders<'t>(&'t HashMap<ConnToken, Held>);

impl Holders<'_> {
    /// Whether `conn` has.
    #[must_use]
    pub fn has_several(self, conn: ConnToken) -> bool {
        matches!(self.0.get(&conn), Some(Held::Many(_)))
    }
}

/// A worker's subscriptions, with `C` for each channel and `S` for each subscriber: say a segment that
/// is being filled, and the cohort that shares it.
#[derive(Debug)]
pub struct Subscriptions<C, S> {
    by_name: HashMap<Channel, SlotId>,
    channels: Slots<ChannelEntry<C, S>>,
    places: Slots<Place>,
    held: HashMap<ConnToken, Held>,
    /// Subscriptions that have missed something and are not taken yet; some may be closed.
    insufficient: Vec<SubscriptionId>,
    channels_per_connection_max: usize,
}

impl<C: Default, S> Subscriptions<C, S> {
    /// An empty table, with the cap on a connection's channels.
    #[must_use]
    pub fn new(channels_per_connection_max: usize) -> Self {
        Self {
            by_name: HashMap::new(),
            channels: Slots::default(),
            places: Slots::default(),
            held: HashMap::new(),
            insufficient: Vec::new(),
            channels_per_connection_max,
        }
    }

    /// Reserves a subscription. The request with what it gives goes to the engine next.
    ///
    /// # Errors
    ///
    /// Every [`OpenError`]; nothing has changed.
    pub fn open(
        &mut self,
        conn: ConnToken,
        channel: &Channel,
        data: S,
    ) -> Result<Opened, OpenError> {
        if self.find(conn, channel.as_str()).is_some() {
            return Err(OpenError::AlreadySubscribed);
        }
        if self.held.get(&conn).map_or(0, Held::len) >= self.channels_per_connection_max {
            return Err(OpenError::TooManyChannels);
        }
        if self.places.len() >= SUBSCRIPTIONS_MAX {
            return Err(OpenError::TooManySubscriptions);
        }
        let channel = self.intern(channel);
        let subscribers = &mut self.entry_mut(channel).subscribers;
        let index = index_of_next(subscribers);
        let slot = self.places.insert(Place { channel, index });
        let subscribers = &mut self.entry_mut(channel).subscribers;
        subscribers.push(Subscriber {
            conn,
            after: 0,
            slot,
            state: State::Pending,
            data,
        });
        self.hold(conn, channel, slot);
        Ok(Opened {
            id: SubscriptionId(slot),
            subscribers: index + 1,
        })
    }

    /// The engine has answered: `position` is where the channel stands in front of what comes next.
    /// `is_positioned` says whether the subscriber is told of holes; without a position it can't be.
    ///
    /// An error of the engine's needs no call: [`close`](Self::close) it.
    pub fn activate(
        &mut self,
        ticket: Ticket,
        position: Option<Position>,
        is_positioned: bool,
    ) -> Activation {
        let id = SubscriptionId::from_generation(ticket.generation);
        let place = self.places.get(id.0);
        let entry = place.and_then(|place| self.channels.get_mut(place.channel));
        let (Some(place), Some(entry)) = (place, entry) else {
            return Activation::Superseded;
        };
        let subscriber = &entry.subscribers[place.index as usize];
        if subscriber.conn.0 != ticket.token || subscriber.state != State::Pending {
            return Activation::Superseded;
        }
        let channel = ChannelId(place.channel);
        let start = Start {
            position,
            is_positioned,
        };
        entry.activate(place.index as usize, start, &mut self.insufficient);
        Activation::Live { id, channel }
    }

    /// Ends a subscription, answered or not. None: it has ended.
    pub fn close(&mut self, id: SubscriptionId) -> Option<Closed<S>> {
        let place = self.places.remove(id.0)?;
        let entry = self.entry_mut(place.channel);
        let subscriber = entry.subscribers.swap_remove(place.index as usize);
        let moved = entry.subscribers.get(place.index as usize).map(|s| s.slot);
        let left = index_of_next(&entry.subscribers);
        if (left as usize) < entry.subscribers.capacity() / 4 {
            entry.subscribers.shrink_to(left as usize * 2);
        }
        let channel = entry.name.clone();
        if let Some(moved) = moved.and_then(|slot| self.places.get_mut(slot)) {
            moved.index = place.index;
        }
        if left == 0 {
            self.by_name.remove(&channel);
            self.channels.remove(place.channel);
        }
        self.release(subscriber.conn, place.channel);
        Some(Closed {
            conn: subscriber.conn,
            channel,
            subscribers: left,
            data: subscriber.data,
        })
    }

    /// A subscription of `conn`, answered or not: call until none is left, and close each.
    #[must_use]
    pub fn any_of(&self, conn: ConnToken) -> Option<SubscriptionId> {
        self.of(conn).next()
    }

    /// The subscriptions of `conn`, in no order.
    pub fn of(&self, conn: ConnToken) -> impl Iterator<Item = SubscriptionId> {
        let (one, many) = match self.held.get(&conn) {
            None => (None, None),
            Some(Held::One(slot)) => (Some(*slot), None),
            Some(Held::Many(slots)) => (None, Some(slots.values().copied())),
        };
        let slots = one.into_iter().chain(many.into_iter().flatten());
        slots.map(SubscriptionId)
    }

    /// The subscription of `conn` to `channel`.
    #[must_use]
    pub fn find(&self, conn: ConnToken, channel: &str) -> Option<SubscriptionId> {
        let channel = *self.by_name.get(channel)?;
        let slot = match self.held.get(&conn)? {
            Held::One(slot) => (self.places.get(*slot)?.channel == channel).then_some(*slot)?,
            Held::Many(slots) => *slots.get(&channel)?,
        };
        Some(SubscriptionId(slot))
    }

    /// The subscriber and its channel.
    #[must_use]
    pub fn subscription(&self, id: SubscriptionId) -> Option<(&Channel, &Subscriber<S>)> {
        let place = self.places.get(id.0)?;
        let entry = self.channels.get(place.channel)?;
        Some((&entry.name, &entry.subscribers[place.index as usize]))
    }

    /// What the worker keeps with a subscription.
    pub fn data_mut(&mut self, id: SubscriptionId) -> Option<&mut S> {
        let (entry, index) = self.locate(id)?;
        Some(&mut entry.subscribers[index].data)
    }

    /// Takes a publication from the inbox. Out: the channel, if anyone here may take it
    /// ([`Subscriber::takes`]). Who has missed something before it is
    /// [`next_insufficient`](Self::next_insufficient).
    pub fn accept(&mut self, channel: &Channel, publication: &Publication) -> Option<ChannelId> {
        let slot = *self.by_name.get(channel)?;
        let entry = self.channels.get_mut(slot)?;
        if let Some(position) = publication.position
            && !entry.advance(position, &mut self.insufficient)
        {
            return None;
        }
        Some(ChannelId(slot))
    }

    /// Takes a mark from the inbox: whoever follows positions there has missed something.
    pub fn miss(&mut self, missed: &Missed) {
        match missed {
            Missed::Channel(channel) => {
                let slot = self.by_name.get(channel);
                if let Some(entry) = slot.and_then(|slot| self.channels.get_mut(*slot)) {
                    entry.lose(&mut self.insufficient);
                }
            }
            Missed::Any => {
                for entry in self.channels.iter_mut() {
                    entry.lose(&mut self.insufficient);
                }
            }
        }
    }

    /// Places for channels, taken or not: what [`followed_at`](Self::followed_at) numbers.
    #[must_use]
    pub const fn channel_places(&self) -> usize {
        self.channels.slots()
    }

    /// The channel at a place, if anyone in it follows positions: it is to be checked now and then.
    #[must_use]
    pub fn followed_at(&self, place: usize) -> Option<(ChannelId, &Channel)> {
        let (slot, entry) = self.channels.at(place)?;
        entry.cursor.map(|_| (ChannelId(slot), &entry.name))
    }

    /// Takes the answer to a position check (PROTOCOL.md, "Subscribe and recover", 6): where the engine says
    /// that the stream stands, with everything that came before the answer taken already.
    pub fn check(&mut self, id: ChannelId, top: Option<Position>) {
        if let Some(entry) = self.channels.get_mut(id.0) {
            entry.check(top, &mut self.insufficient);
        }
    }

    /// A subscription that has missed something: it gets nothing more, tell it and close it. Each comes
    /// once. Ask after each batch, until there is none.
    pub fn next_insufficient(&mut self) -> Option<SubscriptionId> {
        while let Some(id) = self.insufficient.pop() {
            if self.places.get(id.0).is_some() {
                return Some(id);
            }
        }
        self.insufficient.shrink_to(0);
        None
    }

    /// A channel's subscribers, name and data, by the id that [`accept`](Self::accept) gave. None: all have
    /// left.
    pub fn channel_mut(&mut self, id: ChannelId) -> Option<(&Channel, &mut C, &[Subscriber<S>])> {
        let (name, data, subscribers, _) = self.channel_and_holders_mut(id)?;
        Some((name, data, subscribers))
    }

    /// The same, and who of the subscribers has other channels.
    pub fn channel_and_holders_mut(
        &mut self,
        id: ChannelId,
    ) -> Option<(&Channel, &mut C, &[Subscriber<S>], Holders<'_>)> {
        let entry = self.channels.get_mut(id.0)?;
        let holders = Holders(&self.held);
        Some((&entry.name, &mut entry.data, &entry.subscribers, holders))
    }

    /// A channel's name, as long as it has subscribers here.
    #[must_use]
    pub fn channel_name(&self, id: ChannelId) -> Option<&Channel> {
        self.channels.get(id.0).map(|entry| &entry.name)
    }

    /// The id of a channel that has subscribers here: for joins and leaves.
    #[must_use]
    pub fn channel_id(&self, channel: &Channel) -> Option<ChannelId> {
        self.by_name.get(channel).copied().map(ChannelId)
    }

    /// Where a positioned subscriber is: what a position check compares with the engine's top. None for
    /// any other, and for one that has missed something.
    #[must_use]
    pub fn position(&self, id: SubscriptionId) -> Option<Position> {
        let place = self.places.get(id.0)?;
        let entry = self.channels.get(place.channel)?;
        entry.position(place.index as usize)
    }

    /// Subscriptions in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connections with subscriptions.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.held.len()
    }

    /// The slot of a channel, a new one if it has no subscribers yet.
    fn intern(&mut self, name: &Channel) -> SlotId {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let slot = self.channels.insert(ChannelEntry {
            name: name.clone(),
            cursor: None,
            subscribers: Vec::with_capacity(1), // `push` alone would take room for four
            data: C::default(),
        });
        self.by_name.insert(name.clone(), slot);
        slot
    }

    /// The channel of a place that is taken.
    fn entry_mut(&mut self, channel: SlotId) -> &mut ChannelEntry<C, S> {
        self.channels
            .get_mut(channel)
            .expect("a channel stays as long as it has subscribers")
    }

    fn locate(&mut self, id: SubscriptionId) -> Option<(&mut ChannelEntry<C, S>, usize)> {
        let place = self.places.get(id.0)?;
        let entry = self.channels.get_mut(place.channel)?;
        Some((entry, place.index as usize))
    }

    fn hold(&mut self, conn: ConnToken, channel: SlotId, slot: SlotId) {
        let places = &self.places;
        match self.held.entry(conn) {
            Entry::Vacant(vacant) => {
                vacant.insert(Held::One(slot));
            }
            Entry::Occupied(mut held) => match held.get_mut() {
                Held::One(first) => {
                    let first_channel = places.get(*first).expect("what is held is open").channel;
                    let many = HashMap::from([(first_channel, *first), (channel, slot)]);
                    held.insert(Held::Many(Box::new(many)));
                }
                Held::Many(slots) => {
                    slots.insert(channel, slot);
                }
            },
        }
    }

    fn release(&mut self, conn: ConnToken, channel: SlotId) {
        let Entry::Occupied(mut held) = self.held.entry(conn) else {
            return;
        };
        match held.get_mut() {
            Held::One(_) => {
                held.remove();
            }
            Held::Many(slots) => {
                slots.remove(&channel);
                let mut left = slots.values();
                if let (Some(last), None) = (left.next().copied(), left.next()) {
                    held.insert(Held::One(last));
                }
            }
        }
    }
}

/// The index of the next subscriber, which is their number.
fn index_of_next<S>(subscribers: &[Subscriber<S>]) -> u32 {
    u32::try_from(subscribers.len()).expect("SUBSCRIPTIONS_MAX is below")
}

impl Held {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(slots) => slots.len(),
        }
    }
}
