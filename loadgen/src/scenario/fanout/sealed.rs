//! Messages that say more than a publication. In: pieces of messages, and how publications are told.
//! Out: deliveries to the [`Audience`], and where each subscriber stands in its channel.
//!
//! Never: allocates for a message that comes whole.

use fanfare_codec::MessageKind;

use super::audience::Audience;
use super::track::Delivery;
use crate::client::Piece;
use crate::clock::Nanos;
use crate::payload::{Content, Letter, POSITION_BYTES_MAX, Unsealing};
use crate::stats::Tally;

/// What a subscriber has beside its tracks where publications are told with something around them.
pub(super) struct Seal {
    unsealing: Unsealing,
    position: Position,
    /// It has come back to a position and got nothing yet.
    is_resumed: bool,
}

/// The latest position that a subscriber was told.
struct Position {
    bytes: [u8; POSITION_BYTES_MAX],
    /// Zero: none.
    len: u8,
}

const _: () = assert!(POSITION_BYTES_MAX <= u8::MAX as usize);

impl Seal {
    /// Nothing has arrived.
    pub(super) const fn new() -> Self {
        Self {
            unsealing: Unsealing::new(),
            position: Position {
                bytes: [0; POSITION_BYTES_MAX],
                len: 0,
            },
            is_resumed: false,
        }
    }

    /// Where the subscriber stands; `None` if it was not told.
    pub(super) fn position(&self) -> Option<&[u8]> {
        let bytes = &self.position.bytes[..usize::from(self.position.len)];
        (!bytes.is_empty()).then_some(bytes)
    }

    /// It stands nowhere.
    pub(super) const fn forget_position(&mut self) {
        self.position.len = 0;
        self.is_resumed = false;
    }

    /// It has come back to where it stood.
    pub(super) const fn note_resumption(&mut self) {
        self.is_resumed = true;
    }
}

impl Position {
    /// Takes `bytes`, unless they are too many or none.
    #[inline]
    fn set(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(..bytes.len())
            && let Ok(len @ 1..) = u8::try_from(bytes.len())
        {
            place.copy_from_slice(bytes);
            self.len = len;
        }
    }
}

impl Audience<'_> {
    /// A piece of a message has come to subscriber `conn`.
    #[inline]
    pub(super) fn take_sealed(
        &mut self,
        conn: usize,
        now: Nanos,
        piece: &Piece<'_>,
        tally: &mut Tally,
    ) {
        let Some(envelope) = self.envelope else {
            return;
        };
        let stamps = &self.shared.stamps;
        if piece.offset == 0 && piece.ends_message {
            let letter = envelope.open(stamps, piece.data);
            return self.take_letter(conn, now, piece.kind, &letter, tally);
        }
        let unsealing = &mut self.seals[conn].unsealing;
        if piece.offset == 0 {
            *unsealing = Unsealing::new();
        }
        unsealing.push(envelope, stamps, piece.offset, piece.data);
        if piece.ends_message {
            let len = piece.offset.saturating_add(piece.data.len() as u64);
            let unsealing = std::mem::replace(unsealing, Unsealing::new());
            let letter = unsealing.finish(envelope, stamps, len);
            self.take_letter(conn, now, piece.kind, &letter, tally);
        }
    }

    /// A message is whole.
    #[inline]
    fn take_letter(
        &mut self,
        conn: usize,
        now: Nanos,
        kind: MessageKind,
        letter: &Letter<'_>,
        tally: &mut Tally,
    ) {
        let is_kind = self.kind.is_none_or(|expected| expected == kind);
        let is_resumed = std::mem::take(&mut self.seals[conn].is_resumed);
        let is_ahead = match letter.content {
            Content::Publication(stamp) if is_kind => {
                let len = self.shared.stamps.len(stamp);
                let delivery = self.deliver(conn, now, stamp, len, tally);
                matches!(delivery, Some(Delivery::InOrder | Delivery::Unowed))
            }
            // A greeting may say where the channel's stream ends; one that has come back stands where
            // it was, and that is what it will be told from.
            Content::Position => !is_resumed,
            Content::Publication(_) | Content::Changed => {
                self.reject(conn, true, tally);
                true
            }
            Content::Stranger => {
                self.reject(conn, false, tally);
                false
            }
        };
        if is_ahead {
            self.seals[conn].position.set(letter.position);
        }
    }
}
