//! Frames into a byte stream (RFC 6455 §5.2–5.5). In: messages, fragments and control frames. Out:
//! bytes appended to the caller's buffer.
//!
//! Never: performs I/O, flushes, or makes a mask key up: a client brings its source of keys.

use alloc::vec::Vec;
use core::fmt;

use crate::header::Rsv;
use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;
use crate::mask::append_masked_behind;
use crate::{CloseFrame, Header, Opcode};

/// Where the mask keys of outgoing frames come from.
pub trait MaskKeys {
    /// The key of the next frame; `None` sends it unmasked.
    fn next_key(&mut self) -> Option<[u8; 4]>;
}

/// Servers send unmasked (§5.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmasked;

impl MaskKeys for Unmasked {
    #[inline]
    fn next_key(&mut self) -> Option<[u8; 4]> {
        None
    }
}

/// Clients mask each frame with a fresh key that others cannot predict (§5.3, §10.3).
#[derive(Clone, Copy, Debug)]
pub struct MaskedWith<F>(F);

impl<F: FnMut() -> [u8; 4]> MaskKeys for MaskedWith<F> {
    #[inline]
    fn next_key(&mut self) -> Option<[u8; 4]> {
        Some((self.0)())
    }
}

/// What a data message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

impl MessageKind {
    pub(crate) const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// The sending half of a connection: it knows whether a fragmented message is open, and whether close
/// was sent.
///
/// ```
/// use fanfare_codec::{Encoder, MessageKind};
///
/// let mut out = Vec::new();
/// let mut server = Encoder::server();
/// server.text(&mut out, "Hi")?;
/// assert_eq!(out, b"\x81\x02Hi");
///
/// out.clear();
/// server.begin(&mut out, MessageKind::Text, b"Hel")?;
/// server.ping(&mut out, b"")?; // control frames may come between
/// server.end(&mut out, b"lo")?;
/// assert_eq!(out, b"\x01\x03Hel\x89\x00\x80\x02lo");
///
/// out.clear();
/// let mut client = Encoder::client(|| [1, 2, 3, 4]); // yours: four bytes of a strong generator
/// client.text(&mut out, "Hi")?;
/// assert_eq!(out, b"\x81\x82\x01\x02\x03\x04\x49\x6B");
/// # Ok::<(), fanfare_codec::EncodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Encoder<K> {
    keys: K,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    BetweenMessages,
    InMessage,
    Closed,
}

impl Encoder<Unmasked> {
    /// For a server.
    #[must_use]
    pub const fn server() -> Self {
        Self::with_keys(Unmasked)
    }
}

impl<F: FnMut() -> [u8; 4]> Encoder<MaskedWith<F>> {
    /// For a client; `keys` is called once a frame.
    #[must_use]
    pub const fn client(keys: F) -> Self {
        Self::with_keys(MaskedWith(keys))
    }
}

impl<K> Encoder<K> {
    /// For keys of your own type; [`server`](Encoder::server) and [`client`](Encoder::client) suit most.
    #[must_use]
    pub const fn with_keys(keys: K) -> Self {
        Self {
            keys,
            state: State::BetweenMessages,
        }
    }

    /// That a frame of a message may be sent now.
    #[inline]
    const fn expect_state(&self, expected: State) -> Result<(), EncodeError> {
        match (expected, self.state) {
            (_, State::Closed) => Err(EncodeError::Closed),
            (State::InMessage, State::BetweenMessages) => Err(EncodeError::OutsideMessage),
            (State::BetweenMessages, State::InMessage) => Err(EncodeError::InsideMessage),
            _ => Ok(()),
        }
    }
}

impl<K: MaskKeys> Encoder<K> {
    /// Appends a whole text message.
    ///
    /// # Errors
    ///
    /// [`EncodeError::InsideMessage`], [`EncodeError::Closed`].
    #[inline]
    pub fn text(&mut self, out: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
        self.message(out, MessageKind::Text, text.as_bytes())
    }

    /// Appends a whole binary message.
    ///
    /// # Errors
    ///
    /// [`EncodeError::InsideMessage`], [`EncodeError::Closed`].
    #[inline]
    pub fn binary(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
        self.message(out, MessageKind::Binary, bytes)
    }

