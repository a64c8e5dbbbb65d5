//! Many WebSocket clients on one thread. In: a [`Dial`] that says how to connect, and a [`Handler`]
//! that says what to send. Out: the pieces of what arrives and the faults, handed to that handler.
//!
//! One edge-triggered poll, one receive buffer and one send buffer serve all connections of the
//! thread; a connection keeps bytes of its own only while a frame header is cut or a socket is full.
//! A turn costs what its events cost, however many connections there are.
//!
//! Never: looks at a payload, counts, knows a scenario.

mod conn;
mod deadlines;
mod deflate;
mod dial;
mod handler;
mod inbound;
mod outbox;
mod poll;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::time::Duration;

use crate::clock::{Clock, Nanos};
use crate::fault::Fault;
use conn::{Connection, End, Io, Wake};
use deadlines::Deadline;
pub(crate) use deflate::Savings;
pub(crate) use dial::{Dial, DialOptions, Route, load_tokens};
pub(crate) use handler::{Handler, Opening, Piece};
pub(crate) use outbox::Outbox;
use poll::{ConnId, Poll, Readiness};

/// Bytes of the receive buffer of a thread.
const RECEIVE_BYTES: usize = 256 << 10;

/// How long before a mark [`Clients::turn_until`] stops to sleep: longer than it mostly takes to wake
/// up, and short against the time between two marks.
const SPIN: Duration = Duration::from_micros(100);

/// The clients of one thread, which makes them and takes their turns.
pub(crate) struct Clients<'d> {
    dial: &'d Dial,
    /// The number, in the whole run, of connection 0.
    first: usize,
    /// Sockets made, by all connections.
    attempts: usize,
    poll: Poll,
    /// At its number; `None` before it is made and after it is gone.
    connections: Vec<Option<Connection>>,
    io: Io,
    /// Empty but while connections are served that were ready before the turn.
    resumed: Vec<usize>,
    /// Connections that began to open, the first to be overdue in front.
    opens: VecDeque<Deadline>,
    /// The same of those that began to close.
    closes: VecDeque<Deadline>,
    /// Connections that are made or being made.
    live: usize,
    /// Those of them that are being made.
    opening: usize,
    /// When the last turn did.
    turn_ended: Nanos,
}

impl<'d> Clients<'d> {
    /// No connection yet. Connection 0 of this thread will be the first of `numbers` in the run, and
    /// so on: these choose its lines in the files of headers.
    ///
    /// # Errors
    ///
    /// When the kernel gives no poll instance.
    pub(crate) fn new(
        dial: &'d Dial,
        numbers: Range<usize>,
        clock: Clock,
        random: fastrand::Rng,
    ) -> io::Result<Self> {
        Ok(Self {
            dial,
            first: numbers.start,
            attempts: 0,
            poll: Poll::new()?,
            connections: std::iter::repeat_with(|| None)
                .take(numbers.len())
                .collect(),
            io: Io {
                clock,
                buffer: vec![0; RECEIVE_BYTES].into_boxed_slice(),
                out: Outbox::new(random),
                ready: Vec::new(),
                first_receive: None,
            },
            resumed: Vec::new(),
            opens: VecDeque::new(),
            closes: VecDeque::new(),
            live: 0,
            opening: 0,
            turn_ended: Nanos::default(),
        })
    }

