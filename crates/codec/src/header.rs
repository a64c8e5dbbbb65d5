//! Frame headers (RFC 6455 §5.2). In: up to 14 bytes. Out: a [`Header`], or the rule they break;
//! and the other way round.
//!
//! Never: looks at payload bytes, remembers a previous frame.

use core::fmt;

use crate::limits::{CONTROL_PAYLOAD_BYTES_MAX, HEADER_BYTES_MAX};
use crate::{Opcode, ProtocolError, Role};

/// A set of the three reserved bits, RSV1–RSV3 (§5.2), which belong to extensions.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rsv(u8);

impl Rsv {
    /// No bit.
    pub const NONE: Self = Self(0);
    /// RSV1: "compressed" under permessage-deflate (RFC 7692 §6).
    pub const RSV1: Self = Self(0x40);
    /// RSV2.
    pub const RSV2: Self = Self(0x20);
    /// RSV3.
    pub const RSV3: Self = Self(0x10);
    /// All three.
    pub const ALL: Self = Self(0x70);

    /// The bits where they stand in a frame's first byte; all others are dropped.
    #[must_use]
    pub const fn from_bits(first_byte: u8) -> Self {
        Self(first_byte & Self::ALL.0)
    }

    /// The bits where they stand in a frame's first byte.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits of `self` that `other` lacks.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no bit is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Rsv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::RSV1, "RSV1"),
            (Self::RSV2, "RSV2"),
            (Self::RSV3, "RSV3"),
        ];
        let mut separator = "";
        for (bit, name) in names {
            if self.0 & bit.0 != 0 {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if self.is_empty() {
            f.write_str("none")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rsv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rsv({self})")
    }
}

/// Which RSV bits the negotiated extensions allow, by the place of a frame in its message.
///
/// The default allows none, as RFC 6455 §5.2 asks when nothing was negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowedRsv {
    /// On text and binary frames: the first frame of each message.
    pub first: Rsv,
    /// On continuation frames.
    pub continuation: Rsv,
    /// On close, ping and pong.
    pub control: Rsv,
}

impl AllowedRsv {
    /// None anywhere: no extension was negotiated.
    pub const NONE: Self = Self::per_message(Rsv::NONE);

    /// Bits that mark a whole message, on its first frame only (RFC 7692 §6).
    #[must_use]
    pub const fn per_message(first: Rsv) -> Self {
        Self {
            first,
            continuation: Rsv::NONE,
            control: Rsv::NONE,
        }
    }

    const fn on(self, opcode: Opcode) -> Rsv {
        match opcode {
            Opcode::Text | Opcode::Binary => self.first,
            Opcode::Continuation => self.continuation,
            Opcode::Close | Opcode::Ping | Opcode::Pong => self.control,
        }
    }
}

/// A frame's header. A parsed one keeps every rule that the header alone can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last frame of its message.
    pub fin: bool,
    /// Reserved bits, as set on the wire.
    pub rsv: Rsv,
    /// What the payload is.
    pub opcode: Opcode,
    /// The key that the payload is masked with; `None` when it is not.
    pub mask_key: Option<[u8; 4]>,
    /// Payload bytes, below 2^63.
    pub payload_len: u64,
}

impl Header {
    /// The longest header, in bytes.
    pub const BYTES_MAX: usize = HEADER_BYTES_MAX;

    /// The header at the start of `bytes` and its own length; `None` when more bytes are needed.
    ///
    /// `role` is ours: as a server we demand the mask that a client must set.
    ///
    /// # Errors
    ///
    /// Any [`ProtocolError`] that a header alone can show. The first two bytes decide all of them
    /// except [`NonMinimalLength`](ProtocolError::NonMinimalLength) and
    /// [`LengthOverflow`](ProtocolError::LengthOverflow), which need the whole length.
    #[inline]
    pub fn parse(
        bytes: &[u8],
        role: Role,
        allowed: AllowedRsv,
    ) -> Result<Option<(Self, usize)>, ProtocolError> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let len_field = second & 0x7F;
        let (opcode, masked) = Self::check_first_two(first, second, role, allowed)?;

