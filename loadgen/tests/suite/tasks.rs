//! What servers of these tests are made of. In: what to do with a connection, a request. Out: addresses, the bodies
//! of requests.
//!
//! Never: knows what is published.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is done with a connection, on a task of its own.
pub(crate) type Serve = Box<dyn Fn(TcpStream) + Send>;

/// A port for each of `serves`, served on one thread, which ends with the test process.
pub(crate) fn listen<const N: usize>(serves: [Serve; N]) -> [SocketAddr; N] {
    let (sender, addresses) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        runtime.block_on(async move {
            let mut accepting = tokio::task::JoinSet::new();
            for serve in serves {
                let listener = TcpListener::bind("127.0.0.1:0")
                    .await
                    .expect("a port is free");
                let address = listener.local_addr().expect("it is bound");
                sender.send(address).expect("the test waits");
                accepting.spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        serve(stream);
                    }
                });
            }
            accepting.join_all().await;
        });
    });
    std::array::from_fn(|_| addresses.recv().expect("the server starts"))
}

/// Requests with a body on one connection, one after the other.
pub(crate) struct Posts {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Posts {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// The next one: its head, in lower case but for the first line, and its body. None: the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((head, body, rest)) = split_request(&self.received) {
                self.received = rest;
                return Some((head, body));
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece).await {
                Ok(0) | Err(_) => return None,
                Ok(len) => self.received.extend_from_slice(&piece[..len]),
            }
        }
    }

    /// Answers it; false: the connection has ended.
    pub(crate) async fn answer(&mut self, status: &str) -> bool {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}");
        self.stream.write_all(answer.as_bytes()).await.is_ok()
    }
}

/// The head in lower case but for its first line, the body, and what follows it.
fn split_request(bytes: &[u8]) -> Option<(String, String, Vec<u8>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is ASCII");
    let (line, headers) = head.split_once("\r\n").expect("there are headers");
    let headers = headers.to_lowercase();
    let len = headers
        .split("\r\n")
        .find_map(|line| line.strip_prefix("content-length: "))
        .expect("it says its length");
    let len: usize = len.parse().expect("a length is a number");
    let (body, rest) = bytes[end + 4..].split_at_checked(len)?;
    let body = String::from_utf8(body.to_vec()).expect("payloads are ASCII");
    Some((format!("{line}\r\n{headers}"), body, rest.to_vec()))
}
