//! The engine of a single node: everything in this process's memory. In: requests from any thread. Out:
//! answers and publications in inboxes.
//!
//! Channels are spread over shards by a hash of their names, each behind a lock. A publication gets its
//! offset, its place in history and its place in every inbox under one hold of that lock: so the order is
//! the same everywhere. Locks are taken in this order: shard, then inbox; owners are woken when both are
//! free.
//!
//! Never: holds two shards' locks at once; makes a system call under one.

mod shard;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::channel::Channel;
use crate::engine::{
    Answer, Busy, Engine, EngineError, EngineInfo, History, OriginId, Publish, Request, Response,
    Subscribe, Ticket, Unsubscribe, Upkeep,
};
use crate::limits::{
    CHANNELS_LISTED_MAX, CHANNELS_MAX, IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_TTL, SHARDS,
    TIMERS_PER_TICK_MAX,
};
use crate::order::Order;
use crate::origins::{Origins, WakeSet};
use crate::pattern::ChannelPattern;
use crate::position::EpochSource;
use crate::time::Time;

use shard::{Room, Shard};

/// The settings of a [`MemoryEngine`].
#[derive(Clone, Copy, Debug)]
pub struct MemoryConfig {
    /// A random number, drawn anew for each process: epochs come from it, and whoever knows two of them can
    /// work it out.
    pub seed: u64,
    /// Another, which nobody can work out: which shard a channel is in.
    pub shard_seed: u64,
    /// Channels of which anything is remembered.
    pub channels_max: usize,
    /// Idempotency keys that are remembered.
    pub idempotency_keys_max: usize,
    /// And for how long.
    pub idempotency_ttl: Duration,
}

impl MemoryConfig {
    /// The defaults of [`limits`](crate::limits), and one number for both seeds.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            shard_seed: seed,
            channels_max: CHANNELS_MAX,
            idempotency_keys_max: IDEMPOTENCY_KEYS_MAX,
            idempotency_ttl: IDEMPOTENCY_TTL,
        }
    }
}

/// An [`Engine`] in memory: every request is answered before `request` returns.
#[derive(Debug)]
pub struct MemoryEngine {
    origins: Origins,
    shards: Box<[Mutex<Shard>]>,
    epochs: EpochSource,
    room: Room,
    shard_seed: u64,
    /// Where the next tick begins.
    next_shard: AtomicUsize,
}

/// Whoever waits for an answer, and whom to wake.
struct Asker<'e> {
    origins: &'e Origins,
    origin: OriginId,
    ticket: Option<Ticket>,
    wakes: WakeSet,
}

impl Asker<'_> {
    /// Puts the answer into the asker's inbox, under the channel's lock if it speaks of one.
    fn answer(&mut self, outcome: Result<Response, EngineError>) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let owner = self
            .origins
            .inbox(self.origin)
            .push_answer(Answer { ticket, outcome });
        self.wakes.note(self.origin, owner);
    }
}

impl MemoryEngine {
    /// An empty engine for `origins`.
    #[must_use]
    pub fn new(config: MemoryConfig, origins: Origins) -> Self {
        let keys_max = config.idempotency_keys_max.div_ceil(SHARDS);
        let shard = || Mutex::new(Shard::new(keys_max, config.idempotency_ttl));
        Self {
            origins,
            shards: (0..SHARDS).map(|_| shard()).collect(),
            epochs: EpochSource::new(config.seed),
            room: Room::new(config.channels_max),
            shard_seed: config.shard_seed,
            next_shard: AtomicUsize::new(0),
        }
    }

    /// Who may ask, with their inboxes.
    #[must_use]
    pub const fn origins(&self) -> &Origins {
        &self.origins
    }

