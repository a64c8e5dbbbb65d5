//! A receive buffer for codecs that work in their caller's. In: reads. Out: what is not used up yet.
//!
//! Never: moves bytes when a read ended where a frame does.

use crate::feed::Feed;

/// A buffer, and how much at its front waits for more.
#[derive(Debug)]
pub(super) struct Carry {
    buffer: Vec<u8>,
    kept: usize,
}

impl Carry {
    /// With room for a read of `feed` and what decoders may leave of another.
    pub(super) fn new(feed: &Feed) -> Self {
        Self {
            buffer: vec![0; feed.read_bytes_max() + fanfare_codec::UNCONSUMED_BYTES_MAX],
            kept: 0,
        }
    }

    /// Reads behind what was kept; gives all of it.
    #[inline]
    pub(super) fn refill(&mut self, feed: &mut Feed) -> &mut [u8] {
        let needed = self.kept + feed.read_bytes_max();
        if self.buffer.len() < needed {
            self.buffer.resize(2 * needed, 0);
        }
        let len = self.kept + feed.fill(&mut self.buffer[self.kept..]);
        &mut self.buffer[..len]
    }

    /// Keeps the bytes from `used` on of the `len` that [`refill`](Self::refill) gave.
    #[inline]
    pub(super) fn keep(&mut self, used: usize, len: usize) {
        if used < len {
            self.buffer.copy_within(used..len, 0);
        }
        self.kept = len - used;
    }
}
