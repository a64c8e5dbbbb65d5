//! The seam between connections and scenarios. In: what happens on connections. Out: what a scenario
//! makes of it, and what it sends.
//!
//! Never: knows a socket.

use fanfare_codec::MessageKind;

use super::Outbox;
use crate::clock::Nanos;
use crate::fault::Fault;

/// What a scenario does with connections, which it knows by the number that it gave them.
///
/// For each attempt: [`connected`](Self::connected), [`opened`](Self::opened), then data and control
/// frames, then one of [`closed`](Self::closed) and [`lost`](Self::lost), unless the caller cuts the
/// connection. `lost` may come first, and at any time.
pub(crate) trait Handler {
    /// The TCP connection stands.
    fn connected(&mut self, _conn: usize, _now: Nanos) {}
    /// The upgrade succeeded. [`refill`](Self::refill) follows.
    fn opened(&mut self, conn: usize, opening: &Opening);
    /// A piece of a message, received at `now`.
    fn data(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>);
    /// Everything that one receive brought has been handed over: what is to be sent now? `now` is
    /// when it was received, just before what is put into `out` goes to the socket. Not asked while
    /// much of what was put there before waits for the socket; asked again when that has gone.
    fn refill(&mut self, conn: usize, now: Nanos, out: &mut Outbox);
    /// A ping, which is answered already.
    fn ping(&mut self, _conn: usize, _now: Nanos, _payload: &[u8]) {}
    /// A pong.
    fn pong(&mut self, _conn: usize, _now: Nanos, _payload: &[u8]) {}
    /// The caller's close was answered, and the server has closed the connection.
    fn closed(&mut self, _conn: usize, _now: Nanos) {}
    /// The connection is gone, and the caller did not ask for it.
    fn lost(&mut self, conn: usize, fault: Fault);
}

/// How a connection came to be open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// Just before the socket was made.
    pub(crate) started: Nanos,
    /// The TCP connection stood.
    pub(crate) connected: Nanos,
    /// The TLS handshake was over; with `ws`, when the TCP connection stood.
    pub(crate) secured: Nanos,
    /// The 101 was received.
    pub(crate) opened: Nanos,
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
