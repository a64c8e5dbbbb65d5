//! Frames out of a byte stream (RFC 6455 §5.2–5.5). In: what the socket gave, in pieces cut
//! anywhere. Out: headers, unmasked payload pieces and whole control frames, borrowed from it.
//!
//! What is decided here: every rule of a single frame, the order of fragments (§5.4) and the frame
//! limit. Messages, their limits and UTF-8 are [`crate::MessageDecoder`]'s.
//!
//! Never: copies, allocates, consumes a byte that it has not handed on.

use bytes::{Buf, BytesMut};

#[cfg(feature = "deflate")]
use crate::deflate::Compression;
use crate::header::AllowedRsv;
use crate::mask::rotate;
use crate::{Header, Opcode, ProtocolError, Role, apply_mask};

/// What [`FrameDecoder`] finds next; `B` is how the caller owns bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameEvent<B> {
    /// A data frame begins. At least one [`Payload`] follows, an empty one if the frame is empty.
    Header(Header),
    /// The next piece of that frame's payload.
    Payload(Payload<B>),
    /// A whole control frame; it may come between two pieces of a message, never inside a frame.
    Control(Control<B>),
}

/// A piece of a data frame's payload, unmasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<B> {
    /// The bytes; empty only in an empty frame.
    pub data: B,
    /// Where in the frame's payload they start.
    pub offset: u64,
    /// Whether the frame ends with them.
    pub ends_frame: bool,
}

/// A close, ping or pong, unmasked: at most 125 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control<B> {
    /// [`Opcode::Close`], [`Opcode::Ping`] or [`Opcode::Pong`].
    pub opcode: Opcode,
    /// The payload.
    pub payload: B,
}

/// A resumable frame parser of about 40 bytes.
///
/// Call [`next_event`](Self::next_event) until it gives `None`, then keep what is left of the input
/// (at most [`UNCONSUMED_BYTES_MAX`](crate::UNCONSUMED_BYTES_MAX) bytes) and call again with more
/// bytes behind it.
///
/// An error is final: nothing more is consumed, and every later call gives the same error.
///
/// ```
/// use fanfare_codec::{FrameDecoder, FrameEvent, Role};
///
/// let mut received = *b"\x81\x82\x01\x02\x03\x04\x49\x6B"; // "Hi", masked by a client
/// let mut input = &mut received[..];
/// let mut frames = FrameDecoder::new(Role::Server, 1024);
/// let Some(FrameEvent::Header(header)) = frames.next_event(&mut input)? else { panic!() };
/// assert_eq!(header.payload_len, 2);
/// let Some(FrameEvent::Payload(piece)) = frames.next_event(&mut input)? else { panic!() };
/// assert_eq!(piece.data, b"Hi");
/// assert!(piece.ends_frame && input.is_empty());
/// # Ok::<(), fanfare_codec::ProtocolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    max_frame_bytes: u64,
    state: State,
    role: Role,
    allowed_rsv: AllowedRsv,
    /// A text or binary frame without FIN came, and no continuation with it yet.
    in_message: bool,
    /// The message decoder's: it stands where there is room for it.
    #[cfg(feature = "deflate")]
    pub(crate) compression: Compression,
}

const _: () = assert!(size_of::<FrameDecoder>() <= 40);

#[derive(Clone, Copy, Debug)]
enum State {
    /// Between frames.
    Header,
    /// Inside a data frame's payload.
    Payload {
        offset: u64,
        remaining: u64,
        /// Rotated to the next payload byte; zero when the frame is not masked.
        key: [u8; 4],
    },
    Failed(ProtocolError),
}

/// Received bytes, taken off at the front.
trait Input {
    /// How their owner holds a part of them.
    type Piece: AsMut<[u8]>;

    fn bytes(&self) -> &[u8];
    fn skip(&mut self, len: usize);
    fn cut(&mut self, len: usize) -> Self::Piece;
}

impl<'b> Input for &'b mut [u8] {
    type Piece = &'b mut [u8];

    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn skip(&mut self, len: usize) {
        self.cut(len);
    }

    #[inline]
    fn cut(&mut self, len: usize) -> &'b mut [u8] {
        let (front, rest) = core::mem::take(self).split_at_mut(len);
        *self = rest;
        front
    }
}

impl Input for BytesMut {
    type Piece = Self;

    fn bytes(&self) -> &[u8] {
        self
    }

    fn skip(&mut self, len: usize) {
        self.advance(len);
    }

    /// The spare capacity behind the bytes stays with the caller, who reads into it next.
    fn cut(&mut self, len: usize) -> Self {
        if len == 0 {
            return Self::new();
        }
        self.split_to(len)
    }
}

/// An event whose bytes are masked, and their key.
pub(crate) type MaskedEvent<B> = (FrameEvent<B>, [u8; 4]);

/// What the front of the input is; [`FrameDecoder::next_masked_from`] cuts it off.
pub(crate) enum Next {
    Header {
        header: Header,
        header_len: usize,
    },
    Payload {
        len: usize,
        offset: u64,
        ends_frame: bool,
        key: [u8; 4],
    },
    Control {
        opcode: Opcode,
        key: [u8; 4],
        header_len: usize,
        payload_len: usize,
    },
}

impl FrameDecoder {
    /// A decoder for what arrives at `role`; no extension is negotiated.
    #[must_use]
    pub const fn new(role: Role, max_frame_bytes: u64) -> Self {
        Self {
            max_frame_bytes,
            state: State::Header,
            role,
            allowed_rsv: AllowedRsv::NONE,
            in_message: false,
            #[cfg(feature = "deflate")]
            compression: Compression::NONE,
        }
    }

