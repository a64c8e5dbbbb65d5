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
//! | messages that stay in your buffer, or are yours | [`MessageDecoder::has_whole`], [`MessageDecoder::take_assembled`] |
//! | to send | [`Encoder`]; to many: [`PreparedFrame`] |
//! | to echo | [`MessageDecoder::echo_in_place`] |
//! | the HTTP upgrade | [`handshake`] |
//! | parts of it for your own codec | [`Header`], [`apply_mask`], [`copy_mask`], [`unmask_validate`], [`Utf8Validator`] |
//!
//! Never: does I/O, reads a clock, allocates from a length that a peer merely declared.
//!
//! Kernels for AVX-512, AVX2 and the baseline are chosen at run time; [`Kernel::force`] takes one of them
//! and refuses one that the CPU lacks.
//!
//! # A server decodes from its own buffer
//!
//! Messages are slices of it. What a read cuts stays at its front, at most [`UNCONSUMED_BYTES_MAX`] bytes;
//! a message that is longer than a read is put together by the decoder.
//!
//! ```
//! use std::io::{self, Read};
//!
//! use fanfare_codec::{Limits, Message, MessageDecoder, Role, UNCONSUMED_BYTES_MAX};
//!
//! struct Inbox {
//!     decoder: MessageDecoder,
//!     buffer: Box<[u8]>,
//!     held: usize, // bytes of a cut frame, at the buffer's front
//! }
//!
//! impl Inbox {
//!     /// Reads once and hands on every message that is whole now; false once the peer has left.
//!     fn read(&mut self, socket: &mut impl Read, mut on: impl FnMut(Message<'_>)) -> io::Result<bool> {
//!         let received = socket.read(&mut self.buffer[self.held..])?;
//!         let end = self.held + received;
//!         let mut input = &mut self.buffer[..end];
//!         while let Some(message) = self.decoder.next_message(&mut input).map_err(io::Error::other)? {
//!             on(message);
//!         }
//!         self.held = input.len();
//!         self.buffer.copy_within(end - self.held..end, 0);
//!         Ok(received > 0)
//!     }
//! }
//!
//! let mut inbox = Inbox {
//!     decoder: MessageDecoder::new(Role::Server, Limits::default().with_max_message_bytes(1 << 20)),
//!     buffer: vec![0; (16 << 10) + UNCONSUMED_BYTES_MAX].into(),
//!     held: 0,
//! };
//! let mut socket = &b"\x81\x82\x01\x02\x03\x04\x49\x6B\x81"[..]; // "Hi", and the start of a frame
//! inbox.read(&mut socket, |message| assert_eq!(message, Message::Text("Hi")))?;
//! assert_eq!(inbox.held, 1);
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # A server writes
//!
//! Replies are appended to one buffer and leave in one write. (A server that only echoes needs no
//! second buffer: [`MessageDecoder::echo_in_place`].)
//!
//! ```
//! use fanfare_codec::{CloseFrame, Encoder, Message, ProtocolError};
//!
//! /// Appends the answer to `message`; says whether the connection goes on.
//! fn answer(message: Message<'_>, out: &mut Vec<u8>) -> bool {
//!     let mut encoder = Encoder::server();
//!     let encoded = match message {
//!         Message::Text(text) => encoder.text(out, &text.to_uppercase()),
//!         Message::Binary(bytes) => encoder.binary(out, bytes),
//!         Message::Ping(payload) => encoder.pong(out, payload),
//!         Message::Pong(_) => Ok(()),
//!         Message::Close(close) => {
//!             encoder.close(out, close.map(CloseFrame::without_reason));
//!             return false;
//!         }
//!     };
//!     encoded.is_ok()
//! }
//!
//! /// Appends what the peer is told when it breaks a rule; the connection ends behind it.
//! fn refuse(error: ProtocolError, out: &mut Vec<u8>) {
//!     let reason = error.to_string();
//!     let close = CloseFrame::new(error.close_code(), &reason).ok();
//!     Encoder::server().close(out, close);
//! }
//!
//! let mut out = Vec::new();
//! assert!(answer(Message::Text("Hi"), &mut out));
//! refuse(ProtocolError::UnmaskedFrame, &mut out);
//! assert_eq!(&out[..8], b"\x81\x02HI\x88\x1E\x03\xEA"); // 1002
//! ```
//!
//! # A server broadcasts
//!
//! A message is encoded once. Each socket has a reference to it and how much of it has left.
//!
//! ```
//! use std::io::{self, Write};
//!
//! use fanfare_codec::PreparedFrame;
//!
//! struct Subscriber<W> {
//!     socket: W,
//!     queue: Vec<(PreparedFrame, usize)>, // and how many of its bytes have left
//! }
//!
//! impl<W: Write> Subscriber<W> {
//!     /// Sends until nothing is left, or the socket takes nothing for now.
//!     fn flush(&mut self) -> io::Result<()> {
//!         while let Some((frame, sent)) = self.queue.first_mut() {
//!             match self.socket.write_vectored(&frame.io_slices(*sent)) {
//!                 Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
//!                 Ok(n) => *sent += n,
//!                 Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
//!                 Err(error) => return Err(error),
//!             }
//!             if *sent == frame.len() {
//!                 self.queue.remove(0);
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let news = PreparedFrame::text("news");
//! let mut subscribers = [0; 3].map(|_| Subscriber { socket: Vec::new(), queue: Vec::new() });
//! for subscriber in &mut subscribers {
//!     subscriber.queue.push((news.clone(), 0));
//!     subscriber.flush()?;
//!     assert_eq!(subscriber.socket, b"\x81\x04news");
//! }
//! # Ok::<(), io::Error>(())
//! ```

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod ahead;
mod assembly;
mod close;
mod decoder;
#[cfg(feature = "deflate")]
pub mod deflate;
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

pub use ahead::Assembled;
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

/// The code of the page beside this crate is compiled with its tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
