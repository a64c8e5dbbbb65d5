//! Who is woken, what ends by time, and what is let go: where two sides share a connection and the peer does not help.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use fanfare_codec::{CloseFrame, Encoder, Role};
use fanfare_tokio::{Config, Error, Event, Message, MessageRef, PreparedFrame, WebSocketStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};

/// Frames of a client.
fn frames(
    write: impl FnOnce(&mut Encoder<fanfare_codec::MaskedWith<fn() -> [u8; 4]>>, &mut Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::new();
    let key: fn() -> [u8; 4] = || [1, 2, 3, 4];
    write(&mut Encoder::client(key), &mut out);
    out
}

/// Gives what it has, and takes nothing any more.
struct Deaf {
    incoming: Vec<u8>,
    written_to: usize,
}

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.incoming.len().min(into.remaining());
        let bytes: Vec<u8> = self.incoming.drain(..len).collect();
        into.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written_to += 1;
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn pings_of_a_peer_that_takes_nothing_any_more_are_not_kept() {
    let incoming = frames(|client, out| {
        for _ in 0..10_000 {
            client.ping(out, &[b'x'; 125]).expect("short");
        }
    });
    let io = Deaf {
        incoming,
        written_to: 0,
    };
    let mut ws = WebSocketStream::from_raw(io, Role::Server, &Config::default(), &[]);
    for _ in 0..10_000 {
        let ping = ws.next_message().await.expect("open").expect("good");
        assert!(matches!(ping, MessageRef::Ping(_)));
        assert!(ws.waiting_bytes() < 128 << 10, "{}", ws.waiting_bytes());
    }
    let end = ws.next_message().await.expect("an error");
    assert!(matches!(end, Err(Error::Disconnected)));
    assert_eq!(ws.waiting_bytes(), 0);
    assert_eq!(ws.io().written_to, 1, "it has said so once");
    let error = ws.write_text("news").expect_err("nobody hears it");
    assert!(matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::BrokenPipe));
}

