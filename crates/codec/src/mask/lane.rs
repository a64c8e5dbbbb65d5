//! One loop for every instruction set. In: where bytes lie, where they go, and their key. Out: the
//! bytes there, XORed.
//!
//! The ends are one register each, loaded before anything is stored and stored last, so no byte is
//! left for a tail; what lies between goes in whole registers, from [`ALIGNED_FROM_BYTES`] on at
//! addresses that no store crosses a cache line at.
//!
//! Never: handles less than one register ([`super::swar`] does), knows which instructions it is
//! compiled to.

use super::{key_at, rotate};

/// From this length on, finding the cache lines' borders is paid back.
pub(crate) const ALIGNED_FROM_BYTES: usize = 256;

/// Registers folded together before anyone asks whether they are ASCII.
const UNROLLED: usize = 4;

/// Bytes on their way: `len` of them from `src` to `dst`.
///
/// Whoever makes one vouches that all of `src` is readable and all of `dst` writable, by nobody
/// else, and that they are the same place, or apart, or overlap with `dst` in front of `src`.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) dst: *mut u8,
    pub(crate) src: *const u8,
    pub(crate) len: usize,
}

impl Span {
    /// All of `buf`, in place.
    #[inline]
    pub(crate) const fn in_place(buf: &mut [u8]) -> Self {
        let dst = buf.as_mut_ptr();
        Self {
            dst,
            src: dst,
            len: buf.len(),
        }
    }

    /// What is left behind the first `len` bytes.
    ///
    /// # Safety
    ///
    /// `len` is at most the span's.
    #[inline]
    pub(crate) const unsafe fn behind(self, len: usize) -> Self {
        // SAFETY: within the span, or one past its end, as the caller vouches.
        let (dst, src) = unsafe { (self.dst.add(len), self.src.add(len)) };
        Self {
            dst,
            src,
            len: self.len - len,
        }
    }

    /// Its first `len` bytes.
    #[inline]
    pub(crate) const fn front(self, len: usize) -> Self {
        Self { len, ..self }
    }
}

/// A register of one instruction set.
///
/// # Safety
///
/// Its methods run only on a CPU that has the instructions, in a function compiled for them.
pub(crate) trait Lane: Copy {
    /// A power of two, at least 4.
    const BYTES: usize;

    /// # Safety
    ///
    /// As [`Lane`] says, and `BYTES` readable bytes at `at`; no alignment.
    unsafe fn load(at: *const u8) -> Self;

    /// # Safety
    ///
    /// As [`Lane`] says, and `BYTES` writable bytes at `at`; no alignment.
    unsafe fn store(self, at: *mut u8);

    /// `word` in every four bytes.
    ///
    /// # Safety
    ///
    /// As [`Lane`] says.
    unsafe fn splat(word: u32) -> Self;

    /// # Safety
    ///
    /// As [`Lane`] says.
    unsafe fn xor(self, other: Self) -> Self;

    /// # Safety
    ///
    /// As [`Lane`] says.
    unsafe fn or(self, other: Self) -> Self;

    /// Whether no byte has its high bit set.
    ///
    /// # Safety
    ///
    /// As [`Lane`] says.
    unsafe fn is_ascii(self) -> bool;
}

/// Moves and XORs `span`; with `UNTIL_TEXT`, only up to where it stops being ASCII. Gives how many
/// bytes it has done: the others are untouched.
///
/// # Safety
///
/// `L`'s instructions are there, `span` keeps its promises and has at least `L::BYTES`.
#[inline(always)]
pub(crate) unsafe fn run<L: Lane, const UNTIL_TEXT: bool>(span: Span, key: [u8; 4]) -> usize {
    if !UNTIL_TEXT && span.len <= 2 * L::BYTES {
        // SAFETY: the caller vouches for the same.
        unsafe { run_ends::<L>(span, key) };
        return span.len;
    }
    if span.len < ALIGNED_FROM_BYTES {
        // SAFETY: the caller vouches for the same.
        return unsafe { run_from_here::<L, UNTIL_TEXT>(span, key) };
    }
    const { assert!(ALIGNED_FROM_BYTES >= 2 * L::BYTES) }; // a register is left behind the first
    let start = L::BYTES - span.dst.addr() % L::BYTES;
    // SAFETY: the caller vouches for the instructions; the span is longer than two registers, and
    // `start` is at most one. `first` is loaded before anything is stored, and stored behind the
    // others: in place, what it shares with them must not be XORed twice.
    unsafe {
        let first = L::load(span.src).xor(L::splat(key_at(key, 0)));
        if UNTIL_TEXT && !first.is_ascii() {
            return 0;
        }
        let done = run_from_here::<L, UNTIL_TEXT>(span.behind(start), rotate(key, start));
        if UNTIL_TEXT && done == 0 {
            return 0; // what is behind `start` must stay untouched
        }
        first.store(span.dst);
        start + done
    }
}