        let (payload_len, len_bytes) = match len_field {
            126 => match rest.first_chunk() {
                None => return Ok(None),
                Some(&be) => (u64::from(u16::from_be_bytes(be)), 2),
            },
            127 => match rest.first_chunk() {
                None => return Ok(None),
                Some(&be) => (u64::from_be_bytes(be), 8),
            },
            short => (u64::from(short), 0),
        };
        if len_bytes == 2 && payload_len < 126 || len_bytes == 8 && payload_len <= 0xFFFF {
            return Err(ProtocolError::NonMinimalLength(payload_len));
        }
        if payload_len >> 63 != 0 {
            return Err(ProtocolError::LengthOverflow);
        }

        let (mask_key, key_bytes) = if masked {
            match rest[len_bytes..].first_chunk() {
                None => return Ok(None),
                Some(&key) => (Some(key), 4),
            }
        } else {
            (None, 0)
        };
        let header = Self {
            fin: first & 0x80 != 0,
            rsv: Rsv::from_bits(first),
            opcode,
            mask_key,
            payload_len,
        };
        Ok(Some((header, 2 + len_bytes + key_bytes)))
    }

    /// Every rule that the first two bytes can break; the opcode and the mask bit otherwise.
    #[inline]
    fn check_first_two(
        first: u8,
        second: u8,
        role: Role,
        allowed: AllowedRsv,
    ) -> Result<(Opcode, bool), ProtocolError> {
        let Some(opcode) = Opcode::from_bits(first & 0x0F) else {
            return Err(ProtocolError::ReservedOpcode(first & 0x0F));
        };
        let unexpected = Rsv::from_bits(first).without(allowed.on(opcode));
        if !unexpected.is_empty() {
            return Err(ProtocolError::ReservedBits(unexpected));
        }
        let masked = second & 0x80 != 0;
        if masked != role.peer().masks() {
            return Err(if masked {
                ProtocolError::MaskedFrame
            } else {
                ProtocolError::UnmaskedFrame
            });
        }
        if opcode.is_control() {
            if first & 0x80 == 0 {
                return Err(ProtocolError::FragmentedControl);
            }
            if usize::from(second & 0x7F) > CONTROL_PAYLOAD_BYTES_MAX {
                return Err(ProtocolError::ControlTooLong);
            }
        }
        Ok((opcode, masked))
    }

    /// How many bytes [`encode`](Self::encode) writes: 2–14.
    #[must_use]
    #[inline]
    pub const fn encoded_len(&self) -> usize {
        let len_bytes = match self.payload_len {
            0..=125 => 0,
            126..=0xFFFF => 2,
            _ => 8,
        };
        let key_bytes = if self.mask_key.is_some() { 4 } else { 0 };
        2 + len_bytes + key_bytes
    }

    /// Writes the header to the front of `out`, its length in the shortest form, and gives the
    /// number of bytes written; zeros follow them.
    #[inline]
    pub fn encode(&self, out: &mut [u8; Self::BYTES_MAX]) -> usize {
        let (bytes, len) = self.encoded();
        out.copy_from_slice(&bytes[..Self::BYTES_MAX]);
        len
    }

    /// The header, zeros behind it, and its length: put together in registers, so that whoever stores
    /// it stores it at once.
    #[inline]
    pub(crate) const fn encoded(&self) -> ([u8; 16], usize) {
        let first = (self.fin as u8) << 7 | self.rsv.bits() | self.opcode.bits();
        let (mask_bit, key, key_bytes) = match self.mask_key {
            Some(key) => (0x80, u32::from_le_bytes(key) as u64, 4),
            None => (0, 0, 0),
        };
        // Two words, not a wide one: shifts across two registers cost as much as all the rest.
        let (second, low, high, len) = match self.payload_len {
            len @ 0..=125 => (len, key, 0, 2),
            len @ 126..=0xFFFF => (126, len.swap_bytes() >> 48 | key << 16, 0, 4),
            len => {
                let len = len.swap_bytes();
                (127, len, len >> 48 | key << 16, 10)
            }
        };
        let low = first as u64 | (mask_bit | second) << 8 | low << 16;
        let word = low as u128 | (high as u128) << 64;
        (word.to_le_bytes(), len + key_bytes)
    }
}
