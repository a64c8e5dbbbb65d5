//! A channel's publications of one tick, encoded once for everyone who is told of them in the same way.
//! In: publications. Out: frames back to back, and where each begins.
//!
//! Never: knows who gets it.

use std::ops::Range;
use std::sync::Arc;

use fanfare_hub::Publication;

use super::raw;

/// How a subscriber is told of a publication: all with the same share one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cohort {
    /// The payload is the message.
    Bare,
    /// `?meta=1`: in front of the payload stands its position.
    Positioned,
}

impl Cohort {
    pub(crate) const COUNT: usize = 2;

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// Whole frames, in the order of their publications.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    bytes: Vec<u8>,
    /// Where each frame begins.
    starts: Vec<u32>,
}

impl Segment {
    pub(super) fn encode(publications: &[Arc<Publication>], cohort: Cohort) -> Self {
        let payloads = publications.iter().map(|p| p.payload.bytes().len());
        let heads = publications.len() * raw::head_bytes_max(cohort);
        let mut segment = Self {
            bytes: Vec::with_capacity(payloads.sum::<usize>() + heads),
            starts: Vec::with_capacity(publications.len()),
        };
        for publication in publications {
            segment.starts.push(segment.end());
            raw::append_publication(&mut segment.bytes, publication, cohort);
        }
        segment
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All memory that goes with it.
    pub(crate) const fn memory_bytes(&self) -> usize {
        let starts = self.starts.capacity() * size_of::<u32>();
        self.bytes.capacity() + starts + size_of::<Self>() + 2 * size_of::<usize>() // an Arc's counts
    }

    /// The frames from the one of publication `first` on.
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
        self.starts.last().copied().unwrap_or(0)
    }

    /// Its length: [`SEGMENT_BYTES_MAX`](crate::limits::SEGMENT_BYTES_MAX) and one publication at most.
    fn end(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("a segment is far shorter than 4 GiB")
    }
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
        let publications: Vec<_> = texts.iter().map(|text| publication(text)).collect();
        Arc::new(Segment::encode(&publications, Cohort::Bare))
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
