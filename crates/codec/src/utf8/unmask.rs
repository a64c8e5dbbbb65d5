//! Unmasking and validating a text in one pass (RFC 6455 §5.3, §8.1). In: masked bytes and their key.
//! Out: the text, or the exact offset up to which it is valid.
//!
//! The loop XORs and looks for ASCII, which most text is to its end. From the first block on that is
//! not, AVX-512 validates in the same pass; elsewhere blocks that stay in a first-level cache are
//! unmasked, cut at a character's border, and go through `simdutf8`.
//!
//! Never: leaves a byte masked, not even behind an invalid one.

use super::{Utf8Error, locate, unfinished_len};
use alloc::vec::Vec;

#[cfg(all(feature = "std", target_arch = "x86_64"))]
use crate::mask::Isa;
use crate::mask::lane::Span;
use crate::mask::{self, Kernel, LANE_BYTES_MAX, rotate, swar};

/// Unmasked and then validated at once, where these are two passes.
const BLOCK_BYTES: usize = 16 << 10;

/// XORs `buf` with `key`, repeated, and gives it as text.
///
/// ```
/// use fanfare_codec::unmask_validate;
///
/// let mut masked = *b"\x49\x6B"; // "Hi"
/// assert_eq!(unmask_validate(&mut masked, [1, 2, 3, 4]), Ok("Hi"));
/// ```
///
/// # Errors
///
/// [`Utf8Error`] with the offset of the first invalid or unfinished sequence; `buf` is unmasked all
/// the same.
#[inline]
pub fn unmask_validate(buf: &mut [u8], key: [u8; 4]) -> Result<&str, Utf8Error> {
    // SAFETY: `buf` is borrowed exclusively, and goes nowhere else.
    let valid = unsafe { run_text(Span::in_place(buf), key) };
    finish(buf, valid)
}

/// Bytes that somebody looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen<'b> {
    /// All of them ASCII.
    Ascii(&'b str),
    /// Any.
    Bytes(&'b [u8]),
}

/// XORs `buf` with `key`, repeated; at most 128 bytes.
#[inline(always)]
pub(crate) fn unmask_short(buf: &mut [u8], key: [u8; 4]) -> Seen<'_> {
    assert!(buf.len() <= swar::SHORT_BYTES_MAX, "a short payload");
    // SAFETY: `buf` is borrowed exclusively, and goes nowhere else.
    if unsafe { swar::short(Span::in_place(buf), key) } {
        // SAFETY: `short` looked at the high bit of each byte: all of them are ASCII.
        Seen::Ascii(unsafe { core::str::from_utf8_unchecked(buf) })
    } else {
        Seen::Bytes(buf)
    }
}

/// Moves the `len` bytes at `from` in `buf` to `to`, which is no further right, and unmasks them.
///
/// # Errors
///
/// [`Utf8Error`] if they were to be text and are not; everything is moved all the same.
///
/// # Panics
///
/// If they do not lie in `buf`, or `to` is right of `from`.
#[inline(always)]
pub(crate) fn unmask_leftwards(
    buf: &mut [u8],
    from: usize,
    to: usize,
    len: usize,
    key: [u8; 4],
    is_text: bool,
) -> Result<(), Utf8Error> {
    assert!(to <= from, "rightwards");
    let within = &mut buf[to..from + len];
    let dst = within.as_mut_ptr();
    // SAFETY: `within` ends `len` bytes behind `from - to`. So all of the span lies in it, which is
    // borrowed exclusively, and `dst` is in front of `src`, or the same.
    let src = unsafe { dst.add(from - to) };
    let span = Span { dst, src, len };
    if len <= swar::SHORT_BYTES_MAX {
        // SAFETY: the span keeps its promises, as above.
        let is_ascii = unsafe { swar::short(span, key) };
        if is_ascii || !is_text {
            return Ok(());
        }
        return super::validate(&within[..len]).map(|_| ());
    }
    if is_text {
        // SAFETY: the same.
        let valid = unsafe { run_text(span, key) };
        finish(&within[..len], valid).map(|_| ())
    } else {
        // SAFETY: the same.
        unsafe { mask::run(span, key) };
        Ok(())
    }
}

/// `buf` as text, as `valid` says that it is, or where the fault behind so many bytes is.
#[inline(always)]
fn finish(buf: &[u8], valid: Result<(), usize>) -> Result<&str, Utf8Error> {
    match valid {
        // SAFETY: both callers, in this file, have it from `run_text` that these bytes, just written,
        // are UTF-8.
        Ok(()) => Ok(unsafe { core::str::from_utf8_unchecked(buf) }),
        Err(good) => Err(Utf8Error {
            valid_up_to: good as u64 + locate(&buf[good..]).valid_up_to,
        }),
    }
}

