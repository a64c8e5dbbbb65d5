//! A channel's news of one tick, encoded once for everyone who is told of them in the same way. In: news. Out:
//! frames back to back, compressed or not, and where each begins.
//!
//! Never: knows who gets it.

use std::ops::Range;
use std::sync::Arc;

use fanfare_codec::deflate::{Deflaters, FreshWindow};
use fanfare_codec::{Encoder, Header, MessageKind, Opcode, Rsv};
use fanfare_hub::{ClientInfo, Publication};
use fanfare_protocol::{Encoding, Push};

use super::raw;
use crate::metrics::Worker;

/// Something that a channel's subscribers are told.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Publication(Arc<Publication>),
    Join(Arc<ClientInfo>),
    Leave(Arc<ClientInfo>),
}

/// What a subscriber is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cohort {
    /// `/raw`: the payload is the message.
    Bare,
    /// `/raw?meta=1`: in front of the payload stands its position.
    Positioned,
    /// A session, and whether it is told who comes and goes.
    Session { encoding: Encoding, joins: bool },
}

impl Cohort {
    pub(crate) const COUNT: usize = 6;

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Bare => 0,
            Self::Positioned => 1,
            Self::Session { encoding, joins } => {
                let encoding = match encoding {
                    Encoding::Json => 2,
                    Encoding::Protobuf => 4,
                };
                encoding + joins as usize
            }
        }
    }

    /// As it is, or deflated for whoever has such a window.
    pub(super) const fn told(self, window: Option<FreshWindow>) -> Variant {
        Variant {
            cohort: self,
            window,
        }
    }

    pub(super) const fn is_session(self) -> bool {
        matches!(self, Self::Session { .. })
    }

    /// Whether its segments have frames of joins and leaves.
    pub(super) const fn has_joins(self) -> bool {
        matches!(self, Self::Session { joins: true, .. })
    }
}

/// What a subscriber is told, and how: all with the same share one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(super) cohort: Cohort,
    /// How far back compressed messages may refer; none: they are not compressed.
    pub(super) window: Option<FreshWindow>,
}

impl From<Cohort> for Variant {
    fn from(cohort: Cohort) -> Self {
        cohort.told(None)
    }
}

/// Whole frames, in the order of what they tell.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    bytes: Vec<u8>,
    /// Where the frame of each item begins; where the next one does, if there is none of it.
    starts: Vec<u32>,
    /// Who counts its memory as long as it is there.
    counted_by: Option<Arc<Worker>>,
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Some(metrics) = &self.counted_by {
            metrics.segment_bytes.sub(self.memory_bytes() as u64);
        }
    }
}

/// What one item takes at most beside its payload, in any cohort but for tags and infos: an estimate.
pub(super) const FRAME_BYTES: usize = 128;

impl Segment {
    pub(super) fn encode(
        channel: &str,
        items: &[Item],
        variant: Variant,
        deflaters: &mut Deflaters,
    ) -> Self {
        let Variant { cohort, window } = variant;
        let payloads = items.iter().map(|item| match item {
            Item::Publication(publication) => publication.payload.bytes().len() + FRAME_BYTES,
            Item::Join(_) | Item::Leave(_) => FRAME_BYTES,
        });
        let mut segment = Self {
            bytes: Vec::with_capacity(payloads.sum::<usize>() + items.len() * channel.len()),
            starts: Vec::with_capacity(items.len()),
            counted_by: None,
        };
        let mut object = Vec::new();
        for item in items {
            segment.starts.push(segment.end());
            match (item, cohort) {
                (Item::Publication(publication), Cohort::Bare | Cohort::Positioned) => {
                    raw::append_publication(&mut segment.bytes, publication, variant, deflaters);
                }
                (Item::Publication(publication), Cohort::Session { encoding, .. }) => {
                    let push = Push::Publication {
                        channel,
                        publication,
                    };
                    push.append_to(&mut object, encoding);
                }
                (
                    Item::Join(info),
                    Cohort::Session {
                        encoding,
                        joins: true,
                    },
                ) => Push::Join { channel, info }.append_to(&mut object, encoding),
                (
                    Item::Leave(info),
                    Cohort::Session {
                        encoding,
                        joins: true,
                    },
                ) => Push::Leave { channel, info }.append_to(&mut object, encoding),
                (Item::Join(_) | Item::Leave(_), _) => {}
            }
            if let (Cohort::Session { encoding, .. }, false) = (cohort, object.is_empty()) {
                let out = &mut segment.bytes;
                append_message(out, opcode(encoding), &object, window, deflaters);
                object.clear();
            }
        }
        segment.bytes.shrink_to_fit();
        segment
    }

