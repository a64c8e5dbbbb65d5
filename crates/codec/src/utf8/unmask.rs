//! Unmasking and validating a text in one pass (RFC 6455 §5.3, §8.1). In: masked bytes and their key.
//! Out: the text, or the exact offset up to which it is valid.
//!
//! The kernels XOR the whole input and say how far it is ASCII, which most text is to its end; what
//! follows the first block that is not goes through `simdutf8`.
//!
//! Never: leaves a byte masked, not even behind an invalid one.

use super::{Utf8Error, locate};
use crate::mask::{Isa, Kernel, swar};

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
    let ascii = if buf.len() < swar::BLOCK_BYTES {
        ascii_tail(buf, key, true)
    } else {
        Kernel::detect().unmask_ascii(buf, key)
    };
    text_behind_ascii(buf, ascii)
}

/// `buf`, whose first `ascii` bytes are known to be ASCII, as text.
#[inline]
fn text_behind_ascii(buf: &[u8], ascii: usize) -> Result<&str, Utf8Error> {
    let rest = &buf[ascii..];
    if !rest.is_empty() && simdutf8::basic::from_utf8(rest).is_err() {
        let valid_up_to = ascii as u64 + locate(rest).valid_up_to;
        return Err(Utf8Error { valid_up_to });
    }
    // SAFETY: the first `ascii` bytes are ASCII, as both callers, in this file, have it from a kernel
    // that looked at the high bit of each; what follows was just validated, or is nothing. Two valid
    // texts one behind the other are valid.
    Ok(unsafe { core::str::from_utf8_unchecked(buf) })
}

impl Kernel {
    /// [`unmask_validate`] with this kernel at every length, short ones too.
    ///
    /// # Errors
    ///
    /// As [`unmask_validate`].
    pub fn unmask_validate(self, buf: &mut [u8], key: [u8; 4]) -> Result<&str, Utf8Error> {
        let ascii = self.unmask_ascii(buf, key);
        text_behind_ascii(buf, ascii)
    }

    /// Unmasks all of `buf`; gives how many bytes at its front are ASCII, to the kernel's block.
    #[inline]
    fn unmask_ascii(self, buf: &mut [u8], key: [u8; 4]) -> usize {
        match self.isa() {
            Isa::Portable => unmask_ascii_portable(buf, key),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: a `Kernel` of this ISA exists only if AVX2 was detected.
            Isa::Avx2 => unsafe { super::avx2::unmask_ascii(buf, key) },
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: a `Kernel` of this ISA exists only if AVX-512 F, BW and VL were detected.
            Isa::Avx512 => unsafe { super::avx512::unmask_ascii(buf, key) },
            #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
            Isa::Avx2 | Isa::Avx512 => unreachable!("never detected in this build"),
        }
    }
}

fn unmask_ascii_portable(buf: &mut [u8], key: [u8; 4]) -> usize {
    let (blocks, tail) = buf.as_chunks_mut::<{ swar::BLOCK_BYTES }>();
    let count = blocks.len();
    let mut ascii_blocks = 0;
    let mut rest = blocks.iter_mut();
    for block in rest.by_ref() {
        if !swar::apply_block(block, key).is_ascii() {
            break;
        }
        ascii_blocks += 1;
    }
    for block in rest {
        swar::apply_block(block, key);
    }
    ascii_blocks * swar::BLOCK_BYTES + ascii_tail(tail, key, ascii_blocks == count)
}

/// Unmasks the end of an input; gives its length if it is ASCII and so is all before it, else 0.
#[inline]
pub(super) fn ascii_tail(tail: &mut [u8], key: [u8; 4], all_before: bool) -> usize {
    let folded = swar::apply_short(tail, key);
    if all_before && folded.is_ascii() {
        tail.len()
    } else {
        0
    }
}
