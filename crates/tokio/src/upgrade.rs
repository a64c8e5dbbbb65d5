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
    /// The 101, or the 200 of HTTP/2.
    response: Response,
    protocols: Vec<String>,
    #[cfg(feature = "deflate")]
    extensions: Vec<HeaderValue>,
    on_upgrade: OnUpgrade,
}

impl Upgrade {
    /// Takes the upgrade out of a request.
    ///
    /// # Errors
    ///
    /// A [`Rejection`], whose response says what is wrong with the request.
    pub fn from_request<B>(request: &mut http::Request<B>) -> Result<Self, Rejection> {
        let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let head = Head {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        };
        Self::new(head, on_upgrade)
    }

    /// Takes the upgrade out of the parts of a request.
    ///
    /// # Errors
    ///
    /// As [`from_request`](Self::from_request).
    pub fn from_request_parts(parts: &mut request::Parts) -> Result<Self, Rejection> {
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        let head = Head {
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            extensions: &parts.extensions,
        };
        Self::new(head, on_upgrade)
    }

    fn new(head: Head<'_>, on_upgrade: Option<OnUpgrade>) -> Result<Self, Rejection> {
        let is_http2 = head.version > http::Version::HTTP_11;
        if is_http2 && !head.connects_to_websocket() {
            return Err(Rejection(Why::Version));
        }
        let target = head.uri.to_string();
        let host = head
            .uri
            .authority()
            .map_or("", http::uri::Authority::as_str);
        let pairs = head.headers.iter();
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let stands_for = [
            ("Host", host.as_bytes()),
            ("Upgrade", b"websocket"),
            ("Connection", b"Upgrade"),
            ("Sec-WebSocket-Key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
        ];
        let request = if is_http2 {
            let headers = Headers::new(pairs.filter(|(name, _)| *name != "host").chain(stands_for));
            Request::new("GET", &target, 1, headers)
        } else {
            let minor_version = u8::from(head.version == http::Version::HTTP_11);
            let headers = Headers::new(pairs);
            Request::new(head.method.as_str(), &target, minor_version, headers)
        };
        let upgrade = request.upgrade().map_err(|e| Rejection(Why::Request(e)))?;
        let on_upgrade = on_upgrade.ok_or(Rejection(Why::NotUpgradable))?;
        #[cfg(feature = "deflate")]
        let extensions = head.headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
        Ok(Self {
            response: match is_http2 {
                true => Response::new(Status::OK),
                false => Response::switching_protocols(&upgrade),
            },
            protocols: upgrade.protocols().map(str::to_owned).collect(),
            #[cfg(feature = "deflate")]
            extensions: extensions.iter().cloned().collect(),
            on_upgrade,
        })
    }

    /// The subprotocols that the client offers, the one it likes best first.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().map(String::as_str)
    }

    /// Accepts with this subprotocol, which the client must have offered.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when it is not a token.
    pub fn with_protocol(mut self, protocol: &str) -> Result<Self, InvalidHeader> {
        self.response = self.response.subprotocol(protocol)?;
        Ok(self)
    }

    /// The response that accepts, which may be given more headers, and the connection, which is there once the response has
    /// left. permessage-deflate is agreed on as `config` says; a malformed offer of it makes the response a 400, and the
    /// connection [`Error::Extensions`].
    ///
    /// `B`: `Full<Bytes>`, axum's `Body`, `String`.
    pub fn accept<B: From<String>>(self, config: &Config) -> (http::Response<B>, Upgraded) {
        let accepted = |response: &Response, upgraded| {
            let upgraded = Upgraded(upgraded);
            (into_http(response), upgraded)
        };
        let pending = |on_upgrade| Pending {
            on_upgrade,
            config: *config,
            #[cfg(feature = "deflate")]
            deflate: None,
        };
        #[cfg(feature = "deflate")]
        if let Some(policy) = config.deflate_policy {
            let name = header::SEC_WEBSOCKET_EXTENSIONS;
            let pairs = self.extensions.iter();
            let offers = Headers::new(pairs.map(|value| (name.as_str(), value.as_bytes())));
            return match policy.answer(&offers) {
                Ok(None) => accepted(&self.response, Ok(pending(self.on_upgrade))),
                Ok(Some(answer)) => {
                    let mut pending = pending(self.on_upgrade);
                    pending.deflate = Some(answer.terms());
                    accepted(&self.response.deflate(&answer), Ok(pending))
                }
                Err(error) => accepted(&Response::from(&error), Err(Some(Error::Extensions))),
            };
        }
        accepted(&self.response, Ok(pending(self.on_upgrade)))
    }
}

/// What a request is judged by.
struct Head<'a> {
    method: &'a http::Method,
    uri: &'a http::Uri,
    version: http::Version,
    headers: &'a http::HeaderMap,
    extensions: &'a http::Extensions,
}

impl Head<'_> {
    /// Whether it is the extended CONNECT of RFC 8441 §4.
    fn connects_to_websocket(&self) -> bool {
        #[cfg(feature = "http2")]
        if let Some(protocol) = self.extensions.get::<hyper::ext::Protocol>() {
            return self.method == http::Method::CONNECT && protocol.as_str() == "websocket";
        }
        let _ = self.extensions;
        false
    }
}

fn into_http<B: From<String>>(response: &Response) -> http::Response<B> {
    let body = String::from_utf8_lossy(response.content()).into_owned();
    let mut into = http::Response::new(B::from(body));
    *into.status_mut() = StatusCode::from_u16(response.status().0).unwrap_or_default();
    let is_ok = response.status() == Status::OK;
    for (name, value) in response.headers() {
        if is_ok && name == "Connection" {
            continue; // HTTP/2 has none (RFC 9113 §8.2.2)
        }
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            into.headers_mut().append(name, value);
        }
    }
    into
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
    Version,
    NotUpgradable,
}

impl Rejection {
    /// The response that tells the client: 400, 405, 426 as [`UpgradeError::status`] says; 505 for what is
    /// no WebSocket over HTTP/2, and without the feature `http2`; 500 if the server
    /// does not serve with upgrades.
    #[must_use]
    pub fn into_response<B: From<String>>(self) -> http::Response<B> {
        let status = match self.0 {
            Why::Request(error) => return into_http(&Response::from(&error)),
            Why::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Why::NotUpgradable => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = http::Response::new(B::from(format!("{self}\n")));
        *response.status_mut() = status;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Request(error) => error.fmt(f),
            Why::Version => f.write_str("over HTTP/2 a WebSocket is a CONNECT with :protocol"),
            Why::NotUpgradable => f.write_str("this server does not hand connections over"),
        }
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Why::Request(error) => Some(error),
            Why::Version | Why::NotUpgradable => None,
        }
    }
}
