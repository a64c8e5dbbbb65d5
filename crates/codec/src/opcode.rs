//! Frame opcodes (RFC 6455 §5.2, §11.8). In: four bits. Out: one of the six that are defined.
//!
//! Never: lets a reserved opcode become a value.

/// What a frame carries. Reserved opcodes have no value here: the header parser refuses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// A further frame of the message in progress (§5.4).
    Continuation = 0x0,
    /// The first frame of a text message, UTF-8 (§5.6).
    Text = 0x1,
    /// The first frame of a binary message (§5.6).
    Binary = 0x2,
    /// The closing handshake (§5.5.1).
    Close = 0x8,
    /// A question that a pong with the same payload answers (§5.5.2).
    Ping = 0x9,
    /// The answer to a ping, or an unsolicited heartbeat (§5.5.3).
    Pong = 0xA,
}

impl Opcode {
    /// The opcode in the low four bits of a frame's first byte; `None` when reserved.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// The four bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// Close, ping or pong: at most 125 bytes and never fragmented (§5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}
