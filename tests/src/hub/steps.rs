//! What may happen: each step is a request of somebody's, or time that passes. What the engine must answer
//! is taken from the model at once, and compared when the answer is taken.
//!
//! Never: looks at an answer.

use std::sync::Arc;

use fanfare_hub::{
    Busy, CatchUp, ClientInfo, ConnToken, Engine, Epoch, IdempotencyKey, Member, OpenError,
    Payload, Publish, Request, Since, Subscribe, SubscriptionId, Tags, Ticket, Time, Unsubscribe,
};

use super::client::Connection;
use super::model::Expected;
use super::{KEYS_TTL_MILLIS, Owed, Seat, Subscription, World};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    Worker(usize),
    Api,
}

impl World {
    /// One thing happens.
    pub(super) fn step(&mut self) {
        match self.rng.u8(..100) {
            0..30 => self.publish(),
            30..45 => self.subscribe(),
            45..50 => self.unsubscribe_some(),
            50..53 => {
                let client = self.rng.usize(..self.clients.len());
                self.cut(client);
            }
            53..63 => {
                let client = self.rng.usize(..self.clients.len());
                self.read_some(client);
            }
            63..77 => {
                let worker = self.rng.usize(..self.workers.len());
                self.drain_worker(worker);
            }
            77..80 => {
                self.drain_api();
            }
            80..88 => self.pass(),
            88..90 => {
                let _ = self.tick();
            }
            90..97 => self.ask(),
            97..98 => self.remove_history(),
            _ => self.order(),
        }
    }

    fn pass(&mut self) {
        self.now += match self.rng.u8(..20) {
            0 => self.rng.u64(100..600),
            1..4 => self.rng.u64(10..60),
            _ => self.rng.u64(0..4),
        };
    }

    pub(super) fn any_channel(&mut self) -> usize {
        self.rng.usize(..self.channels.len())
    }

    pub(super) fn anyone(&mut self) -> Who {
        if self.rng.bool() {
            Who::Api
        } else {
            Who::Worker(self.rng.usize(..self.workers.len()))
        }
    }

    pub(super) fn asking(&mut self, who: Who) -> &mut super::Asking {
        match who {
            Who::Worker(worker) => &mut self.workers[worker].asking,
            Who::Api => &mut self.api,
        }
    }

    /// Makes a request that is answered; notes what the answer must say. Whether it is refused is known,
    /// too.
    pub(super) fn request(
        &mut self,
        who: Who,
        now: u64,
        ticket: Ticket,
        request: Request,
    ) -> Result<(), Busy> {
        let requests_max = self.limits.requests_max;
        let asking = self.asking(who);
        let is_full = asking.open_count >= requests_max;
        let origin = asking.origin;
        let asked = self
            .engine
            .request(Time::from_millis(now), origin, Some(ticket), request);
        assert_eq!(asked.is_err(), is_full, "{who:?} is refused wrongly");
        match asked {
            Ok(()) => self.asking(who).open_count += 1,
            Err(Busy) => self.note("busy"),
        }
        asked
    }

    /// The same for whatever is no subscription.
    pub(super) fn query(&mut self, who: Who, now: u64, request: Request) -> Option<Ticket> {
        let asking = self.asking(who);
        asking.next_ticket += 1;
        let ticket = Ticket {
            token: u64::MAX,
            generation: asking.next_ticket,
        };
        self.request(who, now, ticket, request).ok()?;
        Some(ticket)
    }

    pub(super) fn expect(&mut self, who: Who, ticket: Ticket, expected: Expected) {
        let before = self.asking(who).open.insert(ticket, expected);
        assert!(before.is_none(), "{ticket:?} is open twice");
    }

