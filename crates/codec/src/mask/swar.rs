//! The portable mask kernel. In: bytes and a key. Out: the bytes XORed, in place or copied.
//!
//! Safe code that LLVM vectorises for the target's baseline. Tails are one overlapping word, not a
//! byte loop: both words are loaded before either is stored, and where they overlap they hold the
//! same XORed bytes.
//!
//! Never: rotates the key for the caller; `key[0]` belongs to the first byte.

use core::mem::MaybeUninit;

use super::rotate;

/// Any length; for the long ones.
pub(super) fn apply(buf: &mut [u8], key: [u8; 4]) {
    const { assert!(BLOCK_BYTES.is_multiple_of(4)) }; // the tail starts at key[0] again
    let (blocks, tail) = buf.as_chunks_mut::<BLOCK_BYTES>();
    for block in blocks {
        apply_block(block, key);
    }
    apply_short(tail, key);
}

/// Four SSE2 or NEON registers.
pub(crate) const BLOCK_BYTES: usize = 64;

/// Bytes folded together by OR: what a validator asks first costs nothing where nobody asks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Folded(u64);

impl Folded {
    /// Whether all bytes that went in are ASCII.
    #[inline]
    pub(crate) const fn is_ascii(self) -> bool {
        self.0 & 0x8080_8080_8080_8080 == 0
    }
}

/// Fewer than 64 bytes; gives them, XORed and folded.
#[inline]
pub(crate) fn apply_short(buf: &mut [u8], key: [u8; 4]) -> Folded {
    debug_assert!(buf.len() < BLOCK_BYTES, "the long path takes blocks");
    match buf.len() {
        32.. => apply_ends::<32>(buf, key),
        16.. => apply_ends::<16>(buf, key),
        8.. => apply_ends::<8>(buf, key),
        4.. => apply_ends::<4>(buf, key),
        _ => {
            let mut folded = 0;
            for (byte, k) in buf.iter_mut().zip(key) {
                *byte ^= k;
                folded |= *byte;
            }
            Folded(folded.into())
        }
    }
}

/// XORs one block of any size that is a multiple of 4; gives it folded.
#[inline]
pub(crate) fn apply_block<const N: usize>(block: &mut [u8; N], key: [u8; 4]) -> Folded {
    let (xored, folded) = xor(*block, key);
    *block = xored;
    folded
}

/// `N..=2 * N` bytes: the first `N` and the last `N`, which may overlap.
#[inline]
fn apply_ends<const N: usize>(buf: &mut [u8], key: [u8; 4]) -> Folded {
    let len = buf.len();
    let (Some(first), Some(last)) = (buf.first_chunk::<N>(), buf.last_chunk::<N>()) else {
        unreachable!("the caller's match gives at least N bytes");
    };
    let (first, folded_first) = xor(*first, key);
    let (last, folded_last) = xor(*last, rotate(key, len - N));
    buf[..N].copy_from_slice(&first);
    buf[len - N..].copy_from_slice(&last);
    Folded(folded_first.0 | folded_last.0)
}

#[inline]
fn xor<const N: usize>(mut block: [u8; N], key: [u8; 4]) -> ([u8; N], Folded) {
    let word = u32::from_ne_bytes(key);
    let two_words = u64::from(word) << 32 | u64::from(word);
    let mut folded = 0;
    let (lanes, rest) = block.as_chunks_mut::<8>();
    for lane in lanes {
        let xored = u64::from_ne_bytes(*lane) ^ two_words;
        *lane = xored.to_ne_bytes();
        folded |= xored;
    }
    for lane in rest.as_chunks_mut::<4>().0 {
        let xored = u32::from_ne_bytes(*lane) ^ word;
        *lane = xored.to_ne_bytes();
        folded |= u64::from(xored);
    }
    (block, Folded(folded))
}

/// Copies and XORs in one pass. `dst` and `src` are equally long.
#[inline]
pub(super) fn copy<'d>(dst: &'d mut [MaybeUninit<u8>], src: &[u8], key: [u8; 4]) -> &'d mut [u8] {
    assert_eq!(dst.len(), src.len());
    let (from, from_tail) = src.as_chunks::<4>();
    let (to, to_tail) = dst.as_chunks_mut::<4>();
    let word = u32::from_ne_bytes(key);
    for (to, from) in to.iter_mut().zip(from) {
        let lane = u32::from_ne_bytes(*from) ^ word;
        *to = lane.to_ne_bytes().map(MaybeUninit::new);
    }
    for ((to, from), k) in to_tail.iter_mut().zip(from_tail).zip(key) {
        to.write(from ^ k);
    }
    // SAFETY: `MaybeUninit<u8>` has the layout of `u8`, and the two loops wrote every element of
    // `dst`: it is as long as `src` (asserted), so
    // both split into the same number of chunks and the same tail, and `zip` cut neither short (a
    // tail has at most 3 elements, the key 4).
    unsafe { &mut *(core::ptr::from_mut(dst) as *mut [u8]) }
}
