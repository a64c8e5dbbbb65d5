//! What the messages say. In: a sequence number. Out: the payload that carries it; and the other way
//! round, for what came back.
//!
//! A payload is a word of at most 8 bytes, the sequence number scrambled with a salt of its
//! connection, and a tail that is a front part of one pattern, which starts elsewhere for each
//! connection. So every message of a run is different from every other, one wrong byte never makes
//! another valid message of the window, and no connection keeps a payload of its own. Payloads under
//! 8 bytes hold only the low bits of the number: they repeat, and a changed one may pass for another.
//! Multi-byte text ends in up to three dots where its size would cut a character.
//!
//! Never: masks, frames, remembers what was sent.

mod comparison;
mod envelope;
mod sizes;
mod stamp;

use fanfare_codec::MessageKind;

pub(crate) use comparison::Comparison;
pub(crate) use envelope::{Content, Envelope, Letter, POSITION_BYTES_MAX, Unsealing};
pub(crate) use sizes::Sizes;
pub(crate) use stamp::{Reading, SERIES_MAX, STAMP_BYTES, Stamp, Stamps};

/// Bytes of the sequence word.
const WORD_BYTES: usize = 8;

/// In how many places a connection's tail can start.
const TAIL_STARTS: usize = 1024;

/// Odd, so that it has an inverse modulo every power of two; its bits look random, so that
/// neighbouring numbers make distant words.
const SCRAMBLE: u64 = 0x9E37_79B9_7F4A_7C15;
const UNSCRAMBLE: u64 = inverse(SCRAMBLE);
const _: () = assert!(SCRAMBLE.wrapping_mul(UNSCRAMBLE) == 1);

/// Newton's iteration: each step doubles the number of right bits, of which an odd number's own
/// value gives three.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut bits = 3;
    while bits < 64 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

/// Fills multi-byte text up to its size; no byte of a multi-byte character.
const PAD: u8 = b'.';

/// Keys of [`Alphabet::Words`].
const WORDS: [&str; 8] = [
    "price", "volume", "channel", "message", "user", "time", "offset", "symbol",
];

/// What the payloads are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// Any bytes, in binary messages.
    Binary,
    /// Printable ASCII, in text messages.
    Ascii,
    /// Few words and some numbers, as JSON has them, in text messages.
    Words,
    /// Characters of two, three and four bytes, in text messages.
    MultiByte,
}

impl Alphabet {
    /// Text or binary.
    const fn kind(self) -> MessageKind {
        match self {
            Self::Binary => MessageKind::Binary,
            Self::Ascii | Self::Words | Self::MultiByte => MessageKind::Text,
        }
    }

    /// At least `len_min` bytes.
    fn pattern(self, len_min: usize, random: &mut fastrand::Rng) -> Vec<u8> {
        let mut pattern = String::new();
        match self {
            Self::Binary => return (0..len_min).map(|_| random.u8(..)).collect(),
            Self::Ascii => {
                pattern.extend((0..len_min).map(|_| char::from(random.u8(b' '..=b'~'))));
            }
            Self::Words => {
                while pattern.len() < len_min {
                    let word = WORDS[random.usize(..WORDS.len())];
                    let number = random.u16(..1000);
                    pattern.push_str(&format!("{{\"{word}\":{number},\"of\":\"{word}\"}},"));
                }
            }
            Self::MultiByte => {
                while pattern.len() < len_min {
                    pattern.push(match random.u8(..3) {
                        0 => random.char('\u{400}'..='\u{4ff}'),     // Cyrillic
                        1 => random.char('\u{ac00}'..='\u{d7a3}'),   // Hangul
                        _ => random.char('\u{1f300}'..='\u{1f5ff}'), // pictographs
                    });
                }
            }
        }
        pattern.into_bytes()
    }
}

