//! What is published. In: bytes and what they are. Out: a value that every worker shares.
//!
//! Never: copies or changes the payload; parses JSON.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::limits::{TAGS_BYTES_MAX, TAGS_MAX};
use crate::position::Position;
use crate::presence::ClientInfo;
use crate::time::Time;

/// What a payload's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadKind {
    /// A JSON text, valid, without raw newlines: it may stand inside a JSON frame as it is.
    Json,
    /// Any other UTF-8 text.
    Text,
    /// Bytes.
    Binary,
}

/// Bytes as they were published, and what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    kind: PayloadKind,
    bytes: Bytes,
}

impl Payload {
    /// A JSON text. The caller has validated it and taken the raw newlines out: what one client wrote
    /// could otherwise be read as a message of the server by another.
    #[must_use]
    pub fn json(text: String) -> Self {
        debug_assert!(!text.contains(['\n', '\r']), "raw newlines are taken out");
        Self {
            kind: PayloadKind::Json,
            bytes: text.into(),
        }
    }

    /// A text that need not be JSON.
    #[must_use]
    pub fn text(text: String) -> Self {
        Self {
            kind: PayloadKind::Text,
            bytes: text.into(),
        }
    }

    /// Bytes.
    #[must_use]
    pub const fn binary(bytes: Bytes) -> Self {
        Self {
            kind: PayloadKind::Binary,
            bytes,
        }
    }

    /// What the bytes are.
    #[must_use]
    pub const fn kind(&self) -> PayloadKind {
        self.kind
    }

    /// The bytes, as published.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The text, unless it is binary.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self.kind {
            PayloadKind::Binary => None,
            PayloadKind::Json | PayloadKind::Text => std::str::from_utf8(&self.bytes).ok(),
        }
    }
}

/// More tags than [`TAGS_MAX`], or longer ones than [`TAGS_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyTags;

impl fmt::Display for TooManyTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "at most {TAGS_MAX} tags with {TAGS_BYTES_MAX} bytes in all"
        )
    }
}

impl std::error::Error for TooManyTags {}

/// Keys and values beside the payload, in the order of their keys. No tags, no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Box<[(Box<str>, Box<str>)]>);

impl Tags {
    /// Tags by key; of two with the same key the later counts.
    ///
    /// # Errors
    ///
    /// [`TooManyTags`].
    pub fn from_pairs<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, TooManyTags>
    where
        K: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let mut tags: Vec<(Box<str>, Box<str>)> = Vec::new();
        let mut bytes = 0;
        for (key, value) in pairs {
            let (key, value) = (key.into(), value.into());
            bytes += key.len() + value.len();
            if tags.len() == TAGS_MAX || bytes > TAGS_BYTES_MAX {
                return Err(TooManyTags);
            }
            match tags.binary_search_by(|(k, _)| k.cmp(&key)) {
                Ok(at) => tags[at].1 = value,
                Err(at) => tags.insert(at, (key, value)),
            }
        }
        Ok(Self(tags.into()))
    }

    /// The value of `key`.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// Every key with its value, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A payload that reached its channel. Shared by history, inboxes and segments.
#[derive(Debug)]
pub struct Publication {
    /// What was published.
    pub payload: Payload,
    /// Its place in the stream: `offset` is its own. None on a channel without history, or if history
    /// was skipped.
    pub position: Option<Position>,
    /// Who published it; none for the API.
    pub info: Option<Arc<ClientInfo>>,
    /// Keys and values beside the payload.
    pub tags: Tags,
    /// When the engine took it.
    pub time: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_by_key_and_the_later_of_two_counts() {
        let tags = Tags::from_pairs([("b", "1"), ("a", "2"), ("b", "3")]).unwrap();
        assert_eq!(tags.value("a"), Some("2"));
        assert_eq!(tags.value("b"), Some("3"));
        assert_eq!(tags.value("c"), None);
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert!(Tags::default().is_empty() && !tags.is_empty());
    }

    #[test]
    fn tags_have_a_cap() {
        let many = |n: usize| Tags::from_pairs((0..n).map(|i| (i.to_string(), "")));
        assert!(many(TAGS_MAX).is_ok());
        assert_eq!(many(TAGS_MAX + 1), Err(TooManyTags));
        let long = |n: usize| Tags::from_pairs([("", "x".repeat(n))]);
        assert!(long(TAGS_BYTES_MAX).is_ok());
        assert_eq!(long(TAGS_BYTES_MAX + 1), Err(TooManyTags));
    }

    #[test]
    fn a_payload_is_text_unless_it_is_binary() {
        assert_eq!(Payload::text("a\nb".to_owned()).as_text(), Some("a\nb"));
        assert_eq!(Payload::json("{}".to_owned()).as_text(), Some("{}"));
        assert_eq!(Payload::binary(Bytes::from_static(b"a")).as_text(), None);
    }
}
