//! What a connection does, rule by rule, over transports in memory.

mod common;

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use common::{Scripted, Woken, poll_times};
use fanfare_codec::{
    CloseCode, Encoder, Limits, Message as MessageRef, MessageDecoder, MessageKind, ProtocolError,
    Role,
};
use fanfare_tokio::{Config, Error, Event, Message, PreparedFrame, WebSocketStream};
use futures_util::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

/// A config without a clock, for executors that have none.
fn untimed() -> Config {
    Config::default().with_close_timeout(None)
}

/// A server of ours, and the client's end as bytes.
fn server(config: &Config) -> (WebSocketStream<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(1 << 20);
    let ws = WebSocketStream::from_raw(ours, Role::Server, config, &[]);
    (ws, theirs)
}

/// Frames of a client.
fn frames(
    write: impl FnOnce(&mut Encoder<fanfare_codec::MaskedWith<fn() -> [u8; 4]>>, &mut Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::new();
    let key: fn() -> [u8; 4] = || [1, 2, 3, 4];
    write(&mut Encoder::client(key), &mut out);
    out
}

/// What a server has sent, in words.
fn told(bytes: &[u8]) -> Vec<String> {
    let mut bytes = bytes.to_vec();
    let mut input = &mut bytes[..];
    let mut decoder = MessageDecoder::new(Role::Client, Limits::default());
    let mut told = Vec::new();
    while let Some(message) = decoder.next_message(&mut input).expect("by the rules") {
        told.push(match message {
            MessageRef::Text(text) => format!("text {text}"),
            MessageRef::Binary(bytes) => format!("binary {}", bytes.len()),
            MessageRef::Ping(payload) => format!("ping {}", String::from_utf8_lossy(payload)),
            MessageRef::Pong(payload) => format!("pong {}", String::from_utf8_lossy(payload)),
            MessageRef::Close(None) => "close".into(),
            MessageRef::Close(Some(close)) => format!("close {} {}", close.code(), close.reason()),
        });
    }
    assert!(input.is_empty(), "a cut frame");
    told
}

async fn sent_so_far(theirs: &mut DuplexStream) -> Vec<String> {
    let mut bytes = vec![0; 1 << 20];
    let read = theirs.read(&mut bytes).await.expect("a pipe");
    told(&bytes[..read])
}

#[tokio::test]
async fn answers_to_all_that_one_read_brought_leave_in_one_write() {
    let (mut ws, mut theirs) = server(&Config::default());
    let bytes = frames(|client, out| {
        for n in 0..10 {
            client.text(out, &n.to_string()).expect("open");
        }
        client.ping(out, b"p").expect("short");
    });
    theirs.write_all(&bytes).await.expect("a pipe");
    for n in 0..10 {
        let (message, mut replies) = ws.next_with_replies().await.expect("open").expect("good");
        assert_eq!(message, MessageRef::Text(&n.to_string()));
        replies.text("yes").expect("room");
    }
    assert!(
        ws.waiting_bytes() > 0,
        "nothing has left before reading has to wait"
    );
    let ping = ws.next_with_replies().await.expect("open").expect("good").0;
    assert_eq!(ping, MessageRef::Ping(b"p"));
    let mut bytes = vec![0; 1 << 20];
    tokio::select! {
        biased;
        _ = ws.next_with_replies() => panic!("nothing more comes"),
        read = theirs.read(&mut bytes) => {
            let told = told(&bytes[..read.expect("a pipe")]);
            assert_eq!(told.len(), 11, "in one piece");
            assert_eq!(told[10], "pong p");
        }
    }
    assert_eq!(ws.waiting_bytes(), 0);
}

#[test]
fn s5_5_3_of_pings_that_come_while_a_write_is_blocked_the_latest_is_answered() {
    let bytes = frames(|client, out| {
        for n in 0..500 {
            client.ping(out, n.to_string().as_bytes()).expect("short");
        }
        client.text(out, "end").expect("open");
    });
    let mut io = Scripted::new(7, bytes);
    io.is_stuck = true;
    let mut ws = WebSocketStream::from_raw(io, Role::Server, &untimed(), &[]);
    ws.write_text("before").expect("room");
    assert!(poll_times_stuck(&mut ws), "a write that is blocked");
    loop {
        // Reading goes on, whatever is not taken.
        let next = poll_times(u32::MAX, ws.recv()).expect("woken");
        if next.expect("open").expect("good") == Message::text("end") {
            break;
        }
        assert!(ws.waiting_bytes() < 100, "bounded, however many there are");
    }
    ws.io_mut().is_stuck = false;
    poll_times(u32::MAX, ws.flush())
        .expect("woken")
        .expect("taken");
    assert_eq!(told(&ws.io().written), ["text before", "pong 499"]);
}

/// Begins a flush that the transport does not take.
fn poll_times_stuck(ws: &mut WebSocketStream<Scripted>) -> bool {
    let mut flush = std::pin::pin!(ws.flush());
    let cx = &mut Context::from_waker(Waker::noop());
    flush.as_mut().poll(cx).is_pending()
}

#[test]
fn whichever_half_waits_is_woken_when_the_transport_takes_something_again() {
    let bytes = frames(|client, out| client.ping(out, b"alive?").expect("short"));
    let mut io = Scripted::new(7, bytes);
    io.is_stuck = true;
    let stuck = Arc::clone(&io.stuck);
    let ws = WebSocketStream::from_raw(io, Role::Server, &untimed(), &[]);
    let (mut write, mut read) = ws.split();
    let writer = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&writer));
    let mut sending = Box::pin(write.send_text("blocked"));
    let polled = sending.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    // The reading half tries, too, and is the last that the transport has told to wait.
    let before = stuck.lock().expect("no panic").len();
    let ping = poll_times(u32::MAX, read.recv()).expect("woken");
    assert_eq!(
        ping.expect("open").expect("good"),
        Message::Ping(b"alive?"[..].into())
    );
    // The script has ended, but what waits may still leave.
    let reader = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&reader));
    let mut reading = Box::pin(read.recv());
    while reading
        .as_mut()
        .poll(&mut Context::from_waker(&waker))
        .is_pending()
        && reader.take()
    {}
    let last = {
        let stuck = stuck.lock().expect("no panic");
        assert!(stuck.len() > before, "it has tried");
        stuck.last().expect("somebody").clone()
    };
    assert!(!writer.take() && !reader.take());
    last.wake();
    assert!(writer.take(), "the writing half waits as well");
    assert!(reader.take(), "and so does the reading half");
    drop((sending, reading));
    let mut ws = read.reunite(write).expect("of one stream");
    ws.io_mut().is_stuck = false;
    poll_times(u32::MAX, ws.flush())
        .expect("woken")
        .expect("taken");
    let end = poll_times(u32::MAX, ws.recv()).expect("woken");
    assert!(matches!(end, Some(Err(Error::Disconnected))), "{end:?}");
    assert_eq!(told(&ws.io().written), ["text blocked", "pong alive?"]);
}

