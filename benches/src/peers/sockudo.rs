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

/// Either protocol: they have no trait in common.
pub(super) trait Process: 'static {
    fn server() -> Self;

    fn process(
        &mut self,
        buffer: &mut BytesMut,
        messages: &mut Vec<Message>,
    ) -> Result<(), sockudo_ws::Error>;
}

impl Process for Protocol {
    fn server() -> Self {
        Self::new(Role::Server, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX)
    }

    #[inline]
    fn process(
        &mut self,
        buffer: &mut BytesMut,
        messages: &mut Vec<Message>,
    ) -> Result<(), sockudo_ws::Error> {
        self.process_into(buffer, messages)
    }
}

impl Process for CompressedProtocol {
    fn server() -> Self {
        let config = DeflateConfig {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            compression_level: LEVEL.into(),
            ..DeflateConfig::default()
        };
        Self::server(MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, config)
    }

    #[inline]
    fn process(
        &mut self,
        buffer: &mut BytesMut,
        messages: &mut Vec<Message>,
    ) -> Result<(), sockudo_ws::Error> {
        self.process_into(buffer, messages)
    }
}

/// Messages as they are.
pub(super) type Sockudo = Whole<Protocol>;
/// Messages that are compressed.
pub(super) type SockudoInflating = Whole<CompressedProtocol>;

pub(super) struct Whole<P> {
    feed: Feed,
    buffer: BytesMut,
    protocol: P,
    messages: Vec<Message>,
}

impl<P: Process> Decoder for Whole<P> {
    const NAME: &'static str = "sockudo-ws";
    const WORK: Work = Work::WHOLE;

    fn open(feed: Feed) -> Self {
        Self {
            buffer: BytesMut::with_capacity(feed.read_bytes_max()),
            feed,
            protocol: P::server(),
            messages: Vec::new(),
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.feed.ends().len() {
            self.feed.append_to(&mut self.buffer);
            self.protocol
                .process(&mut self.buffer, &mut self.messages)?;
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

pub(super) struct SockudoDeflating {
    protocol: CompressedProtocol,
    out: BytesMut,
    outlet: Outlet,
}

impl MessageEncoder for SockudoDeflating {
    const NAME: &'static str = "sockudo-ws";

    fn open(outlet: Outlet) -> Self {
        Self {
            protocol: Process::server(),
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
