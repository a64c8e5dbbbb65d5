//! permessage-deflate from the handshake on, both ends ours; what others make of it the Autobahn suite says.

#![cfg(feature = "deflate")]

use fanfare_tokio::deflate::{DeflateOffer, DeflatePolicy, DeflateSettings};
use fanfare_tokio::{
    ClientRequest, CloseCode, Config, Error, Limits, Message, MessageRef, PreparedFrame,
    ProtocolError, WebSocketStream, accept, client,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

type Ends = (WebSocketStream<DuplexStream>, WebSocketStream<DuplexStream>);

/// A server and a client that have agreed.
async fn ends(policy: DeflatePolicy, limits: Limits) -> Ends {
    let config = Config::default()
        .with_limits(limits)
        .with_deflate_policy(Some(policy))
        .with_deflate_offer(Some(DeflateOffer::default()))
        .with_deflate_settings(DeflateSettings::DEFAULT.with_threshold_bytes(16));
    let (ours, theirs) = duplex(1 << 20);
    let request = ClientRequest::new("ws://a/").expect("a URL");
    let (server, client) = tokio::join!(accept(ours, &config), client(theirs, request, &config));
    let (client, answer) = client.expect("accepted");
    let extensions = answer.headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("Sec-WebSocket-Extensions") && value.starts_with(b"permessage")
    });
    assert!(extensions, "{answer:?}");
    (server.expect("an upgrade"), client)
}

#[tokio::test]
async fn messages_come_back_as_they_were_and_take_less() {
    for takeover in [true, false] {
        let policy = DeflatePolicy::DEFAULT
            .with_server_takeover(takeover)
            .with_client_takeover(takeover);
        let (mut server, mut client) = ends(policy, Limits::default()).await;
        for len in [0, 10, 1_000, 100_000] {
            let text = "again and again ".repeat(len);
            client.write_text(&text).expect("open");
            let waiting = client.waiting_bytes();
            assert!(
                waiting < 64 + text.len() / 20,
                "{waiting} of {} bytes",
                text.len()
            );
            client.flush().await.expect("open");
            let (message, mut replies) = server
                .next_with_replies()
                .await
                .expect("open")
                .expect("good");
            assert!(message == MessageRef::Text(&text));
            replies.text(&text).expect("room");
            server.flush().await.expect("open");
            let back = client.recv().await.expect("open").expect("good");
            assert!(back == Message::text(text));
        }
        // Both ends have to wait for each other.
        let closing = async { client.close(CloseCode::NORMAL, "").await };
        let answering = async { while let Some(Ok(_)) = server.recv().await {} };
        assert!(tokio::join!(closing, answering).0.is_ok());
    }
}

#[tokio::test]
async fn a_prepared_frame_is_deflated_for_those_whose_window_is_fresh() {
    let news = PreparedFrame::text("news ".repeat(1_000)).with_deflate();
    for (takeover, least, most) in [(false, 1, 100), (true, 5_000, 5_010)] {
        let policy = DeflatePolicy::DEFAULT.with_server_takeover(takeover);
        let (mut server, mut client) = ends(policy, Limits::default()).await;
        server.write_prepared(&news).expect("a server");
        let waiting = server.waiting_bytes();
        assert!(
            (least..most).contains(&waiting),
            "takeover {takeover}: {waiting} bytes"
        );
        server.write_text(&"mine ".repeat(100)).expect("open");
        server.flush().await.expect("open");
        for text in ["news ".repeat(1_000), "mine ".repeat(100)] {
            let message = client.next_message().await.expect("open").expect("good");
            assert!(message == MessageRef::Text(&text), "takeover {takeover}");
        }
    }
}

#[tokio::test]
async fn a_bomb_ends_at_the_limit() {
    let limits = Limits::default().with_max_message_bytes(10_000);
    let (mut server, mut client) = ends(DeflatePolicy::DEFAULT, limits).await;
    client.write_binary(&vec![0; 1 << 18]).expect("open");
    let waiting = client.waiting_bytes();
    assert!(
        waiting < 10_000,
        "{waiting} bytes: no length on the wire is too long"
    );
    client.flush().await.expect("open");
    let told = async {
        let message = client.recv().await.expect("a close").expect("good");
        let Message::Close(Some(close)) = message else {
            panic!("{message:?}")
        };
        assert_eq!(close.code, CloseCode::MESSAGE_TOO_BIG);
        assert!(client.recv().await.is_none());
        drop(client);
    };
    let (failed, ()) = tokio::join!(server.recv(), told);
    let is_right = matches!(
        failed,
        Some(Err(Error::Protocol(ProtocolError::MessageTooLong(_))))
    );
    assert!(is_right, "{failed:?}");
}

#[tokio::test]
async fn a_malformed_offer_is_told_400() {
    let config = Config::default().with_deflate_policy(Some(DeflatePolicy::DEFAULT));
    let (ours, mut theirs) = duplex(1 << 20);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; =\r\n\r\n";
    theirs.write_all(request).await.expect("a pipe");
    let refused = accept(ours, &config).await;
    assert!(matches!(refused, Err(Error::Extensions)));
    let mut answer = String::new();
    theirs.read_to_string(&mut answer).await.expect("a pipe");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
