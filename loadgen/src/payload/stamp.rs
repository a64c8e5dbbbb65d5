//! What publications say. In: a series, a number in it and a time. Out: a payload that carries all
//! three, whole and checked; and the other way round, for what was delivered.
//!
//! A payload is a stamp of [`STAMP_BYTES`] and a filler that is a front part of one pattern, which
//! starts elsewhere for each publication. All of it is letters, digits, `-` and `_`, so that it comes
//! through text, JSON and URLs as it is. The stamp says, six bits a byte, the lowest first: the run
//! (18), the series (18), the number in it (36), the intended send time in nanoseconds (48) and a
//! check of all that (24), which one run's secret goes into: another run's publications are strangers.
//!
//! Never: masks, frames, remembers what was sent.

use crate::clock::Nanos;

/// Bytes of a stamp: no publication is shorter.
pub(crate) const STAMP_BYTES: usize = 24;

/// Series that a run may have.
pub(crate) const SERIES_MAX: usize = 1 << SERIES_BITS;

const RUN_BITS: u32 = 18;
const RUN_DIGITS: usize = RUN_BITS as usize / 6;
const SERIES_BITS: u32 = 18;
const SEQ_BITS: u32 = 36;
const TIME_BITS: u32 = 48;
const CHECK_BITS: u32 = 24;
const _: () = assert!(RUN_BITS + SERIES_BITS + SEQ_BITS + TIME_BITS + CHECK_BITS == 24 * 6);

/// In how many places a filler can start.
const FILLER_STARTS: usize = 1024;

/// Six bits as a byte.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

/// In [`VALUES`]: no digit.
const NO_DIGIT: u8 = 0xFF;

/// A byte as six bits.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 64 {
        values[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Which publication it is, and when it was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) series: u32,
    pub(crate) seq: u64,
    pub(crate) intended: Nanos,
}

/// What all publications of a run share.
#[derive(Debug)]
pub(crate) struct Stamps {
    run: u32,
    secret: u64,
    /// Publication `seq` of a series has the size at `seq` plus the series, modulo the length.
    sizes: Vec<u32>,
    pattern: Vec<u8>,
}

impl Stamps {
    /// Publications of these sizes, of which there is at least one and none is under [`STAMP_BYTES`].
    pub(crate) fn new(sizes: Vec<u32>, random: &mut fastrand::Rng) -> Self {
        let size_max = sizes.iter().max().map_or(0, |&size| size as usize);
        Self {
            run: random.u32(..1 << RUN_BITS),
            secret: random.u64(..),
            sizes,
            pattern: (0..size_max + FILLER_STARTS)
                .map(|_| DIGITS[random.usize(..DIGITS.len())])
                .collect(),
        }
    }

    /// The parts of a publication: its stamp and its filler.
    pub(crate) fn publication(&self, stamp: Stamp) -> ([u8; STAMP_BYTES], &[u8]) {
        (self.write(stamp), self.filler(stamp))
    }

    /// Bytes of a publication.
    #[inline]
    pub(crate) fn len(&self, stamp: Stamp) -> u64 {
        (STAMP_BYTES + self.filler(stamp).len()) as u64
    }

    /// What comes behind the stamp.
    #[inline]
    pub(crate) fn filler(&self, stamp: Stamp) -> &[u8] {
        let at = u64::from(stamp.series) + stamp.seq;
        let at_size = usize::try_from(at % self.sizes.len() as u64).unwrap_or(0);
        let len = self.sizes[at_size] as usize - STAMP_BYTES;
        let start = usize::try_from(scramble(at) % FILLER_STARTS as u64).unwrap_or(0);
        &self.pattern[start..start + len]
    }

    /// Which publication `message` is, if it is one, unchanged.
    #[inline]
    pub(crate) fn read_whole(&self, message: &[u8]) -> Option<Stamp> {
        let (front, rest) = message.split_first_chunk()?;
        let stamp = self.read(front)?;
        (rest == self.filler(stamp)).then_some(stamp)
    }

    /// Whether a message of `len` bytes that begins with `front` and is no publication of this run may
    /// have been one. It names the run, of whose digits one may be changed; or it has the length, where
    /// that is the same for all, and does not begin as another run's publications do.
    #[cold]
    pub(crate) fn resembles(&self, front: &[u8], len: u64) -> bool {
        let mut run = [0; RUN_DIGITS];
        write_digits(u64::from(self.run), &mut run);
        let same = run
            .iter()
            .zip(front)
            .filter(|(ours, theirs)| ours == theirs);
        if same.count() + 1 >= RUN_DIGITS {
            return true;
        }
        let has_length = self.sizes.iter().all(|&size| u64::from(size) == len);
        let is_digit = |&byte: &u8| VALUES[usize::from(byte)] != NO_DIGIT;
        has_length && !front.iter().take(STAMP_BYTES).all(is_digit)
    }

