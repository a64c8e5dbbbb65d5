//! Messages in pieces. In: frames as they come. Out: what a program sees of them.
//!
//! Never: holds more than one read brought, but for a message that is compressed.

use fanfare_codec::{Message as MessageRef, MessageKind};

/// What [`next_event`](crate::WebSocketStream::next_event) gives, borrowed from the stream's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message begins; pieces follow.
    Begin(MessageKind),
    /// The next bytes of the message. Text may be cut inside a character, and is UTF-8 so far.
    Piece {
        /// The bytes; they may be none.
        data: &'a [u8],
        /// Whether the message ends with them.
        is_last: bool,
    },
    /// Anything that does not come in pieces: control frames, which may come between two pieces; a compressed message;
    /// one that a dropped [`next_message`](crate::WebSocketStream::next_message) had begun to put together.
    Whole(MessageRef<'a>),
}
