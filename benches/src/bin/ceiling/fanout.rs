//! A fan-out that knows one channel. In: masked frames, from anybody. Out: the same frames unmasked, to
//! everybody who is upgraded but the sender: those of one read in one buffer, which goes to each
//! socket with one `send`.
//!
//! What a socket does not take at once is owed: its bytes are kept and sent once it is writable. A frame
//! that a read has cut is kept until the read that completes it. A close frame ends its connection, pings
//! and pongs are dropped, and so is a connection with a frame of more than [`READ_BYTES_MAX`].
//!
//! Never: joins fragments, looks at UTF-8, answers a close or a ping, puts a limit on what is owed.

use std::io;

use fanfare_codec::{AllowedRsv, Header, Opcode, Role, apply_mask};
use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::server::{Connection, Interest, Mode, Next, READ_BYTES_MAX, Table, receive, upgrade};

/// The fan-out.
#[derive(Debug)]
pub(crate) struct Fanout {
    buf: Box<[u8]>,
    /// The frames of one read, as everybody gets them.
    ready: Vec<u8>,
}

/// What the fan-out keeps of a connection.
#[derive(Debug, Default)]
pub(crate) struct Subscriber {
    upgraded: bool,
    /// Received of a frame that is not complete.
    cut: Vec<u8>,
    owed: Owed,
}

/// Frames that the socket has not taken yet, from `sent` on.
#[derive(Debug, Default)]
struct Owed {
    bytes: Vec<u8>,
    sent: usize,
}

/// What was read of a connection.
struct Reading {
    /// The read was full: there may be more.
    is_full: bool,
    /// It has sent a close frame or broken a rule.
    is_over: bool,
}

impl Fanout {
    /// Nobody is there yet.
    pub(crate) fn new() -> Self {
        Self {
            buf: vec![0; READ_BYTES_MAX].into_boxed_slice(),
            ready: Vec::new(),
        }
    }

    /// Reads once; what is to go to the others is in `ready` then. `None` when the connection is over.
    #[inline]
    fn read(&mut self, connection: &mut Connection<Subscriber>) -> Option<Reading> {
        let Connection { socket, state } = connection;
        self.ready.clear();
        let held = state.cut.len();
        self.buf[..held].copy_from_slice(&state.cut);
        let received = receive(socket, &mut self.buf[held..])?;
        let is_full = received == self.buf.len() - held;
        let mut input = &mut self.buf[..held + received];
        if !state.upgraded && received > 0 {
            let head_bytes = upgrade(socket, input)?;
            state.upgraded = true;
            input = &mut input[head_bytes..];
        }
        let (used, is_over) = unmask_frames(input, &mut self.ready);
        if used < input.len() || held > 0 {
            state.cut.clear();
            state.cut.extend_from_slice(&input[used..]);
        }
        Some(Reading { is_full, is_over })
    }

    /// Sends `ready` to everybody but `sender`.
    fn send_to_others(&self, sender: usize, table: &mut Table<Subscriber>) -> io::Result<()> {
        for slot in (0..table.end()).filter(|&slot| slot != sender) {
            let Some(Connection { socket, state }) = table.get_mut(slot) else {
                continue;
            };
            if state.upgraded && state.owed.send(socket, &self.ready) {
                table.rearm(slot, Interest::ReadAndWrite)?;
            }
        }
        Ok(())
    }
}

impl Mode for Fanout {
    type State = Subscriber;

    #[inline]
    fn serve(
        &mut self,
        slot: usize,
        flags: EventFlags,
        table: &mut Table<Subscriber>,
    ) -> io::Result<Next> {
        let Some(connection) = table.get_mut(slot) else {
            return Ok(Next::Wait);
        };
        let Some(reading) = self.read(connection) else {
            return Ok(Next::Close);
        };
        connection.state.owed.pay(&connection.socket);
        let is_owing = connection.state.owed.is_some();
        if !self.ready.is_empty() {
            self.send_to_others(slot, table)?;
        }
        if reading.is_over {
            return Ok(Next::Close);
        }
        // A full read leaves more, a short write must be taken up again, and data and FIN may
        // have shared this edge.
        if reading.is_full || is_owing || flags.contains(EventFlags::RDHUP) {
            return Ok(Next::Rearm(Interest::of(is_owing)));
        }
        Ok(Next::Wait)
    }
}

impl Owed {
    const fn is_some(&self) -> bool {
        self.sent < self.bytes.len()
    }

    /// Sends frames behind what is owed; says whether it has begun to owe.
    ///
    /// An error of the socket is its own event's business.
    #[inline]
    fn send(&mut self, socket: &OwnedFd, frames: &[u8]) -> bool {
        if self.is_some() {
            self.bytes.extend_from_slice(frames);
            return false;
        }
        match send(socket, frames, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == frames.len() => false,
            Ok(sent) => self.begin(&frames[sent..]),
            Err(Errno::AGAIN) => self.begin(frames),
            Err(_) => false,
        }
    }

    #[cold]
    fn begin(&mut self, rest: &[u8]) -> bool {
        self.bytes.extend_from_slice(rest);
        true
    }

    /// Sends what is owed, as far as the socket takes it.
    #[inline]
    fn pay(&mut self, socket: &OwnedFd) {
        if !self.is_some() {
            return;
        }
        if let Ok(sent) = send(socket, &self.bytes[self.sent..], SendFlags::NOSIGNAL) {
            self.sent += sent;
        }
        if !self.is_some() {
            *self = Self::default();
        }
    }
}

/// Appends the data frames at the front of `input` to `ready`, unmasked; gives how many bytes they and
/// the control frames among them take, and whether a close frame or a broken rule ended that.
fn unmask_frames(input: &mut [u8], ready: &mut Vec<u8>) -> (usize, bool) {
    let mut used = 0;
    loop {
        let rest = &mut input[used..];
        let (header, header_len) = match Header::parse(rest, Role::Server, AllowedRsv::NONE) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return (used, false),
            Err(_) => return (used, true),
        };
        let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        let end = header_len.saturating_add(payload_len);
        let Some(payload) = rest.get_mut(header_len..end) else {
            return (used, end > READ_BYTES_MAX);
        };
        match header.opcode {
            Opcode::Close => return (used, true),
            Opcode::Ping | Opcode::Pong => {}
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                apply_mask(payload, header.mask_key.unwrap_or_default());
                append(ready, header, payload);
            }
        }
        used += end;
    }
}

/// Appends a frame as a server sends it.
fn append(ready: &mut Vec<u8>, header: Header, payload: &[u8]) {
    let unmasked = Header {
        mask_key: None,
        ..header
    };
    let mut bytes = [0; Header::BYTES_MAX];
    let len = unmasked.encode(&mut bytes);
    ready.extend_from_slice(&bytes[..len]);
    ready.extend_from_slice(payload);
}
