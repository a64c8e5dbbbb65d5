//! XOR masking (RFC 6455 §5.3). In: bytes and a key. Out: the same bytes, XORed, in place or into
//! fresh memory; and the key rotated to where the next byte needs it.
//!
//! `lane.rs` is the loop, the other files are registers for it; this one chooses. Short inputs never
//! reach the choice: they take the inline portable path. Run-time detection needs feature `std`;
//! without it the portable kernel serves.
//!
//! Never: allocates (but for [`append_masked`]), looks at UTF-8, knows what a frame is.

#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(crate) mod avx2;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(crate) mod avx512;
pub(crate) mod lane;
pub(crate) mod swar;

use alloc::vec::Vec;
use core::fmt;
use core::mem::MaybeUninit;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use core::sync::atomic::{AtomicU8, Ordering};

use lane::Span;

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
    // SAFETY: `buf` is borrowed exclusively, and goes nowhere else.
    unsafe { run(Span::in_place(buf), key) };
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
    let written = Kernel::detect().copy_with(dst, src, |_, span| {
        // SAFETY: `copy_with` keeps the span's promises.
        unsafe { run(span, key) };
    });
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

/// Appends the first `header_len` bytes of `header`, at most all, and `payload` XORed with `key`.
#[inline]
pub(crate) fn append_masked_behind(
    out: &mut Vec<u8>,
    (header, header_len): ([u8; 16], usize),
    payload: &[u8],
    key: [u8; 4],
) {
    assert!(header_len <= header.len(), "longer than any header");
    out.reserve(header.len() + payload.len());
    let len = out.len();
    // SAFETY: `reserve` made room for all of `header` and `payload` behind `len`, borrowed exclusively
    // and so apart from both. `header` is written whole, `run` writes each byte of the payload behind
    // its first `header_len` bytes: all that `set_len` adds is initialised.
    unsafe {
        let end = out.as_mut_ptr().add(len);
        end.cast::<[u8; 16]>().write(header);
        let span = Span {
            dst: end.add(header_len),
            src: payload.as_ptr(),
            len: payload.len(),
        };
        run(span, key);
        out.set_len(len + header_len + payload.len());
    }
}

/// XORs a span of any length: a few bytes in the caller's own code, the others behind a call.
///
/// # Safety
///
/// `span` keeps its promises.
#[inline(always)]
pub(crate) unsafe fn run(span: Span, key: [u8; 4]) {
    if span.len <= swar::TINY_BYTES_MAX {
        // SAFETY: the caller vouches for the span.
        unsafe { swar::tiny(span, key) };
    } else {
        let Span { dst, src, len } = span; // in registers: the whole would be passed by reference
        // SAFETY: the caller vouches for the span, which is long enough.
        unsafe { run_behind_call(dst, src, len, key) };
    }
}

/// [`run`] from more than [`swar::TINY_BYTES_MAX`] bytes on. Every way through it ends in a jump, so
/// that the short ones save no registers.
///
/// # Safety
///
/// As [`run`]; the span has more than [`swar::TINY_BYTES_MAX`] bytes.
#[inline(never)]
unsafe fn run_behind_call(dst: *mut u8, src: *const u8, len: usize, key: [u8; 4]) {
    let span = Span { dst, src, len };
    if len <= LANE_BYTES_MAX {
        // SAFETY: the caller vouches for the span, which is shorter than what is short.
        unsafe { swar::short(span, key) };
    } else if let Some(kernel) = Kernel::detected() {
        // SAFETY: the caller vouches for the span; it is longer than any register.
        unsafe { kernel.run_long(span, key) };
    } else {
        // SAFETY: the same.
        unsafe { run_first(dst, src, len, key) };
    }
}

/// [`run_behind_call`] before a kernel was detected.
///
/// # Safety
///
/// As [`Kernel::run_long`].
#[cold]
#[inline(never)]
unsafe fn run_first(dst: *mut u8, src: *const u8, len: usize, key: [u8; 4]) {
    // SAFETY: the caller vouches for the span.
    unsafe { Kernel::detect().run_long(Span { dst, src, len }, key) };
}

/// The longest register: what is shorter is no kernel's.
pub(crate) const LANE_BYTES_MAX: usize = 64;

