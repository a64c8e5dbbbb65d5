//! The access log: a line for each answer to a request, and one for each end of a WebSocket. In: what a connection
//! does. Out: events of the level `info`, if the config wants them.
//!
//! Never: a query, which may hold a token; memory for a connection that is not logged.

use std::net::IpAddr;
use std::time::Duration;

use fanfare_codec::CloseCode;
use fanfare_codec::handshake::Status;

use crate::clock::Time;
use crate::metrics::Initiator;
use crate::peer::Peer;
use crate::slab::ConnId;

/// What is logged of one connection.
#[derive(Debug)]
pub(crate) struct Access {
    peer: Peer,
    /// Whom a proxy has named.
    client: Option<IpAddr>,
    accepted_at: Time,
    method: Box<str>,
    path: Box<str>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    end: Option<(Initiator, CloseCode)>,
}

impl Access {
    pub(crate) fn new(peer: Peer, accepted_at: Time) -> Self {
        Self {
            peer,
            client: None,
            accepted_at,
            method: "-".into(),
            path: "-".into(),
            received_bytes: 0,
            sent_bytes: 0,
            end: None,
        }
    }

    /// A proxy has said whom it is for.
    pub(crate) fn is_for(&mut self, client: IpAddr) {
        self.client = Some(client);
    }

    /// It has sent a request.
    pub(crate) fn request(&mut self, method: &str, path: &str) {
        self.method = method.into();
        self.path = path.into();
    }

    /// It was open, and is not any more: what is said first counts.
    pub(crate) fn end(&mut self, initiator: Initiator, code: CloseCode) {
        self.end.get_or_insert((initiator, code));
    }

    /// Logs the answer to its request.
    pub(crate) fn log_answer(&self, conn: ConnId, status: Status, now: Time) {
        let duration = now.since(self.accepted_at);
        answered(
            &conn,
            Some(&self.peer),
            self.client,
            (&self.method, &self.path),
            status.0,
            duration,
        );
    }

    /// Logs its end, if it was ever open.
    pub(crate) fn log_end(&self, conn: ConnId, now: Time) {
        let Some((initiator, code)) = self.end else {
            return;
        };
        tracing::info!(
            %conn,
            peer = %self.peer,
            client = self.client.map(tracing::field::display),
            path = &*self.path,
            code = code.0,
            initiator = initiator.name(),
            duration_ms = millis(now.since(self.accepted_at)),
            received_bytes = self.received_bytes,
            sent_bytes = self.sent_bytes,
            "closed"
        );
    }
}

/// Logs an answer; `conn`: what other lines call the connection; `client`: whom a proxy has named;
/// `request`: method and path.
pub(crate) fn answered(
    conn: &dyn std::fmt::Display,
    peer: Option<&impl std::fmt::Display>,
    client: Option<IpAddr>,
    request: (&str, &str),
    status: u16,
    duration: Duration,
) {
    let (method, path) = request;
    let client = client.map(tracing::field::display);
    let peer = peer.map(tracing::field::display);
    let duration_ms = millis(duration);
    tracing::info!(%conn, peer, client, method, path, status, duration_ms, "answered");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
