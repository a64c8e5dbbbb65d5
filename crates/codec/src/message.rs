//! Messages out of a byte stream (RFC 6455 §5.4–5.6). In: what the socket gave, in pieces cut
//! anywhere. Out: whole messages and control frames.
//!
//! A message whose frame lies whole in the input is borrowed from there; any other is assembled as
//! its pieces arrive, text validated on the way, so that a bad byte fails the connection when it
//! comes and not when its frame or message ends.
//!
//! Never: allocates from a declared length; holds memory between messages.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::assembly::{Assembly, Content, Magnitude};
use crate::decoder::{FrameDecoder, FrameEvent, Payload};
#[cfg(feature = "deflate")]
use crate::deflate::Lender;
use crate::header::Header;
use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;
use crate::utf8::{Seen, TextBuffer, Utf8Error, unmask_short, unmask_validate, validate};
use crate::{CloseFrame, Limits, Opcode, ProtocolError, Role, apply_mask};

/// A message or a control frame, borrowed until the next call of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'m> {
    /// A whole text message.
    Text(&'m str),
    /// A whole binary message.
    Binary(&'m [u8]),
    /// Answer with a pong of the same payload (§5.5.3).
    Ping(&'m [u8]),
    /// An answer, or an unsolicited heartbeat that needs none.
    Pong(&'m [u8]),
    /// The last message: the decoder discards whatever follows it (§5.5.1).
    Close(Option<CloseFrame<'m>>),
}

/// Assembles messages within [`Limits`].
///
/// Call [`next_message`](Self::next_message) until it gives `None`, keep what is left of the input,
/// and call again with more bytes behind it. Errors are final, as [`FrameDecoder`]'s are.
///
/// ```
/// use fanfare_codec::{Limits, Message, MessageDecoder, Role};
///
/// // "Hel" and "lo" with a ping between, as a server sends them.
/// let mut received = *b"\x01\x03Hel\x89\x00\x80\x02lo";
/// let mut input = &mut received[..];
/// let mut messages = MessageDecoder::new(Role::Client, Limits::default());
/// assert_eq!(messages.next_message(&mut input)?, Some(Message::Ping(b"")));
/// assert_eq!(messages.next_message(&mut input)?, Some(Message::Text("Hello")));
/// assert_eq!(messages.next_message(&mut input)?, None);
/// # Ok::<(), fanfare_codec::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct MessageDecoder {
    pub(crate) frames: FrameDecoder,
    pub(crate) max_message_bytes: u64,
    max_fragments: u32,
    /// Data frames of the message in progress, the current one included.
    pub(crate) fragments: u32,
    /// Payload bytes that those frames declare.
    message_bytes: u64,
    /// A whole message shorter than this may be next, and nothing else is in its way; zero when
    /// something is.
    pub(crate) whole_end: u32,
    /// Of the message that was assembled last.
    pub(crate) last_assembled: Magnitude,
    /// The current frame ends its message.
    pub(crate) fin: bool,
    pub(crate) kind: Kind,
    pub(crate) phase: Phase,
    /// The message in progress, or just delivered, when it could not be borrowed.
    pub(crate) assembly: Option<Box<Assembly>>,
}

const _: () = assert!(size_of::<MessageDecoder>() <= 80);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    Receiving,
    /// `assembly` was lent to the caller whole; the next call frees it.
    Delivered,
    Closed,
}

impl MessageDecoder {
    /// A decoder for what arrives at `role`; no extension is negotiated.
    #[must_use]
    pub const fn new(role: Role, limits: Limits) -> Self {
        let mut decoder = Self {
            frames: FrameDecoder::new(role, limits.max_frame_bytes),
            max_message_bytes: limits.max_message_bytes,
            max_fragments: limits.max_fragments,
            fragments: 0,
            message_bytes: 0,
            whole_end: 0,
            fin: false,
            kind: Kind::Binary,
            phase: Phase::Receiving,
            assembly: None,
            last_assembled: Magnitude::ZERO,
        };
        decoder.expect_whole();
        decoder
    }

    /// Our end of the connection.
    pub(crate) const fn role(&self) -> Role {
        self.frames.role()
    }

    /// Whether the stream could end here without cutting a frame or a message.
    #[must_use]
    pub const fn is_between_messages(&self) -> bool {
        self.frames.is_between_messages()
    }

    /// Frames so far of the message in progress, or, once, of the one that was delivered before; zero if that was one
    /// frame.
    ///
    /// For whoever limits how many a peer may send a second; how many a message may have is in [`Limits`].
    #[inline]
    pub const fn fragments(&mut self) -> u32 {
        let fragments = self.fragments;
        if self.is_between_messages() {
            self.fragments = 0; // the next message begins with none
        }
        if fragments > 1 { fragments } else { 0 }
    }

    /// The next message in `input`, which moves past what was used; `None` when more bytes are
    /// needed.
    ///
    /// # Errors
    ///
    /// The rule or limit that the peer broke. Final: every later call gives the same.
    #[inline(always)]
    pub fn next_message<'m, 'b: 'm>(
        &'m mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Message<'m>>, ProtocolError> {
        self.next_message_from(input, Lender::NONE)
    }

    /// [`next_message`](Self::next_message), what inflates it from `lender`.
    #[inline(always)]
    pub(crate) fn next_message_from<'m, 'b: 'm>(
        &'m mut self,
        input: &mut &'b mut [u8],
        lender: Lender<'_>,
    ) -> Result<Option<Message<'m>>, ProtocolError> {
        if let Some(whole) = self.short_at(input) {
            let payload = whole.cut(input);
            return match (whole.first, unmask_short(payload, whole.key)) {
                (BINARY, Seen::Ascii(text)) => Ok(Some(Message::Binary(text.as_bytes()))),
                (BINARY, Seen::Bytes(bytes)) => Ok(Some(Message::Binary(bytes))),
                (_, Seen::Ascii(text)) => Ok(Some(Message::Text(text))),
                (_, Seen::Bytes(bytes)) => match self.text(bytes) {
                    Ok(text) => Ok(Some(Message::Text(text))),
                    Err(error) => Err(error),
                },
            };
        }
        // The input goes by value, and what comes back is taken apart and put together again: so the
        // caller's loop keeps both in registers, and not where a call reads and writes them.
        let mut rest = core::mem::take(input);
        let next = self.next_of_any_kind(&mut rest, lender);
        *input = rest;
        match next {
            Ok(Some(Message::Text(text))) => Ok(Some(Message::Text(text))),
            Ok(Some(Message::Binary(bytes))) => Ok(Some(Message::Binary(bytes))),
            Ok(Some(Message::Ping(payload))) => Ok(Some(Message::Ping(payload))),
            Ok(Some(Message::Pong(payload))) => Ok(Some(Message::Pong(payload))),
            Ok(Some(Message::Close(close))) => Ok(Some(Message::Close(close))),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Text that is not all ASCII.
    #[inline(never)]
    fn text<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b str, ProtocolError> {
        validate(bytes).map_err(|error| self.fail(error.into()))
    }

    /// A message that is one frame of at most 125 bytes and whole in `input`.
    #[inline(always)]
    pub(crate) fn short_at(&self, input: &[u8]) -> Option<Whole> {
        let masks = self.frames.role().peer().masks();
        let (mask_bit, header_len) = if masks { (0x80, 6) } else { (0, 2) };
        let &[first @ (TEXT | BINARY), second, ref rest @ ..] = input else {
            return None;
        };
        // A mask bit that is not as it must be makes the length too long.
        let len = usize::from(second ^ mask_bit);
        if len > CONTROL_PAYLOAD_BYTES_MAX
            || len >= self.whole_end as usize
            || input.len() < header_len + len
        {
            return None;
        }
        let key = if masks { *rest.first_chunk()? } else { [0; 4] };
        Some(Whole {
            first,
            key,
            header_len,
            len,
        })
    }

    /// [`short_at`](Self::short_at) for longer ones.
    #[inline]
    pub(crate) fn long_at(&self, input: &[u8]) -> Option<Whole> {
        let &[first @ (TEXT | BINARY), second, ref rest @ ..] = input else {
            return None;
        };
        let masks = self.frames.role().peer().masks();
        let (len, len_bytes) = match second ^ if masks { 0x80 } else { 0 } {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            _ => return None,
        };
        let is_shortest = len > if len_bytes == 2 { 125 } else { 0xFFFF };
        if !is_shortest || len >= u64::from(self.whole_end) {
            return None;
        }
        let len = usize::try_from(len).ok()?;
        let header_len = 2 + len_bytes + if masks { 4 } else { 0 };
        if input.len() < header_len + len {
            return None;
        }
        let key = if masks {
            *rest[len_bytes..].first_chunk()?
        } else {
            [0; 4]
        };
        Some(Whole {
            first,
            key,
            header_len,
            len,
        })
    }

    /// What [`short_at`](Self::short_at) leaves: longer, cut and fragmented messages, control
    /// frames, errors, nothing.
    #[inline(never)]
    fn next_of_any_kind<'m, 'b: 'm>(
        &'m mut self,
        input: &mut &'b mut [u8],
        lender: Lender<'_>,
    ) -> Result<Option<Message<'m>>, ProtocolError> {
        if let Some(whole) = self.long_at(input) {
            return self.whole(whole, whole.cut(input));
        }
        self.whole_end = 0;
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
        match self.advance(input, lender) {
            Ok(Step::NeedBytes) => {
                self.expect_whole();
                Ok(None)
            }
            Ok(Step::Borrowed(message)) => {
                if matches!(message, Message::Close(_)) {
                    self.phase = Phase::Closed;
                    self.assembly = None;
                } else {
                    self.expect_whole();
                }
                Ok(Some(message))
            }
            Ok(Step::Assembled) => {
                self.phase = Phase::Delivered;
                Ok(self.assembly.as_ref().and_then(|a| a.content.whole()))
            }
            Err(error) => {
                self.frames.fail(error);
                self.assembly = None;
                Err(error)
            }
        }
    }

    /// Frees the message that was delivered.
    pub(crate) fn free(&mut self) {
        let Some(assembly) = &mut self.assembly else {
            return;
        };
        self.last_assembled = Magnitude::of(assembly.content.len());
        #[cfg(feature = "deflate")]
        if assembly.inflater.is_some() {
            assembly.content = Content::Binary(Vec::new());
            return;
        }
        self.assembly = None;
    }

    /// Opens the straight line if it may be taken.
    pub(crate) const fn expect_whole(&mut self) {
        if self.is_between_messages() && self.max_fragments > 0 {
            let (frame, message) = (self.frames.max_frame_bytes(), self.max_message_bytes);
            let max = if frame < message { frame } else { message };
            self.whole_end = if max < u32::MAX as u64 {
                #[expect(clippy::cast_possible_truncation, reason = "just compared")]
                let max = max as u32;
                max + 1
            } else {
                u32::MAX
            };
        }
    }

    /// A message that is one frame.
    #[inline(always)]
    fn whole<'b>(
        &mut self,
        Whole { first, key, .. }: Whole,
        payload: &'b mut [u8],
    ) -> Result<Option<Message<'b>>, ProtocolError> {
        if first == BINARY {
            apply_mask(payload, key);
            return Ok(Some(Message::Binary(payload)));
        }
        match unmask_validate(payload, key) {
            Ok(text) => Ok(Some(Message::Text(text))),
            Err(error) => Err(self.fail(error.into())),
        }
    }

    /// Makes `error` final.
    #[cold]
    pub(crate) const fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.whole_end = 0;
        self.frames.fail(error);
        error
    }

    /// Runs frame events until one completes a message.
    #[inline]
    fn advance<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        #[cfg_attr(not(feature = "deflate"), expect(unused, reason = "nothing to lend"))]
        mut lender: Lender<'_>,
    ) -> Result<Step<'b>, ProtocolError> {
        while let Some((event, key)) = self.frames.next_masked(input)? {
            match event {
                FrameEvent::Header(header) => self.start_frame(&header)?,
                #[cfg(feature = "deflate")]
                FrameEvent::Payload(piece) if self.frames.compression.is_on() => {
                    if self.inflate(piece, key, &mut lender)? {
                        return Ok(Step::Assembled);
                    }
                }
                FrameEvent::Payload(piece) if piece.ends_frame && self.is_whole(&piece) => {
                    return self.kind.borrowed(piece.data, key).map(Step::Borrowed);
                }
                FrameEvent::Payload(piece) => {
                    let assembly = self.assembly.get_or_insert_with(|| self.kind.assembly());
                    let content = &mut assembly.content;
                    let like_last = self.last_assembled.bytes().min(self.message_bytes);
                    content.make_room(piece.data.len(), like_last);
                    content.push_masked(piece.data, key)?;
                    if piece.ends_frame && self.fin {
                        content.finish()?;
                        return Ok(Step::Assembled);
                    }
                }
                FrameEvent::Control(control) => {
                    apply_mask(control.payload, key);
                    let message = control_message(control.opcode, control.payload)?;
                    return Ok(Step::Borrowed(message));
                }
            }
        }
        Ok(Step::NeedBytes)
    }

    /// Counts a data frame against the limits, by what its header declares.
    #[inline]
    fn start_frame(&mut self, header: &Header) -> Result<(), ProtocolError> {
        match header.opcode {
            Opcode::Text => self.start_message(Kind::Text, header),
            Opcode::Binary => self.start_message(Kind::Binary, header),
            _ => {}
        }
        self.fin = header.fin;
        self.message_bytes = self.message_bytes.saturating_add(header.payload_len);
        if self.message_bytes > self.wire_bytes_max() {
            return Err(ProtocolError::MessageTooLong(self.message_bytes));
        }
        if self.fragments >= self.max_fragments {
            return Err(ProtocolError::TooManyFragments);
        }
        self.fragments += 1;
        Ok(())
    }

    /// The most bytes that the message in progress may be sent as.
    #[inline]
    const fn wire_bytes_max(&self) -> u64 {
        #[cfg(feature = "deflate")]
        if self.frames.compression.is_on() {
            return self.compressed_bytes_max();
        }
        self.max_message_bytes
    }

    #[cfg_attr(
        not(feature = "deflate"),
        expect(unused, reason = "none is compressed")
    )]
    #[inline]
    fn start_message(&mut self, kind: Kind, header: &Header) {
        #[cfg(feature = "deflate")]
        {
            self.frames.compression.start_message(header);
            // It still has what inflates it.
            if let Some(assembly) = &mut self.assembly {
                assembly.content = kind.content();
            }
        }
        self.kind = kind;
        self.fragments = 0;
        self.message_bytes = 0;
    }

    /// A piece that ends its frame: is it the whole message?
    const fn is_whole(&self, piece: &Payload<&mut [u8]>) -> bool {
        self.fin && self.fragments == 1 && piece.offset == 0
    }
}

