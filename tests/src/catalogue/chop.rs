//! How a case's bytes are cut into reads. In: a case. Out: the cuts to try, and their pieces.
//!
//! Never: changes, drops or reorders a byte; draws from anything but its seed.

use super::{Case, Step};

/// One way to cut all the bytes that a case sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chop {
    /// Each send in one piece.
    Whole,
    /// Frame by frame.
    PerFrame,
    /// Byte by byte.
    PerByte,
    /// Whole, but for one cut before this byte, counted over all sends.
    SplitAt(usize),
    /// Pieces of random lengths, the same for the same seed.
    Random(u64),
}

/// Up to this many bytes a case is split at every offset; past it, around its frames' headers.
const EVERY_SPLIT_BYTES_MAX: usize = 600;

impl Chop {
    /// Every way that is worth trying when a run costs microseconds.
    #[must_use]
    pub fn every(case: &Case, seed: u64) -> Vec<Self> {
        let total = case.bytes_total();
        let mut chops = vec![Self::Whole, Self::PerFrame, Self::PerByte];
        if total <= EVERY_SPLIT_BYTES_MAX {
            chops.extend((1..total).map(Self::SplitAt));
        } else {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut offsets: Vec<usize> = (0..64).map(|_| rng.usize(1..total)).collect();
            // Around the first frames' starts, which is where the headers are.
            offsets.extend(frame_starts(case).take(8).flat_map(|at| at + 1..at + 16));
            offsets.retain(|&at| at < total);
            offsets.sort_unstable();
            offsets.dedup();
            chops.extend(offsets.into_iter().map(Self::SplitAt));
        }
        chops.extend((0..4).map(|n| Self::Random(seed.wrapping_add(n))));
        chops
    }

    /// A few ways, for runs that cost a connection.
    #[must_use]
    pub fn some(case: &Case, seed: u64) -> Vec<Self> {
        let total = case.bytes_total();
        let mut rng = fastrand::Rng::with_seed(seed ^ total as u64);
        let mut chops = vec![Self::Whole];
        if total <= 20_000 {
            chops.push(Self::PerByte);
        }
        if total > 1 {
            let mut splits: Vec<usize> = (0..4).map(|_| rng.usize(1..total)).collect();
            splits.sort_unstable();
            splits.dedup();
            chops.extend(splits.into_iter().map(Self::SplitAt));
            chops.extend([Self::Random(seed), Self::Random(seed.wrapping_add(1))]);
        }
        chops
    }
}

fn frame_starts(case: &Case) -> impl Iterator<Item = usize> {
    case.steps
        .iter()
        .filter_map(|step| match step {
            Step::Send(parts) => Some(parts),
            _ => None,
        })
        .flatten()
        .scan(0, |at, part| {
            let start = *at;
            *at += part.len();
            Some(start)
        })
}

/// Cuts one send after the other.
#[derive(Clone, Debug)]
pub struct Cutter {
    chop: Chop,
    rng: fastrand::Rng,
    sent: usize,
}

impl Cutter {
    /// For the first send of a case.
    #[must_use]
    pub fn new(chop: Chop) -> Self {
        let seed = if let Chop::Random(seed) = chop {
            seed
        } else {
            0
        };
        Self {
            chop,
            rng: fastrand::Rng::with_seed(seed),
            sent: 0,
        }
    }

    /// The next send in pieces, none of them empty.
    pub fn cut(&mut self, parts: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let whole = parts.concat();
        let start = self.sent;
        self.sent += whole.len();
        let mut pieces: Vec<Vec<u8>> = match self.chop {
            Chop::Whole => vec![whole],
            Chop::PerFrame => parts.to_vec(),
            Chop::PerByte => whole.chunks(1).map(<[u8]>::to_vec).collect(),
            Chop::SplitAt(at) => {
                let (left, right) = whole.split_at(at.saturating_sub(start).min(whole.len()));
                vec![left.to_vec(), right.to_vec()]
            }
            Chop::Random(_) => self.random(&whole),
        };
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    fn random(&mut self, mut rest: &[u8]) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            // Mostly a few bytes, sometimes many: headers get cut, and big payloads still end.
            let longest = if self.rng.u8(..4) > 0 && rest.len() < 5_000 {
                7
            } else {
                rest.len()
            };
            let (piece, after) = rest.split_at(self.rng.usize(1..=longest.min(rest.len())));
            pieces.push(piece.to_vec());
            rest = after;
        }
        pieces
    }
}
