//! AVX-512 for UTF-8. In: bytes, masked or not. Out: the same bytes unmasked, and whether they are
//! UTF-8.
//!
//! The classes of Keiser and Lemire, "Validating UTF-8 in less than one instruction per byte" (2021):
//! three lookups of a nibble each show every fault that two neighbouring bytes can have. That third and
//! fourth bytes are where a leading byte wants them is compared in general registers, one bit a byte,
//! which leaves the shuffle units to the lookups. The lookups of a first byte are shifted to its
//! neighbour after they are looked up, so that both share one shift; VBMI's lookup ignores what stands
//! above an index, so that none is masked.
//!
//! Never: runs unless the dispatch detected AVX-512; says where a fault is: [`super::locate`] does.

use core::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpge_epu8_mask,
    _mm512_loadu_si512, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_maskz_mov_epi8,
    _mm512_movepi8_mask, _mm512_or_si512, _mm512_permutex2var_epi8, _mm512_permutexvar_epi8,
    _mm512_set1_epi8, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_srli_epi16,
    _mm512_storeu_si512, _mm512_ternarylogic_epi64, _mm512_test_epi8_mask, _mm512_xor_si512,
};

use crate::mask::lane::{self, Span};
use crate::mask::rotate;

const LANE_BYTES: usize = 64;

/// Lanes that are asked together whether they are ASCII: text of other languages has some in between.
const LANES: usize = 4;

/// What is wrong with a pair of bytes, one bit each. A bit is set in the class of a pair if all three
/// nibbles that are looked up agree on it.
mod fault {
    /// A leading byte, and no continuation behind it.
    pub(super) const SHORT: u8 = 1 << 0;
    /// A continuation behind ASCII.
    pub(super) const LONG: u8 = 1 << 1;
    /// E0 80–9F.
    pub(super) const OVERLONG_3: u8 = 1 << 2;
    /// F4 90–BF, F5–FF 90–BF.
    pub(super) const LARGE: u8 = 1 << 3;
    /// ED A0–BF.
    pub(super) const SURROGATE: u8 = 1 << 4;
    /// C0, C1.
    pub(super) const OVERLONG_2: u8 = 1 << 5;
    /// F5–FF 80–8F; and F0 80–8F, which no other pair is mistaken for.
    pub(super) const LARGE_OR_OVERLONG_4: u8 = 1 << 6;
    /// Two continuations: right in third and fourth bytes, and wrong elsewhere.
    pub(super) const CONTINUATIONS: u8 = 1 << 7;
    /// What the low nibble of the first byte has no say in.
    pub(super) const ANY_LOW: u8 = SHORT | LONG | CONTINUATIONS;
}

/// By the high nibble of the first byte.
const FIRST_HIGH: [u8; 16] = {
    use fault::{
        CONTINUATIONS, LARGE, LARGE_OR_OVERLONG_4, LONG, OVERLONG_2, OVERLONG_3, SHORT, SURROGATE,
    };
    let mut table = [LONG; 16];
    let mut nibble = 0x8;
    while nibble <= 0xB {
        table[nibble] = CONTINUATIONS;
        nibble += 1;
    }
    table[0xC] = SHORT | OVERLONG_2;
    table[0xD] = SHORT;
    table[0xE] = SHORT | OVERLONG_3 | SURROGATE;
    table[0xF] = SHORT | LARGE | LARGE_OR_OVERLONG_4;
    table
};

/// By its low nibble.
const FIRST_LOW: [u8; 16] = {
    use fault::{ANY_LOW, LARGE, LARGE_OR_OVERLONG_4, OVERLONG_2, OVERLONG_3, SURROGATE};
    let mut table = [ANY_LOW | LARGE | LARGE_OR_OVERLONG_4; 16];
    table[0x0] = ANY_LOW | OVERLONG_2 | OVERLONG_3 | LARGE_OR_OVERLONG_4;
    table[0x1] = ANY_LOW | OVERLONG_2;
    table[0x2] = ANY_LOW;
    table[0x3] = ANY_LOW;
    table[0x4] = ANY_LOW | LARGE;
    table[0xD] |= SURROGATE;
    table
};

