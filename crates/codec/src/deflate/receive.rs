//! Compressed messages in a stream of frames (RFC 7692 §6). In: the pieces of a message whose first frame
//! has RSV1. Out: the message, inflated as they arrive.
//!
//! Never: keeps an inflater behind a message, unless the peer keeps its window.

use super::inflater::Lender;
use super::{DirectionTerms, Inflaters};
use crate::decoder::Payload;
use crate::header::{AllowedRsv, Header, Rsv};
use crate::message::{Message, MessageDecoder};
use crate::{ProtocolError, apply_mask};

/// What a frame decoder keeps for the messages above it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compression {
    /// The peer keeps its window between messages, and so must we.
    takeover: bool,
    /// The message in progress is compressed.
    in_message: bool,
}

impl Compression {
    pub(crate) const NONE: Self = Self {
        takeover: false,
        in_message: false,
    };

    pub(crate) const fn is_on(self) -> bool {
        self.in_message
    }

    /// Sees the first frame of a message.
    pub(crate) const fn start_message(&mut self, header: &Header) {
        self.in_message = header.rsv.bits() & Rsv::RSV1.bits() != 0;
    }
}

impl MessageDecoder {
    /// The same for a peer whose messages may be compressed as `peer` says: of
    /// [`DeflateTerms`](super::DeflateTerms), what the other side sends.
    ///
    /// `max_message_bytes` then limits what a message is inflated to, as its bytes appear;
    /// `max_frame_bytes` what it is on the wire. [`next_message`](Self::next_message) makes an
    /// inflater for each compressed message, [`next_message_with`](Self::next_message_with) takes one of yours.
    ///
    /// ```
    /// use fanfare_codec::deflate::{DeflateTerms, Inflaters};
    /// use fanfare_codec::{Limits, Message, MessageDecoder, Role};
    ///
    /// let mut inflaters = Inflaters::new(4);
    /// let mut messages = MessageDecoder::new(Role::Client, Limits::default())
    ///     .with_deflate(DeflateTerms::DEFAULT.server);
    /// let mut received = *b"\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00\xC1\x05\xF2\x00\x11\x00\x00"; // §7.2.3.2
    /// let mut input = &mut received[..];
    /// for _ in 0..2 {
    ///     let message = messages.next_message_with(&mut input, &mut inflaters)?;
    ///     assert_eq!(message, Some(Message::Text("Hello")));
    /// }
    /// # Ok::<(), fanfare_codec::ProtocolError>(())
    /// ```
    #[must_use]
    pub const fn with_deflate(mut self, peer: DirectionTerms) -> Self {
        self.frames = self
            .frames
            .with_allowed_rsv(AllowedRsv::per_message(Rsv::RSV1));
        self.frames.compression.takeover = peer.takeover;
        self
    }

    /// Whether the peer keeps its window between messages: what inflates its first compressed message stays.
    #[must_use]
    pub const fn keeps_window(&self) -> bool {
        self.frames.compression.takeover
    }

    /// [`next_message`](Self::next_message) with an inflater of `inflaters` for each message that needs one.
    ///
    /// # Errors
    ///
    /// As [`next_message`](Self::next_message).
    #[inline(always)]
    pub fn next_message_with<'m, 'b: 'm>(
        &'m mut self,
        input: &mut &'b mut [u8],
        inflaters: &mut Inflaters,
    ) -> Result<Option<Message<'m>>, ProtocolError> {
        self.next_message_from(input, Lender::of(inflaters))
    }

    /// Takes a piece of a compressed message: whether it was the last.
    pub(crate) fn inflate(
        &mut self,
        piece: Payload<&mut [u8]>,
        key: [u8; 4],
        lender: &mut Lender<'_>,
    ) -> Result<bool, ProtocolError> {
        apply_mask(piece.data, key);
        let takeover = self.frames.compression.takeover;
        // At least as much as the last message, whose magnitude is rounded down.
        let like_last = (2 * self.last_assembled.bytes()).min(self.max_message_bytes);
        let assembly = self.assembly.get_or_insert_with(|| self.kind.assembly());
        let is_last = piece.ends_frame && self.fin;
        if assembly.inflater.is_none() {
            assembly.inflater = Some(lender.take());
        }
        let Some(inflater) = &mut assembly.inflater else {
            unreachable!("just put there");
        };
        if assembly.content.len() == 0 && !piece.data.is_empty() {
            assembly
                .content
                .expect_like_last(piece.data.len(), like_last);
        }
        let (content, max) = (&mut assembly.content, self.max_message_bytes);
        if is_last && inflater.takes_whole(piece.data) {
            inflater.whole(piece.data, takeover, content, max)?;
        } else {
            inflater.push(piece.data, content, max)?;
            if is_last {
                inflater.finish(content, max)?;
            }
        }
        if !is_last {
            inflater.hold(Some(content));
            return Ok(false);
        }
        inflater.hold(None);
        content.finish()?;
        if !takeover && let Some(inflater) = assembly.inflater.take() {
            lender.put(inflater);
        }
        Ok(true)
    }

    /// Whether a compressed message has begun to come, and not ended: it holds an inflater, and what it was inflated
    /// to so far.
    #[must_use]
    pub fn is_inflating(&self) -> bool {
        let inflater = self.assembly.as_ref().and_then(|a| a.inflater.as_ref());
        inflater.is_some_and(|inflater| inflater.holds_message())
    }

    /// The most bytes that a message is sent as which may be inflated to `max_message_bytes`: codes of nine
    /// bits instead of eight, or stored blocks, short ones, with room to spare.
    pub(crate) const fn compressed_bytes_max(&self) -> u64 {
        (self.max_message_bytes / 4)
            .saturating_add(self.max_message_bytes)
            .saturating_add(1024)
    }
}
