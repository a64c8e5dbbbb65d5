//! Many WebSocket clients on one thread. In: where to connect, and a [`Handler`] that says what to
//! send. Out: the pieces of what arrives and the faults, handed to that handler.
//!
//! One edge-triggered poll, one receive buffer and one send buffer serve all connections of the
//! thread; a connection keeps bytes of its own only while a frame header is cut or a socket is full.
//!
//! Never: looks at a payload, counts, knows a scenario.

mod conn;
mod connect;
mod inbound;
mod outbox;

use std::io;
use std::time::Duration;

use fanfare_codec::MessageKind;
use mio::{Events, Interest, Poll, Token};

use crate::clock::{Clock, Nanos};
use crate::fault::Fault;
use conn::{Connection, Io};
pub(crate) use connect::Target;
pub(crate) use outbox::Outbox;

/// Bytes of the receive buffer of a thread.
const RECEIVE_BYTES: usize = 256 << 10;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// What a scenario does with connections, which it knows by the number that it gave them.
pub(crate) trait Handler {
    /// The upgrade succeeded. [`refill`](Self::refill) follows.
    fn opened(&mut self, conn: usize);
    /// A piece of a message, received at `now`.
    fn data(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>);
    /// Everything that one receive brought has been handed over: what is to be sent now? `now` is
    /// when it was received, just before what is put into `out` goes to the socket.
    fn refill(&mut self, conn: usize, now: Nanos, out: &mut Outbox);
    /// The connection is gone.
    fn lost(&mut self, conn: usize, fault: Fault);
}

/// Consecutive bytes of a data message.
#[derive(Debug)]
pub(crate) struct Piece<'b> {
    /// Of the message.
    pub(crate) kind: MessageKind,
    /// Where in the message they start.
    pub(crate) offset: u64,
    /// The bytes.
    pub(crate) data: &'b [u8],
    /// Whether the message ends with them.
    pub(crate) ends_message: bool,
}

/// The clients of one thread.
#[derive(Debug)]
pub(crate) struct Clients {
    poll: Poll,
    events: Events,
    /// At its number; `None` before it is made and after it is gone.
    connections: Vec<Option<Connection>>,
    io: Io,
    /// Connections that were stopped by their budget: no further edge will come for them.
    ready: Vec<usize>,
    /// Connections that are made or being made.
    live: usize,
    /// Those of them that are being made.
    opening: usize,
    /// When the last turn did.
    turn_ended: Nanos,
}

impl Clients {
    /// No connection yet, `count` to come.
    ///
    /// # Errors
    ///
    /// When the kernel gives no poll instance.
    pub(crate) fn new(count: usize, clock: Clock, random: fastrand::Rng) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            connections: std::iter::repeat_with(|| None).take(count).collect(),
            io: Io {
                clock,
                buffer: vec![0; RECEIVE_BYTES].into_boxed_slice(),
                out: Outbox::new(random),
                ready: Vec::new(),
                first_receive: None,
            },
            ready: Vec::new(),
            live: 0,
            opening: 0,
            turn_ended: Nanos::default(),
        })
    }

    /// Connections that are made or being made.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    /// How long what the last turn received may have waited for the turn's end: from its first receive
    /// to its last send. `None` if it received nothing.
    pub(crate) fn lag_ns(&self) -> Option<u64> {
        let first = self.io.first_receive?;
        Some(self.turn_ended.since(first))
    }

    /// Connections that are being made.
    pub(crate) const fn opening(&self) -> usize {
        self.opening
    }

    /// Starts to make connection `conn`; the handler hears how it ends.
    pub(crate) fn connect(&mut self, conn: usize, target: &Target, handler: &mut impl Handler) {
        let now = self.io.clock.now();
        let made = Connection::start(target, self.io.out.keys(), now).and_then(|mut connection| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = self.poll.registry();
            connection.register(registry, Token(conn), interest)?;
            Ok(connection)
        });
        match made {
            Ok(connection) => {
                self.connections[conn] = Some(connection);
                self.live += 1;
                self.opening += 1;
            }
            Err(fault) => handler.lost(conn, fault),
        }
    }

    /// Waits for the kernel, `wait_max` at most, serves what it reports and tells the time.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to wait.
    pub(crate) fn turn(
        &mut self,
        wait_max: Duration,
        handler: &mut impl Handler,
    ) -> io::Result<Nanos> {
        let wait_max = if self.ready.is_empty() {
            wait_max
        } else {
            Duration::ZERO
        };
        self.io.first_receive = None;
        match self.poll.poll(&mut self.events, Some(wait_max)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return Ok(self.io.clock.now());
            }
            Err(error) => return Err(error),
        }
        // Taken out so that `serve` may borrow all of `self`; put back for its memory.
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let closing = event.is_read_closed() || event.is_error();
            self.serve(event.token().0, closing, handler);
        }
        self.events = events;
        std::mem::swap(&mut self.ready, &mut self.io.ready);
        while let Some(conn) = self.ready.pop() {
            self.serve(conn, true, handler);
        }
        std::mem::swap(&mut self.ready, &mut self.io.ready);
        self.turn_ended = self.io.clock.now();
        Ok(self.turn_ended)
    }

    /// Reads and writes what connection `conn` has; `closing` when reading must not stop before the
    /// kernel says that there is nothing more.
    #[inline]
    fn serve(&mut self, conn: usize, closing: bool, handler: &mut impl Handler) {
        let Some(connection) = &mut self.connections[conn] else {
            return; // gone, earlier in this batch
        };
        let was_opening = !connection.is_open();
        let served = connection.serve(conn, closing, &mut self.io, handler);
        if was_opening && (served.is_err() || connection.is_open()) {
            self.opening -= 1;
        }
        if let Err(fault) = served {
            self.lose(conn, fault, handler);
        }
    }

    /// Asks the handler what connection `conn` is to send now, and sends it.
    pub(crate) fn refill(&mut self, conn: usize, handler: &mut impl Handler) {
        let now = self.io.clock.now();
        if let Some(connection) = &mut self.connections[conn]
            && connection.is_open()
        {
            handler.refill(conn, now, &mut self.io.out);
            if let Err(fault) = connection.send(&mut self.io.out) {
                self.lose(conn, fault, handler);
            }
        }
    }

    /// Gives up connections that have been opening for `timeout`.
    pub(crate) fn expire_opening(
        &mut self,
        now: Nanos,
        timeout: Duration,
        handler: &mut impl Handler,
    ) {
        for conn in 0..self.connections.len() {
            if let Some(connection) = &self.connections[conn]
                && let Some(fault) = connection.overdue(now, timeout)
            {
                self.opening -= 1;
                self.lose(conn, fault, handler);
            }
        }
    }

    #[cold]
    fn lose(&mut self, conn: usize, fault: Fault, handler: &mut impl Handler) {
        self.connections[conn] = None;
        self.live -= 1;
        handler.lost(conn, fault);
    }

    /// Says goodbye on every open connection (RFC 6455 §7.1.1) and lets all go.
    pub(crate) fn close_all(&mut self) {
        for connection in self.connections.drain(..).flatten() {
            connection.close(&mut self.io.out);
        }
        (self.live, self.opening) = (0, 0);
    }
}