/// By the high nibble of the second byte.
const SECOND_HIGH: [u8; 16] = {
    use fault::{
        CONTINUATIONS, LARGE, LARGE_OR_OVERLONG_4, LONG, OVERLONG_2, OVERLONG_3, SHORT, SURROGATE,
    };
    let mut table = [SHORT; 16];
    let any = LONG | OVERLONG_2 | CONTINUATIONS;
    table[0x8] = any | OVERLONG_3 | LARGE_OR_OVERLONG_4;
    table[0x9] = any | OVERLONG_3 | LARGE;
    table[0xA] = any | SURROGATE | LARGE;
    table[0xB] = any | SURROGATE | LARGE;
    table
};

/// The indices of the bytes before; the first one's is the last of the lane before.
const BEFORE: [u8; LANE_BYTES] = {
    let mut indices = [64 + 63; LANE_BYTES];
    let mut n: u8 = 1;
    while n < 64 {
        indices[n as usize] = n - 1;
        n += 1;
    }
    indices
};

/// `a | b & c`, as a table of truth.
const OR_AND: i32 = 0xF8;

/// Looks at a text lane by lane.
struct Checker {
    first_high: __m512i,
    first_low: __m512i,
    second_high: __m512i,
    before: __m512i,
    /// The classes that the bytes of the last lane have as first of a pair.
    firsts: __m512i,
    /// Every fault of a pair so far but [`fault::CONTINUATIONS`].
    pairs: __m512i,
    /// A bit for each byte of the next lane that has to be a third or a fourth.
    owed: u64,
    /// A bit for each other fault; where, nobody asks.
    faults: u64,
}

impl Checker {
    /// At the start of a text, or behind ASCII.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    fn new() -> Self {
        Self {
            first_high: table(&FIRST_HIGH),
            first_low: table(&FIRST_LOW),
            second_high: table(&SECOND_HIGH),
            before: load(&BEFORE),
            // What stands before is taken for NUL.
            firsts: _mm512_set1_epi8(fault::LONG.cast_signed()),
            pairs: _mm512_setzero_si512(),
            owed: 0,
            faults: 0,
        }
    }

    /// Whether nothing is wrong so far.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    fn is_good(&self) -> bool {
        self.faults | _mm512_test_epi8_mask(self.pairs, self.pairs) == 0
    }

    /// [`look_at`](Self::look_at) of any number of lanes that are ASCII.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    fn look_at_ascii(&mut self) {
        let short = _mm512_set1_epi8(fault::SHORT.cast_signed());
        self.faults |= self.owed | _mm512_test_epi8_mask(self.firsts, short) >> 63;
        self.firsts = _mm512_set1_epi8(fault::LONG.cast_signed());
        self.owed = 0;
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    fn look_at(&mut self, bytes: __m512i) {
        // What spills into a nibble's neighbour stands above the six bits of an index, or makes it
        // another copy of the same table.
        let high = _mm512_srli_epi16::<4>(bytes);
        let firsts = _mm512_and_si512(
            _mm512_permutexvar_epi8(high, self.first_high),
            _mm512_permutexvar_epi8(bytes, self.first_low),
        );
        let seconds = _mm512_permutexvar_epi8(high, self.second_high);
        let moved = _mm512_permutex2var_epi8(firsts, self.before, self.firsts);
        let pairs = _mm512_and_si512(moved, seconds);
        self.firsts = firsts;

        let of_three = _mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8(0xE0_u8.cast_signed()));
        let of_four = _mm512_cmpge_epu8_mask(bytes, _mm512_set1_epi8(0xF0_u8.cast_signed()));
        let wanted = of_three << 2 | of_four << 3 | self.owed;
        self.owed = of_three >> 62 | of_four >> 61;

        let others = _mm512_set1_epi8((!fault::CONTINUATIONS).cast_signed());
        self.faults |= _mm512_movepi8_mask(pairs) ^ wanted;
        self.pairs = _mm512_ternarylogic_epi64::<OR_AND>(self.pairs, pairs, others);
    }
}

/// A table of 16 bytes, four times.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn table(bytes: &[u8; 16]) -> __m512i {
    // SAFETY: 16 readable bytes; `loadu` needs no alignment.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn load(bytes: &[u8; LANE_BYTES]) -> __m512i {
    // SAFETY: 64 readable bytes; `loadu` needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// The bits of the first `len` of 64 bytes, of fewer than 64.
#[inline]
const fn first_bits(len: usize) -> u64 {
    (1 << len) - 1
}

