//! What two sides agree on (RFC 7692 §7.1). In: the outcome of a handshake. Out: for each direction, how
//! large its window is, and whether it outlives a message.
//!
//! Never: changes during a connection.

use core::fmt;

use crate::Role;

/// A window's size, 256 bytes to 32 KiB, by its exponent: 8–15.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(u8);

impl WindowBits {
    /// 256 bytes.
    pub const MIN: Self = Self(8);
    /// 32 KiB: what holds where nothing else is said.
    pub const MAX: Self = Self(15);

    /// `None` unless `bits` is 8–15.
    #[must_use]
    pub const fn new(bits: u8) -> Option<Self> {
        match bits {
            8..=15 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The exponent.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// What a parameter says: decimal, no leading zero (§7.1.2).
    pub(super) fn parse(value: &str) -> Option<Self> {
        match value.as_bytes() {
            [digit @ b'8'..=b'9'] => Some(Self(digit - b'0')),
            [b'1', digit @ b'0'..=b'5'] => Some(Self(10 + digit - b'0')),
            _ => None,
        }
    }
}

impl Default for WindowBits {
    /// [`WindowBits::MAX`].
    fn default() -> Self {
        Self::MAX
    }
}

impl fmt::Display for WindowBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for WindowBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowBits({})", self.0)
    }
}

/// What permessage-deflate does on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeflateTerms {
    /// Of what the server sends.
    pub server: DirectionTerms,
    /// Of what the client sends.
    pub client: DirectionTerms,
}

/// What holds for the messages of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirectionTerms {
    /// A message may refer to bytes of the messages before it: both sides keep a window between them.
    pub takeover: bool,
    /// How far back it may refer.
    pub window_bits: WindowBits,
}

impl DirectionTerms {
    /// A window of 32 KiB that outlives a message.
    pub const DEFAULT: Self = Self {
        takeover: true,
        window_bits: WindowBits::MAX,
    };
}

impl DeflateTerms {
    /// What an answer without parameters means: takeover and 32 KiB, both ways.
    pub const DEFAULT: Self = Self {
        server: DirectionTerms::DEFAULT,
        client: DirectionTerms::DEFAULT,
    };

    /// Of what `role`, which is ours, sends.
    #[must_use]
    pub const fn sent_by(&self, role: Role) -> DirectionTerms {
        match role {
            Role::Server => self.server,
            Role::Client => self.client,
        }
    }
}
