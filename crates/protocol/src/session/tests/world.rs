//! A worker with sessions, on the real hub. In: commands, and when what is asked is answered. Out: what clients were
//! told.
//!
//! Requests wait until they are let through to the engine, in their order within a channel; tokens and calls of the
//! backend wait until the test answers them.
//!
//! Never: answers anything by itself.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fanfare_hub::*;

use super::desk::Desk;
pub(super) use super::settings::*;
use super::told::{Got, Told, owned};
use crate::codes::Disconnect;
use crate::command::{Command, Connect, Method};
use crate::hook::{HookAnswer, HookCall, HookFailed};
use crate::message::Encoding;
use crate::session::{Number, PingKind, Rules, Session, Taken, Terms};
use crate::token::{Claims, TokenError, TokenKind};

#[derive(Debug)]
struct NobodySleeps;

impl Wake for NobodySleeps {
    fn wake(&self) {}
}

/// A connection, by its place in [`World::seats`].
pub(super) type Conn = usize;

/// Of a ticket's token: it is a request's, not a subscription's.
pub(super) const REQUEST: u64 = 1 << 63;

pub(super) const CHANNELS_MAX: usize = 8;

pub(super) struct Seat {
    pub(super) session: Option<Session>,
    pub(super) told: Vec<Told>,
    held: Vec<Told>,
    /// Commands that were not taken yet.
    pub(super) backlog: VecDeque<Command>,
}

pub(super) struct World {
    pub(super) settings: Rc<Settings>,
    pub(super) now: Time,
    pub(super) engine: MemoryEngine,
    inbox: Arc<Inbox>,
    worker: OriginId,
    api: OriginId,
    api_inbox: Arc<Inbox>,
    pub(super) table: Subscriptions<(), Terms>,
    pub(super) seats: Vec<Seat>,
    pub(super) requests: Vec<(Option<Ticket>, Request)>,
    pub(super) verifies: Vec<(Conn, Number, TokenKind, String)>,
    pub(super) calls: Vec<(Conn, Number, HookCall)>,
    pub(super) is_busy: bool,
    pub(super) users_max: usize,
    /// Users whose connect was refused after they were known.
    pub(super) left: Vec<String>,
}

impl World {
    pub(super) fn new(settings: Settings, limits: InboxLimits, seed: u64) -> Self {
        let mut origins = Origins::default();
        let inbox = Arc::new(Inbox::new(limits, NobodySleeps));
        let worker = origins.add_worker(Arc::clone(&inbox));
        let api_inbox = Arc::new(Inbox::new(InboxLimits::default(), NobodySleeps));
        let api = origins.add_caller(Arc::clone(&api_inbox));
        Self {
            settings: Rc::new(settings),
            now: Time::from_millis(1_700_000_000_000),
            engine: MemoryEngine::new(MemoryConfig::new(seed), origins),
            inbox,
            worker,
            api,
            api_inbox,
            table: Subscriptions::new(CHANNELS_MAX),
            seats: Vec::new(),
            requests: Vec::new(),
            verifies: Vec::new(),
            calls: Vec::new(),
            is_busy: false,
            users_max: usize::MAX,
            left: Vec::new(),
        }
    }

