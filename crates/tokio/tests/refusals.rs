//! Clients that are refused: what they are told, and what the server is.

use std::time::Duration;

use fanfare_tokio::handshake::{Response, Status, UpgradeError};
use fanfare_tokio::{Config, Error, accept, accept_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn the_answer_reaches_a_client_that_is_still_sending() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let refusing = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("a client");
        accept(socket, &Config::DEFAULT).await.map(|_| ())
    });
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    socket.write_all(POST).await.expect("connected");
    socket.write_all(&[b'x'; 100_000]).await.expect("connected");
    // Long enough for a reset to arrive.
    tokio::time::sleep(Duration::from_millis(50)).await;
    socket.write_all(&[b'x'; 100_000]).await.expect("no reset");
    socket.shutdown().await.expect("no reset");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("no reset");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    let refused = refusing.await.expect("no panic");
    let is_told = matches!(refused, Err(Error::Request(UpgradeError::Method)));
    assert!(is_told, "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_go_is_waited_for_only_so_long() {
    let (ours, mut theirs) = duplex(1000);
    theirs.write_all(POST).await.expect("room");
    let config = Config::DEFAULT.with_close_timeout(Some(Duration::from_secs(3)));
    let began = tokio::time::Instant::now();
    let refused = accept_with(ours, &config, |_, _, _| unreachable!("no upgrade")).await;
    assert_eq!(began.elapsed().as_secs(), 3);
    let is_told = matches!(refused, Err(Error::Request(UpgradeError::Method)));
    assert!(is_told, "{refused:?}");
}

#[tokio::test]
async fn why_it_was_refused_is_known_even_if_the_client_has_gone() {
    let (ours, mut theirs) = duplex(1000);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    theirs.write_all(request.as_bytes()).await.expect("room");
    drop(theirs);
    let refused = accept_with(ours, &Config::DEFAULT, |_, _, _| {
        Err(Response::refusal(Status::FORBIDDEN, &"not you"))
    });
    let refused = refused.await.map(|_| ());
    let is_told = matches!(refused, Err(Error::Refused(Status::FORBIDDEN)));
    assert!(is_told, "{refused:?}");
}
