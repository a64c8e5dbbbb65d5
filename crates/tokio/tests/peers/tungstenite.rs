//! tokio-tungstenite, with its own HTTP upgrade.

use fanfare_tokio::{CloseCode, CloseFrame, Message, Role};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async, tungstenite};
use tungstenite::Message as Theirs;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame as TheirClose, Frame};

use crate::peer::Peer;

pub(crate) struct Tungstenite(WebSocketStream<TcpStream>);

impl Peer for Tungstenite {
    async fn open(socket: TcpStream, role: Role, extensions: Option<&str>) -> Self {
        assert_eq!(extensions, None, "it has none");
        Self(match role {
            Role::Server => accept_async(socket).await.expect("an upgrade"),
            Role::Client => {
                let asked = client_async("ws://a/chat", socket).await;
                asked.expect("accepted").0
            }
        })
    }

    async fn send(&mut self, message: &Message) -> bool {
        let message = match message.clone() {
            Message::Text(text) => Theirs::text(text.as_str()),
            Message::Binary(bytes) => Theirs::Binary(bytes),
            Message::Ping(payload) => Theirs::Ping(payload),
            Message::Pong(payload) => Theirs::Pong(payload),
            Message::Close(close) => Theirs::Close(close.map(|close| TheirClose {
                code: close.code.0.into(),
                reason: close.reason.as_str().into(),
            })),
        };
        self.0.send(message).await.is_ok()
    }

    async fn send_fragments(&mut self, is_text: bool, pieces: &[&[u8]]) {
        let first = if is_text { Data::Text } else { Data::Binary };
        for (n, piece) in pieces.iter().enumerate() {
            let data = if n == 0 { first } else { Data::Continue };
            let is_last = n + 1 == pieces.len();
            let frame = Frame::message(piece.to_vec(), OpCode::Data(data), is_last);
            self.0.send(Theirs::Frame(frame)).await.expect("open");
        }
    }

    async fn send_bad_text(&mut self, bytes: &[u8]) {
        self.send_fragments(true, &[bytes]).await;
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            return Some(match self.0.next().await?.ok()? {
                Theirs::Text(text) => Message::text(text.as_str()),
                Theirs::Binary(bytes) => Message::Binary(bytes),
                Theirs::Pong(payload) => Message::Pong(payload),
                Theirs::Close(close) => Message::Close(close.map(|close| {
                    let code = CloseCode(close.code.into());
                    CloseFrame::new(code, close.reason.as_str())
                })),
                Theirs::Ping(_) | Theirs::Frame(_) => continue,
            });
        }
    }
}
