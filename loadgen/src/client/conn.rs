//! One connection, from its socket's first event to its end (RFC 6455 §4.1, §5, §7). In: readiness.
//! Out: pieces of messages to the handler, frames to the socket; a [`Fault`] when it is over.
//!
//! Edge-triggered: reading stops at WouldBlock, at a short read unless the peer has closed, or at
//! the budget, and then the connection is put on the ready list.
//!
//! Never: reads a clock more than once a receive, allocates while its frames arrive whole.

use std::io::{self, ErrorKind};
use std::time::Duration;

use fanfare_codec::handshake::{ClientHandshake, HeadLimits, ResponseDecoder};
use fanfare_codec::{CloseCode, CloseFrame};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags};

use super::connect::{Target, connect_fault};
use super::inbound::Inbound;
use super::{Handler, Outbox};
use crate::clock::{Clock, Nanos};
use crate::fault::{Fault, FaultClass};

/// Receives from one connection before the others get their turn.
const RECEIVES_MAX: usize = 16;

/// What all connections of a thread share.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) clock: Clock,
    pub(super) buffer: Box<[u8]>,
    pub(super) out: Outbox,
    /// Connections that stopped at their budget.
    pub(super) ready: Vec<usize>,
    /// When the first receive of this turn was.
    pub(super) first_receive: Option<Nanos>,
}

/// One connection.
///
/// Between two of its messages the kernel and other connections have had the cache: aligned, it is
/// two lines to fetch and not three.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Connection {
    stream: TcpStream,
    phase: Phase,
    /// Received and not used: a cut response head, frame header or control frame.
    unread: Vec<u8>,
    /// What the socket did not take yet, from `unsent_at` on.
    unsent: Vec<u8>,
    unsent_at: usize,
}

const _: () = assert!(size_of::<Option<Connection>>() <= 128);

#[derive(Debug)]
enum Phase {
    Connecting(Box<Upgrade>),
    Upgrading(Box<Upgrade>),
    Open(Inbound),
}

#[derive(Debug)]
struct Upgrade {
    handshake: ClientHandshake,
    decoder: ResponseDecoder,
    started: Nanos,
}

impl Connection {
    /// A socket on its way to `target`.
    pub(super) fn start(
        target: &Target,
        random: &mut fastrand::Rng,
        now: Nanos,
    ) -> Result<Self, Fault> {
        Ok(Self {
            stream: target.connect()?,
            phase: Phase::Connecting(Box::new(Upgrade {
                handshake: target.handshake(random)?,
                decoder: ResponseDecoder::new(HeadLimits::default()),
                started: now,
            })),
            unread: Vec::new(),
            unsent: Vec::new(),
            unsent_at: 0,
        })
    }

    pub(super) fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> Result<(), Fault> {
        registry
            .register(&mut self.stream, token, interest)
            .map_err(|error| connect_fault(&error))
    }

    /// Whether messages may be sent.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// The fault of one that has been opening for `timeout`.
    pub(super) fn overdue(&self, now: Nanos, timeout: Duration) -> Option<Fault> {
        let (upgrade, class) = match &self.phase {
            Phase::Connecting(upgrade) => (upgrade, FaultClass::Connect),
            Phase::Upgrading(upgrade) => (upgrade, FaultClass::Handshake),
            Phase::Open(_) => return None,
        };
        let waited = now.duration_since(upgrade.started);
        (waited >= timeout).then(|| Fault::new(class, format_args!("no answer in {timeout:?}")))
    }

    /// Serves readiness of any kind.
    #[inline]
    pub(super) fn serve(
        &mut self,
        id: usize,
        closing: bool,
        io: &mut Io,
        handler: &mut impl Handler,
    ) -> Result<(), Fault> {
        if let Phase::Connecting(_) = self.phase
            && !self.finish_connecting()?
        {
            return Ok(());
        }
        if !self.unsent.is_empty() {
            self.send_unsent()?;
        }
        self.receive(id, closing, io, handler)
    }

