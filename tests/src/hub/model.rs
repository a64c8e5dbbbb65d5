//! What a channel is, naively: every publication there ever was, and which of them count. In: what is asked
//! of the engine. Out: what it must answer.
//!
//! Never: throws anything away; shares a structure with the hub.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fanfare_hub::{
    CatchUp, Channel, Epoch, HistoryQuery, Member, Position, Publication, Retention, Since,
};

/// A place in the model's stream: the number of the channel's epoch, and an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) epoch: (usize, u32),
    pub(super) offset: u64,
}

/// A publication with an offset.
#[derive(Clone, Copy, Debug)]
struct Published {
    id: u64,
    place: Place,
    time: u64,
}

/// The id that a publication's payload carries.
pub(super) fn id_of(publication: &Publication) -> u64 {
    let text = publication.payload.as_text().expect("all are texts");
    text.trim_end_matches('.').parse().expect("all are numbers")
}

/// What an answer must say.
#[derive(Debug)]
pub(super) enum Expected {
    Subscribed {
        subscription: usize,
        place: Option<Place>,
        recovery: ExpectedRecovery,
    },
    Unsubscribed,
    Published(Option<Place>),
    /// None: the position can't be recovered.
    History(Option<(Vec<u64>, Option<Place>)>),
    HistoryRemoved,
    Presence(Vec<String>),
    PresenceStats(u64, u64),
    /// Channels, and subscriptions to each.
    Channels(Vec<(String, u64)>),
    Ordered,
}

/// What a subscriber must get of the past.
#[derive(Debug)]
pub(super) enum ExpectedRecovery {
    NotAsked,
    Recovered(Vec<u64>),
    NotRecovered,
    Last(Vec<u64>),
}

/// The hub's epochs by the model's.
#[derive(Debug, Default)]
pub(super) struct ModelEpochs {
    known: HashMap<(usize, u32), Epoch>,
}

impl ModelEpochs {
    /// The hub's position must be the model's place, and an epoch that the model calls another must be
    /// another.
    pub(super) fn assert_same(&mut self, place: Option<Place>, position: Option<Position>) {
        let (Some(place), Some(position)) = (place, position) else {
            assert_eq!(
                (place.is_some(), position.is_some()),
                (false, false),
                "{place:?} {position:?}"
            );
            return;
        };
        assert_eq!(place.offset, position.offset, "{place:?} is not {position}");
        match self.known.get(&place.epoch) {
            Some(known) => assert_eq!(*known, position.epoch, "{place:?} has another epoch"),
            None => {
                let is_new = self.known.values().all(|known| *known != position.epoch);
                assert!(is_new, "{place:?} has an epoch that was there before");
                self.known.insert(place.epoch, position.epoch);
            }
        }
    }

    pub(super) fn known(&self, epoch: (usize, u32)) -> Option<Epoch> {
        self.known.get(&epoch).copied()
    }
}

/// A channel.
#[derive(Debug)]
pub(super) struct ModelChannel {
    number: usize,
    pub(super) name: Channel,
    pub(super) retention: Option<Retention>,
    /// How many epochs there were.
    epochs: u32,
    /// Whether the last of them still is.
    is_alive: bool,
    top: u64,
    /// Up to this offset publications were removed.
    removed: u64,
    /// The latest that a request has seen of the clock in this epoch.
    seen: u64,
    used: u64,
    all: Vec<Published>,
    /// Subscriptions of each worker.
    pub(super) listening: BTreeMap<usize, u32>,
    pub(super) members: BTreeMap<String, Member>,
}

