//! Through an HTTP proxy (RFC 9110 §9.3.6). In: where it is, who we are, and whom to get to. Out: a socket on which the
//! next byte is the server's.
//!
//! Never: reads a byte behind the head of the proxy's answer; shows a password; reads the environment unasked.

use std::net::IpAddr;
use std::{env, fmt, io};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fanfare_codec::handshake::{HeadError, HeadLimits, ResponseDecoder, Status};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ConnectOptions;
use super::dial::dial;
use crate::client::{INTERIM_MAX, is_interim};
use crate::{ClientRequest, Error, UrlError, url};

/// Bytes that are looked at in one go of a proxy's answer.
const PIECE_BYTES: usize = 512;

/// A proxy that is asked for a tunnel (`CONNECT`), for `ws://` and `wss://` alike (RFC 6455 §4.1).
///
/// ```
/// use fanfare_tokio::Proxy;
///
/// let proxy = Proxy::new("http://user:pass%3Aword@proxy.example:3128")?;
/// assert_eq!((proxy.host(), proxy.port()), ("proxy.example", 3128));
/// assert!(!format!("{proxy:?}").contains("word"));
/// # Ok::<(), fanfare_tokio::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// What stands in `Proxy-Authorization`.
    authorization: Option<String>,
}

impl Proxy {
    /// For `http://[USER[:PASSWORD]@]HOST[:PORT]`; the port is 80 if it is not given. User and password are
    /// percent-decoded and sent by the Basic scheme (RFC 7617).
    ///
    /// # Errors
    ///
    /// [`Error::Proxy`] with [`ProxyError::Url`], which names the part that is wrong.
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self::parse(url).map_err(ProxyError::Url)?)
    }

    fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::ProxyScheme)?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlError::ProxyScheme);
        }
        let parts = url::split(rest)?;
        if !matches!(parts.rest, "" | "/") {
            return Err(UrlError::Target);
        }
        Ok(Self {
            host: parts.bare_host().to_owned(),
            port: parts.port.unwrap_or(80),
            authorization: parts.userinfo.map(basic).transpose()?,
        })
    }

    /// What the environment says of a request.
    ///
    /// `wss://`: the first that is set of `https_proxy`, `HTTPS_PROXY`, `all_proxy`, `ALL_PROXY`. `ws://`: of
    /// `http_proxy`, `all_proxy`, `ALL_PROXY` (not `HTTP_PROXY`: where a web server starts programs, clients set that
    /// one by a header). One that is empty means none. A value without a scheme is `http://`.
    ///
    /// `no_proxy` or `NO_PROXY` lists, with commas or blanks, whom to connect to directly: a host, or whatever is under it, with
    /// or without a dot in front; an address; each perhaps with a port; `*` for all. Networks are not understood.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_env(request: &ClientRequest) -> Result<Option<Self>, Error> {
        Self::from_variables(request, |name| env::var(name).ok())
    }

    fn from_variables(
        request: &ClientRequest,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Error> {
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
        let url = match request.is_secure() {
            true => first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            false => first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
        };
        let Some(url) = url.filter(|url| !url.trim().is_empty()) else {
            return Ok(None);
        };
        let exceptions = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        let mut exceptions = exceptions.split([',', ' ', '\t']);
        if exceptions.any(|exception| is_meant(exception, request.host(), request.port())) {
            return Ok(None);
        }
        let url = url.trim();
        match url.contains("://") {
            true => Self::new(url).map(Some),
            false => Self::new(&format!("http://{url}")).map(Some),
        }
    }

    /// Its name, or its address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A socket to the server that `request` is for.
    pub(super) async fn tunnel(
        &self,
        request: &ClientRequest,
        options: &ConnectOptions,
    ) -> Result<TcpStream, Error> {
        let mut socket = match dial(&self.host, self.port, options).await {
            Err(Error::Resolve(error) | Error::Io(error)) => {
                return Err(ProxyError::Io(error).into());
            }
            other => other?,
        };
        let head = self.head(request);
        open(&mut socket, &head, options.config.head_limits).await?;
        Ok(socket)
    }

    fn head(&self, request: &ClientRequest) -> String {
        let (host, port) = (request.host(), request.port());
        let place = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let mut head = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
        if let Some(authorization) = &self.authorization {
            head.extend(["Proxy-Authorization: ", authorization, "\r\n"]);
        }
        head.push_str("\r\n");
        head
    }
}

