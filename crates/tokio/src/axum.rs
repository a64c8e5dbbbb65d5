//! An extractor for axum, with the names of axum's own `extract::ws`. In: the parts of a request. Out: a response, and a task
//! that has the connection.
//!
//! ```
//! use axum::Router;
//! use axum::response::Response;
//! use axum::routing::any;
//! use fanfare_tokio::axum::{WebSocket, WebSocketUpgrade};
//!
//! async fn handler(ws: WebSocketUpgrade) -> Response {
//!     ws.on_upgrade(echo)
//! }
//!
//! async fn echo(mut socket: WebSocket) {
//!     while let Some(Ok(message)) = socket.recv().await {
//!         if message.is_data() && socket.send(message).await.is_err() {
//!             return;
//!         }
//!     }
//! }
//!
//! let app: Router = Router::new().route("/ws", any(handler));
//! ```
//!
//! Never: knows a rule that [`Upgrade`] does not.

use std::fmt;
use std::future::Future;

use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use hyper::http::{HeaderValue, request};

use crate::{NotOffered, Upgrade, WebSocketStream};

pub use crate::{
    CloseCode, CloseFrame, Config, Error, Limits, Message, PreparedFrame, ReadHalf, Rejection,
    UpgradedIo, Utf8Bytes, WriteHalf,
};

/// A WebSocket that an axum server has accepted.
pub type WebSocket = WebSocketStream<UpgradedIo>;

/// The extractor: a handler that takes it answers what is no WebSocket upgrade with 400, 405 or 426.
///
/// Route it with `axum::routing::any` or `get`. What a connection may take is [`config`](Self::config)'s.
#[must_use = "it does nothing until `on_upgrade`"]
pub struct WebSocketUpgrade<F = fn(Error)> {
    upgrade: Upgrade,
    config: Config,
    sizes: Sizes,
    on_failed_upgrade: F,
}

/// What was set beside a [`Config`], and holds whichever that is.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    message: Option<usize>,
    frame: Option<usize>,
    write_buffer: Option<usize>,
}

impl Sizes {
    fn apply(self, mut config: Config) -> Config {
        if let Some(bytes) = self.message {
            config.limits = config.limits.with_max_message_bytes(bytes as u64);
        }
        if let Some(bytes) = self.frame {
            config.limits = config.limits.with_max_frame_bytes(bytes as u64);
        }
        config.max_write_buffer = self.write_buffer.unwrap_or(config.max_write_buffer);
        config
    }
}

impl<F> WebSocketUpgrade<F> {
    /// Sets what the connection may take, compression included. Sizes that the methods below set hold all the same.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the most bytes of a message; 16 MiB.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.sizes.message = Some(bytes);
        self
    }

    /// Sets the most bytes of a frame; 16 MiB.
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.sizes.frame = Some(bytes);
        self
    }

    /// Sets how many bytes may wait to be written; see [`Config::max_write_buffer`].
    pub fn max_write_buffer_size(mut self, bytes: usize) -> Self {
        self.sizes.write_buffer = Some(bytes);
        self
    }

    /// Chooses the first of `protocols` that the client offers; none if it offers none of them.
    ///
    /// ```
    /// # use axum::response::Response;
    /// # use fanfare_tokio::axum::WebSocketUpgrade;
    /// async fn handler(ws: WebSocketUpgrade) -> Response {
    ///     let ws = ws.protocols(["graphql-transport-ws", "graphql-ws"]);
    ///     let chosen = ws.selected_protocol().map(str::to_owned);
    ///     ws.on_upgrade(async move |_socket| println!("{chosen:?}"))
    /// }
    /// ```
    pub fn protocols<I>(mut self, protocols: I) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        for protocol in protocols {
            if self.upgrade.set_protocol(protocol.as_ref()).is_ok() {
                break;
            }
        }
        self
    }

    /// What the client offers, the one it likes best first.
    pub fn requested_protocols(&self) -> impl Iterator<Item = &str> {
        self.upgrade.protocols()
    }

    /// What was chosen.
    #[must_use]
    pub fn selected_protocol(&self) -> Option<&str> {
        self.upgrade.protocol()
    }

    /// Chooses by other rules than [`protocols`](Self::protocols) does.
    ///
    /// # Errors
    ///
    /// [`NotOffered`], and then nothing has changed.
    pub fn set_selected_protocol(&mut self, protocol: &str) -> Result<(), NotOffered> {
        self.upgrade.set_protocol(protocol)
    }

    /// The page that a browser's script came from. Every origin is accepted: a handler that knows its visitors by cookies must
    /// look at this (RFC 6455 §10.2).
    #[must_use]
    pub const fn origin(&self) -> Option<&HeaderValue> {
        self.upgrade.origin()
    }

    /// Sets who is told if the connection breaks before it is handed over; by default nobody is.
    pub fn on_failed_upgrade<C>(self, callback: C) -> WebSocketUpgrade<C>
    where
        C: FnOnce(Error) + Send + 'static,
    {
        WebSocketUpgrade {
            upgrade: self.upgrade,
            config: self.config,
            sizes: self.sizes,
            on_failed_upgrade: callback,
        }
    }

    /// The response that accepts; `callback` gets the connection, in a task of its own, when that has left.
    pub fn on_upgrade<C, Fut>(self, callback: C) -> Response
    where
        C: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
        F: FnOnce(Error) + Send + 'static,
    {
        let on_failed_upgrade = self.on_failed_upgrade;
        let (response, upgraded) = self.upgrade.accept(&self.sizes.apply(self.config));
        tokio::spawn(async move {
            match upgraded.await {
                Ok(socket) => callback(socket).await,
                Err(error) => on_failed_upgrade(error),
            }
        });
        response
    }
}

impl<F> fmt::Debug for WebSocketUpgrade<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgrade")
            .field("upgrade", &self.upgrade)
            .field("config", &self.sizes.apply(self.config))
            .finish_non_exhaustive()
    }
}

impl<S: Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Rejection> {
        Ok(Self {
            upgrade: Upgrade::from_request_parts(parts)?,
            config: Config::DEFAULT,
            sizes: Sizes::default(),
            on_failed_upgrade: drop,
        })
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        Self::into_response::<Body>(self)
    }
}
