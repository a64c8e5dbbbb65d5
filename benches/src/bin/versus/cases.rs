//! Every case by name. In: a name. Out: its field.
//!
//! Never: measures.

use fanfare_benches::corpus::size::{MASK_SIZES, Shape};
use fanfare_benches::corpus::text::{ASCII, EMOJI_JSON, KOREAN, Language};
use fanfare_benches::corpus::wire::Wire;
use fanfare_benches::feed::Cut;
use fanfare_benches::peers::decode::Work;
use fanfare_codec::MessageKind;

use crate::decoding::{Decoding, Way};
use crate::encoding;
use crate::field::Field;
use crate::masking::{self, HOT_BYTES};

/// Payload in a wire of one size: inside a second-level cache.
const FIXED_BYTES: usize = 256 << 10;
/// Payload in a wire of many sizes: more frames than a branch predictor learns by heart.
const MIXED_BYTES: usize = 1 << 20;
/// Past the last-level caches of most machines; a pass over it is a long lap.
const COLD_BYTES: usize = 64 << 20;
/// Ends the names of cases that walk so much.
pub(crate) const COLD: &str = "_cold";
const MIB: usize = 1 << 20;

/// What needs nothing but frames that are whole.
const FRAMES: Work = Work {
    validates_text: false,
    joins_fragments: false,
    joins_reads: false,
};
const TEXT: Work = Work {
    validates_text: true,
    ..FRAMES
};

/// A case, cheap until its field is made.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text(Language, Shape, usize),
    Binary(Shape, usize),
    /// Reads end wherever 16 KiB do.
    CutText(Shape, usize),
    /// One MiB in reads that cut it, as one message or handed on in pieces.
    HugeText {
        streamed: bool,
    },
    Fragments(usize),
    Mask(Shape, usize),
    UnmaskValidate(usize),
    EncodeMasked(usize),
    /// JSON in compressed frames.
    Inflate(usize),
    /// JSON to be compressed.
    Deflate(usize),
}

impl Case {
    /// All of them, in the order in which they are printed; `cold` ones are slow and not part of a
    /// quick run.
    pub(crate) fn all(cold: bool) -> Vec<Self> {
        let mut cases: Vec<(String, Kind)> = Vec::new();
        let mut add = |name: &str, kind| cases.push((name.to_owned(), kind));
        for size in [20, 125, 1024, 16_384] {
            let kind = Kind::Text(ASCII, Shape::Fixed(size), FIXED_BYTES);
            add(&format!("text_{size}"), kind);
        }
        add("text_1048576", Kind::HugeText { streamed: false });
        add("text_1048576_streamed", Kind::HugeText { streamed: true });
        add(
            "text_1024_cut",
            Kind::CutText(Shape::Fixed(1024), FIXED_BYTES),
        );
        add("chat_mix", Kind::Text(ASCII, Shape::Chat, MIXED_BYTES));
        add("ticker_mix", Kind::Text(ASCII, Shape::Ticker, MIXED_BYTES));
        add(
            "mixed_90_10",
            Kind::Text(ASCII, Shape::Mixed, 4 * MIXED_BYTES),
        );
        for size in [1024, 16_384] {
            let kind = Kind::Text(KOREAN, Shape::Fixed(size), FIXED_BYTES);
            add(&format!("korean_{size}"), kind);
        }
        add(
            "emoji_json_4096",
            Kind::Text(EMOJI_JSON, Shape::Fixed(4096), FIXED_BYTES),
        );
        add("binary_20", Kind::Binary(Shape::Fixed(20), FIXED_BYTES));
        for fragments in [1, 4, 64] {
            add(
                &format!("fragments_{fragments}"),
                Kind::Fragments(fragments),
            );
        }
        for size in MASK_SIZES {
            add(
                &format!("mask_{size}"),
                Kind::Mask(Shape::Fixed(size), HOT_BYTES),
            );
        }
        add("mask_1_63_mix", Kind::Mask(Shape::Short, HOT_BYTES));
        for size in [16_384, 65_536, MIB] {
            add(
                &format!("unmask_validate_{size}"),
                Kind::UnmaskValidate(size),
            );
        }
        for size in [20, 125, 1024, 16_384, 65_536, MIB] {
            add(&format!("encode_masked_{size}"), Kind::EncodeMasked(size));
        }
        for size in [256, 1024, 16_384] {
            add(&format!("inflate_{size}"), Kind::Inflate(size));
        }
        for size in [256, 1024, 16_384] {
            add(&format!("deflate_{size}"), Kind::Deflate(size));
        }
        if cold {
            for size in [20, 1024, 16_384] {
                let kind = Kind::Text(ASCII, Shape::Fixed(size), COLD_BYTES);
                add(&format!("text_{size}{COLD}"), kind);
            }
            for size in [1024, 65_536] {
                add(
                    &format!("mask_{size}{COLD}"),
                    Kind::Mask(Shape::Fixed(size), COLD_BYTES),
                );
            }
        }
        cases
            .into_iter()
            .map(|(name, kind)| Self { name, kind })
            .collect()
    }

