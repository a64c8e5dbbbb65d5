//! permessage-deflate (RFC 7692): messages compressed one by one. In: what the two sides agreed on in
//! their handshake. Out: messages inflated within the limits, and messages deflated.
//!
//! Both sides agree with [`DeflatePolicy`] or [`DeflateOffer`]; [`DeflateTerms`] is what they agreed on.
//! [`MessageDecoder::with_deflate`](crate::MessageDecoder::with_deflate) inflates what comes;
//! [`Encoder::deflate`](crate::Encoder::deflate) deflates what a connection sends, and
//! [`PreparedFrame::deflated`](crate::PreparedFrame::deflated) what is the same for many.
//!
//! A frame that many share was deflated from an empty window. A connection whose own compressor keeps its
//! window between messages must never send it: the peer's window would hold bytes that the compressor does
//! not know of, and the next message would inflate to something else, in silence. So it takes a
//! [`FreshWindow`] to get one, which such a connection has not.
//!
//! Never: holds a context for a connection that has not sent or got a compressed message.

mod deflater;
mod inflater;
mod negotiation;
mod receive;
mod send;
mod shared;
mod terms;

pub use deflater::{DeflateSettings, Deflaters};
pub use inflater::Inflaters;
pub(crate) use inflater::{Inflater, Lender};
pub(crate) use negotiation::verify;
pub use negotiation::{DeflateAnswer, DeflateOffer, DeflatePolicy, OfferedClientWindow};
pub(crate) use receive::Compression;
pub use send::Outgoing;
pub use shared::FreshWindow;
pub(crate) use shared::Variants;
pub use terms::{DeflateTerms, DirectionTerms, WindowBits};
