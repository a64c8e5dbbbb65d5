//! Publishes that were done already. In: a channel, a key and what came of the publish. Out: the same,
//! for a second publish with the key.
//!
//! Never: remembers more keys than its cap: past it the oldest is forgotten, and repeated is published
//! again.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::Channel;
use crate::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use crate::position::Position;
use crate::time::Time;

/// A key is empty or longer than [`IDEMPOTENCY_KEY_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes"
        )
    }
}

impl std::error::Error for BadKey {}

/// What makes a second publish the same as the first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// A key from a peer's text.
    ///
    /// # Errors
    ///
    /// [`BadKey`].
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        if text.is_empty() || text.len() > IDEMPOTENCY_KEY_BYTES_MAX {
            return Err(BadKey);
        }
        Ok(Self(text.into()))
    }
}

/// The key of one channel.
type Entry = (Channel, IdempotencyKey);

#[derive(Debug)]
struct Done {
    position: Option<Position>,
    expires: Time,
}

/// What was published with a key, for a while.
#[derive(Debug)]
pub(crate) struct IdempotencyKeys {
    done: HashMap<Entry, Done>,
    /// By time of publishing, which with one TTL is the order in which they expire.
    order: VecDeque<Entry>,
    keys_max: usize,
    ttl: Duration,
    /// Callers' clocks differ by milliseconds; this one never goes back.
    latest: Time,
}

impl IdempotencyKeys {
    pub(crate) fn new(keys_max: usize, ttl: Duration) -> Self {
        Self {
            done: HashMap::new(),
            order: VecDeque::new(),
            keys_max,
            ttl,
            latest: Time::default(),
        }
    }

    /// What came of the publish with `key`, if it was done within the TTL.
    pub(crate) fn find(
        &self,
        now: Time,
        channel: &Channel,
        key: &IdempotencyKey,
    ) -> Option<Option<Position>> {
        let now = now.max(self.latest);
        let done = self.done.get(&(channel.clone(), key.clone()))?;
        (done.expires > now).then_some(done.position)
    }

    /// Remembers a publish. [`find`](Self::find) has found none.
    pub(crate) fn remember(
        &mut self,
        now: Time,
        channel: &Channel,
        key: IdempotencyKey,
        position: Option<Position>,
    ) {
        self.forget_expired(now);
        if self.keys_max == 0 {
            return;
        }
        while self.order.len() >= self.keys_max {
            self.forget_oldest();
        }
        let expires = self.latest + self.ttl;
        let entry = (channel.clone(), key);
        self.order.push_back(entry.clone());
        self.done.insert(entry, Done { position, expires });
    }

    /// Forgets what is past its TTL.
    pub(crate) fn forget_expired(&mut self, now: Time) {
        self.latest = self.latest.max(now);
        while let Some(oldest) = self.order.front() {
            match self.done.get(oldest) {
                Some(done) if done.expires > self.latest => break,
                _ => self.forget_oldest(),
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        assert_eq!(self.done.len(), self.order.len());
        self.done.len()
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            self.done.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::EpochSource;

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::parse(text).unwrap()
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_key_is_remembered_for_its_channel_and_ttl() {
        let mut keys = IdempotencyKeys::new(10, Duration::from_millis(100));
        let (a, b) = (Channel::parse("a").unwrap(), Channel::parse("b").unwrap());
        let position = Some(Position {
            epoch: EpochSource::new(1).next_epoch(),
            offset: 7,
        });
        keys.remember(at(1000), &a, key("k"), position);
        assert_eq!(keys.find(at(1099), &a, &key("k")), Some(position));
        assert_eq!(keys.find(at(1099), &a, &key("l")), None);
        assert_eq!(keys.find(at(1099), &b, &key("k")), None);
        assert_eq!(keys.find(at(1100), &a, &key("k")), None);
        keys.remember(at(1100), &a, key("k"), None);
        assert_eq!(keys.find(at(1101), &a, &key("k")), Some(None));
        keys.forget_expired(at(1200));
        assert_eq!(keys.len(), 0);
    }

    #[test]
    fn past_the_cap_the_oldest_is_forgotten() {
        let mut keys = IdempotencyKeys::new(2, Duration::from_secs(1));
        let channel = Channel::parse("a").unwrap();
        for name in ["1", "2", "3"] {
            keys.remember(at(0), &channel, key(name), None);
        }
        assert_eq!(keys.len(), 2);
        assert_eq!(keys.find(at(0), &channel, &key("1")), None);
        assert_eq!(keys.find(at(0), &channel, &key("2")), Some(None));
        let mut none = IdempotencyKeys::new(0, Duration::from_secs(1));
        none.remember(at(0), &channel, key("1"), None);
        assert_eq!(none.len(), 0);
    }

    #[test]
    fn a_clock_that_is_behind_revives_nothing() {
        let mut keys = IdempotencyKeys::new(9, Duration::from_millis(10));
        let channel = Channel::parse("a").unwrap();
        keys.remember(at(100), &channel, key("1"), None);
        keys.remember(at(105), &channel, key("2"), None);
        keys.remember(at(95), &channel, key("3"), None);
        keys.forget_expired(at(110));
        assert_eq!(keys.find(at(100), &channel, &key("1")), None);
        assert_eq!(keys.len(), 2);
        assert_eq!(keys.find(at(114), &channel, &key("3")), Some(None));
    }

    #[test]
    fn an_empty_or_long_key_is_refused() {
        assert_eq!(IdempotencyKey::parse(""), Err(BadKey));
        assert!(IdempotencyKey::parse(&"k".repeat(255)).is_ok());
        assert_eq!(IdempotencyKey::parse(&"k".repeat(256)), Err(BadKey));
    }
}
