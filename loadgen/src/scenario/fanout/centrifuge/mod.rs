//! Subscribers and publishers that speak the Centrifuge protocol. In: what the flags say of it, and what
//! arrives. Out: commands, deliveries, and what becomes of subscriptions.
//!
//! A subscriber says who it is and subscribes in its first message, and is there when the subscription is
//! answered. It follows epoch and offset where the server says that they hold, and comes back to them,
//! after a cut and after it was told that it missed something, as the SDKs do. A publisher does the same
//! without positions, and publishes with commands, each of which has to be answered.
//!
//! Never: reads a byte of the protocol itself; `crate::centrifuge` does.

mod member;
mod place;
mod publishing;
mod session;

use crate::centrifuge::Encoding;
use crate::payload::Envelope;
pub(super) use member::Members;
pub(super) use place::Place;
pub(super) use publishing::Answers;

/// How connections speak, as the flags say it.
#[derive(Debug)]
pub(crate) struct Dialect {
    pub(crate) encoding: Encoding,
    /// What stands in the data of a publication.
    pub(crate) delivery: Envelope,
    /// Tokens of connections, in turn; none: they come without.
    pub(crate) tokens: Vec<String>,
    pub(crate) positions: Positions,
}

/// What subscribers ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Positions {
    /// A subscription as the server makes it.
    Unasked,
    /// Positions, if the server gives them.
    Asked,
    /// Positions, and a subscription without them is a fault.
    Required,
}

impl Dialect {
    /// The token of connection `number` of the run.
    fn token(&self, number: usize) -> Option<&str> {
        let at = number.checked_rem(self.tokens.len())?;
        self.tokens.get(at).map(String::as_str)
    }
}
