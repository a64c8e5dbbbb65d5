//! `tokio-websockets`: `ServerBuilder::serve` as a stream, `ClientBuilder::take_over` as a sink. It
//! reads into a buffer of its own, 8 KiB at first, whatever the feed offers.
//!
//! Never: measures.

use std::pin::Pin;

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use tokio_websockets::{ClientBuilder, Limits, Message, ServerBuilder, WebSocketStream};

use super::decode::{Decoder, Work};
use super::encode::MessageEncoder;
use super::ready::polled;
use super::{Failure, MESSAGE_BYTES_MAX};
use crate::feed::{Feed, Outlet};

fn limits() -> Limits {
    Limits::default().max_payload_len(Some(MESSAGE_BYTES_MAX))
}

pub(super) struct TokioWebsockets {
    socket: WebSocketStream<Feed>,
    messages: usize,
}

impl Decoder for TokioWebsockets {
    const NAME: &'static str = "tokio-websockets";
    const WORK: Work = Work::WHOLE;

    fn open(feed: Feed) -> Self {
        Self {
            messages: feed.wire().messages(),
            socket: ServerBuilder::new().limits(limits()).serve(feed),
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.messages {
            let message = polled(|context| Pin::new(&mut self.socket).poll_next(context));
            let message = message.ok_or("the feed never ends")??;
            if !message.is_text() && !message.is_binary() {
                return Err("no corpus holds control frames".into());
            }
            sink(message.as_payload());
        }
        Ok(())
    }
}

pub(super) struct TokioWebsocketsClient(WebSocketStream<Outlet>);

impl MessageEncoder for TokioWebsocketsClient {
    const NAME: &'static str = "tokio-websockets";

    fn open(outlet: Outlet) -> Self {
        Self(ClientBuilder::new().limits(limits()).take_over(outlet))
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        let mut socket = Pin::new(&mut self.0);
        polled(|context| socket.as_mut().poll_ready(context))?;
        Ok(socket.start_send(Message::binary(payload.clone()))?)
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        let mut socket = Pin::new(&mut self.0);
        Ok(polled(|context| socket.as_mut().poll_flush(context))?)
    }
}