/// [`run`] of at most two registers, text or not.
///
/// # Safety
///
/// As [`run`].
#[inline(always)]
unsafe fn run_ends<L: Lane>(span: Span, key: [u8; 4]) {
    let Span { dst, src, len } = span;
    debug_assert!(
        len >= L::BYTES && len <= 2 * L::BYTES,
        "one or two registers"
    );
    let last_at = len - L::BYTES;
    // SAFETY: the caller vouches for the instructions; `L::BYTES` from 0 and from `last_at` are inside
    // the span, and both are loaded before either is stored.
    unsafe {
        let first = L::load(src).xor(L::splat(key_at(key, 0)));
        let last = L::load(src.add(last_at)).xor(L::splat(key_at(key, last_at)));
        first.store(dst);
        last.store(dst.add(last_at));
    }
}

/// [`run`] without a thought for alignment.
///
/// # Safety
///
/// As [`run`].
#[inline(always)]
unsafe fn run_from_here<L: Lane, const UNTIL_TEXT: bool>(span: Span, key: [u8; 4]) -> usize {
    const { assert!(L::BYTES.is_power_of_two() && L::BYTES >= 4) };
    let Span { dst, src, len } = span;
    debug_assert!(len >= L::BYTES, "a shorter span has its own path");
    let last_at = len - L::BYTES;
    let has_tail = len % L::BYTES != 0;
    // SAFETY: the caller vouches for the instructions. Each access covers `L::BYTES` from an offset of
    // at most `last_at`: inside the span. In place and leftwards no store reaches what is still to be
    // loaded: one at `at` ends at or before the end of what was loaded from `at`, and `last` was
    // loaded before any store.
    unsafe {
        let word = L::splat(key_at(key, 0));
        let last = if has_tail {
            L::load(src.add(last_at)).xor(L::splat(key_at(key, last_at)))
        } else {
            word
        };
        let mut at = 0;
        while at + UNROLLED * L::BYTES <= len {
            let mut lanes = [word; UNROLLED];
            let mut all = L::splat(0);
            for (n, lane) in lanes.iter_mut().enumerate() {
                *lane = L::load(src.add(at + n * L::BYTES)).xor(word);
                all = all.or(*lane);
            }
            if UNTIL_TEXT && !all.is_ascii() {
                return at;
            }
            for (n, lane) in lanes.into_iter().enumerate() {
                lane.store(dst.add(at + n * L::BYTES));
            }
            at += UNROLLED * L::BYTES;
        }
        while at + L::BYTES <= len {
            let lane = L::load(src.add(at)).xor(word);
            if UNTIL_TEXT && !lane.is_ascii() {
                return at;
            }
            lane.store(dst.add(at));
            at += L::BYTES;
        }
        if has_tail {
            if UNTIL_TEXT && !last.is_ascii() {
                return at;
            }
            last.store(dst.add(last_at));
        }
        len
    }
}

/// [`run`] over all of it, text or not.
///
/// # Safety
///
/// As [`run`].
#[inline(always)]
pub(crate) unsafe fn run_all<L: Lane>(span: Span, key: [u8; 4]) {
    // SAFETY: the caller vouches for the same.
    unsafe { run::<L, false>(span, key) };
}

/// [`run`] up to the first block that is not ASCII, and the key for what follows.
///
/// # Safety
///
/// As [`run`].
#[inline(always)]
pub(crate) unsafe fn run_ascii<L: Lane>(span: Span, key: [u8; 4]) -> (usize, [u8; 4]) {
    // SAFETY: the caller vouches for the same.
    let done = unsafe { run::<L, true>(span, key) };
    (done, rotate(key, done))
}
