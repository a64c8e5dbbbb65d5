//! What a decoder is, and all of them. In: a [`Feed`]. Out: every message of one turn of its wire.
//!
//! Never: measures.

use super::{Failure, actix, fastwebsockets, sans_io, sockudo, soketto, tokio_websockets};
use super::{tungstenite, yawc};
use crate::feed::Feed;

/// What a decoder does besides finding frames and unmasking them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Text that is not UTF-8 is refused.
    pub validates_text: bool,
    /// A message of several frames is given as one.
    pub joins_fragments: bool,
    /// A frame of several reads is given as one.
    pub joins_reads: bool,
}

impl Work {
    /// All that RFC 6455 asks of an endpoint.
    pub const WHOLE: Self = Self {
        validates_text: true,
        joins_fragments: true,
        joins_reads: true,
    };

    /// Frames, unmasked and whole.
    pub const FRAMES: Self = Self {
        validates_text: false,
        joins_fragments: false,
        joins_reads: true,
    };

    /// Whether all that `needed` names is done.
    #[must_use]
    pub const fn covers(self, needed: Self) -> bool {
        (self.validates_text || !needed.validates_text)
            && (self.joins_fragments || !needed.joins_fragments)
            && (self.joins_reads || !needed.joins_reads)
    }

    /// What of `needed` is not done, in words; empty if all is.
    #[must_use]
    pub fn lacks(self, needed: Self) -> String {
        let lacking = [
            (needed.validates_text && !self.validates_text, "no UTF-8"),
            (
                needed.joins_fragments && !self.joins_fragments,
                "fragments not joined",
            ),
            (needed.joins_reads && !self.joins_reads, "reads not joined"),
        ];
        let words: Vec<&str> = lacking.iter().filter(|l| l.0).map(|l| l.1).collect();
        words.join(", ")
    }
}

/// A decoder on the server's side, fed for ever.
pub trait Decoder: Sized + 'static {
    /// As tables and JSON call it.
    const NAME: &'static str;
    /// What it does.
    const WORK: Work;

    /// A fresh one that reads from `feed`.
    fn open(feed: Feed) -> Self;

    /// Decodes one turn of the wire and hands every payload to `sink`.
    ///
    /// # Errors
    ///
    /// What the peer says of the wire.
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure>;
}

/// What is done with each peer.
pub trait Visitor {
    /// Called with each peer's type.
    fn visit<D: Decoder>(&mut self);
}

/// Shows `visitor` every peer that decodes, ours not among them.
pub fn each_peer(visitor: &mut impl Visitor) {
    visitor.visit::<tungstenite::Tungstenite>();
    visitor.visit::<fastwebsockets::Fastwebsockets>();
    visitor.visit::<tokio_websockets::TokioWebsockets>();
    visitor.visit::<sockudo::Sockudo>();
    visitor.visit::<sockudo::SockudoParser>();
    visitor.visit::<soketto::Soketto>();
    visitor.visit::<sans_io::SansIo>();
    visitor.visit::<actix::Actix>();
    visitor.visit::<yawc::Yawc>();
}