    fn shard(&self, channel: &Channel) -> MutexGuard<'_, Shard> {
        let mut hasher = DefaultHasher::new();
        self.shard_seed.hash(&mut hasher);
        channel.hash(&mut hasher);
        let shards = self.shards.len() as u64;
        let index = usize::try_from(hasher.finish() % shards).expect("there is such a shard");
        lock(&self.shards[index])
    }

    fn subscribe(&self, now: Time, asker: &mut Asker<'_>, request: Subscribe) {
        let mut shard = self.shard(&request.channel);
        let joined = shard.subscribe(now, asker.origin, &request, &self.room, &self.epochs);
        let is_joined = joined.is_ok();
        // Before any publication that the subscriber is to get.
        asker.answer(joined.map(Response::Subscribed));
        if is_joined && let Some(member) = request.member {
            shard.join(&request.channel, member, &self.origins, &mut asker.wakes);
        }
        shard.settle(&request.channel, &self.room);
    }

    fn unsubscribe(&self, now: Time, asker: &mut Asker<'_>, request: &Unsubscribe) {
        let mut shard = self.shard(&request.channel);
        shard.unsubscribe(now, asker.origin, request);
        if let Some(client) = &request.client {
            shard.leave(&request.channel, client, &self.origins, &mut asker.wakes);
        }
        shard.settle(&request.channel, &self.room);
        asker.answer(Ok(Response::Unsubscribed));
    }

    fn publish(&self, now: Time, asker: &mut Asker<'_>, request: Publish) {
        let mut shard = self.shard(&request.channel);
        let published = shard.publish(
            now,
            request,
            &self.room,
            &self.epochs,
            &self.origins,
            &mut asker.wakes,
        );
        asker.answer(published.map(Response::Published));
    }

    fn history(&self, now: Time, asker: &mut Asker<'_>, request: &History) {
        let mut shard = self.shard(&request.channel);
        let read = shard.history(now, request);
        asker.answer(read.map(Response::History));
    }

    fn history_remove(&self, asker: &mut Asker<'_>, channel: &Channel) {
        let mut shard = self.shard(channel);
        shard.history_remove(channel);
        asker.answer(Ok(Response::HistoryRemoved));
    }

    fn presence(&self, asker: &mut Asker<'_>, channel: &Channel) {
        let shard = self.shard(channel);
        let roster = shard.roster(channel).ok_or(EngineError::TooLarge);
        asker.answer(roster.map(Response::Presence));
    }

    fn presence_stats(&self, asker: &mut Asker<'_>, channel: &Channel) {
        let shard = self.shard(channel);
        asker.answer(Ok(Response::PresenceStats(shard.presence_stats(channel))));
    }

    /// One shard after the other: channels that come and go meanwhile may or may not be listed.
    fn channels(&self, asker: &mut Asker<'_>, pattern: &ChannelPattern) {
        let mut found = Vec::new();
        for shard in &self.shards {
            lock(shard).list(pattern, CHANNELS_LISTED_MAX + 1, &mut found);
        }
        asker.answer(if found.len() > CHANNELS_LISTED_MAX {
            Err(EngineError::TooLarge)
        } else {
            found.sort_unstable_by(|a, b| a.channel.cmp(&b.channel));
            Ok(Response::Channels(found))
        });
    }

    fn info(&self, asker: &mut Asker<'_>) {
        let mut info = EngineInfo::default();
        for shard in &self.shards {
            lock(shard).add_to(&mut info);
        }
        asker.answer(Ok(Response::Info(info)));
    }

    fn order(&self, asker: &mut Asker<'_>, order: Order) {
        let order = Arc::new(order);
        let mut outcome = Ok(Response::Ordered);
        for worker in self.origins.workers() {
            match self.origins.inbox(*worker).push_order(&order) {
                Ok(owner) => asker.wakes.note(*worker, owner),
                Err(error) => outcome = Err(error),
            }
        }
        asker.answer(outcome);
    }
}

impl Engine for MemoryEngine {
    fn request(
        &self,
        now: Time,
        origin: OriginId,
        ticket: Option<Ticket>,
        request: Request,
    ) -> Result<(), Busy> {
        if ticket.is_some() {
            self.origins.inbox(origin).begin_request()?;
        }
        let mut asker = Asker {
            origins: &self.origins,
            origin,
            ticket,
            wakes: WakeSet::default(),
        };
        match request {
            Request::Subscribe(request) => self.subscribe(now, &mut asker, request),
            Request::Unsubscribe(request) => self.unsubscribe(now, &mut asker, &request),
            Request::Publish(request) => self.publish(now, &mut asker, request),
            Request::History(request) => self.history(now, &mut asker, &request),
            Request::HistoryRemove(channel) => self.history_remove(&mut asker, &channel),
            Request::Presence(channel) => self.presence(&mut asker, &channel),
            Request::PresenceStats(channel) => self.presence_stats(&mut asker, &channel),
            Request::Channels(pattern) => self.channels(&mut asker, &pattern),
            Request::Info => self.info(&mut asker),
            Request::Order(order) => self.order(&mut asker, order),
        }
        self.origins.wake(&asker.wakes);
        Ok(())
    }

    fn tick(&self, now: Time) -> Upkeep {
        let shards = self.shards.len();
        let first = self.next_shard.fetch_add(1, Ordering::Relaxed);
        let mut budget = TIMERS_PER_TICK_MAX;
        for n in 0..shards {
            let mut shard = lock(&self.shards[first.wrapping_add(n) % shards]);
            shard.forget(now, &mut budget, &self.room);
            if budget == 0 {
                return Upkeep::More;
            }
        }
        Upkeep::Done
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard
        .lock()
        .expect("nothing under this lock panics but for want of memory")
}
