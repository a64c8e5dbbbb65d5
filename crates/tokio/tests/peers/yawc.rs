//! yawc behind an upgrade that was done for it, with and without compression.

use fanfare_tokio::{CloseCode, CloseFrame, Message, Role};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use yawc::frame::{Frame, OpCode};
use yawc::{Options, WebSocket};

use crate::handshake::upgraded;
use crate::peer::Peer;

const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// What is shorter it sends as it is.
const COMPRESSED_BYTES_MIN: usize = 20;

pub(crate) struct Yawc(WebSocket<TcpStream>);

impl Peer for Yawc {
    async fn open(socket: TcpStream, role: Role, extensions: Option<&str>) -> Self {
        let (socket, answered) = upgraded(socket, role, extensions).await;
        assert_eq!(answered.is_some(), extensions.is_some(), "{answered:?}");
        let role = match role {
            Role::Server => yawc::Role::Server,
            Role::Client => yawc::Role::Client,
        };
        let options = Options::default()
            .with_utf8()
            .with_limits(MESSAGE_BYTES_MAX, 2 * MESSAGE_BYTES_MAX);
        let options = match answered {
            None => options.without_compression(),
            Some(_) => options
                .with_balanced_compression()
                .with_compression_threshold(COMPRESSED_BYTES_MIN),
        };
        let answered = answered.as_deref();
        let socket = WebSocket::from_stream_with_extensions(socket, role, answered, options);
        Self(socket.expect("it knows them"))
    }

    async fn send(&mut self, message: &Message) -> bool {
        let frame = match message.clone() {
            Message::Text(text) => Frame::text(text),
            Message::Binary(bytes) => Frame::binary(bytes),
            Message::Ping(payload) => Frame::ping(payload),
            Message::Pong(payload) => Frame::pong(payload),
            Message::Close(Some(close)) => Frame::close(close.code.0.into(), &close.reason[..]),
            Message::Close(None) => {
                let mut frame = Frame::close(CloseCode::NORMAL.0.into(), b"");
                frame.payload_mut().clear();
                frame
            }
        };
        self.0.send(frame).await.is_ok()
    }

    async fn send_fragments(&mut self, is_text: bool, pieces: &[&[u8]]) {
        for (n, piece) in pieces.iter().enumerate() {
            let frame = match (n, is_text) {
                (0, true) => Frame::text(piece.to_vec()),
                (0, false) => Frame::binary(piece.to_vec()),
                _ => Frame::continuation(piece.to_vec()),
            };
            let frame = frame.with_fin(n + 1 == pieces.len());
            self.0.send(frame).await.expect("open");
        }
    }

    async fn send_bad_text(&mut self, bytes: &[u8]) {
        self.0
            .send(Frame::text(bytes.to_vec()))
            .await
            .expect("open");
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            let frame = self.0.next().await?;
            return Some(match frame.opcode() {
                OpCode::Text => Message::text(frame.as_str()),
                OpCode::Binary => Message::Binary(frame.into_payload()),
                OpCode::Pong => Message::Pong(frame.into_payload()),
                OpCode::Close => Message::Close(frame.close_code().map(|code| {
                    let reason = frame.close_reason().expect("UTF-8").unwrap_or_default();
                    CloseFrame::new(CloseCode(code.into()), reason)
                })),
                OpCode::Ping | OpCode::Continuation => continue,
            });
        }
    }
}
