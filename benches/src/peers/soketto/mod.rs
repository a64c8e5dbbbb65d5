//! `soketto`: `base::Codec`, the headers and masks below its connection.
//!
//! Never: measures.

#[cfg(feature = "soketto-deflate")]
mod deflating;

use bytes::Bytes;
use soketto::Parsing;
use soketto::base::{Codec, Header, OpCode};

use super::decode::{Decoder, Work};
use super::encode::MessageEncoder;
use super::ours::random_key;
use super::{Failure, MESSAGE_BYTES_MAX};
use crate::carry::Carry;
use crate::feed::{Feed, Outlet};
#[cfg(feature = "soketto-deflate")]
pub(super) use deflating::SokettoDeflating;

pub(super) struct Soketto {
    feed: Feed,
    carry: Carry,
    codec: Codec,
}

impl Decoder for Soketto {
    const NAME: &'static str = "soketto codec";
    const WORK: Work = Work::FRAMES;

    fn open(feed: Feed) -> Self {
        let mut codec = Codec::new();
        codec.set_max_data_size(MESSAGE_BYTES_MAX);
        Self {
            carry: Carry::new(&feed),
            feed,
            codec,
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.feed.ends().len() {
            let input = self.carry.refill(&mut self.feed);
            let len = input.len();
            let mut used = 0;
            while let Parsing::Done { value, offset } = self.codec.decode_header(&input[used..])? {
                let start = used + offset;
                let Some(payload) = input.get_mut(start..start + value.payload_len()) else {
                    break;
                };
                Codec::apply_mask(&value, payload);
                sink(payload);
                used = start + value.payload_len();
            }
            self.carry.keep(used, len);
        }
        Ok(())
    }
}

pub(super) struct SokettoClient {
    codec: Codec,
    out: Vec<u8>,
    outlet: Outlet,
}

impl MessageEncoder for SokettoClient {
    const NAME: &'static str = "soketto codec";

    fn open(outlet: Outlet) -> Self {
        Self {
            codec: Codec::new(),
            out: Vec::new(),
            outlet,
        }
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        let mut header = Header::new(OpCode::Binary);
        header
            .set_fin(true)
            .set_masked(true)
            .set_mask(u32::from_ne_bytes(random_key()))
            .set_payload_len(payload.len());
        self.out
            .extend_from_slice(self.codec.encode_header(&header));
        let start = self.out.len();
        self.out.extend_from_slice(payload);
        Codec::apply_mask(&header, &mut self.out[start..]);
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        self.outlet.accept(&self.out);
        self.out.clear();
        Ok(())
    }
}
