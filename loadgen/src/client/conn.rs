//! One connection, from its socket's first event to its end (RFC 6455 §4.1, §5, §7). In: readiness.
//! Out: pieces of messages to the handler, frames to the socket; an [`End`] when it is over.
//!
//! Edge-triggered: reading stops at WouldBlock, at a short read unless the peer has closed, at the
//! allowance or at the budget; in the last case the connection is put on the ready list, in the one
//! before whoever raises the allowance does that.
//!
//! Never: reads a clock more than once a receive, allocates while its frames arrive whole.

use std::io::ErrorKind;
use std::time::Duration;

use fanfare_codec::deflate::{DeflateTerms, FreshWindow};
use fanfare_codec::handshake::{ClientHandshake, HeadLimits, ResponseDecoder};
use rustix::io::Errno;
use rustix::net::{getpeername, sockopt::socket_error};

use super::deflate::Savings;
use super::dial::connect_fault;
use super::inbound::{Goodbye, Inbound};
use super::transport::Transport;
use super::{Handler, Opening, Outbox};
use crate::clock::{Clock, Nanos};
use crate::fault::{Fault, FaultClass};

/// Receives from one connection before the others get their turn.
const RECEIVES_MAX: usize = 16;

/// Bytes that wait for the socket when the handler is not asked for more: what a server does not take
/// stays small here, and the messages that are due wait with the scenario.
const UNSENT_BYTES_MAX: usize = 1 << 20;

/// An allowance that is never used up.
const UNLIMITED: usize = usize::MAX;

/// What all connections of a thread share.
pub(super) struct Io {
    pub(super) clock: Clock,
    pub(super) buffer: Box<[u8]>,
    pub(super) out: Outbox,
    /// Connections to be served without an event: they stopped at their budget, or may read again.
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
    transport: Transport,
    phase: Phase,
    /// Of its socket, among those of its number.
    generation: u32,
    /// Bytes that may be received.
    allowance: usize,
    /// Received and not used: a cut response head, frame header or control frame.
    unread: Vec<u8>,
    unsent: Option<Box<Unsent>>,
}

const _: () = assert!(size_of::<Option<Connection>>() <= 128);

/// What the stream did not take yet, from `at` on.
#[derive(Debug)]
struct Unsent {
    bytes: Vec<u8>,
    at: usize,
}

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
    connected: Nanos,
}

/// Why a connection is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// Its socket can be read or written.
    Ready,
    /// The same, and the peer has ended the stream: data and the end may share one edge, so reading
    /// goes on until the kernel says that there is nothing more.
    Ending,
    /// It was stopped before: no edge will come for what is there already, so the same holds.
    Resumed,
}

/// How a connection ends by itself.
#[derive(Debug)]
pub(super) enum End {
    /// As the caller wanted.
    Closed(Nanos),
    /// Otherwise.
    Lost(Fault),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Lost(fault)
    }
}

impl Connection {
    /// One that connects, `transport`, and will then ask for the upgrade.
    pub(super) fn new(
        transport: Transport,
        handshake: ClientHandshake,
        generation: u32,
        started: Nanos,
    ) -> Self {
        Self {
            transport,
            phase: Phase::Connecting(Box::new(Upgrade {
                handshake,
                decoder: ResponseDecoder::new(HeadLimits::default()),
                started,
                connected: started,
            })),
            generation,
            allowance: UNLIMITED,
            unread: Vec::new(),
            unsent: None,
        }
    }

    #[inline]
    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether the upgrade has succeeded.
    #[inline]
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether the stream has not taken all that it was given.
    pub(super) const fn is_backed_up(&self) -> bool {
        self.unsent.is_some()
    }

    /// Whether messages may be sent.
    #[inline]
    pub(super) fn may_send(&self) -> bool {
        matches!(&self.phase, Phase::Open(inbound) if inbound.goodbye() == Goodbye::Unsaid)
    }

    /// Whether the handler is to be asked for messages.
    #[inline]
    pub(super) fn takes_more(&self) -> bool {
        let waits = |unsent: &Unsent| unsent.bytes.len() - unsent.at;
        self.may_send()
            && self
                .unsent
                .as_deref()
                .is_none_or(|unsent| waits(unsent) <= UNSENT_BYTES_MAX)
    }

    /// How one ends that has been opening for `timeout`.
    pub(super) fn overdue_opening(&self, timeout: Duration) -> Option<End> {
        let class = match &self.phase {
            Phase::Connecting(_) => FaultClass::Connect,
            Phase::Upgrading(_) => FaultClass::Handshake,
            Phase::Open(_) => return None,
        };
        Some(Fault::new(class, format_args!("no answer in {timeout:?}")).into())
    }