/// What all messages of a run share.
#[derive(Debug)]
pub(crate) struct Corpus {
    alphabet: Alphabet,
    /// Message `seq` of a series has the size at `seq` plus the series' start, modulo the length.
    sizes: Vec<u32>,
    size_max: usize,
    /// One message in so many is compared whole, the others by their word and their length.
    compared_one_in: u64,
    pattern: Vec<u8>,
}

/// What the messages of one connection share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    salt: u64,
    /// Where in the pattern the tails start, and in the sizes the first message.
    start: u16,
}

/// What a payload tells of its sequence number: some low bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeqBits {
    pub(crate) bits: u64,
    /// Those that it tells.
    pub(crate) mask: u64,
}

/// A payload in the parts that it is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'c> {
    word: [u8; WORD_BYTES],
    word_len: usize,
    tail: &'c [u8],
    pad: &'static [u8],
}

impl Payload<'_> {
    /// The parts, in order.
    #[inline]
    pub(crate) fn parts(&self) -> [&[u8]; 3] {
        [&self.word[..self.word_len], self.tail, self.pad]
    }
}

impl Corpus {
    /// Messages of these sizes, of which there is at least one.
    pub(crate) fn new(
        alphabet: Alphabet,
        sizes: Vec<u32>,
        compared_one_in: u64,
        random: &mut fastrand::Rng,
    ) -> Self {
        let size_max = sizes.iter().max().map_or(0, |&size| size as usize);
        Self {
            alphabet,
            sizes,
            size_max,
            compared_one_in,
            pattern: alphabet.pattern(size_max + TAIL_STARTS, random),
        }
    }

    /// A series for one more connection.
    pub(crate) fn series(&self, random: &mut fastrand::Rng) -> Series {
        const { assert!(TAIL_STARTS <= u16::MAX as usize) };
        let start = floor_char_boundary(&self.pattern, random.usize(..TAIL_STARTS));
        #[expect(clippy::cast_possible_truncation, reason = "less than TAIL_STARTS")]
        let start = start as u16;
        Series {
            salt: random.u64(..),
            start,
        }
    }

    /// Text or binary.
    pub(crate) const fn kind(&self) -> MessageKind {
        self.alphabet.kind()
    }

    /// Bytes of the longest message.
    pub(crate) const fn size_max(&self) -> usize {
        self.size_max
    }

    /// Bytes of message `seq`.
    #[inline]
    pub(crate) fn size(&self, series: Series, seq: u64) -> usize {
        let at = match self.sizes.len() as u64 {
            1 => 0,
            len => (seq + u64::from(series.start)) % len,
        };
        self.sizes[usize::try_from(at).unwrap_or(0)] as usize
    }

