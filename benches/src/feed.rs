//! A wire that never ends, as a socket would give it. In: a [`Wire`] and the size of a read. Out: its
//! bytes, again and again, through whatever trait a peer reads by; what a peer writes is counted.
//!
//! Never: waits, fails, allocates after it was made.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::corpus::wire::Wire;

/// Where a read ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Behind a frame: as many whole frames as fit, and at least one.
    BehindFrames,
    /// After that many bytes, wherever that is.
    Anywhere,
}

/// The wire, over and over, at most one read at a time.
#[derive(Debug)]
pub struct Feed {
    wire: Rc<Wire>,
    ends: Rc<[usize]>,
    read_bytes_max: usize,
    /// The next byte to hand out.
    at: usize,
    /// The read that byte belongs to.
    read: usize,
}

impl Feed {
    /// A feed of reads of about `read_bytes`: more only where one frame is longer.
    #[must_use]
    pub fn new(wire: Rc<Wire>, cut: Cut, read_bytes: usize) -> Self {
        let ends = read_ends(&wire, cut, read_bytes);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let read_bytes_max = starts.zip(&ends).map(|(start, end)| end - start).max();
        Self {
            wire,
            ends: ends.into(),
            read_bytes_max: read_bytes_max.unwrap_or_default(),
            at: 0,
            read: 0,
        }
    }

    /// What is fed.
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The longest read.
    #[must_use]
    pub const fn read_bytes_max(&self) -> usize {
        self.read_bytes_max
    }

    /// Where in the wire each read ends.
    #[must_use]
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// The rest of the current read, or the next one.
    #[inline]
    fn next_part(&mut self, len_max: usize) -> &[u8] {
        let end = self.ends[self.read];
        let start = self.at;
        let stop = end.min(start.saturating_add(len_max));
        self.at = stop;
        if stop == end {
            self.read += 1;
            if self.read == self.ends.len() {
                self.read = 0;
                self.at = 0;
            }
        }
        &self.wire.bytes[start..stop]
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