/// What nothing is taken from: no message is compressed.
#[cfg(not(feature = "deflate"))]
pub(crate) struct Lender<'p>(core::marker::PhantomData<&'p ()>);

#[cfg(not(feature = "deflate"))]
impl Lender<'_> {
    pub(crate) const NONE: Self = Self(core::marker::PhantomData);
}

/// The first byte of a whole text message, no reserved bit set (§5.2).
pub(crate) const TEXT: u8 = 0x80 | Opcode::Text.bits();
/// The same of a binary one.
pub(crate) const BINARY: u8 = 0x80 | Opcode::Binary.bits();

/// A message that is one frame, and that the input holds all of.
#[derive(Clone, Copy)]
pub(crate) struct Whole {
    /// [`TEXT`] or [`BINARY`].
    pub(crate) first: u8,
    /// Zero if it is not masked.
    pub(crate) key: [u8; 4],
    pub(crate) header_len: usize,
    /// Of the payload.
    pub(crate) len: usize,
}

impl Whole {
    /// Takes it off `input`; its payload, still masked.
    #[inline(always)]
    fn cut<'b>(self, input: &mut &'b mut [u8]) -> &'b mut [u8] {
        let (frame, rest) = core::mem::take(input).split_at_mut(self.header_len + self.len);
        *input = rest;
        &mut frame[self.header_len..]
    }
}

