//! The cases that encode. In: a size. Out: their field: ours, every peer's encoder, the bound.
//!
//! Never: measures.

use std::hint::black_box;
use std::ops::RangeInclusive;

use bytes::Bytes;
use fanfare_benches::corpus::json;
use fanfare_benches::corpus::text::{SEED, binary};
use fanfare_benches::feed::Outlet;
use fanfare_benches::limit::Limit;
use fanfare_benches::peers::deflate::{LEVEL, each_deflating};
use fanfare_benches::peers::encode::{MessageEncoder, Visitor, each};
use zlib_rs::{Deflate, DeflateFlush};

use crate::field::{Field, Part};
use crate::race::Runner;

/// Encoded before the outlet takes it: a batch inside a first-level cache, or one message.
const BATCH_BYTES: usize = 16 << 10;
/// About what a pass encodes, in at least so many and at most so many payloads.
const PASS_BYTES: usize = 4 << 20;
const PAYLOADS: RangeInclusive<usize> = 8..=64;
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const PAGE_BYTES: usize = 4096;
const LINE_BYTES: usize = 64;
/// What allocators align to.
const ALLOCATION_BYTES: usize = 16;
/// The encoder that is ours, among those that are visited.
const OURS: &str = "fanfare";

/// Masked client frames of `size` bytes.
pub(crate) fn masked_field(case: &str, size: usize) -> Field {
    let payloads = payloads(size);
    let mut field = Field::new(case, size as f64);
    field.add(Part::Limit, bound(&payloads));
    let mut entry = Entry::new(field, payloads, size);
    each(&mut entry);
    entry.field
}

/// Server frames with JSON of `size` bytes, compressed.
pub(crate) fn deflated_field(case: &str, size: usize) -> Field {
    let texts = json::trades(size, count(size));
    let payloads: Vec<Bytes> = texts.into_iter().map(Bytes::from).collect();
    let mut field = Field::new(case, size as f64);
    field.add(Part::Limit, deflating_bound(&payloads));
    let mut entry = Entry::new(field, payloads, size);
    each_deflating(&mut entry);
    entry.field
}

/// The library alone: each message at once, into a buffer that was there.
fn deflating_bound(payloads: &[Bytes]) -> Runner {
    const WINDOW_BITS: u8 = 15;
    let payloads = payloads.to_vec();
    let longest = payloads.iter().map(Bytes::len).max().unwrap_or_default();
    let mut out = vec![0; 2 * longest + 64];
    let mut stream = Deflate::new(LEVEL.into(), false, WINDOW_BITS);
    Runner::new(payloads.len(), move || {
        for payload in &payloads {
            let done = stream.compress(black_box(payload), &mut out, DeflateFlush::FullFlush);
            assert!(done.is_ok(), "a compressor takes any bytes");
            black_box(&mut out);
        }
    })
}

/// How many payloads a pass encodes.
fn count(size: usize) -> usize {
    (PASS_BYTES / size.max(1)).clamp(*PAYLOADS.start(), *PAYLOADS.end())
}

/// Payloads that start all over a page, in one piece of memory that stays in a cache.
///
/// How a copy's source and destination lie to each other within their pages can double its time;
/// one payload and one buffer would measure that.
fn payloads(size: usize) -> Vec<Bytes> {
    let memory = Bytes::from(binary(size + PAGE_BYTES));
    let mut random = fastrand::Rng::with_seed(SEED);
    (0..count(size))
        .map(|_| random.usize(..PAGE_BYTES / ALLOCATION_BYTES) * ALLOCATION_BYTES)
        .map(|start| memory.slice(start..start + size))
        .collect()
}

fn bound(payloads: &[Bytes]) -> Runner {
    let payloads = payloads.to_vec();
    let size = payloads.first().map_or(0, Bytes::len);
    let mut out = vec![0; size + 3 * PAGE_BYTES];
    let limit = Limit::detect();
    Runner::new(payloads.len(), move || {
        for payload in &payloads {
            let start = apart(payload.as_ptr().addr(), out.as_ptr().addr());
            limit.copy(&mut out[start..start + size], payload, KEY);
            black_box(&mut out[..]);
        }
    })
}

/// Where in a buffer at `to` a copy from `from` goes best: at the start of a cache line, half a page
/// off, for a load waits for a store before it at the same offset of another page.
const fn apart(from: usize, to: usize) -> usize {
    let page = to.next_multiple_of(PAGE_BYTES) - to;
    page + (from + PAGE_BYTES / 2) % PAGE_BYTES / LINE_BYTES * LINE_BYTES
}

struct Entry {
    field: Field,
    payloads: Vec<Bytes>,
    /// Messages encoded before the outlet takes them.
    batch: usize,
}

impl Entry {
    fn new(field: Field, payloads: Vec<Bytes>, size: usize) -> Self {
        Self {
            field,
            payloads,
            batch: (BATCH_BYTES / size.max(1)).max(1),
        }
    }
}

impl Visitor for Entry {
    fn visit<E: MessageEncoder>(&mut self) {
        let payloads = self.payloads.clone();
        let batch = self.batch;
        let mut encoder = E::open(Outlet::default());
        let runner = Runner::new(payloads.len(), move || {
            for batch in payloads.chunks(batch) {
                let mut done = Ok(());
                for payload in batch {
                    done = done.and_then(|()| encoder.message(black_box(payload)));
                }
                done.and_then(|()| encoder.flush())
                    .unwrap_or_else(|error| panic!("{}: {error}", E::NAME));
            }
        });
        let part = if E::NAME == OURS {
            Part::Ours
        } else {
            Part::Peer {
                name: E::NAME,
                lacks: String::new(),
                read_bytes: None,
            }
        };
        self.field.add(part, runner);
    }
}
