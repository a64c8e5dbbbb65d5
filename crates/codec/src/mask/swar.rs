//! Portable masking. In: a span and its key. Out: its bytes XORed, and whether they were ASCII.
//!
//! Short spans are two pieces of fixed size that may overlap, not a byte loop: both are loaded before
//! either is stored, and where they overlap they hold the same bytes. Long ones go in registers that
//! every CPU of the target has: SSE2's on x86-64, elsewhere words that compilers put into them.
//!
//! Never: rotates the key for the caller; `key[0]` belongs to the first byte.

#[cfg(target_arch = "x86_64")]
use core::arch::x86_64 as sse2;

use super::key_at;
use super::lane::{self, Lane, Span};

#[cfg(target_arch = "x86_64")]
type Baseline = core::arch::x86_64::__m128i;
#[cfg(not(target_arch = "x86_64"))]
type Baseline = words::Words;

/// Up to here a span is short: the length of a control frame's payload, and of any other with a
/// length of seven bits, with a little to spare.
pub(crate) const SHORT_BYTES_MAX: usize = 8 * Baseline::BYTES;

/// Up to here a span is two words or registers: little enough code for a caller's loop.
pub(crate) const TINY_BYTES_MAX: usize = 2 * Baseline::BYTES;

/// At most [`SHORT_BYTES_MAX`] bytes; whether they are ASCII.
///
/// # Safety
///
/// `span` keeps its promises.
#[inline(always)]
pub(crate) unsafe fn short(span: Span, key: [u8; 4]) -> bool {
    debug_assert!(span.len <= SHORT_BYTES_MAX, "longer ones take a kernel");
    // SAFETY: the span's promises, and each arm's pieces are at most as long as the span. The baseline
    // is what this function is compiled for.
    unsafe {
        match span.len {
            64.. => lanes::<4>(span, key),
            32.. => lanes::<2>(span, key),
            _ => tiny(span, key),
        }
    }
}

/// At most [`TINY_BYTES_MAX`] bytes; whether they are ASCII.
///
/// # Safety
///
/// `span` keeps its promises.
#[inline(always)]
pub(crate) unsafe fn tiny(span: Span, key: [u8; 4]) -> bool {
    debug_assert!(
        span.len <= TINY_BYTES_MAX,
        "longer ones take more registers"
    );
    // SAFETY: as in `short`.
    unsafe {
        match span.len {
            17.. => lanes::<1>(span, key),
            9.. => words::<8>(span, key),
            5.. => words::<4>(span, key),
            2.. => words::<2>(span, key),
            1 => words::<1>(span, key),
            0 => true,
        }
    }
}

/// The first and the last `N` registers, which may overlap; whether they are ASCII.
///
/// # Safety
///
/// `span` keeps its promises and has at least `N` registers.
#[inline(always)]
unsafe fn lanes<const N: usize>(span: Span, key: [u8; 4]) -> bool {
    const LANE_BYTES: usize = Baseline::BYTES;
    debug_assert!(span.len >= N * LANE_BYTES, "outside of the span");
    let last_at = span.len - N * LANE_BYTES;
    // SAFETY: `N` registers from 0 and from `last_at` are inside the span, and all are loaded before
    // one is stored.
    unsafe {
        let (word, last_word) = (
            Baseline::splat(key_at(key, 0)),
            Baseline::splat(key_at(key, last_at)),
        );
        let (mut first, mut last) = ([word; N], [last_word; N]);
        let mut all = Baseline::splat(0);
        for (n, (first, last)) in first.iter_mut().zip(&mut last).enumerate() {
            *first = first.xor(Baseline::load(span.src.add(n * LANE_BYTES)));
            *last = last.xor(Baseline::load(span.src.add(last_at + n * LANE_BYTES)));
            all = all.or(*first).or(*last);
        }
        for (n, (first, last)) in first.into_iter().zip(last).enumerate() {
            first.store(span.dst.add(n * LANE_BYTES));
            last.store(span.dst.add(last_at + n * LANE_BYTES));
        }
        all.is_ascii()
    }
}