    fn publish(&mut self) {
        let channel = self.any_channel();
        let who = self.anyone();
        let key = (self.rng.u8(..5) == 0).then(|| self.rng.u8(..4).to_string());
        // One TTL for keys in all of a shard: their clocks must not be mixed.
        let now = if key.is_some() {
            self.now
        } else {
            self.skewed_now()
        };
        let model = &self.channels[channel];
        let is_skipped = self.rng.u8(..10) == 0;
        let retention = model.retention.filter(|_| !is_skipped);
        let id = self.next_publication;
        self.next_publication += 1;
        let padding = ".".repeat(self.rng.usize(..12));
        let request = Request::Publish(Publish {
            channel: model.name.clone(),
            payload: Payload::text(format!("{id}{padding}")),
            tags: Tags::default(),
            info: None,
            retention,
            idempotency_key: key.as_ref().map(|key| IdempotencyKey::parse(key).unwrap()),
        });
        let bytes = id.to_string().len() + padding.len();
        let ticket = if self.rng.bool() {
            let Some(ticket) = self.query(who, now, request) else {
                return;
            };
            Some(ticket)
        } else {
            let origin = self.asking(who).origin;
            let asked = self
                .engine
                .request(Time::from_millis(now), origin, None, request);
            assert_eq!(asked, Ok(()), "without a ticket nothing is refused");
            None
        };
        let known = key.and_then(|key| {
            let key = (channel, key);
            match self.keys.get(&key) {
                Some((place, expires)) if *expires > now => Some(*place),
                _ => {
                    // Its place is filled in below.
                    self.keys.insert(key.clone(), (None, now + KEYS_TTL_MILLIS));
                    self.keyed = Some(key);
                    None
                }
            }
        });
        let place = if let Some(place) = known {
            self.note("repeated");
            place
        } else {
            self.publish_in_model(channel, now, id, bytes, retention.is_some())
        };
        if let Some(ticket) = ticket {
            self.expect(who, ticket, Expected::Published(place));
        }
    }

    fn publish_in_model(
        &mut self,
        channel: usize,
        now: u64,
        id: u64,
        bytes: usize,
        with_offset: bool,
    ) -> Option<super::model::Place> {
        if with_offset {
            self.note("published");
            if self.channels[channel].begin(now) {
                self.note("epochs_lost");
            }
        } else {
            self.note("published_bare");
        }
        let place = self.channels[channel].publish(id, with_offset);
        if let Some(key) = self.keyed.take() {
            self.keys.entry(key).and_modify(|done| done.0 = place);
        }
        let listening: Vec<usize> = self.channels[channel].listening.keys().copied().collect();
        for worker in listening {
            let is_lost = !self.inbox_takes(worker, bytes);
            if is_lost {
                self.note("lost");
            }
            for subscription in &mut self.subscriptions {
                let is_here = subscription.channel == channel && subscription.worker == worker;
                if subscription.is_open && is_here {
                    subscription.owed.push_back(Owed { id, is_lost });
                }
            }
        }
        place
    }

    /// Whether a worker's inbox has room, which then is used.
    fn inbox_takes(&mut self, worker: usize, bytes: usize) -> bool {
        let asking = &mut self.workers[worker].asking;
        let bytes_fit =
            asking.waiting_bytes == 0 || asking.waiting_bytes + bytes <= self.limits.bytes_max;
        let takes = asking.waiting < self.limits.deliveries_max && bytes_fit;
        if takes {
            asking.waiting += 1;
            asking.waiting_bytes += bytes;
        }
        takes
    }

    /// A client's connection; a new one if it has none.
    fn connection(&mut self, client: usize) -> Connection {
        if let Some(connection) = self.clients[client].connection {
            return connection;
        }
        let worker = self.rng.usize(..self.workers.len());
        let is_free = |token: u64| {
            let mut connections = self.clients.iter().filter_map(|c| c.connection);
            connections.all(|c| c.worker != worker || c.token.0 != token)
        };
        let connection = Connection {
            worker,
            // The same tokens again and again: only generations tell old answers from new.
            token: ConnToken((0..).find(|token| is_free(*token)).expect("some is free")),
        };
        self.clients[client].connection = Some(connection);
        self.connections += 1;
        connection
    }

