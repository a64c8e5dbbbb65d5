//! One TLS session, between a connection and whatever socket it has. In: records of the socket; plaintext to
//! send. Out: plaintext that was received; records, as far as the socket takes them.
//!
//! rustls keeps no bytes here (its unbuffered API): records are read into memory that all sessions of a thread
//! share, decrypted from there, and sealed into it. What a session keeps is what is cut: the start of a record,
//! plaintext that its reader had no room for, sealed records that the socket did not take. An idle session has
//! none of these, and no allocation for them.
//!
//! Edge-triggered: a read of the socket can bring more plaintext than the reader has room for, so only
//! [`Received::drained`] says that an edge will come.
//!
//! Never: polls; reads the socket more than once a call; seals more while records wait for the socket.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::sync::Arc;

use fanfare_codec::handshake::{Response, Status};
use rustls::ProtocolVersion;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic};

use super::records::{
    Pending, Reader, Scratch, append, drain, encode, is_alert, keep, with_scratch,
};
use super::wire::Wire;
use crate::limits::{
    TLS_HANDSHAKE_BYTES_MAX, TLS_READ_BYTES_MIN, TLS_RECORD_BYTES_MAX, TLS_SEND_BYTES_MAX,
};
use crate::metrics::{Handshakes, TlsFailure, TlsVersion};
use crate::transport::Received;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has come yet.
    Silent,
    Begun,
    /// No session will come of it, or no more, and the peer was told: what it still sends is thrown away, so that
    /// the word is not lost in a reset. rustls is not called again.
    Refused,
}

/// The server's side of a session.
pub(crate) struct TlsSession {
    connection: UnbufferedServerConnection,
    stage: Stage,
    /// Who is told how the handshake ends, until it has.
    handshakes: Option<Arc<Handshakes>>,
    /// Our close_notify is sealed: nothing can follow it.
    is_closed: bool,
    /// The peer's close_notify, or its FIN, has come.
    has_peer_ended: bool,
    /// Records that rustls is not done with: the start of one, or pieces of a message of the handshake.
    incoming: Vec<u8>,
    plaintext: Pending,
    /// The last read of the socket took all that there was.
    is_drained: bool,
    outgoing: Pending,
}

/// What an idle session pays for beside rustls's state, which is some thousand bytes.
const _: () = assert!(size_of::<TlsSession>() - size_of::<UnbufferedServerConnection>() <= 104);

impl fmt::Debug for TlsSession {
    /// Without keys, and without what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession")
            .field("stage", &self.stage)
            .field("is_handshaking", &self.connection.is_handshaking())
            .finish_non_exhaustive()
    }
}

impl TlsSession {
    pub(super) fn new(connection: UnbufferedServerConnection, handshakes: Arc<Handshakes>) -> Self {
        Self {
            connection,
            stage: Stage::Silent,
            handshakes: Some(handshakes),
            is_closed: false,
            has_peer_ended: false,
            incoming: Vec::new(),
            plaintext: Pending::default(),
            is_drained: false,
            outgoing: Pending::default(),
        }
    }

    /// Whether the socket has all records.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Reads the socket once, unless there is plaintext already. No bytes are the peer's end, with a
    /// close_notify or without: whether it had said all that it wanted is HTTP's and the WebSocket's business.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the socket is empty; `Interrupted` when what came was no plaintext, and there may be
    /// more; else what is wrong with the socket or the peer, which has been told.
    pub(crate) fn receive(&mut self, buf: &mut [u8], wire: &mut impl Wire) -> io::Result<Received> {
        if !self.plaintext.is_empty() {
            let left = self.plaintext.left();
            let len = left.len().min(buf.len());
            buf[..len].copy_from_slice(&left[..len]);
            self.plaintext.advance(len);
            return Ok(Received {
                len,
                drained: self.has_told_all(),
            });
        }
        if self.has_peer_ended {
            return Ok(Received {
                len: 0,
                drained: false,
            });
        }
        with_scratch(|scratch| self.receive_in(&mut scratch.records, buf, wire))
    }