#[tokio::test(start_paused = true)]
async fn silence_is_the_peers_and_not_ours() {
    let config = Config::default().with_idle_timeout(Some(Duration::from_secs(60)));
    let (ours, mut theirs) = duplex(1024);
    let mut ws = WebSocketStream::from_raw(ours, Role::Server, &config, &[]);
    for _ in 0..3 {
        // The clock is started by a wait.
        let waited = tokio::time::timeout(Duration::from_secs(1), ws.recv()).await;
        assert!(waited.is_err());
        let hello = frames(|client, out| client.text(out, "hello").expect("open"));
        theirs.write_all(&hello).await.expect("a pipe");
        tokio::time::advance(Duration::from_secs(90)).await;
        let message = ws.recv().await.expect("open").expect("it was there");
        assert_eq!(message, Message::text("hello"));
    }
    let end = ws.recv().await.expect("an error");
    assert!(matches!(end, Err(Error::IdleTimeout)));
    assert!(ws.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_sending_does_not_put_off_the_end() {
    let (ours, mut theirs) = duplex(1024);
    let mut ws = WebSocketStream::from_raw(ours, Role::Server, &Config::default(), &[]);
    let flood = tokio::spawn(async move {
        let more = frames(|client, out| client.text(out, "more").expect("open"));
        while theirs.write_all(&more).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let end = ws.close(fanfare_codec::CloseCode::NORMAL, "").await;
    assert!(matches!(end, Err(Error::CloseTimeout)), "{end:?}");
    drop(ws);
    flood.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_reading_half_that_ends_by_time_frees_the_writing_half() {
    let config = Config::default().with_idle_timeout(Some(Duration::from_secs(60)));
    let (ours, _theirs) = duplex(64);
    let ws = WebSocketStream::from_raw(ours, Role::Server, &config, &[]);
    let (mut write, mut read) = ws.split();
    let writing = tokio::spawn(async move { write.send(Message::binary(vec![0; 4096])).await });
    let end = read.recv().await.expect("an error");
    assert!(matches!(end, Err(Error::IdleTimeout)));
    let written = writing.await.expect("no panic");
    assert!(
        matches!(&written, Err(Error::Io(error)) if error.kind() == io::ErrorKind::TimedOut),
        "{written:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_prepared_close_starts_the_time_of_a_reading_half_that_waits() {
    let (ours, _theirs) = duplex(1024);
    let ws = WebSocketStream::from_raw(ours, Role::Server, &Config::default(), &[]);
    let (mut write, mut read) = ws.split();
    let reading = tokio::spawn(async move { read.recv().await });
    tokio::task::yield_now().await;
    let close = CloseFrame::new(fanfare_codec::CloseCode::GOING_AWAY, "").expect("it may be sent");
    write
        .send_prepared(&PreparedFrame::close(close))
        .await
        .expect("room");
    let end = reading.await.expect("no panic").expect("an error");
    assert!(matches!(end, Err(Error::CloseTimeout)), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_future_has_written_leaves_while_the_other_half_waits() {
    let (ours, mut theirs) = duplex(64);
    let ws = WebSocketStream::from_raw(ours, Role::Server, &Config::default(), &[]);
    let (mut write, mut read) = ws.split();
    let reading = tokio::spawn(async move { read.recv().await });
    tokio::task::yield_now().await;
    let news = Message::binary(vec![7; 1000]);
    let sent = tokio::time::timeout(Duration::from_secs(1), write.send(news)).await;
    assert!(sent.is_err(), "the pipe is full");
    let mut frame = vec![0; 4 + 1000];
    let taken = theirs.read_exact(&mut frame);
    let taken = tokio::time::timeout(Duration::from_secs(1), taken).await;
    taken.expect("all of it comes").expect("a pipe");
    assert_eq!(frame[..4], [0x82, 126, 3, 232]);
    assert!(!reading.is_finished());
    drop(theirs);
    let end = reading.await.expect("no panic").expect("an error");
    assert!(matches!(end, Err(Error::Disconnected)));
}

#[tokio::test]
async fn times_that_nobody_lives_to_see_and_buffers_for_one_message_do() {
    let config = Config::default()
        .with_ping_interval(Some(Duration::MAX))
        .with_idle_timeout(Some(Duration::MAX))
        .with_close_timeout(Some(Duration::MAX))
        .with_max_write_buffer(0);
    let (ours, mut theirs) = duplex(1024);
    let mut ws = WebSocketStream::from_raw(ours, Role::Server, &config, &[]);
    for _ in 0..3 {
        ws.send_text("news").await.expect("it fits");
        let mut frame = [0; 6];
        theirs.read_exact(&mut frame).await.expect("a pipe");
        assert_eq!(&frame, b"\x81\x04news");
    }
    let bytes = frames(|client, out| client.close(out, None));
    theirs.write_all(&bytes).await.expect("a pipe");
    assert_eq!(
        ws.recv().await.expect("open").expect("good"),
        Message::Close(None)
    );
    assert!(ws.recv().await.is_none());
}

#[tokio::test]
async fn a_close_inside_a_message_is_given_to_who_asks_for_messages() {
    let (ours, mut theirs) = duplex(1024);
    let mut ws = WebSocketStream::from_raw(ours, Role::Server, &Config::default(), &[]);
    let bytes = frames(|client, out| {
        client
            .begin(out, fanfare_codec::MessageKind::Binary, b"half")
            .expect("open");
        client.close(out, Some(close_of(4000)));
    });
    theirs.write_all(&bytes).await.expect("a pipe");
    assert!(matches!(ws.next_event().await, Some(Ok(Event::Begin(_)))));
    let mut piece = [0; 64];
    assert_eq!(ws.read_piece(&mut piece).await.expect("good"), Some(4));
    for _ in 0..2 {
        let end = ws.read_piece(&mut piece).await;
        assert!(matches!(end, Err(Error::Disconnected)), "{end:?}");
    }
    drop(theirs);
    let Some(Ok(MessageRef::Close(Some(close)))) = ws.next_message().await else {
        panic!("the close")
    };
    assert_eq!(close.code().0, 4000);
    assert!(ws.next_message().await.is_none());
}

fn close_of(code: u16) -> CloseFrame<'static> {
    CloseFrame::new(fanfare_codec::CloseCode(code), "").expect("it may be sent")
}
