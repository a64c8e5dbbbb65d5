//! The codecs that are measured, ours among them. In: a feed, or payloads. Out: each message to a
//! sink, or frames to an outlet.
//!
//! Each is one object that is fed for ever, through the fastest entry point that its crate publishes
//! for bytes already in memory; a module that drives an asynchronous one polls it with a waker that
//! does nothing, for its input is always there.
//!
//! Never: measures, copies what the peer itself would not.

mod actix;
pub mod decode;
pub mod deflate;
pub mod encode;
mod fastwebsockets;
pub mod mask;
mod ours;
mod ready;
mod sans_io;
mod sockudo;
mod soketto;
mod tokio_websockets;
mod tungstenite;
mod yawc;

pub use ours::{Fanfare, FanfareInflating, FanfareStreamed};

/// Why a peer gave up: its own error, as it says it.
pub type Failure = Box<dyn std::error::Error>;

/// The largest message that any corpus holds, with room to spare.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
