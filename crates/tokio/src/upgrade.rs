//! The upgrade of a request that hyper has parsed. In: an `http::Request`. Out: the response that accepts it or says why
//! not, and the connection once hyper hands it over.
//!
//! A request over HTTP/2 (RFC 8441) is judged as the one over HTTP/1.1 that it stands for.
//!
//! Never: judges a request by other rules than [`accept`](crate::accept) does; spawns a task.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use fanfare_codec::handshake::{Headers, InvalidHeader, Request, Response, Status, UpgradeError};
use hyper::http::{self, HeaderValue, StatusCode, header, request};
use hyper::upgrade::OnUpgrade;

use crate::{Config, Error, Role, UpgradedIo, WebSocketStream};

/// A request for a WebSocket that keeps every rule of RFC 6455 §4.2.1, and can be accepted.
///
/// ```
/// use fanfare_tokio::{Config, Message, Upgrade};
/// use http_body_util::Full;
/// use hyper::body::{Bytes, Incoming};
/// use hyper::{Request, Response};
///
/// async fn echo(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
///     let upgrade = match Upgrade::from_request(&mut request) {
///         Ok(upgrade) => upgrade,
///         Err(rejection) => return Ok(rejection.into_response()),
///     };
///     let (response, upgraded) = upgrade.accept(&Config::DEFAULT);
///     tokio::spawn(async move {
///         let mut ws = upgraded.await?; // once the response has left
///         while let Some(message) = ws.recv().await.transpose()? {
///             if message.is_data() {
///                 ws.send(message).await?;
///             }
///         }
///         Ok::<(), fanfare_tokio::Error>(())
///     });
///     Ok(response)
/// }
/// ```
///
/// The connection must be served with upgrades: `http1::Builder::serve_connection(…).with_upgrades()`, or
/// hyper-util's `serve_connection_with_upgrades`. For WebSockets over HTTP/2 there is the feature `http2`, and the server
/// must be built with `enable_connect_protocol`.
#[derive(Debug)]
pub struct Upgrade {
    offer: Offer,
    protocol: Option<String>,
    on_upgrade: OnUpgrade,
}

/// What is kept of a request.
#[derive(Debug)]
struct Offer {
    /// The 101, or the 200 of HTTP/2.
    response: Response,
    is_http2: bool,
    protocols: Vec<String>,
    origin: Option<HeaderValue>,
    #[cfg(feature = "deflate")]
    extensions: Vec<HeaderValue>,
}

impl Upgrade {
    /// Takes the upgrade out of a request.
    ///
    /// # Errors
    ///
    /// A [`Rejection`], whose response says what is wrong with the request.
    pub fn from_request<B>(request: &mut http::Request<B>) -> Result<Self, Rejection> {
        let head = Head {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        };
        let offer = head.judge()?;
        Self::take(offer, request.extensions_mut())
    }

    /// Takes the upgrade out of the parts of a request.
    ///
    /// # Errors
    ///
    /// As [`from_request`](Self::from_request).
    pub fn from_request_parts(parts: &mut request::Parts) -> Result<Self, Rejection> {
        let head = Head {
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            extensions: &parts.extensions,
        };
        let offer = head.judge()?;
        Self::take(offer, &mut parts.extensions)
    }

    /// A request that is refused keeps what hyper would have handed over.
    fn take(offer: Offer, extensions: &mut http::Extensions) -> Result<Self, Rejection> {
        let taken = extensions.remove::<OnUpgrade>();
        let on_upgrade = taken.ok_or(Rejection(Why::NotUpgradable))?;
        Ok(Self {
            offer,
            protocol: None,
            on_upgrade,
        })
    }

