//! Servers in the clear, for `connect`.

use std::net::SocketAddr;

use fanfare_tokio::{Config, accept};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A server that sends every message back.
pub(crate) async fn echo() -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a client");
            tokio::spawn(async move {
                let mut ws = accept(socket, &Config::DEFAULT).await.expect("a request");
                while let Some(Ok(message)) = ws.recv().await {
                    if message.is_data() {
                        ws.send(message).await.expect("a client that listens");
                    }
                }
            });
        }
    });
    address
}

pub(crate) async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("a request"));
    }
    String::from_utf8(head).expect("UTF-8")
}
