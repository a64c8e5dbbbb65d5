//! A connection's byte stream. In: bytes. Out: bytes, or `WouldBlock`.
//!
//! The seam for TLS: readers and writers know this type and no socket.
//!
//! Never: buffers.

use std::io::{self, IoSlice};

use mio::{Interest, Registry, Token};

use crate::stream::Stream;

/// What a [`Transport::recv`] took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) len: usize,
    /// There was no more: an edge will tell when there is (a FIN may be behind it all the same).
    pub(crate) drained: bool,
}

#[derive(Debug)]
pub(crate) enum Transport {
    Plain(Stream),
}

impl Transport {
    /// Both directions, once and for all: edges come when there is news, so interest never changes.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let Self::Plain(socket) = self;
        registry.register(socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// No bytes are the peer's FIN.
    #[inline]
    pub(crate) fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        let Self::Plain(socket) = self;
        let len = socket.recv(buf)?;
        Ok(Received {
            len,
            drained: len < buf.len(),
        })
    }

    /// What has come, without taking it: in front of everything else.
    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let Self::Plain(socket) = self;
        socket.peek(buf)
    }

    /// Fewer bytes than given: the kernel's buffer is full, and an edge will tell when it is not.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self::Plain(socket) = self;
        socket.send(bytes)
    }

    /// [`send`](Self::send) of several parts, in their order.
    pub(crate) fn send_parts(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self::Plain(socket) = self;
        socket.send_parts(parts)
    }

    /// The socket itself, out of its poller.
    pub(crate) fn into_socket(self, registry: &Registry) -> io::Result<std::net::TcpStream> {
        let Self::Plain(mut socket) = self;
        registry.deregister(&mut socket)?;
        Ok(socket.into())
    }

    /// Sends FIN behind what was sent.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let Self::Plain(socket) = self;
        socket.finish()
    }
}
