//! Who compresses (RFC 7692). In: compressed frames, or texts. Out: texts, or compressed frames.
//!
//! Nobody keeps a window between messages, which soketto can't, and all have the same level, the fastest, which
//! is all that it has. Two of three peers compress by zlib-rs, as ours does, so that what differs is what each
//! does around it.
//!
//! soketto compresses by C's zlib, and cargo gives all who use flate2 the same one: it runs with the feature
//! `soketto-deflate`, and not by default. It does not inflate at all since flate2 1.1.11: it ends each message as
//! if the stream ended there, and a decoder no longer lets that pass.
//!
//! Never: measures.

use super::decode::Visitor as DecoderVisitor;
use super::encode::Visitor as EncoderVisitor;
use super::{ours, sockudo, yawc};

/// How hard all of them try.
pub const LEVEL: u8 = 1;

/// Shows `visitor` every peer that inflates, ours not among them.
pub fn each_inflating_peer(visitor: &mut impl DecoderVisitor) {
    visitor.visit::<sockudo::SockudoInflating>();
    visitor.visit::<yawc::YawcInflating>();
}

/// Shows `visitor` every server's encoder that deflates, ours first.
pub fn each_deflating(visitor: &mut impl EncoderVisitor) {
    visitor.visit::<ours::FanfareDeflating>();
    visitor.visit::<sockudo::SockudoDeflating>();
    visitor.visit::<yawc::YawcDeflating>();
    #[cfg(feature = "soketto-deflate")]
    visitor.visit::<super::soketto::SokettoDeflating>();
}