impl fmt::Debug for Proxy {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("is_authorized", &self.authorization.is_some())
            .finish()
    }
}

/// The value of a header for `USER[:PASSWORD]`.
fn basic(userinfo: &str) -> Result<String, UrlError> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let user: Vec<u8> = percent_decode_str(user).collect();
    let password: Vec<u8> = percent_decode_str(password).collect();
    if user.contains(&b':') || user.iter().chain(&password).any(u8::is_ascii_control) {
        return Err(UrlError::Credentials);
    }
    let both = [&user[..], b":", &password].concat();
    Ok(format!("Basic {}", STANDARD.encode(both)))
}

/// Whether an element of `NO_PROXY` is for this host.
fn is_meant(exception: &str, host: &str, port: u16) -> bool {
    if exception == "*" {
        return true;
    }
    // An IPv6 address has colons of its own, and brackets in front of a port.
    let (name, only_port) = match exception.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (exception, None),
    };
    if only_port.is_some_and(|only| only.parse() != Ok(port)) {
        return false;
    }
    let without_dot = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let name = name.trim_matches(['[', ']']).trim_start_matches('.');
    let (name, host) = (without_dot(name), without_dot(host));
    if let Ok(address) = host.parse::<IpAddr>() {
        return name.parse() == Ok(address); // nothing is under an address
    }
    match host.strip_suffix(&name) {
        Some(_) if name.is_empty() => false,
        Some(above) => above.is_empty() || above.ends_with('.'),
        None => false,
    }
}

/// Asks for the tunnel, and takes the head of the answer from the socket, but nothing behind it: that is the server's.
async fn open(socket: &mut TcpStream, head: &str, limits: HeadLimits) -> Result<(), ProxyError> {
    socket.write_all(head.as_bytes()).await?;
    let mut received = Vec::new();
    let mut decoder = ResponseDecoder::new(limits);
    let mut interim_left = INTERIM_MAX;
    let mut piece = [0; PIECE_BYTES];
    loop {
        let seen = socket.peek(&mut piece).await?;
        if seen == 0 {
            return Err(ProxyError::Closed);
        }
        let before = received.len();
        received.extend_from_slice(&piece[..seen]);
        let answer = decoder.decode(&received)?;
        let answer = answer.map(|answer| (answer.head_len() - before, answer.status()));
        let taken = answer.map_or(seen, |(of_head, _)| of_head);
        socket.read_exact(&mut piece[..taken]).await?;
        match answer {
            None => {}
            Some((_, Status(200..300))) => return Ok(()),
            Some((_, status)) if is_interim(status) && interim_left > 0 => {
                interim_left -= 1;
                received.clear();
                decoder = ResponseDecoder::new(limits);
            }
            Some((_, status)) => return Err(ProxyError::Refused(status)),
        }
    }
}

