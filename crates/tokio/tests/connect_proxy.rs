//! `connect` through a proxy: one that opens the way, and others that refuse, break off, talk too much or not at all.
#![cfg(feature = "connect")]

#[path = "common/plain.rs"]
mod plain;
#[cfg(feature = "rustls")]
#[path = "common/tls.rs"]
mod servers;

use std::net::SocketAddr;
use std::time::Duration;

use fanfare_tokio::handshake::HeadError;
use fanfare_tokio::{
    CloseCode, ConnectOptions, Error, MaybeTlsStream, Message, Proxy, ProxyError, WebSocketStream,
    connect_with,
};
use plain::{echo, listen, read_head};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

/// What a proxy does when it has read a request.
#[derive(Clone)]
enum Does {
    /// Answers with these, in writes of their own, and passes on what comes, from and to this server.
    Passes(Vec<Vec<u8>>, SocketAddr),
    /// Writes this, and holds the connection.
    Says(&'static str),
    /// Writes this, and closes it.
    Ends(&'static str),
}

/// A proxy for as many clients as come, and what they ask it for.
async fn proxy(does: Does) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (listener, address) = listen().await;
    let (heard, asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.expect("a client");
            socket.set_nodelay(true).expect("a socket");
            let _ = heard.send(read_head(&mut socket).await);
            match does.clone() {
                Does::Passes(pieces, server) => {
                    tokio::spawn(async move {
                        for piece in pieces {
                            socket.write_all(&piece).await.expect("a client");
                            tokio::task::yield_now().await;
                        }
                        let mut server = TcpStream::connect(server).await.expect("a server");
                        let _ = copy_bidirectional(&mut socket, &mut server).await;
                    });
                }
                Does::Says(what) => {
                    socket.write_all(what.as_bytes()).await.expect("a client");
                    held.push(socket);
                }
                Does::Ends(what) => {
                    socket.write_all(what.as_bytes()).await.expect("a client");
                }
            }
        }
    });
    (address, asked)
}

