//! The draining side: a worker's turn as the server takes it, with a segment a channel that is handed out
//! at the end of the batch. In: what waits in an inbox. Out: whether there was any; a panic if an answer is
//! not what the model said, or a subscription gets what it is not owed next.
//!
//! Never: asks the engine anything but to let go of whoever was told.

use std::collections::BTreeSet;
use std::sync::Arc;

use fanfare_hub::{
    Activation, Answer, ChannelId, Delivery, EngineError, Position, Publication, Recovery,
    Response, Subscribed, Ticket,
};

use super::client::Sent;
use super::model::{Expected, ExpectedRecovery, id_of, ids_of};
use super::steps::Who;
use super::{Asking, OUTBOX_MAX, World};

impl World {
    /// A worker takes some of what waits, and has its turn. False: nothing waited.
    pub(super) fn drain_worker(&mut self, worker: usize) -> bool {
        let asking = &mut self.workers[worker].asking;
        let is_drained = asking.batch.len() == 0 || self.rng.bool();
        if is_drained {
            drain(asking);
            let events_lost = asking.batch.events_lost();
            assert_eq!(
                events_lost, self.workers[worker].events_lost,
                "of worker {worker}"
            );
        }
        let any = self.workers[worker].asking.batch.len();
        if any == 0 {
            return false;
        }
        self.workers[worker].turn += 1;
        let mut dirty = Vec::new();
        for delivery in self.some_of(worker, any) {
            self.deliver(worker, delivery, &mut dirty);
        }
        for channel in dirty {
            self.hand_out(worker, channel);
        }
        self.tell_insufficient(worker);
        if is_drained && self.workers[worker].asking.batch.len() == 0 {
            self.assert_told(worker);
        }
        self.close_slow(worker);
        true
    }

    /// Some of a batch, in an order that an engine across a network may give it: there an answer may
    /// overtake publications that it speaks of.
    fn some_of(&mut self, worker: usize, waiting: usize) -> Vec<Delivery> {
        let count = self.rng.usize(1..=waiting);
        let batch = &mut self.workers[worker].asking.batch;
        let mut some: Vec<Delivery> = batch.take(count).collect();
        for mut at in 1..some.len() {
            while at > 0 && may_overtake(&some[at - 1], &some[at]) && self.rng.u8(..4) > 0 {
                some.swap(at - 1, at);
                at -= 1;
                self.note("overtaken");
            }
        }
        some
    }

    pub(super) fn drain_api(&mut self) -> bool {
        let any = drain(&mut self.api);
        while let Some(delivery) = self.api.batch.next() {
            match delivery {
                Delivery::Answer(answer) => self.answered(Who::Api, *answer),
                other => panic!("the API did not ask for {other:?}"),
            }
        }
        any
    }

    pub(super) fn take_only_answer(&mut self) -> Response {
        drain(&mut self.api);
        match (self.api.batch.next(), self.api.batch.next()) {
            (Some(Delivery::Answer(answer)), None) => answer.outcome.expect("it can't fail"),
            other => panic!("{other:?}"),
        }
    }

    fn deliver(&mut self, number: usize, delivery: Delivery, dirty: &mut Vec<ChannelId>) {
        let worker = &mut self.workers[number];
        match delivery {
            Delivery::Publication {
                channel,
                publication,
            } => {
                let Some(id) = worker.table.accept(&channel, &publication) else {
                    return;
                };
                let (_, segment, _) = worker.table.channel_mut(id).expect("just accepted");
                if segment.is_empty() {
                    dirty.push(id);
                }
                segment.push(publication);
            }
            Delivery::Missed(missed) => worker.table.miss(&missed),
            Delivery::Answer(answer) => self.answered(Who::Worker(number), *answer),
            Delivery::Join { channel, info } => {
                let event = (true, channel.to_string(), info.client.to_string());
                self.happened(number, event);
            }
            Delivery::Leave { channel, info } => {
                let event = (false, channel.to_string(), info.client.to_string());
                self.happened(number, event);
            }
            Delivery::Order(_) => worker.orders -= 1,
        }
    }

    fn happened(&mut self, worker: usize, (is_join, channel, client): (bool, String, String)) {
        self.note("joins_and_leaves");
        let expected = self.workers[worker].events.pop_front();
        let Some(expected) = expected else {
            panic!("nobody came or went: {channel} {client}");
        };
        let name = self.channels[expected.1].name.to_string();
        assert_eq!((is_join, channel, client), (expected.0, name, expected.2));
    }

