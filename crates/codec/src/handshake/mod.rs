//! The HTTP upgrade, both sides (RFC 6455 §4, RFC 9112). In: the bytes of a request or response
//! head, as they arrive. Out: what it asks for, or why it is refused and with which status; and the
//! heads that we send.
//!
//! A head is searched for its end as it grows, each byte once, and parsed once when it is whole;
//! `head_len` says where the bytes behind it, which may already be frames, begin.
//!
//! ```
//! use fanfare_codec::handshake::{HeadLimits, RequestDecoder, Response};
//!
//! let received = b"GET /chat HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\n\
//!     Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
//!     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n";
//!
//! let mut decoder = RequestDecoder::new(HeadLimits::default());
//! assert!(decoder.decode(&received[..40])?.is_none()); // not whole yet
//! let request = decoder.decode(received)?.expect("the whole head is there");
//! assert_eq!(request.path(), "/chat");
//!
//! let upgrade = request.upgrade()?; // `Err(e)`: send `Response::from(&e)`
//! let mut response = Response::switching_protocols(&upgrade);
//! if let Some(protocol) = upgrade.select_protocol(&["superchat"]) {
//!     response = response.subprotocol(protocol)?;
//! }
//! let mut out = Vec::new();
//! response.header("Set-Cookie", "seen=1")?.encode(&mut out);
//! assert_eq!(out, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
//!     Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
//!     Sec-WebSocket-Protocol: superchat\r\nSet-Cookie: seen=1\r\n\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Never: routes, authenticates, checks an Origin: those are the caller's, between `upgrade` and the
//! response.

mod accept_key;
mod client;
mod extensions;
mod head;
mod request;
mod response;

pub use accept_key::accept_key;
pub use client::{Accepted, ClientHandshake, ResponseDecoder, ResponseHead, UpgradeFailed};
pub use extensions::{Extension, ExtensionParam, MalformedExtensions};
pub use head::{HeadError, HeadLimits, Headers};
pub use request::{Request, RequestDecoder, Upgrade, UpgradeError};
pub use response::{InvalidHeader, Response, Status};
