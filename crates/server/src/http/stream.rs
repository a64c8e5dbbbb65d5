//! What a socket speaks: plain HTTP, or TLS with the session that a worker has begun or that begins here. In: a
//! socket that tokio polls. Out: plaintext, both ways.
//!
//! Never: waits for a handshake by itself: it is part of the first read.

use std::io::{self, ErrorKind, IoSlice};
use std::net::TcpStream as StdTcpStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::limits::READS_PER_TURN_MAX;
use crate::tls::{Tls, TlsSession, Wire};

/// A connection's plaintext.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

/// A session on its socket.
#[derive(Debug)]
pub(super) struct TlsStream {
    socket: TcpStream,
    session: Box<TlsSession>,
}

impl Stream {
    /// A socket that a worker had, and the session on it.
    pub(super) fn handed_over(
        socket: StdTcpStream,
        session: Option<Box<TlsSession>>,
    ) -> io::Result<Self> {
        Ok(Self::new(TcpStream::from_std(socket)?, session))
    }

    /// A socket that was accepted, with a session of `tls` on it if there is one.
    pub(super) fn accepted(socket: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        let session = tls.map(Tls::session).transpose()?;
        Ok(Self::new(socket, session.map(Box::new)))
    }

    fn new(socket: TcpStream, session: Option<Box<TlsSession>>) -> Self {
        match session {
            None => Self::Plain(socket),
            Some(session) => Self::Tls(Box::new(TlsStream { socket, session })),
        }
    }
}

/// tokio's calls, which tell it when a socket is not ready any more.
struct Polled<'s>(&'s TcpStream);

impl Wire for Polled<'_> {
    fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(shutdown(self.0, Shutdown::Write)?)
    }
}

impl TlsStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..READS_PER_TURN_MAX {
            let wire = &mut Polled(&self.socket);
            match self.session.receive(buf.initialize_unfilled(), wire) {
                Ok(received) => {
                    buf.advance(received.len);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // A handshake goes on once its peer has what waits for it.
                    if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                        return Poll::Ready(Err(error));
                    }
                    ready!(self.socket.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        cx.waker().wake_by_ref(); // others are served first
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let sent = self.session.send(bytes, &mut Polled(&self.socket))?;
            if sent > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(sent));
            }
            ready!(self.socket.poll_write_ready(cx))?;
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.session.flush(&mut Polled(&self.socket))?;
            if self.session.is_flushed() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_write_ready(cx))?;
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.session.finish(&mut Polled(&self.socket)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(cx))?;
                }
                finished => return Poll::Ready(finished),
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => stream.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => stream.poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Tls(stream) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                stream.poll_write(cx, first.map_or(&[], |slice| slice))
            }
        }
    }

    /// hyper puts head and body together for a stream that is not: one record.
    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => stream.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => stream.poll_shutdown(cx),
        }
    }
}
