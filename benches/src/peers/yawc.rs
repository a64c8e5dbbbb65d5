//! `yawc`: `WebSocket::from_stream` and `poll_next_frame`, text validated; and the same where compression was
//! agreed on, with its `Sink` the other way.
//!
//! Never: measures.

use std::pin::Pin;

use bytes::Bytes;
use futures_sink::Sink;
use yawc::frame::{Frame, OpCode};
use yawc::{CompressionLevel, Options, Role, WebSocket};

use super::decode::{Decoder, Work};
use super::deflate::LEVEL;
use super::encode::MessageEncoder;
use super::ready::polled;
use super::{Failure, MESSAGE_BYTES_MAX};
use crate::feed::{Feed, Outlet};

pub(super) struct Yawc {
    socket: WebSocket<Feed>,
    messages: usize,
}

impl Decoder for Yawc {
    const NAME: &'static str = "yawc";
    const WORK: Work = Work::WHOLE;

    fn open(feed: Feed) -> Self {
        let options = options(&feed).without_compression();
        Self {
            messages: feed.wire().messages(),
            socket: WebSocket::from_stream(feed, Role::Server, options)
                .expect("options without extensions"),
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        pass(&mut self.socket, self.messages, sink)
    }
}

fn options(feed: &Feed) -> Options {
    Options::default()
        .with_utf8()
        .with_limits(MESSAGE_BYTES_MAX, 2 * MESSAGE_BYTES_MAX)
        .with_read_buffer_capacity(feed.read_bytes_max())
}

#[inline]
fn pass(
    socket: &mut WebSocket<Feed>,
    messages: usize,
    sink: &mut impl FnMut(&[u8]),
) -> Result<(), Failure> {
    for _ in 0..messages {
        let frame = polled(|context| socket.poll_next_frame(context))?;
        match frame.opcode() {
            OpCode::Text | OpCode::Binary => sink(frame.payload()),
            _ => return Err("no corpus holds control frames".into()),
        }
    }
    Ok(())
}

/// What a server that keeps no window answers.
const EXTENSIONS: Option<&str> =
    Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover");

pub(super) struct YawcInflating {
    socket: WebSocket<Feed>,
    messages: usize,
}

impl Decoder for YawcInflating {
    const NAME: &'static str = "yawc";
    const WORK: Work = Work::WHOLE;

    fn open(feed: Feed) -> Self {
        let options = options(&feed).with_low_latency_compression();
        let messages = feed.wire().messages();
        let socket =
            WebSocket::from_stream_with_extensions(feed, Role::Server, EXTENSIONS, options);
        Self {
            socket: socket.expect("compression is an option"),
            messages,
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        pass(&mut self.socket, self.messages, sink)
    }
}

pub(super) struct YawcDeflating(WebSocket<Outlet>);

impl MessageEncoder for YawcDeflating {
    const NAME: &'static str = "yawc";

    fn open(outlet: Outlet) -> Self {
        let level = CompressionLevel::new(LEVEL.into());
        let options = Options::default().with_compression_level(level);
        let socket =
            WebSocket::from_stream_with_extensions(outlet, Role::Server, EXTENSIONS, options);
        Self(socket.expect("compression is an option"))
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        polled(|context| Pin::new(&mut self.0).poll_ready(context))?;
        Ok(Pin::new(&mut self.0).start_send(Frame::text(payload.clone()))?)
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(polled(|context| Pin::new(&mut self.0).poll_flush(context))?)
    }
}
