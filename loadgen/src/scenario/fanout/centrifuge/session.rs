//! One connection's conversation with the server. In: what arrives on it. Out: `connect`, `subscribe`
//! and pongs; publications to the [`Audience`](crate::scenario::fanout::audience::Audience), and who is
//! there, told that it missed something, or refused.
//!
//! What comes to a publisher, and to a subscriber that never reads, is passed over but for answers and
//! pings.
//!
//! Never: looks at a payload.

use super::Dialect;
use super::Positions;
use super::member::{Asking, Phase};
use crate::centrifuge::{self, Incoming, Objects, Outcome, Subscribed};
use crate::client::{Clients, Outbox, Piece};
use crate::clock::Nanos;
use crate::fault::{Fault, FaultClass};
use crate::scenario::fanout::worker::FanoutWorker;
use crate::stats::{Counter, Measure};

impl FanoutWorker<'_> {
    /// Connection `conn` is upgraded: it is to say who it is.
    pub(in crate::scenario::fanout) fn greet(&mut self, conn: usize) {
        self.members.open(conn);
    }

    /// What connection `conn` is to send now.
    #[inline]
    pub(in crate::scenario::fanout) fn speak(
        &mut self,
        conn: usize,
        now: Nanos,
        dialect: &Dialect,
        out: &mut Outbox,
    ) {
        let phase = self.members.phase(conn);
        if matches!(phase, Phase::Upgraded | Phase::Returning) {
            self.ask(conn, now, dialect, out);
        }
        for _ in 0..self.members.take_pongs(conn) {
            let pong = centrifuge::pong(dialect.encoding);
            out.message(dialect.encoding.kind(), &[pong]);
        }
        if conn >= self.audience.len() && phase == Phase::Subscribed {
            self.publish(conn, now, dialect, out);
        }
    }

    /// Says who it is, if that was not said, and subscribes.
    #[cold]
    fn ask(&mut self, conn: usize, now: Nanos, dialect: &Dialect, out: &mut Outbox) {
        let encoding = dialect.encoding;
        let number = self.slots.first + conn;
        let is_new = self.members.phase(conn) == Phase::Upgraded;
        self.scratch.clear();
        if is_new {
            let id = self.members.next_id(conn);
            centrifuge::connect(encoding, id, dialect.token(number), &mut self.scratch);
            if encoding == centrifuge::Encoding::Json {
                self.scratch.push(b'\n');
            }
        }
        let shared = &self.fanout.shared;
        let channel = &shared.channels[shared.layout.channel_of_connection(number)];
        let recovery = self.audience.recovery(conn);
        let asking = Asking {
            since: now,
            id: self.members.next_id(conn),
            recovers: recovery.is_some(),
        };
        let is_subscriber = conn < self.audience.len();
        let is_positioned = is_subscriber && dialect.positions != Positions::Unasked;
        centrifuge::subscribe(
            encoding,
            asking.id,
            channel,
            is_positioned,
            recovery,
            &mut self.scratch,
        );
        out.message(encoding.kind(), &[&self.scratch]);
        self.members.enter(
            conn,
            if is_new {
                Phase::Connecting(asking)
            } else {
                Phase::Subscribing(asking)
            },
        );
    }

    /// A piece of a message has come on connection `conn`.
    #[inline]
    pub(in crate::scenario::fanout) fn hear(
        &mut self,
        conn: usize,
        now: Nanos,
        dialect: &Dialect,
        piece: &Piece<'_>,
    ) {
        let is_kind = piece.kind == dialect.encoding.kind();
        if piece.offset == 0 && piece.ends_message {
            return self.take_objects(conn, now, dialect, piece.data, is_kind);
        }
        let partial = self.members.partial(conn);
        partial.push(piece.data, piece.offset == 0);
        let whole = partial.take_whole(dialect.encoding, piece.ends_message);
        self.take_objects(conn, now, dialect, &whole, is_kind);
    }

    #[inline]
    fn take_objects(
        &mut self,
        conn: usize,
        now: Nanos,
        dialect: &Dialect,
        bytes: &[u8],
        is_kind: bool,
    ) {
        for object in Objects::new(dialect.encoding, bytes) {
            match object.map(|object| dialect.encoding.decode(object)) {
                Ok(Some(Incoming::Publication {
                    channel,
                    publication,
                })) => {
                    if conn >= self.audience.len() || self.stalled.contains(conn) {
                        continue;
                    }
                    if self.is_due(conn, channel) {
                        self.audience.take_publication(
                            conn,
                            now,
                            dialect,
                            publication,
                            is_kind,
                            &mut self.tally,
                        );
                    }
                }
                Ok(Some(Incoming::Ping)) => self.members.ping(conn),
                Ok(Some(Incoming::Push)) => {}
                Ok(Some(Incoming::Unsubscribe {
                    channel,
                    code,
                    reason,
                })) => self.take_unsubscribe(conn, channel, code, &reason),
                Ok(Some(Incoming::Reply { id, outcome })) => {
                    self.take_reply(conn, now, dialect, id, outcome);
                }
                Ok(None) => self.take_garbage(conn, object.unwrap_or_default()),
                Err(rest) => self.take_garbage(conn, rest),
            }
        }
    }

    /// Whether a publication on `channel` may come to subscriber `conn`; another is counted.
    #[inline]
    fn is_due(&mut self, conn: usize, channel: &[u8]) -> bool {
        let is_subscribed = self.members.phase(conn) == Phase::Subscribed;
        if is_subscribed && self.audience.is_channel_of(conn, channel) {
            return true;
        }
        self.refuse_publication(conn, channel);
        false
    }

    #[cold]
    fn refuse_publication(&mut self, conn: usize, channel: &[u8]) {
        if self.members.phase(conn) == Phase::Away {
            return; // what it was is counted
        }
        let what = if self.audience.is_channel_of(conn, channel) {
            "a publication came outside of the subscription"
        } else {
            "a publication came on another channel"
        };
        let class = FaultClass::Mismatch;
        self.audience.count(1, conn, class, what, &mut self.tally);
    }

    /// Something came that is no object of the protocol.
    #[cold]
    fn take_garbage(&mut self, conn: usize, object: &[u8]) {
        let is_away = self.members.phase(conn) == Phase::Away;
        if conn < self.audience.len() && !self.stalled.contains(conn) && !is_away {
            let was_published = self.fanout.shared.stamps.is_within(object);
            self.audience.reject(conn, was_published, &mut self.tally);
        }
    }

    /// The server has ended the subscription of connection `conn`.
    #[cold]
    fn take_unsubscribe(&mut self, conn: usize, channel: &[u8], code: u32, reason: &str) {
        let is_reader = conn < self.audience.len() && !self.stalled.contains(conn);
        if !is_reader || self.members.phase(conn) == Phase::Away {
            return;
        }
        let is_subscribed = self.members.phase(conn) == Phase::Subscribed;
        if !is_subscribed || !self.audience.is_channel_of(conn, channel) {
            return self.count_unasked(conn, "an unsubscribe");
        }
        let told = &self.fanout.cuts.told;
        if u16::try_from(code).is_ok_and(|code| told.contains(&code)) {
            self.members.enter(conn, Phase::Unsubscribed);
            return self.tell(conn);
        }
        let why = format_args!("the server unsubscribed it: {code} {reason:?}");
        self.drop_member(conn, &Fault::new(FaultClass::Closed, why));
    }

    /// Something came that nothing had asked for.
    #[cold]
    fn count_unasked(&mut self, conn: usize, what: &str) {
        let why = format_args!("{what} came that nothing had asked for");
        self.count(conn, &Fault::new(FaultClass::Mismatch, why));
    }

    /// A command was answered.
    #[cold]
    fn take_reply(
        &mut self,
        conn: usize,
        now: Nanos,
        dialect: &Dialect,
        id: u32,
        outcome: Outcome<'_>,
    ) {
        match (self.members.phase(conn), outcome) {
            (Phase::Away, _) => {}
            (Phase::Connecting(asking), Outcome::Connected { wants_pongs }) if id == 1 => {
                self.members.want_pongs(conn, wants_pongs);
                self.members.enter(conn, Phase::Subscribing(asking));
            }
            (Phase::Connecting(_), Outcome::Refused { code, message }) if id == 1 => {
                let why = format_args!("connect: error {code}: {message}");
                self.drop_member(conn, &Fault::new(FaultClass::Handshake, why));
            }
            (Phase::Subscribing(asking), Outcome::Subscribed(subscribed)) if id == asking.id => {
                self.seat(conn, now, dialect, asking, &subscribed);
            }
            (Phase::Subscribing(asking), Outcome::Refused { code, message }) if id == asking.id => {
                let why = format_args!("subscribe: error {code}: {message}");
                self.drop_member(conn, &Fault::new(FaultClass::Handshake, why));
            }
            (_, outcome) => {
                let is_publisher = conn >= self.audience.len();
                if !is_publisher || !self.take_answer(conn, id, &outcome) {
                    self.count_unasked(conn, "an answer");
                }
            }
        }
    }

    /// Connection `conn` is subscribed.
    fn seat(
        &mut self,
        conn: usize,
        now: Nanos,
        dialect: &Dialect,
        asking: Asking,
        subscribed: &Subscribed<'_>,
    ) {
        self.members.enter(conn, Phase::Subscribed);
        if let Some(at) = conn.checked_sub(self.audience.len()) {
            self.publishers[at].is_open = true;
            return;
        }
        if self.stalled.contains(conn) {
            return;
        }
        let has_positions = subscribed.is_positioned || subscribed.is_recoverable;
        if dialect.positions == Positions::Required && !has_positions {
            let why = "subscribe: it was given no positions";
            return self.drop_member(conn, &Fault::new(FaultClass::Handshake, why));
        }
        let due = self.cuts.arrive(conn);
        if let Some(since) = due.filter(|&since| self.fanout.shared.is_measured(since)) {
            self.tally.record(Measure::Reconnect, now.since(since));
        }
        if asking.recovers && self.audience.is_continued(conn, subscribed) {
            self.tally.add(Counter::Resumes, 1);
            let is_whole = subscribed.past.each(|publication| {
                let tally = &mut self.tally;
                self.audience
                    .take_publication(conn, now, dialect, publication, true, tally);
            });
            if !is_whole {
                self.audience.reject(conn, false, &mut self.tally);
            }
            return;
        }
        if asking.recovers {
            if subscribed.has_recovered {
                let what = "subscribe: recovered, in another epoch";
                let class = FaultClass::Mismatch;
                self.audience.count(1, conn, class, what, &mut self.tally);
            }
            self.tally.add(Counter::Told, 1);
            self.audience.leave(conn, &mut self.tally);
        }
        self.audience.join(conn, &mut self.tally);
        self.audience.take_place(conn, subscribed);
    }

    /// Nothing more is expected of connection `conn`, for `fault`.
    #[cold]
    fn drop_member(&mut self, conn: usize, fault: &Fault) {
        self.members.drop_soon(conn);
        self.lose(conn, fault);
    }

    /// Gives up connections whose commands were not answered in time, and hangs up on those of which
    /// nothing more is expected.
    pub(in crate::scenario::fanout) fn expire_members(
        &mut self,
        now: Nanos,
        clients: &mut Clients<'_>,
    ) {
        let timeout = self.fanout.timing.timeout;
        while let Some(conn) = self.members.take_overdue(now, timeout) {
            let what = match self.members.phase(conn) {
                Phase::Connecting(_) => "connect",
                _ => "subscribe",
            };
            let why = format_args!("{what}: no answer in {timeout:?}");
            self.drop_member(conn, &Fault::new(FaultClass::Timeout, why));
        }
        while let Some(conn) = self.members.take_dropped() {
            clients.hang_up(conn);
        }
    }

    /// Subscriber `conn` subscribes again on the connection that it has, if it has one.
    pub(in crate::scenario::fanout) fn subscribe_again(
        &mut self,
        conn: usize,
        clients: &mut Clients<'_>,
    ) -> bool {
        let is_here = self.members.phase(conn) == Phase::Unsubscribed && clients.is_open(conn);
        if is_here {
            self.members.enter(conn, Phase::Returning);
            clients.refill(conn, self);
        }
        is_here
    }
}