    fn receive_in(
        &mut self,
        records: &mut Vec<u8>,
        buf: &mut [u8],
        wire: &mut impl Wire,
    ) -> io::Result<Received> {
        let held = self.incoming.len();
        let room = TLS_RECORD_BYTES_MAX
            .saturating_sub(held)
            .max(TLS_READ_BYTES_MIN);
        if records.len() < held + room {
            records.resize(held + room, 0);
        }
        let len = wire.recv(&mut records[held..held + room])?;
        if len == 0 {
            self.has_peer_ended = true;
            self.incoming = Vec::new();
            return Ok(Received {
                len: 0,
                drained: false,
            });
        }
        self.is_drained = len < room;
        records[..held].copy_from_slice(&self.incoming);
        let records = &mut records[..held + len];
        match self.stage {
            Stage::Refused => return Err(ErrorKind::Interrupted.into()),
            Stage::Silent if records[0].is_ascii_alphabetic() => {
                self.refuse_plain_http(wire);
                return Err(ErrorKind::Interrupted.into());
            }
            Stage::Silent | Stage::Begun => self.stage = Stage::Begun,
        }
        let mut reader = Reader { buf, filled: 0 };
        let consumed = self.process(records, &mut reader, wire)?;
        if !self.connection.is_handshaking() {
            self.count_session();
        }
        keep(&mut self.incoming, &records[consumed..]);
        if self.incoming.len() > TLS_HANDSHAKE_BYTES_MAX {
            self.count_failure(TlsFailure::Malformed);
            self.stage = Stage::Refused;
            return Err(io::Error::other(
                "TLS: a message of the handshake is too long",
            ));
        }
        self.flush(wire)?;
        match reader.filled {
            0 if self.has_peer_ended => {}
            0 => return Err(ErrorKind::Interrupted.into()),
            _ => {}
        }
        Ok(Received {
            len: reader.filled,
            drained: self.has_told_all(),
        })
    }

    /// Whether only an edge can bring more: the socket had no more, and the reader has it all.
    fn has_told_all(&self) -> bool {
        self.is_drained && self.plaintext.is_empty() && !self.has_peer_ended
    }

    /// Gives rustls `records`; plaintext goes to `reader`, and what is to be said to the outgoing. How many bytes
    /// it is done with.
    fn process(
        &mut self,
        records: &mut [u8],
        reader: &mut Reader<'_>,
        wire: &mut impl Wire,
    ) -> io::Result<usize> {
        let mut consumed = 0;
        loop {
            let UnbufferedStatus { discard, state } = self
                .connection
                .process_tls_records(&mut records[consumed..]);
            let is_through = match state {
                Ok(ConnectionState::ReadTraffic(traffic)) => {
                    consumed += drain(traffic, |plaintext| {
                        reader.take(plaintext, &mut self.plaintext.bytes);
                    })
                    .map_err(|error| broken(&error))?;
                    false
                }
                Ok(ConnectionState::EncodeTlsData(message)) => {
                    encode(message, &mut self.outgoing.bytes);
                    false
                }
                // What is outgoing leaves in its order.
                Ok(ConnectionState::TransmitTlsData(message)) => {
                    message.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.has_peer_ended = true;
                    false
                }
                Ok(_) => true,
                Err(error) => {
                    consumed += discard;
                    return Err(self.fail(&error, &mut records[consumed..], wire));
                }
            };
            consumed += discard;
            if self.has_peer_ended {
                return Ok(records.len()); // nothing behind a close_notify means anything
            }
            if is_through {
                return Ok(consumed);
            }
        }
    }

    /// Tells the peer what is wrong. What is left of a session that had not begun throws away what still comes.
    ///
    /// rustls is not called again behind its alert: it would take the same records for wrong once more, and must
    /// not say so twice.
    fn fail(
        &mut self,
        error: &rustls::Error,
        records: &mut [u8],
        wire: &mut impl Wire,
    ) -> io::Error {
        let mut is_told = false;
        while !is_told
            && let Ok(ConnectionState::EncodeTlsData(message)) =
                self.connection.process_tls_records(records).state
        {
            let before = self.outgoing.bytes.len();
            encode(message, &mut self.outgoing.bytes);
            is_told = is_alert(&self.outgoing.bytes[before..]);
        }
        if !self.connection.is_handshaking() {
            self.count_session();
            let _ = self.flush(wire); // the alert is a courtesy
            self.stage = Stage::Refused;
            return broken(error);
        }
        self.count_failure(failure_of(error));
        tracing::debug!("no TLS session: {error}");
        self.refuse(wire);
        ErrorKind::Interrupted.into()
    }

