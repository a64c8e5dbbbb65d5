//! Everything at once, by seed: random commands, cuts and reconnects with recovery, answers late, in any order,
//! twice and for what has ended, orders, errors, full inboxes, and publications between all of it.
//!
//! Never: lets a client break a rule of the protocol: whatever it is closed for is something else's fault.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use fanfare_hub::{Action, Channel, ChannelOptions, EngineError, InboxLimits, Since};

use super::client::{Client, Tally, Truth, Truths};
use super::liveness::strike;
use super::orders::{subscribe_to, unsubscribe_from};
use super::requests::publish;
use super::told::Told;
use super::world::*;
use crate::codes::{ClientError, Disconnect};
use crate::command::{Connect, History, Method, Position, Refresh, Rpc, SubRefresh, Subscribe};
use crate::hook::{Granted, HookAnswer, HookEvent, HookFailed};
use crate::limits::PENDING_MAX;
use crate::session::{Number, PingKind};
use crate::token::{Claims, Overrides, TokenError, TokenKind};

const SEEDS: u64 = 500;
const STEPS: u32 = 400;
const CLIENTS: usize = 3;
const USERS: usize = 3;

const CHANNELS: [&str; 10] = [
    "force:a",
    "force:b",
    "hist:a",
    "hist:b",
    "open:a",
    "hook:a",
    "tiny:a",
    "$hist:p",
    "hist:x#u1",
    "shut:a",
];

/// Which channels there are, what was published, and who listens.
struct Play {
    rng: fastrand::Rng,
    world: World,
    clients: Vec<Client>,
    truths: Truths,
    /// Publications, so that no two are the same.
    published: u32,
    tally: Tally,
}

fn settings_of(rng: &mut fastrand::Rng) -> Settings {
    let mut settings = settings();
    let tiny = ChannelOptions {
        force_recovery: true,
        ..history(2)
    };
    settings.namespaces.add("tiny", tiny).unwrap();
    let client = &mut settings.client;
    client.has_connect_hook = rng.bool();
    client.has_refresh_hook = rng.bool();
    client.has_rpc_hook = rng.bool();
    client.personal_namespace = rng.bool().then(|| "force".into());
    client.pong_timeout = rng.bool().then_some(Duration::from_secs(8));
    client.commands_per_second_max = NonZeroU32::new(8).filter(|_| rng.u8(..4) == 0);
    settings
}

