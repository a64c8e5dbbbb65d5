//! What the messages say. In: a sequence number. Out: the payload that carries it; and the other way
//! round, for what came back.
//!
//! A payload is a word of at most 8 bytes, the sequence number scrambled with a salt of its
//! connection, and a tail that is the same in every message of a connection and starts elsewhere in
//! one shared pattern for each. So every message of a run is different from every other, one wrong
//! byte never makes another valid message of the window, and no connection keeps a payload of its
//! own. Payloads under 8 bytes hold only the low bits of the number: they repeat, and a changed one
//! may pass for another.
//!
//! Never: masks, frames, remembers what was sent.

use fanfare_codec::MessageKind;

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

/// What all messages of a run share.
#[derive(Debug)]
pub(crate) struct Corpus {
    kind: MessageKind,
    word_len: usize,
    tail_len: usize,
    /// The bits of a sequence number that the word holds.
    seq_mask: u64,
    pattern: Vec<u8>,
}

/// What the messages of one connection share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    salt: u64,
    tail_start: u16,
}

impl Corpus {
    /// Messages of `size` bytes; text is printable ASCII.
    pub(crate) fn new(kind: MessageKind, size: usize, random: &mut fastrand::Rng) -> Self {
        let word_len = size.min(WORD_BYTES);
        let tail_len = size - word_len;
        let seq_bits = word_len
            * match kind {
                MessageKind::Text => 6,
                MessageKind::Binary => 8,
            };
        let random_byte = |_| match kind {
            MessageKind::Text => random.u8(b' '..=b'~'),
            MessageKind::Binary => random.u8(..),
        };
        Self {
            kind,
            word_len,
            tail_len,
            seq_mask: if seq_bits == 64 {
                u64::MAX
            } else {
                (1 << seq_bits) - 1
            },
            pattern: (0..tail_len + TAIL_STARTS).map(random_byte).collect(),
        }
    }

    /// A series for one more connection.
    pub(crate) fn series(random: &mut fastrand::Rng) -> Series {
        const { assert!(TAIL_STARTS <= u16::MAX as usize) };
        #[expect(clippy::cast_possible_truncation, reason = "at most TAIL_STARTS")]
        let tail_start = random.usize(..TAIL_STARTS) as u16;
        Series {
            salt: random.u64(..),
            tail_start,
        }
    }

    /// Text or binary.
    pub(crate) const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Bytes of each message.
    pub(crate) const fn size(&self) -> usize {
        self.word_len + self.tail_len
    }

    /// The bits of a sequence number that [`seq_bits`](Self::seq_bits) can give back.
    pub(crate) const fn seq_mask(&self) -> u64 {
        self.seq_mask
    }

    /// The bytes at the front of the word that are sent.
    pub(crate) const fn word_len(&self) -> usize {
        self.word_len
    }

    /// The front of message `seq`; its first [`word_len`](Self::word_len) bytes are sent.
    #[inline]
    pub(crate) const fn word(&self, series: Series, seq: u64) -> [u8; WORD_BYTES] {
        let number = seq.wrapping_mul(SCRAMBLE).wrapping_add(series.salt) & self.seq_mask;
        match self.kind {
            MessageKind::Text => spread(number).to_le_bytes(),
            MessageKind::Binary => number.to_le_bytes(),
        }
    }

    /// What follows the word in every message of the series.
    #[inline]
    pub(crate) fn tail(&self, series: Series) -> &[u8] {
        &self.pattern[usize::from(series.tail_start)..][..self.tail_len]
    }

    /// Whether `payload` is message `seq`, byte for byte.
    #[inline]
    pub(crate) fn is_message(&self, series: Series, seq: u64, payload: &[u8]) -> bool {
        let word = self.word(series, seq);
        if let Some((front, tail)) = payload.split_first_chunk::<WORD_BYTES>() {
            *front == word && tail == self.tail(series)
        } else {
            *payload == word[..self.word_len] && self.tail_len == 0
        }
    }

    /// The low bits of the number that `word` carries; `None` if no message has this word.
    pub(crate) fn seq_bits(&self, series: Series, word: [u8; WORD_BYTES]) -> Option<u64> {
        let number = match self.kind {
            MessageKind::Text => gather(u64::from_le_bytes(word)),
            MessageKind::Binary => u64::from_le_bytes(word),
        };
        let seq = number.wrapping_sub(series.salt).wrapping_mul(UNSCRAMBLE) & self.seq_mask;
        let len = self.word_len;
        (self.word(series, seq)[..len] == word[..len]).then_some(seq)
    }
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

/// A reply of which the pieces have been compared so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    word: [u8; WORD_BYTES],
    /// Nothing seen so far rules out that this is a message of the series.
    plausible: bool,
}

impl Comparison {
    /// Nothing has arrived.
    pub(crate) const fn new() -> Self {
        Self {
            word: [0; WORD_BYTES],
            plausible: true,
        }
    }

