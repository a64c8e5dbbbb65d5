//! What must hold. In: outcomes. Out: each target, what was measured, and whether it is met.
//!
//! Never: measures, prints.

use fanfare_codec::Isa;

use crate::field::Outcome;
use crate::masking::APPLY_MASK;

/// A target and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) case: String,
    /// What is compared.
    pub(crate) what: String,
    pub(crate) measured: f64,
    pub(crate) sense: Sense,
    pub(crate) target: f64,
}

/// The good side of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sense {
    AtLeast,
    AtMost,
}

impl Verdict {
    pub(crate) fn is_met(&self) -> bool {
        match self.sense {
            Sense::AtLeast => self.measured >= self.target,
            Sense::AtMost => self.measured <= self.target,
        }
    }
}

/// Against the best peer that does the same work: case, with AVX-512, with AVX2.
const RATIOS: &[(&str, Option<f64>, Option<f64>)] = &[
    ("text_20", Some(8.0), Some(8.0)),
    ("text_125", Some(5.0), Some(5.0)),
    ("chat_mix", Some(5.0), None),
    ("text_1024", Some(2.5), Some(2.3)),
    ("text_16384", Some(1.5), Some(1.1)),
    ("text_1048576", Some(1.15), None),
    ("text_1048576_streamed", Some(1.7), None),
    ("korean_1024", Some(1.8), Some(0.95)),
    ("korean_16384", Some(1.5), Some(0.95)),
    ("emoji_json_4096", Some(1.5), Some(0.95)),
    ("binary_20", Some(4.0), None),
    ("encode_masked_1024", Some(1.15), None),
    ("encode_masked_16384", Some(1.3), None),
    ("encode_masked_65536", Some(1.0), None),
    ("inflate_256", Some(1.0), Some(1.0)),
    ("inflate_1024", Some(1.0), Some(1.0)),
    ("inflate_16384", Some(1.0), Some(1.0)),
    ("deflate_256", Some(1.0), Some(1.0)),
    ("deflate_1024", Some(1.0), Some(1.0)),
    ("deflate_16384", Some(1.0), Some(1.0)),
];

const MASK_TO_LIMIT_MAX: f64 = 1.1;
const MASK_LIMITED_BYTES: std::ops::RangeInclusive<usize> = 64..=16_384;
const MASK_RATIO_MIN: f64 = 0.97;
const SHORT_MASK_RATIO_MIN: f64 = 2.0;
const SHORT_MASK_BYTES_MAX: usize = 63;
const VALIDATE_TO_MASK_MAX: f64 = 1.15;

/// The targets of `outcome` when ours runs on `isa`.
pub(crate) fn judge(outcome: &Outcome, isa: Isa) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut add = |what: String, measured: Option<f64>, sense, target| {
        if let Some(measured) = measured {
            verdicts.push(Verdict {
                case: outcome.case.clone(),
                what,
                measured,
                sense,
                target,
            });
        }
    };
    let best = outcome.best_peer().map_or("nobody", |(name, _)| name);
    let named = RATIOS.iter().find(|ratio| ratio.0 == outcome.case);
    let ratio_target = named.and_then(|&(_, avx512, avx2)| match isa {
        Isa::Avx512 => avx512,
        Isa::Avx2 => avx2,
        _ => None,
    });
    if let Some(target) = ratio_target {
        let what = format!("times as fast as {best}");
        add(what, outcome.ratio(), Sense::AtLeast, target);
    }
    let mask_size = outcome.case.strip_prefix("mask_");
    if let (Isa::Avx512, Some(size)) = (isa, mask_size.and_then(|size| size.parse().ok())) {
        let floor = if size <= SHORT_MASK_BYTES_MAX {
            SHORT_MASK_RATIO_MIN
        } else {
            MASK_RATIO_MIN
        };
        let what = format!("times as fast as {best}");
        add(what, outcome.ratio(), Sense::AtLeast, floor);
        if MASK_LIMITED_BYTES.contains(&size) {
            let what = "times the bound".to_owned();
            add(what, outcome.to_limit(), Sense::AtMost, MASK_TO_LIMIT_MAX);
        }
    }
    if let Some(alone) = outcome.peers.get(APPLY_MASK) {
        let measured = outcome.ours.median / alone.spread.median;
        let what = "times apply_mask alone".to_owned();
        add(what, Some(measured), Sense::AtMost, VALIDATE_TO_MASK_MAX);
    }
    verdicts
}