/// The key for the byte that lies `len` bytes after the one that `key` starts at.
#[inline(always)]
pub(crate) const fn rotate(key: [u8; 4], len: usize) -> [u8; 4] {
    #[expect(clippy::cast_possible_truncation, reason = "0–3")]
    let turns = (len % 4) as u32;
    // In little-endian order byte 0 of the key is the low byte: rotating right brings the next
    // key byte down to it.
    u32::from_le_bytes(key)
        .rotate_right(8 * turns)
        .to_le_bytes()
}

/// [`rotate`], as a word in the order of memory.
#[inline(always)]
const fn key_at(key: [u8; 4], len: usize) -> u32 {
    u32::from_ne_bytes(rotate(key, len))
}

/// The instruction set that a kernel is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust, which compilers vectorise for their baseline (SSE2, NEON).
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VBMI: Ice Lake, Zen 4 and later. What came before lowers
    /// its clock for 512 bits.
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
                    && std::is_x86_feature_detected!("avx512vbmi")
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
    /// The fastest kernel of this CPU, unless another is [used everywhere](Self::use_everywhere).
    #[inline]
    #[must_use]
    pub fn detect() -> Self {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        {
            Self::detected().unwrap_or_else(Self::detect_first)
        }
        #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
        Self(Isa::Portable)
    }

    /// What [`detect`](Self::detect) gives, if it has run before or has nothing to find out.
    #[inline(always)]
    fn detected() -> Option<Self> {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        {
            match DETECTED.load(Ordering::Relaxed) {
                AVX512 => Some(Self(Isa::Avx512)),
                AVX2 => Some(Self(Isa::Avx2)),
                PORTABLE => Some(Self(Isa::Portable)),
                _ => None,
            }
        }
        #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
        Some(Self(Isa::Portable))
    }

    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    #[cold]
    fn detect_first() -> Self {
        let fastest = Isa::ALL.iter().rev().find(|isa| isa.is_detected());
        let kernel = fastest.map_or(Self(Isa::Portable), |isa| Self(*isa));
        kernel.use_everywhere();
        kernel
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

    /// Makes the whole process use it from now on, wherever a kernel is chosen: [`apply_mask`], the
    /// decoders, the validators. For tests and benches.
    pub fn use_everywhere(self) {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        DETECTED.store(self.code(), Ordering::Relaxed);
    }

    /// How [`DETECTED`] names it.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    const fn code(self) -> u8 {
        match self.0 {
            Isa::Portable => PORTABLE,
            Isa::Avx2 => AVX2,
            Isa::Avx512 => AVX512,
        }
    }

    /// What it is written for.
    #[must_use]
    pub const fn isa(self) -> Isa {
        self.0
    }

    /// [`apply_mask`] with this kernel wherever its registers fit.
    #[inline]
    pub fn apply_mask(self, buf: &mut [u8], key: [u8; 4]) -> [u8; 4] {
        // SAFETY: `buf` is borrowed exclusively, and goes nowhere else.
        unsafe { self.run(Span::in_place(buf), key) };
        rotate(key, buf.len())
    }

    /// [`copy_mask`] with this kernel wherever its registers fit; where AVX-512's would mostly read
    /// across cache lines, with AVX2's.
    ///
    /// # Panics
    ///
    /// As [`copy_mask`].
    #[inline]
    pub fn copy_mask<'d>(
        self,
        dst: &'d mut [MaybeUninit<u8>],
        src: &[u8],
        key: [u8; 4],
    ) -> (&'d mut [u8], [u8; 4]) {
        let written = self.copy_with(dst, src, |kernel, span| {
            // SAFETY: `copy_with` keeps the span's promises.
            unsafe { kernel.run(span, key) };
        });
        (written, rotate(key, src.len()))
    }

    /// Has `fill` move all of `src` to the front of `dst`, and gives what it wrote.
    #[inline(always)]
    fn copy_with<'d>(
        self,
        dst: &'d mut [MaybeUninit<u8>],
        src: &[u8],
        fill: impl FnOnce(Self, Span),
    ) -> &'d mut [u8] {
        let dst = &mut dst[..src.len()];
        let span = Span {
            dst: dst.as_mut_ptr().cast(),
            src: src.as_ptr(),
            len: src.len(),
        };
        fill(self, span);
        // SAFETY: `MaybeUninit<u8>` has the layout of `u8`, and both callers' `fill` writes each of
        // the `src.len()` bytes: `run` leaves none out.
        unsafe { &mut *(core::ptr::from_mut(dst) as *mut [u8]) }
    }

    /// # Safety
    ///
    /// `span` keeps its promises.
    #[inline]
    pub(crate) unsafe fn run(self, span: Span, key: [u8; 4]) {
        if span.len < LANE_BYTES_MAX {
            // SAFETY: the caller vouches for the span.
            unsafe { swar::short(span, key) };
        } else {
            // SAFETY: the caller vouches for the span.
            unsafe { self.run_long(span, key) };
        }
    }

    /// # Safety
    ///
    /// `span` keeps its promises and has at least [`LANE_BYTES_MAX`].
    #[inline(always)]
    pub(crate) unsafe fn run_long(self, span: Span, key: [u8; 4]) {
        debug_assert!(span.len >= LANE_BYTES_MAX, "shorter than a register");
        let Span { dst, src, len } = span; // in registers: the whole would be passed by reference
        match self.0 {
            // SAFETY: the caller vouches for the span.
            Isa::Portable => unsafe { swar::run(dst, src, len, key) },
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: the caller vouches for the span; a `Kernel` of this ISA exists only if
            // `is_detected` found AVX2.
            Isa::Avx2 => unsafe { avx2::run(dst, src, len, key) },
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: the caller vouches for the span; AVX-512 F includes AVX2.
            Isa::Avx512 if reads_cross_lines(span) => unsafe { avx2::run(dst, src, len, key) },
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: the caller vouches for the span; a `Kernel` of this ISA exists only if
            // `is_detected` found AVX-512 F, BW and VL.
            Isa::Avx512 => unsafe { avx512::run(dst, src, len, key) },
            #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
            Isa::Avx2 | Isa::Avx512 => unreachable!("never detected in this build"),
        }
    }
}

