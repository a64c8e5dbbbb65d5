//! What can go wrong in a run. In: the phase a connection was in and what happened to it. Out: a
//! class to count and a sentence for the reader.
//!
//! Never: counts; [`crate::stats`] does.

use std::fmt;

/// What a fault is counted as.
///
/// A fault counts once: connections in the first three classes and `Closed`, messages in the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultClass {
    /// The TCP connection was not made, or not in time.
    Connect,
    /// The upgrade was refused, wrong, cut off or not answered in time.
    Handshake,
    /// The server broke RFC 6455 on an open connection.
    Protocol,
    /// A reply that is not the next message that was sent: changed, repeated, out of order,
    /// unasked for, or of the other kind.
    Mismatch,
    /// The server ended an open connection.
    Closed,
    /// A message was not answered in time.
    Timeout,
    /// A publication that a subscriber never got.
    Gap,
    /// A publication that a subscriber got once more.
    Duplicate,
    /// A publication that a subscriber got after one that was published later.
    Disorder,
    /// A publication that the server did not take.
    Refused,
}

impl FaultClass {
    /// All, in the order in which they are reported.
    pub(crate) const ALL: [Self; 10] = [
        Self::Connect,
        Self::Handshake,
        Self::Protocol,
        Self::Mismatch,
        Self::Closed,
        Self::Timeout,
        Self::Gap,
        Self::Duplicate,
        Self::Disorder,
        Self::Refused,
    ];

    /// The name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Protocol => "protocol",
            Self::Mismatch => "mismatch",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Gap => "gap",
            Self::Duplicate => "duplicate",
            Self::Disorder => "disorder",
            Self::Refused => "refused",
        }
    }
}

/// One fault.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What it counts as.
    pub(crate) class: FaultClass,
    /// What happened, for the reader.
    pub(crate) detail: String,
    /// The code of the close frame that ended the connection.
    pub(crate) close_code: Option<u16>,
}

impl Fault {
    #[cold]
    pub(crate) fn new(class: FaultClass, detail: impl fmt::Display) -> Self {
        Self {
            class,
            detail: detail.to_string(),
            close_code: None,
        }
    }

    /// The same, of a connection that a close frame with `code` ended.
    pub(crate) const fn with_close_code(mut self, code: u16) -> Self {
        self.close_code = Some(code);
        self
    }
}
