//! The client's side of the HTTP upgrade. In: a transport that is connected, and what to ask for. Out: a connection, and
//! what the server has answered.
//!
//! Never: resolves a name, connects, follows a redirect.

use fanfare_codec::Role;
use fanfare_codec::handshake::{ClientHandshake, ResponseDecoder, UpgradeFailed};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::keys::random;
use crate::server::{HEAD_BYTES, within};
use crate::{Config, Error, WebSocketStream};

/// What a client asks for.
///
/// ```
/// use fanfare_tokio::ClientRequest;
///
/// let request = ClientRequest::new("ws://example.org:8080/chat?room=1")?
///     .subprotocol("chat.v2")?
///     .header("Authorization", "Bearer 123")?;
/// assert_eq!((request.host(), request.port()), ("example.org", 8080));
/// # Ok::<(), fanfare_tokio::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientRequest {
    handshake: ClientHandshake,
    host: String,
    port: u16,
    is_secure: bool,
}

impl ClientRequest {
    /// For a `ws://` or `wss://` URL.
    ///
    /// # Errors
    ///
    /// [`Error::Url`]; [`Error::Header`] if it holds white space or control characters.
    pub fn new(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").ok_or(Error::Url)?;
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(Error::Url),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        // Nobody's password goes into a header by accident, and a fragment means nothing (RFC 6455 §3).
        if authority.contains('@') || target.contains('#') {
            return Err(Error::Url);
        }
        let default_port = if is_secure { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| Error::Url)?)
            }
            _ => (authority, default_port),
        };
        if host.is_empty() {
            return Err(Error::Url);
        }
        let named = if port == default_port {
            host
        } else {
            authority
        };
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        };
        Ok(Self {
            handshake: ClientHandshake::new(named, &target, random())?,
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            is_secure,
        })
    }

    /// Offers a subprotocol, after those offered before.
    ///
    /// # Errors
    ///
    /// [`Error::Header`] when it is not a token or was offered already.
    pub fn subprotocol(mut self, protocol: &str) -> Result<Self, Error> {
        self.handshake = self.handshake.subprotocol(protocol)?;
        Ok(self)
    }

    /// Adds a header: an origin, a cookie, credentials.
    ///
    /// # Errors
    ///
    /// [`Error::Header`] when the name is not a token or the value holds a control character.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        self.handshake = self.handshake.header(name, value)?;
        Ok(self)
    }

    /// Whom to connect to: a name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The URL's port, or its scheme's.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether the URL is `wss://`: the transport must be TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }
}

/// What a server has said in its 101.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The subprotocol that it chose among those offered.
    pub protocol: Option<String>,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Asks for a WebSocket over a transport that is connected.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use fanfare_tokio::{ClientRequest, Config, client};
///
/// let request = ClientRequest::new("ws://127.0.0.1:9001/")?;
/// let socket = tokio::net::TcpStream::connect((request.host(), request.port())).await?;
/// socket.set_nodelay(true)?;
/// let (mut ws, _) = client(socket, request, &Config::default()).await?;
/// ws.send_text("hello").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Upgrade`] if the server does not accept; [`Error::Head`], [`Error::HandshakeTimeout`],
/// [`Error::Disconnected`], [`Error::Io`].
pub async fn client<S: AsyncRead + AsyncWrite + Unpin>(
    io: S,
    request: ClientRequest,
    config: &Config,
) -> Result<(WebSocketStream<S>, Answer), Error> {
    within(config.handshake_timeout, upgrade(io, request, config)).await
}

async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    mut io: S,
    request: ClientRequest,
    config: &Config,
) -> Result<(WebSocketStream<S>, Answer), Error> {
    let handshake = request.handshake;
    #[cfg(feature = "deflate")]
    let handshake = match config.deflate_offer {
        Some(offer) => handshake.offer_deflate(offer),
        None => handshake,
    };
    let mut out = Vec::new();
    handshake.encode(&mut out);
    io.write_all(&out).await?;
    io.flush().await?;
    let mut decoder = ResponseDecoder::new(config.head_limits);
    let mut received = Vec::with_capacity(HEAD_BYTES);
    loop {
        if io.read_buf(&mut received).await? == 0 {
            return Err(Error::Disconnected);
        }
        let Some(response) = decoder.decode(&received)? else {
            continue;
        };
        let accepted = handshake.verify(&response)?;
        let headers = response.headers().iter();
        let answer = Answer {
            protocol: accepted.protocol.map(str::to_owned),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        let read = &received[response.head_len()..];
        #[cfg(feature = "deflate")]
        let stream =
            WebSocketStream::from_raw_deflate(io, Role::Client, config, read, accepted.deflate);
        #[cfg(not(feature = "deflate"))]
        let stream = WebSocketStream::from_raw(io, Role::Client, config, read);
        return Ok((stream, answer));
    }
}

impl From<UpgradeFailed> for Error {
    fn from(error: UpgradeFailed) -> Self {
        Self::Upgrade(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_as_rfc_6455_s3_says() {
        let parts = |url: &str| {
            let request = ClientRequest::new(url).map_err(|error| error.to_string())?;
            let mut head = Vec::new();
            request.handshake.encode(&mut head);
            let head = String::from_utf8(head).map_err(|error| error.to_string())?;
            let lines: Vec<&str> = head.lines().take(2).collect();
            Ok::<_, String>((
                request.host,
                request.port,
                request.is_secure,
                lines.join("|"),
            ))
        };
        let good = |host: &str, port, is_secure, lines: &str| {
            Ok((host.into(), port, is_secure, lines.into()))
        };
        assert_eq!(
            parts("ws://a.b"),
            good("a.b", 80, false, "GET / HTTP/1.1|Host: a.b")
        );
        assert_eq!(
            parts("WSS://a.b:443/c?d=/e"),
            good("a.b", 443, true, "GET /c?d=/e HTTP/1.1|Host: a.b")
        );
        assert_eq!(
            parts("ws://[::1]:81?q"),
            good("::1", 81, false, "GET /?q HTTP/1.1|Host: [::1]:81")
        );
        assert_eq!(
            parts("ws://[::1]"),
            good("::1", 80, false, "GET / HTTP/1.1|Host: [::1]")
        );
        for bad in [
            "http://a",
            "a",
            "ws://",
            "ws://:80",
            "ws://a:b",
            "ws://u:p@a",
            "ws://a/#f",
            "ws://a/ b",
        ] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }
}