    fn answered(&mut self, who: Who, answer: Answer) {
        let Some(expected) = self.asking(who).open.remove(&answer.ticket) else {
            panic!("nobody asked for {answer:?}");
        };
        match (expected, answer.outcome) {
            (
                Expected::Subscribed {
                    subscription,
                    place,
                    recovery,
                },
                Ok(Response::Subscribed(subscribed)),
            ) => {
                self.epochs.assert_same(place, subscribed.position);
                assert_recovery(&recovery, &subscribed.recovery);
                self.subscribed(answer.ticket, subscription, &subscribed);
            }
            (Expected::Unsubscribed, Ok(Response::Unsubscribed))
            | (Expected::HistoryRemoved, Ok(Response::HistoryRemoved))
            | (Expected::Ordered, Ok(Response::Ordered)) => {}
            (Expected::Published(place), Ok(Response::Published(position))) => {
                self.epochs.assert_same(place, position);
            }
            (Expected::History(Some((ids, place))), Ok(Response::History(read))) => {
                assert_eq!(ids_of(&read.publications), ids);
                self.epochs.assert_same(place, read.position);
            }
            (Expected::History(None), Err(EngineError::UnrecoverablePosition)) => {}
            (Expected::Presence(clients), Ok(Response::Presence(roster))) => {
                let found: BTreeSet<_> = roster.iter().map(|i| i.client.to_string()).collect();
                assert_eq!(found.len(), roster.len(), "somebody is there twice");
                assert_eq!(found, clients.into_iter().collect());
            }
            (Expected::PresenceStats(clients, users), Ok(Response::PresenceStats(stats))) => {
                assert_eq!((stats.clients, stats.users), (clients, users));
            }
            (Expected::Channels(channels), Ok(Response::Channels(found))) => {
                let found = found
                    .into_iter()
                    .map(|s| (s.channel.to_string(), s.subscribers));
                assert_eq!(found.collect::<Vec<_>>(), channels);
            }
            other => panic!("{other:?}"),
        }
    }

    fn subscribed(&mut self, ticket: Ticket, number: usize, subscribed: &Subscribed) {
        let subscription = &mut self.subscriptions[number];
        let worker = &mut self.workers[subscription.worker];
        let activate = |worker: &mut super::Worker| {
            let position = subscribed.position;
            let is_positioned = subscription.is_positioned;
            worker.table.activate(ticket, position, is_positioned)
        };
        let activation = activate(worker);
        assert_eq!(activate(worker), Activation::Superseded, "answered twice");
        let Activation::Live { id, channel } = activation else {
            assert!(!subscription.is_open, "an answer is lost");
            self.note("superseded");
            return;
        };
        assert!(
            subscription.is_open,
            "an answer reached a subscription that had ended"
        );
        assert_eq!(id, subscription.id);
        subscription.is_answered = true;
        let (_, segment, _) = worker
            .table
            .channel_mut(channel)
            .expect("it is subscribed to");
        let behind = segment.len();
        let seat = worker.table.data_mut(id).expect("it is open");
        seat.turn = worker.turn;
        seat.behind = behind;
        self.reply(number, subscribed);
    }

    fn reply(&mut self, number: usize, subscribed: &Subscribed) {
        let subscription = &self.subscriptions[number];
        let recovered = match &subscribed.recovery {
            Recovery::Recovered(publications) => {
                let positions = publications.iter().map(|p| p.position.expect("it is kept"));
                Some(positions.collect())
            }
            _ => None,
        };
        self.clients[subscription.client]
            .outbox
            .push_back(Sent::Reply {
                channel: subscription.channel,
                recovered: recovered.clone().filter(|_| subscription.is_resumed),
                position: subscribed.position.filter(|_| subscription.is_positioned),
            });
        match recovered {
            Some(some) if !some.is_empty() => self.note("recovered"),
            Some(_) => self.note("recovered_nothing"),
            None if matches!(subscribed.recovery, Recovery::NotRecovered) => {
                self.note("not_recovered");
            }
            None => {}
        }
    }

    /// The end of a batch: every subscriber gets its part of a channel's segment.
    fn hand_out(&mut self, worker: usize, channel: ChannelId) {
        let Some((_, segment, _)) = self.workers[worker].table.channel_mut(channel) else {
            return;
        };
        let segment = std::mem::take(segment);
        let turn = self.workers[worker].turn;
        let mut handed = Vec::new();
        let (_, _, subscribers) = self.workers[worker]
            .table
            .channel_mut(channel)
            .expect("it was there");
        for subscriber in subscribers {
            let seat = subscriber.data();
            let behind = if seat.turn == turn { seat.behind } else { 0 };
            let part = segment[behind..].iter().position(|p| subscriber.takes(p));
            if let Some(first) = part {
                let part = &segment[behind + first..];
                assert!(
                    part.iter().all(|p| subscriber.takes(p)),
                    "a part has no holes"
                );
                handed.push((seat.subscription, part));
            }
        }
        for (subscription, part) in handed {
            for publication in part {
                self.hand(subscription, publication);
            }
        }
    }

