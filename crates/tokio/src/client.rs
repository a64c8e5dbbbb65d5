//! The client's side of the HTTP upgrade. In: a transport that is connected, and what to ask for. Out: a connection, and
//! what the server has answered.
//!
//! Never: resolves a name, connects, follows a redirect.

use std::fmt;
use std::str::FromStr;

use fanfare_codec::Role;
use fanfare_codec::handshake::{ClientHandshake, ResponseDecoder, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::keys::random;
use crate::refusal::Unread;
use crate::server::{HEAD_BYTES, within};
use crate::{Config, Error, UrlError, WebSocketStream, url};

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
    /// The host is a name in ASCII, an IPv4 address, or an IPv6 address in brackets; names in other scripts are given as
    /// Punycode (`xn--…`), and path and query percent-encoded.
    ///
    /// # Errors
    ///
    /// [`Error::Url`], which names the part that is wrong.
    pub fn new(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(UrlError::Scheme.into()),
        };
        let parts = url::split(rest)?;
        // Nobody's password goes into a header by accident.
        if parts.userinfo.is_some() {
            return Err(UrlError::Userinfo.into());
        }
        if parts.rest.contains('#') {
            return Err(UrlError::Fragment.into());
        }
        let default_port = if is_secure { 443 } else { 80 };
        let port = parts.port.unwrap_or(default_port);
        let named = if port == default_port {
            parts.host.to_owned()
        } else {
            format!("{}:{port}", parts.host)
        };
        let slash = if parts.rest.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{}", parts.rest);
        if !target.is_ascii() {
            return Err(UrlError::Target.into());
        }
        let handshake = ClientHandshake::new(&named, &target, random());
        Ok(Self {
            handshake: handshake.map_err(|_| UrlError::Target)?,
            host: parts.bare_host().to_owned(),
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
    /// [`Error::Header`] when the name is not a token or the value holds a control character, and for headers that the upgrade
    /// has itself: `Host`, `Connection`, `Upgrade`, those of a body, `Sec-WebSocket-…`.
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

impl FromStr for ClientRequest {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        Self::new(url)
    }
}

impl TryFrom<&str> for ClientRequest {
    type Error = Error;

    fn try_from(url: &str) -> Result<Self, Error> {
        Self::new(url)
    }
}

impl TryFrom<&String> for ClientRequest {
    type Error = Error;

    fn try_from(url: &String) -> Result<Self, Error> {
        Self::new(url)
    }
}

impl TryFrom<String> for ClientRequest {
    type Error = Error;

    fn try_from(url: String) -> Result<Self, Error> {
        Self::new(&url)
    }
}

/// What a server has said in its 101.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The subprotocol that it chose among those offered.
    pub protocol: Option<String>,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Answer {
    /// The value of the first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        header(&self.headers, name)
    }
}

impl fmt::Debug for Answer {
    /// Headers by name: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.headers.iter().map(|(name, _)| name);
        f.debug_struct("Answer")
            .field("protocol", &self.protocol)
            .field("headers", &names.collect::<Vec<_>>())
            .finish()
    }
}

/// The value of the first header of this name, in any case.
pub(crate) fn header<'h>(headers: &'h [(String, Vec<u8>)], name: &str) -> Option<&'h [u8]> {
    let mut values = headers.iter();
    let found = values.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_slice())
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
/// [`Error::Upgrade`] if the server does not accept, with what it has said; [`Error::Head`],
/// [`Error::HandshakeTimeout`], [`Error::Disconnected`], [`Error::Io`].
pub async fn client<S: AsyncRead + AsyncWrite + Unpin>(
    mut io: S,
    request: ClientRequest,
    config: &Config,
) -> Result<(WebSocketStream<S>, Answer), Error> {
    let mut refused = None;
    let upgrade = upgrade(&mut io, request, config, &mut refused);
    let upgraded = within(config.handshake_timeout, upgrade).await;
    // Also if the time has come while its body was waited for: the head says more.
    if let Some(refused) = refused {
        return Err(Error::Upgrade(refused.finish()));
    }
    let Upgraded {
        answer,
        received,
        head_len,
        #[cfg(feature = "deflate")]
        deflate,
    } = upgraded?;
    let read = &received[head_len..];
    #[cfg(feature = "deflate")]
    let stream = WebSocketStream::from_raw_deflate(io, Role::Client, config, read, deflate);
    #[cfg(not(feature = "deflate"))]
    let stream = WebSocketStream::from_raw(io, Role::Client, config, read);
    Ok((stream, answer))
}

