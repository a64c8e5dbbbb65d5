//! The cases that decode. In: a wire. Out: their field: ours, every peer at every size of read, the
//! wire copy of each size, the bound.
//!
//! Each pass starts from the wire as it came, so that each copies it into a receive buffer: that
//! copy is also run alone, with the same reads, and taken off. All are shown to give the same bytes
//! before any is timed.
//!
//! Never: measures.

use std::hint::black_box;
use std::ops::Range;
use std::rc::Rc;

use fanfare_benches::carry::Carry;
use fanfare_benches::corpus::wire::Wire;
use fanfare_benches::feed::{Cut, Feed};
use fanfare_benches::limit::Limit;
use fanfare_benches::peers::decode::{Decoder, Visitor, Work, each_peer};
use fanfare_benches::peers::deflate::each_inflating_peer;
use fanfare_benches::peers::{Fanfare, FanfareInflating, FanfareStreamed};
use fanfare_codec::{apply_mask, validate_utf8};
use zlib_rs::{Inflate, InflateFlush};

use crate::field::{Field, Part};
use crate::race::Runner;

/// Ours reads at most this, or one frame: past a first-level cache the gain is gone.
const OUR_READ_BYTES: usize = 16 << 10;
/// Peers are fed each of these, and judged by what suits them best.
const PEER_READ_BYTES: [usize; 2] = [16 << 10, 64 << 10];
/// What the validators of the bound walk: a read's worth of text.
const VALIDATED_BYTES: usize = 16 << 10;
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A wire and how it is to be decoded.
pub(crate) struct Decoding {
    pub(crate) wire: Wire,
    pub(crate) cut: Cut,
    /// What the case asks for: who does less is listed but not compared.
    pub(crate) needed: Work,
    /// What ours hands on.
    pub(crate) way: Way,
}

/// Who runs, and what ours hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Messages,
    /// Of messages, as they come.
    Pieces,
    /// Messages that were compressed: of the peers, those that inflate.
    Inflated,
}

impl Decoding {
    /// The field, everyone in it shown to give the same bytes.
    pub(crate) fn field(self, case: &str) -> Field {
        let wire = Rc::new(self.wire);
        let messages = wire.messages();
        let mut entry = Entry {
            field: Field::new(case, wire.plain.len() as f64 / messages as f64),
            feeds: Vec::new(),
            copies: Vec::new(),
            needed: self.needed,
            cut: self.cut,
            wire: Rc::clone(&wire),
        };
        match self.way {
            Way::Messages => entry.enter::<Fanfare>(OUR_READ_BYTES, Part::Ours),
            Way::Pieces => entry.enter::<FanfareStreamed>(OUR_READ_BYTES, Part::Ours),
            Way::Inflated => entry.enter::<FanfareInflating>(OUR_READ_BYTES, Part::Ours),
        }
        if self.way == Way::Inflated {
            each_inflating_peer(&mut entry);
            entry.inflating_bound();
        } else {
            each_peer(&mut entry);
            entry.bound();
        }
        entry.field
    }
}

struct Entry {
    field: Field,
    /// One feed for each size of read, to be cloned.
    feeds: Vec<(usize, Feed)>,
    /// The wire copy at each size of read, once there is one.
    copies: Vec<(usize, usize)>,
    needed: Work,
    cut: Cut,
    wire: Rc<Wire>,
}

impl Visitor for Entry {
    fn visit<D: Decoder>(&mut self) {
        for read_bytes in PEER_READ_BYTES {
            let part = Part::Peer {
                name: D::NAME,
                lacks: D::WORK.lacks(self.needed),
                read_bytes: Some(read_bytes),
            };
            self.enter::<D>(read_bytes, part);
        }
    }
}

impl Entry {
    fn feed(&mut self, read_bytes: usize) -> Feed {
        if let Some((_, feed)) = self.feeds.iter().find(|feed| feed.0 == read_bytes) {
            return feed.clone();
        }
        let feed = Feed::new(Rc::clone(&self.wire), self.cut, read_bytes);
        self.feeds.push((read_bytes, feed.clone()));
        feed
    }

    fn enter<D: Decoder>(&mut self, read_bytes: usize, part: Part) {
        let mut decoder = D::open(self.feed(read_bytes));
        self.check(&mut decoder);
        let copy = self.copy(read_bytes);
        let runner = Runner::new(self.wire.messages(), move || {
            decoder
                .pass(&mut |payload| {
                    black_box(payload);
                })
                .unwrap_or_else(|error| panic!("{}: {error}", D::NAME));
        });
        self.field.add(part, runner.less(copy));
    }

