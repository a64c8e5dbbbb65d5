//! WebSockets (RFC 6455) on tokio, for servers and clients.
//!
//! A [`WebSocketStream`] is a connection over anything that reads and writes: a TCP socket, TLS, a Unix socket, a pipe.
//! It is a [`Stream`](futures_core::Stream) and a [`Sink`](futures_sink::Sink) of [`Message`]s, as other crates have
//! it. Under these lies a faster way, on which a message is touched once: it is unmasked and validated where it was
//! read, lent from there, and answered without an allocation.
//!
//! | want | take |
//! |---|---|
//! | to accept | [`accept`]; to look at the request first, [`accept_with`] |
//! | to connect to a URL (feature `connect`) | `connect`; through a proxy, with a TLS configuration of yours, `connect_with` |
//! | to ask a server over a transport of yours | [`client`] |
//! | an upgrade among a server's other requests | `Upgrade` for hyper, the extractor in `axum` |
//! | a transport that is upgraded already | [`WebSocketStream::from_raw`] |
//! | messages to keep | the `Stream`, or [`recv`](WebSocketStream::recv) |
//! | messages to look at or to answer | [`next_message`](WebSocketStream::next_message), [`next_with_replies`](WebSocketStream::next_with_replies) |
//! | messages in pieces, however long they are (`limits` hold for each frame) | [`next_event`](WebSocketStream::next_event), [`read_piece`](WebSocketStream::read_piece) |
//! | to send | [`send`](WebSocketStream::send) and its kin, or the `Sink` |
//! | to send much at once | [`write_text`](WebSocketStream::write_text) and its kin, then [`flush`](WebSocketStream::flush) |
//! | to send the same to many | [`PreparedFrame`] |
//! | to read and write in two tasks | [`split`](WebSocketStream::split) |
//!
//! # A server and a client
//!
//! ```
//! use fanfare_tokio::{ClientRequest, CloseCode, Config, Error, Message, MessageRef, accept, client};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("ws://{}/", listener.local_addr()?);
//!
//! tokio::spawn(async move {
//!     let (socket, _) = listener.accept().await?;
//!     let mut ws = accept(socket, &Config::DEFAULT).await?;
//!     // Answers to all that one read brought leave in one write.
//!     while let Some(received) = ws.next_with_replies().await {
//!         let (message, mut replies) = received?;
//!         if let MessageRef::Text(text) = message {
//!             replies.text(&text.to_uppercase())?;
//!         }
//!     }
//!     Ok::<(), Error>(())
//! });
//!
//! let request = ClientRequest::new(&url)?;
//! let socket = TcpStream::connect((request.host(), request.port())).await?;
//! let (mut ws, _) = client(socket, request, &Config::DEFAULT).await?;
//! ws.send_text("hello").await?;
//! assert_eq!(ws.recv().await.transpose()?, Some(Message::text("HELLO")));
//! ws.close(CloseCode::NORMAL, "").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Reading drives the connection
//!
//! While a message is waited for, what was written leaves, pings are answered, a close is, and the times of [`Config`]
//! are kept. So read all the time, in one task, or in a [half](ReadHalf) of its own. Control frames are given, too, and
//! nothing need be done about them.
//!
//! A connection that ends as it should gives `None` behind [`Message::Close`]. Any other end is an [`Error`] first:
//! [`Error::Disconnected`] without a close, [`Error::Protocol`] if the peer broke a rule (it has been told which), and
//! [`Error::IdleTimeout`], [`Error::CloseTimeout`], [`Error::Io`].
//!
//! # Dropping a future loses nothing
//!
//! Every future of this crate that has a connection borrowed may be dropped at any time:
//!
//! ```
//! use std::time::Duration;
//!
//! use fanfare_tokio::{Config, Message, Role, WebSocketStream};
//! use tokio::io::AsyncWriteExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (ours, mut theirs) = tokio::io::duplex(1024);
//! let mut ws = WebSocketStream::from_raw(ours, Role::Client, &Config::DEFAULT, &[]);
//! theirs.write_all(b"\x81\x05Hel").await?; // half a message
//! tokio::select! {
//!     _ = ws.recv() => unreachable!("it is not whole"),
//!     () = tokio::time::sleep(Duration::from_millis(1)) => {}
//! }
//! theirs.write_all(b"lo").await?;
//! assert_eq!(ws.recv().await.transpose()?, Some(Message::text("Hello")));
//! # Ok(())
//! # }
//! ```
//!
//! What was to be sent is then queued whole, and leaves with the next flush or while reading waits, or it is not queued
//! at all. Nothing leaves twice. (Those of a handshake take the transport with them.)
//!
//! # What a connection costs
//!
//! Buffers to read into are a thread's: a connection has one from a read until all of it is taken, of 4 KiB until more
//! comes at once, and at most [`max_read_buffer`](Config::max_read_buffer). One that waits holds none, and what of a
//! message has not come holds no memory. What waits to be written is bounded
//! by [`max_write_buffer`](Config::max_write_buffer): past it, `write_…` refuses, `send_…` and
//! [`next_with_replies`](WebSocketStream::next_with_replies) wait. A timer exists only for a time that is configured. With
//! `deflate`, a window that a peer keeps between messages costs 47 KiB, and one that we keep up to 380 KiB, from the first
//! compressed message on.
//!
//! # A message to many
//!
//! ```
//! use fanfare_tokio::{Config, PreparedFrame, Role, WebSocketStream};
//! use tokio::io::AsyncReadExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let news = PreparedFrame::text("news"); // encoded once; a clone is a reference count
//! for _ in 0..3 {
//!     let (ours, mut theirs) = tokio::io::duplex(1024);
//!     let mut ws = WebSocketStream::from_raw(ours, Role::Server, &Config::DEFAULT, &[]);
//!     ws.send_prepared(&news).await?;
//!     let mut received = [0; 6];
//!     theirs.read_exact(&mut received).await?;
//!     assert_eq!(&received, b"\x81\x04news");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Who may connect
//!
//! Whoever asks is accepted, from any page: an endpoint that knows its visitors by cookies must look at the origin
//! (RFC 6455 §10.2), which [`accept_with`] shows as [`handshake::Upgrade::origin`], `Upgrade` and the extractor as `origin()`.
//! What a peer may send is capped by [`Config`]; over HTTP/2 hyper holds some writes beside those that
//! [`max_write_buffer`](Config::max_write_buffer) counts.
//!
//! # Features
//!
//! | feature | does |
//! |---|---|
//! | `deflate` | permessage-deflate (RFC 7692): `Config::deflate_policy` of a server, `Config::deflate_offer` of a client |
//! | `hyper` | `Upgrade`, for servers on hyper 1: requests that it has parsed |
//! | `http2` | the same over HTTP/2 (RFC 8441) |
//! | `axum` | an extractor for axum 0.8, with the names of axum's own |
//! | `connect` | `connect` and `connect_with`: names, TCP, HTTP proxies; `ws://` |
//! | `rustls` | `connect`, and `wss://` with a `rustls::ClientConfig` of yours, whose provider of cryptography you choose |
//! | `rustls-webpki-roots` | `rustls`, and servers that Mozilla's list of authorities vouches for, which is built in |
//! | `rustls-native-roots` | `rustls`, and servers that the system's authorities vouch for |
//!
//! None is on by default, and each only adds: with both lists of roots a server may be on either. These two use the
//! provider that the process has installed, or else aws-lc-rs; nobody need install one.
//!
//! The crate needs Rust 1.91 or newer; a newer minimum comes with a minor version. Public types of `fanfare-codec`,
//! `bytes`, `futures-core`, `futures-sink` and tokio are part of this crate's interface, and with the features hyper's,
//! `http`'s, `axum-core`'s, rustls's and tokio-rustls's: a breaking release of one of them that is taken up is one of this crate.
//!
//! [MIGRATING.md](https://docs.rs/crate/fanfare-tokio/latest/source/MIGRATING.md) is the way from tokio-tungstenite,
//! fastwebsockets and axum's own `ws`.
//!
//! Never: parses a frame (`fanfare-codec` does); spawns a task, but the one that an axum handler asks for (names are
//! resolved, and the system's certificates read, on tokio's threads for what blocks).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "axum")]
pub mod axum;
mod client;
mod config;
#[cfg(feature = "connect")]
mod connect;
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
mod refusal;
mod replies;
mod server;
mod split;
mod stream;
mod traits;
#[cfg(feature = "hyper")]
mod upgrade;
#[cfg(feature = "hyper")]
mod upgraded;
mod url;

