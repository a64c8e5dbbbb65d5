//! A zero-copy, sans-IO WebSocket codec (RFC 6455).
//!
//! Bytes go in as the socket gave them, cut anywhere; frames and messages come out, borrowed from
//! the same buffer. Nothing here knows a socket, a clock or a thread, so any event loop, runtime or
//! fuzzer can drive it. `no_std` with `alloc`; feature `std` (default) adds run-time CPU detection
//! and `IoSlice`.
//!
//! | want | take |
//! |---|---|
//! | whole messages | [`MessageDecoder`] |
//! | frames, or pieces of huge ones | [`FrameDecoder`] |
//! | to send | [`Encoder`]; to many: [`PreparedFrame`] |
//! | the HTTP upgrade | [`handshake`] |
//! | parts of it for your own codec | [`Header`], [`apply_mask`], [`copy_mask`], [`unmask_validate`], [`Utf8Validator`] |
//!
//! Never: does I/O, reads a clock, allocates from a length that a peer merely declared.
//!
//! # A server's reading side
//!
//! ```
//! use fanfare_codec::{Encoder, Limits, Message, MessageDecoder, ProtocolError, Role};
//!
//! /// Answers everything in `received`; gives how many bytes it used.
//! fn echo(
//!     decoder: &mut MessageDecoder,
//!     received: &mut [u8],
//!     replies: &mut Vec<u8>,
//! ) -> Result<usize, ProtocolError> {
//!     let mut encoder = Encoder::server();
//!     let total = received.len();
//!     let mut input = received;
//!     while let Some(message) = decoder.next_message(&mut input)? {
//!         match message {
//!             Message::Text(text) => encoder.text(replies, text).expect("nothing is fragmented"),
//!             Message::Binary(bytes) => encoder.binary(replies, bytes).expect("the same"),
//!             Message::Ping(payload) => encoder.pong(replies, payload).expect("at most 125 bytes"),
//!             Message::Pong(_) => {}
//!             Message::Close(close) => encoder.close(replies, close),
//!         }
//!     }
//!     Ok(total - input.len()) // keep the rest in front of what you read next
//! }
//!
//! let mut decoder = MessageDecoder::new(Role::Server, Limits::default());
//! let mut replies = Vec::new();
//! let mut received = *b"\x81\x82\x01\x02\x03\x04\x49\x6B\x81"; // "Hi", and the start of a frame
//! assert_eq!(echo(&mut decoder, &mut received, &mut replies)?, 8);
//! assert_eq!(replies, b"\x81\x02Hi");
//! # Ok::<(), ProtocolError>(())
//! ```

#![no_std]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod close;
mod decoder;
mod echo;
mod encoder;
mod error;
pub mod handshake;
mod header;
mod limits;
mod mask;
mod message;
mod opcode;
mod prepared;
mod role;
mod utf8;

pub use close::{CloseCode, CloseFrame, CodeNotAllowed};
pub use decoder::{Control, FrameDecoder, FrameEvent, Payload};
pub use encoder::{EncodeError, Encoder, MaskKeys, MaskedWith, MessageKind, Unmasked};
pub use error::ProtocolError;
pub use header::{AllowedRsv, Header, Rsv};
pub use limits::{CONTROL_PAYLOAD_BYTES_MAX, HEADER_BYTES_MAX, Limits, UNCONSUMED_BYTES_MAX};
pub use mask::{Isa, IsaNotDetected, Kernel, append_masked, apply_mask, copy_mask};
pub use message::{Message, MessageDecoder};
pub use opcode::Opcode;
pub use prepared::PreparedFrame;
pub use role::Role;
pub use utf8::{Utf8Error, Utf8Validator, unmask_validate, validate as validate_utf8};