impl Play {
    fn new(seed: u64, tally: Tally) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let limits = InboxLimits {
            deliveries_max: rng.usize(3..20),
            ..InboxLimits::default()
        };
        let world = World::new(settings_of(&mut rng), limits, seed);
        let personal = (0..USERS).map(|user| format!("force:#u{user}"));
        let mut truths = BTreeMap::new();
        for name in CHANNELS.map(String::from).into_iter().chain(personal) {
            let channel = Channel::parse(&name).unwrap();
            let options = world.settings.namespaces.resolve(&channel).unwrap();
            world.observe(&channel, options.retention());
            let truth = Truth {
                texts: Vec::new(),
                has_positions: options.has_history(),
                history_size: options.history_size.into(),
            };
            truths.insert(name, truth);
        }
        let mut play = Self {
            rng,
            world,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            truths,
            published: 0,
            tally,
        };
        for at in 0..CLIENTS {
            play.connects(at);
        }
        play
    }

    fn channel(&mut self) -> String {
        let at = self.rng.usize(..self.truths.len() + 1);
        let name = self.truths.keys().nth(at);
        name.map_or_else(|| "nowhere:a".to_owned(), Clone::clone)
    }

    fn text(&mut self) -> String {
        self.published += 1;
        self.published.to_string()
    }

    /// One time in `n`.
    fn rarely(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    /// A connection, and connect on it, with where the client was.
    fn connects(&mut self, at: usize) {
        let conn = self.world.open(None, PingKind::Protocol);
        self.clients[at].moves_to(conn);
        let subs = self.clients[at].known.iter().map(|(channel, since)| {
            let was_in = Subscribe {
                recover: true,
                since: since.clone(),
                ..Subscribe::default()
            };
            (channel.clone(), was_in)
        });
        let request = Connect {
            subs: subs.collect(),
            token: if self.rng.bool() { "t" } else { "" }.to_owned(),
            ..Connect::default()
        };
        self.asks(at, Method::Connect(Box::new(request)));
    }

    fn asks(&mut self, at: usize, method: Method) {
        let client = &mut self.clients[at];
        if client.is_closed {
            return;
        }
        let id = client.asks(&method);
        self.world.queue(client.conn, id, method);
    }

    fn command(&mut self, at: usize) {
        let channel = self.channel();
        let method = match self.rng.u8(..16) {
            0..=5 => Method::Subscribe(Box::new(self.subscribe(at, channel))),
            6..=7 => Method::Unsubscribe { channel },
            8..=9 => {
                let text = self.text();
                publish(&channel, &text)
            }
            10 => Method::History(History {
                channel,
                limit: self.rng.i32(-1..20),
                since: None,
                reverse: self.rng.bool(),
            }),
            11 => Method::Presence { channel },
            12 => Method::PresenceStats { channel },
            13 if self.rng.bool() => Method::Refresh(Refresh {
                token: "t".to_owned(),
            }),
            13 => Method::SubRefresh(SubRefresh {
                token: channel.clone(),
                channel,
            }),
            14 => Method::Rpc(Rpc::default()),
            _ => Method::Send { data: "1".into() },
        };
        self.asks(at, method);
    }

    fn subscribe(&mut self, at: usize, channel: String) -> Subscribe {
        let known = self.clients[at].known.get(&channel).cloned();
        let mut since = known.clone().unwrap_or_default();
        if self.rarely(20) {
            since.epoch = "_".to_owned();
        }
        if self.rarely(20) {
            since = Position {
                offset: self.rng.u64(..30),
                epoch: String::new(),
            };
        }
        Subscribe {
            token: if channel.starts_with('$') || self.rarely(5) {
                channel.clone()
            } else {
                String::new()
            },
            channel,
            recover: known.is_some() || self.rarely(10),
            since,
            positioned: self.rng.bool(),
            recoverable: self.rng.bool(),
            join_leave: self.rng.bool(),
            flag: self.rng.u64(..8) & 2,
            ..Subscribe::default()
        }
    }

    fn ends_at(&mut self) -> Option<fanfare_hub::Time> {
        let seconds = self.rng.u64(1..60);
        (self.rarely(3)).then(|| self.world.now + Duration::from_secs(seconds))
    }

    /// Whatever a verifier could say.
    fn verifies(&mut self) {
        if self.world.verifies.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.world.verifies.len());
        self.world.verifies.swap(0, at);
        let (conn, _, kind, token) = self.world.verifies[0].clone();
        if self.rarely(12) {
            let error = match self.rng.u8(..5) {
                0 => TokenError::Invalid,
                1..=2 => TokenError::Expired,
                _ => TokenError::Unavailable,
            };
            return self.world.verified(Err(error));
        }
        let known = self
            .world
            .is_open(conn)
            .then(|| self.world.session(conn).info());
        let user = known.flatten().map(|info| info.user.as_str().to_owned());
        let mut claims = Claims {
            user: user.unwrap_or_else(|| format!("u{}", conn % USERS)),
            expires_at: self.ends_at(),
            ..Claims::default()
        };
        if kind == TokenKind::Subscription {
            claims.channel = token;
            claims.options.force_positioning = self.rarely(4).then_some(true);
        } else {
            claims.channels = self.channels();
        }
        self.world.verified(Ok(claims));
    }

    fn channels(&mut self) -> Vec<String> {
        let count = self.rng.usize(..3);
        let mut channels: Vec<String> = (0..count).map(|_| self.channel()).collect();
        channels.retain(|channel| channel != "nowhere:a" || self.published.is_multiple_of(8));
        channels
    }

    /// Whatever a backend could say.
    fn is_called(&mut self) {
        if self.world.calls.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.world.calls.len());
        self.world.calls.swap(0, at);
        let is_of_connect = matches!(self.world.calls[0].2.event, HookEvent::Connect { .. });
        let is_of_publish = matches!(self.world.calls[0].2.event, HookEvent::Publish { .. });
        let answer = match self.rng.u8(..40) {
            0..=1 => Err(HookFailed),
            2..=3 => Ok(HookAnswer::Error(ClientError::NOT_AVAILABLE)),
            4 => Ok(HookAnswer::Disconnect(Disconnect::FORCE_DISCONNECT)),
            _ => Ok(HookAnswer::Granted(Granted {
                user: format!("u{}", self.world.calls[0].0 % USERS),
                expire_at: self.ends_at(),
                channels: if is_of_connect {
                    self.channels()
                } else {
                    Vec::new()
                },
                skip_history: self.rarely(5),
                data: (is_of_publish && self.rarely(5)).then(|| self.text().into()),
                options: Overrides {
                    force_recovery: self.rarely(3).then_some(true),
                    ..Overrides::default()
                },
                ..Granted::default()
            })),
        };
        self.world.hooked(answer);
    }

    fn order(&mut self, at: usize) {
        let channel = self.channel();
        let conn = self.clients[at].conn;
        if channel == "nowhere:a" {
            let expire_at = self.ends_at();
            return self.world.order(conn, &Action::Refresh { expire_at });
        }
        let action = match self.rng.u8(..12) {
            0 => Action::Disconnect {
                code: 3011,
                reason: "go".into(),
            },
            1..=4 => unsubscribe_from(Some(&channel), if self.rng.bool() { 2000 } else { 2500 }),
            5 => unsubscribe_from(None, 2000),
            _ => {
                let mut action = subscribe_to(&self.world, &channel);
                let known = self.clients[at].known.get(&channel);
                if let Action::Subscribe { since, .. } = &mut action {
                    *since = known.map(Since::from);
                }
                action
            }
        };
        self.world.order(conn, &action);
    }

    /// Gives a session again what was answered, and what nobody has asked.
    fn strikes(&mut self, at: usize) {
        let conn = self.clients[at].conn;
        let number = Number(self.rng.u32(..60));
        if !self.world.is_open(conn) || self.world.waiting(conn, number).1 {
            return;
        }
        let (told, subscriptions) = (self.world.seats[conn].told.len(), self.world.table.len());
        let channel = self.channel();
        strike(&mut self.world, conn, number, &channel);
        assert_eq!(self.world.seats[conn].told.len(), told, "{number:?}");
        assert_eq!(self.world.table.len(), subscriptions);
    }

    fn step(&mut self) {
        let at = self.rng.usize(..CLIENTS);
        self.world.is_busy = self.rarely(40);
        match self.rng.u8(..50) {
            0..=11 => self.command(at),
            12..=22 if !self.world.requests.is_empty() => {
                let which = self.rng.usize(..self.world.requests.len());
                if self.rarely(15) {
                    self.world.fail(which, EngineError::Unavailable);
                } else {
                    self.world.work(which);
                }
            }
            23..=29 => {
                self.world.drain();
            }
            30..=35 => {
                let (channel, text) = (self.channel(), self.text());
                if channel != "nowhere:a" {
                    self.world.publish(&channel, &text);
                    while !self.rarely(3) {
                        let text = self.text();
                        self.world.publish(&channel, &text);
                    }
                }
            }
            36..=38 => self.verifies(),
            39..=41 => self.is_called(),
            42..=43 => self.order(at),
            44 => self.strikes(at),
            49 if self.rarely(12) => {
                for _ in 0..PENDING_MAX * 2 {
                    let channel = self.channel();
                    self.asks(at, Method::PresenceStats { channel });
                }
            }
            45..=47 => {
                let pause = Duration::from_millis(self.rng.u64(..5000));
                self.world.pass(pause);
            }
            48 if self.rarely(3) => {
                self.world.cut(self.clients[at].conn);
                self.listen();
                self.connects(at);
            }
            _ => {}
        }
        self.world.pass(Duration::ZERO);
        self.listen();
        for at in 0..CLIENTS {
            if self.clients[at].is_closed || (self.clients[at].has_failed && self.rarely(3)) {
                self.world.cut(self.clients[at].conn);
                self.connects(at);
            }
        }
    }

    /// Every client hears what it was told, and answers pings.
    fn listen(&mut self) {
        for (channel, publication) in self.world.observed() {
            let truth = self.truths.get_mut(channel.as_str()).unwrap();
            if publication.position.is_some() == truth.has_positions {
                let text = publication.payload.as_text().unwrap();
                truth.texts.push(text.to_owned());
            }
        }
        for at in 0..CLIENTS {
            let conn = self.clients[at].conn;
            let told: Vec<Told> = self.world.told(conn);
            for told in told {
                self.clients[at].hears(told, &self.truths, &mut self.tally);
            }
            if std::mem::take(&mut self.clients[at].owes_pong) && !self.rarely(8) {
                self.asks(at, Method::Pong);
            }
            if self.world.is_open(conn) {
                let (waiting, _) = self.world.waiting(conn, Number(0));
                assert!(waiting <= PENDING_MAX + CHANNELS_MAX, "{waiting} wait");
                assert!(self.world.session(conn).deadline() > self.world.now);
            }
        }
    }

    /// Everything that waits is answered; nothing may be left.
    fn end(mut self) -> Tally {
        self.world.is_busy = false;
        loop {
            self.world.settle(); // what is in the inbox is under way, too
            self.world.pass(Duration::ZERO);
            self.listen();
            if self.is_still() {
                break;
            }
            self.verifies();
            self.is_called();
        }
        for client in self.clients.iter().filter(|client| !client.is_closed) {
            assert!(self.world.seats[client.conn].backlog.is_empty() || client.has_failed);
            let (waiting, _) = self.world.waiting(client.conn, Number(0));
            assert_eq!(waiting, 0);
            if !client.has_failed {
                client.must_know_everything(&self.truths);
            }
            let table = &self.world.table;
            for channel in client.follows() {
                let token = fanfare_hub::ConnToken(client.conn as u64);
                assert!(table.find(token, channel.as_str()).is_some(), "{channel}");
            }
        }
        self.tally
    }

    fn is_still(&self) -> bool {
        let world = &self.world;
        world.requests.is_empty() && world.verifies.is_empty() && world.calls.is_empty()
    }
}

