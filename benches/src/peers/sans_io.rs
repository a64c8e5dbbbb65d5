//! `websocket-sans-io`: `WebsocketFrameDecoder::add_data` and `WebsocketFrameEncoder`.
//!
//! Never: measures.

use bytes::Bytes;
use websocket_sans_io::{
    FrameInfo, Opcode, WebsocketFrameDecoder, WebsocketFrameEncoder, WebsocketFrameEvent,
};

use super::Failure;
use super::decode::{Decoder, Work};
use super::encode::MessageEncoder;
use super::ours::random_key;
use crate::carry::Carry;
use crate::feed::{Feed, Outlet};

pub(super) struct SansIo {
    feed: Feed,
    carry: Carry,
    decoder: WebsocketFrameDecoder,
}

impl Decoder for SansIo {
    const NAME: &'static str = "websocket-sans-io";
    const WORK: Work = Work {
        validates_text: false,
        joins_fragments: false,
        joins_reads: false,
    };

    fn open(feed: Feed) -> Self {
        Self {
            carry: Carry::new(&feed),
            feed,
            decoder: WebsocketFrameDecoder::new(),
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.feed.ends().len() {
            let mut input = self.carry.refill(&mut self.feed);
            loop {
                let result = self
                    .decoder
                    .add_data(input)
                    .map_err(|error| format!("{error:?}"))?;
                let (done, rest) = input.split_at_mut(result.consumed_bytes);
                match result.event {
                    Some(WebsocketFrameEvent::PayloadChunk { .. }) => sink(done),
                    Some(_) => {}
                    None if done.is_empty() => break,
                    None => {}
                }
                input = rest;
            }
        }
        Ok(())
    }
}

pub(super) struct SansIoClient {
    encoder: WebsocketFrameEncoder,
    out: Vec<u8>,
    outlet: Outlet,
}

impl MessageEncoder for SansIoClient {
    const NAME: &'static str = "websocket-sans-io";

    fn open(outlet: Outlet) -> Self {
        Self {
            encoder: WebsocketFrameEncoder::new(),
            out: Vec::new(),
            outlet,
        }
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        let header = self.encoder.start_frame(&FrameInfo {
            opcode: Opcode::Binary,
            payload_length: payload.len() as u64,
            mask: Some(random_key()),
            fin: true,
            reserved: 0,
        });
        self.out.extend_from_slice(&header);
        let start = self.out.len();
        self.out.extend_from_slice(payload);
        self.encoder.transform_frame_payload(&mut self.out[start..]);
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        self.outlet.accept(&self.out);
        self.out.clear();
        Ok(())
    }
}