    /// How one ends whose closing handshake has lasted for `timeout`.
    pub(super) fn overdue_closing(&self, now: Nanos, timeout: Duration) -> Option<End> {
        match self.goodbye() {
            Goodbye::Unsaid => None,
            Goodbye::Said => {
                let why = format_args!("no answer to the close frame in {timeout:?}");
                Some(Fault::new(FaultClass::Timeout, why).into())
            }
            // A server should close the socket first (§7.1.1), but all has been said.
            Goodbye::Answered => Some(End::Closed(now)),
        }
    }

    const fn goodbye(&self) -> Goodbye {
        match &self.phase {
            Phase::Open(inbound) => inbound.goodbye(),
            _ => Goodbye::Unsaid,
        }
    }

    /// Whether its allowance is used up: then no event will come for what is there already, and
    /// whoever raises the allowance has it served.
    pub(super) const fn is_held_back(&self) -> bool {
        self.allowance == 0
    }

    /// Sets how many bytes may be received.
    pub(super) const fn allow(&mut self, bytes: usize) {
        self.allowance = bytes;
    }

    /// Reads and writes what there is to read and write.
    #[inline]
    pub(super) fn serve(
        &mut self,
        id: usize,
        wake: Wake,
        io: &mut Io,
        handler: &mut impl Handler,
    ) -> Result<(), End> {
        if let Phase::Connecting(_) = self.phase
            && !self.finish_connecting(id, io, handler)?
        {
            return Ok(());
        }
        self.transport.flush().map_err(|error| self.fault(error))?;
        if self.unsent.is_some() {
            self.catch_up(id, io, handler)?;
        }
        self.receive(id, wake, io, handler)
    }

    /// Sends what waits, and then what had to wait with the handler.
    #[cold]
    fn catch_up(
        &mut self,
        id: usize,
        io: &mut Io,
        handler: &mut impl Handler,
    ) -> Result<(), Fault> {
        let was_held_back = !self.takes_more();
        self.send_unsent()?;
        if was_held_back && self.takes_more() {
            let now = io.clock.now();
            self.refill(id, now, &mut io.out, handler)?;
        }
        Ok(())
    }