    /// One that changes `settings`.
    pub(super) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        Self::new(settings, InboxLimits::default(), 1)
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(Rc::make_mut(&mut self.settings));
    }

    pub(super) fn open(&mut self, token: Option<&str>, pings: PingKind) -> Conn {
        let conn = self.seats.len();
        let settings = Rc::clone(&self.settings);
        let rules = rules(&settings, self.now);
        let client = ClientId::from(format!("client-{conn}").as_str());
        let session = Session::new(client, Encoding::Json, token.map(Into::into), pings, &rules);
        self.seats.push(Seat {
            session: Some(session),
            told: Vec::new(),
            held: Vec::new(),
            backlog: VecDeque::new(),
        });
        conn
    }

    /// An anonymous client that is connected; what it was told of that is forgotten.
    pub(super) fn connected(&mut self) -> Conn {
        let conn = self.open(None, PingKind::Protocol);
        assert_eq!(self.command(conn, 1, connect("")), Some(Taken::Done));
        assert!(
            self.session(conn).is_connected(),
            "{:?}",
            self.seats[conn].told
        );
        self.seats[conn].told.clear();
        conn
    }

    /// The same, of a user with a token.
    pub(super) fn connected_as(&mut self, claims: Claims) -> Conn {
        let conn = self.open(None, PingKind::Protocol);
        assert_eq!(self.command(conn, 1, connect("token")), Some(Taken::Done));
        self.verified(Ok(claims));
        self.settle();
        assert!(
            self.session(conn).is_connected(),
            "{:?}",
            self.seats[conn].told
        );
        self.seats[conn].told.clear();
        conn
    }

    /// What waits for an answer, and whether something waits for `number`.
    pub(super) fn waiting(&self, conn: Conn, number: Number) -> (usize, bool) {
        let pending = &self.session(conn).pending;
        (pending.len(), pending.has(number))
    }

    pub(super) fn session(&self, conn: Conn) -> &Session {
        self.seats[conn].session.as_ref().expect("it is open")
    }

    pub(super) fn is_open(&self, conn: Conn) -> bool {
        self.seats[conn].session.is_some()
    }

    /// None: it is closed.
    pub(super) fn command(&mut self, conn: Conn, id: u32, method: Method) -> Option<Taken> {
        let command = Command { id, method };
        self.run(conn, |session, rules, desk| {
            session.on_command(command, rules, desk)
        })
    }

    /// Puts a command behind those that wait, and gives what is taken.
    pub(super) fn queue(&mut self, conn: Conn, id: u32, method: Method) {
        self.seats[conn].backlog.push_back(Command { id, method });
        self.take_backlog(conn);
    }

    fn take_backlog(&mut self, conn: Conn) {
        while let Some(command) = self.seats[conn].backlog.front().cloned() {
            let run = self.run_once(conn, |session, rules, desk| {
                session.on_command(command, rules, desk)
            });
            if run != Some(Taken::Done) {
                break;
            }
            self.seats[conn].backlog.pop_front();
        }
    }

    pub(super) fn run<T>(
        &mut self,
        conn: Conn,
        act: impl FnOnce(&mut Session, &Rules<'_>, &mut Desk<'_>) -> Result<T, Disconnect>,
    ) -> Option<T> {
        let done = self.run_once(conn, act)?;
        self.take_backlog(conn);
        Some(done)
    }

    fn run_once<T>(
        &mut self,
        conn: Conn,
        act: impl FnOnce(&mut Session, &Rules<'_>, &mut Desk<'_>) -> Result<T, Disconnect>,
    ) -> Option<T> {
        let mut session = self.seats[conn].session.take()?;
        let settings = Rc::clone(&self.settings);
        let rules = rules(&settings, self.now);
        let mut desk = Desk { world: self, conn };
        match act(&mut session, &rules, &mut desk) {
            Ok(done) => {
                let seat = &mut self.seats[conn];
                if session.is_connected() {
                    let held = std::mem::take(&mut seat.held);
                    seat.told.extend(held);
                }
                seat.session = Some(session);
                Some(done)
            }
            Err(disconnect) => {
                self.seats[conn].told.push(Told::Closed(disconnect));
                self.cut(conn);
                None
            }
        }
    }

    /// The connection is gone.
    pub(super) fn cut(&mut self, conn: Conn) {
        self.seats[conn].session = None;
        self.seats[conn].backlog.clear();
        let ids: Vec<_> = self.table.of(ConnToken(conn as u64)).collect();
        for id in ids {
            self.close(id, conn);
        }
    }

    pub(super) fn close(&mut self, id: SubscriptionId, conn: Conn) -> Option<Closed<Terms>> {
        let closed = self.table.close(id)?;
        let client = ClientId::from(format!("client-{conn}").as_str());
        let request = Unsubscribe {
            channel: closed.channel.clone(),
            subscribers: closed.subscribers,
            client: closed.data.is_member.then_some(client),
        };
        self.requests.push((None, Request::Unsubscribe(request)));
        Some(closed)
    }

    /// Lets the first request of a channel through. `at` is where one of the channel stands.
    pub(super) fn work(&mut self, at: usize) {
        let channel = channel_of(&self.requests[at].1).clone();
        let is_of_it = |(_, request): &(_, Request)| *channel_of(request) == channel;
        let first = self.requests.iter().position(is_of_it).unwrap();
        let (ticket, request) = self.requests.remove(first);
        self.engine
            .request(self.now, self.worker, ticket, request)
            .unwrap();
    }

    /// The engine fails with a subscribe or another request that is answered.
    pub(super) fn fail(&mut self, at: usize, error: EngineError) {
        let Some(ticket) = self.requests[at].0 else {
            return;
        };
        self.requests.remove(at);
        self.answer(Answer {
            ticket,
            outcome: Err(error),
        });
    }

    /// Takes what is in the inbox. False: nothing was.
    pub(super) fn drain(&mut self) -> bool {
        let mut batch = Batch::default();
        if !self.inbox.drain(&mut batch) {
            return false;
        }
        for delivery in &mut batch {
            match delivery {
                Delivery::Publication {
                    channel,
                    publication,
                } => self.fan_out(&channel, &publication),
                Delivery::Missed(missed) => self.table.miss(&missed),
                Delivery::Answer(answer) => self.answer(*answer),
                Delivery::Join { .. } | Delivery::Leave { .. } => {}
                Delivery::Order(order) => panic!("{order:?}"),
            }
        }
        while let Some(id) = self.table.next_insufficient() {
            let (_, subscriber) = self.table.subscription(id).unwrap();
            let conn = usize::try_from(subscriber.conn().0).unwrap();
            let closed = self.close(id, conn).unwrap();
            self.run(conn, |session, rules, desk| {
                session.on_insufficient(&closed.channel, closed.data, rules, desk)
            });
        }
        true
    }

    fn fan_out(&mut self, channel: &Channel, publication: &Publication) {
        let Some(id) = self.table.accept(channel, publication) else {
            return;
        };
        let Some((_, (), subscribers)) = self.table.channel_mut(id) else {
            return;
        };
        for subscriber in subscribers.iter().filter(|s| s.takes(publication)) {
            let seat = &mut self.seats[usize::try_from(subscriber.conn().0).unwrap()];
            let told = Told::Publication(channel.as_str().to_owned(), owned(publication));
            if seat.session.as_ref().unwrap().is_connected() {
                seat.told.push(told);
            } else {
                seat.held.push(told);
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        let Answer { ticket, outcome } = answer;
        let conn = usize::try_from(ticket.token & !REQUEST).unwrap();
        if ticket.token & REQUEST != 0 {
            let number = Number(u32::try_from(ticket.generation).unwrap());
            self.run(conn, |session, rules, desk| {
                session.on_answer(number, outcome, rules, desk)
            });
            return;
        }
        let id = SubscriptionId::from_generation(ticket.generation);
        let Some((_, subscriber)) = self.table.subscription(id) else {
            return; // superseded
        };
        let terms = *subscriber.data();
        match outcome {
            Ok(Response::Subscribed(subscribed)) => {
                let position = subscribed.position;
                match self.table.activate(ticket, position, terms.is_positioned) {
                    Activation::Superseded => {}
                    Activation::Live { .. } => {
                        self.run(conn, |session, rules, desk| {
                            session.on_subscribed(terms.number, subscribed, rules, desk)
                        });
                    }
                }
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                self.close(id, conn);
                self.run(conn, |session, rules, desk| {
                    session.on_answer(terms.number, Err(error), rules, desk)
                });
            }
        }
    }

    /// Until the engine and the inbox are still.
    pub(super) fn settle(&mut self) {
        loop {
            while !self.requests.is_empty() {
                self.work(0);
            }
            if !self.drain() && self.requests.is_empty() {
                return;
            }
        }
    }

    /// From now on whatever reaches `channel` is [`observed`](Self::observed).
    pub(super) fn observe(&self, channel: &Channel, retention: Option<Retention>) {
        let request = Request::Subscribe(Subscribe {
            channel: channel.clone(),
            subscribers: 1,
            retention,
            catch_up: CatchUp::Now,
            member: None,
        });
        self.engine
            .request(self.now, self.api, None, request)
            .unwrap();
    }

    /// What has reached channels since the last time.
    pub(super) fn observed(&self) -> Vec<(Channel, Arc<Publication>)> {
        let mut batch = Batch::default();
        self.api_inbox.drain(&mut batch);
        let publications = batch.filter_map(|delivery| match delivery {
            Delivery::Publication {
                channel,
                publication,
            } => Some((channel, publication)),
            Delivery::Missed(missed) => panic!("{missed:?}"),
            _ => None,
        });
        publications.collect()
    }

    /// Somebody else publishes.
    pub(super) fn publish(&self, channel: &str, text: &str) {
        let channel = Channel::parse(channel).unwrap();
        let retention = self
            .settings
            .namespaces
            .resolve(&channel)
            .unwrap()
            .retention();
        let request = Request::Publish(Publish {
            channel,
            payload: Payload::json(text.to_owned()),
            tags: Tags::default(),
            info: None,
            retention,
            idempotency_key: None,
        });
        self.engine
            .request(self.now, self.api, None, request)
            .unwrap();
    }

    /// Answers the oldest token.
    pub(super) fn verified(&mut self, result: Result<Claims, TokenError>) {
        let (conn, number, ..) = self.verifies.remove(0);
        self.run(conn, |session, rules, desk| {
            session.on_verified(number, result, rules, desk)
        });
    }

    /// Answers the oldest call.
    pub(super) fn hooked(&mut self, result: Result<HookAnswer, HookFailed>) {
        let (conn, number, _) = self.calls.remove(0);
        self.run(conn, |session, rules, desk| {
            session.on_hook(number, result, rules, desk)
        });
    }

    pub(super) fn order(&mut self, conn: Conn, action: &Action) {
        self.run(conn, |session, rules, desk| {
            session.on_order(action, rules, desk)
        });
    }

    /// Time goes on, deadline by deadline.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let open = self.seats.iter().enumerate();
            let due = open.filter_map(|(conn, seat)| {
                let session = seat.session.as_ref()?;
                Some((session.deadline(), conn))
            });
            match due.min() {
                Some((due, conn)) if due <= end => {
                    self.now = self.now.max(due);
                    self.run(conn, |session, rules, desk| {
                        session.on_deadline(rules, desk)
                    });
                    let is_past =
                        |seat: &Seat| seat.session.as_ref().is_some_and(|s| s.deadline() <= due);
                    assert!(
                        !is_past(&self.seats[conn]),
                        "a deadline that stays is a spin"
                    );
                }
                _ => break,
            }
        }
        self.now = end;
    }

    pub(super) fn told(&mut self, conn: Conn) -> Vec<Told> {
        std::mem::take(&mut self.seats[conn].told)
    }

    /// The one thing that it was told.
    pub(super) fn told_one(&mut self, conn: Conn) -> Told {
        let mut told = self.told(conn);
        assert_eq!(told.len(), 1, "{told:?}");
        told.remove(0)
    }

    /// The one thing that it was told: the reply to `id`.
    pub(super) fn reply(&mut self, conn: Conn, id: u32) -> Got {
        match self.told_one(conn) {
            Told::Reply(to, got) if to == id => got,
            other => panic!("no reply to {id}: {other:?}"),
        }
    }

    /// The code of the one thing that it was told: an error reply to `id`.
    pub(super) fn error(&mut self, conn: Conn, id: u32) -> u32 {
        match self.reply(conn, id) {
            Got::Error(error) => error.code,
            other => panic!("no error: {other:?}"),
        }
    }

    /// The code of the last thing that it was told: a close.
    pub(super) fn closed(&mut self, conn: Conn) -> u16 {
        match self.told(conn).pop() {
            Some(Told::Closed(disconnect)) => {
                assert!(!disconnect.reason.is_empty());
                disconnect.code
            }
            other => panic!("not closed: {other:?}"),
        }
    }
}

fn rules(settings: &Settings, now: Time) -> Rules<'_> {
    Rules {
        namespaces: &settings.namespaces,
        client: &settings.client,
        now,
    }
}

pub(super) fn channel_of(request: &Request) -> &Channel {
    match request {
        Request::Subscribe(request) => &request.channel,
        Request::Unsubscribe(request) => &request.channel,
        Request::Publish(request) => &request.channel,
        Request::History(request) => &request.channel,
        Request::Presence(channel) | Request::PresenceStats(channel) => channel,
        other => panic!("a session asks for no {other:?}"),
    }
}

pub(super) fn connect(token: &str) -> Method {
    Method::Connect(Box::new(Connect {
        token: token.to_owned(),
        ..Connect::default()
    }))
}