    /// Whether a stamp of this run is somewhere in `bytes`.
    #[cold]
    pub(crate) fn is_within(&self, bytes: &[u8]) -> bool {
        let mut windows = bytes.windows(STAMP_BYTES);
        windows.any(|bytes| {
            bytes
                .try_into()
                .is_ok_and(|bytes| self.read(bytes).is_some())
        })
    }

    fn write(&self, stamp: Stamp) -> [u8; STAMP_BYTES] {
        let words = Words {
            low: u64::from(self.run)
                | u64::from(stamp.series) << RUN_BITS
                | (stamp.seq & SEQ_LOW_MASK) << (RUN_BITS + SERIES_BITS),
            high: (stamp.seq >> SEQ_LOW_BITS) & SEQ_HIGH_MASK
                | (stamp.intended.0 & TIME_MASK) << SEQ_HIGH_BITS,
        };
        let check = self.check(words);
        let mut bytes = [0; STAMP_BYTES];
        let (low, rest) = bytes.split_at_mut(10);
        let (high, end) = rest.split_at_mut(10);
        write_digits(words.low, low);
        write_digits(words.high, high);
        write_digits(check, end);
        bytes
    }

    /// What `bytes` says; `None` if it is no stamp of this run, or not as it was written.
    #[inline]
    pub(crate) fn read(&self, bytes: &[u8; STAMP_BYTES]) -> Option<Stamp> {
        let words = Words {
            low: read_digits(&bytes[..10])?,
            high: read_digits(&bytes[10..20])?,
        };
        let check = read_digits(&bytes[20..])?;
        let is_ours = words.low & ((1 << RUN_BITS) - 1) == u64::from(self.run);
        (is_ours && check == self.check(words)).then(|| {
            let series = (words.low >> RUN_BITS & ((1 << SERIES_BITS) - 1)) as u32;
            Stamp {
                series,
                seq: words.low >> (RUN_BITS + SERIES_BITS)
                    | (words.high & SEQ_HIGH_MASK) << SEQ_LOW_BITS,
                intended: Nanos(words.high >> SEQ_HIGH_BITS),
            }
        })
    }

    #[inline]
    const fn check(&self, words: Words) -> u64 {
        scramble(scramble(words.low ^ self.secret) ^ words.high) >> (64 - CHECK_BITS)
    }
}

/// A stamp but for its check, 60 bits in each.
#[derive(Clone, Copy)]
struct Words {
    low: u64,
    high: u64,
}

const SEQ_LOW_BITS: u32 = 60 - RUN_BITS - SERIES_BITS;
const SEQ_LOW_MASK: u64 = (1 << SEQ_LOW_BITS) - 1;
const SEQ_HIGH_BITS: u32 = SEQ_BITS - SEQ_LOW_BITS;
const SEQ_HIGH_MASK: u64 = (1 << SEQ_HIGH_BITS) - 1;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// Mixes all bits into all bits; the same number never comes of two.
#[inline]
const fn scramble(x: u64) -> u64 {
    let x = (x ^ (x >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 29)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    x ^ (x >> 32)
}

fn write_digits(mut bits: u64, digits: &mut [u8]) {
    for digit in digits {
        *digit = DIGITS[(bits & 63) as usize];
        bits >>= 6;
    }
}

/// `None` if one of them is no digit.
#[inline]
fn read_digits(digits: &[u8]) -> Option<u64> {
    let (mut bits, mut seen) = (0, 0);
    for &digit in digits.iter().rev() {
        let value = VALUES[usize::from(digit)];
        seen |= value;
        bits = bits << 6 | u64::from(value & 63);
    }
    (seen != NO_DIGIT).then_some(bits)
}

/// A publication that arrives in pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    front: [u8; STAMP_BYTES],
    stamp: Option<Stamp>,
    /// Nothing seen so far is wrong.
    is_plausible: bool,
}

impl Reading {
    /// Nothing has arrived.
    pub(crate) const fn new() -> Self {
        Self {
            front: [0; STAMP_BYTES],
            stamp: None,
            is_plausible: true,
        }
    }

    /// Compares the next piece, which starts at `offset` of the message.
    pub(crate) fn push(&mut self, stamps: &Stamps, offset: u64, piece: &[u8]) {
        let Ok(offset) = usize::try_from(offset) else {
            self.is_plausible = false;
            return;
        };
        let of_front = STAMP_BYTES.saturating_sub(offset).min(piece.len());
        let (front, rest) = piece.split_at(of_front);
        if of_front > 0 {
            self.front[offset..offset + of_front].copy_from_slice(front);
            if offset + of_front == STAMP_BYTES {
                self.stamp = stamps.read(&self.front);
            }
        }
        if !rest.is_empty() {
            let at = offset + of_front - STAMP_BYTES;
            self.is_plausible &= self
                .stamp
                .is_some_and(|stamp| is_at(stamps.filler(stamp), at, rest));
        }
    }

