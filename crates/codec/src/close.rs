//! The closing handshake's codes and payload (RFC 6455 §5.5.1, §7.4). In: a close frame's
//! payload. Out: a code and a reason that are known to be good; and the other way round.
//!
//! Never: decides when to close.

use alloc::vec::Vec;
use core::fmt;

use crate::ProtocolError;
use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;

/// Why a connection ends (§7.4). Any number can be held, so that codes we do not know survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose was fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server shuts down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that this endpoint cannot take.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// Not on the wire: the close frame had no code.
    pub const NO_STATUS: Self = Self(1005);
    /// Not on the wire: the connection ended without a close frame.
    pub const ABNORMAL: Self = Self(1006);
    /// Text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The message breaks the endpoint's policy.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// The message is past a limit.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// The client needs an extension that the server did not negotiate.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// The server met a condition it did not expect.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The service restarts (IANA registry).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// Come back later (IANA registry).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// A gateway had no good answer from upstream (IANA registry).
    pub const BAD_GATEWAY: Self = Self(1014);
    /// Not on the wire: TLS failed.
    pub const TLS_HANDSHAKE: Self = Self(1015);

    /// Whether a close frame may carry it: registered and not internal, or of the ranges for
    /// libraries (3000–3999) and applications (4000–4999) (§7.4.2).
    #[must_use]
    pub const fn is_allowed_on_wire(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A code and a reason that a close frame may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    code: CloseCode,
    reason: &'a str,
}

impl<'a> CloseFrame<'a> {
    /// The longest reason, in bytes: a control payload less the code.
    pub const REASON_BYTES_MAX: usize = CONTROL_PAYLOAD_BYTES_MAX - 2;

    /// A close frame's content; a reason past [`REASON_BYTES_MAX`](Self::REASON_BYTES_MAX) is cut
    /// at a character boundary.
    ///
    /// # Errors
    ///
    /// [`CodeNotAllowed`] when the code may not appear on the wire.
    pub fn new(code: CloseCode, reason: &'a str) -> Result<Self, CodeNotAllowed> {
        if !code.is_allowed_on_wire() {
            return Err(CodeNotAllowed(code));
        }
        let reason = &reason[..reason.floor_char_boundary(Self::REASON_BYTES_MAX)];
        Ok(Self { code, reason })
    }

    /// What a received close frame says; `None` when its payload is empty.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::TruncatedCloseCode`], [`ProtocolError::InvalidCloseCode`] or
    /// [`ProtocolError::InvalidCloseReason`].
    pub fn parse(payload: &'a [u8]) -> Result<Option<Self>, ProtocolError> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::TruncatedCloseCode),
            &[high, low, ref reason @ ..] => (u16::from_be_bytes([high, low]), reason),
        };
        if !CloseCode(code).is_allowed_on_wire() {
            return Err(ProtocolError::InvalidCloseCode(code));
        }
        let reason = core::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidCloseReason)?;
        Ok(Some(Self {
            code: CloseCode(code),
            reason,
        }))
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason, at most 123 bytes; often empty.
    #[must_use]
    pub const fn reason(&self) -> &'a str {
        self.reason
    }

    /// The same code, as an endpoint echoes it in its answer (§5.5.1).
    #[must_use]
    pub const fn without_reason(self) -> CloseFrame<'static> {
        CloseFrame {
            code: self.code,
            reason: "",
        }
    }

    /// Appends the payload: the code in network order, then the reason.
    pub(crate) fn append_payload(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.0.to_be_bytes());
        out.extend_from_slice(self.reason.as_bytes());
    }
}

/// The caller wanted to send a close code that may not appear on the wire (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeNotAllowed(pub CloseCode);

impl fmt::Display for CodeNotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "close code {} must not be sent", self.0)
    }
}

impl core::error::Error for CodeNotAllowed {}
