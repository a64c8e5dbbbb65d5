//! TLS: which certificates there are, and what a session does with bytes (RFC 8446, RFC 5246). In: files that
//! an operator names. Out: sessions, each between a connection and its socket.
//!
//! ```text
//! TlsSettings ── load ──▶ Loaded ──▶ Tls ── session ──▶ TlsSession ◀──▶ Wire (a socket)
//!                           ▲         │
//!                           └─ watch ─┘ new files
//! ```
//!
//! Never: polls a socket; changes a session that has begun.

mod load;
mod names;
mod records;
mod session;
#[cfg(test)]
mod tests;
mod watch;
mod wire;

use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::UnbufferedServerConnection;

use crate::metrics::Handshakes;

pub(crate) use load::{CertificateFiles, ClientAuth, Loaded, MinVersion, TlsFile, TlsSettings};
pub(crate) use session::TlsSession;
pub(crate) use watch::watch;
pub(crate) use wire::{Direct, Wire};

/// Where sessions come from, for all threads. New certificates are those of the next session.
#[derive(Clone)]
pub(crate) struct Tls {
    loaded: Arc<ArcSwap<Loaded>>,
    handshakes: Arc<Handshakes>,
}

impl Tls {
    pub(crate) fn new(loaded: Arc<Loaded>) -> Self {
        Self {
            loaded: Arc::new(ArcSwap::new(loaded)),
            handshakes: Arc::default(),
        }
    }

    /// A session in front of its handshake.
    ///
    /// # Errors
    ///
    /// When the settings that were loaded contradict each other.
    pub(crate) fn session(&self) -> io::Result<TlsSession> {
        let config = Arc::clone(&self.loaded.load().server);
        UnbufferedServerConnection::new(config)
            .map(|connection| TlsSession::new(connection, self.handshakes()))
            .map_err(io::Error::other)
    }

    /// Sessions from now on have these certificates.
    pub(crate) fn adopt(&self, loaded: Arc<Loaded>) {
        self.loaded.store(loaded);
    }

    /// How those of all its sessions end.
    pub(crate) fn handshakes(&self) -> Arc<Handshakes> {
        Arc::clone(&self.handshakes)
    }

    fn loaded(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }
}

impl fmt::Debug for Tls {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.loaded()).finish()
    }
}
