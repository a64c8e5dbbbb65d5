//! A receive buffer for codecs that work in their caller's. In: reads. Out: what is not used up yet.
//!
//! It starts on a page, so that two of them are filled alike: a copy is slow where what it reads and
//! what it writes lie at the same offset of their pages, and a difference of two runs would show
//! that instead of their work.
//!
//! Never: moves bytes when a read ended where a frame does.

use crate::feed::Feed;

const PAGE_BYTES: usize = 4096;

/// A buffer, and how much at its front waits for more.
#[derive(Debug)]
pub struct Carry {
    memory: Vec<u8>,
    /// Where in it the buffer starts.
    start: usize,
    kept: usize,
}

impl Carry {
    /// With room for a read of `feed` and what decoders may leave of another.
    #[must_use]
    pub fn new(feed: &Feed) -> Self {
        let mut carry = Self {
            memory: Vec::new(),
            start: 0,
            kept: 0,
        };
        carry.grow(feed.read_bytes_max() + fanfare_codec::UNCONSUMED_BYTES_MAX);
        carry
    }

    /// Reads behind what was kept; gives all of it.
    #[inline]
    pub fn refill(&mut self, feed: &mut Feed) -> &mut [u8] {
        let needed = self.kept + feed.read_bytes_max();
        if self.memory.len() - self.start < needed {
            self.grow(2 * needed);
        }
        let buffer = &mut self.memory[self.start..];
        let len = self.kept + feed.fill(&mut buffer[self.kept..]);
        &mut buffer[..len]
    }

    /// Keeps the bytes from `used` on of the `len` that [`refill`](Self::refill) gave.
    #[inline]
    pub fn keep(&mut self, used: usize, len: usize) {
        if used < len {
            let (from, to) = (self.start + used, self.start + len);
            self.memory.copy_within(from..to, self.start);
        }
        self.kept = len - used;
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        let mut memory = vec![0; bytes + PAGE_BYTES];
        let start = memory.as_ptr().align_offset(PAGE_BYTES);
        let kept = &self.memory[self.start..self.start + self.kept];
        memory[start..start + self.kept].copy_from_slice(kept);
        self.memory = memory;
        self.start = start;
    }
}