    /// The subprotocols that the client offers, the one it likes best first.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.offer.protocols.iter().map(String::as_str)
    }

    /// The page that a browser's script came from (RFC 6454); others need not send one.
    #[must_use]
    pub const fn origin(&self) -> Option<&HeaderValue> {
        self.offer.origin.as_ref()
    }

    /// What was chosen by [`set_protocol`](Self::set_protocol).
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Accepts with this subprotocol, and no more with one that was set before.
    ///
    /// # Errors
    ///
    /// [`NotOffered`], and then nothing has changed.
    pub fn set_protocol(&mut self, protocol: &str) -> Result<(), NotOffered> {
        if !self.protocols().any(|offered| offered == protocol) {
            return Err(NotOffered);
        }
        self.protocol = Some(protocol.to_owned());
        Ok(())
    }

    /// The response that accepts, which may be given more headers, and the connection, which is there once the response has
    /// left. permessage-deflate is agreed on as `config` says; a malformed offer of it makes the response a 400, and the
    /// connection [`Error::Extensions`]. Of `config`, what is about HTTP is the server's.
    ///
    /// `B`: `Full<Bytes>`, axum's `Body`, `String`; another by `accept::<String>(…)` and `response.map(…)`.
    pub fn accept<B: From<String>>(self, config: &Config) -> (http::Response<B>, Upgraded) {
        let (response, pending) = self.agree(config);
        (response, Upgraded(pending))
    }

    fn agree<B: From<String>>(
        self,
        config: &Config,
    ) -> (http::Response<B>, Result<Pending, Option<Error>>) {
        let Offer {
            mut response,
            is_http2,
            ..
        } = self.offer;
        if let Some(protocol) = self.protocol {
            response = match response.subprotocol(&protocol) {
                Ok(response) => response,
                // Whatever was offered is a token.
                Err(error) => return (internal(&error), Err(Some(Error::Header(error)))),
            };
        }
        let pending = Pending {
            on_upgrade: self.on_upgrade,
            config: *config,
            #[cfg(feature = "deflate")]
            deflate: None,
        };
        #[cfg(feature = "deflate")]
        if let Some(policy) = config.deflate_policy {
            let name = header::SEC_WEBSOCKET_EXTENSIONS;
            let pairs = self.offer.extensions.iter();
            let offers = Headers::new(pairs.map(|value| (name.as_str(), value.as_bytes())));
            return match policy.answer(&offers) {
                Ok(None) => (into_http(&response, is_http2), Ok(pending)),
                Ok(Some(answer)) => {
                    let deflate = Some(answer.terms());
                    let response = into_http(&response.deflate(&answer), is_http2);
                    (response, Ok(Pending { deflate, ..pending }))
                }
                Err(error) => {
                    let response = into_http(&Response::from(&error), is_http2);
                    (response, Err(Some(Error::Extensions)))
                }
            };
        }
        (into_http(&response, is_http2), Ok(pending))
    }
}

/// The client has not offered this subprotocol, and would fail the connection (RFC 6455 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotOffered;

impl fmt::Display for NotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client has not offered this subprotocol")
    }
}

impl std::error::Error for NotOffered {}

/// What a request is judged by.
struct Head<'a> {
    method: &'a http::Method,
    uri: &'a http::Uri,
    version: http::Version,
    headers: &'a http::HeaderMap,
    extensions: &'a http::Extensions,
}

impl Head<'_> {
    /// What it offers, if it is a request for a WebSocket.
    fn judge(&self) -> Result<Offer, Rejection> {
        let is_http2 = self.version > http::Version::HTTP_11;
        if is_http2 {
            self.check_connect()?;
        }
        let target = self.uri.to_string();
        let pairs = self.headers.iter();
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let request = if is_http2 {
            let host = self
                .uri
                .authority()
                .map_or("", http::uri::Authority::as_str);
            let stands_for = [
                ("host", host.as_bytes()),
                ("upgrade", b"websocket"),
                ("connection", b"upgrade"),
                ("sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
            ];
            // Some clients send a key all the same; it means nothing (RFC 8441 §5).
            let pairs = pairs.filter(|(name, _)| stands_for.iter().all(|(own, _)| own != name));
            Request::new("GET", &target, 1, Headers::new(pairs.chain(stands_for)))
        } else {
            let minor_version = u8::from(self.version == http::Version::HTTP_11);
            let method = self.method.as_str();
            Request::new(method, &target, minor_version, Headers::new(pairs))
        };
        let upgrade = request.upgrade().map_err(|error| {
            Rejection(match is_http2 {
                true => Why::Http2(error),
                false => Why::Request(error),
            })
        })?;
        #[cfg(feature = "deflate")]
        let extensions = self.headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
        Ok(Offer {
            response: match is_http2 {
                true => Response::new(Status::OK),
                false => Response::switching_protocols(&upgrade),
            },
            is_http2,
            protocols: upgrade.protocols().map(str::to_owned).collect(),
            origin: self.headers.get(header::ORIGIN).cloned(),
            #[cfg(feature = "deflate")]
            extensions: extensions.iter().cloned().collect(),
        })
    }

    /// Whether a request over HTTP/2 is the extended CONNECT of RFC 8441 §4.
    fn check_connect(&self) -> Result<(), Rejection> {
        if self.method != http::Method::CONNECT {
            return Err(Rejection(Why::Http2(UpgradeError::NotAnUpgrade)));
        }
        #[cfg(feature = "http2")]
        match self.extensions.get::<hyper::ext::Protocol>() {
            Some(protocol) if protocol.as_str() == "websocket" => Ok(()),
            _ => Err(Rejection(Why::Protocol)),
        }
        #[cfg(not(feature = "http2"))]
        {
            let _ = self.extensions;
            Err(Rejection(Why::NoHttp2))
        }
    }
}

/// Headers that HTTP/2 has not (RFC 9113 §8.2.2).
const OF_HTTP1: [&str; 2] = ["Connection", "Upgrade"];

fn into_http<B: From<String>>(response: &Response, is_http2: bool) -> http::Response<B> {
    let body = String::from_utf8_lossy(response.content()).into_owned();
    let mut into = http::Response::new(B::from(body));
    *into.status_mut() = status(response.status());
    for (name, value) in response.headers() {
        if is_http2 && OF_HTTP1.contains(&name) {
            continue;
        }
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            into.headers_mut().append(name, value);
        }
    }
    into
}

