//! The cases that unmask alone, in place. In: sizes. Out: their field: ours, every published mask
//! function, the bound.
//!
//! Payloads lie as frames leave them, a header apart, and many are walked: one slice over and over
//! would measure store forwarding. All walk the same memory, so that none is lucky with its pages.
//!
//! Never: measures.

use std::cell::RefCell;
use std::hint::black_box;
use std::ops::Range;
use std::rc::Rc;

use fanfare_benches::corpus::size::Shape;
use fanfare_benches::corpus::text::ASCII;
use fanfare_benches::limit::Limit;
use fanfare_benches::peers::mask::{self, Masker};
use fanfare_codec::{apply_mask, unmask_validate};

use crate::field::{Field, Part};
use crate::race::Runner;

/// Walked by a hot case: inside a first-level cache.
pub(crate) const HOT_BYTES: usize = 16 << 10;
/// Below 0x80, so that ASCII stays ASCII however often it is masked.
const ASCII_KEY: [u8; 4] = [0x37, 0x7A, 0x21, 0x3D];

/// What lies in front of a payload of `size` bytes (RFC 6455 §5.2).
const fn header_bytes(size: usize) -> usize {
    match size {
        ..126 => 6,
        126..65_536 => 8,
        _ => 14,
    }
}

/// Memory that the runners of a case walk in turn.
#[derive(Clone)]
struct Arena {
    bytes: Rc<RefCell<Vec<u8>>>,
    layout: Rc<Layout>,
}

/// Where the payloads lie.
enum Layout {
    /// The last `size` bytes of every `stride`.
    Even {
        stride: usize,
        size: usize,
    },
    Uneven(Vec<Range<usize>>),
}

impl Arena {
    /// Payloads of `shape`, about `total` bytes of them and at least one.
    fn new(shape: Shape, total: usize) -> Self {
        let mut len = 0;
        let mut spans = Vec::new();
        for size in shape.sizes(1.max(total)) {
            if len > 0 && len + header_bytes(size) + size > total {
                break;
            }
            len += header_bytes(size) + size;
            spans.push(len - size..len);
        }
        let layout = match shape {
            Shape::Fixed(size) => Layout::Even {
                stride: header_bytes(size) + size,
                size,
            },
            _ => Layout::Uneven(spans),
        };
        Self {
            bytes: Rc::new(RefCell::new(ASCII.text(len).into_bytes())),
            layout: Rc::new(layout),
        }
    }

    fn payloads(&self) -> usize {
        match &*self.layout {
            Layout::Even { stride, .. } => self.bytes.borrow().len() / stride,
            Layout::Uneven(spans) => spans.len(),
        }
    }

    fn payload_bytes(&self) -> usize {
        match &*self.layout {
            Layout::Even { size, .. } => size * self.payloads(),
            Layout::Uneven(spans) => spans.iter().map(Range::len).sum(),
        }
    }

    fn field(&self, case: &str) -> Field {
        Field::new(case, self.payload_bytes() as f64 / self.payloads() as f64)
    }

    /// Runs `unmask` over every payload.
    fn runner(&self, mut unmask: impl FnMut(&mut [u8], [u8; 4]) + 'static) -> Runner {
        let arena = self.clone();
        Runner::new(self.payloads(), move || {
            let mut bytes = arena.bytes.borrow_mut();
            let key = black_box(ASCII_KEY);
            match &*arena.layout {
                &Layout::Even { stride, size } => {
                    for piece in bytes.chunks_exact_mut(stride) {
                        unmask(&mut piece[stride - size..], key);
                    }
                }
                Layout::Uneven(spans) => {
                    for span in spans {
                        unmask(&mut bytes[span.clone()], key);
                    }
                }
            }
            black_box(&mut bytes[..]);
        })
    }

    fn bound(&self) -> Runner {
        let arena = self.clone();
        let limit = Limit::detect();
        Runner::new(self.payloads(), move || {
            let mut bytes = arena.bytes.borrow_mut();
            let key = black_box(ASCII_KEY);
            match &*arena.layout {
                &Layout::Even { stride, size } => limit.stride(&mut bytes, stride, size, key),
                Layout::Uneven(spans) => limit.walk(&mut bytes, spans, key),
            }
            black_box(&mut bytes[..]);
        })
    }
}

/// `apply_mask` against every mask function that a peer publishes.
pub(crate) fn mask_field(case: &str, shape: Shape, total: usize) -> Field {
    let arena = Arena::new(shape, total);
    let mut field = arena.field(case);
    let ours = arena.runner(|buf, key| {
        apply_mask(buf, key);
    });
    field.add(Part::Ours, ours);
    field.add(Part::Limit, arena.bound());
    let mut entry = Entry { field, arena };
    mask::each_peer(&mut entry);
    entry.field
}

struct Entry {
    field: Field,
    arena: Arena,
}

impl mask::Visitor for Entry {
    fn visit<M: Masker>(&mut self) {
        self.field.add(
            peer(M::NAME, ""),
            self.arena.runner(|buf, key| M::mask(buf, key)),
        );
    }
}

/// [`unmask_validate`] on ASCII against what peers do, one pass behind the other, and against
/// `apply_mask` alone.
pub(crate) fn validate_field(case: &str, size: usize) -> Field {
    let arena = Arena::new(Shape::Fixed(size), HOT_BYTES);
    let mut field = arena.field(case);
    let both = arena.runner(|buf, key| assert!(unmask_validate(buf, key).is_ok(), "ASCII"));
    let alone = arena.runner(|buf, key| {
        apply_mask(buf, key);
    });
    field.add(Part::Ours, both);
    field.add(peer(APPLY_MASK, "no UTF-8"), alone);
    field.add(Part::Limit, arena.bound());
    let sockudo = arena.runner(|buf, key| {
        sockudo_ws::simd::apply_mask(buf, key);
        assert!(simdutf8::basic::from_utf8(buf).is_ok(), "ASCII");
    });
    field.add(peer("sockudo-ws, then simdutf8", ""), sockudo);
    let words = arena.runner(|buf, key| {
        fastwebsockets::unmask(buf, key);
        assert!(simdutf8::basic::from_utf8(buf).is_ok(), "ASCII");
    });
    field.add(peer("fastwebsockets, then simdutf8", ""), words);
    field
}

/// The codec's own mask function where it stands beside `unmask_validate`.
pub(crate) const APPLY_MASK: &str = "fanfare apply_mask";

fn peer(name: &'static str, lacks: &str) -> Part {
    Part::Peer {
        name,
        lacks: lacks.to_owned(),
        read_bytes: None,
    }
}
