//! A stream socket of whichever family. In: a descriptor that does not block. Out: bytes.
//!
//! The kernel does not ask whether a stream is TCP's or a Unix socket's, so nothing here does. The calls go to it
//! directly (rustix): libc's are cancellation points, which costs two atomic operations each in a process with
//! threads.
//!
//! Never: buffers.

use std::io::{self, IoSlice};
use std::net::TcpStream as StdTcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

/// A connected socket, closed when dropped.
#[derive(Debug)]
pub(crate) struct Stream(OwnedFd);

impl Stream {
    /// No bytes are the peer's FIN.
    #[inline]
    pub(crate) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let (len, _) = rustix::net::recv(&self.0, buf, RecvFlags::empty())?;
        Ok(len)
    }

    /// The same without taking it.
    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let (len, _) = rustix::net::recv(&self.0, buf, RecvFlags::PEEK)?;
        Ok(len)
    }

    /// Fewer bytes than given: the kernel's buffer is full.
    #[inline]
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    /// [`send`](Self::send) of several parts, in their order.
    pub(crate) fn send_parts(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut control = SendAncillaryBuffer::new(&mut []);
        let flags = SendFlags::NOSIGNAL;
        Ok(rustix::net::sendmsg(&self.0, parts, &mut control, flags)?)
    }

    /// Sends FIN behind what was sent.
    pub(crate) fn finish(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.0, Shutdown::Write)?)
    }
}

impl From<OwnedFd> for Stream {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Stream> for StdTcpStream {
    /// For libraries that know no other name for a stream; they may ask of it nothing that TCP alone has.
    fn from(stream: Stream) -> Self {
        stream.0.into()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Source for Stream {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(registry, token, interest)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(registry)
    }
}