/// Why there is no way through a proxy.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// We: gave a URL of which this part is wrong.
    Url(UrlError),
    /// It cannot be reached, or the transport to it failed.
    Io(io::Error),
    /// It closed the connection instead of an answer.
    Closed,
    /// It does not speak HTTP/1, or its answer is past a limit.
    Head(HeadError),
    /// It refused with this status; 407: it wants a user and a password, or others.
    Refused(Status),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => write!(f, "URL: {error}"),
            Self::Io(error) => error.fmt(f),
            Self::Closed => f.write_str("it closed the connection instead of an answer"),
            Self::Head(error) => write!(f, "its answer: {error}"),
            Self::Refused(status) => write!(f, "it refused with {}", status.0),
        }
    }
}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Head(error) => Some(error),
            Self::Closed | Self::Refused(_) => None,
        }
    }
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<HeadError> for ProxyError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> ClientRequest {
        ClientRequest::new(url).expect("a URL")
    }

    #[test]
    fn a_head_names_the_server_and_who_asks() {
        let head = |proxy: &str, url: &str| Proxy::new(proxy).expect("a URL").head(&request(url));
        assert_eq!(
            head("http://p", "ws://a.b/c"),
            "CONNECT a.b:80 HTTP/1.1\r\nHost: a.b:80\r\n\r\n"
        );
        assert_eq!(
            head("HTTP://a%40b:c%3a%20d:e@p:1/", "wss://[::1]/c"),
            "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\
             Proxy-Authorization: Basic YUBiOmM6IGQ6ZQ==\r\n\r\n"
        );
        assert!(head("http://user@p", "ws://a").contains("Basic dXNlcjo=\r\n"));
    }

    #[test]
    fn wrong_parts_of_a_proxys_url_are_named() {
        for (url, wrong) in [
            ("p:80", UrlError::ProxyScheme),
            ("https://p", UrlError::ProxyScheme),
            ("socks5://p", UrlError::ProxyScheme),
            ("http://", UrlError::Host),
            ("http://p:x", UrlError::Port),
            ("http://p/path", UrlError::Target),
            ("http://p?q", UrlError::Target),
            ("http://a%3ab:c@p", UrlError::Credentials),
            ("http://a:b%0d%0ac@p", UrlError::Credentials),
        ] {
            assert_eq!(Proxy::parse(url), Err(wrong), "{url}");
        }
    }

    #[test]
    fn variables_are_asked_in_their_order() {
        let found = |url: &str, variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                let mut all = variables.iter();
                let found = all.find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let proxy = Proxy::from_variables(&request(url), variable);
            proxy.map_or_else(
                |error| error.to_string(),
                |proxy| proxy.map_or_else(String::new, |proxy| proxy.host),
            )
        };
        let all = [
            ("HTTP_PROXY", "http://upper"),
            ("http_proxy", "http://lower"),
            ("HTTPS_PROXY", "secure:8080"),
            ("ALL_PROXY", "http://all"),
        ];
        assert_eq!(found("wss://a", &all), "secure");
        assert_eq!(found("ws://a", &all), "lower");
        assert_eq!(found("ws://a", &all[..1]), "");
        assert_eq!(found("ws://a", &all[2..]), "all");
        assert_eq!(found("wss://a", &all[3..]), "all");
        assert_eq!(
            found("wss://a", &[("https_proxy", " "), all[2], all[3]]),
            ""
        );
        assert_eq!(found("wss://a", &[all[2], ("NO_PROXY", "b, a")]), "");
        assert_eq!(found("wss://a", &[all[2], ("NO_PROXY", "b a")]), "");
        assert_eq!(
            found("wss://a", &[all[2], ("no_proxy", ""), ("NO_PROXY", "a")]),
            "secure"
        );
        let wrong = found("wss://a", &[("https_proxy", "socks5://p")]);
        assert!(wrong.contains("scheme of a proxy"), "{wrong}");
    }

    #[test]
    fn exceptions_are_hosts_and_what_is_under_them() {
        for (exception, host) in [
            ("*", "a.b"),
            ("a.b", "a.b"),
            ("A.b.", "a.B"),
            ("b", "a.b"),
            (".b", "a.b"),
            (".b", "b"),
            ("a.b:80", "a.b."),
            ("1.2.3.4", "1.2.3.4"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[::1]:80", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
        ] {
            assert!(is_meant(exception, host, 80), "{exception} {host}");
        }
        for (exception, host) in [
            ("", "a.b"),
            (".", "a.b"),
            ("b", "ab"),
            ("a.b", "b"),
            ("a.b:443", "a.b"),
            ("a.b:x", "a.b"),
            ("[::1]:443", "::1"),
            ("10.0.0.0/8", "10.0.0.1"),
            ("0.1", "10.0.0.1"),
        ] {
            assert!(!is_meant(exception, host, 80), "{exception} {host}");
        }
    }
}
