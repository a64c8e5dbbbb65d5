//! The physical bound of unmasking: each byte loaded, XORed and stored once, 64 at a time.
//! In: bytes and a key. Out: the same bytes, XORed.
//!
//! Hand-tuned for long inputs and for short ones, with nothing around it: no dispatch inside, no
//! validation, no key to hand back. Without AVX-512 the bound is what the compiler makes of words.
//!
//! Never: used by anything but the benches.

/// XORs as fast as this CPU can.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    #[cfg(target_arch = "x86_64")]
    has_avx512: bool,
}

impl Limit {
    /// For this CPU.
    #[must_use]
    pub fn detect() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            has_avx512: std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512bw"),
        }
    }

    /// What the bound is made of.
    #[must_use]
    pub const fn name(self) -> &'static str {
        #[cfg(target_arch = "x86_64")]
        if self.has_avx512 {
            return "AVX-512 load-xor-store";
        }
        "word load-xor-store"
    }

    /// Calls `walk` with the bound's XOR in place.
    ///
    /// The walk is compiled for the bound's instruction set, so that the XOR is inlined into it.
    #[inline]
    pub fn walk(self, buf: &mut [u8], spans: &[std::ops::Range<usize>], key: [u8; 4]) {
        #[cfg(target_arch = "x86_64")]
        if self.has_avx512 {
            // SAFETY: `has_avx512` is true only if AVX-512 F and BW were detected.
            return unsafe { avx512::walk(buf, spans, key) };
        }
        for span in spans {
            xor_words(&mut buf[span.clone()], key);
        }
    }

    /// XORs the last `size` bytes of every `stride` of `buf`.
    #[inline]
    pub fn stride(self, buf: &mut [u8], stride: usize, size: usize, key: [u8; 4]) {
        #[cfg(target_arch = "x86_64")]
        if self.has_avx512 {
            // SAFETY: `has_avx512` is true only if AVX-512 F and BW were detected.
            return unsafe { avx512::stride(buf, stride, size, key) };
        }
        for piece in buf.chunks_exact_mut(stride) {
            xor_words(&mut piece[stride - size..], key);
        }
    }

    /// Writes `src`, XORed, over `dst`, which is as long.
    #[inline]
    pub fn copy(self, dst: &mut [u8], src: &[u8], key: [u8; 4]) {
        #[cfg(target_arch = "x86_64")]
        if self.has_avx512 {
            // SAFETY: `has_avx512` is true only if AVX-512 F and BW were detected.
            return unsafe { avx512::copy(dst, src, key) };
        }
        dst.copy_from_slice(src);
        xor_words(dst, key);
    }
}