    /// The clock that tells the handler the time.
    pub(crate) const fn clock(&self) -> Clock {
        self.io.clock
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

    /// What compression has come to; `None` if it is not offered.
    pub(crate) fn savings(&self) -> Option<Savings> {
        self.dial.offers_deflate().then(|| self.io.out.savings())
    }

    /// Connections that are being made.
    pub(crate) const fn opening(&self) -> usize {
        self.opening
    }

    /// Whether connection `conn` is made and the caller has not begun to close it.
    pub(crate) fn is_open(&self, conn: usize) -> bool {
        self.connections[conn]
            .as_ref()
            .is_some_and(Connection::may_send)
    }

    /// Starts to make connection `conn`, for the first time or again; the handler hears how it ends.
    /// One that is still there under this number is cut.
    pub(crate) fn connect(&mut self, conn: usize, route: &Route, handler: &mut impl Handler) {
        self.connect_with(conn, route, None, handler);
    }

    /// The same, with a receive buffer of its own size in the kernel, in bytes.
    pub(crate) fn connect_with(
        &mut self,
        conn: usize,
        route: &Route,
        receive_bytes: Option<usize>,
        handler: &mut impl Handler,
    ) {
        self.cut(conn);
        match self.start(conn, route, receive_bytes) {
            Ok(connection) => {
                self.connections[conn] = Some(connection);
                self.live += 1;
                self.opening += 1;
            }
            Err(fault) => handler.lost(conn, fault),
        }
    }

    fn start(
        &mut self,
        conn: usize,
        route: &Route,
        receive_bytes: Option<usize>,
    ) -> Result<Connection, Fault> {
        let since = self.io.clock.now();
        let number = self.first + conn;
        // Threads begin apart, so that they do not all take the same source.
        let attempt = self.first + self.attempts;
        self.attempts += 1;
        let handshake = self.dial.handshake(route, number, self.io.out.keys())?;
        let transport = self.dial.transport(attempt, receive_bytes, self.io.clock)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "only neighbours must differ"
        )]
        let id = ConnId {
            conn: conn as u32,
            generation: self.attempts as u32,
        };
        self.poll
            .add(transport.socket(), id)
            .map_err(|error| dial::connect_fault(&error))?;
        self.opens.push_back(Deadline { id, since });
        Ok(Connection::new(transport, handshake, id.generation, since))
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
        self.wait(wait_max)?;
        self.serve_all(handler);
        Ok(self.turn_ended)
    }

    /// The same, but waits until `mark` and comes back on time: the last of the wait it is awake, for
    /// waking up takes its time. It may come back earlier, when it has served something.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to wait.
    pub(crate) fn turn_until(
        &mut self,
        mark: Nanos,
        handler: &mut impl Handler,
    ) -> io::Result<Nanos> {
        loop {
            let left = mark.duration_since(self.io.clock.now());
            if self.wait(left.saturating_sub(SPIN))? || left.is_zero() {
                self.serve_all(handler);
                return Ok(self.turn_ended);
            }
        }
    }

    /// Waits for the kernel and tells whether there is something to serve.
    fn wait(&mut self, wait_max: Duration) -> io::Result<bool> {
        let has_ready = !self.io.ready.is_empty();
        let wait_max = if has_ready { Duration::ZERO } else { wait_max };
        self.poll.wait(wait_max)?;
        Ok(self.poll.len() > 0 || has_ready)
    }

    /// Serves what the wait has brought, and what was ready before it.
    #[inline]
    fn serve_all(&mut self, handler: &mut impl Handler) {
        self.io.first_receive = None;
        std::mem::swap(&mut self.resumed, &mut self.io.ready);
        for at in 0..self.poll.len() {
            let Readiness { id, is_closing } = self.poll.readiness(at);
            let wake = if is_closing {
                Wake::Ending
            } else {
                Wake::Ready
            };
            if self.current(id).is_some() {
                self.serve(id.conn as usize, wake, handler);
            }
        }
        while let Some(conn) = self.resumed.pop() {
            self.serve(conn, Wake::Resumed, handler);
        }
        self.turn_ended = self.io.clock.now();
    }

    /// The connection whose socket `id` was given to, if it is still there.
    #[inline]
    fn current(&self, id: ConnId) -> Option<&Connection> {
        self.connections[id.conn as usize]
            .as_ref()
            .filter(|connection| connection.generation() == id.generation)
    }

    /// Reads and writes what connection `conn` has.
    #[inline]
    fn serve(&mut self, conn: usize, wake: Wake, handler: &mut impl Handler) {
        let Some(connection) = &mut self.connections[conn] else {
            return; // gone, earlier in this batch
        };
        let was_opening = !connection.is_open();
        let served = connection.serve(conn, wake, &mut self.io, handler);
        if was_opening && connection.is_open() {
            self.opening -= 1;
        }
        if let Err(end) = served {
            self.end(conn, end, handler);
        }
    }

    /// Asks the handler what connection `conn` is to send now, and sends it.
    pub(crate) fn refill(&mut self, conn: usize, handler: &mut impl Handler) {
        let now = self.io.clock.now();
        if let Some(connection) = &mut self.connections[conn]
            && connection.takes_more()
            && let Err(fault) = connection.refill(conn, now, &mut self.io.out, handler)
        {
            self.end(conn, fault.into(), handler);
        }
    }

    /// Whether connection `conn` has something to send that its socket does not take yet.
    pub(crate) fn is_backed_up(&self, conn: usize) -> bool {
        self.connections[conn]
            .as_ref()
            .is_some_and(Connection::is_backed_up)
    }

    /// Lets connection `conn` receive no more than `bytes` from now on, until the next call. What it
    /// does not take fills the buffers of the two kernels, and then the server has to wait. Once the
    /// server has closed the connection, all that is left is received.
    pub(crate) fn limit_read(&mut self, conn: usize, bytes: usize) {
        if let Some(connection) = &mut self.connections[conn] {
            if connection.is_held_back() && bytes > 0 {
                self.io.ready.push(conn);
            }
            connection.allow(bytes);
        }
    }

    /// Lets connection `conn` receive nothing.
    pub(crate) fn pause(&mut self, conn: usize) {
        self.limit_read(conn, 0);
    }

    /// Sends a close frame on connection `conn`; the handler hears `closed` when the server has
    /// answered and closed the socket. One that is not open yet is closed at once.
    pub(crate) fn close(&mut self, conn: usize, handler: &mut impl Handler) {
        let Some(connection) = &mut self.connections[conn] else {
            return;
        };
        let since = self.io.clock.now();
        #[expect(clippy::cast_possible_truncation, reason = "it was one")]
        let id = ConnId {
            conn: conn as u32,
            generation: connection.generation(),
        };
        if connection.is_held_back() {
            self.io.ready.push(conn);
        }
        match connection.say_goodbye(&mut self.io.out) {
            Ok(true) => {
                self.closes.push_back(Deadline { id, since });
            }
            Ok(false) => self.end(conn, End::Closed(since), handler),
            Err(fault) => self.end(conn, fault.into(), handler),
        }
    }

    /// Ends connection `conn` at once, with a reset and without a word; the handler hears nothing.
    /// Tells whether there was one.
    pub(crate) fn cut(&mut self, conn: usize) -> bool {
        self.remove(conn).map(Connection::cut).is_some()
    }

    /// Closes the socket of connection `conn` without a close frame; the handler hears nothing. What it
    /// has not received is lost, and if there is some, the peer gets a reset all the same.
    pub(crate) fn hang_up(&mut self, conn: usize) {
        drop(self.remove(conn));
    }

    #[cold]
    fn end(&mut self, conn: usize, end: End, handler: &mut impl Handler) {
        let connection = self.remove(conn);
        match end {
            End::Closed(now) => {
                connection.into_iter().for_each(Connection::finish);
                handler.closed(conn, now);
            }
            End::Lost(fault) => handler.lost(conn, fault),
        }
    }

    /// Takes connection `conn` away.
    fn remove(&mut self, conn: usize) -> Option<Connection> {
        let connection = self.connections[conn].take()?;
        self.live -= 1;
        if !connection.is_open() {
            self.opening -= 1;
        }
        Some(connection)
    }

    /// Says goodbye on every open connection (RFC 6455 §7.1.1) and lets all go.
    pub(crate) fn close_all(&mut self) {
        for conn in 0..self.connections.len() {
            if let Some(mut connection) = self.remove(conn) {
                // A courtesy: the socket is closed whether or not it arrives.
                let _ = connection.say_goodbye(&mut self.io.out);
                self.io.out.clear();
                connection.finish();
            }
        }
    }
}
