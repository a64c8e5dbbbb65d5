//! A reply that came in pieces, or is not the one expected. In: its pieces. Out: which message it is.
//!
//! Never: remembers what was sent; every message can be made again from its number.

use fanfare_codec::MessageKind;

use super::{Corpus, PAD, SeqBits, Series, WORD_BYTES};

/// A reply of which the pieces have been compared so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    word: [u8; WORD_BYTES],
    /// Where the padding begins, if it has: 0 for not yet.
    pad_from: u32,
    /// Nothing seen so far rules out that this is a message of the series.
    is_plausible: bool,
    /// The tail is compared too, not the word alone.
    compares_tail: bool,
}

impl Comparison {
    /// Nothing has arrived.
    pub(crate) const fn new(compares_tail: bool) -> Self {
        Self {
            word: [0; WORD_BYTES],
            pad_from: 0,
            is_plausible: true,
            compares_tail,
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
        if kind != corpus.kind() || end > corpus.size_max() as u64 {
            self.is_plausible = false;
            return;
        }
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let of_word = WORD_BYTES.saturating_sub(offset).min(piece.len());
        let (front, rest) = piece.split_at(of_word);
        if of_word > 0 {
            self.word[offset..offset + of_word].copy_from_slice(front);
        }
        if self.compares_tail && !rest.is_empty() {
            self.push_tail(corpus, series, offset + of_word - WORD_BYTES, rest);
        }
    }

    /// Compares a piece of the tail: pattern, and padding from some byte on.
    fn push_tail(&mut self, corpus: &Corpus, series: Series, tail_at: usize, piece: &[u8]) {
        let pattern = &corpus.pattern_from(series)[tail_at..];
        if self.pad_from == 0 {
            if pattern.starts_with(piece) {
                return;
            }
            let same = piece
                .iter()
                .zip(pattern)
                .take_while(|(a, b)| a == b)
                .count();
            self.pad_from = u32::try_from(WORD_BYTES + tail_at + same).unwrap_or(u32::MAX);
            self.is_plausible &= piece[same..].iter().all(|&byte| byte == PAD);
        } else {
            self.is_plausible &= piece.iter().all(|&byte| byte == PAD);
        }
    }

    /// The message is whole and `len` bytes long: what it tells of its number; `None` if it is not
    /// of the series.
    pub(crate) fn finish(&self, corpus: &Corpus, series: Series, len: u64) -> Option<SeqBits> {
        let len = usize::try_from(len)
            .ok()
            .filter(|&len| len <= corpus.size_max())?;
        let unpadded = corpus.unpadded_len(series, len);
        let is_padded_right = !self.compares_tail
            || if unpadded == len {
                self.pad_from == 0
            } else {
                self.pad_from as usize == unpadded
            };
        (self.is_plausible && is_padded_right)
            .then(|| corpus.seq_bits(series, self.word, len.min(WORD_BYTES)))
            .flatten()
    }
}