fn through(proxy: SocketAddr) -> ConnectOptions {
    let proxy = Proxy::new(&format!("http://us%3der:pass%20word@{proxy}/"));
    ConnectOptions::default().with_proxy(Some(proxy.expect("a URL")))
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

async fn echoes(mut ws: WebSocketStream<MaybeTlsStream<TcpStream>>) {
    for len in [0, 5, 100_000] {
        let message = Message::text("a".repeat(len));
        ws.send(message.clone()).await.expect("sent");
        let back = ws.recv().await.expect("an answer").expect("text");
        assert!(back == message, "{len}");
    }
    ws.close(CloseCode::NORMAL, "").await.expect("an end");
}

async fn failure(does: Does, options: impl FnOnce(ConnectOptions) -> ConnectOptions) -> Error {
    let (address, _asked) = proxy(does).await;
    let options = options(through(address));
    let connected = connect_with("ws://server.example/", &options).await;
    connected.expect_err("no way through")
}

#[tokio::test]
async fn a_tunnel_is_asked_for_by_the_servers_name_and_carries_what_is_sent() {
    let server = echo().await;
    let (address, mut asked) = proxy(Does::Passes(vec![ESTABLISHED.to_vec()], server)).await;
    let (ws, answer) = connect_with("ws://server.example:8080/a", &through(address))
        .await
        .expect("a way through");
    assert!(answer.header("Sec-WebSocket-Accept").is_some());
    assert_eq!(ws.io().io().peer_addr().expect("a peer"), address);
    echoes(ws).await;
    assert_eq!(
        asked.recv().await.as_deref(),
        Some(
            "CONNECT server.example:8080 HTTP/1.1\r\nHost: server.example:8080\r\n\
             Proxy-Authorization: Basic dXM9ZXI6cGFzcyB3b3Jk\r\n\r\n"
        )
    );
}

#[tokio::test]
async fn the_answer_may_come_in_any_pieces_and_be_any_2xx() {
    let server = echo().await;
    let whole =
        b"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.0 299 Fine\r\nContent-Length: 5\r\nVia: a\r\n\r\n";
    for cut in 1..whole.len() {
        let (before, behind) = whole.split_at(cut);
        let pieces = vec![before.to_vec(), behind.to_vec()];
        let (address, _asked) = proxy(Does::Passes(pieces, server)).await;
        let connected = connect_with("ws://server.example/", &through(address)).await;
        let (mut ws, _) = connected.unwrap_or_else(|error| panic!("{cut}: {error}"));
        ws.send("hello".into()).await.expect("sent");
        let back = ws.recv().await.expect("an answer").expect("text");
        assert_eq!(back, Message::text("hello"), "{cut}");
    }
    let long = format!("HTTP/1.1 200 Yes\r\nA: {}\r\n\r\n", "a".repeat(10_000));
    let pieces = vec![long.into_bytes()];
    let (address, _asked) = proxy(Does::Passes(pieces, server)).await;
    let connected = connect_with("ws://server.example/", &through(address)).await;
    echoes(connected.expect("a way through").0).await;
}

#[tokio::test]
async fn bytes_behind_the_answer_are_the_servers() {
    // Content-Length means nothing in an answer to CONNECT (RFC 9110 §9.3.6).
    let says = "HTTP/1.1 200 Yes\r\nContent-Length: 9\r\n\r\n\
        HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
    match failure(Does::Says(says), |options| options).await {
        Error::Upgrade(refusal) => {
            assert_eq!((refusal.status.0, refusal.text().as_ref()), (403, "no"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refusal_is_named_with_its_status() {
    for (says, status) in [
        (
            "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\n\r\n",
            407,
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad",
            502,
        ),
        ("HTTP/1.1 302 Found\r\nLocation: http://else\r\n\r\n", 302),
        ("HTTP/1.1 101 Odd\r\n\r\n", 101),
    ] {
        let error = failure(Does::Says(says), |options| options).await;
        match &error {
            Error::Proxy(ProxyError::Refused(is)) => assert_eq!(is.0, status),
            other => panic!("{other:?}"),
        }
        let text = format!("proxy: it refused with {status}");
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test]
async fn what_is_no_answer_is_named() {
    for (does, expected) in [
        (Does::Ends(""), ProxyError::Closed),
        (Does::Ends("HTTP/1.1 200 Yes\r\n"), ProxyError::Closed),
        (
            Does::Says("\u{16}\u{3}\u{1}"),
            ProxyError::Head(HeadError::NotHttp(0x16)),
        ),
        (
            Does::Says("SSH-2.0-x\r\n\r\n"),
            ProxyError::Head(HeadError::Version),
        ),
        (
            Does::Says("HTTP/1.1 200 Yes\n\n"),
            ProxyError::Head(HeadError::BareLineFeed),
        ),
    ] {
        match failure(does, |options| options).await {
            Error::Proxy(error) => assert_eq!(error.to_string(), expected.to_string()),
            other => panic!("{other:?}, not {expected}"),
        }
    }
    let endless: &'static str = Box::leak(format!("HTTP/1.1 200 {}", "a".repeat(20_000)).into());
    match failure(Does::Says(endless), |options| options).await {
        Error::Proxy(ProxyError::Head(HeadError::TooLong(16_384))) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_proxy_that_stalls_takes_the_connections_time() {
    for says in ["", "HTTP/1.1 200 Yes\r\n"] {
        let soon = Some(Duration::from_millis(50));
        match failure(Does::Says(says), |options| {
            options.with_connect_timeout(soon)
        })
        .await
        {
            Error::ConnectTimeout => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told_from_a_server() {
    let (_, nobody) = listen().await;
    match connect_with("ws://server.example/", &through(nobody)).await {
        Err(Error::Proxy(ProxyError::Io(error))) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "rustls")]
mod tls {
    use super::servers::{self, Authority, Secure};
    use super::*;

    #[tokio::test]
    async fn tls_goes_through_the_tunnel_to_the_server() {
        let authority = Authority::new("ours");
        let server = servers::echo(authority.server(&Secure::default())).await;
        let (address, mut asked) = proxy(Does::Passes(vec![ESTABLISHED.to_vec()], server)).await;
        let options = through(address).with_tls(Some(authority.trusted()));
        let (ws, _) = connect_with("wss://localhost:4443/", &options)
            .await
            .expect("a way through");
        assert!(matches!(ws.io(), MaybeTlsStream::Rustls(_)));
        echoes(ws).await;
        let asked = asked.recv().await.expect("a request");
        assert!(
            asked.starts_with("CONNECT localhost:4443 HTTP/1.1\r\n"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn what_a_proxy_says_in_front_of_tls_is_not_taken_for_the_servers() {
        let authority = Authority::new("ours");
        let server = servers::echo(authority.server(&Secure::default())).await;
        let smuggled = b"HTTP/1.1 200 Yes\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        let (address, _asked) = proxy(Does::Passes(vec![smuggled], server)).await;
        let options = through(address).with_tls(Some(authority.trusted()));
        match connect_with("wss://localhost/", &options).await {
            Err(Error::Tls(error)) => {
                assert!(matches!(
                    *error,
                    fanfare_tokio::rustls::Error::InvalidMessage(_)
                ));
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_proxy_that_poses_as_the_server_is_not_believed() {
        let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
        let posing = servers::echo(theirs.server(&Secure::default())).await;
        let (address, _asked) = proxy(Does::Passes(vec![ESTABLISHED.to_vec()], posing)).await;
        let options = through(address).with_tls(Some(ours.trusted()));
        match connect_with("wss://localhost/", &options).await {
            Err(Error::Tls(error)) => servers::assert_unknown_issuer(&error),
            other => panic!("{other:?}"),
        }
    }
}
