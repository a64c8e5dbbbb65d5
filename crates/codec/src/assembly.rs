//! A message in progress. In: its pieces as they arrive. Out: the message, once it is whole.
//!
//! Never: allocates from a declared length; holds text that is not known to be UTF-8 so far.

#[cfg(feature = "deflate")]
use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::Message;
use crate::append_masked;
#[cfg(feature = "deflate")]
use crate::deflate::Inflater;
use crate::utf8::{TextBuffer, Utf8Error};

/// What a message is put together in, and what inflates it.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) content: Content,
    #[cfg(feature = "deflate")]
    pub(crate) inflater: Option<Box<Inflater>>,
}

#[derive(Debug)]
pub(crate) enum Content {
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
    pub(crate) const fn new(content: Content) -> Self {
        Self {
            content,
            #[cfg(feature = "deflate")]
            inflater: None,
        }
    }
}

impl Content {
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

#[cfg(feature = "deflate")]
impl Content {
    /// Makes room at once for `like_last`, about what the peer's last message took, if this one's first piece can
    /// be as much of it as `len` bytes, deflated, are.
    pub(crate) fn expect_like_last(&mut self, len: usize, like_last: u64) {
        /// What deflate makes of the best that there is.
        const RATIO_MAX: usize = 1032;
        let like_last = usize::try_from(like_last).unwrap_or(usize::MAX);
        let memory = self.memory();
        memory.reserve_exact(like_last.min(len.saturating_mul(RATIO_MAX)));
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Text(text) => *text = TextBuffer::default(),
            Self::Binary(bytes) => bytes.clear(),
        }
    }

    /// The memory that it has, in bytes.
    pub(crate) const fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    /// How much of that is left.
    pub(crate) const fn spare(&self) -> usize {
        self.capacity() - self.len()
    }

    /// Makes room for `more` bytes: doubles, and never past the `left` bytes that it may still become
    /// longer by.
    pub(crate) fn grow_towards(&mut self, more: usize, left: usize) {
        let memory = self.memory();
        let len = memory.len();
        if memory.capacity() - len < more {
            memory.reserve_exact(more.max(len).min(left));
        }
    }

    /// Appends what `write` writes to the front of `room` bytes: as many as it says.
    pub(crate) fn fill(
        &mut self,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<(), Utf8Error> {
        match self {
            Self::Text(text) => text.fill(room, write),
            Self::Binary(bytes) => {
                crate::utf8::append_written(bytes, room, write);
                Ok(())
            }
        }
    }

    const fn memory(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Text(text) => text.memory(),
            Self::Binary(bytes) => bytes,
        }
    }
}
