//! TLS over a socket (RFC 8446). In: plaintext to send. Out: plaintext received; the time when the
//! handshake was over.
//!
//! Edge-triggered: one record can hold more than the caller takes at once, and the last read of the
//! socket can bring more than one record, so a short receive does not mean that the socket is empty;
//! [`is_drained`](TlsStream::is_drained) tells whether it is.
//!
//! Never: decides whom to trust.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags};
use rustls::ClientConnection;

use crate::clock::{Clock, Nanos};

/// Plaintext that is made into records at once: what a full socket leaves behind here is no more.
const SEND_BYTES: usize = 64 << 10;

/// A TLS client on a socket that connects or is connected.
#[derive(Debug)]
pub(super) struct TlsStream {
    socket: OwnedFd,
    session: ClientConnection,
    /// The last read of the socket took all there was.
    is_drained: bool,
    secured: Option<Nanos>,
    clock: Clock,
}

impl TlsStream {
    pub(super) fn new(socket: OwnedFd, mut session: ClientConnection, clock: Clock) -> Self {
        session.set_buffer_limit(None); // `send` limits what waits
        Self {
            socket,
            session,
            is_drained: false,
            secured: None,
            clock,
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// When the handshake was over.
    pub(super) const fn secured(&self) -> Option<Nanos> {
        self.secured
    }

    /// Whether the socket is empty, once a receive has filled no more than a part of its buffer.
    pub(super) const fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Reads until there is plaintext; 0 is the end, with or without a close_notify: whether the
    /// peer had said all it wanted is the WebSocket's own business.
    ///
    /// # Errors
    ///
    /// WouldBlock when there is nothing more for now; else what the peer, or its certificate, did.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.read_socket()?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                received => return received,
            }
        }
    }

    fn read_socket(&mut self) -> io::Result<()> {
        let mut socket = Socket {
            socket: self.socket.as_fd(),
            is_drained: false,
        };
        self.session.read_tls(&mut socket)?;
        self.is_drained = socket.is_drained;
        if let Err(error) = self.session.process_new_packets() {
            // The alert that tells the peer is a courtesy: the connection is over without it, too.
            let _ = self.flush();
            return Err(io::Error::other(format!("TLS: {error}")));
        }
        if self.secured.is_none() && !self.session.is_handshaking() {
            self.secured = Some(self.clock.now());
        }
        self.flush()
    }

    /// Takes as much of `bytes` as the socket does, and up to [`SEND_BYTES`] more, which are
    /// [flushed](Self::flush) when it has room; tells how much that was. What is sent before the
    /// handshake is over goes out right after it.
    ///
    /// # Errors
    ///
    /// When the stream is broken.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        for part in bytes.chunks(SEND_BYTES) {
            // The socket is full: an event comes when it is not.
            if self.session.wants_write() {
                self.flush()?;
                if self.session.wants_write() {
                    break;
                }
            }
            self.session.writer().write_all(part)?;
            self.flush()?;
            taken += part.len();
        }
        Ok(taken)
    }

    /// Writes records to the socket until there is none left or the socket is full.
    ///
    /// # Errors
    ///
    /// When the socket is broken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut socket = Socket {
            socket: self.socket.as_fd(),
            is_drained: false,
        };
        while self.session.wants_write() {
            match self.session.write_tls(&mut socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells the peer that nothing more will come, if the socket has room for it.
    pub(super) fn finish(&mut self) {
        self.session.send_close_notify();
        let _ = self.flush();
    }
}

/// A socket as rustls reads and writes it.
struct Socket<'s> {
    socket: BorrowedFd<'s>,
    is_drained: bool,
}

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        let (received, _) = net::recv(self.socket, buffer, RecvFlags::empty())?;
        self.is_drained = received < room;
        Ok(received)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(net::send(self.socket, bytes, SendFlags::NOSIGNAL)?)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut nothing = SendAncillaryBuffer::default();
        Ok(net::sendmsg(
            self.socket,
            parts,
            &mut nothing,
            SendFlags::NOSIGNAL,
        )?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