    /// The stamp's place in the message; zeros where the message was shorter.
    pub(crate) const fn front(&self) -> &[u8] {
        &self.front
    }

    /// How long the publication is, once its stamp is known.
    pub(super) fn publication_len(&self, stamps: &Stamps) -> Option<u64> {
        self.stamp.map(|stamp| stamps.len(stamp))
    }

    /// The message is whole and `len` bytes long: which publication it is, if it is one, unchanged.
    pub(crate) fn finish(&self, stamps: &Stamps, len: u64) -> Option<Stamp> {
        let stamp = self.stamp?;
        (self.is_plausible && len == stamps.len(stamp)).then_some(stamp)
    }
}

/// Whether `whole` has `part` at `at`.
fn is_at(whole: &[u8], at: usize, part: &[u8]) -> bool {
    whole.get(at..).is_some_and(|whole| whole.starts_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(sizes: Vec<u32>, seed: u64) -> Stamps {
        Stamps::new(sizes, &mut fastrand::Rng::with_seed(seed))
    }

    fn whole(stamps: &Stamps, stamp: Stamp) -> Vec<u8> {
        let (front, filler) = stamps.publication(stamp);
        [&front[..], filler].concat()
    }

    fn read(stamps: &Stamps, bytes: &[u8], piece_len: usize) -> Option<Stamp> {
        let mut reading = Reading::new();
        for (at, piece) in bytes.chunks(piece_len).enumerate() {
            reading.push(stamps, (at * piece_len) as u64, piece);
        }
        let stamp = reading.finish(stamps, bytes.len() as u64);
        assert_eq!(stamps.read_whole(bytes), stamp, "in pieces of {piece_len}");
        stamp
    }

    const STAMP: Stamp = Stamp {
        series: 70_000,
        seq: (1 << 35) + 12_345,
        intended: Nanos((1 << 47) + 987_654_321),
    };

    #[test]
    fn a_publication_gives_its_stamp_back_at_every_size_and_cut() {
        for size in 24..60 {
            let stamps = stamps(vec![size], 1);
            for seq in [0, 1, STAMP.seq, (1 << 36) - 1] {
                let stamp = Stamp { seq, ..STAMP };
                let bytes = whole(&stamps, stamp);
                assert_eq!(bytes.len(), size as usize);
                let is_safe = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
                assert!(bytes.iter().all(is_safe));
                for piece_len in 1..=bytes.len() {
                    assert_eq!(read(&stamps, &bytes, piece_len), Some(stamp), "{piece_len}");
                }
            }
        }
    }

    #[test]
    fn a_changed_byte_or_length_is_no_publication() {
        let stamps = stamps(vec![40], 2);
        let bytes = whole(&stamps, STAMP);
        for at in 0..bytes.len() {
            for change in 1..=255 {
                let mut bytes = bytes.clone();
                bytes[at] ^= change;
                assert_eq!(read(&stamps, &bytes, 40), None, "byte {at} ^ {change}");
            }
        }
        for len in 0..40 {
            assert_eq!(read(&stamps, &bytes[..len], 40), None, "{len}");
        }
        let longer = [&bytes[..], b"0"].concat();
        assert_eq!(read(&stamps, &longer, 41), None);
    }

    #[test]
    fn a_changed_publication_resembles_one_and_a_greeting_does_not() {
        for sizes in [vec![40], vec![40, 40], vec![40, 41]] {
            let is_fixed = !sizes.contains(&41);
            let stamps = stamps(sizes, 5);
            let bytes = whole(&stamps, STAMP);
            for at in 0..bytes.len() {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1;
                assert!(stamps.resembles(&bytes, 40), "byte {at}");
                assert!(stamps.resembles(&bytes, 39), "byte {at}");
            }
            let greeting = [b'!'; 40];
            for len in 0..40 {
                assert!(!stamps.resembles(&greeting[..len], len as u64), "{len}");
            }
            assert!(!stamps.resembles(&bytes[..1], 1));
            assert_eq!(
                stamps.resembles(&greeting, 40),
                is_fixed,
                "all of it changed"
            );
        }
        let (ours, theirs) = (stamps(vec![40], 3), stamps(vec![40], 4));
        assert!(!ours.resembles(&whole(&theirs, STAMP), 40));
    }

    #[test]
    fn another_run_is_a_stranger_and_neighbours_differ() {
        let (ours, theirs) = (stamps(vec![64], 3), stamps(vec![64], 4));
        assert_eq!(read(&ours, &whole(&theirs, STAMP), 64), None);
        let next = Stamp {
            seq: STAMP.seq + 1,
            ..STAMP
        };
        assert_ne!(ours.filler(STAMP), ours.filler(next));
    }
}
