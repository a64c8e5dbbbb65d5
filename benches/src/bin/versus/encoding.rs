//! The cases that encode. In: a size. Out: their field: ours, every peer's encoder, the bound.
//!
//! Never: measures.

use std::hint::black_box;

use bytes::Bytes;
use fanfare_benches::corpus::text::binary;
use fanfare_benches::feed::Outlet;
use fanfare_benches::limit::Limit;
use fanfare_benches::peers::encode::{MaskingEncoder, Visitor, each};

use crate::field::{Field, Part};
use crate::race::Runner;

/// Encoded before the outlet takes it: a batch inside a first-level cache, or one message.
const BATCH_BYTES: usize = 16 << 10;
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const PAGE_BYTES: usize = 4096;
const LINE_BYTES: usize = 64;
/// The encoder that is ours, among those that are visited.
const OURS: &str = "fanfare";

/// Masked client frames of `size` bytes.
pub(crate) fn masked_field(case: &str, size: usize) -> Field {
    let payloads = payloads(size);
    let mut field = Field::new(case, size as f64);
    field.add(Part::Limit, bound(&payloads));
    let mut entry = Entry { field, payloads };
    each(&mut entry);
    entry.field
}

/// A batch of payloads, none where another is.
fn payloads(size: usize) -> Vec<Bytes> {
    let count = (BATCH_BYTES / size.max(1)).max(1);
    (0..count).map(|_| Bytes::from(binary(size))).collect()
}

fn bound(payloads: &[Bytes]) -> Runner {
    let payloads = payloads.to_vec();
    let total: usize = payloads.iter().map(Bytes::len).sum();
    let mut out = vec![0; total + 2 * PAGE_BYTES];
    let first = payloads
        .first()
        .map_or(0, |payload| payload.as_ptr().addr());
    let start = apart(first, out.as_ptr().addr());
    let limit = Limit::detect();
    Runner::new(payloads.len(), move || {
        let mut rest = &mut out[start..];
        for payload in &payloads {
            let (front, behind) = rest.split_at_mut(payload.len());
            limit.copy(front, payload, KEY);
            rest = behind;
        }
        black_box(&mut out[..]);
    })
}

/// Where in a buffer at `to` a copy from `from` goes best: at the start of a cache line, half a page
/// off, for a load waits for a store before it at the same offset of another page.
const fn apart(from: usize, to: usize) -> usize {
    let start = (to + PAGE_BYTES) / PAGE_BYTES * PAGE_BYTES - to;
    start + (from % PAGE_BYTES + PAGE_BYTES / 2) % PAGE_BYTES / LINE_BYTES * LINE_BYTES
}

struct Entry {
    field: Field,
    payloads: Vec<Bytes>,
}

impl Visitor for Entry {
    fn visit<E: MaskingEncoder>(&mut self) {
        let payloads = self.payloads.clone();
        let outlet = Outlet::default();
        let mut encoder = E::open(outlet);
        let runner = Runner::new(payloads.len(), move || {
            for payload in &payloads {
                encoder
                    .message(black_box(payload))
                    .unwrap_or_else(|error| panic!("{}: {error}", E::NAME));
            }
            encoder
                .flush()
                .unwrap_or_else(|error| panic!("{}: {error}", E::NAME));
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
