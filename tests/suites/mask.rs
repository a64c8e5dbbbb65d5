//! Every mask kernel that this CPU runs against the naive loop of RFC 6455 §5.3, at every length,
//! alignment and phase of the key.
//!
//! Never: samples: a wrong byte at one length and alignment is found.
#![allow(clippy::print_stdout, reason = "the suite says which kernels ran")]

use fanfare_codec::{Isa, Kernel, append_masked, apply_mask, copy_mask};
use std::mem::MaybeUninit;

const LEN_MAX: usize = 300;
const ALIGNMENTS: usize = 64;
/// All four bytes differ, so that a wrong phase shows.
const KEY: [u8; 4] = [0x01, 0x42, 0x84, 0xFF];
/// Around the input: must stay as it is.
const GUARD: u8 = 0xEE;

/// §5.3: octet i of the transformed data is octet i XOR octet i MOD 4 of the key.
fn naive(bytes: &[u8], key: [u8; 4]) -> Vec<u8> {
    bytes
        .iter()
        .enumerate()
        .map(|(i, byte)| byte ^ key[i % 4])
        .collect()
}

fn rotated(key: [u8; 4], by: usize) -> [u8; 4] {
    std::array::from_fn(|i| key[(i + by) % 4])
}

/// A buffer whose first element lies on a 64-byte border.
#[repr(align(64))]
struct Aligned([u8; ALIGNMENTS + LEN_MAX + ALIGNMENTS]);

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| u8::try_from((i * 31 + i / 256) % 256).expect("below 256"))
        .collect()
}

/// Calls `check` with a guarded place for every length, alignment and phase.
fn everywhere(mut check: impl FnMut(&mut [u8], &[u8], [u8; 4], &str)) {
    for len in 0..=LEN_MAX {
        let input = pattern(len);
        for alignment in 0..ALIGNMENTS {
            for phase in 0..4 {
                let mut buffer = Aligned([GUARD; ALIGNMENTS + LEN_MAX + ALIGNMENTS]);
                let place = &mut buffer.0[alignment..alignment + len];
                let at = format!("length {len}, alignment {alignment}, key phase {phase}");
                check(place, &input, rotated(KEY, phase), &at);
                let (before, rest) = buffer.0.split_at(alignment);
                let untouched = before.iter().chain(&rest[len..]).all(|&byte| byte == GUARD);
                assert!(untouched, "wrote outside of its bytes: {at}");
            }
        }
    }
}

fn in_place(name: &str, mask: impl Fn(&mut [u8], [u8; 4]) -> [u8; 4]) {
    everywhere(|place, input, key, at| {
        place.copy_from_slice(input);
        let next = mask(place, key);
        assert!(place == naive(input, key), "{name}: {at}");
        assert_eq!(
            next,
            rotated(key, input.len()),
            "{name}, the key handed on: {at}"
        );
    });
}

