//! UTF-8 validation of text messages (RFC 6455 §8.1, RFC 3629). In: bytes, in pieces cut anywhere.
//! Out: the text, or the exact offset up to which it is valid, at the piece that breaks it.
//!
//! The bulk goes through `simdutf8`; only the at most three bytes of a character that a piece cuts
//! are carried to the next.
//!
//! Never: waits for a sequence to be complete when its first bytes already cannot be UTF-8.

#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx512;
mod unmask;

use alloc::vec::Vec;
use core::fmt;

pub use unmask::unmask_validate;
pub(crate) use unmask::{Seen, unmask_leftwards, unmask_short};

#[cfg(all(feature = "std", target_arch = "x86_64"))]
use crate::mask::{Isa, Kernel};

/// The bytes are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utf8Error {
    /// Bytes before the first invalid or unfinished sequence, counted from the start of the text.
    pub valid_up_to: u64,
}

impl fmt::Display for Utf8Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not UTF-8 at byte {}", self.valid_up_to)
    }
}

impl core::error::Error for Utf8Error {}

/// The whole of `bytes` as text.
///
/// # Errors
///
/// [`Utf8Error`] with the offset of the first invalid or unfinished sequence.
#[inline]
pub fn validate(bytes: &[u8]) -> Result<&str, Utf8Error> {
    if is_utf8(bytes) {
        // SAFETY: just validated.
        Ok(unsafe { core::str::from_utf8_unchecked(bytes) })
    } else {
        Err(locate(bytes))
    }
}

/// Whether `bytes` are UTF-8, by the fastest validator of this CPU.
#[inline]
fn is_utf8(bytes: &[u8]) -> bool {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if Kernel::detect().isa() == Isa::Avx512 {
        // SAFETY: a `Kernel` of this ISA exists only if AVX-512 F, BW, VL and VBMI were detected.
        return unsafe { avx512::is_utf8(bytes) };
    }
    simdutf8::basic::from_utf8(bytes).is_ok()
}

/// The second pass, taken only by invalid text: `basic` is the faster validator and does not count.
#[cold]
fn locate(bytes: &[u8]) -> Utf8Error {
    let valid = simdutf8::compat::from_utf8(bytes).map_or_else(|e| e.valid_up_to(), str::len);
    Utf8Error {
        valid_up_to: valid as u64,
    }
}

/// Validates a text that arrives in pieces, which may cut a character anywhere.
///
/// Its answer does not depend on where the pieces were cut. After an error its answers mean nothing:
/// start a new one.
///
/// ```
/// use fanfare_codec::Utf8Validator;
///
/// let mut validator = Utf8Validator::default();
/// validator.push(b"\xF0\x9F")?; // half of a character: nothing wrong so far
/// assert_eq!(validator.finish().unwrap_err().valid_up_to, 0);
/// validator.push(b"\x8E\xBA")?;
/// validator.finish()?;
/// // A surrogate cannot be completed to UTF-8: refused before its last byte is there.
/// assert_eq!(validator.push(b"ok \xED\xA0").unwrap_err().valid_up_to, 7);
/// # Ok::<(), fanfare_codec::Utf8Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Utf8Validator {
    /// Bytes of whole, valid characters so far.
    valid: u64,
    /// The start of a character, in `carry[..carry_len]`.
    carry: [u8; 3],
    carry_len: u8,
}

impl Utf8Validator {
    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// [`Utf8Error`] as soon as no continuation could make the text valid.
    #[inline]
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Utf8Error> {
        let rest = if self.carry_len == 0 {
            piece
        } else {
            self.complete_carry(piece)?
        };
        let (whole, cut) = rest.split_at(rest.len() - unfinished_len(rest));
        if !is_utf8(whole) {
            return Err(self.error_after(locate(whole).valid_up_to));
        }
        self.valid += whole.len() as u64;
        if !cut.is_empty() {
            self.start_carry(cut)?;
        }
        Ok(())
    }

    /// [`push`](Self::push) of a piece whose first `ascii` bytes are known to be ASCII.
    #[inline]
    fn push_behind_ascii(&mut self, piece: &[u8], ascii: usize) -> Result<(), Utf8Error> {
        if self.carry_len > 0 {
            return self.push(piece);
        }
        self.valid += ascii as u64;
        self.push(&piece[ascii..])
    }

    /// Ends the text.
    ///
    /// # Errors
    ///
    /// [`Utf8Error`] when the last character is unfinished.
    #[inline]
    pub const fn finish(&self) -> Result<(), Utf8Error> {
        if self.carry_len == 0 {
            Ok(())
        } else {
            Err(self.error_after(0))
        }
    }

