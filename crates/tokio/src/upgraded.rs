//! What hyper hands over. In: an upgraded connection. Out: the TCP socket in it, if it is one, and what was read ahead.
//!
//! Never: goes through hyper's indirections where the socket itself can be had.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A transport that hyper has upgraded.
#[derive(Debug)]
pub struct UpgradedIo(Io);

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    Other(Box<TokioIo<Upgraded>>),
}

impl UpgradedIo {
    /// The transport, and what came behind the request.
    pub(crate) fn new(upgraded: Upgraded) -> (Self, Bytes) {
        let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => return (Self(Io::Tcp(parts.io.into_inner())), parts.read_buf),
            Err(upgraded) => upgraded,
        };
        match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => (Self(Io::Tcp(parts.io.into_inner())), parts.read_buf),
            // It gives what was read ahead itself.
            Err(upgraded) => {
                let io = Box::new(TokioIo::new(upgraded));
                (Self(Io::Other(io)), Bytes::new())
            }
        }
    }

    /// The socket that hyper was given as `TokioIo<TcpStream>`, by `axum::serve` on a `TcpListener` and most others. `None`
    /// for anything else: TLS, a Unix socket, a stream of the server's own, HTTP/2.
    #[must_use]
    pub const fn tcp(&self) -> Option<&TcpStream> {
        match &self.0 {
            Io::Tcp(io) => Some(io),
            Io::Other(_) => None,
        }
    }
}

/// The same call on whichever it is.
macro_rules! on_either {
    ($self:ident, $io:ident => $call:expr) => {
        match &mut $self.get_mut().0 {
            Io::Tcp($io) => {
                let $io = Pin::new($io);
                $call
            }
            Io::Other($io) => {
                let $io = Pin::new($io);
                $call
            }
        }
    };
}

impl AsyncRead for UpgradedIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_either!(self, io => io.poll_read(cx, into))
    }
}

impl AsyncWrite for UpgradedIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, io => io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, io => io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Io::Tcp(io) => io.is_write_vectored(),
            Io::Other(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, io => io.poll_shutdown(cx))
    }
}
