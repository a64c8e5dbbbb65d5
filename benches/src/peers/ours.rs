//! This workspace's codec, used as `fanfare` itself uses it: one receive buffer, borrowed messages.
//!
//! Never: does what a user of the published API could not.

use bytes::Bytes;
use fanfare_codec::deflate::{DeflateSettings, Deflaters, Inflaters, Outgoing};
use fanfare_codec::{
    Encoder, FrameDecoder, FrameEvent, Limits, MaskKeys, Message, MessageDecoder, MessageKind,
    Opcode, Role, Unmasked, Utf8Validator,
};

use super::decode::{Decoder, Work};
use super::deflate::LEVEL;
use super::encode::MessageEncoder;
use super::{Failure, MESSAGE_BYTES_MAX};
use crate::carry::Carry;
use crate::corpus::wire::NO_TAKEOVER;
use crate::feed::{Feed, Outlet};

/// [`MessageDecoder`].
#[derive(Debug)]
pub struct Fanfare {
    feed: Feed,
    carry: Carry,
    decoder: MessageDecoder,
}

impl Decoder for Fanfare {
    const NAME: &'static str = "fanfare";
    const WORK: Work = Work::WHOLE;

    fn open(feed: Feed) -> Self {
        Self {
            carry: Carry::new(&feed),
            decoder: MessageDecoder::new(Role::Server, Limits::DEFAULT),
            feed,
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.feed.ends().len() {
            let mut input = self.carry.refill(&mut self.feed);
            let len = input.len();
            while let Some(message) = self.decoder.next_message(&mut input)? {
                sink(payload(&message)?);
            }
            let rest = input.len();
            self.carry.keep(len - rest, len);
        }
        Ok(())
    }
}

fn payload<'m>(message: &Message<'m>) -> Result<&'m [u8], Failure> {
    match *message {
        Message::Text(text) => Ok(text.as_bytes()),
        Message::Binary(bytes) => Ok(bytes),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {
            Err("no corpus holds control frames".into())
        }
    }
}

/// [`MessageDecoder`] with inflaters, as a worker of `fanfare` has them: lent for a message.
#[derive(Debug)]
pub struct FanfareInflating {
    feed: Feed,
    carry: Carry,
    decoder: MessageDecoder,
    inflaters: Inflaters,
}

impl Decoder for FanfareInflating {
    const NAME: &'static str = "fanfare";
    const WORK: Work = Work::WHOLE;

    fn open(feed: Feed) -> Self {
        Self {
            carry: Carry::new(&feed),
            decoder: MessageDecoder::new(Role::Server, Limits::DEFAULT).with_deflate(NO_TAKEOVER),
            feed,
            inflaters: Inflaters::new(1),
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.feed.ends().len() {
            let mut input = self.carry.refill(&mut self.feed);
            let len = input.len();
            while let Some(message) = self
                .decoder
                .next_message_with(&mut input, &mut self.inflaters)?
            {
                sink(payload(&message)?);
            }
            let rest = input.len();
            self.carry.keep(len - rest, len);
        }
        Ok(())
    }
}

/// [`FrameDecoder`] with [`Utf8Validator`]: pieces of messages, validated, handed on as they come.
#[derive(Debug)]
pub struct FanfareStreamed {
    feed: Feed,
    carry: Carry,
    decoder: FrameDecoder,
    /// Of the text in progress.
    text: Option<Utf8Validator>,
    fin: bool,
}

impl Decoder for FanfareStreamed {
    const NAME: &'static str = "fanfare streamed";
    const WORK: Work = Work {
        validates_text: true,
        joins_fragments: false,
        joins_reads: false,
    };

    fn open(feed: Feed) -> Self {
        Self {
            carry: Carry::new(&feed),
            decoder: FrameDecoder::new(Role::Server, MESSAGE_BYTES_MAX as u64),
            feed,
            text: None,
            fin: false,
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.feed.ends().len() {
            let mut input = self.carry.refill(&mut self.feed);
            let len = input.len();
            while let Some(event) = self.decoder.next_event(&mut input)? {
                match event {
                    FrameEvent::Header(header) => {
                        self.fin = header.fin;
                        match header.opcode {
                            Opcode::Text => self.text = Some(Utf8Validator::default()),
                            Opcode::Binary => self.text = None,
                            _ => {}
                        }
                    }
                    FrameEvent::Payload(piece) => {
                        if let Some(text) = &mut self.text {
                            text.push(piece.data)?;
                            if self.fin && piece.ends_frame {
                                text.finish()?;
                            }
                        }
                        sink(piece.data);
                    }
                    FrameEvent::Control(_) => return Err("no corpus holds control frames".into()),
                }
            }
            let rest = input.len();
            self.carry.keep(len - rest, len);
        }
        Ok(())
    }
}

/// Keys as [`random_key`] draws them.
struct RandomKeys;

impl MaskKeys for RandomKeys {
    #[inline]
    fn next_key(&mut self) -> Option<[u8; 4]> {
        Some(random_key())
    }
}

/// [`Encoder`] on the client's side.
pub(super) struct FanfareClient {
    encoder: Encoder<RandomKeys>,
    out: Vec<u8>,
    outlet: Outlet,
}

impl MessageEncoder for FanfareClient {
    const NAME: &'static str = "fanfare";

    fn open(outlet: Outlet) -> Self {
        Self {
            encoder: Encoder::with_keys(RandomKeys),
            out: Vec::new(),
            outlet,
        }
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        Ok(self.encoder.binary(&mut self.out, payload)?)
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        self.outlet.accept(&self.out);
        self.out.clear();
        Ok(())
    }
}

/// [`Encoder::deflate`] on the server's side.
pub(super) struct FanfareDeflating {
    encoder: Encoder<Unmasked>,
    outgoing: Outgoing,
    deflaters: Deflaters,
    out: Vec<u8>,
    outlet: Outlet,
}

impl MessageEncoder for FanfareDeflating {
    const NAME: &'static str = "fanfare";

    fn open(outlet: Outlet) -> Self {
        let settings = DeflateSettings::default().with_level(LEVEL);
        Self {
            encoder: Encoder::server(),
            outgoing: Outgoing::new(NO_TAKEOVER),
            deflaters: Deflaters::new(settings, 1),
            out: Vec::new(),
            outlet,
        }
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        let (outgoing, deflaters) = (&mut self.outgoing, &mut self.deflaters);
        Ok(self.encoder.deflate(
            &mut self.out,
            MessageKind::Text,
            payload,
            outgoing,
            deflaters,
        )?)
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        self.outlet.accept(&self.out);
        self.out.clear();
        Ok(())
    }
}

/// From the generator that every encoder gets whose crate lets its caller choose the key.
#[inline]
pub(super) fn random_key() -> [u8; 4] {
    fastrand::u32(..).to_ne_bytes()
}
