//! Frames as clients send them. In: payloads. Out: masked bytes, and what decoding them must give.
//!
//! Never: measures, decodes.

use std::ops::Range;

use fanfare_codec::deflate::{DeflateSettings, Deflaters, DirectionTerms, FreshWindow};
use fanfare_codec::{Header, MessageKind, Opcode, PreparedFrame, Rsv, append_masked};

use super::json;
use super::size::Shape;
use super::text::{Language, SEED, binary};

/// What is agreed on where messages are compressed: none refers to those before it.
pub const NO_TAKEOVER: DirectionTerms = DirectionTerms {
    takeover: false,
    ..DirectionTerms::DEFAULT
};

/// A buffer of masked frames, each with a key of its own.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// The frames, one behind the other.
    pub bytes: Vec<u8>,
    /// Where each frame's payload lies.
    pub payloads: Vec<Range<usize>>,
    /// All payloads, unmasked, one behind the other.
    pub plain: Vec<u8>,
    /// Where each message ends in `plain`.
    pub message_ends: Vec<usize>,
}

impl Wire {
    /// Text messages of `shape`, at least `total` payload bytes of them.
    #[must_use]
    pub fn text(language: Language, shape: Shape, total: usize) -> Self {
        let mut wire = Builder::default();
        for size in shape.sizes(total) {
            wire.message(MessageKind::Text, language.text(size).as_bytes(), 1);
        }
        wire.0
    }

    /// Binary messages of `shape`, at least `total` payload bytes of them.
    #[must_use]
    pub fn binary(shape: Shape, total: usize) -> Self {
        let mut wire = Builder::default();
        for size in shape.sizes(total) {
            wire.message(MessageKind::Binary, &binary(size), 1);
        }
        wire.0
    }

    /// Messages of one payload, whatever it holds, each cut into `fragments` frames.
    #[must_use]
    pub fn of(kind: MessageKind, payload: &[u8], fragments: usize, messages: usize) -> Self {
        let mut wire = Builder::default();
        for _ in 0..messages {
            wire.message(kind, payload, fragments);
        }
        wire.0
    }

    /// Text messages of JSON, each of `size` bytes and in a compressed frame of its own (RFC 7692), at least
    /// `total` of those bytes. None refers to another, and the level is what zlib takes when nobody says
    /// one, as browsers do not.
    ///
    /// # Panics
    ///
    /// If one does not become smaller.
    #[must_use]
    pub fn deflated(size: usize, total: usize) -> Self {
        const USUAL_LEVEL: u8 = 6;
        let settings = DeflateSettings::default().with_level(USUAL_LEVEL);
        let mut deflaters = Deflaters::new(settings, 1);
        let window = FreshWindow::of(NO_TAKEOVER).expect("no takeover");
        let mut wire = Builder::default();
        for text in json::trades(size, total.div_ceil(size)) {
            wire.0.plain.extend_from_slice(text.as_bytes());
            wire.0.message_ends.push(wire.0.plain.len());
            let frame = PreparedFrame::text(text).with_deflate();
            let frame = frame.deflated(window, &mut deflaters);
            assert!(frame.payload().len() < size, "it becomes smaller");
            wire.frame(Opcode::Text, Rsv::RSV1, true, frame.payload());
        }
        wire.0
    }

    /// How many messages there are.
    #[must_use]
    pub const fn messages(&self) -> usize {
        self.message_ends.len()
    }

    /// The messages, unmasked.
    pub fn plain_messages(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.message_ends.iter().copied());
        starts
            .zip(&self.message_ends)
            .map(|(start, &end)| &self.plain[start..end])
    }
}

/// A wire that grows.
#[derive(Default)]
struct Builder(Wire);

impl Builder {
    /// Adds a message; a text is not looked at, so that it may be an invalid one.
    fn message(&mut self, kind: MessageKind, payload: &[u8], fragments: usize) {
        let piece_bytes = payload.len().div_ceil(fragments).max(1);
        for index in 0..fragments {
            let start = (index * piece_bytes).min(payload.len());
            let piece = &payload[start..(start + piece_bytes).min(payload.len())];
            let opcode = match (index, kind) {
                (0, MessageKind::Text) => Opcode::Text,
                (0, MessageKind::Binary) => Opcode::Binary,
                _ => Opcode::Continuation,
            };
            self.frame(opcode, Rsv::NONE, index + 1 == fragments, piece);
        }
        self.0.plain.extend_from_slice(payload);
        self.0.message_ends.push(self.0.plain.len());
    }

    fn frame(&mut self, opcode: Opcode, rsv: Rsv, fin: bool, payload: &[u8]) {
        let seed = SEED + self.0.payloads.len() as u64;
        let key = fastrand::Rng::with_seed(seed).u32(..).to_ne_bytes();
        let header = Header {
            fin,
            rsv,
            opcode,
            mask_key: Some(key),
            payload_len: payload.len() as u64,
        };
        let mut bytes = [0; Header::BYTES_MAX];
        let header_len = header.encode(&mut bytes);
        let wire = &mut self.0.bytes;
        wire.extend_from_slice(&bytes[..header_len]);
        let start = wire.len();
        append_masked(wire, payload, key);
        self.0.payloads.push(start..wire.len());
    }
}
