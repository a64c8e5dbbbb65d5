//! Messages that come in several reads which need not be waited for: they are lent from where they were read, as if they
//! had come in one.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use fanfare_codec::{Encoder, ProtocolError};
use fanfare_tokio::{Config, Error, MessageRef, Role, WebSocketStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Each of these in a read of its own, all at hand; then the end, or nothing yet.
struct Reads {
    chunks: VecDeque<Vec<u8>>,
    ends: bool,
}

impl Reads {
    fn new(chunks: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self {
            chunks: chunks.into_iter().collect(),
            ends: false,
        }
    }

    fn into_stream(self, config: &Config) -> WebSocketStream<Self> {
        WebSocketStream::from_raw(self, Role::Server, config, &[])
    }
}

impl AsyncRead for Reads {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(chunk) = self.chunks.front_mut() else {
            return match self.ends {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            };
        };
        let taken = chunk.len().min(into.remaining());
        into.put_slice(&chunk[..taken]);
        if taken == chunk.len() {
            self.chunks.pop_front();
        } else {
            chunk.drain(..taken);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Reads {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(b.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut encoder = Encoder::client(|| [1, 2, 3, 4]);
    encoder.binary(&mut frame, payload).expect("a message");
    frame
}

/// Bytes that differ from place to place.
fn payload(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from(at % 251).unwrap_or_default())
        .collect()
}

/// Where it lies.
async fn assert_next(ws: &mut WebSocketStream<Reads>, expected: &[u8]) -> *const u8 {
    match ws.next_message().await {
        Some(Ok(MessageRef::Binary(bytes))) => {
            assert!(bytes == expected, "{} bytes", bytes.len());
            bytes.as_ptr()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_long_message_in_several_reads_is_lent_from_where_it_was_read() {
    let long = payload(65_536);
    let frame = masked(&long);
    let cut = |at: usize| [frame[..at].to_vec(), frame[at..].to_vec()];
    let cuts = [1, 5, 13, 14, 15, 4_096, 65_483, 65_549];
    let mut reads = Reads::new([frame.clone(), frame.clone(), frame.clone()]);
    reads.chunks.extend(cuts.into_iter().flat_map(cut));
    let mut ws = reads.into_stream(&Config::default());
    for _ in 0..2 {
        assert_next(&mut ws, &long).await; // the buffer becomes as large as they are
    }
    let place = assert_next(&mut ws, &long).await;
    for cut in cuts {
        assert_eq!(assert_next(&mut ws, &long).await, place, "cut at {cut}");
    }
}

#[tokio::test]
async fn many_small_reads_inside_a_long_message_do_not_take_its_buffer() {
    let long = payload(60_000);
    let frame = masked(&long);
    let mut reads = Reads::new([frame.clone(), frame.clone(), frame[..40_000].to_vec()]);
    reads
        .chunks
        .extend(frame[40_000..].chunks(100).map(<[u8]>::to_vec));
    reads.chunks.push_back(masked(b"short"));
    reads.chunks.push_back(frame.clone());
    let mut ws = reads.into_stream(&Config::default());
    for _ in 0..3 {
        assert_next(&mut ws, &long).await;
    }
    assert_next(&mut ws, b"short").await;
    assert_next(&mut ws, &long).await;
}

#[tokio::test]
async fn a_message_longer_than_the_buffer_may_be_is_put_together() {
    let long = payload(100_000);
    let frame = masked(&long);
    let reads = Reads::new(frame.chunks(7_000).map(<[u8]>::to_vec));
    let config = Config::default().with_max_read_buffer(16 << 10);
    let mut ws = reads.into_stream(&config);
    assert_next(&mut ws, &long).await;
}

#[test]
fn a_cut_message_that_breaks_a_rule_is_told_before_it_is_whole() {
    // 20 bytes of text are announced; the third is none.
    let cut = b"\x81\x94\0\0\0\0ab\xFFcd".to_vec();
    for ends in [false, true] {
        let mut reads = Reads::new([cut.clone()]);
        reads.ends = ends;
        let mut ws = reads.into_stream(&Config::default().with_close_timeout(None));
        let mut next = std::pin::pin!(ws.recv());
        let polled = next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let waits = matches!(polled, Poll::Pending); // for the peer to go, who has been told
        let tells = matches!(
            polled,
            Poll::Ready(Some(Err(Error::Protocol(
                ProtocolError::InvalidUtf8 { .. }
            ))))
        );
        assert_eq!((waits, tells), (!ends, ends), "{polled:?}");
    }
}

#[tokio::test]
async fn an_end_inside_a_message_is_no_message() {
    let mut reads = Reads::new([masked(&payload(5_000))[..3_000].to_vec()]);
    reads.ends = true;
    let mut ws = reads.into_stream(&Config::default());
    let ended = ws.recv().await;
    assert!(matches!(ended, Some(Err(Error::Disconnected))), "{ended:?}");
    assert!(ws.recv().await.is_none());
}