    /// Panics unless the decoder gives what was encoded: a comparison would mean nothing.
    fn check<D: Decoder>(&self, decoder: &mut D) {
        let plain = &self.wire.plain;
        let mut at = 0;
        decoder
            .pass(&mut |payload| {
                let same = plain.get(at..at + payload.len()) == Some(payload);
                assert!(same, "{}: other bytes at {at}", D::NAME);
                at += payload.len();
            })
            .unwrap_or_else(|error| panic!("{}: {error}", D::NAME));
        assert_eq!(at, plain.len(), "{}: bytes are missing", D::NAME);
    }

    /// The place of the wire copy with these reads.
    fn copy(&mut self, read_bytes: usize) -> usize {
        if let Some(&(_, place)) = self.copies.iter().find(|copy| copy.0 == read_bytes) {
            return place;
        }
        let mut feed = self.feed(read_bytes);
        let mut carry = Carry::new(&feed);
        let reads = feed.ends().len();
        let runner = Runner::new(self.wire.messages(), move || {
            for _ in 0..reads {
                black_box(carry.refill(&mut feed));
            }
        });
        let place = self.field.add(Part::WireCopy, runner);
        self.copies.push((read_bytes, place));
        place
    }

    fn bound(&mut self) {
        let mut feed = self.feed(OUR_READ_BYTES);
        let spans = spans_of_reads(&self.wire.payloads, feed.ends());
        let mut carry = Carry::new(&feed);
        let limit = Limit::detect();
        let copy = self.copy(OUR_READ_BYTES);
        let xor = Runner::new(self.wire.messages(), move || {
            for spans in &spans {
                let read = carry.refill(&mut feed);
                limit.walk(read, spans, KEY);
                black_box(read);
            }
        });
        self.field.add(Part::Limit, xor.less(copy));
        if !self.needed.validates_text || self.wire.plain.is_ascii() {
            return;
        }
        let validators: [fn(&[u8]) -> bool; 2] = [
            |text| simdutf8::basic::from_utf8(text).is_ok(),
            |text| validate_utf8(text).is_ok(),
        ];
        for validate in validators {
            let texts: Vec<Vec<u8>> = self.texts_of_a_read();
            let runner = Runner::new(texts.len(), move || {
                for text in &texts {
                    assert!(validate(black_box(text)), "the corpus is UTF-8");
                }
            });
            self.field.add(Part::LimitValidator, runner);
        }
    }

    /// The library alone: each message at once, into a buffer that was there.
    fn inflating_bound(&mut self) {
        const WINDOW_BITS: u8 = 15;
        const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];
        let unmasked = |payload: &Range<usize>| {
            let frame = &self.wire.bytes[..payload.end];
            let key = frame[payload.start - 4..payload.start].try_into();
            let mut message = frame[payload.clone()].to_vec();
            apply_mask(&mut message, key.expect("four bytes"));
            message.extend_from_slice(&TAIL);
            message
        };
        let messages: Vec<Vec<u8>> = self.wire.payloads.iter().map(unmasked).collect();
        let longest = self.wire.plain_messages().map(<[u8]>::len).max();
        // Room to spare: the library is slow in the last bytes of it.
        let mut out = vec![0; 2 * longest.unwrap_or_default()];
        let mut stream = Inflate::new(false, WINDOW_BITS);
        let alone = Runner::new(messages.len(), move || {
            for message in &messages {
                let done = stream.decompress(black_box(message), &mut out, InflateFlush::NoFlush);
                assert!(done.is_ok(), "the corpus inflates");
                black_box(&mut out);
                stream.reset(false);
            }
        });
        self.field.add(Part::Limit, alone);
    }

    fn texts_of_a_read(&self) -> Vec<Vec<u8>> {
        let mut bytes = 0;
        self.wire
            .plain_messages()
            .take_while(|message| {
                let before = bytes;
                bytes += message.len();
                before < VALIDATED_BYTES
            })
            .map(<[u8]>::to_vec)
            .collect()
    }
}

/// Where in each read payload lies, for reads that end at `ends`.
fn spans_of_reads(payloads: &[Range<usize>], ends: &[usize]) -> Vec<Vec<Range<usize>>> {
    let mut payloads = payloads.iter().peekable();
    let mut start = 0;
    let mut reads = Vec::with_capacity(ends.len());
    for &end in ends {
        let mut spans = Vec::new();
        while let Some(payload) = payloads.peek() {
            let (from, to) = (payload.start.max(start), payload.end.min(end));
            if from < to {
                spans.push(from - start..to - start);
            }
            if payload.end > end {
                break;
            }
            payloads.next();
        }
        reads.push(spans);
        start = end;
    }
    reads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_cut_where_reads_end() {
        let payloads = [2..4, 6..10, 16..16, 22..28, 29..30];
        let spans = spans_of_reads(&payloads, &[8, 25, 30]);
        assert_eq!(spans, [[2..4, 6..8], [0..2, 14..17], [0..3, 4..5]]);
    }
}