    fn refuse_plain_http(&mut self, wire: &mut impl Wire) {
        self.count_failure(TlsFailure::PlainHttp);
        tracing::debug!("no TLS session: it begins like plain HTTP");
        let why = "this port speaks TLS alone: the URL is https:// or wss://";
        Response::refusal(Status::BAD_REQUEST, &why).encode(&mut self.outgoing.bytes);
        self.refuse(wire);
    }

    fn refuse(&mut self, wire: &mut impl Wire) {
        self.stage = Stage::Refused;
        self.incoming = Vec::new();
        // What a socket that is full or broken does not take is lost on its peer.
        let _ = self.flush(wire).and_then(|_| wire.finish());
        self.outgoing = Pending::default();
    }

    /// The handshake is through, if that has not been said.
    fn count_session(&mut self) {
        if let Some(handshakes) = self.handshakes.take() {
            handshakes.completes(match self.connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::V12,
                _ => TlsVersion::V13,
            });
        }
    }

    /// It has failed, unless it was through.
    fn count_failure(&mut self, failure: TlsFailure) {
        if let Some(handshakes) = self.handshakes.take() {
            handshakes.fails(failure);
        }
    }

    /// Seals `bytes` as long as the socket takes all of it, and [`TLS_SEND_BYTES_MAX`] more; how much of it that
    /// was. What the socket did not take waits for [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// The socket's; and when there can be no more records.
    pub(crate) fn send(&mut self, bytes: &[u8], wire: &mut impl Wire) -> io::Result<usize> {
        self.flush(wire)?;
        with_scratch(|scratch| self.seal_all(bytes, &mut scratch.sealed, wire))
    }

    /// [`send`](Self::send) of several parts, in their order: short ones share a record.
    pub(crate) fn send_parts(
        &mut self,
        parts: &[IoSlice<'_>],
        wire: &mut impl Wire,
    ) -> io::Result<usize> {
        self.flush(wire)?;
        with_scratch(
            |Scratch {
                 sealed,
                 parts: gathered,
                 ..
             }| {
                let (mut sent, mut next) = (0, 0);
                while next < parts.len() && self.is_flushed() {
                    gathered.clear();
                    while let Some(part) = parts.get(next)
                        && (gathered.is_empty()
                            || gathered.len() + part.len() <= TLS_SEND_BYTES_MAX)
                    {
                        gathered.extend_from_slice(part);
                        next += 1;
                    }
                    let taken = self.seal_all(gathered, sealed, wire)?;
                    sent += taken;
                    if taken < gathered.len() {
                        break;
                    }
                }
                if gathered.capacity() > 2 * TLS_SEND_BYTES_MAX {
                    *gathered = Vec::new(); // one part was long
                }
                Ok(sent)
            },
        )
    }

    fn seal_all(
        &mut self,
        bytes: &[u8],
        sealed: &mut Vec<u8>,
        wire: &mut impl Wire,
    ) -> io::Result<usize> {
        let mut taken = 0;
        for part in bytes.chunks(TLS_SEND_BYTES_MAX) {
            if !self.is_flushed() {
                break;
            }
            // Sealed into the thread's memory; the session keeps what the socket does not take.
            self.outgoing = Pending {
                bytes: mem::take(sealed),
                gone: 0,
            };
            let done = self
                .traffic(|traffic, out| append(out, part.len(), |room| traffic.encrypt(part, room)))
                .and_then(|()| self.flush_to(wire));
            let left = self.outgoing.left().to_vec();
            *sealed = mem::take(&mut self.outgoing.bytes);
            sealed.clear();
            self.outgoing = Pending {
                bytes: left,
                gone: 0,
            };
            done?;
            taken += part.len();
        }
        Ok(taken)
    }

    /// Does `act` once traffic can be sealed, behind what rustls itself has to say.
    ///
    /// # Errors
    ///
    /// `NotConnected` in front of the end of a handshake; and when there can be no more records.
    fn traffic(
        &mut self,
        mut act: impl FnMut(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut Vec<u8>,
        ) -> Result<(), EncryptError>,
    ) -> io::Result<()> {
        let has_traffic = self.stage == Stage::Begun && !self.connection.is_handshaking();
        if self.is_closed || !has_traffic {
            return Err(ErrorKind::NotConnected.into());
        }
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut self.incoming);
            let done = match state.map_err(|error| broken(&error))? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let done = act(&mut traffic, &mut self.outgoing.bytes);
                    Some(done.map_err(|error| broken(&error)))
                }
                ConnectionState::EncodeTlsData(message) => {
                    encode(message, &mut self.outgoing.bytes);
                    None
                }
                ConnectionState::TransmitTlsData(message) => {
                    message.done();
                    None
                }
                // It is not to be: whoever receives leaves no whole record.
                ConnectionState::ReadTraffic(traffic) => {
                    let plaintext = &mut self.plaintext.bytes;
                    drain(traffic, |bytes| plaintext.extend_from_slice(bytes))
                        .map_err(|error| broken(&error))?;
                    None
                }
                ConnectionState::PeerClosed => {
                    self.has_peer_ended = true;
                    None
                }
                _ => Some(Err(ErrorKind::NotConnected.into())),
            };
            if discard > 0 {
                let rest = self.incoming.split_off(discard);
                self.incoming = rest;
            }
            if let Some(done) = done {
                return done;
            }
        }
    }

    /// Sends records that wait; how many bytes of them have left.
    ///
    /// # Errors
    ///
    /// The socket's; that it is full is none.
    pub(crate) fn flush(&mut self, wire: &mut impl Wire) -> io::Result<usize> {
        let before = self.outgoing.left().len();
        if before == 0 {
            return Ok(0);
        }
        self.flush_to(wire)?;
        let left = self.outgoing.left().len();
        self.outgoing.advance(0); // with nothing left it has no memory
        Ok(before - left)
    }

    fn flush_to(&mut self, wire: &mut impl Wire) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match wire.send(self.outgoing.left()) {
                Ok(len) => self.outgoing.gone += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends close_notify, and FIN behind it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when records wait for the socket: to be called again when they have left.
    pub(crate) fn finish(&mut self, wire: &mut impl Wire) -> io::Result<()> {
        if self.stage == Stage::Refused {
            return Ok(()); // it was sent
        }
        if !self.is_closed && !self.connection.is_handshaking() {
            self.traffic(|traffic, out| append(out, 0, |room| traffic.queue_close_notify(room)))?;
            self.is_closed = true;
        }
        self.flush(wire)?;
        if !self.is_flushed() {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.finish()
    }
}

impl Drop for TlsSession {
    fn drop(&mut self) {
        if self.stage == Stage::Begun {
            self.count_failure(TlsFailure::Unfinished);
        }
    }
}

/// Whose fault it is that there is no session.
const fn failure_of(error: &rustls::Error) -> TlsFailure {
    use rustls::Error;
    match error {
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => TlsFailure::Incompatible,
        Error::NoCertificatesPresented | Error::InvalidCertificate(_) => {
            TlsFailure::ClientCertificate
        }
        Error::AlertReceived(_) => TlsFailure::Alert,
        _ => TlsFailure::Malformed,
    }
}

/// A session that cannot go on.
fn broken(error: &dyn fmt::Display) -> io::Error {
    io::Error::other(format!("TLS: {error}"))
}

/// Bytes of memory that a session holds beside rustls's state.
#[cfg(test)]
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) incoming: usize,
    pub(super) plaintext: usize,
    pub(super) outgoing: usize,
}

#[cfg(test)]
impl TlsSession {
    pub(super) fn kept(&self) -> Kept {
        Kept {
            incoming: self.incoming.capacity(),
            plaintext: self.plaintext.bytes.capacity(),
            outgoing: self.outgoing.bytes.capacity(),
        }
    }
}
