//! XOR masking (RFC 6455 §5.3). In: bytes and a key. Out: the same bytes, XORed, in place or into
//! fresh memory; and the key rotated to where the next byte needs it.
//!
//! One kernel a file; this one chooses. Short inputs never reach the choice: they take the inline
//! portable path. Run-time detection needs feature `std`; without it the portable kernel serves.
//!
//! Never: allocates (but for [`append_masked`]), looks at UTF-8, knows what a frame is.

#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx2;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx512;
pub(crate) mod swar;

use alloc::vec::Vec;
use core::fmt;
use core::mem::MaybeUninit;

/// Up to this length the portable path beats a call through the dispatch.
const INLINE_BYTES_MAX: usize = 64;

/// XORs `buf` with `key`, repeated, and returns the key rotated by `buf.len()`, which is the key
/// for the byte that follows: a payload can be unmasked in pieces of any length.
///
/// ```
/// use fanfare_codec::apply_mask;
///
/// let key = [1, 2, 3, 4];
/// let (mut whole, mut pieces) = (*b"seven b", *b"seven b");
/// apply_mask(&mut whole, key);
/// let next = apply_mask(&mut pieces[..3], key);
/// apply_mask(&mut pieces[3..], next);
/// assert_eq!(whole, pieces);
/// ```
#[inline]
pub fn apply_mask(buf: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    if buf.len() < INLINE_BYTES_MAX {
        swar::apply_short(buf, key);
    } else {
        Kernel::detect().apply_long(buf, key);
    }
    rotate(key, buf.len())
}

/// Copies `src` to the front of `dst`, XORed with `key`, in one pass; returns the written part and
/// the key rotated by `src.len()`.
///
/// # Panics
///
/// If `dst` is shorter than `src`.
#[inline]
pub fn copy_mask<'d>(
    dst: &'d mut [MaybeUninit<u8>],
    src: &[u8],
    key: [u8; 4],
) -> (&'d mut [u8], [u8; 4]) {
    let written = swar::copy(&mut dst[..src.len()], src, key);
    (written, rotate(key, src.len()))
}

/// Appends `src` to `out`, XORed with `key`, in one pass; returns the key rotated by `src.len()`.
#[inline]
pub fn append_masked(out: &mut Vec<u8>, src: &[u8], key: [u8; 4]) -> [u8; 4] {
    out.reserve(src.len());
    let (written, next) = copy_mask(out.spare_capacity_mut(), src, key);
    let len = written.len();
    // SAFETY: `copy_mask` initialised `len` bytes of the spare capacity, which starts at
    // `out.len()`, so the first `out.len() + len` bytes of the allocation are initialised.
    unsafe { out.set_len(out.len() + len) };
    next
}

/// The key for the byte that lies `len` bytes after the one that `key` starts at.
#[inline]
const fn rotate(key: [u8; 4], len: usize) -> [u8; 4] {
    #[expect(clippy::cast_possible_truncation, reason = "0–3")]
    let turns = (len % 4) as u32;
    // In little-endian order byte 0 of the key is the low byte: rotating right brings the next
    // key byte down to it.
    u32::from_le_bytes(key)
        .rotate_right(8 * turns)
        .to_le_bytes()
}

/// The instruction set that a kernel is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust, which compilers vectorise for their baseline (SSE2, NEON).
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 F, BW and VL.
    Avx512,
}

impl Isa {
    /// All of them, slowest first.
    pub const ALL: &[Self] = &[Self::Portable, Self::Avx2, Self::Avx512];

    fn is_detected(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx2 => std::is_x86_feature_detected!("avx2"),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx512 => {
                std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512bw")
                    && std::is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }
}

/// A mask kernel that this CPU can run: [`apply_mask`] picks the fastest, tests and benches force one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Isa);

impl Kernel {
    /// The fastest kernel of this CPU.
    #[inline]
    #[must_use]
    pub fn detect() -> Self {
        if Isa::Avx512.is_detected() {
            Self(Isa::Avx512)
        } else if Isa::Avx2.is_detected() {
            Self(Isa::Avx2)
        } else {
            Self(Isa::Portable)
        }
    }

    /// The kernel for `isa`.
    ///
    /// # Errors
    ///
    /// [`IsaNotDetected`] when this CPU, or this build, cannot run it.
    pub fn force(isa: Isa) -> Result<Self, IsaNotDetected> {
        if isa.is_detected() {
            Ok(Self(isa))
        } else {
            Err(IsaNotDetected(isa))
        }
    }

    /// What it is written for.
    #[must_use]
    pub const fn isa(self) -> Isa {
        self.0
    }

    /// [`apply_mask`] with this kernel at every length, short ones too.
    #[inline]
    pub fn apply_mask(self, buf: &mut [u8], key: [u8; 4]) -> [u8; 4] {
        self.apply_long(buf, key);
        rotate(key, buf.len())
    }

    #[inline]
    fn apply_long(self, buf: &mut [u8], key: [u8; 4]) {
        match self.0 {
            Isa::Portable => swar::apply(buf, key),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: a `Kernel` of this ISA exists only if `is_detected` found AVX2.
            Isa::Avx2 => unsafe { avx2::apply(buf, key) },
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: a `Kernel` of this ISA exists only if `is_detected` found AVX-512 F, BW, VL.
            Isa::Avx512 => unsafe { avx512::apply(buf, key) },
            #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
            Isa::Avx2 | Isa::Avx512 => unreachable!("never detected in this build"),
        }
    }
}

/// The caller forced a kernel that this CPU, or this build, cannot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsaNotDetected(pub Isa);

impl fmt::Display for IsaNotDetected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {:?} kernel cannot run here: not detected", self.0)
    }
}

impl core::error::Error for IsaNotDetected {}
