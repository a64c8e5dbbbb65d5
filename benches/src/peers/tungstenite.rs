//! `tungstenite`: `WebSocket::from_raw_socket` and `read`. Its `read_buffer_size` is the feed's read.
//!
//! Never: measures.

use bytes::Bytes;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use super::decode::{Decoder, Work};
use super::encode::MessageEncoder;
use super::{Failure, MESSAGE_BYTES_MAX};
use crate::feed::{Feed, Outlet};

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .max_message_size(Some(MESSAGE_BYTES_MAX))
}

pub(super) struct Tungstenite {
    socket: WebSocket<Feed>,
    messages: usize,
}

impl Decoder for Tungstenite {
    const NAME: &'static str = "tungstenite";
    const WORK: Work = Work::WHOLE;

    fn open(feed: Feed) -> Self {
        let config = config().read_buffer_size(feed.read_bytes_max());
        Self {
            messages: feed.wire().messages(),
            socket: WebSocket::from_raw_socket(feed, Role::Server, Some(config)),
        }
    }

    #[inline]
    fn pass(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        for _ in 0..self.messages {
            match self.socket.read()? {
                Message::Text(text) => sink(text.as_bytes()),
                Message::Binary(bytes) => sink(&bytes),
                _ => return Err("no corpus holds control frames".into()),
            }
        }
        Ok(())
    }
}

pub(super) struct TungsteniteClient(WebSocket<Outlet>);

impl MessageEncoder for TungsteniteClient {
    const NAME: &'static str = "tungstenite";

    fn open(outlet: Outlet) -> Self {
        Self(WebSocket::from_raw_socket(
            outlet,
            Role::Client,
            Some(config()),
        ))
    }

    #[inline]
    fn message(&mut self, payload: &Bytes) -> Result<(), Failure> {
        Ok(self.0.write(Message::Binary(payload.clone()))?)
    }

    #[inline]
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.0.flush()?)
    }
}
