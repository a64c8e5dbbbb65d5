//! Ways to read, mixed, and halves that come and go in the middle of messages.

use std::task::Poll;

use fanfare_tokio::{
    Config, EncodeError, Error, Event, Message, MessageKind, MessageRef, Role, WebSocketStream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::wire::{BINARY, PING, PONG, TEXT, close, code, ends, frame, frames, so_far};

/// Polls once; what it gave.
async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

async fn next(ours: &mut WebSocketStream<DuplexStream>) -> Message {
    ours.recv().await.expect("open").expect("good")
}

#[tokio::test]
async fn a_message_is_whole_though_halves_are_split_and_reunited_in_its_middle() {
    let (mut ours, mut theirs) = ends(Role::Server, &Config::DEFAULT, 1 << 20);
    let payload: Vec<u8> = (0..=250).cycle().take(20_000).collect();
    let mut bytes = frame(Role::Client, 0x02, &payload[..9_000]);
    bytes.extend(frame(Role::Client, PING, b"between"));
    bytes.extend(frame(Role::Client, 0x80, &payload[9_000..]));
    let mut told = Vec::new();
    for piece in bytes.chunks(777) {
        theirs.write_all(piece).await.expect("a pipe");
        let (mut write, mut read) = ours.split();
        if let Some(message) = once(read.recv()).await {
            told.push(message.expect("open").expect("good"));
        }
        write.feed("said".into()).await.expect("room");
        ours = read.reunite(write).expect("of one stream");
    }
    if told.len() < 2 {
        told.push(next(&mut ours).await);
    }
    assert_eq!(told[0], Message::Ping(b"between"[..].into()));
    assert!(told[1] == Message::binary(payload));
    ours.flush().await.expect("open");
    let said = so_far(&mut theirs).await;
    let count = |wanted: &(u8, Vec<u8>)| said.iter().filter(|found| *found == wanted).count();
    assert_eq!(count(&(TEXT, b"said".to_vec())), bytes.chunks(777).len());
    assert_eq!(count(&(PONG, b"between".to_vec())), 1);
}

#[tokio::test]
async fn a_fragmented_send_goes_on_in_halves_and_behind_them() {
    let (mut ours, mut theirs) = ends(Role::Server, &Config::DEFAULT, 1 << 16);
    ours.begin(MessageKind::Text, b"a").expect("room");
    let (mut write, read) = ours.split();
    write.proceed(b"b").expect("room");
    let refused = write.send_text("inside").await;
    assert!(
        matches!(refused, Err(Error::Encode(EncodeError::InsideMessage))),
        "{refused:?}"
    );
    let mut ours = read.reunite(write).expect("of one stream");
    ours.write_ping(b"p").expect("room");
    ours.end(b"c").expect("room");
    assert!(matches!(ours.proceed(b"d"), Err(Error::Encode(_))));
    ours.send("after".into()).await.expect("open");
    let wanted = [
        (0x01, b"a".to_vec()),
        (0x00, b"b".to_vec()),
        (PING, b"p".to_vec()),
        (0x80, b"c".to_vec()),
        (TEXT, b"after".to_vec()),
    ];
    assert_eq!(so_far(&mut theirs).await, wanted);
}

#[tokio::test]
async fn pieces_then_messages_then_pieces_skip_nothing_but_the_rest() {
    let (mut ours, mut theirs) = ends(Role::Server, &Config::DEFAULT, 1 << 16);
    let mut bytes = frame(Role::Client, 0x01, b"first, ");
    bytes.extend(frame(Role::Client, PING, b"in it"));
    bytes.extend(frame(Role::Client, 0x80, b"its rest"));
    bytes.extend(frame(Role::Client, TEXT, b"second"));
    bytes.extend(frame(Role::Client, BINARY, b"third"));
    bytes.extend(frame(Role::Client, TEXT, b""));
    bytes.extend(close(Role::Client, 1000, ""));
    theirs.write_all(&bytes).await.expect("a pipe");
    let event = ours.next_event().await.expect("open").expect("good");
    assert_eq!(event, Event::Begin(MessageKind::Text));
    let mut three = [0; 3];
    assert_eq!(ours.read_piece(&mut three).await.expect("good"), Some(3));
    assert_eq!(&three, b"fir");
    // The rest goes; the ping within is told.
    assert_eq!(next(&mut ours).await, Message::Ping(b"in it"[..].into()));
    let second = ours.next_message().await.expect("open").expect("good");
    assert_eq!(second, MessageRef::Text("second"));
    let event = ours.next_event().await.expect("open").expect("good");
    assert_eq!(event, Event::Begin(MessageKind::Binary));
    let mut all = Vec::new();
    while let Some(read) = ours.read_piece(&mut three).await.expect("good") {
        all.extend_from_slice(&three[..read]);
    }
    assert_eq!(all, b"third");
    assert_eq!(
        ours.read_piece(&mut three).await.expect("good"),
        None,
        "and again"
    );
    let event = ours.next_event().await.expect("open").expect("good");
    assert_eq!(event, Event::Begin(MessageKind::Text));
    assert_eq!(
        ours.read_piece(&mut three).await.expect("good"),
        None,
        "an empty one"
    );
    assert!(next(&mut ours).await.is_close());
    assert!(ours.next_event().await.is_none());
}

#[tokio::test]
async fn s8_1_text_in_pieces_is_looked_at_across_fragments() {
    let euro = "€".as_bytes();
    for (first, last, is_good) in [
        (&euro[..1], &euro[1..], true),
        (&euro[..2], &euro[..1], false),
        (&euro[..2], b"", false),
        (b"\xED", b"\xA0\x80", false), // a surrogate
    ] {
        let (mut ours, mut theirs) = ends(Role::Server, &Config::DEFAULT, 1 << 16);
        let mut bytes = frame(Role::Client, 0x01, first);
        bytes.extend(frame(Role::Client, 0x80, last));
        theirs.write_all(&bytes).await.expect("a pipe");
        let peer = async {
            let mut bytes = [0; 200];
            let read = theirs.read(&mut bytes).await.expect("a pipe");
            drop(theirs);
            frames(&bytes[..read])
        };
        let reading = async {
            let mut text = Vec::new();
            let end = loop {
                match ours.next_event().await.expect("open") {
                    Ok(Event::Piece { data, is_last }) => {
                        text.extend_from_slice(data);
                        if is_last {
                            break None;
                        }
                    }
                    Ok(event) => assert_eq!(event, Event::Begin(MessageKind::Text)),
                    Err(error) => break Some(error),
                }
            };
            drop(ours);
            (text, end)
        };
        let ((text, error), told) = tokio::join!(reading, peer);
        if is_good {
            assert!(
                error.is_none() && text == euro,
                "{first:?} {last:?}: {error:?}"
            );
        } else {
            assert!(
                matches!(error, Some(Error::Protocol(_))),
                "{first:?} {last:?}: {error:?}"
            );
            assert_eq!(told.iter().map(code).collect::<Vec<_>>(), [Some(1007)]);
        }
    }
}

#[tokio::test]
async fn either_half_works_on_without_the_other() {
    let (ours, mut theirs) = ends(Role::Server, &Config::DEFAULT, 1 << 16);
    let (write, mut read) = ours.split();
    drop(write);
    let mut bytes = frame(Role::Client, PING, b"?");
    bytes.extend(close(Role::Client, 1000, ""));
    theirs.write_all(&bytes).await.expect("a pipe");
    while let Some(message) = read.recv().await {
        message.expect("good");
    }
    let told = so_far(&mut theirs).await;
    assert_eq!(told[0], (PONG, b"?".to_vec()));
    assert_eq!(code(&told[1]), Some(1000));

    let (ours, mut theirs) = ends(Role::Server, &Config::DEFAULT, 1 << 16);
    let (mut write, read) = ours.split();
    drop(read);
    write.send("still".into()).await.expect("open");
    assert_eq!(so_far(&mut theirs).await, [(TEXT, b"still".to_vec())]);
    drop(write);
    assert_eq!(
        theirs.read(&mut [0; 8]).await.expect("a pipe"),
        0,
        "the transport goes with both"
    );
}