    /// Message `seq`.
    #[inline]
    pub(crate) fn payload(&self, series: Series, seq: u64) -> Payload<'_> {
        let size = self.size(series, seq);
        let word_len = size.min(WORD_BYTES);
        let tail_len = self.unpadded_len(series, size) - word_len;
        Payload {
            word: self.word(series, seq, word_len),
            word_len,
            tail: &self.pattern_from(series)[..tail_len],
            pad: &[PAD; 3][..size - word_len - tail_len],
        }
    }

    /// Whether `bytes` is message `seq`: byte for byte, unless this one is only looked at.
    #[inline]
    pub(crate) fn is_message(&self, series: Series, seq: u64, bytes: &[u8]) -> bool {
        if bytes.len() != self.size(series, seq) {
            return false;
        }
        let Some((front, rest)) = bytes.split_first_chunk::<WORD_BYTES>() else {
            return *bytes == self.word(series, seq, bytes.len())[..bytes.len()];
        };
        if *front != self.word(series, seq, WORD_BYTES) {
            return false;
        }
        if !self.compares_tail(seq) {
            return true;
        }
        let tail_len = self.unpadded_len(series, bytes.len()) - WORD_BYTES;
        let (tail, pad) = rest.split_at(tail_len);
        *tail == self.pattern_from(series)[..tail_len] && pad.iter().all(|&byte| byte == PAD)
    }

    /// Whether message `seq` is compared whole.
    #[inline]
    pub(crate) const fn compares_tail(&self, seq: u64) -> bool {
        self.compared_one_in == 1 || seq.is_multiple_of(self.compared_one_in)
    }

    /// The pattern of which the tails of a series are front parts.
    #[inline]
    fn pattern_from(&self, series: Series) -> &[u8] {
        &self.pattern[usize::from(series.start)..]
    }

    /// Bytes before the padding in a message of `size` bytes.
    #[inline]
    fn unpadded_len(&self, series: Series, size: usize) -> usize {
        if self.alphabet == Alphabet::MultiByte && size > WORD_BYTES {
            WORD_BYTES + floor_char_boundary(self.pattern_from(series), size - WORD_BYTES)
        } else {
            size
        }
    }

    /// The bits of a sequence number that a word of `len` bytes tells.
    #[inline]
    const fn seq_mask(&self, len: usize) -> u64 {
        let bits_per_byte = match self.kind() {
            MessageKind::Text => 6,
            MessageKind::Binary => 8,
        };
        match len * bits_per_byte {
            64 => u64::MAX,
            bits => (1 << bits) - 1,
        }
    }

    /// The front of message `seq`, of which the first `len` bytes are sent.
    #[inline]
    const fn word(&self, series: Series, seq: u64, len: usize) -> [u8; WORD_BYTES] {
        let number = seq.wrapping_mul(SCRAMBLE).wrapping_add(series.salt) & self.seq_mask(len);
        match self.kind() {
            MessageKind::Text => spread(number).to_le_bytes(),
            MessageKind::Binary => number.to_le_bytes(),
        }
    }

    /// What the first `len` bytes of `word` tell of a number; `None` if no message has this word.
    fn seq_bits(&self, series: Series, word: [u8; WORD_BYTES], len: usize) -> Option<SeqBits> {
        let number = match self.kind() {
            MessageKind::Text => gather(u64::from_le_bytes(word)),
            MessageKind::Binary => u64::from_le_bytes(word),
        };
        let mask = self.seq_mask(len);
        let bits = number.wrapping_sub(series.salt).wrapping_mul(UNSCRAMBLE) & mask;
        (self.word(series, bits, len)[..len] == word[..len]).then_some(SeqBits { bits, mask })
    }
}

/// The last place, not past `at`, where a character of valid UTF-8 begins; any place of other bytes
/// that hold no continuation byte there.
fn floor_char_boundary(bytes: &[u8], at: usize) -> usize {
    let is_continuation = |byte: u8| byte & 0xC0 == 0x80;
    (0..=at)
        .rev()
        .take(4)
        .find(|&at| !is_continuation(bytes[at]))
        .unwrap_or(at)
}

/// 48 bits as 8 printable bytes of 6 bits each, `0` to `o`, the lowest first.
const fn spread(bits: u64) -> u64 {
    let x = (bits & 0xFF_FFFF) | ((bits & 0xFFFF_FF00_0000) << 8);
    let x = (x & 0x0000_0FFF_0000_0FFF) | ((x & 0x00FF_F000_00FF_F000) << 4);
    let x = (x & 0x003F_003F_003F_003F) | ((x & 0x0FC0_0FC0_0FC0_0FC0) << 2);
    x + 0x3030_3030_3030_3030
}

/// The inverse of [`spread`]; of other bytes something that `spread` does not give back.
const fn gather(bytes: u64) -> u64 {
    let x = bytes.wrapping_sub(0x3030_3030_3030_3030) & 0x3F3F_3F3F_3F3F_3F3F;
    let x = (x & 0x003F_003F_003F_003F) | ((x & 0x3F00_3F00_3F00_3F00) >> 2);
    let x = (x & 0x0000_0FFF_0000_0FFF) | ((x & 0x0FFF_0000_0FFF_0000) >> 4);
    (x & 0xFF_FFFF) | ((x & 0x00FF_FFFF_0000_0000) >> 8)
}

#[cfg(test)]
mod tests;
