//! Answers to a message that is still borrowed. In: messages. Out: their frames, behind those that wait.
//!
//! Never: waits; they leave when reading has to, or at a flush.

use fanfare_codec::PreparedFrame;

use crate::outgoing::Outgoing;
use crate::{Error, Message};

/// What a message is answered with; see [`next_with_replies`](crate::WebSocketStream::next_with_replies).
#[derive(Debug)]
pub struct Replies<'a>(pub(crate) &'a mut Outgoing);

impl Replies<'_> {
    /// Appends a text message.
    ///
    /// # Errors
    ///
    /// [`Error::WriteBufferFull`]; [`Error::Encode`] inside a fragmented message and behind a close.
    #[inline]
    pub fn text(&mut self, text: &str) -> Result<(), Error> {
        self.0.text(text)
    }

    /// Appends a binary message.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    #[inline]
    pub fn binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.binary(bytes)
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