#[tokio::test]
async fn the_reading_half_alone_answers_pings_and_closes() {
    let (ws, mut theirs) = server(&Config::default());
    let (write, mut read) = ws.split();
    let bytes = frames(|client, out| {
        client.ping(out, b"p").expect("short");
        let close = fanfare_codec::CloseFrame::new(CloseCode(4123), "bye").expect("good");
        client.close(out, Some(close));
    });
    theirs.write_all(&bytes).await.expect("a pipe");
    let mut seen = Vec::new();
    while let Some(message) = read.recv().await {
        seen.push(message.expect("good"));
    }
    assert_eq!(seen.len(), 2);
    assert_eq!(sent_so_far(&mut theirs).await, ["pong p", "close 4123 "]);
    drop(write);
}

#[tokio::test]
async fn a_close_is_answered_even_if_nobody_reads_behind_it() {
    let (mut ws, mut theirs) = server(&Config::default());
    let bytes = frames(|client, out| client.close(out, None));
    theirs.write_all(&bytes).await.expect("a pipe");
    let close = ws.recv().await.expect("open").expect("good");
    assert_eq!(close, Message::Close(None));
    drop(ws);
    assert_eq!(sent_so_far(&mut theirs).await, ["close"]);
}

#[tokio::test]
async fn nothing_may_be_sent_behind_a_close() {
    let (mut ws, _theirs) = server(&Config::default());
    ws.send(Message::Close(None)).await.expect("room");
    let refused = ws.send("late".into()).await;
    let closed = fanfare_tokio::EncodeError::Closed;
    assert!(matches!(refused, Err(Error::Encode(error)) if error == closed));
}