    /// The same with the RSV bits that the negotiated extensions use.
    #[must_use]
    pub const fn with_allowed_rsv(mut self, allowed: AllowedRsv) -> Self {
        self.allowed_rsv = allowed;
        self
    }

    pub(crate) const fn max_frame_bytes(&self) -> u64 {
        self.max_frame_bytes
    }

    /// Our end of the connection.
    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// Whether the stream could end here without cutting a frame or a message.
    #[must_use]
    pub const fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Header) && !self.in_message
    }

    /// The next event in `input`, which moves past it; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke. Final: see [`FrameDecoder`].
    #[inline]
    pub fn next_event<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<FrameEvent<&'b mut [u8]>>, ProtocolError> {
        self.next_from(input)
    }

    /// [`next_event`](Self::next_event) for those who own a [`BytesMut`]: events own their bytes,
    /// split off without a copy.
    ///
    /// # Errors
    ///
    /// As [`next_event`](Self::next_event).
    pub fn next_owned(
        &mut self,
        input: &mut BytesMut,
    ) -> Result<Option<FrameEvent<BytesMut>>, ProtocolError> {
        self.next_from(input)
    }

    /// [`next_event`](Self::next_event), its bytes still masked, and their key.
    #[inline]
    pub(crate) fn next_masked<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<MaskedEvent<&'b mut [u8]>>, ProtocolError> {
        self.next_masked_from(input)
    }

    /// Makes an error of the layer above final.
    pub(crate) const fn fail(&mut self, error: ProtocolError) {
        self.state = State::Failed(error);
    }

    #[inline]
    fn next_from<I: Input>(
        &mut self,
        input: &mut I,
    ) -> Result<Option<FrameEvent<I::Piece>>, ProtocolError> {
        let Some((mut event, key)) = self.next_masked_from(input)? else {
            return Ok(None);
        };
        match &mut event {
            FrameEvent::Header(_) => {}
            FrameEvent::Payload(piece) => {
                apply_mask(piece.data.as_mut(), key);
            }
            FrameEvent::Control(control) => {
                apply_mask(control.payload.as_mut(), key);
            }
        }
        Ok(Some(event))
    }

    #[inline]
    fn next_masked_from<I: Input>(
        &mut self,
        input: &mut I,
    ) -> Result<Option<MaskedEvent<I::Piece>>, ProtocolError> {
        let next = match self.find(input.bytes()) {
            Ok(None) => return Ok(None),
            Ok(Some(next)) => next,
            Err(error) => {
                self.fail(error);
                return Err(error);
            }
        };
        Ok(Some(match next {
            Next::Header { header, header_len } => {
                input.skip(header_len);
                self.start_frame(&header);
                (FrameEvent::Header(header), [0; 4])
            }
            Next::Payload {
                len,
                offset,
                ends_frame,
                key,
            } => {
                let data = input.cut(len);
                self.advance(len as u64, rotate(key, len));
                let piece = Payload {
                    data,
                    offset,
                    ends_frame,
                };
                (FrameEvent::Payload(piece), key)
            }
            Next::Control {
                opcode,
                key,
                header_len,
                payload_len,
            } => {
                input.skip(header_len);
                let payload = input.cut(payload_len);
                (FrameEvent::Control(Control { opcode, payload }), key)
            }
        }))
    }

    /// Names what stands at the front of `input` and changes nothing.
    #[inline]
    pub(crate) fn find(&self, input: &[u8]) -> Result<Option<Next>, ProtocolError> {
        match self.state {
            State::Header => self.find_frame(input),
            State::Payload {
                offset,
                remaining,
                key,
            } => {
                if input.is_empty() && remaining > 0 {
                    return Ok(None);
                }
                let len = usize::try_from(remaining).map_or(input.len(), |r| r.min(input.len()));
                Ok(Some(Next::Payload {
                    len,
                    offset,
                    ends_frame: len as u64 == remaining,
                    key,
                }))
            }
            State::Failed(error) => Err(error),
        }
    }

    #[inline]
    fn find_frame(&self, input: &[u8]) -> Result<Option<Next>, ProtocolError> {
        let Some((header, header_len)) = Header::parse(input, self.role, self.allowed_rsv)? else {
            return Ok(None);
        };
        if header.opcode.is_control() {
            let payload_len = usize::try_from(header.payload_len).expect("at most 125");
            if input.len() < header_len + payload_len {
                return Ok(None);
            }
            return Ok(Some(Next::Control {
                opcode: header.opcode,
                key: header.mask_key.unwrap_or_default(),
                header_len,
                payload_len,
            }));
        }
        match (header.opcode, self.in_message) {
            (Opcode::Continuation, false) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, true) => {
                return Err(ProtocolError::ExpectedContinuation);
            }
            _ => {}
        }
        if header.payload_len > self.max_frame_bytes {
            return Err(ProtocolError::FrameTooLong(header.payload_len));
        }
        Ok(Some(Next::Header { header, header_len }))
    }

    #[inline]
    const fn start_frame(&mut self, header: &Header) {
        self.in_message = !header.fin;
        self.state = State::Payload {
            offset: 0,
            remaining: header.payload_len,
            key: match header.mask_key {
                Some(key) => key,
                None => [0; 4],
            },
        };
    }

    #[inline]
    const fn advance(&mut self, len: u64, key: [u8; 4]) {
        let State::Payload {
            offset, remaining, ..
        } = self.state
        else {
            return;
        };
        self.state = if remaining == len {
            State::Header
        } else {
            State::Payload {
                offset: offset + len,
                remaining: remaining - len,
                key,
            }
        };
    }
}
