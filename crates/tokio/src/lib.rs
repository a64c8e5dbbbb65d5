//! WebSockets.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod client;
mod config;
#[cfg(feature = "deflate")]
mod contexts;
mod error;
mod event;
mod framing;
mod keys;
mod life;
mod link;
mod message;
mod outgoing;
mod pool;
mod receiving;
mod replies;
mod server;
mod split;
mod stream;
mod traits;

pub use client::{Answer, ClientRequest, client};
pub use config::Config;
pub use error::Error;
pub use event::Event;
#[cfg(feature = "deflate")]
pub use fanfare_codec::deflate;
pub use fanfare_codec::{
    CloseCode, CodeNotAllowed, EncodeError, Limits, Message as MessageRef, MessageKind,
    PreparedFrame, ProtocolError, Role, handshake,
};
pub use message::{CloseFrame, Message, Utf8Bytes};
pub use replies::Replies;
pub use server::{accept, accept_with};
pub use split::{ReadHalf, ReuniteError, WriteHalf};
pub use stream::WebSocketStream;