enum Step<'b> {
    NeedBytes,
    Borrowed(Message<'b>),
    Assembled,
}

impl Kind {
    #[cold]
    pub(crate) fn assembly(self) -> Box<Assembly> {
        Box::new(Assembly::new(self.content()))
    }

    pub(crate) fn content(self) -> Content {
        match self {
            Self::Text => Content::Text(TextBuffer::default()),
            Self::Binary => Content::Binary(Vec::new()),
        }
    }

    #[inline]
    fn borrowed(self, payload: &mut [u8], key: [u8; 4]) -> Result<Message<'_>, ProtocolError> {
        match self {
            Self::Text => Ok(Message::Text(unmask_validate(payload, key)?)),
            Self::Binary => {
                apply_mask(payload, key);
                Ok(Message::Binary(payload))
            }
        }
    }
}

fn control_message(opcode: Opcode, payload: &[u8]) -> Result<Message<'_>, ProtocolError> {
    Ok(match opcode {
        Opcode::Ping => Message::Ping(payload),
        Opcode::Pong => Message::Pong(payload),
        Opcode::Close => Message::Close(CloseFrame::parse(payload)?),
        Opcode::Continuation | Opcode::Text | Opcode::Binary => {
            unreachable!("the frame decoder makes control events of control frames only")
        }
    })
}