    /// Whether the socket is connected; then the request is on its way.
    #[cold]
    fn finish_connecting(
        &mut self,
        id: usize,
        io: &Io,
        handler: &mut impl Handler,
    ) -> Result<bool, Fault> {
        let socket = self.transport.socket();
        let failed = |error: Errno| connect_fault(&error.into());
        socket_error(socket).and_then(|e| e).map_err(failed)?;
        match getpeername(socket) {
            Ok(_) => {}
            Err(Errno::NOTCONN) => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        let now = io.clock.now();
        let idle = Phase::Open(Inbound::new(None));
        if let Phase::Connecting(mut upgrade) = std::mem::replace(&mut self.phase, idle) {
            upgrade.connected = now;
            let mut request = Vec::new();
            upgrade.handshake.encode(&mut request);
            self.phase = Phase::Upgrading(upgrade);
            handler.connected(id, now);
            self.keep_unsent(&request);
            self.send_unsent()?;
        }
        Ok(true)
    }

    /// Reads until the edge is used up, and answers each receive with at most one send.
    #[inline]
    fn receive(
        &mut self,
        id: usize,
        wake: Wake,
        io: &mut Io,
        handler: &mut impl Handler,
    ) -> Result<(), End> {
        if wake == Wake::Ending {
            // Holding back slows nobody any more: what the peer said last is heard.
            self.allowance = UNLIMITED;
        }
        for _ in 0..RECEIVES_MAX {
            let kept = self.unread.len();
            let end_max = io.buffer.len().min(kept.saturating_add(self.allowance));
            if kept == end_max {
                return Ok(());
            }
            let received = match self.transport.receive(&mut io.buffer[kept..end_max]) {
                Ok(0) => return Err(self.end_of_stream(io.clock.now())),
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(error, io.clock.now())),
            };
            let now = io.clock.now();
            io.first_receive.get_or_insert(now);
            self.allowance -= received;
            let end = kept + received;
            let is_short = end < end_max && self.transport.is_drained();
            if kept > 0 {
                io.buffer[..kept].copy_from_slice(&self.unread);
                self.unread.clear();
            }
            let used = self.take(id, now, &mut io.buffer[..end], &mut io.out, handler)?;
            if used < end {
                self.unread.extend_from_slice(&io.buffer[used..end]);
            }
            if self.takes_more() {
                self.refill(id, now, &mut io.out, handler)?;
            } else {
                self.send(&mut io.out)?;
            }
            if is_short && wake == Wake::Ready {
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
            match upgrade.finish(id, now, self.transport.secured(), bytes, handler)? {
                None => return Ok(0),
                Some((len, terms)) => {
                    head_len = len;
                    if terms.is_some() {
                        out.save(Savings {
                            connections: 1,
                            ..Savings::default()
                        });
                    }
                    self.phase = Phase::Open(Inbound::new(terms));
                }
            }
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

    /// Asks the handler for messages, and sends them.
    #[inline]
    pub(super) fn refill(
        &mut self,
        id: usize,
        now: Nanos,
        out: &mut Outbox,
        handler: &mut impl Handler,
    ) -> Result<(), Fault> {
        out.turn_to(self.window());
        handler.refill(id, now, out);
        self.send(out)
    }

    /// How its messages are compressed, if they are.
    #[inline]
    fn window(&self) -> Option<FreshWindow> {
        match &self.phase {
            Phase::Open(inbound) => inbound.window(),
            _ => None,
        }
    }

    /// Sends all of `out`, now or when the stream has room.
    #[inline]
    pub(super) fn send(&mut self, out: &mut Outbox) -> Result<(), Fault> {
        let bytes = out.bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        let sent = if self.unsent.is_none() {
            match self.transport.send(bytes) {
                Ok(sent) => sent,
                Err(error) => {
                    out.clear();
                    return Err(self.fault(error));
                }
            }
        } else {
            0
        };
        if sent < bytes.len() {
            self.keep_unsent(&bytes[sent..]);
        }
        out.clear();
        Ok(())
    }

    #[cold]
    fn keep_unsent(&mut self, bytes: &[u8]) {
        let unsent = self.unsent.get_or_insert_with(|| {
            Box::new(Unsent {
                bytes: Vec::new(),
                at: 0,
            })
        });
        if unsent.at > unsent.bytes.len() / 2 {
            unsent.bytes.drain(..std::mem::take(&mut unsent.at));
        }
        unsent.bytes.extend_from_slice(bytes);
    }

    #[cold]
    fn send_unsent(&mut self) -> Result<(), Fault> {
        let Some(unsent) = &mut self.unsent else {
            return Ok(());
        };
        match self.transport.send(&unsent.bytes[unsent.at..]) {
            Ok(sent) => unsent.at += sent,
            Err(error) => return Err(self.fault(error)),
        }
        if unsent.at == unsent.bytes.len() {
            self.unsent = None;
        }
        Ok(())
    }

    /// The end of a connection that the peer closed.
    #[cold]
    fn end_of_stream(&self, now: Nanos) -> End {
        let why = match self.goodbye() {
            _ if !self.is_open() => "the server closed before it had answered",
            Goodbye::Unsaid => "the server closed without a close frame",
            Goodbye::Said => "the server closed without an answer to the close frame",
            Goodbye::Answered => return End::Closed(now),
        };
        self.fault(why).into()
    }

    /// The end of a connection that the network, or a reset, ended.
    #[cold]
    fn broken(&self, why: impl std::fmt::Display, now: Nanos) -> End {
        match self.goodbye() {
            Goodbye::Answered => End::Closed(now),
            _ => self.fault(why).into(),
        }
    }

    #[cold]
    fn fault(&self, why: impl std::fmt::Display) -> Fault {
        match self.phase {
            Phase::Connecting(_) => Fault::new(FaultClass::Connect, why),
            Phase::Upgrading(_) => Fault::new(FaultClass::Handshake, why),
            Phase::Open(_) => Fault::new(FaultClass::Closed, why),
        }
    }

    /// Says goodbye and listens for the answer; `false` if the connection is not open.
    pub(super) fn say_goodbye(&mut self, out: &mut Outbox) -> Result<bool, Fault> {
        let Phase::Open(inbound) = &mut self.phase else {
            return Ok(false);
        };
        inbound.say_goodbye(out);
        self.allowance = UNLIMITED;
        self.send(out)?;
        Ok(true)
    }

    /// Closes the socket in order, when all has been said.
    pub(super) fn finish(mut self) {
        self.transport.finish();
    }

    /// Ends at once, with a reset.
    pub(super) fn cut(self) {
        self.transport.cut();
    }
}

impl Upgrade {
    /// The length of the response head once it is whole and accepts the upgrade.
    #[cold]
    fn finish(
        &mut self,
        id: usize,
        now: Nanos,
        secured: Option<Nanos>,
        received: &[u8],
        handler: &mut impl Handler,
    ) -> Result<Option<(usize, Option<DeflateTerms>)>, Fault> {
        let fault = |error: &dyn std::fmt::Display| Fault::new(FaultClass::Handshake, error);
        let Some(head) = self.decoder.decode(received).map_err(|e| fault(&e))? else {
            return Ok(None);
        };
        let accepted = self.handshake.verify(&head).map_err(|e| fault(&e))?;
        let terms = accepted.deflate;
        let opening = Opening {
            started: self.started,
            connected: self.connected,
            secured: secured.unwrap_or(self.connected),
            opened: now,
        };
        handler.opened(id, &opening);
        Ok(Some((head.head_len(), terms)))
    }
}
