//! Buffers that a thread's connections share. In: a buffer that a connection has no use for now. Out: one for
//! whoever has. So a connection that waits holds none, and one that wakes finds one that is warm.
//!
//! Never: keeps more than `KEPT_MAX` of a size a thread, or large ones.

use std::cell::RefCell;
use std::mem;

/// The smallest buffer to read into.
const SMALLEST_BYTES: usize = 4 << 10;
/// Each size is four times the one before.
const SIZES: usize = 8;
/// Buffers of a size that a thread keeps.
const KEPT_MAX: usize = 8;
/// A buffer larger than this is not kept.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// How large a connection's buffer to read into is; it follows what comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size(u8);

impl Size {
    const fn bytes(self) -> usize {
        SMALLEST_BYTES << (2 * self.0)
    }

    /// The next one, if that is not past `max` bytes.
    pub(crate) const fn grown(self, max: usize) -> Self {
        let next = Self(self.0 + 1);
        if (next.0 as usize) < SIZES && next.bytes() <= max {
            next
        } else {
            self
        }
    }

    pub(crate) const fn shrunk(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Whose buffers have so many bytes.
    fn of(bytes: usize) -> Option<Self> {
        let times = bytes / SMALLEST_BYTES;
        let size = Self(u8::try_from(times.checked_ilog2()? / 2).ok()?);
        (size.bytes() == bytes && usize::from(size.0) < SIZES).then_some(size)
    }

    /// Whether there is room behind so many bytes.
    pub(crate) const fn holds(self, bytes: usize) -> bool {
        bytes < self.bytes()
    }

    /// Whether `buffer` is of this size.
    pub(crate) const fn is_of(self, buffer: &[u8]) -> bool {
        buffer.len() == self.bytes()
    }
}

struct Pool {
    reads: [Vec<Box<[u8]>>; SIZES],
    writes: Vec<Vec<u8>>,
}

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool {
            reads: [const { Vec::new() }; SIZES],
            writes: Vec::new(),
        })
    };
}

/// A buffer to read into.
pub(crate) fn take(size: Size) -> Box<[u8]> {
    POOL.try_with(|pool| pool.borrow_mut().reads[usize::from(size.0)].pop())
        .ok()
        .flatten()
        .unwrap_or_else(|| vec![0; size.bytes()].into())
}

/// Gives `buffer` back and leaves none.
pub(crate) fn give(buffer: &mut Box<[u8]>) {
    let buffer = mem::take(buffer);
    let Some(size) = Size::of(buffer.len()) else {
        return;
    };
    if buffer.len() > KEPT_BYTES_MAX {
        return;
    }
    // While the thread ends there is no pool any more.
    let _ = POOL.try_with(|pool| {
        let kept = &mut pool.borrow_mut().reads[usize::from(size.0)];
        if kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    });
}

/// Makes sure that `buffer`, if it has no memory, has some.
pub(crate) fn take_write(buffer: &mut Vec<u8>) {
    if buffer.capacity() > 0 {
        return;
    }
    if let Ok(Some(kept)) = POOL.try_with(|pool| pool.borrow_mut().writes.pop()) {
        *buffer = kept;
    }
}

/// Gives an empty `buffer` back and leaves one without memory.
pub(crate) fn give_write(buffer: &mut Vec<u8>) {
    let mut buffer = mem::take(buffer);
    if buffer.capacity() == 0 || buffer.capacity() > KEPT_BYTES_MAX {
        return;
    }
    buffer.clear();
    let _ = POOL.try_with(|pool| {
        let writes = &mut pool.borrow_mut().writes;
        if writes.len() < KEPT_MAX {
            writes.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_stay_between_the_smallest_and_the_most() {
        let mut size = Size::default();
        for _ in 0..20 {
            size = size.grown(100 << 10);
        }
        assert_eq!(size.bytes(), 64 << 10);
        for _ in 0..20 {
            size = size.shrunk();
        }
        assert_eq!((size, size.bytes()), (Size::default(), 4 << 10));
        assert_eq!(size.grown(1), size, "never below the smallest");
        let huge = (0..20).fold(size, |size, _| size.grown(usize::MAX));
        assert_eq!(huge.bytes(), SMALLEST_BYTES << (2 * (SIZES - 1)));
    }

    #[test]
    fn a_buffer_comes_back_as_it_was_given_and_no_more_are_kept_than_may_be() {
        let mut first = take(Size::default());
        first[0] = 7;
        give(&mut first);
        assert!(first.is_empty());
        assert_eq!(take(Size::default())[0], 7);
        for _ in 0..2 * KEPT_MAX {
            give(&mut vec![0; SMALLEST_BYTES].into());
            give(&mut vec![0; 5].into()); // of no size
            give_write(&mut Vec::with_capacity(10));
            give_write(&mut Vec::with_capacity(KEPT_BYTES_MAX + 1));
        }
        POOL.with_borrow(|pool| {
            let kept: Vec<usize> = pool.reads.iter().map(Vec::len).collect();
            assert_eq!((kept[0], kept[1..].iter().sum()), (KEPT_MAX, 0));
            assert_eq!(pool.writes.len(), KEPT_MAX);
        });
    }
}