fn xor_words(buf: &mut [u8], key: [u8; 4]) {
    let word = u32::from_ne_bytes(key);
    let (words, tail) = buf.as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512i, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512, _mm512_xor_si512,
    };
    use std::ops::Range;

    const VECTOR_BYTES: usize = 64;
    /// From here on stores that straddle cache lines cost more than aligning them does.
    const ALIGNED_BYTES_MIN: usize = 4096;

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn walk(buf: &mut [u8], spans: &[Range<usize>], key: [u8; 4]) {
        for span in spans {
            xor(&mut buf[span.clone()], key);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn stride(buf: &mut [u8], stride: usize, size: usize, key: [u8; 4]) {
        for piece in buf.chunks_exact_mut(stride) {
            xor(&mut piece[stride - size..], key);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn copy(dst: &mut [u8], src: &[u8], key: [u8; 4]) {
        let dst = &mut dst[..src.len()];
        let word = _mm512_set1_epi32(i32::from_ne_bytes(key));
        let (from, _) = src.as_chunks::<VECTOR_BYTES>();
        let (to, _) = dst.as_chunks_mut::<VECTOR_BYTES>();
        for (from, to) in from.iter().zip(to) {
            store(to, _mm512_xor_si512(load(from), word));
        }
        match (src.last_chunk(), dst.last_chunk_mut()) {
            (Some(from), Some(to)) => {
                store(to, _mm512_xor_si512(load(from), turned(key, src.len())));
            }
            _ => copy_short(dst, src, key),
        }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn xor(buf: &mut [u8], key: [u8; 4]) {
        let len = buf.len();
        let Some(last) = buf.last_chunk::<VECTOR_BYTES>() else {
            return xor_short(buf, key);
        };
        // The ends overlap what lies between: loaded before it is stored, stored after.
        let last = _mm512_xor_si512(load(last), turned(key, len));
        if len < ALIGNED_BYTES_MIN {
            xor_blocks(buf, _mm512_set1_epi32(i32::from_ne_bytes(key)));
        } else {
            let head = buf.as_ptr().align_offset(VECTOR_BYTES);
            let (front, body) = buf.split_at_mut(head);
            xor_short(front, key);
            xor_blocks(body, turned(key, head));
        }
        if let Some(end) = buf.last_chunk_mut() {
            store(end, last);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn xor_blocks(buf: &mut [u8], word: __m512i) {
        for block in buf.as_chunks_mut::<VECTOR_BYTES>().0 {
            let bytes = load(block);
            store(block, _mm512_xor_si512(bytes, word));
        }
    }

    /// The key, repeated, from `offset` bytes on.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn turned(key: [u8; 4], offset: usize) -> __m512i {
        let turns = [0, 8, 16, 24][offset % 4];
        _mm512_set1_epi32(i32::from_le_bytes(key).rotate_right(turns))
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn load(bytes: &[u8; VECTOR_BYTES]) -> __m512i {
        // SAFETY: exactly 64 readable bytes; `loadu` needs no alignment.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn store(bytes: &mut [u8; VECTOR_BYTES], vector: __m512i) {
        // SAFETY: exactly 64 bytes, exclusively borrowed; `storeu` needs no alignment.
        unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), vector) }
    }

    /// Fewer than 64 bytes, by two lanes that overlap.
    #[inline(always)]
    fn xor_short(buf: &mut [u8], key: [u8; 4]) {
        let start = u32::from_le_bytes(key);
        let end = start.rotate_right([0, 8, 16, 24][buf.len() % 4]);
        match buf.len() {
            32.. => xor_ends::<32>(buf, start, end),
            16.. => xor_ends::<16>(buf, start, end),
            8.. => xor_ends::<8>(buf, start, end),
            4.. => xor_ends::<4>(buf, start, end),
            _ => {
                for (byte, key) in buf.iter_mut().zip(key) {
                    *byte ^= key;
                }
            }
        }
    }

    /// Fewer than 64 bytes, as many in both, by two lanes that overlap.
    #[inline(always)]
    fn copy_short(dst: &mut [u8], src: &[u8], key: [u8; 4]) {
        match src.len() {
            32.. => copy_ends::<32>(dst, src, key),
            16.. => copy_ends::<16>(dst, src, key),
            8.. => copy_ends::<8>(dst, src, key),
            4.. => copy_ends::<4>(dst, src, key),
            _ => {
                for ((to, from), key) in dst.iter_mut().zip(src).zip(key) {
                    *to = from ^ key;
                }
            }
        }
    }

    #[inline(always)]
    fn copy_ends<const N: usize>(dst: &mut [u8], src: &[u8], key: [u8; 4]) {
        let start = u32::from_le_bytes(key);
        let end = start.rotate_right([0, 8, 16, 24][src.len() % 4]);
        if let (Some(&from), Some(to)) = (src.first_chunk::<N>(), dst.first_chunk_mut()) {
            *to = xored(from, start);
        }
        if let (Some(&from), Some(to)) = (src.last_chunk::<N>(), dst.last_chunk_mut()) {
            *to = xored(from, end);
        }
    }

    /// XORs the first and the last `N` bytes, at least half of all.
    #[inline(always)]
    fn xor_ends<const N: usize>(buf: &mut [u8], start: u32, end: u32) {
        let (Some(&first), Some(&last)) = (buf.first_chunk::<N>(), buf.last_chunk::<N>()) else {
            return;
        };
        if let Some(place) = buf.first_chunk_mut() {
            *place = xored(first, start);
        }
        if let Some(place) = buf.last_chunk_mut() {
            *place = xored(last, end);
        }
    }

    #[inline(always)]
    fn xored<const N: usize>(mut bytes: [u8; N], word: u32) -> [u8; N] {
        for lane in bytes.as_chunks_mut::<4>().0 {
            *lane = (u32::from_le_bytes(*lane) ^ word).to_le_bytes();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_alignment_is_xored_like_byte_by_byte() {
        let limit = Limit::detect();
        let key = [0x37, 0xFA, 0x21, 0x3D];
        for len in (0..300).chain([4095, 4096, 4097, 5000]) {
            for start in 0..8 {
                let mut bytes: Vec<u8> = (0..=u8::MAX).cycle().take(start + len + 8).collect();
                let mut expected = bytes.clone();
                for (n, byte) in expected[start..start + len].iter_mut().enumerate() {
                    *byte ^= key[n % 4];
                }
                let copied = {
                    let mut copied = vec![0; len];
                    limit.copy(&mut copied, &bytes[start..start + len], key);
                    copied
                };
                assert_eq!(copied, expected[start..start + len], "copy {start}+{len}");
                limit.walk(&mut bytes, &[0..0, start..start + len], key);
                assert_eq!(bytes, expected, "walk {start}+{len}");
            }
        }
    }
}
