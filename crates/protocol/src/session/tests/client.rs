//! A client that believes nothing: what it is told is compared with what it asked and with what was published.
//!
//! Never: knows the session; looks into the table.

use std::collections::{BTreeMap, HashMap};

use fanfare_hub::{Channel, Publication};

use super::told::{Got, Told};
use super::world::Conn;
use crate::command::{Method, Position, Subscribe};
use crate::message::Subscription;

/// Everything that was published to a channel, in order.
#[derive(Default)]
pub(super) struct Truth {
    pub(super) texts: Vec<String>,
    pub(super) has_positions: bool,
    pub(super) history_size: u64,
}

pub(super) type Truths = BTreeMap<String, Truth>;

/// How often something happened, over all seeds: a test in which nothing happens proves nothing.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) replies: u32,
    pub(super) errors: BTreeMap<u32, u32>,
    pub(super) closes: BTreeMap<u16, u32>,
    pub(super) unsubscribes: BTreeMap<u32, u32>,
    pub(super) publications: u32,
    pub(super) recovered: u32,
    pub(super) not_recovered: u32,
    pub(super) server_side: u32,
    pub(super) pushes: u32,
}

/// What a client knows of a subscription.
#[derive(Debug)]
struct Followed {
    is_positioned: bool,
    is_recoverable: bool,
    epoch: String,
    /// The last offset, where it is positioned; else how much of the truth has gone by.
    offset: u64,
}

#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) conn: Conn,
    next_id: u32,
    /// Commands without a reply.
    asked: HashMap<u32, Method>,
    followed: BTreeMap<String, Followed>,
    /// Where it was in what it could recover.
    pub(super) known: BTreeMap<String, Position>,
    pub(super) owes_pong: bool,
    /// It was told to answer pings.
    answers_pings: bool,
    pub(super) is_connected: bool,
    pub(super) is_closed: bool,
    pub(super) has_failed: bool,
}

impl Client {
    /// The same client, whose connection was cut, on another one.
    pub(super) fn moves_to(&mut self, conn: Conn) {
        *self = Self {
            conn,
            next_id: self.next_id,
            known: std::mem::take(&mut self.known),
            ..Self::default()
        };
    }

    /// The id for a command that it sends.
    pub(super) fn asks(&mut self, method: &Method) -> u32 {
        if let Method::Pong | Method::Send { .. } = method {
            return 0;
        }
        self.next_id += 1;
        self.asked.insert(self.next_id, method.clone());
        self.next_id
    }

    pub(super) fn hears(&mut self, told: Told, truths: &Truths, tally: &mut Tally) {
        assert!(!self.is_closed, "after the close: {told:?}");
        match told {
            Told::Reply(id, got) => {
                let asked = self.asked.remove(&id);
                let asked = asked.unwrap_or_else(|| panic!("nothing was asked as {id}: {got:?}"));
                tally.replies += 1;
                self.is_answered(asked, got, truths, tally);
            }
            Told::Publication(channel, publication) => {
                tally.publications += 1;
                self.takes(&channel, &publication, truths);
            }
            Told::Unsubscribed(channel, why) => {
                *tally.unsubscribes.entry(why.code).or_default() += 1;
                assert!(!why.reason.is_empty());
                let was = self.followed.remove(&channel);
                assert!(was.is_some(), "{channel} was not subscribed to");
            }
            Told::Subscribed(subscription) => {
                tally.pushes += 1;
                assert!(self.is_connected, "{subscription:?} before connect's reply");
                self.begins(&subscription, None, truths);
            }
            Told::Refreshed(_) => assert!(self.is_connected),
            Told::Ping => {
                assert!(!self.owes_pong, "a second ping");
                self.owes_pong = self.answers_pings;
            }
            Told::Closed(disconnect) => {
                *tally.closes.entry(disconnect.code).or_default() += 1;
                assert!(!disconnect.reason.is_empty());
                let is_rude = disconnect.code == 3501 && !self.has_failed;
                assert!(!is_rude, "it broke no rule");
                self.is_closed = true;
            }
        }
    }

    fn is_answered(&mut self, asked: Method, got: Got, truths: &Truths, tally: &mut Tally) {
        match (asked, got) {
            (asked, Got::Error(error)) => {
                *tally.errors.entry(error.code).or_default() += 1;
                self.has_failed |= matches!(asked, Method::Connect(_));
            }
            (Method::Connect(request), Got::Connect(reply)) => {
                self.is_connected = true;
                self.answers_pings = reply.pong;
                for subscription in reply.subs {
                    tally.server_side += 1;
                    let was = request.subs.get(subscription.channel.as_str());
                    self.begins(&subscription, Some(was), truths);
                    tally.count(&subscription);
                }
            }
            (Method::Subscribe(asked), Got::Subscribe(subscription)) => {
                assert_eq!(asked.channel, subscription.channel.as_str());
                tally.count(&subscription);
                self.begins(&subscription, Some(Some(&asked)), truths);
            }
            (Method::Unsubscribe { channel }, Got::Unsubscribe) => {
                self.followed.remove(&channel);
            }
            (Method::History(asked), Got::History(publications, _)) => {
                let mut offsets = publications.iter().map(|p| p.position.unwrap().offset);
                let mut last = offsets.next();
                for offset in offsets {
                    let step = if asked.reverse { -1 } else { 1 };
                    assert_eq!(
                        last.and_then(|at| at.checked_add_signed(step)),
                        Some(offset)
                    );
                    last = Some(offset);
                }
            }
            (Method::Publish(_), Got::Publish)
            | (Method::Presence { .. }, Got::Presence(_))
            | (Method::PresenceStats { .. }, Got::PresenceStats(_))
            | (Method::Refresh(_), Got::Refresh(_))
            | (Method::SubRefresh(_), Got::SubRefresh(_))
            | (Method::Rpc(_), Got::Rpc(_)) => {}
            (asked, got) => panic!("{asked:?} was answered with {got:?}"),
        }
    }