    /// Whether it walks more than a last-level cache holds.
    pub(crate) fn is_cold(&self) -> bool {
        self.name.ends_with(COLD)
    }

    /// Who runs in it.
    pub(crate) fn field(&self) -> Field {
        let decoding = match self.kind {
            Kind::Mask(shape, total) => {
                return masking::mask_field(&self.name, shape, total);
            }
            Kind::UnmaskValidate(size) => {
                return masking::validate_field(&self.name, size);
            }
            Kind::EncodeMasked(size) => return encoding::masked_field(&self.name, size),
            Kind::Deflate(size) => return encoding::deflated_field(&self.name, size),
            Kind::Inflate(size) => Decoding {
                wire: Wire::deflated(size, FIXED_BYTES),
                cut: Cut::BehindFrames,
                needed: TEXT,
                way: Way::Inflated,
            },
            Kind::Text(language, shape, total) => Decoding {
                wire: Wire::text(language, shape, total),
                cut: Cut::BehindFrames,
                needed: TEXT,
                way: Way::Messages,
            },
            Kind::Binary(shape, total) => Decoding {
                wire: Wire::binary(shape, total),
                cut: Cut::BehindFrames,
                needed: FRAMES,
                way: Way::Messages,
            },
            Kind::CutText(shape, total) => Decoding {
                wire: Wire::text(ASCII, shape, total),
                cut: Cut::Anywhere,
                needed: Work {
                    joins_reads: true,
                    ..TEXT
                },
                way: Way::Messages,
            },
            Kind::HugeText { streamed } => Decoding {
                wire: Wire::text(ASCII, Shape::Fixed(MIB), MIB),
                cut: Cut::Anywhere,
                needed: Work {
                    joins_reads: !streamed,
                    ..TEXT
                },
                way: if streamed { Way::Pieces } else { Way::Messages },
            },
            Kind::Fragments(fragments) => Decoding {
                wire: fragmented(fragments),
                cut: Cut::BehindFrames,
                needed: Work {
                    joins_fragments: true,
                    ..TEXT
                },
                way: Way::Messages,
            },
        };
        decoding.field(&self.name)
    }
}

/// Texts of 4 KiB.
fn fragmented(fragments: usize) -> Wire {
    let text = ASCII.text(4096);
    let messages = FIXED_BYTES / text.len();
    Wire::of(MessageKind::Text, text.as_bytes(), fragments, messages)
}

/// Whether `name` fits `pattern`, in which `*` stands for anything.
pub(crate) fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((front, rest)) => name.strip_prefix(front).is_some_and(|name| {
            (0..=name.len()).any(|at| name.is_char_boundary(at) && fits(&name[at..], rest))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (name, pattern, fit) in [
            ("text_20", "text_20", true),
            ("text_20", "text_2", false),
            ("text_20_cold", "text_*", true),
            ("text_20_cold", "*_cold", true),
            ("text_20", "*_cold", false),
            ("mask_1", "*a*1", true),
        ] {
            assert_eq!(fits(name, pattern), fit, "{name} {pattern}");
        }
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut names: Vec<String> = Case::all(true).into_iter().map(|case| case.name).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
