//! `actix-http`: `ws::Codec`, whose callers join fragments and validate text.
//!
//! Never: measures.

use actix_codec::{Decoder as _, Encoder as _};
use actix_http::ws::{Codec, Frame, Item, Message};
use bytes::{Bytes, BytesMut};

use super::decode::{Decoder, Work};
use super::encode::MessageEncoder;
use super::{Failure, MESSAGE_BYTES_MAX};
use crate::feed::{Feed, Outlet};

pub(super) struct Actix {
    feed: Feed,
    buffer: BytesMut,
    codec: Codec,
}

impl Decoder for Actix {
    const NAME: &'static str = "actix-http codec";
    const WORK: Work = Work::FRAMES;

    fn open(feed: Feed) -> Self {
        Self {
            buffer: BytesMut::with_capacity(feed.read_bytes_max()),
            feed,
            codec: Codec::new().max_size(MESSAGE_BYTES_MAX),
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.feed.ends().len() {
            self.feed.append_to(&mut self.buffer);
            while let Some(frame) = self.codec.decode(&mut self.buffer)? {
                match frame {
                    Frame::Text(bytes)
                    | Frame::Binary(bytes)
                    | Frame::Continuation(
                        Item::FirstText(bytes)
                        | Item::FirstBinary(bytes)
                        | Item::Continue(bytes)
                        | Item::Last(bytes),
                    ) => sink(&bytes),
                    _ => return Err("no corpus holds control frames".into()),
                }
            }
        }
        Ok(())
    }
}

pub(super) struct ActixClient {
    codec: Codec,
    out: BytesMut,
    outlet: Outlet,
}

impl MessageEncoder for ActixClient {
    const NAME: &'static str = "actix-http codec";

    fn open(outlet: Outlet) -> Self {
        Self {
            codec: Codec::new().client_mode(),
            out: BytesMut::new(),
            outlet,
        }
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        let message = Message::Binary(payload.clone());
        Ok(self.codec.encode(message, &mut self.out)?)
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        self.outlet.accept(&self.out);
        self.out.clear();
        Ok(())
    }
}
