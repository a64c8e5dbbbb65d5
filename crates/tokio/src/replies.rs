//! Answers to a message that is still borrowed. In: messages. Out: their frames, behind those that wait.
//!
//! Never: waits; they leave when reading has to, at a flush, or at once if they are long and nothing waits before them.

use std::fmt;

use fanfare_codec::{MessageKind, PreparedFrame};
use tokio::io::AsyncWrite;

use crate::link::Link;
use crate::{Error, Message};

/// What a message is answered with; see [`next_with_replies`](crate::WebSocketStream::next_with_replies).
pub struct Replies<'a, S>(pub(crate) &'a mut Link<S>);

impl<S: AsyncWrite + Unpin> Replies<'_, S> {
    /// Appends a text message.
    ///
    /// # Errors
    ///
    /// [`Error::WriteBufferFull`]; [`Error::Encode`] inside a fragmented message and behind a close; [`Error::Io`].
    #[inline]
    pub fn text(&mut self, text: &str) -> Result<(), Error> {
        self.0.data(MessageKind::Text, text.as_bytes())
    }

    /// Appends a binary message.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    #[inline]
    pub fn binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.data(MessageKind::Binary, bytes)
    }

    /// Appends a frame that was encoded once for many.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text), and [`Error::NotAServer`].
    pub fn prepared(&mut self, frame: &PreparedFrame) -> Result<(), Error> {
        self.0.prepared(frame)
    }

    /// Appends any message.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text), and [`Error::CloseCode`].
    pub fn message(&mut self, message: &Message) -> Result<(), Error> {
        self.0.message(message)
    }
}

impl<S> fmt::Debug for Replies<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Replies").field(&self.0.outgoing).finish()
    }
}
