//! Portable masking. In: a span and its key. Out: its bytes XORed, and whether they were ASCII.
//!
//! Plain Rust that compilers vectorise for their baseline (SSE2, NEON). Short spans are two pieces
//! of fixed size that may overlap, not a byte loop: both are loaded before either is stored, and
//! where they overlap they hold the same bytes.
//!
//! Never: rotates the key for the caller; `key[0]` belongs to the first byte.

use super::key_at;
use super::lane::{self, Lane, Span};

/// Up to here a span is short: the length of a control frame's payload, and of any other with a
/// length of seven bits, with a little to spare.
pub(crate) const SHORT_BYTES_MAX: usize = 128;

/// Bytes folded together by OR: what a validator asks first costs nothing where nobody asks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Folded(u64);

impl Folded {
    /// Whether all bytes that went in are ASCII.
    #[inline(always)]
    pub(crate) const fn is_ascii(self) -> bool {
        self.0 & 0x8080_8080_8080_8080 == 0
    }
}

/// At most [`SHORT_BYTES_MAX`] bytes; gives them folded.
///
/// # Safety
///
/// `span` keeps its promises.
#[inline(always)]
pub(crate) unsafe fn short(span: Span, key: [u8; 4]) -> Folded {
    debug_assert!(span.len <= SHORT_BYTES_MAX, "longer ones take a kernel");
    // SAFETY: the span's promises, and each arm's piece is at most as long as the span.
    unsafe {
        match span.len {
            16.. if span.len >= 64 => ends::<64>(span, key),
            16.. if span.len >= 32 => ends::<32>(span, key),
            16.. => ends::<16>(span, key),
            8.. => ends::<8>(span, key),
            4.. => ends::<4>(span, key),
            2.. => ends::<2>(span, key),
            1 => ends::<1>(span, key),
            0 => Folded::default(),
        }
    }
}

/// `N..=2 * N` bytes: the first `N` and the last `N`, which may overlap.
///
/// # Safety
///
/// `span` keeps its promises and has at least `N` bytes.
#[inline(always)]
unsafe fn ends<const N: usize>(span: Span, key: [u8; 4]) -> Folded {
    debug_assert!(N <= span.len && span.len <= 2 * N, "a hole in the middle");
    let last_at = span.len - N;
    // SAFETY: `N` bytes from 0 and from `len - N` are inside the span; arrays of bytes need no
    // alignment. Both are read before either is written.
    let (first, last) = unsafe {
        let src: *const [u8; N] = span.src.cast();
        (src.read(), src.byte_add(last_at).read())
    };
    let (first, folded_first) = xor(first, key_at(key, 0));
    let (last, folded_last) = xor(last, key_at(key, last_at));
    // SAFETY: the same bytes of `dst`.
    unsafe {
        let dst: *mut [u8; N] = span.dst.cast();
        dst.write(first);
        dst.byte_add(last_at).write(last);
    }
    Folded(folded_first.0 | folded_last.0)
}

#[inline(always)]
fn xor<const N: usize>(mut piece: [u8; N], word: u32) -> ([u8; N], Folded) {
    let two_words = u64::from(word) << 32 | u64::from(word);
    let mut folded = 0;
    let (lanes, rest) = piece.as_chunks_mut::<8>();
    for lane in lanes {
        let xored = u64::from_ne_bytes(*lane) ^ two_words;
        *lane = xored.to_ne_bytes();
        folded |= xored;
    }
    let (lanes, rest) = rest.as_chunks_mut::<4>();
    for lane in lanes {
        let xored = u32::from_ne_bytes(*lane) ^ word;
        *lane = xored.to_ne_bytes();
        folded |= u64::from(xored);
    }
    for (byte, k) in rest.iter_mut().zip(word.to_ne_bytes()) {
        *byte ^= k;
        folded |= u64::from(*byte);
    }
    (piece, Folded(folded))
}

/// A register of the baseline, as two words.
#[derive(Clone, Copy)]
struct Words([u64; 2]);

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
        Folded(self.0[0] | self.0[1]).is_ascii()
    }
}

/// XORs at least 16 bytes.
///
/// # Safety
///
/// As [`lane::run`].
pub(crate) unsafe fn run(span: Span, key: [u8; 4]) {
    // SAFETY: the caller vouches for the span; `Words` needs no instruction of its own.
    unsafe { lane::run_all::<Words>(span, key) }
}

/// XORs at least 16 bytes while they are ASCII; gives how many, and the key of the next.
///
/// # Safety
///
/// As [`lane::run`].
pub(crate) unsafe fn run_ascii(span: Span, key: [u8; 4]) -> (usize, [u8; 4]) {
    // SAFETY: the caller vouches for the span; `Words` needs no instruction of its own.
    unsafe { lane::run_ascii::<Words>(span, key) }
}
