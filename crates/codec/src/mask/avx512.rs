//! AVX-512's registers for the mask kernel. In: a span and a key. Out: its bytes XORed.
//!
//! Never: runs unless the dispatch detected AVX-512; masks its tail with opmasks (in place they lose:
//! the next load waits for the masked store).

use core::arch::x86_64::{
    __m512i, _mm512_loadu_si512, _mm512_movepi8_mask, _mm512_or_si512, _mm512_set1_epi32,
    _mm512_storeu_si512, _mm512_xor_si512,
};

use super::lane::{self, Lane, Span};

impl Lane for __m512i {
    const BYTES: usize = 64;

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: 64 readable bytes, as the caller vouches; `loadu` needs no alignment.
        unsafe { _mm512_loadu_si512(at.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut u8) {
        // SAFETY: 64 writable bytes, as the caller vouches; `storeu` needs no alignment.
        unsafe { _mm512_storeu_si512(at.cast(), self) }
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: AVX-512 F, as the caller vouches.
        unsafe { _mm512_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: AVX-512 F, as the caller vouches.
        unsafe { _mm512_xor_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: AVX-512 F, as the caller vouches.
        unsafe { _mm512_or_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn is_ascii(self) -> bool {
        // SAFETY: AVX-512 BW, as the caller vouches.
        unsafe { _mm512_movepi8_mask(self) == 0 }
    }
}

/// XORs at least 64 bytes.
///
/// # Safety
///
/// As [`lane::run`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(crate) unsafe fn run(dst: *mut u8, src: *const u8, len: usize, key: [u8; 4]) {
    let span = Span { dst, src, len };
    // SAFETY: the caller vouches for the span; this function is compiled for AVX-512.
    unsafe { lane::run_all::<__m512i>(span, key) }
}

/// XORs at least 64 bytes while they are ASCII; gives how many, and the key of the next.
///
/// # Safety
///
/// As [`lane::run`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(crate) unsafe fn run_ascii(
    dst: *mut u8,
    src: *const u8,
    len: usize,
    key: [u8; 4],
) -> (usize, [u8; 4]) {
    let span = Span { dst, src, len };
    // SAFETY: the caller vouches for the span; this function is compiled for AVX-512.
    unsafe { lane::run_ascii::<__m512i>(span, key) }
}
