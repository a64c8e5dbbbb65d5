//! A socket as hyper reads and writes it. In: a stream, and bytes that were read from it before. Out: those
//! bytes first, then the stream's.
//!
//! A peer that takes nothing of its answer for [`HTTP_SEND_TIME_MAX`] is given up. Closing lingers: if the
//! peer still sent, the kernel would answer that with a reset, and the answer would be lost on it.
//!
//! Never: copies what was read before into anything but the reader's buffer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::limits::{HTTP_SEND_TIME_MAX, LINGER_BYTES_MAX, LINGER_TIME_MAX};

/// A piece of what a lingering peer still sends.
const DISCARDED_BYTES: usize = 16 << 10;

/// A stream with bytes in front.
#[derive(Debug)]
pub(super) struct Socket<S> {
    stream: S,
    front: Bytes,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    linger: Option<Linger>,
}

/// The end of a connection: FIN is sent, what comes is thrown away.
#[derive(Debug)]
struct Linger {
    ends: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl<S> Socket<S> {
    /// `stream`, of which `front` was read already.
    pub(super) const fn new(stream: S, front: Bytes) -> Self {
        Self {
            stream,
            front,
            stalled: None,
            linger: None,
        }
    }

    /// Gives up a peer that takes nothing for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(HTTP_SEND_TIME_MAX)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.front.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let len = this.front.len().min(buf.remaining());
        buf.put_slice(&this.front[..len]);
        this.front.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watch(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.watch(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            let ended = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.watch(cx, ended))?;
        }
        let linger = this.linger.get_or_insert_with(|| Linger {
            ends: Box::pin(sleep(LINGER_TIME_MAX)),
            bytes_left: LINGER_BYTES_MAX,
        });
        let mut discarded = [0; DISCARDED_BYTES];
        loop {
            if linger.ends.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut discarded);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf));
            let len = buf.filled().len();
            if read.is_err() || len == 0 || len > linger.bytes_left {
                return Poll::Ready(Ok(()));
            }
            linger.bytes_left -= len;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test]
    async fn what_was_read_before_comes_first_however_it_is_cut() {
        let whole = b"GET / HTTP/1.1\r\n\r\n";
        for cut in 0..=whole.len() {
            for room in [1, 3, 64] {
                let (mut peer, stream) = duplex(64);
                let mut socket = Socket::new(stream, Bytes::copy_from_slice(&whole[..cut]));
                peer.write_all(&whole[cut..]).await.unwrap();
                drop(peer);
                let (mut got, mut buf) = (Vec::new(), vec![0; room]);
                loop {
                    let len = socket.read(&mut buf).await.unwrap();
                    if len == 0 {
                        break;
                    }
                    got.extend_from_slice(&buf[..len]);
                }
                assert_eq!(got, whole, "cut at {cut}, read by {room}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up_and_one_that_takes_a_little_is_not() {
        let (mut peer, stream) = duplex(4);
        let mut socket = Socket::new(stream, Bytes::new());
        let writing = tokio::spawn(async move { socket.write_all(&[0; 64]).await });
        for _ in 0..3 {
            sleep(HTTP_SEND_TIME_MAX - Duration::from_secs(1)).await;
            assert_eq!(peer.read(&mut [0; 4]).await.unwrap(), 4);
        }
        let before = Instant::now();
        let error = writing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(before.elapsed() >= HTTP_SEND_TIME_MAX - Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_a_peer_that_still_sends_but_not_for_ever() {
        let (mut peer, stream) = duplex(64);
        let mut socket = Socket::new(stream, Bytes::new());
        let before = Instant::now();
        let closing = tokio::spawn(async move { socket.shutdown().await });
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0, "FIN is sent at once");
        for _ in 0..100 {
            let sent = timeout(LINGER_TIME_MAX, peer.write_all(&[0; 64])).await;
            sent.expect("it is read").unwrap();
        }
        closing.await.unwrap().unwrap();
        assert_eq!(before.elapsed().as_secs(), LINGER_TIME_MAX.as_secs());

        let (peer, stream) = duplex(64);
        let mut socket = Socket::new(stream, Bytes::new());
        let before = Instant::now();
        drop(peer);
        socket.shutdown().await.unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO, "the peer is gone");
    }
}