/// Responses in front of the one that counts (RFC 9110 §15.2: 100, 102, 103) that are passed over.
pub(crate) const INTERIM_MAX: usize = 8;

/// Whether another response follows this one.
pub(crate) const fn is_interim(status: Status) -> bool {
    matches!(status.0, 100 | 102..200)
}

struct Upgraded {
    answer: Answer,
    received: Vec<u8>,
    /// What of it is no frame.
    head_len: usize,
    #[cfg(feature = "deflate")]
    deflate: Option<crate::deflate::DeflateTerms>,
}

/// `refused` is there as soon as the server has refused, and what is given then does not matter.
async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    request: ClientRequest,
    config: &Config,
    refused: &mut Option<Unread>,
) -> Result<Upgraded, Error> {
    // A request may be a clone of one that was sent.
    let handshake = request.handshake.with_nonce(random());
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
    let mut interim_left = INTERIM_MAX;
    loop {
        let Some(response) = decoder.decode(&received)? else {
            if io.read_buf(&mut received).await? == 0 {
                return Err(Error::Disconnected);
            }
            continue;
        };
        if is_interim(response.status()) && interim_left > 0 {
            interim_left -= 1;
            let head_len = response.head_len();
            received.drain(..head_len);
            decoder = ResponseDecoder::new(config.head_limits);
            continue;
        }
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let head_len = response.head_len();
        let accepted = match handshake.verify(&response) {
            Ok(accepted) => accepted,
            Err(failed) => {
                let unread = Unread::new(failed, &response, headers, &received[head_len..]);
                refused.insert(unread).read(io).await;
                return Err(Error::Disconnected);
            }
        };
        let protocol = accepted.protocol.map(str::to_owned);
        return Ok(Upgraded {
            answer: Answer { protocol, headers },
            head_len,
            #[cfg(feature = "deflate")]
            deflate: accepted.deflate,
            received,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_the_callers_but_for_those_of_the_upgrade() {
        let request = ClientRequest::new("ws://a/").expect("a URL");
        for own in [
            "host",
            "CONNECTION",
            "Upgrade",
            "content-length",
            "Transfer-Encoding",
            "sec-websocket-protocol",
            "Sec-WebSocket-",
        ] {
            let refused = request.clone().header(own, "x");
            assert!(matches!(refused, Err(Error::Header(_))), "{own}");
        }
        let request = request.header("Authorization", "Bearer 123");
        let request = request.expect("the caller's").header("Sec-WebSocke", "x");
        let shown = format!("{:?}", request.expect("another"));
        assert!(shown.contains("Authorization"), "{shown}");
        assert!(!shown.contains("123"), "{shown}");
    }

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
        for (bad, wrong) in [
            ("http://a", UrlError::Scheme),
            ("http://", UrlError::Scheme),
            ("a", UrlError::Scheme),
            ("a:80", UrlError::Scheme),
            ("ws://", UrlError::Host),
            ("ws://:80", UrlError::Host),
            ("ws://a:b", UrlError::Port),
            ("ws://u:p@a", UrlError::Userinfo),
            ("ws://@a", UrlError::Userinfo),
            ("ws://a/#f", UrlError::Fragment),
            ("ws://a#", UrlError::Fragment),
            ("ws://a/ b", UrlError::Target),
            ("ws://a?\r\nb", UrlError::Target),
            ("ws://a/\u{fc}", UrlError::Target),
        ] {
            assert_eq!(parts(bad), Err(Error::Url(wrong).to_string()), "{bad}");
        }
    }
}
