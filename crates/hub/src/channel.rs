//! Channel names (PROTOCOL.md, "Channels"). In: text from a peer. Out: a name that is cheap to clone,
//! and its parts.
//!
//! `chat:room` is `room` in the namespace `chat`; `room` alone is in the default namespace. A `$` in
//! front makes it private: whoever subscribes shows a token. Behind a `#` stand the users that it is
//! for, with commas between: `dialog:x#42,43`.
//!
//! Never: knows what a namespace allows.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::limits::CHANNEL_BYTES_MAX;

/// Why text is no channel name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelError {
    /// No bytes at all.
    Empty,
    /// More than [`CHANNEL_BYTES_MAX`].
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// A byte that is not printable ASCII.
    NotPrintable {
        /// Where it stands.
        at: usize,
    },
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a channel name has at least one character"),
            Self::TooLong { bytes } => {
                write!(
                    f,
                    "a channel name has at most {CHANNEL_BYTES_MAX} bytes, not {bytes}"
                )
            }
            Self::NotPrintable { at } => {
                write!(f, "a channel name is printable ASCII, byte {at} is not")
            }
        }
    }
}

impl std::error::Error for ChannelError {}

/// A channel's name: 1 to [`CHANNEL_BYTES_MAX`] bytes of printable ASCII. A clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(Arc<str>);

impl Channel {
    /// A name from a peer's bytes.
    ///
    /// # Errors
    ///
    /// Every [`ChannelError`]: the peer's fault.
    pub fn parse(name: &str) -> Result<Self, ChannelError> {
        if name.is_empty() {
            return Err(ChannelError::Empty);
        }
        if name.len() > CHANNEL_BYTES_MAX {
            return Err(ChannelError::TooLong { bytes: name.len() });
        }
        match name.bytes().position(|b| !matches!(b, b' '..=b'~')) {
            Some(at) => Err(ChannelError::NotPrintable { at }),
            None => Ok(Self(name.into())),
        }
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether whoever subscribes must show a token for it.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.0.starts_with('$')
    }

    /// The namespace in front of the first colon; none without one: the default namespace.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        let (namespace, _) = self.unprefixed().split_once(':')?;
        Some(namespace)
    }

    /// Whether `user` is among those that the name is for; anyone is if it names nobody. An anonymous
    /// client, whose user is empty, is never among them.
    #[must_use]
    pub fn is_for_user(&self, user: &str) -> bool {
        match self.users() {
            None => true,
            Some(mut users) => !user.is_empty() && users.any(|u| u == user),
        }
    }

    /// The users behind the last `#`, if it has one.
    pub fn users(&self) -> Option<impl Iterator<Item = &str>> {
        let (_, users) = self.0.rsplit_once('#')?;
        Some(users.split(','))
    }

    fn unprefixed(&self) -> &str {
        self.0.strip_prefix('$').unwrap_or(&self.0)
    }
}

impl Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::str::FromStr for Channel {
    type Err = ChannelError;

    fn from_str(name: &str) -> Result<Self, ChannelError> {
        Self::parse(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> Channel {
        Channel::parse(name).unwrap_or_else(|error| panic!("{name:?}: {error}"))
    }

    #[test]
    fn only_printable_ascii_of_1_to_255_bytes_is_a_name() {
        assert_eq!(Channel::parse(""), Err(ChannelError::Empty));
        assert_eq!(
            Channel::parse(&"x".repeat(256)),
            Err(ChannelError::TooLong { bytes: 256 })
        );
        assert_eq!(channel(&"x".repeat(255)).as_str().len(), 255);
        for byte in 0..=u8::MAX {
            let text = format!("a{}", char::from(byte));
            let printable = (0x20..0x7F).contains(&byte);
            assert_eq!(Channel::parse(&text).is_ok(), printable, "{text:?}");
            if !printable {
                let error = ChannelError::NotPrintable { at: 1 };
                assert_eq!(Channel::parse(&text), Err(error));
            }
        }
    }

    #[test]
    fn the_first_colon_ends_the_namespace() {
        assert_eq!(channel("chat:a:b").namespace(), Some("chat"));
        assert_eq!(channel("chat").namespace(), None);
        assert_eq!(channel(":rest").namespace(), Some(""));
        assert_eq!(channel("chat:").namespace(), Some("chat"));
        assert_eq!(channel("$chat:a").namespace(), Some("chat"));
        assert!(channel("$chat:a").is_private());
        assert!(!channel("chat:$a").is_private());
    }

    #[test]
    fn users_stand_behind_the_last_hash() {
        let dialog = channel("dialog:x#y#42,43");
        assert_eq!(
            dialog.users().map(Iterator::collect::<Vec<_>>),
            Some(vec!["42", "43"])
        );
        assert!(dialog.is_for_user("42") && dialog.is_for_user("43"));
        assert!(!dialog.is_for_user("4") && !dialog.is_for_user("y"));
        assert!(channel("dialog:x").is_for_user("") && channel("dialog:x").users().is_none());
    }

    #[test]
    fn an_anonymous_client_is_in_no_list_of_users() {
        assert!(!channel("dialog#").is_for_user(""));
        assert!(!channel("dialog#,42").is_for_user(""));
    }
}
