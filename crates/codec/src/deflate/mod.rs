//! permessage-deflate (RFC 7692): messages compressed one by one. In: what the two sides agreed on in
//! their handshake. Out: messages inflated within the limits, and messages deflated.
//!
//! Both sides agree with [`DeflatePolicy`] or [`DeflateOffer`]; [`DeflateTerms`] is what they agreed on.
//! [`MessageDecoder::with_deflate`](crate::MessageDecoder::with_deflate) inflates what comes.
//!
//! Never: holds a context for a connection that has not sent or got a compressed message.

mod negotiation;
mod terms;

pub(crate) use negotiation::verify;
pub use negotiation::{DeflateAnswer, DeflateOffer, DeflatePolicy, OfferedClientWindow};
pub use terms::{DeflateTerms, DirectionTerms, WindowBits};
