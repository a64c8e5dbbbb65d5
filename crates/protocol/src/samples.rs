//! Replies and pushes for the tests of both wires. In: a seed, or nothing. Out: values, nasty ones by seed.
//!
//! Never: knows a wire.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_hub::{
    Channel, ClientInfo, Epoch, Payload, Position, PresenceStats, Publication, Tags, Time,
};

use crate::codes::{ClientError, Unsubscribed};
use crate::message::{
    ConnectResult, Expiry, Outcome, Push, Reply, Subscription, SubscriptionResult,
};
use crate::session::Terms;

/// What replies and pushes borrow from.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) error: ClientError,
    pub(crate) why: Unsubscribed,
    pub(crate) client: String,
    pub(crate) version: String,
    pub(crate) session: String,
    pub(crate) node: String,
    pub(crate) channel: String,
    pub(crate) data: Bytes,
    pub(crate) expiry: Expiry,
    pub(crate) ping: u32,
    pub(crate) pong: bool,
    pub(crate) time: u64,
    pub(crate) stats: PresenceStats,
    pub(crate) position: Option<Position>,
    pub(crate) infos: Vec<Arc<ClientInfo>>,
    pub(crate) publications: Vec<Arc<Publication>>,
    /// Never empty.
    pub(crate) subs: Vec<Subscription>,
}

impl World {
    /// Every field has a value.
    pub(crate) fn fixed() -> Self {
        let info = Arc::new(ClientInfo {
            user: "u".into(),
            client: "i".into(),
            connection_info: Some(Bytes::from_static(b"{}")),
            channel_info: Some(Bytes::from_static(b"\0")),
        });
        let position = |offset| {
            let epoch = Epoch::parse("2a").expect("an epoch");
            Some(Position { epoch, offset })
        };
        let publication = |json: &str, offset, info, tags: &[(&str, &str)], time| {
            Arc::new(Publication {
                payload: Payload::json(json.to_owned()),
                position: position(offset),
                info,
                tags: Tags::from_pairs(tags.iter().copied()).expect("few"),
                time: Time::from_millis(time),
            })
        };
        let small = publication("1", 4, None, &[], 0);
        let tags = [("a", "1"), ("b", "2")];
        let time = 1_700_000_000_000;
        let full = publication("{\"a\":1}", 1 << 40, Some(Arc::clone(&info)), &tags, time);
        let terms = terms(true, true);
        Self {
            error: ClientError::INTERNAL,
            why: Unsubscribed::INSUFFICIENT_STATE,
            client: "i".to_owned(),
            version: "v".to_owned(),
            session: "s".to_owned(),
            node: "n".to_owned(),
            channel: "c".to_owned(),
            data: Bytes::from_static(b"5"),
            expiry: Expiry(Some(60)),
            ping: 25,
            pong: true,
            time,
            stats: PresenceStats {
                clients: 2,
                users: 1,
            },
            position: position(4),
            infos: vec![info],
            publications: vec![Arc::clone(&small), full],
            subs: vec![Subscription {
                channel: Channel::parse("c").expect("a channel"),
                terms,
                position: position(3),
                was_recovering: true,
                recovered: true,
                publications: vec![small],
                expiry: Expiry(Some(60)),
                data: Bytes::from_static(b"5"),
            }],
        }
    }

    pub(crate) fn random(seed: u64) -> Self {
        let mut random = Random(fastrand::Rng::with_seed(seed));
        let random = &mut random;
        Self {
            error: ClientError {
                code: random.0.u32(..),
                message: random.text(20).into(),
                is_temporary: random.0.bool(),
            },
            why: Unsubscribed {
                code: random.0.u32(..),
                reason: random.text(20).into(),
            },
            client: random.text(9),
            version: random.text(9),
            session: random.text(9),
            node: random.text(9),
            channel: random.channel(0).to_string(),
            data: random.data(),
            expiry: random.expiry(),
            ping: random.0.u32(0..3),
            pong: random.0.bool(),
            time: random.0.u64(0..1 << 45),
            stats: PresenceStats {
                clients: random.0.u64(0..3),
                users: random.0.u64(0..3),
            },
            position: random.position(),
            infos: random.some(5, Random::info),
            publications: random.some(8, |random, _| random.publication()),
            subs: [0]
                .into_iter()
                .chain(1..random.0.usize(1..4))
                .map(|n| random.subscription(n))
                .collect(),
        }
    }

