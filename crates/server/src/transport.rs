//! A connection's byte stream. In: bytes. Out: bytes, or `WouldBlock`.
//!
//! The seam for TLS: readers and writers know this type and no socket.
//!
//! Never: buffers, but for what a TLS session has sealed and its socket has not taken.

use std::io::{self, IoSlice};
use std::net::TcpStream as StdTcpStream;
use std::os::fd::AsFd;

use mio::{Interest, Registry, Token};

use crate::limits::{READ_BYTES, TLS_RECORD_BYTES_MAX};
use crate::stream::Stream;

use crate::tls::{Direct, Tls, TlsSession};

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
    Tls(Box<TlsStream>),
}

/// An idle connection pays for a pointer, whether there is a session or not.
const _: () = assert!(size_of::<Transport>() == 2 * size_of::<usize>());

/// A session on its socket.
#[derive(Debug)]
pub(crate) struct TlsStream {
    socket: Stream,
    session: TlsSession,
}

impl Transport {
    /// The same stream with a session of `tls` on it, if there is one; its handshake is part of receiving.
    ///
    /// # Errors
    ///
    /// Those of [`Tls::session`].
    pub(crate) fn secured(self, tls: Option<&Tls>) -> io::Result<Self> {
        match (self, tls) {
            (Self::Plain(socket), Some(tls)) => {
                let session = tls.session()?;
                Ok(Self::Tls(Box::new(TlsStream { socket, session })))
            }
            (other, _) => Ok(other),
        }
    }

    /// Both directions, once and for all: edges come when there is news, so interest never changes.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.socket,
        };
        registry.register(socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// No bytes are the peer's FIN, or its close_notify. `Interrupted`: what came was nothing for the reader, and
    /// there may be more.
    #[inline]
    pub(crate) fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        match self {
            Self::Plain(socket) => {
                let len = socket.recv(buf)?;
                Ok(Received {
                    len,
                    drained: len < buf.len(),
                })
            }
            Self::Tls(stream) => stream.recv(buf),
        }
    }

    /// What has come on the socket, without taking it: in front of everything else, a TLS handshake too.
    pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket().peek(buf)
    }

    /// Takes what [`peek`](Self::peek) has shown.
    pub(crate) fn take_peeked(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket().recv(buf)
    }

    /// How much to receive at once: of TLS all that one read of its socket can hold, so that what came together is
    /// answered together.
    #[inline]
    pub(crate) const fn read_bytes_max(&self) -> usize {
        match self {
            Self::Plain(_) => READ_BYTES,
            Self::Tls(_) => TLS_RECORD_BYTES_MAX,
        }
    }

    /// Whether what is sent leaves as it is.
    pub(crate) const fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    const fn socket(&self) -> &Stream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.socket,
        }
    }

    /// Fewer bytes than given: the kernel's buffer is full, and an edge will tell when it is not. All of them may
    /// not have left yet either, see [`is_flushed`](Self::is_flushed).
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.send(bytes),
            Self::Tls(stream) => stream.send(bytes),
        }
    }

    /// [`send`](Self::send) of several parts, in their order.
    pub(crate) fn send_parts(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.send_parts(parts),
            Self::Tls(stream) => stream.send_parts(parts),
        }
    }

    /// Whether the kernel has all that was sent.
    #[inline]
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(stream) => stream.session.is_flushed(),
        }
    }

    /// Sends what was taken and has not left; how many bytes the kernel took of it.
    #[inline]
    pub(crate) fn flush(&mut self) -> io::Result<usize> {
        match self {
            Self::Plain(_) => Ok(0),
            Self::Tls(stream) => stream.flush(),
        }
    }

    /// The socket itself, out of its poller, and the session on it.
    pub(crate) fn into_socket(
        self,
        registry: &Registry,
    ) -> io::Result<(StdTcpStream, Option<Box<TlsSession>>)> {
        let (mut socket, session) = match self {
            Self::Plain(socket) => (socket, None),
            Self::Tls(stream) => (stream.socket, Some(Box::new(stream.session))),
        };
        registry.deregister(&mut socket)?;
        Ok((socket.into(), session))
    }

    /// Sends FIN behind what was sent. `WouldBlock`: to be called again once that has left.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.finish(),
            Self::Tls(stream) => stream.finish(),
        }
    }
}

impl TlsStream {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        self.session.receive(buf, &mut Direct(self.socket.as_fd()))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session.send(bytes, &mut Direct(self.socket.as_fd()))
    }

    fn send_parts(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = Direct(self.socket.as_fd());
        self.session.send_parts(parts, &mut wire)
    }

    fn flush(&mut self) -> io::Result<usize> {
        self.session.flush(&mut Direct(self.socket.as_fd()))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.session.finish(&mut Direct(self.socket.as_fd()))
    }
}