#[test]
fn s5_3_every_kernel_equals_the_naive_loop() {
    let mut ran = Vec::new();
    for &isa in Isa::ALL {
        match Kernel::force(isa) {
            Ok(kernel) => {
                assert_eq!(kernel.isa(), isa);
                in_place(&format!("{isa:?}"), |bytes, key| {
                    kernel.apply_mask(bytes, key)
                });
                ran.push(isa);
            }
            Err(error) => {
                assert_eq!(error.0, isa);
                println!("not on this CPU: {isa:?}");
            }
        }
    }
    println!("ran: {ran:?}, detected: {:?}", Kernel::detect().isa());
    assert!(
        ran.contains(&Isa::Portable),
        "the portable kernel runs everywhere"
    );
    assert!(
        ran.contains(&Kernel::detect().isa()),
        "the detected kernel was tested"
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn s5_3_a_kernel_is_offered_exactly_where_the_cpu_has_it() {
    let has_avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi");
    assert_eq!(
        Kernel::force(Isa::Avx2).is_ok(),
        is_x86_feature_detected!("avx2")
    );
    assert_eq!(Kernel::force(Isa::Avx512).is_ok(), has_avx512);
}

#[test]
fn s5_3_apply_mask_equals_the_naive_loop() {
    in_place("apply_mask", apply_mask);
}

#[test]
fn s5_3_copy_mask_equals_the_naive_loop() {
    everywhere(|place, input, key, at| {
        // One more than needed: it writes the front only.
        let mut fresh = vec![MaybeUninit::new(GUARD); input.len() + 1];
        let (written, next) = copy_mask(&mut fresh, input, key);
        assert!(*written == naive(input, key), "from aligned: {at}");
        assert_eq!(next, rotated(key, input.len()), "the key handed on: {at}");
        place.copy_from_slice(input);
        let mut fresh = vec![MaybeUninit::new(GUARD); input.len()];
        let (written, _) = copy_mask(&mut fresh, place, key);
        assert!(*written == naive(input, key), "from this alignment: {at}");
    });
}

#[test]
fn s5_3_every_kernel_copies_as_the_naive_loop_does() {
    for kernel in Isa::ALL.iter().filter_map(|&isa| Kernel::force(isa).ok()) {
        everywhere(|place, input, key, at| {
            place.copy_from_slice(input);
            let mut fresh = vec![MaybeUninit::new(GUARD); input.len() % 64 + input.len()];
            let (written, next) = kernel.copy_mask(&mut fresh[input.len() % 64..], place, key);
            assert!(*written == naive(input, key), "{kernel:?}: {at}");
            assert_eq!(next, rotated(key, input.len()), "{kernel:?}: {at}");
        });
        for len in [511, 512, 513, 1_000, 4_096, 70_000] {
            for alignment in [0, 1, 31, 63] {
                let input = pattern(len);
                let mut out = vec![MaybeUninit::new(GUARD); alignment + len + 64];
                let (written, _) = kernel.copy_mask(&mut out[alignment..], &input, KEY);
                assert!(*written == naive(&input, KEY), "{kernel:?}: {len}");
            }
        }
    }
}

#[test]
fn s5_3_append_masked_equals_the_naive_loop() {
    everywhere(|place, input, key, at| {
        place.copy_from_slice(input);
        // What is there already shifts where the appended bytes lie.
        let mut out = vec![GUARD; at.len() % 64];
        let before = out.clone();
        let next = append_masked(&mut out, place, key);
        assert!(out == [before, naive(input, key)].concat(), "{at}");
        assert_eq!(next, rotated(key, input.len()), "the key handed on: {at}");
    });
}

#[test]
fn s5_3_long_payloads_equal_the_naive_loop() {
    // Past the length from which a kernel may align its stores, around each power of two.
    let around = |n: usize| [n - 65, n - 1, n, n + 1, n + 63, n + 64, n + 65];
    for len in [1_024, 4_096, 8_192, 65_536].into_iter().flat_map(around) {
        let input = pattern(len);
        for alignment in [0, 1, 3, 4, 31, 32, 33, 63] {
            for &isa in Isa::ALL {
                let Ok(kernel) = Kernel::force(isa) else {
                    continue;
                };
                let mut buffer = [vec![GUARD; alignment], input.clone(), vec![GUARD; 64]].concat();
                let next = kernel.apply_mask(&mut buffer[alignment..alignment + len], KEY);
                let at = format!("{isa:?}, length {len}, alignment {alignment}");
                assert!(
                    buffer[alignment..alignment + len] == naive(&input, KEY),
                    "{at}"
                );
                assert!(
                    buffer[alignment + len..].iter().all(|&byte| byte == GUARD),
                    "{at}"
                );
                assert_eq!(next, rotated(KEY, len), "{at}");
            }
        }
    }
}

#[test]
fn s5_3_two_pieces_equal_the_whole_at_every_cut() {
    let input = pattern(LEN_MAX);
    let whole = naive(&input, KEY);
    for cut in 0..=LEN_MAX {
        let mut pieces = input.clone();
        let next = apply_mask(&mut pieces[..cut], KEY);
        let end = apply_mask(&mut pieces[cut..], next);
        assert!(pieces == whole, "cut at {cut}");
        assert_eq!(end, rotated(KEY, LEN_MAX), "cut at {cut}");
        let mut appended = Vec::new();
        let next = append_masked(&mut appended, &input[..cut], KEY);
        append_masked(&mut appended, &input[cut..], next);
        assert!(appended == whole, "appended, cut at {cut}");
    }
}
