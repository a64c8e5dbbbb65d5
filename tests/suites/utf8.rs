//! The UTF-8 validator against the standard library's, at every cut (RFC 6455 §8.1, RFC 3629).
//!
//! Never: accepts an offset that is merely near: `valid_up_to` is exact, whoever finds the fault.

use fanfare_codec::{Isa, Kernel, Utf8Error, Utf8Validator, unmask_validate, validate_utf8};
use fanfare_tests::texts;
use proptest::prelude::*;

/// What a validator fed with `pieces` must say, and after which of all bytes it must say so.
fn oracle(bytes: &[u8]) -> Result<(), u64> {
    std::str::from_utf8(bytes)
        .map(|_| ())
        .map_err(|error| error.valid_up_to() as u64)
}

/// Feeds the pieces; on an error gives the offset and the index of the piece that brought it.
fn feed<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<(), (u64, Option<usize>)> {
    let mut validator = Utf8Validator::default();
    for (n, piece) in pieces.into_iter().enumerate() {
        validator
            .push(piece)
            .map_err(|Utf8Error { valid_up_to }| (valid_up_to, Some(n)))?;
    }
    validator
        .finish()
        .map_err(|Utf8Error { valid_up_to }| (valid_up_to, None))
}

/// Checks `bytes` whole, byte by byte, and cut once and twice, everywhere if it is short.
fn check(bytes: &[u8]) {
    let expected = oracle(bytes);
    let fails_at = texts::fails_at(bytes);
    let show = || bytes.escape_ascii().to_string();

    let whole = validate_utf8(bytes)
        .map(|_| ())
        .map_err(|error| error.valid_up_to);
    assert_eq!(whole, expected, "validate: {}", show());

    let got = feed(bytes.chunks(1));
    // Byte by byte, the piece that fails is the byte that makes it fail.
    let wanted = expected.map_err(|offset| (offset, fails_at.map(|at| at - 1)));
    assert_eq!(got, wanted, "byte by byte: {}", show());

    for cut in 0..=bytes.len() {
        let (left, right) = bytes.split_at(cut);
        let wanted = expected.map_err(|offset| (offset, fails_at.map(|at| usize::from(at > cut))));
        assert_eq!(feed([left, right]), wanted, "cut at {cut}: {}", show());
        if bytes.len() <= 40 {
            for second in 0..=right.len() {
                let (middle, last) = right.split_at(second);
                let piece = |at| usize::from(at > cut) + usize::from(at > cut + second);
                let wanted = expected.map_err(|offset| (offset, fails_at.map(piece)));
                let got = feed([left, middle, last]);
                assert_eq!(got, wanted, "cut at {cut} and {}: {}", cut + second, show());
            }
        }
    }
}

#[test]
fn s8_1_the_borders_of_utf8_at_every_cut() {
    for text in texts::VALID {
        check(text.as_bytes());
    }
    for bytes in texts::INVALID.iter().chain(&texts::UNFINISHED) {
        check(bytes);
    }
}

#[test]
fn s8_1_every_two_and_three_byte_sequence_and_its_prefixes() {
    // All 65,536 pairs, and behind each first byte that leads three or four the borders of the rest.
    let borders = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF];
    for first in 0..=u8::MAX {
        for second in 0..=u8::MAX {
            check_short(&[first, second]);
            if first >= 0xE0 {
                for third in borders {
                    check_short(&[first, second, third]);
                    if first >= 0xF0 {
                        for fourth in borders {
                            check_short(&[first, second, third, fourth]);
                        }
                    }
                }
            }
        }
    }
}

/// Whole and byte by byte: 400,000 of them.
fn check_short(bytes: &[u8]) {
    let expected = oracle(bytes);
    let fails_at = texts::fails_at(bytes);
    let wanted = expected.map_err(|offset| (offset, fails_at.map(|at| at - 1)));
    assert_eq!(
        feed(bytes.chunks(1)),
        wanted,
        "byte by byte: {}",
        bytes.escape_ascii()
    );
    let whole = validate_utf8(bytes)
        .map(|_| ())
        .map_err(|error| error.valid_up_to);
    assert_eq!(whole, expected, "validate: {}", bytes.escape_ascii());
}

#[test]
fn s8_1_a_fault_at_every_place_of_a_block() {
    for filler in ["a", "é", "한", "\u{1F600}"] {
        for bad in [
            &b"\xFF"[..],
            b"\xED\xA0\x80",
            b"\xF4\x90",
            b"\xC0",
            b"\xE2\x82",
            b"\x80",
        ] {
            for before in 0..=140 / filler.len() {
                let good = filler.repeat(before);
                check(&[good.as_bytes(), bad].concat());
                if before % 8 == 0 {
                    check(&[good.as_bytes(), bad, b"more text"].concat());
                }
            }
        }
    }
}

#[test]
fn s8_1_offsets_past_the_first_piece_count_from_the_start_of_the_text() {
    let mut validator = Utf8Validator::default();
    for _ in 0..1_000 {
        validator
            .push("한국어 ".repeat(20).as_bytes())
            .expect("valid");
    }
    assert_eq!(
        validator.push(b"ab\xFF"),
        Err(Utf8Error {
            valid_up_to: 200_002
        })
    );
}

