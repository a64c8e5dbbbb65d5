//! From a URL to a connection. In: what to ask for, and how to get there: directly or through a proxy, in the clear or
//! with TLS. Out: a connection, and what the server has answered.
//!
//! Never: follows a redirect; reads the environment unasked; waits longer than it may.

mod dial;
mod maybe_tls;
mod proxy;
#[cfg(any(feature = "rustls-webpki-roots", feature = "rustls-native-roots"))]
mod roots;
#[cfg(feature = "rustls")]
mod tls;

use std::net::SocketAddr;
#[cfg(feature = "rustls")]
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
#[cfg(feature = "rustls")]
use tokio_rustls::rustls::ClientConfig;

pub use maybe_tls::MaybeTlsStream;
pub use proxy::{Proxy, ProxyError};

use crate::{Answer, ClientRequest, Config, Error, WebSocketStream, client};

/// How to get to a server.
///
/// Its times, and those of [`Config`], need a runtime with a clock; without one, set them to `None`.
///
/// ```
/// use std::time::Duration;
///
/// use fanfare_tokio::{Config, ConnectOptions, Proxy};
///
/// let options = ConnectOptions::default()
///     .with_config(Config::default().with_ping_interval(Some(Duration::from_secs(25))))
///     .with_connect_timeout(Some(Duration::from_secs(3)))
///     .with_proxy(Some(Proxy::new("http://proxy.example:3128")?));
/// # Ok::<(), fanfare_tokio::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// What the connection may take, and how long the HTTP upgrade.
    pub config: Config,
    /// How long it may take to get to the server: its name, TCP, a proxy's answer and TLS together; 10 s. The upgrade
    /// has a time of its own, [`handshake_timeout`](Config::handshake_timeout).
    pub connect_timeout: Option<Duration>,
    /// After how long without an answer the host's next address is tried, too (RFC 8305 §5); 250 ms. `None`: when the
    /// one before it has failed.
    pub attempt_delay: Option<Duration>,
    /// Where to connect to instead of what the host's name resolves to (the proxy's, if there is one); empty: resolve it.
    /// The name stays what it is, in the request and in TLS.
    pub addresses: Vec<SocketAddr>,
    /// Through which proxy; `None`: directly.
    pub proxy: Option<Proxy>,
    /// How `wss://` is spoken: whom to trust, with which cryptography, who we are. It is taken as it is: ALPN should name
    /// `http/1.1` or nothing. `None`: as the features say.
    #[cfg(feature = "rustls")]
    pub tls: Option<Arc<ClientConfig>>,
}

impl ConnectOptions {
    /// With another [`config`](Self::config).
    #[must_use]
    pub const fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// With another [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// With another [`attempt_delay`](Self::attempt_delay).
    #[must_use]
    pub const fn with_attempt_delay(mut self, delay: Option<Duration>) -> Self {
        self.attempt_delay = delay;
        self
    }

    /// With these [`addresses`](Self::addresses).
    #[must_use]
    pub fn with_addresses(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.addresses = addresses.into_iter().collect();
        self
    }

    /// With another [`proxy`](Self::proxy).
    #[must_use]
    pub fn with_proxy(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    /// With another [`tls`](Self::tls) configuration.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use fanfare_tokio::ConnectOptions;
    /// use fanfare_tokio::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
    ///
    /// let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
    ///     .with_safe_default_protocol_versions()?
    ///     .with_root_certificates(RootCertStore::empty()) // yours: your own authority, say
    ///     .with_no_client_auth();
    /// config.alpn_protocols = vec![b"http/1.1".to_vec()];
    /// let options = ConnectOptions::default().with_tls(Some(Arc::new(config)));
    /// # Ok::<(), fanfare_tokio::rustls::Error>(())
    /// ```
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<ClientConfig>>) -> Self {
        self.tls = tls;
        self
    }
}

impl Default for ConnectOptions {
    /// [`Config::DEFAULT`], 10 s to connect, 250 ms between addresses, no proxy.
    fn default() -> Self {
        Self {
            config: Config::DEFAULT,
            connect_timeout: Some(Duration::from_secs(10)),
            attempt_delay: Some(Duration::from_millis(250)),
            addresses: Vec::new(),
            proxy: None,
            #[cfg(feature = "rustls")]
            tls: None,
        }
    }
}