#[tokio::test]
async fn behind_the_end_nothing_is_sent_and_nothing_waits() {
    let is_closed = |sent: Result<(), Error>| {
        matches!(sent, Err(Error::Encode(fanfare_tokio::EncodeError::Closed)))
    };
    for way in ["closed", "broken"] {
        let (mut ws, mut theirs) = server(&Config::default());
        let last: &[u8] = match way {
            "closed" => b"\x88\x80\0\0\0\0",
            _ => b"\x83\x80\0\0\0\0",
        };
        theirs.write_all(last).await.expect("a pipe");
        let ((), ()) = tokio::join!(async { while ws.recv().await.is_some() {} }, async {
            let mut bytes = Vec::new();
            theirs.read_to_end(&mut bytes).await.expect("a pipe");
            drop(theirs);
        });
        assert!(is_closed(ws.send("late".into()).await), "{way}");
        assert!(is_closed(ws.ready().await), "{way}");
        assert!(is_closed(ws.write_text("late")), "{way}");
        assert!(ws.flush().await.is_ok(), "{way}");
        let (mut write, _read) = ws.split();
        assert!(is_closed(write.feed("late".into()).await), "{way}");
        assert!(SinkExt::close(&mut write).await.is_ok(), "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_has_room_where_nothing_else_has() {
    let config = Config::default().with_max_write_buffer(100);
    let (ws, _theirs) = server(&config);
    let (mut write, mut read) = ws.split();
    write.write_binary(&[0; 100_000]).expect("one fits");
    assert!(write.write_text("").is_err());
    // Nobody takes it, nor answers: but the end is near from now on.
    write.feed(Message::Close(None)).await.expect("room");
    let end = read.recv().await.expect("told");
    assert!(matches!(end, Err(Error::CloseTimeout)), "{end:?}");
}

#[tokio::test]
async fn a_broken_rule_is_told_to_the_peer_and_named() {
    let wrong: [(&[u8], ProtocolError, &str); 3] = [
        (b"\x81\x02Hi", ProtocolError::UnmaskedFrame, "close 1002"),
        (
            b"\x83\x80\0\0\0\0",
            ProtocolError::ReservedOpcode(3),
            "close 1002",
        ),
        (
            b"\x81\x81\0\0\0\0\xFF",
            ProtocolError::InvalidUtf8 { valid_up_to: 0 },
            "close 1007",
        ),
    ];
    for way in ["borrowed", "owned", "event", "replies"] {
        for (bytes, error, close) in wrong {
            let (mut ws, mut theirs) = server(&Config::default());
            theirs.write_all(bytes).await.expect("a pipe");
            let peer = async {
                let mut bytes = Vec::new();
                // Until our end has shut down; then the peer leaves, too.
                theirs.read_to_end(&mut bytes).await.expect("a pipe");
                drop(theirs);
                told(&bytes)
            };
            let ours = async {
                let mut failed = None;
                while failed.is_none() {
                    failed = match way {
                        "borrowed" => ws.next_message().await.expect("an error").err(),
                        "owned" => ws.recv().await.expect("an error").err(),
                        "event" => ws.next_event().await.expect("an error").err(),
                        _ => ws.next_with_replies().await.expect("an error").err(),
                    };
                }
                assert!(ws.next_message().await.is_none(), "it has ended");
                failed
            };
            let (told, failed) = tokio::join!(peer, ours);
            assert!(
                matches!(failed, Some(Error::Protocol(e)) if e == error),
                "{way}: {failed:?}"
            );
            assert!(
                told.len() == 1 && told[0].starts_with(close),
                "{way}: {told:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_end_without_a_close_has_an_error_of_its_own() {
    let (mut ws, theirs) = server(&Config::default());
    drop(theirs);
    assert!(matches!(
        ws.next_message().await,
        Some(Err(Error::Disconnected))
    ));
    assert!(ws.next_message().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn silence_is_asked_with_pings_and_ended_in_time() {
    let config = Config::default()
        .with_ping_interval(Some(Duration::from_secs(20)))
        .with_idle_timeout(Some(Duration::from_secs(50)));
    let (mut ws, mut theirs) = server(&config);
    let start = Instant::now();
    let peer = async {
        assert_eq!(sent_so_far(&mut theirs).await, ["ping fanfare keep-alive"]);
        assert_eq!(start.elapsed().as_secs(), 20);
        let pongs = frames(|client, out| {
            for payload in [&b"fanfare keep-alive"[..], b"fanfare keep-alive", b""] {
                client.pong(out, payload).expect("short");
            }
        });
        theirs.write_all(&pongs).await.expect("a pipe");
        // Heard at 20 s: asked at 40 and 60, over at 70.
        assert_eq!(sent_so_far(&mut theirs).await, ["ping fanfare keep-alive"]);
        assert_eq!(start.elapsed().as_secs(), 40);
        theirs
    };
    let ours = async {
        // Nobody has asked for the first; the others answer nothing, and are given as others are.
        for payload in [&b"fanfare keep-alive"[..], b""] {
            let pong = ws.recv().await.expect("open").expect("good");
            assert_eq!(pong, Message::Pong(payload.into()));
        }
        let end = ws.recv().await;
        assert!(matches!(end, Some(Err(Error::IdleTimeout))), "{end:?}");
        assert_eq!(start.elapsed().as_secs(), 70);
    };
    tokio::join!(peer, ours);
    assert!(ws.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_close_is_waited_for_no_longer_than_it_may_take() {
    let config = Config::default().with_close_timeout(Some(Duration::from_secs(3)));
    let (mut ws, mut theirs) = server(&config);
    let start = Instant::now();
    let closed = ws.close(CloseCode::GOING_AWAY, "restart").await;
    assert!(matches!(closed, Err(Error::CloseTimeout)), "{closed:?}");
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(sent_so_far(&mut theirs).await, ["close 1001 restart"]);
    assert!(ws.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_writing_half_bounds_the_reading_half_that_waits_already() {
    let config = Config::default().with_close_timeout(Some(Duration::from_secs(3)));
    let (ws, _theirs) = server(&config);
    let (mut write, mut read) = ws.split();
    let reading = tokio::spawn(async move { read.recv().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    write.close(CloseCode::NORMAL, "").await.expect("written");
    let end = reading.await.expect("a task");
    assert!(matches!(end, Some(Err(Error::CloseTimeout))), "{end:?}");
}

#[tokio::test]
async fn a_codec_close_code_that_must_not_be_sent_is_refused_and_changes_nothing() {
    let (mut ws, _theirs) = server(&Config::default());
    let closed = ws.close(CloseCode(1005), "").await;
    assert!(matches!(closed, Err(Error::CloseCode(_))));
    ws.write_text("still open").expect("open");
}

#[tokio::test]
async fn what_waits_is_bounded_and_one_message_always_fits() {
    let (ours, mut theirs) = duplex(16);
    let config = Config::default().with_max_write_buffer(100);
    let mut ws = WebSocketStream::from_raw(ours, Role::Server, &config, &[]);
    ws.write_binary(&[0; 5_000]).expect("one fits");
    assert!(matches!(
        ws.write_binary(b"more"),
        Err(Error::WriteBufferFull)
    ));
    let waited = tokio::time::timeout(Duration::from_millis(20), ws.send_text("x")).await;
    assert!(waited.is_err(), "nobody reads");
    let reading = tokio::spawn(async move {
        let mut bytes = Vec::new();
        theirs.read_to_end(&mut bytes).await.expect("a pipe");
        told(&bytes)
    });
    ws.send_text("y").await.expect("room in the end");
    drop(ws);
    assert_eq!(reading.await.expect("a task"), ["binary 5000", "text y"]);
}

#[tokio::test]
async fn prepared_frames_are_a_server_s() {
    let (mut ws, mut theirs) = server(&Config::default());
    let news = PreparedFrame::text("news");
    ws.send_prepared(&news).await.expect("a server");
    ws.begin(MessageKind::Text, b"one ").expect("open");
    let inside = ws.send_prepared(&news).await;
    assert!(matches!(
        inside,
        Err(Error::Encode(fanfare_tokio::EncodeError::InsideMessage))
    ));
    ws.end(b"two").expect("open");
    ws.flush().await.expect("taken");
    assert_eq!(
        sent_so_far(&mut theirs).await,
        ["text news", "text one two"]
    );
    let (ours, _theirs) = duplex(64);
    let mut client = WebSocketStream::from_raw(ours, Role::Client, &Config::default(), &[]);
    assert!(matches!(
        client.write_prepared(&news),
        Err(Error::NotAServer)
    ));
}

#[tokio::test]
async fn a_sink_that_closes_sends_1000() {
    let (mut ws, mut theirs) = server(&Config::default());
    SinkExt::close(&mut ws).await.expect("written");
    assert_eq!(sent_so_far(&mut theirs).await, ["close 1000 "]);
}

#[tokio::test]
async fn a_frame_past_every_message_s_limit_comes_in_pieces_and_the_rest_can_be_dropped() {
    let limits = Limits::default().with_max_message_bytes(1_000);
    let (mut ws, mut theirs) = server(&Config::default().with_limits(limits));
    let bytes = frames(|client, out| {
        client.binary(out, &[7; 300_000]).expect("open");
        client.text(out, "behind").expect("open");
        client.binary(out, &[8; 300_000]).expect("open");
        client.text(out, "last").expect("open");
    });
    let writing = tokio::spawn(async move {
        theirs.write_all(&bytes).await.expect("a pipe");
        theirs
    });
    let begin = ws.next_event().await.expect("open").expect("good");
    assert_eq!(begin, Event::Begin(MessageKind::Binary));
    let (mut all, mut buffer) = (0, [0; 10_000]);
    while let Some(read) = ws.read_piece(&mut buffer).await.expect("good") {
        assert!(buffer[..read].iter().all(|byte| *byte == 7));
        all += read;
    }
    assert_eq!(all, 300_000);
    let behind = ws.next_message().await.expect("open").expect("good");
    assert_eq!(behind, MessageRef::Text("behind"));
    let begin = ws.next_event().await.expect("open").expect("good");
    assert_eq!(begin, Event::Begin(MessageKind::Binary));
    let last = ws.next_message().await.expect("open").expect("good");
    assert_eq!(last, MessageRef::Text("last"));
    drop(writing.await.expect("a task"));
}