impl Kernel {
    /// XORs `span` while it is ASCII; how many bytes of it, and the key of the next.
    ///
    /// # Safety
    ///
    /// `span` keeps its promises and has at least [`LANE_BYTES_MAX`].
    #[inline]
    pub(crate) unsafe fn run_ascii(self, span: Span, key: [u8; 4]) -> (usize, [u8; 4]) {
        debug_assert!(span.len >= LANE_BYTES_MAX, "shorter than a register");
        let Span { dst, src, len } = span; // in registers: the whole would be passed by reference
        match self.0 {
            // SAFETY: the caller vouches for the span.
            Isa::Portable => unsafe { swar::run_ascii(dst, src, len, key) },
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: the caller vouches for the span; a `Kernel` of this ISA exists only if
            // `is_detected` found AVX2.
            Isa::Avx2 => unsafe { avx2::run_ascii(dst, src, len, key) },
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: the caller vouches for the span; a `Kernel` of this ISA exists only if
            // `is_detected` found AVX-512 F, BW and VL.
            Isa::Avx512 => unsafe { avx512::run_ascii(dst, src, len, key) },
            #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
            Isa::Avx2 | Isa::Avx512 => unreachable!("never detected in this build"),
        }
    }
}

/// Whether a loop that aligns its stores reads across the borders of cache lines: registers of 64
/// bytes do so each time, those of 32 every other time (`versus`, `encode_masked_1024`).
#[cfg(all(feature = "std", target_arch = "x86_64"))]
#[inline(always)]
fn reads_cross_lines(Span { dst, src, len }: Span) -> bool {
    len >= lane::ALIGNED_FROM_BYTES && dst.addr() % LANE_BYTES_MAX != src.addr() % LANE_BYTES_MAX
}

/// What [`Kernel::detect`] found, or was told: zero before, and then one of the three below.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
static DETECTED: AtomicU8 = AtomicU8::new(0);
#[cfg(all(feature = "std", target_arch = "x86_64"))]
const PORTABLE: u8 = 1;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
const AVX2: u8 = 2;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
const AVX512: u8 = 3;

/// The caller forced a kernel that this CPU, or this build, cannot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsaNotDetected(pub Isa);

impl fmt::Display for IsaNotDetected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {:?} kernel cannot run here: not detected", self.0)
    }
}

impl core::error::Error for IsaNotDetected {}
