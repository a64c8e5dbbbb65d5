//! Any bytes, through every mask and UTF-8 kernel of this CPU: the same as the plain loop of RFC 6455
//! §5.3 and the standard library's validator, and nothing written around them.
//!
//! Input: four bytes of key, a byte for where the rest begins, another for where it is cut, the rest.
//!
//! Never: skips a kernel that the CPU has.
#![no_main]

use fanfare_codec::{
    Isa, Kernel, Utf8Error, Utf8Validator, append_masked, apply_mask, unmask_validate,
    validate_utf8,
};
use libfuzzer_sys::fuzz_target;

/// Around the bytes: must stay as it is.
const GUARD: u8 = 0xEE;

fuzz_target!(|input: &[u8]| {
    let [a, b, c, d, alignment, cut, text @ ..] = input else {
        return;
    };
    let key = [*a, *b, *c, *d];
    let before = usize::from(alignment % 64);
    let cut = usize::from(*cut).min(text.len());
    let masked: Vec<u8> = text
        .iter()
        .zip(key.iter().cycle())
        .map(|(byte, k)| byte ^ k)
        .collect();
    let rotated: [u8; 4] = std::array::from_fn(|i| key[(i + text.len()) % 4]);
    let valid = std::str::from_utf8(text)
        .map(|_| ())
        .map_err(|error| Utf8Error {
            valid_up_to: error.valid_up_to() as u64,
        });

    // Every function that works in place, on guarded bytes.
    let in_place = |name: &str, work: &dyn Fn(&mut [u8])| {
        let mut buf = [vec![GUARD; before], masked.clone(), vec![GUARD; 64]].concat();
        work(&mut buf[before..before + text.len()]);
        assert!(
            buf[before..before + text.len()] == *text,
            "{name}: not unmasked"
        );
        let around = buf[..before].iter().chain(&buf[before + text.len()..]);
        assert!(
            around.into_iter().all(|&byte| byte == GUARD),
            "{name}: wrote outside"
        );
    };
    for kernel in Isa::ALL.iter().filter_map(|&isa| Kernel::force(isa).ok()) {
        in_place(&format!("{kernel:?}"), &|buf| {
            assert_eq!(kernel.apply_mask(buf, key), rotated);
        });
        in_place(&format!("{kernel:?}, text"), &|buf| {
            assert_eq!(kernel.unmask_validate(buf, key).map(|_| ()), valid);
        });
        let mut out = vec![std::mem::MaybeUninit::new(GUARD); before + text.len()];
        let (copied, next) = kernel.copy_mask(&mut out[before..], &masked, key);
        assert!(*copied == *text && next == rotated, "{kernel:?}: copied");
    }
    in_place("dispatched", &|buf| {
        assert_eq!(apply_mask(buf, key), rotated)
    });
    in_place("dispatched, text", &|buf| {
        assert_eq!(unmask_validate(buf, key).map(|_| ()), valid);
    });
    let mut out = vec![GUARD; before];
    assert_eq!(append_masked(&mut out, &masked, key), rotated);
    assert!(out[before..] == *text, "appended");

    assert_eq!(validate_utf8(text).map(|_| ()), valid);
    let mut validator = Utf8Validator::default();
    let (left, right) = text.split_at(cut);
    let pieces = validator
        .push(left)
        .and_then(|()| validator.push(right))
        .and_then(|()| validator.finish());
    assert_eq!(pieces, valid);
});