    /// Compares the next piece, which starts at `offset` of the message.
    pub(crate) fn push(
        &mut self,
        corpus: &Corpus,
        series: Series,
        kind: MessageKind,
        offset: u64,
        piece: &[u8],
    ) {
        let end = offset.saturating_add(piece.len() as u64);
        if kind != corpus.kind || end > corpus.size() as u64 {
            self.plausible = false;
            return;
        }
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let of_word = corpus.word_len.saturating_sub(offset).min(piece.len());
        let (front, rest) = piece.split_at(of_word);
        if of_word > 0 {
            self.word[offset..offset + of_word].copy_from_slice(front);
        }
        let tail_at = (offset + of_word).saturating_sub(corpus.word_len);
        self.plausible &= corpus.tail(series)[tail_at..].starts_with(rest);
    }

    /// The message is whole and `len` bytes long: the low bits of its number; `None` if it is not
    /// of the series.
    pub(crate) fn finish(&self, corpus: &Corpus, series: Series, len: u64) -> Option<u64> {
        if !self.plausible || len != corpus.size() as u64 {
            return None;
        }
        corpus.seq_bits(series, self.word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [MessageKind; 2] = [MessageKind::Text, MessageKind::Binary];

    fn message(corpus: &Corpus, series: Series, seq: u64) -> Vec<u8> {
        let mut bytes = corpus.word(series, seq)[..corpus.word_len].to_vec();
        bytes.extend_from_slice(corpus.tail(series));
        bytes
    }

    fn compare(corpus: &Corpus, series: Series, message: &[u8], piece_len: usize) -> Option<u64> {
        let mut comparison = Comparison::new();
        for (at, piece) in message.chunks(piece_len).enumerate() {
            let offset = (at * piece_len) as u64;
            comparison.push(corpus, series, corpus.kind, offset, piece);
        }
        comparison.finish(corpus, series, message.len() as u64)
    }

    #[test]
    fn a_message_gives_its_number_back_at_every_size_and_cut() {
        let mut random = fastrand::Rng::with_seed(1);
        for kind in KINDS {
            for size in 0..40 {
                let corpus = Corpus::new(kind, size, &mut random);
                let series = Corpus::series(&mut random);
                for seq in [0, 1, 2, 63, 64, 1 << 20, (1 << 47) + 5] {
                    let bytes = message(&corpus, series, seq);
                    assert_eq!(bytes.len(), size);
                    assert!(corpus.is_message(series, seq, &bytes));
                    for piece_len in 1..=size.max(1) {
                        let back = compare(&corpus, series, &bytes, piece_len);
                        assert_eq!(back, Some(seq & corpus.seq_mask), "{kind:?} {size} {seq}");
                    }
                    if kind == MessageKind::Text {
                        assert!(bytes.iter().all(|b| (b' '..=b'~').contains(b)));
                    }
                }
            }
        }
    }

    #[test]
    fn a_changed_byte_is_no_message_of_the_window() {
        let mut random = fastrand::Rng::with_seed(2);
        for kind in KINDS {
            for size in [8, 20, 64] {
                let corpus = Corpus::new(kind, size, &mut random);
                let series = Corpus::series(&mut random);
                let seq = 1_000;
                for at in 0..size {
                    for change in 1..=255 {
                        let mut bytes = message(&corpus, series, seq);
                        bytes[at] ^= change;
                        assert!(!corpus.is_message(series, seq, &bytes));
                        let back = compare(&corpus, series, &bytes, size);
                        assert!(back.is_none_or(|other| other > 100_000), "{kind:?} {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn longer_shorter_and_other_kind_are_not_of_the_series() {
        let mut random = fastrand::Rng::with_seed(3);
        for size in [0, 5, 8, 20] {
            let corpus = Corpus::new(MessageKind::Binary, size, &mut random);
            let series = Corpus::series(&mut random);
            let mut bytes = message(&corpus, series, 7);
            let mut comparison = Comparison::new();
            comparison.push(&corpus, series, MessageKind::Text, 0, &bytes);
            assert_eq!(comparison.finish(&corpus, series, size as u64), None);
            bytes.push(0);
            assert_eq!(compare(&corpus, series, &bytes, 64), None);
            if size > 0 {
                bytes.truncate(size - 1);
                assert_eq!(compare(&corpus, series, &bytes, 64), None);
            }
        }
    }

    #[test]
    fn messages_of_two_connections_differ() {
        let mut random = fastrand::Rng::with_seed(4);
        let corpus = Corpus::new(MessageKind::Binary, 20, &mut random);
        let (one, other) = (Corpus::series(&mut random), Corpus::series(&mut random));
        assert_ne!(message(&corpus, one, 0), message(&corpus, other, 0));
        assert!(!corpus.is_message(one, 0, &message(&corpus, other, 0)));
    }
}