fn status(status: Status) -> StatusCode {
    StatusCode::from_u16(status.0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn internal<B: From<String>>(error: &InvalidHeader) -> http::Response<B> {
    let status = Status(StatusCode::INTERNAL_SERVER_ERROR.as_u16());
    into_http(&Response::refusal(status, error), false)
}

/// A connection that hyper hands over once the response that accepts it has left. Where another response was sent
/// instead, hyper hands over what has ended, when it has; the first read says so.
///
/// # Errors
///
/// [`Error::Io`] if the connection broke before, or the response was not sent.
#[derive(Debug)]
#[must_use = "the connection is lost if nobody waits for it"]
pub struct Upgraded(Result<Pending, Option<Error>>);

#[derive(Debug)]
struct Pending {
    on_upgrade: OnUpgrade,
    config: Config,
    #[cfg(feature = "deflate")]
    deflate: Option<crate::deflate::DeflateTerms>,
}

impl Future for Upgraded {
    type Output = Result<WebSocketStream<UpgradedIo>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let pending = match &mut self.get_mut().0 {
            Ok(pending) => pending,
            Err(error) => return Poll::Ready(Err(error.take().unwrap_or(Error::Extensions))),
        };
        let upgraded = std::task::ready!(Pin::new(&mut pending.on_upgrade).poll(cx));
        let (io, read) = UpgradedIo::new(upgraded.map_err(std::io::Error::other)?);
        #[cfg(feature = "deflate")]
        let stream = WebSocketStream::from_raw_deflate(
            io,
            Role::Server,
            &pending.config,
            &read,
            pending.deflate,
        );
        #[cfg(not(feature = "deflate"))]
        let stream = WebSocketStream::from_raw(io, Role::Server, &pending.config, &read);
        Poll::Ready(Ok(stream))
    }
}

/// Why a request cannot become a WebSocket.
#[derive(Debug)]
pub struct Rejection(Why);

#[derive(Debug)]
enum Why {
    Request(UpgradeError),
    /// The rule of HTTP/1.1 that what it stands for breaks.
    Http2(UpgradeError),
    #[cfg(feature = "http2")]
    Protocol,
    #[cfg(not(feature = "http2"))]
    NoHttp2,
    NotUpgradable,
}

impl Rejection {
    /// The status to answer with: 400, 405, 426 as [`UpgradeError::status`] says, over HTTP/2 400 or 405; 501 for an extended
    /// CONNECT to another protocol (RFC 9220 §3), and to any without the feature `http2`; 500 if the server does not serve
    /// with upgrades.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match &self.0 {
            Why::Request(error) => status(error.status()),
            Why::Http2(UpgradeError::NotAnUpgrade) => StatusCode::METHOD_NOT_ALLOWED,
            Why::Http2(_) => StatusCode::BAD_REQUEST,
            #[cfg(feature = "http2")]
            Why::Protocol => StatusCode::NOT_IMPLEMENTED,
            #[cfg(not(feature = "http2"))]
            Why::NoHttp2 => StatusCode::NOT_IMPLEMENTED,
            Why::NotUpgradable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The rule that the request breaks, if it is that.
    #[must_use]
    pub const fn upgrade_error(&self) -> Option<UpgradeError> {
        match self.0 {
            Why::Request(error) | Why::Http2(error) => Some(error),
            _ => None,
        }
    }

    /// The response that tells the client, with the headers that go with its status.
    #[must_use]
    pub fn into_response<B: From<String>>(self) -> http::Response<B> {
        match self.0 {
            Why::Request(error) => into_http(&Response::from(&error), false),
            Why::Http2(UpgradeError::Version) => {
                let mut response = self.plain();
                let version = HeaderValue::from_static("13");
                response
                    .headers_mut()
                    .insert(header::SEC_WEBSOCKET_VERSION, version);
                response
            }
            _ => self.plain(),
        }
    }

    fn plain<B: From<String>>(&self) -> http::Response<B> {
        let status = Status(self.status().as_u16());
        let mut response = into_http(&Response::refusal(status, self), true);
        if status == Status::METHOD_NOT_ALLOWED {
            let allow = HeaderValue::from_static("CONNECT");
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Http2(UpgradeError::NotAnUpgrade) => {
                f.write_str("this is a WebSocket endpoint: over HTTP/2, send an extended CONNECT")
            }
            Why::Request(error) | Why::Http2(error) => error.fmt(f),
            #[cfg(feature = "http2")]
            Why::Protocol => f.write_str("the :protocol of this endpoint is websocket"),
            #[cfg(not(feature = "http2"))]
            Why::NoHttp2 => f.write_str("this endpoint speaks WebSocket over HTTP/1.1 alone"),
            Why::NotUpgradable => f.write_str("this server does not hand connections over"),
        }
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Why::Request(error) | Why::Http2(error) => Some(error),
            _ => None,
        }
    }
}