    /// A subscription gets a publication: it must be the next that it is owed.
    fn hand(&mut self, number: usize, publication: &Arc<Publication>) {
        self.note("handed");
        let subscription = &mut self.subscriptions[number];
        assert!(
            subscription.is_open && subscription.is_answered,
            "{subscription:?}"
        );
        if !subscription.is_positioned {
            while subscription.owed.front().is_some_and(|owed| owed.is_lost) {
                subscription.owed.pop_front();
            }
        }
        let owed = subscription
            .owed
            .pop_front()
            .map(|owed| (owed.id, owed.is_lost));
        let id = id_of(publication);
        assert_eq!(owed, Some((id, false)), "{subscription:?} gets {id}");
        let position = publication.position.filter(|_| subscription.is_positioned);
        self.clients[subscription.client]
            .outbox
            .push_back(Sent::Publication {
                channel: subscription.channel,
                position,
            });
    }

    fn tell_insufficient(&mut self, worker: usize) {
        while let Some(id) = self.workers[worker].table.next_insufficient() {
            let number = self.subscription_of(worker, id);
            let subscription = &mut self.subscriptions[number];
            assert!(
                subscription.is_positioned && !subscription.is_told,
                "{subscription:?}"
            );
            let has_missed = subscription.owed.iter().any(|owed| owed.is_lost);
            // A mark that names no channel is for all of them.
            let is_named = self.limits.marks_max >= self.channels.len();
            assert!(
                has_missed || !is_named,
                "told of a hole that is none: {subscription:?}"
            );
            subscription.is_told = true;
            let client = subscription.client;
            self.note("told");
            if self.rng.bool() {
                self.unsubscribe(number);
            } else {
                self.cut(client);
            }
        }
    }

    /// With all taken nobody may have missed something without having been told.
    fn assert_told(&self, worker: usize) {
        for subscription in &self.subscriptions {
            let follows = subscription.is_open && subscription.is_positioned;
            if follows && subscription.worker == worker {
                let has_missed = subscription.owed.iter().any(|owed| owed.is_lost);
                assert!(
                    !has_missed,
                    "it has missed something, untold: {subscription:?}"
                );
            }
        }
    }

    /// A connection past its cap is closed; the others are not touched.
    fn close_slow(&mut self, worker: usize) {
        for client in 0..self.clients.len() {
            let connection = self.clients[client].connection;
            let is_here = connection.is_some_and(|connection| connection.worker == worker);
            if is_here && self.clients[client].outbox.len() > OUTBOX_MAX {
                self.note("slow");
                self.cut(client);
            }
        }
    }
}

/// Whether `answer` may come before `earlier`, which the engine gave first: only if that is a publication,
/// and a subscriber sees from its position that it has it.
fn may_overtake(earlier: &Delivery, answer: &Delivery) -> bool {
    let Delivery::Answer(answer) = answer else {
        return false;
    };
    let Ok(Response::Subscribed(subscribed)) = &answer.outcome else {
        return false;
    };
    match earlier {
        Delivery::Publication {
            channel,
            publication,
        } => {
            let epoch = |position: Option<Position>| position.map(|position| position.epoch);
            let is_seen = publication.position.is_some()
                && epoch(publication.position) == epoch(subscribed.position);
            *channel != subscribed.channel || is_seen
        }
        _ => false,
    }
}

/// Takes all that waits, and counts it as taken.
fn drain(asking: &mut Asking) -> bool {
    let any = asking.inbox.drain(&mut asking.batch);
    asking.open_count = 0;
    asking.waiting = 0;
    asking.waiting_bytes = 0;
    asking.waiting_events = 0;
    any
}

fn assert_recovery(expected: &ExpectedRecovery, recovery: &Recovery) {
    match (expected, recovery) {
        (ExpectedRecovery::NotAsked, Recovery::NotAsked)
        | (ExpectedRecovery::NotRecovered, Recovery::NotRecovered) => {}
        (ExpectedRecovery::Recovered(ids), Recovery::Recovered(publications))
        | (ExpectedRecovery::Last(ids), Recovery::Last(publications)) => {
            assert_eq!(ids_of(publications), *ids);
        }
        other => panic!("{other:?}"),
    }
}
