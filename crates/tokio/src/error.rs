//! What can go wrong with a connection. In: faults of the peer, of the caller, of the transport. Out: one enum that
//! names them.
//!
//! Never: says only that something failed.

use std::convert::Infallible;
use std::str::Utf8Error;
use std::{fmt, io};

use fanfare_codec::handshake::{HeadError, InvalidHeader, Status, UpgradeError};
use fanfare_codec::{CodeNotAllowed, EncodeError, ProtocolError};

#[cfg(feature = "connect")]
use crate::ProxyError;
use crate::{Refusal, UrlError};

/// Why a call failed.
///
/// After an error of reading (all but the caller's own faults) the connection is over: what comes next is `None`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The transport failed.
    Io(io::Error),
    /// The peer broke a rule of RFC 6455, or one of our limits. It has been told, with
    /// [`close_code`](ProtocolError::close_code), if it took that and we had not closed before.
    Protocol(ProtocolError),
    /// The connection ended without a close frame, or a TLS session without its own end.
    Disconnected,
    /// Nothing came for [`idle_timeout`](crate::Config::idle_timeout).
    IdleTimeout,
    /// The peer did not answer our close within [`close_timeout`](crate::Config::close_timeout).
    CloseTimeout,
    /// We: asked for a frame that may not be sent now. [`EncodeError::Closed`] once a close frame was sent.
    Encode(EncodeError),
    /// We: closed with a code that may not be sent.
    CloseCode(CodeNotAllowed),
    /// We: wrote more than [`max_write_buffer`](crate::Config::max_write_buffer) without a flush; nothing of this
    /// message was written.
    WriteBufferFull,
    /// We: sent a [`PreparedFrame`](crate::PreparedFrame) as a client, whose frames need a mask each.
    NotAServer,
    /// We: took for text what is not UTF-8; see [`to_text`](crate::Message::to_text).
    Text(Utf8Error),
    /// The HTTP upgrade took longer than [`handshake_timeout`](crate::Config::handshake_timeout).
    HandshakeTimeout,
    /// The peer does not speak HTTP/1, or its head is past a limit.
    Head(HeadError),
    /// The client's request is no valid upgrade; it was answered.
    Request(UpgradeError),
    /// The client's `Sec-WebSocket-Extensions` is malformed; it was answered with 400.
    Extensions,
    /// Our callback refused the client with this status.
    Refused(Status),
    /// The server did not accept our upgrade: its status, headers and the beginning of the body.
    Upgrade(Box<Refusal>),
    /// We: asked for a header or a subprotocol that HTTP cannot carry.
    Header(InvalidHeader),
    /// We: gave a URL of which this part is wrong.
    Url(UrlError),
    /// The host's name was not resolved.
    #[cfg(feature = "connect")]
    Resolve(io::Error),
    /// It took longer than [`connect_timeout`](crate::ConnectOptions::connect_timeout) to get to the server.
    #[cfg(feature = "connect")]
    ConnectTimeout,
    /// There is no way through the proxy.
    #[cfg(feature = "connect")]
    Proxy(ProxyError),
    /// We: asked for `wss://` in a build without TLS, or with TLS but with nobody to trust. One of the features
    /// `rustls-webpki-roots` and `rustls-native-roots` is missing, or `rustls` and a configuration of one's own.
    #[cfg(feature = "connect")]
    NoTls,
    /// TLS failed. That the server's certificate does not hold is
    /// [`InvalidCertificate`](crate::rustls::Error::InvalidCertificate), which says why: another name
    /// (`NotValidForNameContext`), nobody whom we trust (`UnknownIssuer`), a time that is over (`ExpiredContext`).
    #[cfg(feature = "rustls")]
    Tls(Box<crate::rustls::Error>),
    /// The system's certificates cannot be read.
    #[cfg(feature = "rustls-native-roots")]
    Roots(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "transport: {error}"),
            Self::Protocol(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::Disconnected => f.write_str("the connection ended without a close frame"),
            Self::IdleTimeout => f.write_str("nothing came for too long"),
            Self::CloseTimeout => f.write_str("the peer did not answer our close in time"),
            Self::Encode(error) => error.fmt(f),
            Self::CloseCode(error) => error.fmt(f),
            Self::WriteBufferFull => f.write_str("too much waits to be written: flush first"),
            Self::NotAServer => f.write_str("a client cannot send a prepared frame"),
            Self::Text(error) => write!(f, "the message is no text: {error}"),
            Self::HandshakeTimeout => f.write_str("the HTTP upgrade took too long"),
            Self::Head(error) => write!(f, "HTTP upgrade: {error}"),
            Self::Request(error) => write!(f, "HTTP upgrade: {error}"),
            Self::Extensions => f.write_str("HTTP upgrade: malformed Sec-WebSocket-Extensions"),
            Self::Refused(status) => write!(f, "HTTP upgrade: refused with {}", status.0),
            Self::Upgrade(error) => write!(f, "HTTP upgrade: {error}"),
            Self::Header(error) => error.fmt(f),
            Self::Url(error) => write!(f, "URL: {error}"),
            #[cfg(feature = "connect")]
            Self::Resolve(error) => write!(f, "the host's name: {error}"),
            #[cfg(feature = "connect")]
            Self::ConnectTimeout => f.write_str("it took too long to get to the server"),
            #[cfg(feature = "connect")]
            Self::Proxy(error) => write!(f, "proxy: {error}"),
            #[cfg(feature = "connect")]
            Self::NoTls => f.write_str(NO_TLS),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => write!(f, "TLS: {error}"),
            #[cfg(feature = "rustls-native-roots")]
            Self::Roots(error) => write!(f, "the system's certificates: {error}"),
        }
    }
}

