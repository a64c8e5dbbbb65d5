//! A message in progress. In: its pieces as they arrive. Out: the message, once it is whole.
//!
//! Never: allocates from a declared length; holds text that is not known to be UTF-8 so far.

use alloc::vec::Vec;

use crate::Message;
use crate::append_masked;
use crate::utf8::{TextBuffer, Utf8Error};

#[derive(Debug)]
pub(crate) enum Assembly {
    Text(TextBuffer),
    Binary(Vec<u8>),
}

/// The largest power of two that is not more than a length, by its exponent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Magnitude(u8);

impl Magnitude {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) fn of(len: usize) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "less than 64")]
        let exponent = len.checked_ilog2().unwrap_or(0) as u8;
        Self(exponent)
    }

    pub(crate) const fn bytes(self) -> u64 {
        1 << self.0
    }
}

impl Assembly {
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Makes room for `more` bytes, and at once for `like_last`, what the peer's last message took of
    /// what this one declares: a stream of large messages is not copied again and again as it grows,
    /// and no peer is given more than it has sent before.
    #[inline]
    pub(crate) fn make_room(&mut self, more: usize, like_last: u64) {
        let bytes = match self {
            Self::Text(text) => text.memory(),
            Self::Binary(bytes) => bytes,
        };
        let needed = bytes.len() + more;
        let like_last = usize::try_from(like_last).unwrap_or(needed);
        if bytes.capacity() < needed && needed < like_last {
            bytes.reserve_exact(like_last - bytes.len());
        }
    }

    pub(crate) fn push_masked(&mut self, piece: &[u8], key: [u8; 4]) -> Result<(), Utf8Error> {
        match self {
            Self::Text(text) => text.push_masked(piece, key),
            Self::Binary(bytes) => {
                append_masked(bytes, piece, key);
                Ok(())
            }
        }
    }

    /// Whether the message may end here.
    pub(crate) fn finish(&self) -> Result<(), Utf8Error> {
        match self {
            Self::Text(text) => text.finish().map(|_| ()),
            Self::Binary(_) => Ok(()),
        }
    }

    pub(crate) fn whole(&self) -> Option<Message<'_>> {
        match self {
            Self::Text(text) => text.finish().ok().map(Message::Text),
            Self::Binary(bytes) => Some(Message::Binary(bytes)),
        }
    }
}
