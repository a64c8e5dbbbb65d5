//! The AVX-512 kernel that unmasks and looks for ASCII. In: masked bytes and their key. Out: the bytes
//! XORed in place, and how many at the front are ASCII.
//!
//! One loop over blocks of two registers; once a block is not ASCII, the same loop without the question.
//!
//! Never: runs unless the dispatch detected AVX-512.

use core::arch::x86_64::{
    __m512i, _mm512_loadu_si512, _mm512_movepi8_mask, _mm512_or_si512, _mm512_set1_epi32,
    _mm512_storeu_si512, _mm512_xor_si512,
};

use super::unmask::ascii_tail;

const LANE_BYTES: usize = 64;
const BLOCK_BYTES: usize = 2 * LANE_BYTES;

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn unmask_ascii(buf: &mut [u8], key: [u8; 4]) -> usize {
    let word = _mm512_set1_epi32(i32::from_ne_bytes(key));
    let (blocks, tail) = buf.as_chunks_mut::<BLOCK_BYTES>();
    let count = blocks.len();
    let mut ascii_blocks = 0;
    let mut rest = blocks.iter_mut();
    for block in rest.by_ref() {
        if _mm512_movepi8_mask(unmask(block, word)) != 0 {
            break;
        }
        ascii_blocks += 1;
    }
    for block in rest {
        unmask(block, word);
    }
    let all_ascii = ascii_blocks == count;
    let ascii = ascii_blocks * BLOCK_BYTES;
    // 64 is a multiple of 4: what follows a block or a lane starts at key[0] again.
    let Some((lane, tail)) = tail.split_first_chunk_mut::<LANE_BYTES>() else {
        return ascii + ascii_tail(tail, key, all_ascii);
    };
    let all_ascii = _mm512_movepi8_mask(unmask_lane(lane, word)) == 0 && all_ascii;
    let tail_ascii = ascii_tail(tail, key, all_ascii);
    ascii
        + if all_ascii {
            LANE_BYTES + tail_ascii
        } else {
            0
        }
}

/// XORs a block; gives its lanes folded together by OR.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn unmask(block: &mut [u8; BLOCK_BYTES], word: __m512i) -> __m512i {
    let ([low, high], []) = block.as_chunks_mut::<LANE_BYTES>() else {
        unreachable!("a block is two lanes")
    };
    _mm512_or_si512(unmask_lane(low, word), unmask_lane(high, word))
}

/// XORs a lane and gives it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn unmask_lane(lane: &mut [u8; LANE_BYTES], word: __m512i) -> __m512i {
    let at: *mut __m512i = lane.as_mut_ptr().cast();
    // SAFETY: `lane` is exactly 64 readable bytes; `loadu` needs no alignment.
    let bytes = _mm512_xor_si512(unsafe { _mm512_loadu_si512(at) }, word);
    // SAFETY: the same 64 bytes, exclusively borrowed.
    unsafe { _mm512_storeu_si512(at, bytes) };
    bytes
}