    /// Feeds the carried character byte by byte until it is whole; gives what follows it.
    fn complete_carry<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], Utf8Error> {
        let mut character = [0; 4];
        let mut len = usize::from(self.carry_len);
        character[..len].copy_from_slice(&self.carry[..len]);
        for (taken, &byte) in piece.iter().enumerate() {
            character[len] = byte;
            len += 1;
            if self.is_whole(&character[..len])? {
                self.valid += len as u64;
                self.carry_len = 0;
                return Ok(&piece[taken + 1..]);
            }
        }
        self.set_carry(&character[..len]);
        Ok(&[])
    }

    fn start_carry(&mut self, cut: &[u8]) -> Result<(), Utf8Error> {
        let whole = self.is_whole(cut)?;
        debug_assert!(
            !whole,
            "`unfinished_len` found a character with bytes missing"
        );
        self.set_carry(cut);
        Ok(())
    }

    /// Whether `bytes`, at most one character, are all of it; an error if they can't become one.
    fn is_whole(&self, bytes: &[u8]) -> Result<bool, Utf8Error> {
        match core::str::from_utf8(bytes) {
            Ok(_) => Ok(true),
            Err(e) if e.error_len().is_none() => Ok(false),
            Err(_) => Err(self.error_after(0)),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "an unfinished character: 1–3 bytes"
    )]
    fn set_carry(&mut self, bytes: &[u8]) {
        self.carry[..bytes.len()].copy_from_slice(bytes);
        self.carry_len = bytes.len() as u8;
    }

    const fn error_after(&self, more: u64) -> Utf8Error {
        Utf8Error {
            valid_up_to: self.valid + more,
        }
    }
}

/// How many of the last bytes start a character that is longer than what is there: 0–3.
fn unfinished_len(bytes: &[u8]) -> usize {
    for (back, &byte) in bytes.iter().rev().take(3).enumerate() {
        let have = back + 1;
        let needs = match byte {
            0x80..=0xBF => continue, // a continuation byte: its lead is further left
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            0x00..=0x7F => 1,
        };
        return if needs > have { have } else { 0 };
    }
    0
}

/// Appends what `write` writes to the front of `room` bytes, zeros before: as many as it says.
#[cfg(feature = "deflate")]
pub(crate) fn append_written(
    bytes: &mut Vec<u8>,
    room: usize,
    write: impl FnOnce(&mut [u8]) -> usize,
) {
    let before = bytes.len();
    bytes.resize(before + room, 0);
    let written = write(&mut bytes[before..]);
    bytes.truncate(before + written.min(room));
}

/// Text that grows piece by piece, each validated as it is appended.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextBuffer {
    bytes: Vec<u8>,
    validator: Utf8Validator,
}

impl TextBuffer {
    /// Bytes so far.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The memory that it has, in bytes.
    #[cfg(feature = "deflate")]
    pub(crate) const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Its memory, to make room in.
    pub(crate) const fn memory(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a masked piece, unmasked.
    ///
    /// An error empties it, so that what it holds is always what its validator has seen.
    pub(crate) fn push_masked(&mut self, piece: &[u8], key: [u8; 4]) -> Result<(), Utf8Error> {
        // Appended first: growing may unwind, and then the validator has not seen the piece either.
        let before = self.bytes.len();
        let ascii = unmask::append_masked(&mut self.bytes, piece, key);
        self.validator
            .push_behind_ascii(&self.bytes[before..], ascii)
            .inspect_err(|_| *self = Self::default())
    }

    /// Appends what `write` writes to the front of `room` bytes: as many as it says.
    ///
    /// An error empties it, as it does in [`push_masked`](Self::push_masked).
    #[cfg(feature = "deflate")]
    pub(crate) fn fill(
        &mut self,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<(), Utf8Error> {
        // Taken out: should `write` unwind, neither a byte nor what the validator waits for is left.
        let mut text = core::mem::take(self);
        let before = text.bytes.len();
        append_written(&mut text.bytes, room, write);
        text.validator.push(&text.bytes[before..])?;
        *self = text;
        Ok(())
    }

    /// All of it, when its last character is finished.
    pub(crate) fn finish(&self) -> Result<&str, Utf8Error> {
        self.validator.finish()?;
        // SAFETY: `bytes` holds exactly what `validator.push` accepted, in order, since both were
        // last empty: `push` gives the validator what it has appended, empties both on an error, and
        // leaves both as they were if appending unwinds; `fill` does the same, but leaves both empty if
        // what it calls unwinds. The validator carries no unfinished
        // character, so they are whole, valid UTF-8 sequences.
        Ok(unsafe { core::str::from_utf8_unchecked(&self.bytes) })
    }

    /// The same, given away; `None` when its last character is not finished.
    pub(crate) fn into_string(self) -> Option<alloc::string::String> {
        self.finish().ok()?;
        // SAFETY: `finish` has just lent the same bytes as UTF-8.
        Some(unsafe { alloc::string::String::from_utf8_unchecked(self.bytes) })
    }
}
