//! The AVX2 mask kernel. In: bytes and a key. Out: the bytes XORed in place.
//!
//! Never: runs unless the dispatch detected AVX2.

use core::arch::x86_64::{
    __m256i, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_storeu_si256, _mm256_xor_si256,
};

const BLOCK_BYTES: usize = 32;

#[target_feature(enable = "avx2")]
pub(super) fn apply(buf: &mut [u8], key: [u8; 4]) {
    let word = _mm256_set1_epi32(i32::from_ne_bytes(key));
    let (blocks, tail) = buf.as_chunks_mut::<BLOCK_BYTES>();
    for block in blocks {
        let at: *mut __m256i = block.as_mut_ptr().cast();
        // SAFETY: `block` is exactly 32 readable bytes; `loadu` needs no alignment.
        let bytes = unsafe { _mm256_loadu_si256(at) };
        // SAFETY: the same 32 bytes, exclusively borrowed.
        unsafe { _mm256_storeu_si256(at, _mm256_xor_si256(bytes, word)) };
    }
    super::swar::apply_short(tail, key); // 32 is a multiple of 4: the tail starts at key[0] again
}