impl ModelChannel {
    pub(super) fn new(number: usize, retention: Option<Retention>) -> Self {
        Self {
            number,
            name: Channel::parse(&format!("c{number}")).expect("it is legal"),
            retention,
            epochs: 0,
            is_alive: false,
            top: 0,
            removed: 0,
            seen: 0,
            used: 0,
            all: Vec::new(),
            listening: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    fn place(&self) -> Place {
        Place {
            epoch: (self.number, self.epochs),
            offset: self.top,
        }
    }

    /// Where the stream stands, in the hub's words.
    pub(super) fn top(&self, epochs: &ModelEpochs) -> Option<Position> {
        let epoch = self.is_alive.then(|| epochs.known(self.place().epoch))??;
        Some(Position {
            epoch,
            offset: self.top,
        })
    }

    /// Looks at the channel at `now`. Out: whether its epoch was lost just now.
    pub(super) fn look(&mut self, now: u64) -> bool {
        let Some(retention) = self.retention else {
            return false;
        };
        let ttl = if self.top == 0 {
            retention.ttl
        } else {
            retention.meta_ttl
        };
        let is_over = self.used + millis(ttl) <= now;
        if self.is_alive && self.listening.is_empty() && is_over {
            self.is_alive = false;
            return true;
        }
        self.seen = self.seen.max(now);
        false
    }

    /// The same, and begins a stream if there is none.
    pub(super) fn begin(&mut self, now: u64) -> bool {
        let is_lost = self.look(now);
        if self.retention.is_some() && !self.is_alive {
            self.is_alive = true;
            self.epochs += 1;
            self.top = 0;
            self.removed = 0;
            self.seen = now;
            self.used = now;
        }
        self.used = self.used.max(now);
        is_lost
    }

    /// A worker has said how many subscriptions it has.
    pub(super) fn listen(&mut self, worker: usize, subscribers: u32) {
        if subscribers == 0 {
            self.listening.remove(&worker);
        } else {
            self.listening.insert(worker, subscribers);
        }
    }

    /// A subscription has gone: the stream is used until here.
    pub(super) fn touch(&mut self, now: u64) {
        if self.is_alive {
            self.used = self.used.max(now);
        }
    }

    /// Out: where it is, if it has an offset.
    pub(super) fn publish(&mut self, id: u64, with_offset: bool) -> Option<Place> {
        if !with_offset {
            return None;
        }
        self.top += 1;
        let place = self.place();
        self.all.push(Published {
            id,
            place,
            time: self.seen,
        });
        Some(place)
    }

    pub(super) fn remove_history(&mut self) {
        self.removed = self.top;
    }

    /// What history holds.
    fn kept(&self) -> Vec<(u64, u64)> {
        let Some(retention) = self.retention.filter(|_| self.is_alive) else {
            return Vec::new();
        };
        let epoch = self.place().epoch;
        self.all
            .iter()
            .filter(|p| p.place.epoch == epoch && p.place.offset > self.removed)
            .filter(|p| self.top - p.place.offset < u64::from(retention.size))
            .filter(|p| p.time + millis(retention.ttl) > self.seen)
            .map(|p| (p.place.offset, p.id))
            .collect()
    }

    pub(super) fn catch_up(
        &self,
        catch_up: CatchUp,
        epochs: &ModelEpochs,
    ) -> (Option<Place>, ExpectedRecovery) {
        let place = self.retention.map(|_| self.place());
        let kept = self.kept();
        let recovery = match catch_up {
            CatchUp::Now => ExpectedRecovery::NotAsked,
            CatchUp::Last(count) => {
                let from = kept.len().saturating_sub(count as usize);
                ExpectedRecovery::Last(ids(&kept[from..]))
            }
            CatchUp::Since(since) => {
                let missed: Vec<_> = kept.into_iter().filter(|p| p.0 > since.offset).collect();
                let is_whole = missed.len() as u64 == self.top.saturating_sub(since.offset);
                let is_there = since.offset <= self.top && self.is_of(since, epochs);
                if place.is_some() && is_whole && is_there {
                    ExpectedRecovery::Recovered(ids(&missed))
                } else {
                    ExpectedRecovery::NotRecovered
                }
            }
        };
        (place, recovery)
    }

    pub(super) fn read(
        &self,
        query: HistoryQuery,
        epochs: &ModelEpochs,
    ) -> Option<(Vec<u64>, Option<Place>)> {
        if !self.is_alive {
            let at_start = |since: Since| since.offset == 0 && since.epoch.is_none();
            let is_fine = query.since.is_none_or(at_start);
            return is_fine.then(|| (Vec::new(), None));
        }
        let mut kept = self.kept();
        if let Some(since) = query.since {
            if since.offset > self.top || !self.is_of(since, epochs) {
                return None;
            }
            kept.retain(|(offset, _)| {
                if query.reverse {
                    *offset < since.offset
                } else {
                    *offset > since.offset
                }
            });
        }
        if query.reverse {
            kept.reverse();
        }
        kept.truncate(query.limit.map_or(usize::MAX, |limit| limit as usize));
        Some((ids(&kept), Some(self.place())))
    }

    fn is_of(&self, since: Since, epochs: &ModelEpochs) -> bool {
        match since.epoch {
            None => true,
            Some(epoch) => epochs.known(self.place().epoch) == Some(epoch),
        }
    }

    /// Clients in presence, and users among them.
    pub(super) fn listed(&self) -> (Vec<String>, u64) {
        let listed = self.members.iter().filter(|(_, member)| member.is_listed);
        let mut users: Vec<&str> = listed
            .clone()
            .map(|(_, member)| member.info.user.as_str())
            .collect();
        users.sort_unstable();
        users.dedup();
        let users = users.len() as u64;
        (listed.map(|(client, _)| client.clone()).collect(), users)
    }
}

fn ids(publications: &[(u64, u64)]) -> Vec<u64> {
    publications.iter().map(|(_, id)| *id).collect()
}

/// The ids of what the hub has handed out.
pub(super) fn ids_of(publications: &[Arc<Publication>]) -> Vec<u64> {
    publications.iter().map(|p| id_of(p)).collect()
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("it is short")
}
