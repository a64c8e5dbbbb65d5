//! Echo in place (RFC 6455 §5.1: clients mask, servers do not). In: a server's read buffer of masked
//! frames. Out: the frames that answer them with the same messages, at the front of that buffer.
//!
//! A server's frame is four bytes shorter than the masked one it answers, so replies never catch up
//! with what is still to be read: payloads move left while they are unmasked, and leave as they lie.
//!
//! Never: answers anything but whole messages of one frame; the rest is [`MessageDecoder::next_message`]'s.

use crate::header::Rsv;
use crate::message::{BINARY, TEXT, Whole};
use crate::utf8::unmask_leftwards;
use crate::{Header, MessageDecoder, Opcode, Role};

impl MessageDecoder {
    /// Answers the whole messages of one frame at the front of `input` with themselves, and moves
    /// `input` behind them: the bytes to send, at the front of where `input` was.
    ///
    /// It stops, perhaps at once, where anything else stands: a control frame, a fragment, a cut
    /// frame, a broken rule. [`next_message`](Self::next_message) says which, and then this can go on.
    /// At a client it does nothing: a client's frames are longer than those it receives.
    ///
    /// ```
    /// use fanfare_codec::{Limits, Message, MessageDecoder, Role};
    ///
    /// // "Hi" and an empty ping, masked by a client.
    /// let mut received = *b"\x81\x82\x01\x02\x03\x04\x49\x6B\x89\x80\x01\x02\x03\x04";
    /// let mut input = &mut received[..];
    /// let mut messages = MessageDecoder::new(Role::Server, Limits::default());
    /// assert_eq!(messages.echo_in_place(&mut input), b"\x81\x02Hi");
    /// assert_eq!(messages.next_message(&mut input)?, Some(Message::Ping(b"")));
    /// # Ok::<(), fanfare_codec::ProtocolError>(())
    /// ```
    pub fn echo_in_place<'b>(&mut self, input: &mut &'b mut [u8]) -> &'b [u8] {
        if self.role() != Role::Server {
            return &[];
        }
        let buf = core::mem::take(input);
        let (mut read, mut written) = (0, 0);
        loop {
            let rest = &buf[read..];
            let Some(whole) = self.short_at(rest).or_else(|| self.long_at(rest)) else {
                break;
            };
            let header_len = whole.header_len - MASK_KEY_BYTES;
            write_header(&mut buf[written..], whole);
            let (from, to) = (read + whole.header_len, written + header_len);
            let is_text = whole.first == TEXT;
            if let Err(error) = unmask_leftwards(buf, from, to, whole.len, whole.key, is_text) {
                self.fail(error.into());
                break;
            }
            read = from + whole.len;
            written = to + whole.len;
        }
        let (done, rest) = buf.split_at_mut(read);
        *input = rest;
        &done[..written]
    }
}

const MASK_KEY_BYTES: usize = 4;

/// Writes the header of the frame that answers `whole`.
#[inline]
fn write_header(out: &mut [u8], whole: Whole) {
    if let (Ok(len @ 0..=125), [first, second, ..]) = (u8::try_from(whole.len), &mut *out) {
        (*first, *second) = (whole.first, len);
        return;
    }
    let header = Header {
        fin: true,
        rsv: Rsv::NONE,
        opcode: if whole.first == BINARY {
            Opcode::Binary
        } else {
            Opcode::Text
        },
        mask_key: None,
        payload_len: whole.len as u64,
    };
    let (bytes, len) = header.encoded();
    out[..len].copy_from_slice(&bytes[..len]);
}