    /// Appends a whole message of either kind; that text is UTF-8 is the caller's to keep.
    ///
    /// # Errors
    ///
    /// [`EncodeError::InsideMessage`], [`EncodeError::Closed`].
    #[inline]
    pub fn message(
        &mut self,
        out: &mut Vec<u8>,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<(), EncodeError> {
        self.expect_state(State::BetweenMessages)?;
        self.frame(out, true, kind.opcode(), payload);
        Ok(())
    }

    /// Appends the first fragment of a message. Text may be cut inside a character; that the whole
    /// is UTF-8 is the caller's to keep.
    ///
    /// # Errors
    ///
    /// [`EncodeError::InsideMessage`], [`EncodeError::Closed`].
    pub fn begin(
        &mut self,
        out: &mut Vec<u8>,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<(), EncodeError> {
        self.expect_state(State::BetweenMessages)?;
        self.state = State::InMessage;
        self.frame(out, false, kind.opcode(), payload);
        Ok(())
    }

    /// Appends a further fragment of the message begun.
    ///
    /// # Errors
    ///
    /// [`EncodeError::OutsideMessage`], [`EncodeError::Closed`].
    pub fn proceed(&mut self, out: &mut Vec<u8>, payload: &[u8]) -> Result<(), EncodeError> {
        self.expect_state(State::InMessage)?;
        self.frame(out, false, Opcode::Continuation, payload);
        Ok(())
    }

    /// Appends the last fragment of the message begun.
    ///
    /// # Errors
    ///
    /// [`EncodeError::OutsideMessage`], [`EncodeError::Closed`].
    pub fn end(&mut self, out: &mut Vec<u8>, payload: &[u8]) -> Result<(), EncodeError> {
        self.expect_state(State::InMessage)?;
        self.state = State::BetweenMessages;
        self.frame(out, true, Opcode::Continuation, payload);
        Ok(())
    }

    /// Appends a ping, at most 125 bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError::ControlTooLong`], [`EncodeError::Closed`].
    pub fn ping(&mut self, out: &mut Vec<u8>, payload: &[u8]) -> Result<(), EncodeError> {
        self.control(out, Opcode::Ping, payload)
    }

    /// Appends a pong, at most 125 bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError::ControlTooLong`], [`EncodeError::Closed`].
    pub fn pong(&mut self, out: &mut Vec<u8>, payload: &[u8]) -> Result<(), EncodeError> {
        self.control(out, Opcode::Pong, payload)
    }

    /// Appends a close frame; `None` sends no code. It is the last frame: a second one is not
    /// written, and everything else is refused with [`EncodeError::Closed`].
    pub fn close(&mut self, out: &mut Vec<u8>, close: Option<CloseFrame<'_>>) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        let mut payload = Vec::new();
        if let Some(close) = close {
            close.append_payload(&mut payload);
        }
        self.frame(out, true, Opcode::Close, &payload);
    }

    fn control(
        &mut self,
        out: &mut Vec<u8>,
        opcode: Opcode,
        payload: &[u8],
    ) -> Result<(), EncodeError> {
        if payload.len() > CONTROL_PAYLOAD_BYTES_MAX {
            return Err(EncodeError::ControlTooLong(payload.len()));
        }
        if self.state == State::Closed {
            return Err(EncodeError::Closed);
        }
        self.frame(out, true, opcode, payload);
        Ok(())
    }

    #[inline]
    fn frame(&mut self, out: &mut Vec<u8>, fin: bool, opcode: Opcode, payload: &[u8]) {
        self.frame_with(out, (fin, Rsv::NONE), opcode, payload);
    }

    /// That a whole message may be sent now.
    #[cfg(feature = "deflate")]
    pub(crate) const fn expect_between_messages(&self) -> Result<(), EncodeError> {
        self.expect_state(State::BetweenMessages)
    }

    /// Appends a whole message as an extension has transformed it; that it may be sent now was asked.
    #[cfg(feature = "deflate")]
    pub(crate) fn extended(
        &mut self,
        out: &mut Vec<u8>,
        kind: MessageKind,
        rsv: Rsv,
        payload: &[u8],
    ) {
        self.frame_with(out, (true, rsv), kind.opcode(), payload);
    }

    #[inline(always)]
    fn frame_with(
        &mut self,
        out: &mut Vec<u8>,
        (fin, rsv): (bool, Rsv),
        opcode: Opcode,
        payload: &[u8],
    ) {
        let mask_key = self.keys.next_key();
        if let (None, Ok(len @ 0..=125)) = (mask_key, u8::try_from(payload.len())) {
            // Most of what servers send: two bytes, and no shape of header to choose.
            let first = if fin { 0x80 } else { 0 } | rsv.bits() | opcode.bits();
            out.reserve(2 + payload.len());
            out.extend_from_slice(&[first, len]);
            out.extend_from_slice(payload);
            return;
        }
        let header = Header {
            fin,
            rsv,
            opcode,
            mask_key,
            payload_len: payload.len() as u64,
        };
        let (bytes, header_len) = header.encoded();
        match header.mask_key {
            Some(key) => append_masked_behind(out, (bytes, header_len), payload, key),
            None => {
                out.reserve(bytes.len() + payload.len());
                // All of them at once, and then what is no header goes: a known length needs no call
                // to copy.
                let header_at = out.len();
                out.extend_from_slice(&bytes);
                out.truncate(header_at + header_len);
                out.extend_from_slice(payload);
            }
        }
    }
}

/// The local caller asked for a frame that RFC 6455 forbids; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// A new message while a fragmented one is open (§5.4).
    InsideMessage,
    /// A further fragment with no message begun (§5.4).
    OutsideMessage,
    /// Anything after a close frame (§5.5.1).
    Closed,
    /// A ping or pong of this many bytes, more than 125 (§5.5).
    ControlTooLong(usize),
    /// A payload that was to be text is not UTF-8 (§5.6).
    NotUtf8,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsideMessage => f.write_str("a fragmented message is still open"),
            Self::OutsideMessage => f.write_str("no fragmented message is open"),
            Self::Closed => f.write_str("a close frame was sent: nothing may follow"),
            Self::ControlTooLong(len) => write!(f, "control payload of {len} bytes, at most 125"),
            Self::NotUtf8 => f.write_str("text payload is not UTF-8"),
        }
    }
}

impl core::error::Error for EncodeError {}
