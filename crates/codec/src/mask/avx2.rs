//! AVX2's registers for the mask kernel. In: a span and a key. Out: its bytes XORed.
//!
//! Never: runs unless the dispatch detected AVX2.

use core::arch::x86_64::{
    __m256i, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi32,
    _mm256_storeu_si256, _mm256_xor_si256,
};

use super::lane::{self, Lane, Span};

impl Lane for __m256i {
    const BYTES: usize = 32;

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: 32 readable bytes, as the caller vouches; `loadu` needs no alignment.
        unsafe { _mm256_loadu_si256(at.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut u8) {
        // SAFETY: 32 writable bytes, as the caller vouches; `storeu` needs no alignment.
        unsafe { _mm256_storeu_si256(at.cast(), self) }
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: AVX2, as the caller vouches.
        unsafe { _mm256_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: AVX2, as the caller vouches.
        unsafe { _mm256_xor_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: AVX2, as the caller vouches.
        unsafe { _mm256_or_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn is_ascii(self) -> bool {
        // SAFETY: AVX2, as the caller vouches.
        unsafe { _mm256_movemask_epi8(self) == 0 }
    }
}

/// XORs at least 32 bytes.
///
/// # Safety
///
/// As [`lane::run`].
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn run(dst: *mut u8, src: *const u8, len: usize, key: [u8; 4]) {
    let span = Span { dst, src, len };
    // SAFETY: the caller vouches for the span; this function is compiled for AVX2.
    unsafe { lane::run_all::<__m256i>(span, key) }
}

/// XORs at least 32 bytes while they are ASCII; gives how many, and the key of the next.
///
/// # Safety
///
/// As [`lane::run`].
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn run_ascii(
    dst: *mut u8,
    src: *const u8,
    len: usize,
    key: [u8; 4],
) -> (usize, [u8; 4]) {
    let span = Span { dst, src, len };
    // SAFETY: the caller vouches for the span; this function is compiled for AVX2.
    unsafe { lane::run_ascii::<__m256i>(span, key) }
}
