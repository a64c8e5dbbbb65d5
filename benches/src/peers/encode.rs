//! What an encoder is, and all that mask. In: payloads. Out: frames, to an [`Outlet`].
//!
//! Never: measures.

use bytes::Bytes;

use super::{Failure, actix, fastwebsockets, ours, sans_io, sockudo, soketto};
use super::{tokio_websockets, tungstenite};
use crate::feed::Outlet;

/// An encoder: a client's with a fresh key a frame, or one of a server that [deflates](super::deflate).
pub trait MessageEncoder: Sized + 'static {
    /// As tables and JSON call it.
    const NAME: &'static str;

    /// A fresh one that writes to `outlet`.
    fn open(outlet: Outlet) -> Self;

    /// Encodes one message: a binary one, or a text of those who deflate.
    ///
    /// # Errors
    ///
    /// What the peer says.
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure>;

    /// Hands what was encoded to the outlet.
    ///
    /// # Errors
    ///
    /// What the peer says.
    fn flush(&mut self) -> Result<(), Failure>;
}

/// What is done with each encoder.
pub trait Visitor {
    /// Called with each encoder's type.
    fn visit<E: MessageEncoder>(&mut self);
}

/// Shows `visitor` every client's encoder, ours first.
pub fn each(visitor: &mut impl Visitor) {
    visitor.visit::<ours::FanfareClient>();
    visitor.visit::<tungstenite::TungsteniteClient>();
    visitor.visit::<fastwebsockets::FastwebsocketsClient>();
    visitor.visit::<tokio_websockets::TokioWebsocketsClient>();
    visitor.visit::<sockudo::SockudoClient>();
    visitor.visit::<soketto::SokettoClient>();
    visitor.visit::<sans_io::SansIoClient>();
    visitor.visit::<actix::ActixClient>();
}