    /// The same, counted in the memory of what waits.
    pub(super) fn counted_by(mut self, metrics: &Arc<Worker>) -> Self {
        metrics.segment_bytes.add(self.memory_bytes() as u64);
        self.counted_by = Some(Arc::clone(metrics));
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All memory that goes with it.
    pub(crate) const fn memory_bytes(&self) -> usize {
        let starts = self.starts.capacity() * size_of::<u32>();
        self.bytes.capacity() + starts + size_of::<Self>() + 2 * size_of::<usize>() // an Arc's counts
    }

    /// The frames from the one of item `first` on.
    pub(super) fn from(&self, first: usize) -> Range<u32> {
        let end = self.end();
        self.starts.get(first).copied().unwrap_or(end)..end
    }

    /// The end of the frame that the byte at `at` stands in; `at` itself where a frame begins.
    pub(crate) fn frame_end(&self, at: u32) -> u32 {
        let next = self.starts.partition_point(|start| *start < at);
        let end = self.end();
        self.starts.get(next).copied().unwrap_or(end)
    }

    /// Where the last frame begins.
    pub(crate) fn last_frame(&self) -> u32 {
        let end = self.end();
        let mut begun = self.starts.iter().rev().filter(|start| **start < end);
        begun.next().copied().unwrap_or(0)
    }

    /// Its length: [`SEGMENT_BYTES_MAX`](crate::limits::SEGMENT_BYTES_MAX) and one publication at most.
    fn end(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("a segment is far shorter than 4 GiB")
    }
}

/// The kind of message that carries objects of a wire.
pub(super) const fn opcode(encoding: Encoding) -> Opcode {
    match encoding {
        Encoding::Json => Opcode::Text,
        Encoding::Protobuf => Opcode::Binary,
    }
}

/// Appends a message in one frame, deflated if there is a window and that makes it smaller.
pub(super) fn append_message(
    out: &mut Vec<u8>,
    opcode: Opcode,
    payload: &[u8],
    window: Option<FreshWindow>,
    deflaters: &mut Deflaters,
) {
    let Some(window) = window else {
        return append_frame(out, opcode, payload);
    };
    let kind = match opcode {
        Opcode::Text => MessageKind::Text,
        _ => MessageKind::Binary,
    };
    let encoded = Encoder::server().deflate_shared(out, kind, payload, window, deflaters);
    debug_assert_eq!(encoded, Ok(()), "nothing is fragmented");
}

/// Appends a message in one frame, as it is.
fn append_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    append_header(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends what stands in front of a message's payload.
pub(super) fn append_header(out: &mut Vec<u8>, opcode: Opcode, payload_len: usize) {
    let header = Header {
        fin: true,
        rsv: Rsv::NONE,
        opcode,
        mask_key: None,
        payload_len: payload_len as u64,
    };
    let mut bytes = [0; Header::BYTES_MAX];
    let len = header.encode(&mut bytes);
    out.extend_from_slice(&bytes[..len]);
}

#[cfg(test)]
pub(crate) mod tests {
    use fanfare_codec::deflate::{DirectionTerms, WindowBits};
    use fanfare_codec::{Limits, Message, MessageDecoder, Role};
    use fanfare_hub::{Payload, Tags, Time};

    use super::*;

    pub(crate) fn publication(text: &str) -> Arc<Publication> {
        Arc::new(Publication {
            payload: Payload::text(text.to_owned()),
            position: None,
            info: None,
            tags: Tags::default(),
            time: Time::default(),
        })
    }

    pub(crate) fn deflaters() -> Deflaters {
        Deflaters::new(Default::default(), 1)
    }

    /// A segment of frames with these payloads.
    pub(crate) fn segment(texts: &[&str]) -> Arc<Segment> {
        let items = texts
            .iter()
            .map(|text| Item::Publication(publication(text)));
        Arc::new(Segment::encode(
            "x",
            &items.collect::<Vec<_>>(),
            Cohort::Bare.into(),
            &mut deflaters(),
        ))
    }

    #[test]
    fn frames_lie_back_to_back_and_each_can_be_found() {
        let segment = segment(&["a", "", "ccc"]);
        assert_eq!(segment.bytes(), b"\x81\x01a\x81\x00\x81\x03ccc");
        assert_eq!(segment.from(0), 0..10);
        assert_eq!(segment.from(1), 3..10);
        assert_eq!(segment.from(2), 5..10);
        assert_eq!(segment.from(3), 10..10);
        assert_eq!(segment.last_frame(), 5);
        let ends: Vec<u32> = (0..=10).map(|at| segment.frame_end(at)).collect();
        assert_eq!(ends, [0, 3, 3, 3, 5, 5, 10, 10, 10, 10, 10]);
    }

    fn window(bits: u8) -> Option<FreshWindow> {
        let window_bits = WindowBits::new(bits)?;
        FreshWindow::of(DirectionTerms {
            takeover: false,
            window_bits,
        })
    }

    /// What a client with any window reads of them.
    fn inflated(segment: &Segment) -> Vec<String> {
        let terms = DirectionTerms {
            takeover: false,
            window_bits: WindowBits::MAX,
        };
        let mut messages = MessageDecoder::new(Role::Client, Limits::default()).with_deflate(terms);
        let mut bytes = segment.bytes().to_vec();
        let mut input = &mut bytes[..];
        let mut texts = Vec::new();
        while let Some(message) = messages.next_message(&mut input).unwrap() {
            let Message::Text(text) = message else {
                panic!("{message:?}");
            };
            texts.push(text.to_owned());
        }
        texts
    }

    #[test]
    fn what_becomes_smaller_is_compressed_in_any_cohort_and_is_the_same() {
        let long = format!("{{\"news\":\"{}\"}}", "again and ".repeat(50));
        let items = ["short", &long].map(|text| Item::Publication(publication(text)));
        let session = Cohort::Session {
            encoding: Encoding::Json,
            joins: true,
        };
        for cohort in [Cohort::Bare, Cohort::Positioned, session] {
            let mut deflaters = deflaters();
            let plain = Segment::encode("x", &items, cohort.into(), &mut deflaters);
            assert_eq!(deflaters.deflated(), 0, "{cohort:?}");
            for bits in 8..=15 {
                let variant = cohort.told(window(bits));
                let deflated = Segment::encode("x", &items, variant, &mut deflaters);
                assert_eq!(inflated(&deflated), inflated(&plain), "{cohort:?}");
                let first = deflated.starts[1] as usize;
                assert_eq!(deflated.bytes[..first], plain.bytes[..first], "{cohort:?}");
                assert_eq!(deflated.bytes[first], 0xC1, "{cohort:?}: RSV1");
                assert!(deflated.bytes.len() < plain.bytes.len() / 2, "{cohort:?}");
            }
            assert_eq!(deflaters.deflated(), 8, "{cohort:?}");
        }
    }
}