    fn subscribe(&mut self) {
        let client = self.rng.usize(..self.clients.len());
        let channel = self.any_channel();
        let Connection { worker, token } = self.connection(client);
        let now = self.skewed_now();
        let name = self.channels[channel].name.clone();
        let is_there = self
            .subscriptions
            .iter()
            .any(|s| s.is_open && s.client == client && s.channel == channel);
        let held = self.subscriptions.iter();
        let held = held.filter(|s| s.is_open && s.client == client).count();
        let seat = Seat {
            subscription: self.subscriptions.len(),
            turn: 0,
            behind: 0,
        };
        let opened = match self.workers[worker].table.open(token, &name, seat) {
            Ok(opened) => opened,
            Err(error) => {
                let expected = if is_there {
                    OpenError::AlreadySubscribed
                } else {
                    OpenError::TooManyChannels
                };
                assert_eq!(error, expected, "client {client} holds {held}");
                return;
            }
        };
        assert!(!is_there && held < super::CHANNELS_PER_CONNECTION_MAX);
        assert_eq!(opened.subscribers, self.subscribers(worker, channel) + 1);
        self.read_all(client); // it asks for what it has missed since what it has read
        let (catch_up, is_resumed) = self.any_catch_up(client, channel);
        let member = self.any_member();
        let request = Request::Subscribe(Subscribe {
            channel: name,
            subscribers: opened.subscribers,
            retention: self.channels[channel].retention,
            catch_up,
            member: member.clone(),
        });
        let ticket = Ticket {
            token: token.0,
            generation: opened.id.generation(),
        };
        let asked = self.request(Who::Worker(worker), now, ticket, request);
        if asked.is_err() {
            self.workers[worker]
                .table
                .close(opened.id)
                .expect("it was just opened");
            return;
        }
        let model = &mut self.channels[channel];
        let is_epoch_lost = model.begin(now);
        let (place, recovery) = model.catch_up(catch_up, &self.epochs);
        model.listen(worker, opened.subscribers);
        if is_epoch_lost {
            self.note("epochs_lost");
        }
        let is_positioned = place.is_some() && (is_resumed || self.rng.bool());
        self.subscriptions.push(Subscription {
            client,
            channel,
            worker,
            id: opened.id,
            is_positioned,
            is_answered: false,
            is_told: false,
            is_open: true,
            member: member.as_ref().map(|m| m.info.client.to_string()),
            is_resumed,
            owed: std::collections::VecDeque::new(),
        });
        let subscription = self.subscriptions.len() - 1;
        let expected = Expected::Subscribed {
            subscription,
            place,
            recovery,
        };
        self.expect(Who::Worker(worker), ticket, expected);
        if let Some(member) = member {
            self.join_in_model(channel, member);
        }
    }

    /// Where to start from, and whether that is where the client was.
    fn any_catch_up(&mut self, client: usize, channel: usize) -> (CatchUp, bool) {
        let position = self.clients[client].position(channel);
        match (self.rng.u8(..10), position) {
            (0..6, Some(position)) => (CatchUp::Since(position.into()), true),
            (6, _) => {
                let offset = self.rng.u64(..12);
                let epoch = if self.rng.bool() {
                    Some(Epoch::FOREIGN)
                } else {
                    position.map(|position| position.epoch)
                };
                (CatchUp::Since(Since { offset, epoch }), false)
            }
            (7, _) => (CatchUp::Last(self.rng.u32(..6)), false),
            _ => (CatchUp::Now, false),
        }
    }

    fn any_member(&mut self) -> Option<Member> {
        if self.rng.bool() {
            return None;
        }
        let client = format!("{}", self.subscriptions.len());
        Some(Member {
            info: Arc::new(ClientInfo {
                user: self.rng.u8(..3).to_string().as_str().into(),
                client: client.as_str().into(),
                connection_info: None,
                channel_info: None,
            }),
            is_listed: self.rng.bool(),
            is_announced: self.rng.bool(),
        })
    }

    fn join_in_model(&mut self, channel: usize, member: Member) {
        let client = member.info.client.to_string();
        let is_announced = member.is_announced;
        self.channels[channel]
            .members
            .insert(client.clone(), member);
        if is_announced {
            self.announce(true, channel, &client);
        }
    }

