//! TLS to a server. In: a socket, whom it must belong to, and how to find out. Out: a session.
//!
//! Never: goes on with a certificate that does not hold.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::ConnectOptions;
use crate::{Error, UrlError};

/// What a session needs before there is a socket.
#[derive(Debug)]
pub(super) struct Terms {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Terms {
    /// With `host`, by the caller's configuration or what the features make.
    pub(super) async fn new(host: &str, options: &ConnectOptions) -> Result<Self, Error> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| UrlError::Host)?;
        let config = match &options.tls {
            Some(config) => Arc::clone(config),
            None => config().await?,
        };
        Ok(Self { config, name })
    }

    /// A session over `socket` with whoever can prove to have the name.
    pub(super) async fn secure(self, socket: TcpStream) -> Result<TlsStream<TcpStream>, Error> {
        let session = TlsConnector::from(self.config).connect(self.name, socket);
        session.await.map_err(|error| match error.kind() {
            // Not of a WebSocket that was there: of a server that went away.
            io::ErrorKind::UnexpectedEof => Error::Io(error),
            _ => error.into(),
        })
    }
}

#[cfg(any(feature = "rustls-webpki-roots", feature = "rustls-native-roots"))]
use super::roots::config;

#[cfg(not(any(feature = "rustls-webpki-roots", feature = "rustls-native-roots")))]
#[expect(clippy::unused_async, reason = "features load something here")]
async fn config() -> Result<Arc<ClientConfig>, Error> {
    Err(Error::NoTls)
}