/// Moves and unmasks all of `span`; whether it is UTF-8, or else how many bytes of whole, valid
/// characters the fault is behind.
///
/// # Safety
///
/// `span` keeps its promises.
#[inline(always)]
pub(crate) unsafe fn run_text(span: Span, key: [u8; 4]) -> Result<(), usize> {
    if span.len > swar::SHORT_BYTES_MAX {
        // SAFETY: the caller vouches for the span.
        return unsafe { Kernel::detect().run_long_text(span, key) };
    }
    // SAFETY: the caller vouches for the span.
    if unsafe { swar::short(span, key) } {
        return Ok(());
    }
    // SAFETY: the same bytes of `dst`, just written.
    super::is_utf8(unsafe { core::slice::from_raw_parts(span.dst, span.len) })
        .then_some(())
        .ok_or(0)
}

/// Appends `src` to `out`, XORed with `key`; gives how many bytes at its front are ASCII for certain.
pub(super) fn append_masked(out: &mut Vec<u8>, src: &[u8], key: [u8; 4]) -> usize {
    out.reserve(src.len());
    let spare = out.spare_capacity_mut();
    let span = Span {
        dst: spare.as_mut_ptr().cast(),
        src: src.as_ptr(),
        len: src.len(),
    };
    // SAFETY: `reserve` made room for `src.len()` bytes behind `out.len()`, which are borrowed
    // exclusively and so not those of `src`; `run_counting_ascii` writes all of them.
    unsafe {
        let ascii = run_counting_ascii(span, key);
        out.set_len(out.len() + src.len());
        ascii
    }
}

/// Moves and unmasks all of `span`; how many bytes at its front are ASCII for certain.
///
/// # Safety
///
/// `span` keeps its promises.
unsafe fn run_counting_ascii(span: Span, key: [u8; 4]) -> usize {
    if span.len < LANE_BYTES_MAX {
        // SAFETY: the caller vouches for the span.
        let is_ascii = unsafe { swar::short(span, key) };
        return if is_ascii { span.len } else { 0 };
    }
    // SAFETY: the caller vouches for the span; `ascii` is at most its length, and what is behind has
    // not been touched.
    unsafe {
        let (ascii, key) = Kernel::detect().run_ascii(span, key);
        mask::run(span.behind(ascii), key);
        ascii
    }
}

impl Kernel {
    /// [`unmask_validate`] with this kernel wherever its registers fit.
    ///
    /// # Errors
    ///
    /// As [`unmask_validate`].
    pub fn unmask_validate(self, buf: &mut [u8], key: [u8; 4]) -> Result<&str, Utf8Error> {
        let span = Span::in_place(buf);
        let valid = if span.len < LANE_BYTES_MAX {
            // SAFETY: `buf` is borrowed exclusively, and goes nowhere else.
            unsafe { run_text(span, key) }
        } else {
            // SAFETY: the same.
            unsafe { self.run_long_text(span, key) }
        };
        finish(buf, valid)
    }

    /// # Safety
    ///
    /// `span` keeps its promises and has at least [`LANE_BYTES_MAX`].
    unsafe fn run_long_text(self, span: Span, key: [u8; 4]) -> Result<(), usize> {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if self.isa() == Isa::Avx512 {
            let Span { dst, src, len } = span;
            // SAFETY: the caller vouches for the span; a `Kernel` of this ISA exists only if AVX-512
            // F, BW, VL and VBMI were detected.
            return unsafe { super::avx512::run_text(dst, src, len, key) };
        }
        // SAFETY: the caller vouches for the span; `run_ascii` gives at most its length, and has not
        // touched what is behind.
        unsafe {
            let (ascii, key) = self.run_ascii(span, key);
            self.run_behind_ascii(span, ascii, key)
        }
    }

    /// Unmasks and validates `span` behind its first `good` bytes, block by block.
    ///
    /// # Safety
    ///
    /// `span` keeps its promises behind `good`, and its bytes before that are written.
    unsafe fn run_behind_ascii(
        self,
        span: Span,
        mut good: usize,
        mut key: [u8; 4],
    ) -> Result<(), usize> {
        let mut at = good;
        while at < span.len {
            let len = (span.len - at).min(BLOCK_BYTES);
            // SAFETY: `at` and `at + len` are at most the span's length, and what is behind `at` has
            // not been touched.
            unsafe { self.run(span.behind(at).front(len), key) };
            key = rotate(key, len);
            at += len;
            // SAFETY: these bytes of `dst` are written.
            let block = unsafe { core::slice::from_raw_parts(span.dst.add(good), at - good) };
            let cut = if at < span.len {
                unfinished_len(block)
            } else {
                0
            };
            let whole = &block[..block.len() - cut];
            if simdutf8::basic::from_utf8(whole).is_err() {
                // SAFETY: as above.
                unsafe { self.run(span.behind(at), key) };
                return Err(good);
            }
            good += whole.len();
        }
        Ok(())
    }
}
