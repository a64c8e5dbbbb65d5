//! The ping scenario: every WebSocket server answers a ping with a pong of the same payload (RFC 6455
//! §5.5.3). In: connections and when to ping. Out: what was answered, how fast, and what was not.
//!
//! Latency runs as in the echo scenario, whose connections these are: from just before the send call,
//! or from the time at which the ping should have been sent (open loop), to just after the receive call
//! that brings the end of the pong. A server may answer only the latest of several pings: that pong
//! answers those before it, too. A pong of another length that comes while none is awaited is a
//! heartbeat of the server's (§5.5.3 allows it); every other pong that answers no ping is a mismatch.
//! Messages that the server sends are not looked at.
//!
//! Never: prints, touches a socket.

use std::io;

use super::echo::{Echo, EchoWorker};
use super::{Scenario, Schedule, Slots, Worker};
use crate::client::{Clients, Handler, Opening, Outbox, Piece, Route};
use crate::clock::Nanos;
use crate::fault::Fault;
use crate::stats::Tally;

/// What to run: an echo whose carrier is pings.
#[derive(Debug)]
pub(crate) struct Ping(pub(crate) Echo);

impl Scenario for Ping {
    type Worker<'a> = PingWorker<'a>;

    fn worker(&self, slots: Slots, random: fastrand::Rng) -> io::Result<PingWorker<'_>> {
        let echo = self.0.worker(slots, random)?;
        Ok(PingWorker { echo })
    }
}

/// The connections of one thread.
pub(crate) struct PingWorker<'a> {
    echo: EchoWorker<'a>,
}

impl Worker for PingWorker<'_> {
    fn connect(&mut self, conn: usize, route: &Route, clients: &mut Clients<'_>) {
        clients.connect(conn, route, self);
    }

    fn begin(&mut self, schedule: Schedule, now: Nanos, clients: &mut Clients<'_>) {
        self.echo.begin(schedule, now, clients);
    }

    fn tick(&mut self, now: Nanos, clients: &mut Clients<'_>) -> Nanos {
        self.echo.tick(now, clients)
    }

    fn end(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        self.echo.end(now, clients);
    }

    fn is_drained(&self) -> bool {
        self.echo.is_drained()
    }

    fn tally(&mut self) -> &mut Tally {
        self.echo.tally()
    }
}

impl Handler for PingWorker<'_> {
    fn opened(&mut self, conn: usize, opening: &Opening) {
        self.echo.opened(conn, opening);
    }

    fn data(&mut self, _conn: usize, _now: Nanos, _piece: &Piece<'_>) {}

    fn refill(&mut self, conn: usize, now: Nanos, out: &mut Outbox) {
        self.echo.refill(conn, now, out);
    }

    fn pong(&mut self, conn: usize, now: Nanos, payload: &[u8]) {
        self.echo.answered_at_once(conn, now, payload);
    }

    fn lost(&mut self, conn: usize, fault: Fault) {
        self.echo.lost(conn, fault);
    }
}