/// Says which seed it was, if it ends badly.
struct Seed {
    number: u64,
    has_ended_well: bool,
}

impl Drop for Seed {
    fn drop(&mut self) {
        if !self.has_ended_well {
            println!("seed {}", self.number);
        }
    }
}

#[test]
fn replies_match_ids_and_every_offset_comes_in_order_or_its_loss_is_told() {
    let mut tally = Tally::default();
    for number in 0..SEEDS {
        let mut seed = Seed {
            number,
            has_ended_well: false,
        };
        let mut play = Play::new(number, tally);
        for _ in 0..STEPS {
            play.step();
        }
        tally = play.end();
        seed.has_ended_well = true;
    }
    // A test in which nothing happens shows nothing.
    println!("{tally:?}");
    let happened = [
        ("replies", tally.replies, 10_000),
        ("publications", tally.publications, 10_000),
        ("recovered", tally.recovered, 300),
        ("not recovered", tally.not_recovered, 50),
        ("server-side", tally.server_side, 1000),
        ("subscribe pushes", tally.pushes, 500),
    ];
    for (what, count, least) in happened {
        assert!(count >= least, "{what}: {count}");
    }
    for code in [100, 102, 103, 104, 105, 108, 109, 111, 112] {
        assert!(tally.errors.contains_key(&code), "no error {code}");
    }
    for code in [3004, 3005, 3010, 3011, 3012, 3500, 3503] {
        assert!(tally.closes.contains_key(&code), "no close {code}");
    }
    for code in [2000, 2500, 2501] {
        assert!(
            tally.unsubscribes.contains_key(&code),
            "no unsubscribe {code}"
        );
    }
}
