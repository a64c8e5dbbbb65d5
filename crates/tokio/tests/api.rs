//! What a program can write: everything that may be spawned is `Send`, and the writing half writes as the whole does.

use fanfare_tokio::{CloseCode, Config, Message, PreparedFrame, Role, WebSocketStream, accept};
use tokio::io::duplex;

#[tokio::test]
async fn the_writing_half_writes_at_once_what_leaves_with_the_next_flush() {
    let (ours, theirs) = duplex(1000);
    let ws = WebSocketStream::from_raw(ours, Role::Server, &Config::DEFAULT, &[]);
    let (mut write, _read) = ws.split();
    write.ready().await.expect("room");
    write.write_text("a").expect("room");
    write.write_binary(b"b").expect("room");
    write.write_ping(b"c").expect("room");
    write
        .write_prepared(&PreparedFrame::text("d"))
        .expect("room");
    assert_eq!(write.waiting_bytes(), 12);
    write.flush().await.expect("open");
    assert_eq!(write.waiting_bytes(), 0);
    let mut peer = WebSocketStream::from_raw(theirs, Role::Client, &Config::DEFAULT, &[]);
    for expected in [
        Message::text("a"),
        Message::binary(b"b".to_vec()),
        Message::Ping(b"c"[..].into()),
        Message::text("d"),
    ] {
        let message = peer.recv().await.expect("open").expect("good");
        assert_eq!(message, expected);
    }
}

/// Whatever a task may hold across an await can move between threads.
#[test]
fn everything_can_be_spawned() {
    fn is_send(_: impl Send) {}
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<WebSocketStream<tokio::net::TcpStream>>();
    let (ours, theirs) = duplex(1);
    let mut ws = WebSocketStream::from_raw(ours, Role::Server, &Config::DEFAULT, &[]);
    is_send(ws.next_message());
    is_send(ws.next_with_replies());
    is_send(ws.next_event());
    is_send(ws.recv());
    is_send(ws.send("a".into()));
    is_send(ws.close(CloseCode::NORMAL, ""));
    let (mut write, mut read) = ws.split();
    is_send(read.next_message());
    is_send(read.next_event());
    is_send(write.send("a".into()));
    is_send(accept(theirs, &Config::DEFAULT));
}
