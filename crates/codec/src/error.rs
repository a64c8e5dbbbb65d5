//! What a peer did wrong on an open connection. In: the rule it broke. Out: the close code it is
//! told (RFC 6455 §7.4.1) and a sentence for the log.
//!
//! Never: a fault of the local caller (see [`crate::EncodeError`]), of the OS, or of the HTTP
//! upgrade (see [`crate::handshake`]).

use core::fmt;

use crate::CloseCode;
use crate::header::Rsv;

/// The peer violated RFC 6455, or one of our [`Limits`](crate::Limits); the connection must be failed
/// with [`close_code`](Self::close_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// These RSV bits are set though no extension gives them a meaning here (§5.2).
    ReservedBits(Rsv),
    /// The opcode, 3–7 or 11–15, is reserved (§5.2).
    ReservedOpcode(u8),
    /// A client's frame without a mask (§5.1).
    UnmaskedFrame,
    /// A server's frame with a mask (§5.1).
    MaskedFrame,
    /// A control frame with FIN clear (§5.5).
    FragmentedControl,
    /// A control frame whose length field is 126 or 127 (§5.5).
    ControlTooLong,
    /// A length that fits a shorter form (§5.2).
    NonMinimalLength(u64),
    /// A 64-bit length with its most significant bit set (§5.2).
    LengthOverflow,
    /// A continuation frame with no message in progress (§5.4).
    UnexpectedContinuation,
    /// A new text or binary frame inside a fragmented message (§5.4).
    ExpectedContinuation,
    /// Text that is not UTF-8 (§8.1); this many bytes of the message are valid.
    InvalidUtf8 {
        /// Where the first invalid or unfinished sequence starts, in bytes from the message's start.
        valid_up_to: u64,
    },
    /// A compressed message that is no DEFLATE stream, or that ends inside a block (RFC 7692 §7.2.2).
    CorruptDeflate,
    /// A frame of this many bytes, past [`max_frame_bytes`](crate::Limits::max_frame_bytes).
    FrameTooLong(u64),
    /// A message of at least this many bytes, past [`max_message_bytes`](crate::Limits::max_message_bytes).
    MessageTooLong(u64),
    /// More frames in one message than [`max_fragments`](crate::Limits::max_fragments).
    TooManyFragments,
    /// A close frame of one byte: half a code (§5.5.1).
    TruncatedCloseCode,
    /// A close code that must not appear on the wire (§7.4).
    InvalidCloseCode(u16),
    /// A close reason that is not UTF-8 (§5.5.1).
    InvalidCloseReason,
}

impl ProtocolError {
    /// The code to send to the peer that did it (§7.4.1).
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBits(_)
            | Self::ReservedOpcode(_)
            | Self::UnmaskedFrame
            | Self::MaskedFrame
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::NonMinimalLength(_)
            | Self::LengthOverflow
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::TruncatedCloseCode
            | Self::InvalidCloseCode(_) => CloseCode::PROTOCOL_ERROR,
            // No RFC has a code for data that do not inflate. They are not consistent with the message's
            // type (RFC 6455 §7.4.1), and `ws`, which most servers of npm are, says 1007 as well.
            Self::InvalidUtf8 { .. } | Self::InvalidCloseReason | Self::CorruptDeflate => {
                CloseCode::INVALID_PAYLOAD
            }
            Self::FrameTooLong(_) | Self::MessageTooLong(_) | Self::TooManyFragments => {
                CloseCode::MESSAGE_TOO_BIG
            }
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits(rsv) => write!(f, "reserved bits set: {rsv}"),
            Self::ReservedOpcode(opcode) => write!(f, "reserved opcode 0x{opcode:x}"),
            Self::UnmaskedFrame => f.write_str("unmasked frame from a client"),
            Self::MaskedFrame => f.write_str("masked frame from a server"),
            Self::FragmentedControl => f.write_str("fragmented control frame"),
            Self::ControlTooLong => f.write_str("control frame longer than 125 bytes"),
            Self::NonMinimalLength(len) => write!(f, "length {len} not in its shortest form"),
            Self::LengthOverflow => f.write_str("64-bit length with its top bit set"),
            Self::UnexpectedContinuation => f.write_str("continuation with nothing to continue"),
            Self::ExpectedContinuation => f.write_str("new message inside a fragmented one"),
            Self::InvalidUtf8 { valid_up_to } => {
                write!(f, "text is not UTF-8 at byte {valid_up_to}")
            }
            Self::CorruptDeflate => f.write_str("compressed message does not inflate"),
            Self::FrameTooLong(len) => write!(f, "frame of {len} bytes is past the limit"),
            Self::MessageTooLong(len) => write!(f, "message of {len} bytes is past the limit"),
            Self::TooManyFragments => f.write_str("message in too many fragments"),
            Self::TruncatedCloseCode => f.write_str("close frame of one byte"),
            Self::InvalidCloseCode(code) => write!(f, "close code {code} not allowed on the wire"),
            Self::InvalidCloseReason => f.write_str("close reason is not UTF-8"),
        }
    }
}

impl core::error::Error for ProtocolError {}