impl From<Utf8Error> for ProtocolError {
    fn from(error: Utf8Error) -> Self {
        Self::InvalidUtf8 {
            valid_up_to: error.valid_up_to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A binary frame of `len` bytes that a server sends.
    fn frame(len: u64) -> Vec<u8> {
        let mut frame = alloc::vec![0x82, 127];
        frame.extend_from_slice(&len.to_be_bytes());
        frame.resize(10 + usize::try_from(len).unwrap_or(0), 7);
        frame
    }

    fn receive(messages: &mut MessageDecoder, bytes: &[u8]) -> usize {
        let mut bytes = bytes.to_vec();
        let mut input = &mut bytes[..];
        let mut received = 0;
        while let Ok(Some(_)) = messages.next_message(&mut input) {
            received += 1;
        }
        received
    }

    fn allocated(messages: &MessageDecoder) -> usize {
        match messages.assembly.as_deref() {
            Some(Assembly {
                content: Content::Binary(bytes),
                ..
            }) => bytes.capacity(),
            _ => 0,
        }
    }

    #[test]
    fn a_declared_length_allocates_no_more_than_the_peer_has_sent_before() {
        let mut messages = MessageDecoder::new(Role::Client, Limits::default());
        let first = frame(100_000);
        assert_eq!(receive(&mut messages, &first[..1_000]), 0);
        assert!(allocated(&messages) < 2_000, "nothing was sent before");
        assert_eq!(receive(&mut messages, &first[1_000..]), 1);
        assert_eq!(allocated(&messages), 0, "no memory between messages");

        for (declared, room) in [(1 << 20, 65_536), (70_000, 65_536)] {
            assert_eq!(receive(&mut messages, &frame(declared)[..1_000]), 0);
            assert_eq!(allocated(&messages), room);
            let frame = frame(declared);
            assert_eq!(receive(&mut messages, &frame[1_000..]), 1);
            // So that the next one finds the same before it.
            assert_eq!(receive(&mut messages, &first[..1_000]), 0);
            assert_eq!(receive(&mut messages, &first[1_000..]), 1);
        }
    }
}