/// Connects to a `ws://` or `wss://` URL, or with a [`ClientRequest`].
///
/// ```
/// use fanfare_tokio::{Message, connect};
/// # use fanfare_tokio::{Config, accept};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let url = format!("ws://localhost:{}/", listener.local_addr()?.port());
/// # tokio::spawn(async move {
/// #     let (socket, _) = listener.accept().await.expect("a client");
/// #     let mut ws = accept(socket, &Config::DEFAULT).await.expect("a request");
/// #     while let Some(Ok(message)) = ws.recv().await {
/// #         let _ = ws.send(message).await;
/// #     }
/// # });
/// let (mut ws, answer) = connect(url).await?; // "wss://example.org/chat"
/// ws.send_text("hello").await?;
/// assert_eq!(ws.recv().await.transpose()?, Some(Message::text("hello")));
/// # drop(answer);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`connect_with`].
pub async fn connect<R>(
    request: R,
) -> Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, Answer), Error>
where
    R: TryInto<ClientRequest>,
    Error: From<R::Error>,
{
    connect_with(request, &ConnectOptions::default()).await
}

/// Connects as `options` say.
///
/// All addresses of the host are tried, in turns of IPv6 and IPv4, the next when one has failed or not answered for
/// [`attempt_delay`](ConnectOptions::attempt_delay); the first that answers is taken, with `TCP_NODELAY` set.
///
/// ```no_run
/// use fanfare_tokio::{ClientRequest, ConnectOptions, Proxy, connect_with};
///
/// # async fn run() -> Result<(), fanfare_tokio::Error> {
/// let request = ClientRequest::new("wss://example.org/chat")?
///     .subprotocol("chat.v2")?
///     .header("Authorization", "Bearer 123")?;
/// let proxy = Proxy::from_env(&request)?; // HTTPS_PROXY and its kin, if you want that
/// let options = ConnectOptions::default().with_proxy(proxy);
/// let (ws, answer) = connect_with(request, &options).await?;
/// println!("{:?} from {:?}", answer.protocol, ws.io().io().peer_addr());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Url`]; [`Error::NoTls`] for `wss://` without a feature for it; on the way there [`Error::Resolve`],
/// [`Error::Io`], [`Error::Proxy`], `Error::Tls` (`Error::Roots` if the system's certificates cannot be read) and
/// [`Error::ConnectTimeout`]; then those of [`client`], of which [`Error::Upgrade`] has what the server said instead.
pub async fn connect_with<R>(
    request: R,
    options: &ConnectOptions,
) -> Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, Answer), Error>
where
    R: TryInto<ClientRequest>,
    Error: From<R::Error>,
{
    let request = request.try_into()?;
    let reached = match options.connect_timeout {
        None => reach(&request, options).await,
        Some(timeout) => tokio::time::timeout(timeout, reach(&request, options))
            .await
            .unwrap_or(Err(Error::ConnectTimeout)),
    };
    client(reached?, request, &options.config).await
}

/// A transport to the server.
async fn reach(
    request: &ClientRequest,
    options: &ConnectOptions,
) -> Result<MaybeTlsStream<TcpStream>, Error> {
    #[cfg(not(feature = "rustls"))]
    if request.is_secure() {
        return Err(Error::NoTls);
    }
    // Before anybody is called: they may be missing.
    #[cfg(feature = "rustls")]
    let terms = match request.is_secure() {
        true => Some(tls::Terms::new(request.host(), options).await?),
        false => None,
    };
    let socket = match &options.proxy {
        None => dial::dial(request.host(), request.port(), options).await?,
        Some(proxy) => proxy.tunnel(request, options).await?,
    };
    #[cfg(feature = "rustls")]
    if let Some(terms) = terms {
        let stream = terms.secure(socket).await?;
        return Ok(MaybeTlsStream::Rustls(Box::new(stream)));
    }
    Ok(MaybeTlsStream::Plain(socket))
}
