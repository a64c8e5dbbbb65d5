//! `sockudo-ws`: `Protocol::process_into` for whole messages, `FrameParser::parse` for frames,
//! `encode_frame`; `CompressedProtocol` for compressed ones.
//!
//! Never: measures.

use bytes::{Bytes, BytesMut};
use sockudo_ws::OpCode;
use sockudo_ws::deflate::DeflateConfig;
use sockudo_ws::frame::{FrameParser, encode_frame};
use sockudo_ws::protocol::{CompressedProtocol, Message, Protocol, Role};

use super::decode::{Decoder, Work};
use super::deflate::LEVEL;
use super::encode::MessageEncoder;
use super::ours::random_key;
use super::{Failure, MESSAGE_BYTES_MAX};
use crate::feed::{Feed, Outlet};

pub(super) struct Sockudo {
    feed: Feed,
    buffer: BytesMut,
    protocol: Protocol,
    messages: Vec<Message>,
}

impl Decoder for Sockudo {
    const NAME: &'static str = "sockudo-ws";
    const WORK: Work = Work::WHOLE;

    fn open(feed: Feed) -> Self {
        Self {
            buffer: BytesMut::with_capacity(feed.read_bytes_max()),
            feed,
            protocol: Protocol::new(Role::Server, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX),
            messages: Vec::new(),
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.feed.ends().len() {
            self.feed.append_to(&mut self.buffer);
            self.protocol
                .process_into(&mut self.buffer, &mut self.messages)?;
            for message in &self.messages {
                sink(message.as_bytes());
            }
            self.messages.clear(); // so that the buffer can be taken up again
        }
        Ok(())
    }
}

pub(super) struct SockudoParser {
    feed: Feed,
    buffer: BytesMut,
    parser: FrameParser,
}

impl Decoder for SockudoParser {
    const NAME: &'static str = "sockudo-ws parser";
    const WORK: Work = Work::FRAMES;

    fn open(feed: Feed) -> Self {
        Self {
            buffer: BytesMut::with_capacity(feed.read_bytes_max()),
            feed,
            parser: FrameParser::new(MESSAGE_BYTES_MAX, true),
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.feed.ends().len() {
            self.feed.append_to(&mut self.buffer);
            while let Some(frame) = self.parser.parse(&mut self.buffer)? {
                sink(&frame.payload);
            }
        }
        Ok(())
    }
}

pub(super) struct SockudoClient {
    out: BytesMut,
    outlet: Outlet,
}

impl MessageEncoder for SockudoClient {
    const NAME: &'static str = "sockudo-ws";

    fn open(outlet: Outlet) -> Self {
        Self {
            out: BytesMut::new(),
            outlet,
        }
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        let key = Some(random_key());
        encode_frame(&mut self.out, OpCode::Binary, payload, true, key);
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        self.outlet.accept(&self.out);
        self.out.clear();
        Ok(())
    }
}

fn compressing() -> CompressedProtocol {
    let config = DeflateConfig {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        compression_level: LEVEL.into(),
        ..DeflateConfig::default()
    };
    CompressedProtocol::server(MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, config)
}

pub(super) struct SockudoInflating {
    feed: Feed,
    buffer: BytesMut,
    protocol: CompressedProtocol,
    messages: Vec<Message>,
}

impl Decoder for SockudoInflating {
    const NAME: &'static str = "sockudo-ws";
    const WORK: Work = Work::WHOLE;

    fn open(feed: Feed) -> Self {
        Self {
            buffer: BytesMut::with_capacity(feed.read_bytes_max()),
            feed,
            protocol: compressing(),
            messages: Vec::new(),
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.feed.ends().len() {
            self.feed.append_to(&mut self.buffer);
            self.protocol
                .process_into(&mut self.buffer, &mut self.messages)?;
            for message in &self.messages {
                sink(message.as_bytes());
            }
            self.messages.clear();
        }
        Ok(())
    }
}

pub(super) struct SockudoDeflating {
    protocol: CompressedProtocol,
    out: BytesMut,
    outlet: Outlet,
}

impl MessageEncoder for SockudoDeflating {
    const NAME: &'static str = "sockudo-ws";

    fn open(outlet: Outlet) -> Self {
        Self {
            protocol: compressing(),
            out: BytesMut::new(),
            outlet,
        }
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        let message = Message::Text(payload.clone());
        Ok(self.protocol.encode_message(&message, &mut self.out)?)
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        self.outlet.accept(&self.out);
        self.out.clear();
        Ok(())
    }
}
