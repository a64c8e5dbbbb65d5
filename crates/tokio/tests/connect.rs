//! `connect`, in the clear: what it takes, which address it takes, what it gives when a server refuses.
#![cfg(feature = "connect")]

#[path = "common/plain.rs"]
mod plain;

use std::net::SocketAddr;
use std::time::Duration;

use fanfare_tokio::handshake::UpgradeFailed;
use fanfare_tokio::{
    ClientRequest, CloseCode, Config, ConnectOptions, Error, Message, Refusal, UrlError, accept,
    connect, connect_with,
};
use plain::{echo, listen, read_head};
use tokio::io::AsyncWriteExt;

/// Where nobody listens any more.
async fn nobody() -> SocketAddr {
    listen().await.1
}

/// A server that reads each request and writes what is given, then holds the connection.
async fn say(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let (listener, address) = listen().await;
    let answer = answer.into();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.expect("a client");
            read_head(&mut socket).await;
            socket
                .write_all(&answer)
                .await
                .expect("a client that listens");
            held.push(socket);
        }
    });
    address
}

async fn refused(url: &str, options: &ConnectOptions) -> Box<Refusal> {
    match connect_with(url, options).await {
        Err(Error::Upgrade(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn urls_and_requests_are_taken_alike() {
    const fn is_send<T: Send>(future: T) -> T {
        future
    }
    let address = echo().await;
    let url = format!("ws://localhost:{}/a", address.port());
    let options = ConnectOptions::default();
    let request = ClientRequest::new(&url).expect("a URL");
    for connected in [
        is_send(connect(url.as_str())).await,
        connect(&url).await,
        connect_with(url.clone(), &options).await,
        connect(request).await,
    ] {
        let (mut ws, answer) = connected.expect("a server");
        assert_eq!(answer.header("upgrade"), Some(&b"websocket"[..]));
        assert!(ws.io().io().nodelay().expect("a socket"));
        let peer = ws.io_mut().io_mut().peer_addr();
        assert_eq!(peer.expect("a peer"), address);
        ws.send("hello".into()).await.expect("sent");
        let back = ws.recv().await.expect("an answer").expect("text");
        assert_eq!(back, Message::text("hello"));
        ws.close(CloseCode::NORMAL, "").await.expect("an end");
    }
}

#[tokio::test]
async fn a_wrong_url_is_named_and_nobody_is_called() {
    for (url, wrong) in [
        ("http://localhost", UrlError::Scheme),
        ("ws://a:b@localhost", UrlError::Userinfo),
        ("ws://b\u{fc}cher.example", UrlError::NonAsciiHost),
        ("ws://localhost/#a", UrlError::Fragment),
    ] {
        match connect(url).await {
            Err(Error::Url(is)) => assert_eq!(is, wrong, "{url}"),
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[cfg(not(feature = "rustls"))]
#[tokio::test]
async fn wss_without_tls_names_the_feature() {
    let error = connect("wss://localhost").await.expect_err("no TLS");
    assert!(matches!(error, Error::NoTls));
    assert!(error.to_string().contains("feature rustls-webpki-roots"));
}

#[tokio::test]
async fn a_dead_address_beside_a_living_one_does_not_matter() {
    let (dead, living) = (nobody().await, echo().await);
    for addresses in [
        vec![dead, living],
        vec![living, dead],
        vec![dead, dead, living],
    ] {
        let options = ConnectOptions::default().with_addresses(addresses.clone());
        let (ws, _) = connect_with("ws://anybody.example/", &options)
            .await
            .expect("a server");
        assert_eq!(ws.io().io().peer_addr().expect("a peer"), living);
    }
    let options = ConnectOptions::default().with_addresses([dead, dead]);
    match connect_with("ws://anybody.example/", &options).await {
        Err(Error::Io(error)) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_told_from_a_server_that_is_not_there() {
    // Longer than a label may be: no resolver asks anybody.
    let url = format!("ws://{}.example/", "a".repeat(64));
    match connect(url).await {
        Err(error @ Error::Resolve(_)) => {
            assert!(
                error.to_string().starts_with("the host's name: "),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_host_is_named_as_in_the_url_and_each_request_has_its_own_key() {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        let mut heads = Vec::new();
        for _ in 0..2 {
            let (mut socket, _) = listener.accept().await.expect("a client");
            heads.push(read_head(&mut socket).await);
        }
        heads
    });
    let request = ClientRequest::new(&format!("ws://[::1]:{}/a?b", address.port()));
    let request = request.expect("a URL");
    let options = ConnectOptions::default().with_addresses([address]);
    for _ in 0..2 {
        match connect_with(request.clone(), &options).await {
            Err(Error::Disconnected | Error::Io(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    let heads = serving.await.expect("a task");
    let start = format!("GET /a?b HTTP/1.1\r\nHost: [::1]:{}\r\n", address.port());
    assert!(
        heads.iter().all(|head| head.starts_with(&start)),
        "{heads:?}"
    );
    assert_ne!(heads[0], heads[1]);
}

#[tokio::test]
async fn a_server_that_says_nothing_takes_the_handshakes_time_and_not_the_connections() {
    let url = format!("ws://{}/", say("").await);
    let config = Config::default().with_handshake_timeout(Some(Duration::from_millis(50)));
    let options = ConnectOptions::default().with_config(config);
    match connect_with(url, &options).await {
        Err(Error::HandshakeTimeout) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refusal_has_status_headers_and_body_and_does_not_wait_for_a_close() {
    let options = ConnectOptions::default();
    let address = say("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n\
        Content-Length: 8\r\n\r\nno tokenHTTP/1.1 200")
    .await;
    let refusal = refused(&format!("ws://{address}/"), &options).await;
    assert_eq!(refusal.status.0, 401);
    assert_eq!(refusal.failed, UpgradeFailed::Status(refusal.status));
    assert_eq!(refusal.header("www-authenticate"), Some(&b"Bearer"[..]));
    assert_eq!(
        (refusal.text().as_ref(), refusal.location()),
        ("no token", None)
    );
    assert_eq!(
        Error::Upgrade(refusal).to_string(),
        "HTTP upgrade: the server answered 401 instead of 101"
    );

    let location = "wss://else.example/\u{fc}?a=b";
    let address = say(format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ))
    .await;
    let refusal = refused(&format!("ws://{address}/"), &options).await;
    assert_eq!(
        (refusal.status.0, refusal.location()),
        (302, Some(location))
    );
    assert!(refusal.body.is_empty());

    let address = say("HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n\
        4\r\nlate\r\n1;a=b\r\nr\r\n0\r\n\r\n")
    .await;
    let refusal = refused(&format!("ws://{address}/"), &options).await;
    assert_eq!((refusal.status.0, refusal.text().as_ref()), (503, "later"));
}

#[tokio::test]
async fn of_a_long_body_the_first_4_kib_are_kept() {
    let body = "b".repeat(100_000);
    for head in [
        format!("Content-Length: {}\r\n", body.len()),
        format!("Content-Length: {}\r\n", u64::MAX),
        "Content-Length: -1\r\n".to_owned(),
        String::new(),
        "Transfer-Encoding: gzip\r\n".to_owned(),
    ] {
        let address = say(format!("HTTP/1.1 500 No\r\n{head}\r\n{body}")).await;
        let options = ConnectOptions::default();
        let refusal = refused(&format!("ws://{address}/"), &options).await;
        assert_eq!(refusal.body, &body.as_bytes()[..4096], "{head}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_costs_no_more_than_the_handshake_and_hides_nothing() {
    for (head, body, is) in [
        ("Content-Length: 10\r\n", "abc", "abc"),
        ("Transfer-Encoding: chunked\r\n", "4\r\nabc", "abc"),
        ("", "abc", "abc"),
        ("", "", ""),
    ] {
        let address = say(format!("HTTP/1.1 400 No\r\n{head}\r\n{body}")).await;
        let config = Config::default().with_handshake_timeout(Some(Duration::from_millis(100)));
        let options = ConnectOptions::default().with_config(config);
        let refusal = refused(&format!("ws://{address}/"), &options).await;
        assert_eq!(
            (refusal.status.0, refusal.text().as_ref()),
            (400, is),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_body_ends_with_the_connection_where_nothing_says_how_long_it_is() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a client");
        read_head(&mut socket).await;
        let answer = b"HTTP/1.0 404 No\r\n\r\nnot here";
        for byte in answer {
            socket.write_u8(*byte).await.expect("a client");
            tokio::task::yield_now().await;
        }
    });
    let config = Config::default().with_handshake_timeout(None);
    let options = ConnectOptions::default().with_config(config);
    let refusal = refused(&format!("ws://{address}/"), &options).await;
    assert_eq!(
        (refusal.status.0, refusal.text().as_ref()),
        (404, "not here")
    );
}

#[tokio::test]
async fn a_101_that_is_none_is_a_refusal_too() {
    let address = say(
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )
    .await;
    let refusal = refused(&format!("ws://{address}/"), &ConnectOptions::default()).await;
    assert_eq!(
        (refusal.failed, refusal.status.0),
        (UpgradeFailed::Accept, 101)
    );
}

#[tokio::test]
async fn interim_responses_are_passed_over_but_not_without_end() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let end = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    for (count, status) in [(1, 403), (8, 403), (9, 103), (1000, 103)] {
        let address = say(hints.repeat(count) + end).await;
        let refusal = refused(&format!("ws://{address}/"), &ConnectOptions::default()).await;
        assert_eq!(refusal.status.0, status, "{count}");
    }
}

#[test]
fn without_times_no_clock_is_needed() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (listener, address) = listen().await;
        let config = Config::default()
            .with_handshake_timeout(None)
            .with_close_timeout(None);
        let serving = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("a client");
            let mut ws = accept(socket, &config).await.expect("a request");
            ws.send("hello".into()).await.expect("sent");
        });
        let options = ConnectOptions::default()
            .with_config(config)
            .with_connect_timeout(None)
            .with_attempt_delay(None)
            .with_addresses([nobody().await, address]);
        let connected = connect_with("ws://anybody.example/", &options).await;
        let (mut ws, _) = connected.expect("a server");
        let first = ws.recv().await.expect("a message").expect("text");
        assert_eq!(first, Message::text("hello"));
        serving.await.expect("a task");
    });
}
