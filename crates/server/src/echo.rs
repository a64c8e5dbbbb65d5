//! The echo endpoint. In: messages and requests. Out: the same messages; and the answer to an HTTP
//! request.
//!
//! Never: keeps state between messages.

use fanfare_codec::handshake::{Request, Response, Status};
use fanfare_codec::{EncodeError, Encoder, Message};

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Message,
    /// The closing handshake is complete.
    End,
}

/// Appends the answer to `message`.
#[inline]
pub(crate) fn answer(message: Message<'_>, replies: &mut Vec<u8>) -> Result<Next, EncodeError> {
    let mut encoder = Encoder::server();
    match message {
        Message::Text(text) => encoder.text(replies, text)?,
        Message::Binary(bytes) => encoder.binary(replies, bytes)?,
        Message::Ping(payload) => encoder.pong(replies, payload)?,
        Message::Pong(_) => {}
        Message::Close(close) => {
            encoder.close(replies, close.map(|c| c.without_reason()));
            return Ok(Next::End);
        }
    }
    Ok(Next::Message)
}

/// The answer to a request, and whether it opens a WebSocket.
pub(crate) fn upgrade(request: &Request<'_>) -> (Response, bool) {
    if request.path() == "/health" {
        return (health(request), false);
    }
    match request.upgrade() {
        Ok(upgrade) => (Response::switching_protocols(&upgrade), true),
        Err(error) => (Response::from(&error), false),
    }
}

fn health(request: &Request<'_>) -> Response {
    match request.method() {
        "GET" => Response::new(Status::OK).body("text/plain; charset=utf-8", &b"ok\n"[..]),
        other => Response::refusal(
            Status::METHOD_NOT_ALLOWED,
            &format_args!("/health answers GET, not {other}"),
        ),
    }
}
