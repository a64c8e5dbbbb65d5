//! Which end of the connection we are (RFC 6455 §5.1). In: nothing. Out: who masks.
//!
//! Never: changes during a connection.

/// Our end of the connection; it decides which frames carry a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We sent the HTTP upgrade: we mask every frame and accept none that is masked.
    Client,
    /// We answered it: every frame we receive is masked and none that we send.
    Server,
}

impl Role {
    /// Whether frames that *we* send are masked (RFC 6455 §5.1).
    #[must_use]
    pub const fn masks(self) -> bool {
        matches!(self, Self::Client)
    }

    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}
