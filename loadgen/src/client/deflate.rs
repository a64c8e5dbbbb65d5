//! permessage-deflate (RFC 7692) on all connections of a thread. In: messages to send. Out: their frames, compressed;
//! and what all of it has saved.
//!
//! Windows are never kept between messages: a connection holds nothing, so that many of them weigh what they did.
//!
//! Never: compresses for a connection whose server has not agreed.

use fanfare_codec::deflate::{DeflateOffer, DeflateSettings, Deflaters, FreshWindow, Inflaters};
use fanfare_codec::deflate::{DirectionTerms, Outgoing};
use fanfare_codec::{Encoder, MessageKind};

/// What `--deflate` offers.
pub(super) fn offer() -> DeflateOffer {
    DeflateOffer::default()
        .without_client_takeover()
        .without_server_takeover()
}

/// Contexts, lent for a message each.
#[derive(Debug)]
pub(super) struct Contexts {
    deflaters: Deflaters,
    pub(super) inflaters: Inflaters,
    /// A message, before it is compressed.
    message: Vec<u8>,
    pub(super) savings: Savings,
}

/// What compression came to, in the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Savings {
    /// Connections on which the server agreed.
    pub(crate) connections: u64,
    /// Of all messages on these, both ways.
    pub(crate) payload_bytes: u64,
    /// What they took on the wire, with the headers of frames.
    pub(crate) wire_bytes: u64,
}

impl Savings {
    pub(crate) const fn add(&mut self, other: Self) {
        self.connections += other.connections;
        self.payload_bytes += other.payload_bytes;
        self.wire_bytes += other.wire_bytes;
    }
}

impl Contexts {
    pub(super) fn new() -> Self {
        Self {
            deflaters: Deflaters::new(DeflateSettings::DEFAULT, CONTEXTS_KEPT_MAX),
            inflaters: Inflaters::new(CONTEXTS_KEPT_MAX),
            message: Vec::new(),
            savings: Savings::default(),
        }
    }

    /// Appends a message, compressed if that makes it smaller.
    pub(super) fn append(
        &mut self,
        out: &mut Vec<u8>,
        kind: MessageKind,
        parts: &[&[u8]],
        window: FreshWindow,
        keys: &mut fastrand::Rng,
    ) {
        self.message.clear();
        parts
            .iter()
            .for_each(|part| self.message.extend_from_slice(part));
        let mut outgoing = Outgoing::new(DirectionTerms {
            takeover: false,
            window_bits: window.bits(),
        });
        let before = out.len();
        Encoder::client(|| keys.u32(..).to_ne_bytes())
            .deflate(out, kind, &self.message, &mut outgoing, &mut self.deflaters)
            .expect("nothing is fragmented");
        self.savings.payload_bytes += self.message.len() as u64;
        self.savings.wire_bytes += (out.len() - before) as u64;
    }
}

/// One is enough of each where messages come whole and windows have one size.
const CONTEXTS_KEPT_MAX: usize = 4;