/// The first and the last `N` bytes, a word of at most eight, which may overlap; whether they are ASCII.
///
/// # Safety
///
/// `span` keeps its promises and has at least `N` bytes.
#[inline(always)]
unsafe fn words<const N: usize>(span: Span, key: [u8; 4]) -> bool {
    const { assert!(N <= 8, "a word") };
    debug_assert!(span.len >= N, "outside of the span");
    let last_at = span.len - N;
    // SAFETY: `N` bytes from 0 and from `last_at` are inside the span; arrays of bytes need no
    // alignment. Both are read before either is written.
    unsafe {
        let src: *const [u8; N] = span.src.cast();
        let dst: *mut [u8; N] = span.dst.cast();
        let first = word(src.read()) ^ repeated::<N>(key_at(key, 0));
        let last = word(src.byte_add(last_at).read()) ^ repeated::<N>(key_at(key, last_at));
        dst.write(bytes(first));
        dst.byte_add(last_at).write(bytes(last));
        (first | last) & 0x8080_8080_8080_8080 == 0
    }
}

/// `N` bytes at the front of a word, in the order of memory.
#[inline(always)]
fn word<const N: usize>(bytes: [u8; N]) -> u64 {
    let mut word = [0; 8];
    word[..N].copy_from_slice(&bytes);
    u64::from_ne_bytes(word)
}

/// The first `N` bytes of a word, in the order of memory.
#[inline(always)]
fn bytes<const N: usize>(word: u64) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&word.to_ne_bytes()[..N]);
    bytes
}

/// A key in the first `N` bytes of a word, the others zero.
#[inline(always)]
fn repeated<const N: usize>(key: u32) -> u64 {
    word(bytes::<N>(u64::from(key) << 32 | u64::from(key)))
}

#[cfg(target_arch = "x86_64")]
impl Lane for Baseline {
    const BYTES: usize = 16;

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: 16 readable bytes, as the caller vouches; `loadu` needs no alignment.
        unsafe { sse2::_mm_loadu_si128(at.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut u8) {
        // SAFETY: 16 writable bytes, as the caller vouches; `storeu` needs no alignment.
        unsafe { sse2::_mm_storeu_si128(at.cast(), self) }
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: every x86-64 has SSE2.
        unsafe { sse2::_mm_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: every x86-64 has SSE2.
        unsafe { sse2::_mm_xor_si128(self, other) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: every x86-64 has SSE2.
        unsafe { sse2::_mm_or_si128(self, other) }
    }

    #[inline(always)]
    unsafe fn is_ascii(self) -> bool {
        // SAFETY: every x86-64 has SSE2.
        unsafe { sse2::_mm_movemask_epi8(self) == 0 }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod words {
    use super::Lane;

    /// A register's bytes, as two words.
    #[derive(Clone, Copy)]
    pub(super) struct Words([u64; 2]);

    impl Lane for Words {
        const BYTES: usize = 16;

        #[inline(always)]
        unsafe fn load(at: *const u8) -> Self {
            // SAFETY: 16 readable bytes, as the caller vouches.
            Self(unsafe { at.cast::<[u64; 2]>().read_unaligned() })
        }

        #[inline(always)]
        unsafe fn store(self, at: *mut u8) {
            // SAFETY: 16 writable bytes, as the caller vouches.
            unsafe { at.cast::<[u64; 2]>().write_unaligned(self.0) }
        }

        #[inline(always)]
        unsafe fn splat(word: u32) -> Self {
            Self([u64::from(word) << 32 | u64::from(word); 2])
        }

        #[inline(always)]
        unsafe fn xor(self, other: Self) -> Self {
            Self([self.0[0] ^ other.0[0], self.0[1] ^ other.0[1]])
        }

        #[inline(always)]
        unsafe fn or(self, other: Self) -> Self {
            Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
        }

        #[inline(always)]
        unsafe fn is_ascii(self) -> bool {
            (self.0[0] | self.0[1]) & 0x8080_8080_8080_8080 == 0
        }
    }
}

/// XORs at least 16 bytes.
///
/// # Safety
///
/// As [`lane::run`].
pub(crate) unsafe fn run(dst: *mut u8, src: *const u8, len: usize, key: [u8; 4]) {
    let span = Span { dst, src, len };
    // SAFETY: the caller vouches for the span; the baseline is what everything is compiled for.
    unsafe { lane::run_all::<Baseline>(span, key) }
}

/// XORs at least 16 bytes while they are ASCII; gives how many, and the key of the next.
///
/// # Safety
///
/// As [`lane::run`].
pub(crate) unsafe fn run_ascii(
    dst: *mut u8,
    src: *const u8,
    len: usize,
    key: [u8; 4],
) -> (usize, [u8; 4]) {
    let span = Span { dst, src, len };
    // SAFETY: the caller vouches for the span; the baseline is what everything is compiled for.
    unsafe { lane::run_ascii::<Baseline>(span, key) }
}
