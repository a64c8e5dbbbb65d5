//! The mask functions that peers publish by themselves. In: bytes and a key. Out: the bytes, XORed.
//!
//! Never: measures.

use soketto::base::{Codec, Header, OpCode};

/// A mask function.
pub trait Masker: 'static {
    /// As tables and JSON call it.
    const NAME: &'static str;

    /// XORs in place.
    fn mask(buf: &mut [u8], key: [u8; 4]);
}

/// What is done with each mask function.
pub trait Visitor {
    /// Called with each one's type.
    fn visit<M: Masker>(&mut self);
}

/// Shows `visitor` every peer's mask function.
pub fn each_peer(visitor: &mut impl Visitor) {
    visitor.visit::<Sockudo>();
    visitor.visit::<Fastwebsockets>();
    visitor.visit::<SansIo>();
    visitor.visit::<Soketto>();
}

struct Sockudo;

impl Masker for Sockudo {
    const NAME: &'static str = "sockudo-ws";

    #[inline]
    fn mask(buf: &mut [u8], key: [u8; 4]) {
        sockudo_ws::simd::apply_mask(buf, key);
    }
}

struct Fastwebsockets;

impl Masker for Fastwebsockets {
    const NAME: &'static str = "fastwebsockets";

    #[inline]
    fn mask(buf: &mut [u8], key: [u8; 4]) {
        fastwebsockets::unmask(buf, key);
    }
}

struct SansIo;

impl Masker for SansIo {
    const NAME: &'static str = "websocket-sans-io";

    #[inline]
    fn mask(buf: &mut [u8], key: [u8; 4]) {
        websocket_sans_io::apply_mask(key, buf, 0);
    }
}

struct Soketto;

impl Masker for Soketto {
    const NAME: &'static str = "soketto codec";

    #[inline]
    fn mask(buf: &mut [u8], key: [u8; 4]) {
        let mut header = Header::new(OpCode::Binary);
        header.set_masked(true).set_mask(u32::from_be_bytes(key));
        Codec::apply_mask(&header, buf);
    }
}
