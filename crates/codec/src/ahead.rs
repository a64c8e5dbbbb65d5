//! For callers that keep their buffer while a message is borrowed from it. In: a message decoder. Out: whether the
//! next message lies whole in a buffer, messages that were assembled, and frames between messages.
//!
//! A caller that reads in a loop and returns what it has found cannot hold a borrow across the loop: so it asks
//! first ([`MessageDecoder::has_whole`]), and decodes once there is something.
//!
//! Never: looks at a payload; copies one.

use alloc::string::String;
use alloc::vec::Vec;

use crate::assembly::{Content, Magnitude};
use crate::decoder::{FrameEvent, Next};
use crate::header::Rsv;
use crate::message::Phase;
use crate::{Message, MessageDecoder, Opcode, ProtocolError};

/// A data message that was assembled, as its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assembled {
    /// A whole text message.
    Text(String),
    /// A whole binary message.
    Binary(Vec<u8>),
}

impl MessageDecoder {
    /// Whether [`next_message`](Self::next_message) finds a data message that it borrows from `input`, or a broken
    /// rule; it then gives one of the two, never `None`.
    ///
    /// Where this is false, data messages that it gives are assembled: [`assembled`](Self::assembled) has them.
    ///
    /// ```
    /// use fanfare_codec::{Limits, Message, MessageDecoder, Role};
    ///
    /// let mut received = *b"\x81\x02Hi\x89\x00";
    /// let mut messages = MessageDecoder::new(Role::Client, Limits::default());
    /// assert!(!messages.has_whole(&received[..3]));
    /// assert!(messages.has_whole(&received));
    /// let mut input = &mut received[..];
    /// assert_eq!(messages.next_message(&mut input)?, Some(Message::Text("Hi")));
    /// assert!(!messages.has_whole(input), "a ping is no data");
    /// # Ok::<(), fanfare_codec::ProtocolError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn has_whole(&self, input: &[u8]) -> bool {
        self.short_at(input).is_some() || self.has_whole_of_any_kind(input)
    }

    #[inline(never)]
    fn has_whole_of_any_kind(&self, input: &[u8]) -> bool {
        if matches!(self.phase, Phase::Closed) {
            return false;
        }
        match self.frames.find(input) {
            Err(_) => true,
            Ok(Some(Next::Header { header, header_len })) => {
                let is_data = matches!(header.opcode, Opcode::Text | Opcode::Binary);
                let is_whole = header.payload_len <= (input.len() - header_len) as u64;
                is_data && header.fin && header.rsv == Rsv::NONE && is_whole
            }
            Ok(Some(Next::Payload {
                offset, ends_frame, ..
            })) => offset == 0 && ends_frame && self.fin && self.fragments == 1 && !self.inflates(),
            Ok(Some(Next::Control { .. }) | None) => false,
        }
    }

    /// How long the frame at the front of `input` will be, header included, where it is cut and would be given without
    /// a copy were it whole: a data message of one frame that is not compressed and within all limits.
    ///
    /// For a caller whose buffer has room for it, and more to put there without waiting:
    /// [`next_message`](Self::next_message) would begin to assemble it.
    ///
    /// ```
    /// use fanfare_codec::{Limits, MessageDecoder, Role};
    ///
    /// let messages = MessageDecoder::new(Role::Client, Limits::default());
    /// assert_eq!(messages.cut_frame_len(b"\x81\x05Hel"), Some(7));
    /// assert_eq!(messages.cut_frame_len(b"\x81\x05Hello"), None, "it is whole");
    /// assert_eq!(messages.cut_frame_len(b"\x01\x05Hel"), None, "a fragment");
    /// assert_eq!(messages.cut_frame_len(b"\x81"), None, "nobody knows");
    /// ```
    #[must_use]
    #[inline(never)]
    pub fn cut_frame_len(&self, input: &[u8]) -> Option<usize> {
        if matches!(self.phase, Phase::Closed) {
            return None;
        }
        let Ok(Some(Next::Header { header, header_len })) = self.frames.find(input) else {
            return None;
        };
        let is_data = matches!(header.opcode, Opcode::Text | Opcode::Binary);
        let is_one_frame = is_data && header.fin && header.rsv == Rsv::NONE;
        if !is_one_frame || header.payload_len > self.max_message_bytes {
            return None;
        }
        let len = header_len.checked_add(usize::try_from(header.payload_len).ok()?)?;
        (len > input.len()).then_some(len)
    }

    /// The message in progress is compressed.
    const fn inflates(&self) -> bool {
        #[cfg(feature = "deflate")]
        return self.frames.compression.is_on();
        #[cfg(not(feature = "deflate"))]
        return false;
    }

    /// The data message that was given last, if it had to be assembled and nothing was called since.
    #[must_use]
    pub fn assembled(&self) -> Option<Message<'_>> {
        match self.phase {
            Phase::Delivered => self.assembly.as_ref().and_then(|a| a.content.whole()),
            Phase::Receiving | Phase::Closed => None,
        }
    }

    /// [`assembled`](Self::assembled), given away without a copy.
    #[must_use]
    pub fn take_assembled(&mut self) -> Option<Assembled> {
        if !matches!(self.phase, Phase::Delivered) {
            return None;
        }
        let assembly = self.assembly.as_mut()?;
        let content = core::mem::replace(&mut assembly.content, Content::Binary(Vec::new()));
        let len = content.len();
        self.free();
        self.last_assembled = Magnitude::of(len);
        self.phase = Phase::Receiving;
        self.expect_whole();
        match content {
            Content::Text(text) => text.into_string().map(Assembled::Text),
            Content::Binary(bytes) => Some(Assembled::Binary(bytes)),
        }
    }

    /// Frees the message that was given last, if it had to be assembled, as the next call would: for a caller that
    /// waits long before it.
    pub fn release(&mut self) {
        if matches!(self.phase, Phase::Delivered) {
            self.free();
            self.phase = Phase::Receiving;
            self.expect_whole();
        }
    }

    /// [`FrameDecoder::next_event`](crate::FrameDecoder::next_event), for a message that is to be taken in pieces.
    ///
    /// Only from the start of a message, and to its end: in between, [`next_message`](Self::next_message) would take
    /// the rest for all of it. Limits on messages, UTF-8 and inflating are the caller's; one on frames holds. What
    /// follows a close frame is discarded.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke; final.
    pub fn next_event<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<FrameEvent<&'b mut [u8]>>, ProtocolError> {
        match self.phase {
            Phase::Receiving => {}
            Phase::Delivered => {
                self.free();
                self.phase = Phase::Receiving;
            }
            Phase::Closed => {
                *input = &mut [];
                return Ok(None);
            }
        }
        self.whole_end = 0;
        self.fragments = 0;
        let event = self.frames.next_event(input)?;
        if let Some(FrameEvent::Control(control)) = &event
            && control.opcode == Opcode::Close
        {
            self.phase = Phase::Closed;
            return Ok(event);
        }
        self.expect_whole();
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{Limits, Role};

    /// "Hi" and "Hello" in two frames, a ping between, an empty text, 200 bytes; a server's.
    fn wire() -> Vec<u8> {
        let mut wire = b"\x81\x02Hi\x01\x03Hel\x89\x01p\x80\x02lo\x81\x00\x82\x7E\x00\xC8".to_vec();
        wire.extend_from_slice(&[7; 200]);
        wire
    }

    #[test]
    fn what_is_whole_is_borrowed_and_all_else_is_assembled_however_it_is_cut() {
        for step in 1..=wire().len() {
            let mut messages = MessageDecoder::new(Role::Client, Limits::default());
            let (mut kept, mut texts, mut binary, mut pings) = (vec![], vec![], vec![], 0);
            for piece in wire().chunks(step) {
                kept.extend_from_slice(piece);
                let mut input = &mut kept[..];
                loop {
                    let is_whole = messages.has_whole(input);
                    let from = input.as_ptr_range();
                    let seen = match messages.next_message(&mut input).expect("by the rules") {
                        None => {
                            assert!(!is_whole, "step {step}");
                            break;
                        }
                        Some(Message::Ping(_)) => {
                            assert!(!is_whole, "step {step}");
                            pings += 1;
                            continue;
                        }
                        Some(Message::Text(text)) => {
                            texts.push(String::from(text));
                            text.as_bytes().as_ptr_range()
                        }
                        Some(Message::Binary(bytes)) => {
                            binary.extend_from_slice(bytes);
                            bytes.as_ptr_range()
                        }
                        other => panic!("{other:?}"),
                    };
                    let is_borrowed = from.start <= seen.start && seen.end <= from.end;
                    assert_eq!(is_whole, is_borrowed, "step {step}");
                    assert_eq!(messages.assembled().is_none(), is_whole, "step {step}");
                    let last = messages.take_assembled();
                    assert_eq!(last.is_none(), is_whole, "step {step}");
                    if let Some(Assembled::Text(text)) = last {
                        assert_eq!(texts.last(), Some(&text));
                    }
                    assert_eq!(messages.take_assembled(), None, "given away once");
                }
                let rest = input.len();
                kept.drain(..kept.len() - rest);
            }
            assert_eq!(texts, ["Hi", "Hello", ""], "step {step}");
            assert_eq!((&binary[..], pings), (&[7; 200][..], 1), "step {step}");
        }
    }

    #[test]
    fn a_broken_rule_counts_as_whole() {
        let messages = MessageDecoder::new(Role::Client, Limits::default());
        assert!(messages.has_whole(b"\x83\x00"));
    }

    #[test]
    fn messages_in_pieces_and_whole_ones_take_turns() {
        let mut messages = MessageDecoder::new(Role::Client, Limits::default());
        let mut wire = wire();
        let mut input = &mut wire[..];
        assert_eq!(
            messages.next_message(&mut input),
            Ok(Some(Message::Text("Hi")))
        );
        let mut pieces = Vec::new();
        loop {
            match messages.next_event(&mut input) {
                Ok(Some(FrameEvent::Payload(piece))) => pieces.extend_from_slice(piece.data),
                Ok(Some(_)) => {}
                other => panic!("{other:?}"),
            }
            if messages.is_between_messages() {
                break;
            }
        }
        assert_eq!(pieces, b"Hello");
        assert_eq!(
            messages.next_message(&mut input),
            Ok(Some(Message::Text("")))
        );
        assert_eq!(
            messages.next_message(&mut input),
            Ok(Some(Message::Binary(&[7; 200])))
        );
    }
}
