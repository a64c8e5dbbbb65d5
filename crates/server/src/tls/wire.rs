//! A socket under a session. In: calls. Out: what the kernel says to them, or whoever stands between.
//!
//! Never: waits.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::net::{RecvFlags, SendFlags, Shutdown};

/// A socket that does not block, as a session uses it.
pub(crate) trait Wire {
    /// No bytes are the peer's FIN.
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize>;
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Sends FIN behind what was sent.
    fn finish(&mut self) -> io::Result<()>;
}

/// The kernel's own calls.
pub(crate) struct Direct<'s>(pub(crate) BorrowedFd<'s>);

impl Wire for Direct<'_> {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (len, _) = rustix::net::recv(self.0, buf, RecvFlags::empty())?;
        Ok(len)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self.0, Shutdown::Write)?)
    }
}
