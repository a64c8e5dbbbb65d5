//! The HTTP upgrade (RFC 6455 §4), in pieces, with frames right behind it, and malformed.

use std::time::Duration;

use fanfare_tokio::{
    ClientRequest, Config, Error, Message, Role, accept, client, handshake::HeadLimits,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::wire::{TEXT, frame};

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// RFC 6455 §1.3.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

#[tokio::test]
async fn a_request_and_frames_byte_by_byte_are_as_good_as_in_one_piece() {
    let mut bytes = REQUEST.as_bytes().to_vec();
    bytes.extend(frame(Role::Client, TEXT, b"at once"));
    bytes.extend(frame(Role::Client, TEXT, &[b'x'; 70_000]));
    for piece in [1, 7, bytes.len()] {
        let (ours, mut theirs) = duplex(1 << 20);
        let asking = async {
            for piece in bytes.chunks(piece) {
                theirs.write_all(piece).await.expect("a pipe");
                tokio::task::yield_now().await;
            }
            let mut head = vec![0; 1024];
            let read = theirs.read(&mut head).await.expect("a pipe");
            head.truncate(read);
            (theirs, String::from_utf8(head).expect("ASCII"))
        };
        let serving = async {
            let mut ours = accept(ours, &Config::DEFAULT).await.expect("an upgrade");
            let mut next = async || ours.recv().await.expect("open").expect("good");
            (next().await, next().await)
        };
        let ((_theirs, head), (first, second)) = tokio::join!(asking, serving);
        assert!(
            head.starts_with("HTTP/1.1 101 ") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        assert!(head.contains(&format!(": {ACCEPT}\r\n")), "{head}");
        assert_eq!(first, Message::text("at once"));
        assert!(
            second == Message::text("x".repeat(70_000)),
            "pieces of {piece}"
        );
    }
}

#[tokio::test]
async fn requests_that_are_no_upgrade_are_each_told_their_status() {
    let without = |header: &str| {
        let lines = REQUEST.split_inclusive("\r\n");
        lines
            .filter(|line| !line.starts_with(header))
            .collect::<String>()
    };
    let with = |from: &str, to: &str| {
        assert!(REQUEST.contains(from), "{from}");
        REQUEST.replacen(from, to, 1)
    };
    let long = format!("X: {}\r\n\r\n", "y".repeat(20_000));
    let cases = [
        (with("GET", "POST"), 405),
        (with("HTTP/1.1", "HTTP/1.0"), 400),
        (with("HTTP/1.1", "HTTP/2.0"), 505),
        (with("HTTP/1.1\r\n", "HTTP/1.1\n"), 400),
        (with("Version: 13", "Version: 12"), 426),
        (with("Version: 13", "Version: 13, 8"), 426),
        (with("jZQ==", "jZQ="), 400),
        (
            with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZTE="),
            400,
        ),
        (with("Upgrade: websocket", "Upgrade: h2c"), 426),
        (with("Connection: Upgrade", "Connection: close"), 400),
        (with("Host: a", "Host: a\r\nHost: b"), 400),
        (with("Host: a", "Host: a\r\n folded"), 400),
        (with("Host: a", "Bad name: a"), 400),
        (with("Host: a", "Content-Length: 5\r\nHost: a"), 400),
        (
            with("Host: a", "Sec-WebSocket-Protocol: a, a\r\nHost: a"),
            400,
        ),
        (without("Host"), 400),
        (without("Upgrade"), 426),
        (without("Connection"), 400),
        (without("Sec-WebSocket-Key"), 400),
        (without("Sec-WebSocket-Version"), 400),
        (with("\r\n\r\n", &format!("\r\n{long}")), 431),
        (
            with("Host: a", &format!("Host: a{}", "\r\nX: y".repeat(100))),
            431,
        ),
        ("\0\0\0".to_owned(), 400),
    ];
    for (request, status) in cases {
        let (ours, mut theirs) = duplex(1 << 20);
        theirs.write_all(request.as_bytes()).await.expect("a pipe");
        theirs.shutdown().await.expect("a pipe");
        let refused = accept(ours, &Config::DEFAULT).await;
        assert!(
            matches!(refused, Err(Error::Head(_) | Error::Request(_))),
            "{request}: {refused:?}"
        );
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.expect("a pipe");
        let wanted = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&wanted), "{request}: {answer}");
        let allows = [(405, "Allow: GET"), (426, "Sec-WebSocket-Version: 13")];
        for (of, header) in allows {
            assert!(
                of != status || answer.contains(header),
                "{request}: {answer}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn handshake_times_and_limits_at_their_least() {
    let config = Config::DEFAULT.with_handshake_timeout(Some(Duration::ZERO));
    let (ours, _theirs) = duplex(1 << 20);
    let refused = accept(ours, &config).await;
    assert!(
        matches!(refused, Err(Error::HandshakeTimeout)),
        "{refused:?}"
    );

    let config = Config::DEFAULT.with_head_limits(HeadLimits::DEFAULT.with_max_head_bytes(0));
    let (ours, mut theirs) = duplex(1 << 20);
    theirs.write_all(REQUEST.as_bytes()).await.expect("a pipe");
    let refused = accept(ours, &config).await;
    assert!(matches!(refused, Err(Error::Head(_))), "{refused:?}");

    // A head that never ends takes no more than its limit.
    let (ours, mut theirs) = duplex(1 << 10);
    let endless = async {
        theirs
            .write_all(b"GET / HTTP/1.1\r\n")
            .await
            .expect("a pipe");
        while theirs.write_all(b"X: y\r\n").await.is_ok() {}
    };
    let (refused, ()) = tokio::join!(accept(ours, &Config::DEFAULT), endless);
    assert!(matches!(refused, Err(Error::Head(_))), "{refused:?}");
}

#[tokio::test]
async fn s4_1_answers_that_a_client_must_not_take() {
    let good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    let accept = "Sec-WebSocket-Accept: KEY\r\n";
    for (answer, is_good) in [
        (format!("{good}{accept}\r\n"), true),
        (format!("{good}\r\n"), false),
        (
            format!("{good}Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"),
            false,
        ),
        (
            format!("{good}{accept}Sec-WebSocket-Protocol: mine\r\n\r\n"),
            false,
        ),
        (
            format!("{good}{accept}Sec-WebSocket-Extensions: x-mine\r\n\r\n"),
            false,
        ),
        (format!("{good}{accept}\r\n").replace("101", "200"), false),
        (
            format!("{good}{accept}\r\n").replace("Upgrade: websocket\r\n", ""),
            false,
        ),
        (
            format!("{good}{accept}\r\n").replace("Connection: Upgrade\r\n", ""),
            false,
        ),
    ] {
        let (ours, mut theirs) = duplex(1 << 20);
        let request = ClientRequest::new("ws://a/").expect("a URL");
        let serving = async {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                head.push(char::from(theirs.read_u8().await.expect("a pipe")));
            }
            let key = head
                .lines()
                .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
            let answer = answer.replace("KEY", &accept_of(key.expect("a key")));
            let mut bytes = answer.into_bytes();
            bytes.extend(frame(Role::Server, TEXT, b"at once"));
            for byte in bytes {
                // It may leave at the end of the head.
                if theirs.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            // A refusal may have a body up to the end.
            is_good.then_some(theirs)
        };
        let asking = async {
            let (mut ws, _) = client(ours, request, &Config::DEFAULT).await?;
            Ok::<_, Error>(ws.recv().await.expect("open").expect("good"))
        };
        let (asked, _theirs) = tokio::join!(asking, serving);
        match asked {
            Ok(message) => assert!(is_good && message == Message::text("at once"), "{answer}"),
            Err(error) => assert!(
                !is_good && matches!(error, Error::Upgrade(_)),
                "{answer}: {error}"
            ),
        }
    }
}

fn accept_of(key: &str) -> String {
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes())
}
