//! Payloads and what is recognised in them.
//!
//! Never: opens a socket.

use super::*;

const ALPHABETS: [Alphabet; 4] = [
    Alphabet::Binary,
    Alphabet::Ascii,
    Alphabet::Words,
    Alphabet::MultiByte,
];

fn corpus(alphabet: Alphabet, size: usize, random: &mut fastrand::Rng) -> Corpus {
    let size = u32::try_from(size).expect("sizes are small");
    Corpus::new(alphabet, vec![size], 1, random)
}

fn message(corpus: &Corpus, series: Series, seq: u64) -> Vec<u8> {
    corpus.payload(series, seq).parts().concat()
}

fn compare(corpus: &Corpus, series: Series, message: &[u8], piece_len: usize) -> Option<u64> {
    let mut comparison = Comparison::new(true);
    for (at, piece) in message.chunks(piece_len).enumerate() {
        let offset = (at * piece_len) as u64;
        comparison.push(corpus, series, corpus.kind(), offset, piece);
    }
    let seq_bits = comparison.finish(corpus, series, message.len() as u64);
    // The window asks for the length once it knows the number.
    seq_bits
        .map(|seq_bits| seq_bits.bits)
        .filter(|&seq| corpus.size(series, seq) == message.len())
}

#[test]
fn a_message_gives_its_number_back_at_every_size_and_cut() {
    let mut random = fastrand::Rng::with_seed(1);
    for alphabet in ALPHABETS {
        for size in 0..40 {
            let corpus = corpus(alphabet, size, &mut random);
            let series = corpus.series(&mut random);
            for seq in [0, 1, 2, 63, 64, 1 << 20, (1 << 47) + 5] {
                let bytes = message(&corpus, series, seq);
                assert_eq!(bytes.len(), size);
                assert!(corpus.is_message(series, seq, &bytes));
                for piece_len in 1..=size.max(1) {
                    let back = compare(&corpus, series, &bytes, piece_len);
                    assert_eq!(
                        back,
                        Some(seq & corpus.seq_mask(size.min(8))),
                        "{alphabet:?} {size} {seq}"
                    );
                }
                match alphabet {
                    Alphabet::Binary => {}
                    Alphabet::Ascii | Alphabet::Words => {
                        assert!(bytes.iter().all(|b| (b' '..=b'~').contains(b)));
                    }
                    Alphabet::MultiByte => assert!(std::str::from_utf8(&bytes).is_ok()),
                }
            }
        }
    }
}

#[test]
fn a_changed_byte_is_no_message_of_the_window() {
    let mut random = fastrand::Rng::with_seed(2);
    for alphabet in ALPHABETS {
        for size in [8, 20, 64] {
            let corpus = corpus(alphabet, size, &mut random);
            let series = corpus.series(&mut random);
            let seq = 1_000;
            for at in 0..size {
                for change in 1..=255 {
                    let mut bytes = message(&corpus, series, seq);
                    bytes[at] ^= change;
                    assert!(!corpus.is_message(series, seq, &bytes));
                    let back = compare(&corpus, series, &bytes, size);
                    assert!(
                        back.is_none_or(|other| other > 100_000),
                        "{alphabet:?} {at}"
                    );
                }
            }
        }
    }
}

#[test]
fn longer_shorter_and_other_kind_are_not_of_the_series() {
    let mut random = fastrand::Rng::with_seed(3);
    for size in [0, 5, 8, 20] {
        let corpus = corpus(Alphabet::Binary, size, &mut random);
        let series = corpus.series(&mut random);
        let mut bytes = message(&corpus, series, 7);
        let mut comparison = Comparison::new(true);
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
    let corpus = corpus(Alphabet::Binary, 20, &mut random);
    let (one, other) = (corpus.series(&mut random), corpus.series(&mut random));
    assert_ne!(message(&corpus, one, 0), message(&corpus, other, 0));
    assert!(!corpus.is_message(one, 0, &message(&corpus, other, 0)));
}

#[test]
fn sizes_go_round_and_every_message_has_its_own() {
    let mut random = fastrand::Rng::with_seed(5);
    let corpus = Corpus::new(Alphabet::MultiByte, vec![3, 30, 12], 1, &mut random);
    let series = corpus.series(&mut random);
    let sizes: Vec<usize> = (0..6).map(|seq| corpus.size(series, seq)).collect();
    assert_eq!(sizes[..3], sizes[3..]);
    for seq in 0..6 {
        let bytes = message(&corpus, series, seq);
        assert_eq!(bytes.len(), corpus.size(series, seq));
        assert!(corpus.is_message(series, seq, &bytes));
        assert!(!corpus.is_message(series, seq + 1, &bytes));
    }
}

#[test]
fn a_message_that_is_only_looked_at_may_have_any_tail_of_its_length() {
    let mut random = fastrand::Rng::with_seed(6);
    let corpus = Corpus::new(Alphabet::Binary, vec![20], 2, &mut random);
    let series = corpus.series(&mut random);
    for (seq, is_compared) in [(0, true), (1, false)] {
        let mut bytes = message(&corpus, series, seq);
        bytes[19] ^= 1;
        assert_eq!(corpus.is_message(series, seq, &bytes), !is_compared);
        let mut comparison = Comparison::new(corpus.compares_tail(seq));
        comparison.push(&corpus, series, corpus.kind(), 0, &bytes);
        let seq_bits = comparison.finish(&corpus, series, 20);
        assert_eq!(seq_bits.is_none(), is_compared);
        bytes[0] ^= 1;
        assert!(!corpus.is_message(series, seq, &bytes));
    }
}
