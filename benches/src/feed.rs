//! A wire that never ends, as a socket would give it. In: a [`Wire`] and the size of a read. Out: its
//! bytes, again and again, through whatever trait a peer reads by; what a peer writes is counted.
//!
//! Never: waits, fails, allocates after it was made.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::corpus::wire::Wire;

const PAGE_BYTES: usize = 4096;

/// Where a read ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Behind a frame: as many whole frames as fit, and at least one.
    BehindFrames,
    /// After that many bytes, wherever that is.
    Anywhere,
}

/// The wire, over and over, at most one read at a time.
///
/// Each read starts half a page off: buffers mostly start near the start of one, and a copy between
/// places that lie alike in their pages can cost twenty times as much (`memcpy` as `rep movsb`).
/// Clones share the bytes and start over.
#[derive(Debug)]
pub struct Feed {
    wire: Rc<Wire>,
    ends: Rc<[usize]>,
    reads: Rc<Reads>,
    /// The read to hand out next, and how much of it is gone.
    read: usize,
    gone: usize,
}

/// The wire's bytes, read by read.
#[derive(Debug)]
struct Reads {
    memory: Vec<u8>,
    spans: Vec<Range<usize>>,
    bytes_max: usize,
}

impl Reads {
    fn of(wire: &[u8], ends: &[usize]) -> Self {
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let lens: Vec<usize> = starts.zip(ends).map(|(start, end)| end - start).collect();
        let pages: usize = lens.iter().map(|len| len.div_ceil(PAGE_BYTES) + 1).sum();
        let mut memory = vec![0; (pages + 1) * PAGE_BYTES];
        let mut page = memory.as_ptr().align_offset(PAGE_BYTES);
        let mut spans = Vec::with_capacity(lens.len());
        let mut rest = wire;
        for &len in &lens {
            let start = page + PAGE_BYTES / 2;
            let (read, behind) = rest.split_at(len);
            memory[start..start + len].copy_from_slice(read);
            spans.push(start..start + len);
            page += (len.div_ceil(PAGE_BYTES) + 1) * PAGE_BYTES;
            rest = behind;
        }
        Self {
            memory,
            spans,
            bytes_max: lens.into_iter().max().unwrap_or_default(),
        }
    }
}

impl Clone for Feed {
    fn clone(&self) -> Self {
        Self {
            wire: Rc::clone(&self.wire),
            ends: Rc::clone(&self.ends),
            reads: Rc::clone(&self.reads),
            read: 0,
            gone: 0,
        }
    }
}

impl Feed {
    /// A feed of reads of about `read_bytes`: more only where one frame is longer.
    #[must_use]
    pub fn new(wire: Rc<Wire>, cut: Cut, read_bytes: usize) -> Self {
        let ends = read_ends(&wire, cut, read_bytes);
        Self {
            reads: Rc::new(Reads::of(&wire.bytes, &ends)),
            ends: ends.into(),
            wire,
            read: 0,
            gone: 0,
        }
    }

    /// What is fed.
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The longest read.
    #[must_use]
    pub fn read_bytes_max(&self) -> usize {
        self.reads.bytes_max
    }

    /// Where in the wire each read ends.
    #[must_use]
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// The rest of the current read, or the next one.
    #[inline]
    fn next_part(&mut self, len_max: usize) -> &[u8] {
        let span = &self.reads.spans[self.read];
        let start = span.start + self.gone;
        let stop = span.end.min(start.saturating_add(len_max));
        if stop == span.end {
            self.read = (self.read + 1) % self.reads.spans.len();
            self.gone = 0;
        } else {
            self.gone += stop - start;
        }
        &self.reads.memory[start..stop]
    }

    /// Copies the next part into `buffer`; gives its length.
    #[inline]
    pub fn fill(&mut self, buffer: &mut [u8]) -> usize {
        let part = self.next_part(buffer.len());
        buffer[..part.len()].copy_from_slice(part);
        part.len()
    }

    /// Appends the next read to `buffer`.
    #[inline]
    pub fn append_to(&mut self, buffer: &mut BytesMut) {
        buffer.extend_from_slice(self.next_part(usize::MAX));
    }
}

fn read_ends(wire: &Wire, cut: Cut, read_bytes: usize) -> Vec<usize> {
    let total = wire.bytes.len();
    if cut == Cut::Anywhere {
        let mut ends: Vec<usize> = (1..=total / read_bytes).map(|n| n * read_bytes).collect();
        if !total.is_multiple_of(read_bytes) {
            ends.push(total);
        }
        return ends;
    }
    let mut ends: Vec<usize> = Vec::new();
    let mut start = 0;
    let mut last = 0;
    for frame in &wire.payloads {
        if frame.end - start > read_bytes && last > start {
            ends.push(last);
            start = last;
        }
        last = frame.end;
    }
    ends.push(last);
    ends
}

impl Read for Feed {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.fill(buffer))
    }
}

impl Write for Feed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Feed {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        buffer.put_slice(self.next_part(room));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Feed {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Where encoders write: bytes are counted, and kept only if that was asked for.
#[derive(Clone, Debug, Default)]
pub struct Outlet(Rc<RefCell<Written>>);

#[derive(Debug, Default)]
struct Written {
    bytes: u64,
    kept: Option<Vec<u8>>,
}

impl Outlet {
    /// An outlet that keeps what is written, to be looked at.
    #[must_use]
    pub fn keeping() -> Self {
        Self(Rc::new(RefCell::new(Written {
            bytes: 0,
            kept: Some(Vec::new()),
        })))
    }

    /// Takes bytes as a socket would.
    #[inline]
    pub fn accept(&self, bytes: &[u8]) {
        let mut written = self.0.borrow_mut();
        written.bytes += bytes.len() as u64;
        if let Some(kept) = &mut written.kept {
            kept.extend_from_slice(bytes);
        }
    }

    /// What was kept.
    #[must_use]
    pub fn kept(&self) -> Vec<u8> {
        self.0.borrow().kept.clone().unwrap_or_default()
    }
}

impl Read for Outlet {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Outlet {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.accept(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Outlet {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::WouldBlock.into()))
    }
}

impl AsyncWrite for Outlet {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.accept(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        for slice in slices {
            self.accept(slice);
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
