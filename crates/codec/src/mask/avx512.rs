//! The AVX-512 mask kernel. In: bytes and a key. Out: the bytes XORed in place.
//!
//! Never: runs unless the dispatch detected AVX-512 F, BW and VL; masks its tail with opmasks (in
//! place they lose to a scalar tail: the next load waits for the masked store).

use core::arch::x86_64::{
    __m512i, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512, _mm512_xor_si512,
};

const BLOCK_BYTES: usize = 64;

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn apply(buf: &mut [u8], key: [u8; 4]) {
    let word = _mm512_set1_epi32(i32::from_ne_bytes(key));
    let (blocks, tail) = buf.as_chunks_mut::<BLOCK_BYTES>();
    for block in blocks {
        let at: *mut __m512i = block.as_mut_ptr().cast();
        // SAFETY: `block` is exactly 64 readable bytes; `loadu` needs no alignment.
        let bytes = unsafe { _mm512_loadu_si512(at) };
        // SAFETY: the same 64 bytes, exclusively borrowed.
        unsafe { _mm512_storeu_si512(at, _mm512_xor_si512(bytes, word)) };
    }
    super::swar::apply_short(tail, key); // 64 is a multiple of 4: the tail starts at key[0] again
}
