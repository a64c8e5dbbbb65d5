//! The AVX2 kernel that unmasks and looks for ASCII. In: masked bytes and their key. Out: the bytes
//! XORed in place, and how many at the front are ASCII.
//!
//! One loop over blocks of two registers; once a block is not ASCII, the same loop without the question.
//!
//! Never: runs unless the dispatch detected AVX2.

use core::arch::x86_64::{
    __m256i, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi32,
    _mm256_storeu_si256, _mm256_xor_si256,
};

use super::unmask::ascii_tail;

const LANE_BYTES: usize = 32;
const BLOCK_BYTES: usize = 2 * LANE_BYTES;

#[target_feature(enable = "avx2")]
pub(super) fn unmask_ascii(buf: &mut [u8], key: [u8; 4]) -> usize {
    let word = _mm256_set1_epi32(i32::from_ne_bytes(key));
    let (blocks, tail) = buf.as_chunks_mut::<BLOCK_BYTES>();
    let count = blocks.len();
    let mut ascii_blocks = 0;
    let mut rest = blocks.iter_mut();
    for block in rest.by_ref() {
        if _mm256_movemask_epi8(unmask(block, word)) != 0 {
            break;
        }
        ascii_blocks += 1;
    }
    for block in rest {
        unmask(block, word);
    }
    let all_ascii = ascii_blocks == count;
    // 64 is a multiple of 4: the tail starts at key[0] again.
    ascii_blocks * BLOCK_BYTES + ascii_tail(tail, key, all_ascii)
}

/// XORs a block; gives its lanes folded together by OR.
#[inline]
#[target_feature(enable = "avx2")]
fn unmask(block: &mut [u8; BLOCK_BYTES], word: __m256i) -> __m256i {
    let ([low, high], []) = block.as_chunks_mut::<LANE_BYTES>() else {
        unreachable!("a block is two lanes")
    };
    _mm256_or_si256(unmask_lane(low, word), unmask_lane(high, word))
}

/// XORs a lane and gives it.
#[inline]
#[target_feature(enable = "avx2")]
fn unmask_lane(lane: &mut [u8; LANE_BYTES], word: __m256i) -> __m256i {
    let at: *mut __m256i = lane.as_mut_ptr().cast();
    // SAFETY: `lane` is exactly 32 readable bytes; `loadu` needs no alignment.
    let bytes = _mm256_xor_si256(unsafe { _mm256_loadu_si256(at) }, word);
    // SAFETY: the same 32 bytes, exclusively borrowed.
    unsafe { _mm256_storeu_si256(at, bytes) };
    bytes
}
