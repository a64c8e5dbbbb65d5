//! The HTTP upgrade for libraries whose own needs hyper. In: a socket. Out: the same, upgraded.
//!
//! Never: reads past the head.

use fanfare_tokio::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Either side of it. Extensions are what a client offers, and what a server answers; out comes what was answered.
pub(crate) async fn upgraded(
    mut socket: TcpStream,
    role: Role,
    extensions: Option<&str>,
) -> (TcpStream, Option<String>) {
    let line = extensions.map_or_else(String::new, |value| {
        format!("Sec-WebSocket-Extensions: {value}\r\n")
    });
    if role == Role::Server {
        let head = head(&mut socket).await;
        let key = header(&head, "Sec-WebSocket-Key").expect("a key");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: {}\r\n{line}\r\n",
            derive_accept_key(key.as_bytes())
        );
        socket.write_all(answer.as_bytes()).await.expect("open");
        return (socket, extensions.map(str::to_owned));
    }
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{line}\r\n"
    );
    socket.write_all(request.as_bytes()).await.expect("open");
    let head = head(&mut socket).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let accept = derive_accept_key(KEY.as_bytes());
    assert_eq!(header(&head, "Sec-WebSocket-Accept"), Some(&accept[..]));
    let answered = header(&head, "Sec-WebSocket-Extensions").map(str::to_owned);
    (socket, answered)
}

async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("ASCII")
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case(wanted).then_some(value)
    })
}
