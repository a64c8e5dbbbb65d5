//! What of a connection is counted and logged. In: turns. Out: what it is and weighs, and notes of what has happened.
//!
//! Never: counts anything twice: an end is noted when it is said, or when it comes without a word.

use fanfare_codec::CloseCode;
use fanfare_codec::handshake::Status;

use super::{Conn, Endpoint, Phase, Why};
use crate::access::Access;
use crate::exceeded::Exceeded;
use crate::metrics::{Initiator, Kind, Load, Slowness, Worker as Metrics};

/// What of a turn others want to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// Its request was answered.
    pub(crate) answered: Option<Status>,
    /// With that it became this.
    pub(crate) opened: Option<Kind>,
    /// It was open, and is not any more: who said so, and the close code.
    pub(crate) ended: Option<(Initiator, CloseCode)>,
}

impl Conn {
    /// What it is and weighs at the moment.
    #[inline]
    pub(crate) fn load(&self) -> Load {
        Load {
            kind: match &self.phase {
                Phase::Handshake { .. } | Phase::Waiting { .. } | Phase::Subscribing { .. } => {
                    Kind::Handshake
                }
                Phase::Open { endpoint, .. } => endpoint.kind(),
                Phase::Closing { .. } | Phase::Lingering { .. } => Kind::Closing,
            },
            queued: self.outbound.len(),
            pinned: self.outbound.pinned_bytes(),
            own: self.outbound.own_bytes(),
        }
    }

    /// It is gone.
    pub(crate) fn count_end(&mut self, why: &Why, metrics: &Metrics) {
        let load = self.load();
        metrics.leaves(load);
        let initiator = match why {
            Why::Silent | Why::DoesNotRead | Why::NoRoom | Why::Stopping => Initiator::Server,
            Why::Closed | Why::PeerLeft | Why::Socket(_) => Initiator::Client,
        };
        match load.kind {
            Kind::Closing => {} // its end was counted when it was said
            Kind::Handshake => metrics.leaves_unanswered(),
            Kind::Raw | Kind::Session | Kind::Echo => {
                match why {
                    Why::DoesNotRead => metrics.is_slow(Slowness::Timeout),
                    Why::NoRoom => {
                        metrics.is_slow(Slowness::Output);
                        metrics.exceeds(Exceeded::OutputInAll);
                    }
                    _ => {}
                }
                metrics.ends(initiator, CloseCode::ABNORMAL);
                self.note_end(initiator, CloseCode::ABNORMAL);
            }
        }
    }

    /// What is logged of it, if all are.
    pub(crate) fn access(&self) -> Option<&Access> {
        self.about.access()
    }

    /// Why it is not open any more, for the log.
    pub(crate) fn note_end(&mut self, initiator: Initiator, code: CloseCode) {
        if let Some(access) = self.about.access_mut() {
            access.end(initiator, code);
        }
    }

    /// So many bytes have left.
    #[inline]
    pub(super) fn count_sent(&mut self, bytes: usize, metrics: &Metrics) {
        metrics.sent_bytes.add(bytes as u64);
        if let Some(access) = self.about.access_mut() {
            access.sent_bytes += bytes as u64;
        }
    }
}

impl Endpoint {
    const fn kind(&self) -> Kind {
        match self {
            Self::Echo(_) => Kind::Echo,
            Self::Raw(_) => Kind::Raw,
            Self::Session(_) => Kind::Session,
        }
    }
}
