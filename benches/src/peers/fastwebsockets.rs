//! `fastwebsockets`: `FragmentCollector` over `WebSocket::after_handshake`, and `write_frame`. It
//! reads into a buffer of its own, 8 KiB at first, whatever the feed offers.
//!
//! Never: measures.

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role, WebSocket};

use super::decode::{Decoder, Work};
use super::encode::MessageEncoder;
use super::ready::ready;
use super::{Failure, MESSAGE_BYTES_MAX};
use crate::feed::{Feed, Outlet};

pub(super) struct Fastwebsockets {
    socket: FragmentCollector<Feed>,
    messages: usize,
}

impl Decoder for Fastwebsockets {
    const NAME: &'static str = "fastwebsockets";
    const WORK: Work = Work::WHOLE;

    fn open(feed: Feed) -> Self {
        let messages = feed.wire().messages();
        let mut socket = WebSocket::after_handshake(feed, Role::Server);
        socket.set_max_message_size(MESSAGE_BYTES_MAX);
        Self {
            socket: FragmentCollector::new(socket),
            messages,
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        ready(async {
            for _ in 0..self.messages {
                let frame = self.socket.read_frame().await?;
                match frame.opcode {
                    OpCode::Text | OpCode::Binary => sink(&frame.payload),
                    _ => return Err("no corpus holds control frames".into()),
                }
            }
            Ok(())
        })
    }
}

pub(super) struct FastwebsocketsClient {
    socket: WebSocket<Outlet>,
}

impl MessageEncoder for FastwebsocketsClient {
    const NAME: &'static str = "fastwebsockets";

    fn open(outlet: Outlet) -> Self {
        Self {
            socket: WebSocket::after_handshake(outlet, Role::Client),
        }
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        let frame = Frame::binary(Payload::Borrowed(payload));
        Ok(ready(self.socket.write_frame(frame))?)
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(()) // each frame is written as it comes
    }
}