pub use client::{Answer, ClientRequest, client};
pub use config::Config;
#[cfg(feature = "connect")]
pub use connect::{ConnectOptions, MaybeTlsStream, Proxy, ProxyError, connect, connect_with};
pub use error::Error;
pub use event::Event;
#[cfg(feature = "deflate")]
pub use fanfare_codec::deflate;
pub use fanfare_codec::handshake::InvalidHeader;
pub use fanfare_codec::{
    CloseCode, CloseFrame as CloseFrameRef, CodeNotAllowed, EncodeError, Limits,
    Message as MessageRef, MessageKind, Opcode, PreparedFrame, ProtocolError, Role, handshake,
};
pub use message::{CloseFrame, Message, Utf8Bytes};
pub use refusal::Refusal;
pub use replies::Replies;
pub use server::{accept, accept_with};
pub use split::{ReadHalf, ReuniteError, WriteHalf};
pub use stream::WebSocketStream;
#[cfg(feature = "rustls")]
pub use tokio_rustls::rustls;
#[cfg(feature = "hyper")]
pub use upgrade::{NotOffered, Rejection, Upgrade, Upgraded};
#[cfg(feature = "hyper")]
pub use upgraded::UpgradedIo;
pub use url::UrlError;

/// The code of the pages beside this crate is compiled with its tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[cfg(all(feature = "axum", feature = "connect", feature = "deflate"))]
    #[doc = include_str!("../MIGRATING.md")]
    struct Migrating;
}
