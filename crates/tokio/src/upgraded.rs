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
#[non_exhaustive]
pub enum UpgradedIo {
    /// The socket that hyper was given, as `TokioIo<TcpStream>`: `axum::serve` on a `TcpListener`, and most others.
    Tcp(TcpStream),
    /// Anything else: TLS, a Unix socket, a stream of the server's own.
    Other(Box<TokioIo<Upgraded>>),
}

impl UpgradedIo {
    /// The transport, and what came behind the request.
    pub(crate) fn new(upgraded: Upgraded) -> (Self, Bytes) {
        let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => return (Self::Tcp(parts.io.into_inner()), parts.read_buf),
            Err(upgraded) => upgraded,
        };
        match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => (Self::Tcp(parts.io.into_inner()), parts.read_buf),
            // It gives what was read ahead itself.
            Err(upgraded) => (Self::Other(Box::new(TokioIo::new(upgraded))), Bytes::new()),
        }
    }
}

/// The same call on whichever it is.
macro_rules! on_either {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            UpgradedIo::Tcp($io) => {
                let $io = Pin::new($io);
                $call
            }
            UpgradedIo::Other($io) => {
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
        match self {
            Self::Tcp(io) => io.is_write_vectored(),
            Self::Other(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, io => io.poll_shutdown(cx))
    }
}
