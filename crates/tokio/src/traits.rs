//! `Stream` and `Sink`. In: what the ecosystem's combinators ask for. Out: owned messages.
//!
//! Never: does anything that the methods of the same names do not.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::life::Phase;
use crate::link::{Link, Side};
use crate::{CloseCode, Error, Message, WebSocketStream};

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for WebSocketStream<S> {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { link, receiving } = self.get_mut();
        receiving.poll_owned(cx, link)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> FusedStream for WebSocketStream<S> {
    fn is_terminated(&self) -> bool {
        self.receiving.life.phase == Phase::Ended
    }
}

/// Closing sends a close frame with 1000 unless one was sent; the peer's answer is the stream's.
impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Message> for WebSocketStream<S> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().link.poll_room(cx, Side::Writer)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.get_mut().link.message(&message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().link.poll_drain(cx, Side::Writer)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        poll_close(&mut self.get_mut().link, cx)
    }
}

pub(crate) fn poll_close<S: AsyncWrite + Unpin>(
    link: &mut Link<S>,
    cx: &Context<'_>,
) -> Poll<Result<(), Error>> {
    link.close(fanfare_codec::CloseFrame::new(CloseCode::NORMAL, "").ok());
    ready!(link.poll_drain(cx, Side::Writer))?;
    Poll::Ready(Ok(()))
}
