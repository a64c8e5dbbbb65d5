//! What one connection may take. In: what the program decides. Out: caps and times for the other modules.
//!
//! Never: unlimited by default.

use std::time::Duration;

use fanfare_codec::Limits;
#[cfg(feature = "deflate")]
use fanfare_codec::deflate::{DeflateOffer, DeflatePolicy, DeflateSettings};
use fanfare_codec::handshake::HeadLimits;

/// What one connection may take: sizes and times.
///
/// Times need a runtime with a clock (`enable_time`, `enable_all`); without one, set those that are not `None`
/// to `None`.
///
/// ```
/// use std::time::Duration;
///
/// use fanfare_tokio::{Config, Limits};
///
/// let config = Config::default()
///     .with_limits(Limits::default().with_max_message_bytes(1 << 20))
///     .with_ping_interval(Some(Duration::from_secs(25)))
///     .with_idle_timeout(Some(Duration::from_secs(60)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// What the peer may send: sizes of frames and messages, fragments. Past them the close code is 1009.
    pub limits: Limits,
    /// The most bytes that one read takes: 4 KiB, or as often four times that as fit; 256 KiB. Less is used as long as
    /// less arrives, and nothing while the connection waits. A message that fits is lent from there; a longer one is put
    /// together first.
    pub max_read_buffer: usize,
    /// How many bytes may wait to be written before nothing more is taken; 1 MiB. Where nothing waits one message
    /// always fits.
    pub max_write_buffer: usize,
    /// After this much silence the peer is sent a ping, whose pong is not given; `None`: never. This time and the next two are kept while
    /// something is read, not while only a `send` or a `flush` is waited for.
    pub ping_interval: Option<Duration>,
    /// After this much silence the connection fails with [`Error::IdleTimeout`](crate::Error::IdleTimeout);
    /// `None`: never.
    pub idle_timeout: Option<Duration>,
    /// How long the end may take: the peer's answer to our close, and what still has to leave after its; 5 s.
    pub close_timeout: Option<Duration>,
    /// How long the HTTP upgrade may take; 10 s. A client that is refused has [`close_timeout`](Self::close_timeout) on top, to
    /// take the answer. Behind hyper or axum this and the next are the server's business.
    pub handshake_timeout: Option<Duration>,
    /// How long a request or response head may be.
    pub head_limits: HeadLimits,
    /// What a server agrees to of permessage-deflate; `None`: nothing.
    #[cfg(feature = "deflate")]
    pub deflate_policy: Option<DeflatePolicy>,
    /// What a client offers of permessage-deflate; `None`: nothing.
    #[cfg(feature = "deflate")]
    pub deflate_offer: Option<DeflateOffer>,
    /// How well messages are compressed, and from which length on.
    #[cfg(feature = "deflate")]
    pub deflate_settings: DeflateSettings,
}

impl Config {
    /// What [`Default`] gives.
    pub const DEFAULT: Self = Self {
        limits: Limits::DEFAULT,
        max_read_buffer: 256 << 10,
        max_write_buffer: 1 << 20,
        ping_interval: None,
        idle_timeout: None,
        close_timeout: Some(Duration::from_secs(5)),
        handshake_timeout: Some(Duration::from_secs(10)),
        head_limits: HeadLimits::DEFAULT,
        #[cfg(feature = "deflate")]
        deflate_policy: None,
        #[cfg(feature = "deflate")]
        deflate_offer: None,
        #[cfg(feature = "deflate")]
        deflate_settings: DeflateSettings::DEFAULT,
    };

    /// With other [`limits`](Self::limits).
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With another [`max_read_buffer`](Self::max_read_buffer); at least 4 KiB.
    #[must_use]
    pub const fn with_max_read_buffer(mut self, bytes: usize) -> Self {
        self.max_read_buffer = bytes;
        self
    }

    /// With another [`max_write_buffer`](Self::max_write_buffer).
    #[must_use]
    pub const fn with_max_write_buffer(mut self, bytes: usize) -> Self {
        self.max_write_buffer = bytes;
        self
    }

    /// With another [`ping_interval`](Self::ping_interval).
    #[must_use]
    pub const fn with_ping_interval(mut self, interval: Option<Duration>) -> Self {
        self.ping_interval = interval;
        self
    }

    /// With another [`idle_timeout`](Self::idle_timeout).
    #[must_use]
    pub const fn with_idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// With another [`close_timeout`](Self::close_timeout).
    #[must_use]
    pub const fn with_close_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// With another [`handshake_timeout`](Self::handshake_timeout).
    #[must_use]
    pub const fn with_handshake_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// With other [`head_limits`](Self::head_limits).
    #[must_use]
    pub const fn with_head_limits(mut self, limits: HeadLimits) -> Self {
        self.head_limits = limits;
        self
    }

    /// With another [`deflate_policy`](Self::deflate_policy).
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn with_deflate_policy(mut self, policy: Option<DeflatePolicy>) -> Self {
        self.deflate_policy = policy;
        self
    }

    /// With another [`deflate_offer`](Self::deflate_offer).
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn with_deflate_offer(mut self, offer: Option<DeflateOffer>) -> Self {
        self.deflate_offer = offer;
        self
    }

    /// With other [`deflate_settings`](Self::deflate_settings).
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn with_deflate_settings(mut self, settings: DeflateSettings) -> Self {
        self.deflate_settings = settings;
        self
    }
}

impl Default for Config {
    /// [`Config::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}
