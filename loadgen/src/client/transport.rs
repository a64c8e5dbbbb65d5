//! A connection's stream of bytes. In: plaintext to send. Out: plaintext received.
//!
//! Straight from the kernel: in a process of several threads libc's `recv` and `send` first make each
//! call a point where the thread could be cancelled, which nobody needs here.
//!
//! Never: keeps plaintext that it said it did not take.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{self, RecvFlags, SendFlags};

use super::tls::TlsStream;
use crate::clock::Nanos;

/// The stream under a connection.
#[derive(Debug)]
pub(super) enum Transport {
    /// `ws`: the socket itself.
    Plain(OwnedFd),
    /// `wss`.
    Tls(Box<TlsStream>),
}

impl Transport {
    /// The socket, to be asked or set, not to be read or written.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Reads once.
    ///
    /// # Errors
    ///
    /// WouldBlock when there is nothing more for now.
    #[inline]
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => Ok(net::recv(&*socket, buffer, RecvFlags::empty())?.0),
            Self::Tls(stream) => stream.receive(buffer),
        }
    }

    /// Whether a receive that filled no more than a part of its buffer has emptied the socket, too.
    #[inline]
    pub(super) const fn is_drained(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(stream) => stream.is_drained(),
        }
    }

    /// Writes until the stream takes no more, and tells how much that was.
    ///
    /// # Errors
    ///
    /// When the stream is broken.
    #[inline]
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => send(socket, bytes),
            Self::Tls(stream) => stream.send(bytes),
        }
    }

    /// Writes what [`send`](Self::send) took and the socket did not.
    ///
    /// # Errors
    ///
    /// When the stream is broken.
    #[inline]
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }

    /// When the TLS handshake was over.
    pub(super) fn secured(&self) -> Option<Nanos> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.secured(),
        }
    }

    /// Tells the peer that nothing more will come, where the stream has a way of its own for that.
    pub(super) fn finish(&mut self) {
        if let Self::Tls(stream) = self {
            stream.finish();
        }
    }

    /// Closes at once: the peer gets a reset, and the port is free again.
    pub(super) fn cut(self) {
        // Where the option is refused the socket is closed in the usual way.
        let _ = set_socket_linger(self.socket(), Some(Duration::ZERO));
    }
}

#[inline]
fn send(socket: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match net::send(socket, &bytes[sent..], SendFlags::NOSIGNAL) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => sent += written,
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sent)
}