#[cfg(all(feature = "connect", not(feature = "rustls")))]
const NO_TLS: &str = "wss:// needs TLS: build fanfare-tokio with its feature rustls-webpki-roots or \
    rustls-native-roots";
#[cfg(feature = "rustls")]
const NO_TLS: &str = "wss:// needs somebody to trust: build fanfare-tokio with its feature \
    rustls-webpki-roots or rustls-native-roots, or give a configuration by ConnectOptions::with_tls";

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Protocol(error) => Some(error),
            Self::Head(error) => Some(error),
            Self::Request(error) => Some(error),
            Self::Text(error) => Some(error),
            Self::Upgrade(refusal) => Some(&**refusal),
            Self::Url(error) => Some(error),
            #[cfg(feature = "connect")]
            Self::Resolve(error) => Some(error),
            #[cfg(feature = "connect")]
            Self::Proxy(error) => Some(error),
            #[cfg(feature = "rustls")]
            Self::Tls(error) => Some(&**error),
            #[cfg(feature = "rustls-native-roots")]
            Self::Roots(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        // How TLS says that the transport has ended; what it cuts off is known from frames.
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Disconnected;
        }
        #[cfg(feature = "rustls")]
        let error = match error.downcast::<crate::rustls::Error>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        Self::Io(error)
    }
}

#[cfg(feature = "rustls")]
impl From<crate::rustls::Error> for Error {
    fn from(error: crate::rustls::Error) -> Self {
        Self::Tls(Box::new(error))
    }
}

#[cfg(feature = "connect")]
impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(error)
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<Utf8Error> for Error {
    fn from(error: Utf8Error) -> Self {
        Self::Text(error)
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<CodeNotAllowed> for Error {
    fn from(error: CodeNotAllowed) -> Self {
        Self::CloseCode(error)
    }
}

impl From<InvalidHeader> for Error {
    fn from(error: InvalidHeader) -> Self {
        Self::Header(error)
    }
}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        Self::Url(error)
    }
}

impl From<Infallible> for Error {
    /// For a [`ClientRequest`](crate::ClientRequest) that is asked for as one.
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