    /// `asked`: what it asked, if anything; of a push nobody says.
    fn begins(
        &mut self,
        subscription: &Subscription,
        asked: Option<Option<&Subscribe>>,
        truths: &Truths,
    ) {
        let channel = subscription.channel.as_str();
        assert!(!self.followed.contains_key(channel), "{channel} twice");
        let terms = subscription.terms;
        let since = asked
            .flatten()
            .filter(|asked| asked.recover)
            .map(|asked| &asked.since);
        if asked.is_some() {
            let is_asked = since.is_some() && terms.is_recoverable;
            assert_eq!(subscription.was_recovering, is_asked, "{subscription:?}");
        }
        assert!(terms.is_positioned || !terms.is_recoverable);
        assert_eq!(subscription.position.is_some(), terms.is_positioned);
        let mut followed = Followed {
            is_positioned: terms.is_positioned,
            is_recoverable: terms.is_recoverable,
            epoch: String::new(),
            offset: 0,
        };
        if let Some(position) = subscription.position {
            followed.epoch = position.epoch.to_string();
            followed.offset = position.offset;
        }
        if let (Some(since), true) = (since, subscription.was_recovering) {
            let top = followed.offset;
            if subscription.recovered {
                assert_eq!(followed.offset, since.offset, "it starts where it was");
            } else {
                let is_lost = (!since.epoch.is_empty() && since.epoch != followed.epoch)
                    || since.offset > top
                    || top - since.offset > truths[channel].history_size;
                assert!(is_lost, "it could recover: {since:?} {subscription:?}");
            }
        }
        self.followed.insert(channel.to_owned(), followed);
        self.remembers(channel);
        for publication in &subscription.publications {
            assert!(subscription.recovered);
            self.takes(channel, publication, truths);
        }
    }

    fn takes(&mut self, channel: &str, publication: &Publication, truths: &Truths) {
        assert!(self.is_connected, "a publication before connect's reply");
        let followed = self.followed.get_mut(channel);
        let followed = followed.unwrap_or_else(|| panic!("{channel} is not subscribed to"));
        let text = publication.payload.as_text().unwrap();
        let truth = &truths[channel];
        match publication.position {
            Some(position) => {
                assert_eq!(
                    truth.texts[usize::try_from(position.offset - 1).unwrap()],
                    text
                );
                if followed.is_positioned {
                    assert_eq!(position.epoch.to_string(), followed.epoch);
                    assert_eq!(position.offset, followed.offset + 1, "a hole in {channel}");
                } else {
                    assert!(position.offset > followed.offset, "twice");
                }
                followed.offset = position.offset;
            }
            None if truth.has_positions => {} // its history was skipped
            None => {
                let from = usize::try_from(followed.offset).unwrap();
                let at = truth.texts[from..].iter().position(|t| t == text);
                let at = at.unwrap_or_else(|| panic!("{text} out of order, or twice"));
                followed.offset = (from + at + 1) as u64;
            }
        }
        self.remembers(channel);
    }

    fn remembers(&mut self, channel: &str) {
        let followed = &self.followed[channel];
        if followed.is_recoverable {
            let position = Position {
                offset: followed.offset,
                epoch: followed.epoch.clone(),
            };
            self.known.insert(channel.to_owned(), position);
        }
    }

    /// Nothing is under way any more.
    pub(super) fn must_know_everything(&self, truths: &Truths) {
        assert!(self.asked.is_empty(), "no replies to {:?}", self.asked);
        for (channel, followed) in &self.followed {
            let top = truths[channel].texts.len() as u64;
            let has_all = !followed.is_positioned || followed.offset == top;
            assert!(
                has_all,
                "{channel}: {followed:?} of {top}, and nobody said so"
            );
        }
    }

    pub(super) fn follows(&self) -> impl Iterator<Item = Channel> {
        self.followed
            .keys()
            .map(|name| Channel::parse(name).unwrap())
    }
}

impl Tally {
    fn count(&mut self, subscription: &Subscription) {
        if subscription.was_recovering {
            if subscription.recovered {
                self.recovered += 1;
            } else {
                self.not_recovered += 1;
            }
        }
    }
}