    fn announce(&mut self, is_join: bool, channel: usize, client: &str) {
        let listening: Vec<usize> = self.channels[channel].listening.keys().copied().collect();
        for worker in listening {
            let asking = &mut self.workers[worker].asking;
            if asking.waiting_events < self.limits.events_max {
                asking.waiting_events += 1;
                let event = (is_join, channel, client.to_owned());
                self.workers[worker].events.push_back(event);
            } else {
                self.workers[worker].events_lost += 1;
                self.note("events_lost");
            }
        }
    }

    /// Open subscriptions, by counting.
    fn subscribers(&self, worker: usize, channel: usize) -> u32 {
        let open = self
            .subscriptions
            .iter()
            .filter(|s| s.is_open && s.worker == worker && s.channel == channel);
        u32::try_from(open.count()).expect("they are few")
    }

    fn unsubscribe_some(&mut self) {
        let open: Vec<usize> = (0..self.subscriptions.len())
            .filter(|n| self.subscriptions[*n].is_open)
            .collect();
        if let Some(subscription) = self.rng.choice(&open) {
            self.unsubscribe(*subscription);
        }
    }

    /// Ends a subscription, answered or not.
    pub(super) fn unsubscribe(&mut self, number: usize) {
        let subscription = &mut self.subscriptions[number];
        subscription.is_open = false;
        let (worker, channel, id) = (subscription.worker, subscription.channel, subscription.id);
        let member = subscription.member.clone();
        let closed = self.workers[worker].table.close(id).expect("it is open");
        assert_eq!(closed.channel, self.channels[channel].name);
        assert_eq!(closed.subscribers, self.subscribers(worker, channel));
        assert_eq!(closed.data.subscription, number);
        let now = self.skewed_now();
        let request = Request::Unsubscribe(Unsubscribe {
            channel: closed.channel,
            subscribers: closed.subscribers,
            client: member.as_deref().map(Into::into),
        });
        // A caller that waits gets an answer, but one that leaves does not wait to be let go.
        let ticket = if self.rng.bool() {
            None
        } else {
            let asking = &mut self.workers[worker].asking;
            (asking.open_count < self.limits.requests_max).then(|| {
                asking.next_ticket += 1;
                Ticket {
                    token: u64::MAX,
                    generation: asking.next_ticket,
                }
            })
        };
        if let Some(ticket) = ticket {
            let asked = self.request(Who::Worker(worker), now, ticket, request);
            asked.expect("there is room");
            self.expect(Who::Worker(worker), ticket, Expected::Unsubscribed);
        } else {
            let origin = self.workers[worker].asking.origin;
            let asked = self
                .engine
                .request(Time::from_millis(now), origin, None, request);
            asked.expect("without a ticket nothing is refused");
        }
        let model = &mut self.channels[channel];
        model.look(now);
        model.listen(worker, closed.subscribers);
        model.touch(now);
        if let Some(client) = member {
            let left = model.members.remove(&client);
            if left.is_some_and(|member| member.is_announced) {
                self.announce(false, channel, &client);
            }
        }
    }

    /// A client's connection is gone, and what it has not read with it.
    pub(super) fn cut(&mut self, client: usize) {
        let Some(Connection { worker, token }) = self.clients[client].connection.take() else {
            return;
        };
        self.read_some(client);
        self.clients[client].outbox.clear();
        while let Some(id) = self.workers[worker].table.any_of(token) {
            let number = self.subscription_of(worker, id);
            assert_eq!(self.subscriptions[number].client, client);
            self.unsubscribe(number);
        }
        let mut left = self.subscriptions.iter();
        assert!(
            !left.any(|s| s.is_open && s.client == client),
            "some are forgotten"
        );
    }

    pub(super) fn subscription_of(&self, worker: usize, id: SubscriptionId) -> usize {
        let found = self.workers[worker].table.subscription(id);
        found.expect("it is open").1.data().subscription
    }
}