    /// Whether the socket is connected; then the request is on its way.
    #[cold]
    fn finish_connecting(&mut self) -> Result<bool, Fault> {
        if let Some(error) = self.stream.take_error().unwrap_or_else(Some) {
            return Err(connect_fault(&error));
        }
        match self.stream.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(connect_fault(&error)),
        }
        // Without it a small message could wait for the acknowledgement of the one before.
        self.stream
            .set_nodelay(true)
            .map_err(|error| connect_fault(&error))?;
        let idle = Phase::Open(Inbound::new());
        if let Phase::Connecting(upgrade) = std::mem::replace(&mut self.phase, idle) {
            upgrade.handshake.encode(&mut self.unsent);
            self.phase = Phase::Upgrading(upgrade);
        }
        self.send_unsent()?;
        Ok(true)
    }

    /// Reads until the edge is used up, and answers each receive with at most one send.
    #[inline]
    fn receive(
        &mut self,
        id: usize,
        closing: bool,
        io: &mut Io,
        handler: &mut impl Handler,
    ) -> Result<(), Fault> {
        for _ in 0..RECEIVES_MAX {
            let kept = self.unread.len();
            let received = match read(&self.stream, &mut io.buffer[kept..]) {
                Ok(0) => return Err(self.ended("the server closed without a close frame")),
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.ended(error)),
            };
            let now = io.clock.now();
            io.first_receive.get_or_insert(now);
            let end = kept + received;
            let was_full = end == io.buffer.len();
            if kept > 0 {
                io.buffer[..kept].copy_from_slice(&self.unread);
                self.unread.clear();
            }
            let used = self.take(id, now, &mut io.buffer[..end], &mut io.out, handler)?;
            if used < end {
                self.unread.extend_from_slice(&io.buffer[used..end]);
            }
            if self.is_open() {
                handler.refill(id, now, &mut io.out);
            }
            self.send(&mut io.out)?;
            if !was_full && !closing {
                return Ok(());
            }
        }
        io.ready.push(id);
        Ok(())
    }

    /// Takes what can be taken of `bytes` and tells how many those were.
    #[inline]
    fn take(
        &mut self,
        id: usize,
        now: Nanos,
        bytes: &mut [u8],
        out: &mut Outbox,
        handler: &mut impl Handler,
    ) -> Result<usize, Fault> {
        let mut head_len = 0;
        if let Phase::Upgrading(upgrade) = &mut self.phase {
            match upgrade.finish(bytes)? {
                None => return Ok(0),
                Some(len) => head_len = len,
            }
            self.phase = Phase::Open(Inbound::new());
            handler.opened(id);
        }
        let Phase::Open(inbound) = &mut self.phase else {
            return Ok(0);
        };
        let left = inbound.take(id, now, &mut bytes[head_len..], out, handler);
        let total = bytes.len();
        match left {
            Ok(left) => Ok(total - left),
            Err(fault) => {
                // The goodbye is a courtesy: the connection is over whether or not it arrives.
                let _ = self.send(out);
                out.clear();
                Err(fault)
            }
        }
    }

    /// Sends all of `out`, now or when the socket has room.
    #[inline]
    pub(super) fn send(&mut self, out: &mut Outbox) -> Result<(), Fault> {
        let bytes = out.bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        let sent = if self.unsent.is_empty() {
            match write_some(&self.stream, bytes) {
                Ok(sent) => sent,
                Err(error) => {
                    out.clear();
                    return Err(self.ended(error));
                }
            }
        } else {
            0
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
        out.clear();
        Ok(())
    }

    #[cold]
    fn send_unsent(&mut self) -> Result<(), Fault> {
        match write_some(&self.stream, &self.unsent[self.unsent_at..]) {
            Ok(sent) => self.unsent_at += sent,
            Err(error) => return Err(self.ended(error)),
        }
        if self.unsent_at == self.unsent.len() {
            (self.unsent, self.unsent_at) = (Vec::new(), 0);
        }
        Ok(())
    }

    /// The fault of a connection that the peer or the network ended.
    #[cold]
    fn ended(&self, why: impl std::fmt::Display) -> Fault {
        match self.phase {
            Phase::Connecting(_) => Fault::new(FaultClass::Connect, why),
            Phase::Upgrading(_) => Fault::new(FaultClass::Handshake, why),
            Phase::Open(_) => Fault::new(FaultClass::Closed, why),
        }
    }

    /// Says goodbye if it can, and ends.
    pub(super) fn close(mut self, out: &mut Outbox) {
        if self.is_open() && self.unsent.is_empty() {
            out.close(CloseFrame::new(CloseCode::NORMAL, "").ok());
            let _ = self.send(out);
            out.clear();
        }
    }
}

/// Reads once. Straight from the kernel: in a process of several threads libc's `recv` and `send`
/// first make each call a point where the thread could be cancelled, which nobody needs here.
#[inline]
fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (received, _) = net::recv(stream, buffer, RecvFlags::empty())?;
    Ok(received)
}

/// Writes until the socket takes no more, and tells how much that was.
#[inline]
fn write_some(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match net::send(stream, &bytes[sent..], SendFlags::NOSIGNAL) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => sent += written,
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sent)
}

impl Upgrade {
    /// The length of the response head once it is whole and accepts the upgrade.
    #[cold]
    fn finish(&mut self, received: &[u8]) -> Result<Option<usize>, Fault> {
        let fault = |error: &dyn std::fmt::Display| Fault::new(FaultClass::Handshake, error);
        let Some(head) = self.decoder.decode(received).map_err(|e| fault(&e))? else {
            return Ok(None);
        };
        self.handshake.verify(&head).map_err(|e| fault(&e))?;
        Ok(Some(head.head_len()))
    }
}
