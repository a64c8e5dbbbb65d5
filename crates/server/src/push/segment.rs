//! A channel's news of one tick, encoded once for everyone who is told of them in the same way. In: news. Out:
//! frames back to back, and where each begins.
//!
//! Never: knows who gets it.

use std::ops::Range;
use std::sync::Arc;

use fanfare_codec::{Header, Opcode, Rsv};
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

/// How a subscriber is told: all with the same share one segment.
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

    pub(super) const fn is_session(self) -> bool {
        matches!(self, Self::Session { .. })
    }

    /// Whether its segments have frames of joins and leaves.
    pub(super) const fn has_joins(self) -> bool {
        matches!(self, Self::Session { joins: true, .. })
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
    pub(super) fn encode(channel: &str, items: &[Item], cohort: Cohort) -> Self {
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
                    raw::append_publication(&mut segment.bytes, publication, cohort);
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
                append_frame(&mut segment.bytes, opcode(encoding), &object);
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

/// Appends a message in one frame.
pub(super) fn append_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
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

    /// A segment of frames with these payloads.
    pub(crate) fn segment(texts: &[&str]) -> Arc<Segment> {
        let items = texts
            .iter()
            .map(|text| Item::Publication(publication(text)));
        Arc::new(Segment::encode(
            "x",
            &items.collect::<Vec<_>>(),
            Cohort::Bare,
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
}
