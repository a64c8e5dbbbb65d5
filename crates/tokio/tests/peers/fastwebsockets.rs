//! fastwebsockets behind an upgrade that was done for it.

use fanfare_tokio::{CloseCode, CloseFrame, Message, Role};
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, WebSocket};
use tokio::net::TcpStream;

use crate::handshake::upgraded;
use crate::peer::Peer;

pub(crate) struct Fastwebsockets {
    socket: FragmentCollector<TcpStream>,
    has_closed: bool,
}

impl Fastwebsockets {
    async fn frame(&mut self, fin: bool, opcode: OpCode, payload: &[u8]) -> bool {
        let frame = Frame::new(fin, opcode, None, Payload::Borrowed(payload));
        self.socket.write_frame(frame).await.is_ok()
    }
}

impl Peer for Fastwebsockets {
    async fn open(socket: TcpStream, role: Role, extensions: Option<&str>) -> Self {
        let (socket, answered) = upgraded(socket, role, extensions).await;
        assert_eq!(answered, None, "it has no extensions");
        let role = match role {
            Role::Server => fastwebsockets::Role::Server,
            Role::Client => fastwebsockets::Role::Client,
        };
        Self {
            socket: FragmentCollector::new(WebSocket::after_handshake(socket, role)),
            has_closed: false,
        }
    }

    async fn send(&mut self, message: &Message) -> bool {
        match message {
            Message::Text(text) => self.frame(true, OpCode::Text, text.as_bytes()).await,
            Message::Binary(bytes) => self.frame(true, OpCode::Binary, bytes).await,
            Message::Ping(payload) => self.frame(true, OpCode::Ping, payload).await,
            Message::Pong(payload) => self.frame(true, OpCode::Pong, payload).await,
            Message::Close(None) => self.frame(true, OpCode::Close, b"").await,
            Message::Close(Some(close)) => {
                let frame = Frame::close(close.code.0, close.reason.as_bytes());
                self.socket.write_frame(frame).await.is_ok()
            }
        }
    }

    async fn send_fragments(&mut self, is_text: bool, pieces: &[&[u8]]) {
        let mut opcode = if is_text {
            OpCode::Text
        } else {
            OpCode::Binary
        };
        for (n, piece) in pieces.iter().enumerate() {
            assert!(self.frame(n + 1 == pieces.len(), opcode, piece).await);
            opcode = OpCode::Continuation;
        }
    }

    async fn send_bad_text(&mut self, bytes: &[u8]) {
        assert!(self.frame(true, OpCode::Text, bytes).await);
    }

    async fn next(&mut self) -> Option<Message> {
        // What follows a close is the caller's: to let the socket go.
        if self.has_closed {
            return None;
        }
        let frame = self.socket.read_frame().await.ok()?;
        let payload = frame.payload.to_vec();
        Some(match frame.opcode {
            OpCode::Text => Message::text(String::from_utf8(payload).expect("it looks")),
            OpCode::Pong => Message::Pong(payload.into()),
            OpCode::Close => {
                self.has_closed = true;
                Message::Close(payload.split_first_chunk().map(|(code, reason)| {
                    let reason = str::from_utf8(reason).expect("it looks");
                    CloseFrame::new(CloseCode(u16::from_be_bytes(*code)), reason)
                }))
            }
            OpCode::Binary => Message::binary(payload),
            opcode @ (OpCode::Ping | OpCode::Continuation) => unreachable!("{opcode:?}"),
        })
    }
}