/// Unmasks at least 64 bytes.
///
/// # Errors
///
/// When they are not UTF-8: how many bytes at the front are ASCII, and the fault is behind them.
/// Everything is unmasked all the same.
///
/// # Safety
///
/// As [`lane::run`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) unsafe fn run_text(
    dst: *mut u8,
    src: *const u8,
    len: usize,
    key: [u8; 4],
) -> Result<(), usize> {
    let span = Span { dst, src, len };
    // SAFETY: the caller vouches for the span; this function is compiled for AVX-512.
    let (ascii, key) = unsafe { lane::run_ascii::<__m512i>(span, key) };
    if ascii == span.len {
        return Ok(());
    }
    // SAFETY: `run` gives at most the span's length, and has not touched what is behind that.
    if unsafe { check::<true>(span.behind(ascii), key) } {
        Ok(())
    } else {
        Err(ascii)
    }
}

/// Whether `bytes` are UTF-8.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    let span = Span {
        dst: bytes.as_ptr().cast_mut(),
        src: bytes.as_ptr(),
        len: bytes.len(),
    };
    // SAFETY: `bytes` can be read, and nothing is stored.
    unsafe { check::<false>(span, [0; 4]) }
}

/// Unmasks a span of any length, and stores it if `STORE`; whether it is UTF-8. What follows a fault
/// is unmasked all the same.
///
/// # Safety
///
/// `span` keeps its promises; `dst` only if `STORE`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
unsafe fn check<const STORE: bool>(span: Span, key: [u8; 4]) -> bool {
    let Span { dst, src, len } = span;
    let word = _mm512_set1_epi32(i32::from_ne_bytes(key));
    let mut checker = Checker::new();
    let tail_at = len - len % LANE_BYTES;
    // SAFETY: lanes lie at multiples of 64 below `tail_at`, so inside the span, and the tail's mask has
    // a bit for each byte behind `tail_at` only. `last` lies inside if there are 64 bytes. Loads come
    // before the stores that may reach them: in place and leftwards a store ends at or before the end
    // of what was loaded last, and `tail` and `last` are loaded first.
    unsafe {
        let tail_bits = first_bits(len - tail_at);
        let tail = _mm512_maskz_loadu_epi8(tail_bits, src.add(tail_at).cast());
        // The tail is stored with the end of the lane before it: whoever reads behind a masked store
        // waits for it.
        let last_at = len.wrapping_sub(LANE_BYTES);
        let last = if STORE && len >= LANE_BYTES {
            let word = _mm512_set1_epi32(i32::from_ne_bytes(rotate(key, last_at)));
            _mm512_xor_si512(_mm512_loadu_si512(src.add(last_at).cast()), word)
        } else {
            word
        };
        let mut at = 0;
        while at + LANES * LANE_BYTES <= len && checker.is_good() {
            let mut lanes = [word; LANES];
            let mut all = _mm512_setzero_si512();
            for (n, lane) in lanes.iter_mut().enumerate() {
                let masked = _mm512_loadu_si512(src.add(at + n * LANE_BYTES).cast());
                *lane = _mm512_xor_si512(masked, word);
                all = _mm512_or_si512(all, *lane);
            }
            if _mm512_movepi8_mask(all) == 0 {
                checker.look_at_ascii();
            } else {
                for lane in lanes {
                    checker.look_at(lane);
                }
            }
            if STORE {
                for (n, lane) in lanes.into_iter().enumerate() {
                    _mm512_storeu_si512(dst.add(at + n * LANE_BYTES).cast(), lane);
                }
            }
            at += LANES * LANE_BYTES;
        }
        while at < tail_at && checker.is_good() {
            let masked = _mm512_loadu_si512(src.add(at).cast());
            let lane = _mm512_xor_si512(masked, word);
            checker.look_at(lane);
            if STORE {
                _mm512_storeu_si512(dst.add(at).cast(), lane);
            }
            at += LANE_BYTES;
        }
        if at < tail_at {
            if STORE {
                crate::mask::run(span.behind(at), rotate(key, at));
            }
            return false;
        }
        // Zero behind the end: an unfinished character is a fault there.
        let tail = _mm512_maskz_mov_epi8(tail_bits, _mm512_xor_si512(tail, word));
        checker.look_at(tail);
        if STORE && len >= LANE_BYTES {
            _mm512_storeu_si512(dst.add(last_at).cast(), last);
        } else if STORE {
            _mm512_mask_storeu_epi8(dst.cast(), tail_bits, tail);
        }
    }
    checker.is_good()
}
