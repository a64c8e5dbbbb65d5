//! `yawc`: `WebSocket::from_stream` and `poll_next_frame`, text validated, nothing compressed.
//!
//! Never: measures.

use yawc::frame::OpCode;
use yawc::{Options, Role, WebSocket};

use super::decode::{Decoder, Work};
use super::ready::polled;
use super::{Failure, MESSAGE_BYTES_MAX};
use crate::feed::Feed;

pub(super) struct Yawc {
    socket: WebSocket<Feed>,
    messages: usize,
}

impl Decoder for Yawc {
    const NAME: &'static str = "yawc";
    const WORK: Work = Work::WHOLE;

    fn open(feed: Feed) -> Self {
        let options = Options::default()
            .without_compression()
            .with_utf8()
            .with_limits(MESSAGE_BYTES_MAX, 2 * MESSAGE_BYTES_MAX)
            .with_read_buffer_capacity(feed.read_bytes_max());
        Self {
            messages: feed.wire().messages(),
            socket: WebSocket::from_stream(feed, Role::Server, options)
                .expect("options without extensions"),
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.messages {
            let frame = polled(|context| self.socket.poll_next_frame(context))?;
            match frame.opcode() {
                OpCode::Text | OpCode::Binary => sink(frame.payload()),
                _ => return Err("no corpus holds control frames".into()),
            }
        }
        Ok(())
    }
}