    /// One of each outcome, and an error in front.
    pub(crate) fn replies(&self) -> Vec<Reply<'_>> {
        let outcomes = vec![
            Outcome::Connect(ConnectResult {
                client: &self.client,
                version: &self.version,
                expiry: self.expiry,
                data: &self.data,
                subs: &self.subs,
                ping: self.ping,
                pong: self.pong,
                session: &self.session,
                node: &self.node,
                time: self.time,
            }),
            Outcome::Subscribe(SubscriptionResult(&self.subs[0])),
            Outcome::Unsubscribe,
            Outcome::Publish,
            Outcome::Presence(&self.infos),
            Outcome::PresenceStats(self.stats),
            Outcome::History {
                publications: &self.publications,
                position: self.position,
            },
            Outcome::Refresh {
                client: &self.client,
                version: &self.version,
                expiry: self.expiry,
            },
            Outcome::SubRefresh(self.expiry),
            Outcome::Rpc { data: &self.data },
        ];
        let outcomes = [Err(&self.error)]
            .into_iter()
            .chain(outcomes.into_iter().map(Ok));
        (1..)
            .zip(outcomes)
            .map(|(id, outcome)| Reply { id, outcome })
            .collect()
    }

    /// One of each kind, and one for each publication and client behind it.
    pub(crate) fn pushes(&self) -> Vec<Push<'_>> {
        let channel = &self.channel;
        let publications = self.publications.iter();
        let publications = publications.map(|publication| Push::Publication {
            channel,
            publication,
        });
        let infos = self.infos.iter();
        let members =
            infos.flat_map(|info| [Push::Join { channel, info }, Push::Leave { channel, info }]);
        let others = [
            Push::Unsubscribe {
                channel,
                why: &self.why,
            },
            Push::Subscribe(SubscriptionResult(&self.subs[0])),
            Push::Message { data: &self.data },
            Push::Refresh(self.expiry),
        ];
        publications.chain(members).chain(others).collect()
    }
}

fn terms(is_positioned: bool, is_recoverable: bool) -> Terms {
    let mut terms = Terms::default();
    terms.is_positioned = is_positioned;
    terms.is_recoverable = is_recoverable;
    terms
}

struct Random(fastrand::Rng);

impl Random {
    fn some<T>(&mut self, max: usize, mut item: impl FnMut(&mut Self, usize) -> T) -> Vec<T> {
        let count = self.0.usize(0..=max);
        (0..count).map(|n| item(self, n)).collect()
    }

    /// Any characters, those that need an escape more often than others.
    fn text(&mut self, len_max: usize) -> String {
        let len = self.0.usize(0..=len_max);
        let nasty = [
            '"', '\\', '\n', '\r', '\0', '\u{1f}', '\u{7f}', '\u{2028}', '🎺',
        ];
        let character = |random: &mut fastrand::Rng| match random.u8(0..4) {
            0 => nasty[random.usize(0..nasty.len())],
            1 => random.char(..),
            _ => random.alphanumeric(),
        };
        (0..len).map(|_| character(&mut self.0)).collect()
    }

    /// No two of the same number.
    fn channel(&mut self, n: usize) -> Channel {
        let odd = ["\"", "\\", "$", ":", "#", "'", "/"];
        let name = format!("{n}{}", odd[self.0.usize(0..odd.len())]);
        Channel::parse(&name).expect("ASCII")
    }

    /// JSON or not, with newlines or without, or nothing.
    fn data(&mut self) -> Bytes {
        match self.0.u8(0..4) {
            0 => Bytes::new(),
            1 => self.json().replace(',', ",\r\n").into(),
            2 => self.json().into(),
            _ => (0..self.0.usize(0..40)).map(|_| self.0.u8(..)).collect(),
        }
    }

    fn json(&mut self) -> String {
        let text = serde_json::to_string(&self.text(12)).expect("a text is JSON");
        format!(
            "{{\"a\":[{},{}],{text}:null}}",
            self.0.u64(..),
            self.0.bool()
        )
    }

    fn payload(&mut self) -> Payload {
        match self.0.u8(0..3) {
            0 => Payload::json(self.json()),
            1 => Payload::text(self.text(30)),
            _ => Payload::binary(self.data()),
        }
    }

    fn expiry(&mut self) -> Expiry {
        Expiry(self.0.bool().then(|| self.0.u32(0..3)))
    }

    fn position(&mut self) -> Option<Position> {
        let epoch = Epoch::parse(&format!("{:x}", self.0.u64(1..)))?;
        let offset = match self.0.bool() {
            true => self.0.u64(0..3),
            false => self.0.u64(..),
        };
        self.0.bool().then_some(Position { epoch, offset })
    }

    /// No two of the same number.
    fn info(&mut self, n: usize) -> Arc<ClientInfo> {
        Arc::new(ClientInfo {
            user: self.text(6).as_str().into(),
            client: format!("{n}{}", self.text(6)).as_str().into(),
            connection_info: self.0.bool().then(|| self.data()),
            channel_info: self.0.bool().then(|| self.data()),
        })
    }

    fn publication(&mut self) -> Arc<Publication> {
        let tags = self.some(3, |random, _| (random.text(5), random.text(5)));
        Arc::new(Publication {
            payload: self.payload(),
            position: self.position(),
            info: self.0.bool().then(|| self.info(0)),
            tags: Tags::from_pairs(tags).expect("few"),
            time: Time::from_millis(self.0.u64(0..3) << self.0.u8(0..40)),
        })
    }

    fn subscription(&mut self, n: usize) -> Subscription {
        Subscription {
            channel: self.channel(n),
            terms: terms(self.0.bool(), self.0.bool()),
            position: self.position(),
            was_recovering: self.0.bool(),
            recovered: self.0.bool(),
            publications: self.some(3, |random, _| random.publication()),
            expiry: self.expiry(),
            data: self.data(),
        }
    }
}
