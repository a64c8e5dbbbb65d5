//! Some of the channels, behind one lock. In: requests for them. Out: what came of each; publications, joins
//! and leaves go into inboxes here, so that their order is the channel's.
//!
//! A channel is remembered while anyone is subscribed, while its epoch is to be kept, or both. What is past
//! its time is not served, whether a timer has come by or not.
//!
//! Never: wakes anyone: it notes who sleeps.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::channel::Channel;
use crate::engine::{
    CatchUp, ChannelSummary, EngineError, EngineInfo, History, OriginId, Publish, Recovery,
    Subscribe, Subscribed, Unsubscribe,
};
use crate::history::{HistoryRead, Retention, Stream};
use crate::idempotency::IdempotencyKeys;
use crate::inbox::Delivery;
use crate::origins::{Origins, WakeSet};
use crate::pattern::ChannelPattern;
use crate::position::{EpochSource, Position};
use crate::presence::{ClientId, Member, Members, PresenceStats, Roster};
use crate::publication::Publication;
use crate::time::Time;

/// How many channels all shards together may remember.
#[derive(Debug)]
pub(super) struct Room {
    used: AtomicUsize,
    max: usize,
}

impl Room {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            max,
        }
    }

    fn take(&self) -> Result<(), EngineError> {
        let more = |used: usize| (used < self.max).then_some(used + 1);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(EngineError::LimitReached),
        }
    }

    fn give_back(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A worker with subscribers to a channel.
#[derive(Debug)]
struct Listener {
    origin: OriginId,
    subscribers: u32,
}

/// A stream and what its channel keeps of it.
#[derive(Debug)]
struct KeptStream {
    stream: Stream,
    retention: Retention,
    /// When it was last published to or subscribed to.
    used: Time,
}

impl KeptStream {
    /// When nobody needs its epoch any more, if nobody is subscribed. One that was never published to
    /// has nothing to recover: it is kept for a subscriber that comes back soon, not for `meta_ttl`, or
    /// whoever subscribes to names at random would fill the memory for as long.
    fn lapses(&self) -> Time {
        let ttl = if self.stream.position().offset == 0 {
            self.retention.ttl
        } else {
            self.retention.meta_ttl
        };
        self.used + ttl
    }
}

/// All that is remembered of a channel.
#[derive(Debug, Default)]
struct State {
    stream: Option<Box<KeptStream>>,
    listeners: Vec<Listener>,
    members: Option<Box<Members>>,
    /// The earliest timer in the heap that is meant for it.
    timer: Option<Time>,
}

impl State {
    /// Throws away what is past its time.
    fn trim(&mut self, now: Time) {
        let Some(kept) = &mut self.stream else { return };
        if self.listeners.is_empty() && kept.lapses() <= now {
            self.stream = None;
        } else {
            kept.stream.trim(now, kept.retention);
        }
    }

    /// The stream, a new one if there is none, kept by `retention` from now on.
    fn use_stream(
        &mut self,
        now: Time,
        retention: Retention,
        epochs: &EpochSource,
    ) -> &mut KeptStream {
        self.trim(now);
        let kept = self.stream.get_or_insert_with(|| {
            Box::new(KeptStream {
                stream: Stream::new(epochs.next_epoch()),
                retention,
                used: now,
            })
        });
        kept.retention = retention;
        kept.used = kept.used.max(now);
        kept.stream.trim(now, retention);
        kept
    }

    /// When something of it is past its time.
    fn due(&self) -> Option<Time> {
        let kept = self.stream.as_ref()?;
        let oldest = kept.stream.oldest_expires(kept.retention);
        let lapses = self.listeners.is_empty().then(|| kept.lapses());
        [oldest, lapses].into_iter().flatten().min()
    }

    fn is_empty(&self) -> bool {
        self.stream.is_none() && self.listeners.is_empty() && self.members.is_none()
    }

    /// Remembers what a worker said of its subscriptions.
    fn listen(&mut self, origin: OriginId, subscribers: u32) {
        let at = self.listeners.iter().position(|l| l.origin == origin);
        match (at, subscribers) {
            (None, 0) => {}
            (None, _) => self.listeners.push(Listener {
                origin,
                subscribers,
            }),
            (Some(at), 0) => {
                self.listeners.swap_remove(at);
            }
            (Some(at), _) => self.listeners[at].subscribers = subscribers,
        }
    }

    fn subscribers(&self) -> u64 {
        self.listeners
            .iter()
            .map(|l| u64::from(l.subscribers))
            .sum()
    }

    /// Tells every worker with subscribers who came or went.
    fn tell(&self, origins: &Origins, wakes: &mut WakeSet, event: impl Fn() -> Delivery) {
        for listener in &self.listeners {
            let owner = origins.inbox(listener.origin).push_event(event());
            wakes.note(listener.origin, owner);
        }
    }
}

/// Some of the channels.
#[derive(Debug)]
pub(super) struct Shard {
    channels: HashMap<Channel, State>,
    timers: BinaryHeap<Reverse<(Time, Channel)>>,
    idempotency: IdempotencyKeys,
}

impl Shard {
    pub(super) fn new(keys_max: usize, keys_ttl: Duration) -> Self {
        Self {
            channels: HashMap::new(),
            timers: BinaryHeap::new(),
            idempotency: IdempotencyKeys::new(keys_max, keys_ttl),
        }
    }

    pub(super) fn subscribe(
        &mut self,
        now: Time,
        origin: OriginId,
        request: &Subscribe,
        room: &Room,
        epochs: &EpochSource,
    ) -> Result<Subscribed, EngineError> {
        let state = remembered(&mut self.channels, &request.channel, room)?;
        if let (Some(member), Some(members)) = (&request.member, &state.members)
            && members.admits(&member.info.client).is_err()
        {
            return Err(EngineError::LimitReached);
        }
        let mut position = None;
        let mut recovery = no_stream(request.catch_up);
        if let Some(retention) = request.retention {
            let stream = &state.use_stream(now, retention, epochs).stream;
            position = Some(stream.position());
            recovery = match request.catch_up {
                CatchUp::Now => Recovery::NotAsked,
                CatchUp::Since(since) => stream.recover(since),
                CatchUp::Last(count) => Recovery::Last(stream.last(count)),
            };
        }
        state.listen(origin, request.subscribers);
        Ok(Subscribed {
            channel: request.channel.clone(),
            position,
            recovery,
        })
    }

    pub(super) fn unsubscribe(&mut self, now: Time, origin: OriginId, request: &Unsubscribe) {
        let Some(state) = self.channels.get_mut(&request.channel) else {
            return;
        };
        state.trim(now); // while it still counts as subscribed to
        state.listen(origin, request.subscribers);
        if let Some(kept) = &mut state.stream {
            kept.used = kept.used.max(now);
        }
    }

    /// Forgets a channel of which nothing is left, and sets the timer of any other.
    pub(super) fn settle(&mut self, channel: &Channel, room: &Room) {
        let Some(state) = self.channels.get_mut(channel) else {
            return;
        };
        if state.is_empty() {
            self.channels.remove(channel);
            room.give_back();
        } else {
            schedule(&mut self.timers, channel, state);
        }
    }

    pub(super) fn join(
        &mut self,
        channel: &Channel,
        member: Member,
        origins: &Origins,
        wakes: &mut WakeSet,
    ) {
        let Some(state) = self.channels.get_mut(channel) else {
            return;
        };
        if !member.is_listed && !member.is_announced {
            return;
        }
        if let Some(info) = state.members.get_or_insert_default().join(member) {
            state.tell(origins, wakes, || Delivery::Join {
                channel: channel.clone(),
                info: Arc::clone(&info),
            });
        }
    }

    pub(super) fn leave(
        &mut self,
        channel: &Channel,
        client: &ClientId,
        origins: &Origins,
        wakes: &mut WakeSet,
    ) {
        let Some(state) = self.channels.get_mut(channel) else {
            return;
        };
        let Some(members) = &mut state.members else {
            return;
        };
        let left = members.leave(client);
        if members.is_empty() {
            state.members = None;
        }
        if let Some(info) = left {
            state.tell(origins, wakes, || Delivery::Leave {
                channel: channel.clone(),
                info: Arc::clone(&info),
            });
        }
    }

    pub(super) fn publish(
        &mut self,
        now: Time,
        request: Publish,
        room: &Room,
        epochs: &EpochSource,
        origins: &Origins,
        wakes: &mut WakeSet,
    ) -> Result<Option<Position>, EngineError> {
        let channel = request.channel;
        if let Some(key) = &request.idempotency_key
            && let Some(position) = self.idempotency.find(now, &channel, key)
        {
            return Ok(position);
        }
        let publication = Publication {
            payload: request.payload,
            position: None,
            info: request.info,
            tags: request.tags,
            time: now,
        };
        let publication = if let Some(retention) = request.retention {
            let state = remembered(&mut self.channels, &channel, room)?;
            let kept = state.use_stream(now, retention, epochs);
            let publication = kept.stream.append(now, retention, publication);
            schedule(&mut self.timers, &channel, state);
            publication
        } else {
            Arc::new(publication)
        };
        if let Some(state) = self.channels.get(&channel) {
            for listener in &state.listeners {
                let inbox = origins.inbox(listener.origin);
                wakes.note(
                    listener.origin,
                    inbox.push_publication(&channel, &publication),
                );
            }
        }
        if let Some(key) = request.idempotency_key {
            self.idempotency
                .remember(now, &channel, key, publication.position);
        }
        Ok(publication.position)
    }

    pub(super) fn history(
        &mut self,
        now: Time,
        request: &History,
    ) -> Result<HistoryRead, EngineError> {
        let state = self.channels.get_mut(&request.channel);
        let kept = state.and_then(|state| {
            state.trim(now);
            state.stream.as_ref()
        });
        if let Some(kept) = kept {
            return kept.stream.read(request.query);
        }
        match request.query.since {
            Some(since) if since.offset > 0 || since.epoch.is_some() => {
                Err(EngineError::UnrecoverablePosition)
            }
            _ => Ok(HistoryRead {
                publications: Vec::new(),
                position: None,
            }),
        }
    }

    pub(super) fn history_remove(&mut self, channel: &Channel) {
        let state = self.channels.get_mut(channel);
        if let Some(kept) = state.and_then(|state| state.stream.as_mut()) {
            kept.stream.clear();
        }
    }

    /// Who is listed; none if they are too many.
    pub(super) fn roster(&self, channel: &Channel) -> Option<Roster> {
        self.members(channel)
            .map_or_else(|| Some(Roster::new()), Members::roster)
    }

    pub(super) fn presence_stats(&self, channel: &Channel) -> PresenceStats {
        self.members(channel)
            .map_or_else(PresenceStats::default, Members::stats)
    }

    /// Adds channels with subscribers until there are `count_max`.
    pub(super) fn list(
        &self,
        pattern: &ChannelPattern,
        count_max: usize,
        found: &mut Vec<ChannelSummary>,
    ) {
        for (channel, state) in &self.channels {
            if found.len() >= count_max {
                return;
            }
            if !state.listeners.is_empty() && pattern.matches(channel.as_str()) {
                found.push(ChannelSummary {
                    channel: channel.clone(),
                    subscribers: state.subscribers(),
                });
            }
        }
    }

    pub(super) fn add_to(&self, info: &mut EngineInfo) {
        for state in self.channels.values() {
            info.channels_kept += 1;
            info.channels += u64::from(!state.listeners.is_empty());
            info.subscribers += state.subscribers();
            if let Some(kept) = &state.stream {
                info.publications += kept.stream.len() as u64;
                info.bytes += kept.stream.bytes() as u64;
            }
        }
    }

    /// Handles timers that are due, at most `budget`, which it lowers.
    pub(super) fn forget(&mut self, now: Time, budget: &mut usize, room: &Room) {
        self.idempotency.forget_expired(now);
        while *budget > 0 {
            match self.timers.peek() {
                Some(Reverse((time, _))) if *time <= now => {}
                _ => return,
            }
            let Some(Reverse((time, channel))) = self.timers.pop() else {
                return;
            };
            *budget -= 1;
            let Some(state) = self.channels.get_mut(&channel) else {
                continue;
            };
            if state.timer != Some(time) {
                continue; // an earlier one took its place
            }
            state.timer = None;
            state.trim(now);
            self.settle(&channel, room);
        }
    }

    fn members(&self, channel: &Channel) -> Option<&Members> {
        self.channels.get(channel)?.members.as_deref()
    }
}

/// What is remembered of `channel`; it takes up room if it is new.
fn remembered<'s>(
    channels: &'s mut HashMap<Channel, State>,
    channel: &Channel,
    room: &Room,
) -> Result<&'s mut State, EngineError> {
    if !channels.contains_key(channel) {
        room.take()?;
        channels.insert(channel.clone(), State::default());
    }
    channels.get_mut(channel).ok_or(EngineError::LimitReached)
}

/// Sees to it that a timer comes by when something of `state` is past its time.
fn schedule(
    timers: &mut BinaryHeap<Reverse<(Time, Channel)>>,
    channel: &Channel,
    state: &mut State,
) {
    if let Some(due) = state.due()
        && state.timer.is_none_or(|timer| due < timer)
    {
        state.timer = Some(due);
        timers.push(Reverse((due, channel.clone())));
    }
}

/// What can be had of the past without history.
fn no_stream(catch_up: CatchUp) -> Recovery {
    match catch_up {
        CatchUp::Now => Recovery::NotAsked,
        CatchUp::Since(_) => Recovery::NotRecovered,
        CatchUp::Last(_) => Recovery::Last(Vec::new()),
    }
}