/// Text that is mostly valid, with a few bytes changed.
fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::collection::vec(any::<char>(), 0..60), edits).prop_map(|(chars, edits)| {
        let mut bytes = chars.into_iter().collect::<String>().into_bytes();
        for (at, byte) in edits {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s8_1_nearly_valid_text_at_every_cut(bytes in nearly_text()) {
        check(&bytes);
    }

    #[test]
    fn s8_1_random_bytes_at_every_cut(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
        check(&bytes);
    }

    #[test]
    fn s8_1_random_bytes_behind_long_text(
        text in "[a-zé-ҿ가-힣😀]{40,200}",
        tail in prop::collection::vec(any::<u8>(), 0..8),
        more in "[a-z]{0,80}",
    ) {
        check(&[text.as_bytes(), &tail, more.as_bytes()].concat());
    }
}

/// Texts with one character of each width at each place, and bytes that are none, masked.
#[test]
fn unmask_validate_is_unmask_then_validate_on_every_kernel() {
    let characters: [&[u8]; 8] = [
        b"a",
        "é".as_bytes(),
        "한".as_bytes(),
        "🎉".as_bytes(),
        b"\xFF",
        b"\xED\xA0\x80",
        b"\xC0\xAF",
        b"\xF0\x9F\x8E",
    ];
    let kernels: Vec<Kernel> = Isa::ALL
        .iter()
        .filter_map(|&isa| Kernel::force(isa).ok())
        .collect();
    for len in (0..200).chain([255, 256, 257, 320, 1000]) {
        for (n, character) in characters.iter().enumerate() {
            for at in (0..=len).step_by(1 + len / 40) {
                let key = [0x80, (n % 256).to_le_bytes()[0], 0xFF, at.to_le_bytes()[0]];
                let mut text = vec![b'x'; len];
                text.splice(at..at, character.iter().copied());
                let masked: Vec<u8> = text
                    .iter()
                    .zip(key.iter().cycle())
                    .map(|(byte, k)| byte ^ k)
                    .collect();
                let expected = std::str::from_utf8(&text).map_err(|e| e.valid_up_to() as u64);
                let check = |name: &str, unmask: &dyn Fn(&mut [u8]) -> Result<String, u64>| {
                    let mut buf = masked.clone();
                    let got = unmask(&mut buf);
                    assert_eq!(
                        got.as_deref(),
                        expected.as_ref().map(|t| *t),
                        "{name}, {len} bytes, {character:?} at {at}"
                    );
                    assert_eq!(buf, text, "{name}, {len} bytes: not all unmasked");
                };
                check("dispatched", &|buf| {
                    unmask_validate(buf, key)
                        .map(str::to_owned)
                        .map_err(|e| e.valid_up_to)
                });
                for kernel in &kernels {
                    check(&format!("{kernel:?}"), &|buf| {
                        kernel
                            .unmask_validate(buf, key)
                            .map(str::to_owned)
                            .map_err(|e| e.valid_up_to)
                    });
                }
            }
        }
    }
}

/// Runs of ASCII and of other characters, as long as kernels' blocks and longer, with a few bytes
/// changed: a lead before ASCII, a character across each border, faults far behind.
fn long_text() -> impl Strategy<Value = Vec<u8>> {
    let run = prop_oneof![
        "[ -~]{0,300}",
        "[a-zé-ҿ가-힣😀-😿]{0,150}",
        "[가-힣]{0,100}",
        "[😀-😿]{0,80}",
        "[ -~]{60,70}[é가😀]",
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (prop::collection::vec(run, 0..6), edits).prop_map(|(runs, edits)| {
        let mut bytes = runs.concat().into_bytes();
        for (at, byte) in edits {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn long_texts_on_every_kernel(
        text in long_text(),
        key in any::<[u8; 4]>(),
        cut in any::<prop::sample::Index>(),
        alignment in 0..64_usize,
    ) {
        let expected = oracle(&text);
        prop_assert_eq!(validate_utf8(&text).map(|_| ()).map_err(|e| e.valid_up_to), expected);
        let masked: Vec<u8> = text.iter().zip(key.iter().cycle()).map(|(byte, k)| byte ^ k).collect();
        for kernel in Isa::ALL.iter().filter_map(|&isa| Kernel::force(isa).ok()) {
            let mut buf = [vec![0xEE; alignment], masked.clone(), vec![0xEE; 64]].concat();
            let place = &mut buf[alignment..alignment + text.len()];
            let got = kernel.unmask_validate(place, key).map(|_| ()).map_err(|e| e.valid_up_to);
            prop_assert_eq!(got, expected, "{:?}: {}", kernel, text.escape_ascii());
            prop_assert!(buf[alignment..alignment + text.len()] == text, "{:?}: not all unmasked", kernel);
            prop_assert!(buf[alignment + text.len()..].iter().all(|&b| b == 0xEE), "{:?}: wrote behind", kernel);
        }
        let (left, right) = text.split_at(cut.index(text.len() + 1));
        prop_assert_eq!(feed([left, right]).map_err(|(offset, _)| offset), expected);
    }
}
