//! `extension::deflate`, with the headers of `base::Codec`.
//!
//! Never: measures.

use bytes::Bytes;
use soketto::Storage;
use soketto::base::{Codec, Header, OpCode};
use soketto::connection::Mode;
use soketto::extension::Extension;
use soketto::extension::deflate::Deflate;

use super::super::Failure;
use super::super::encode::MessageEncoder;
use crate::feed::Outlet;

pub(crate) struct SokettoDeflating {
    codec: Codec,
    deflate: Deflate,
    out: Vec<u8>,
    outlet: Outlet,
}

impl MessageEncoder for SokettoDeflating {
    const NAME: &'static str = "soketto codec";

    fn open(outlet: Outlet) -> Self {
        let mut deflate = Deflate::new(Mode::Server);
        let configured = deflate.configure(&[]);
        assert!(configured.is_ok() && deflate.is_enabled(), "no parameters");
        let mut codec = Codec::new();
        codec.add_reserved_bits(deflate.reserved_bits());
        Self {
            codec,
            deflate,
            out: Vec::new(),
            outlet,
        }
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        let mut header = Header::new(OpCode::Text);
        header.set_fin(true);
        let mut storage = Storage::Shared(payload);
        self.deflate
            .encode(&mut header, &mut storage)
            .map_err(|error| -> Failure { error })?;
        self.out
            .extend_from_slice(self.codec.encode_header(&header));
        self.out.extend_from_slice(storage.as_ref());
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        self.outlet.accept(&self.out);
        self.out.clear();
        Ok(())
    }
}
