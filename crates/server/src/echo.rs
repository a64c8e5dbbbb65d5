//! The echo endpoint. In: messages and requests. Out: the same messages; and the answer to an HTTP
//! request.
//!
//! Never: keeps state between messages, but a window where both sides agreed to.

use std::fmt::Display;

use fanfare_codec::deflate::{Deflaters, Outgoing};
use fanfare_codec::handshake::{Request, Response, Status};
use fanfare_codec::{CloseFrame, Encoder, Message, MessageDecoder, MessageKind};

use crate::admission::Admitted;
use crate::service::{Asked, Verdict};

/// Answers the messages at the front of `input` where they lie, as many as can be; gives the answers,
/// at the front of where `input` was.
#[inline]
pub(crate) fn answer_in_place<'b>(
    decoder: &mut MessageDecoder,
    input: &mut &'b mut [u8],
) -> &'b [u8] {
    decoder.echo_in_place(input)
}

/// Appends the answer to `message`. The one to a close frame ends the connection.
#[inline]
pub(crate) fn answer(message: Message<'_>, replies: &mut Vec<u8>) {
    let mut encoder = Encoder::server();
    let encoded = match message {
        Message::Text(text) => encoder.text(replies, text),
        Message::Binary(bytes) => encoder.binary(replies, bytes),
        Message::Ping(payload) => encoder.pong(replies, payload),
        Message::Pong(_) => Ok(()),
        Message::Close(close) => {
            encoder.close(replies, close.map(CloseFrame::without_reason));
            Ok(())
        }
    };
    debug_assert_eq!(
        encoded,
        Ok(()),
        "an answer is no longer than what it answers"
    );
}

/// [`answer`], compressed as it was agreed on with its peer.
pub(crate) fn answer_deflated(
    message: Message<'_>,
    replies: &mut Vec<u8>,
    outgoing: &mut Outgoing,
    deflaters: &mut Deflaters,
) {
    let (kind, payload) = match message {
        Message::Text(text) => (MessageKind::Text, text.as_bytes()),
        Message::Binary(bytes) => (MessageKind::Binary, bytes),
        control => return answer(control, replies),
    };
    let encoded = Encoder::server().deflate(replies, kind, payload, outgoing, deflaters);
    debug_assert_eq!(encoded, Ok(()), "nothing is fragmented");
}

/// What becomes of a connection with a request.
pub(crate) fn upgrade(asked: Asked<'_>) -> Verdict {
    let Asked {
        request, admitted, ..
    } = asked;
    if request.path() == "/health" {
        return Verdict::Refuse(health(request));
    }
    match (request.upgrade(), admitted) {
        (Ok(upgrade), Admitted::Served) => match asked.deflate {
            Ok(None) => Verdict::Echo(Response::switching_protocols(&upgrade)),
            Ok(Some(answer)) => {
                Verdict::Echo(Response::switching_protocols(&upgrade).deflate(&answer))
            }
            Err(error) => Verdict::Refuse(Response::from(&error)),
        },
        (Ok(_), Admitted::Refused(exceeded)) => Verdict::Refuse(unavailable(&exceeded.why())),
        (Err(error), _) => Verdict::Refuse(Response::from(&error)),
    }
}

/// Whether the daemon lives; even when it is full.
fn health(request: &Request<'_>) -> Response {
    match request.method() {
        "GET" | "HEAD" => Response::new(Status::OK).body("text/plain; charset=utf-8", &b"ok\n"[..]),
        other => Response::refusal(
            Status::METHOD_NOT_ALLOWED,
            &format_args!("/health answers GET and HEAD, not {other}"),
        )
        .header("Allow", "GET, HEAD")
        .expect("a valid header"),
    }
}

/// 503: not now, and why.
pub(crate) fn unavailable(why: &dyn Display) -> Response {
    Response::refusal(Status::UNAVAILABLE, why)
        .header("Retry-After", "1")
        .expect("a valid header")
}
