//! What a connection costs: nothing allocated for a message that comes and is answered, next to nothing while it waits.
//! One test: an allocator counts for the whole process.

use std::alloc::System;
use std::task::{Context, Waker};

use cap::Cap;
use fanfare_codec::Role;
use fanfare_tokio::{Config, MessageRef, WebSocketStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

#[global_allocator]
static ALLOCATED: Cap<System> = Cap::new(System, usize::MAX);

const ROUNDS: usize = 1_000;
const IDLE: usize = 100;

#[tokio::test]
async fn a_message_allocates_nothing_and_a_connection_that_waits_holds_next_to_nothing() {
    let (ours, mut theirs) = duplex(64 << 10);
    let mut ws = WebSocketStream::from_raw(ours, Role::Server, &Config::default(), &[]);
    let mut round = async |ws: &mut WebSocketStream<_>| {
        theirs
            .write_all(b"\x81\x85\0\0\0\0hello")
            .await
            .expect("a pipe");
        let (message, mut replies) = ws.next_with_replies().await.expect("open").expect("good");
        let MessageRef::Text(text) = message else {
            panic!("{message:?}")
        };
        replies.text(text).expect("room");
        ws.flush().await.expect("taken");
        let mut reply = [0; 7];
        theirs.read_exact(&mut reply).await.expect("a pipe");
        assert_eq!(&reply, b"\x81\x05hello");
    };
    for _ in 0..10 {
        round(&mut ws).await;
    }
    let before = ALLOCATED.total_allocated();
    for _ in 0..ROUNDS {
        round(&mut ws).await;
    }
    let a_message = (ALLOCATED.total_allocated() - before) / ROUNDS;
    assert_eq!(a_message, 0, "bytes allocated a message");

    // Each has heard something, and waits with half a header.
    let mut pipes: Vec<_> = (0..IDLE).map(|_| duplex(64)).collect();
    let before = ALLOCATED.allocated();
    let mut idle = Vec::with_capacity(IDLE);
    for (ours, theirs) in pipes.drain(..) {
        let ws = WebSocketStream::from_raw(ours, Role::Server, &Config::default(), &[]);
        idle.push((ws, theirs));
    }
    for (ws, theirs) in &mut idle {
        theirs
            .write_all(b"\x81\x85\0\0\0\0hello\x81")
            .await
            .expect("a pipe");
        assert!(ws.next_message().await.is_some());
        let mut next = std::pin::pin!(ws.next_message());
        assert!(
            next.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    let grown = ALLOCATED.allocated().saturating_sub(before);
    let a_connection = grown / IDLE;
    assert!(a_connection < 1_024, "{a_connection} bytes a connection");

    // A message that was put together is let go once more is waited for.
    let (ours, mut theirs) = duplex(8 << 20);
    let mut ws = WebSocketStream::from_raw(ours, Role::Server, &Config::default(), &[]);
    let before = ALLOCATED.allocated();
    let mut long = b"\x82\xFF\0\0\0\0\0\x40\0\0\0\0\0\0".to_vec();
    long.resize(long.len() + (4 << 20), 0);
    theirs.write_all(&long).await.expect("a pipe");
    drop(long);
    let (message, _) = ws.next_with_replies().await.expect("open").expect("good");
    assert!(matches!(message, MessageRef::Binary(bytes) if bytes.len() == 4 << 20));
    let lent = ALLOCATED.allocated() - before;
    let mut next = std::pin::pin!(ws.next_with_replies());
    assert!(
        next.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    let held = ALLOCATED.allocated() - before;
    assert!(lent - held >= 4 << 20, "{held} of {lent} bytes");
    println!("{a_connection} bytes an idle connection, its transport included");
}
