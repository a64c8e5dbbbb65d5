//! The slow scenario: some clients read slowly, or never, and the others are measured. In: a scenario
//! for the healthy ones, one for the slow ones, and how many bytes a second these read. Out: what the
//! healthy ones felt, and what the server did with the slow ones.
//!
//! Slow connections are spread evenly over all; they open as the others do, read slowly from the start
//! of the load, warm-up included, and send (where they send at all) for as long as their socket takes
//! it, so that what they do not read piles up at the server. That the server ends one of them is its
//! right and no fault: it is counted apart, with the close code (1005 where the frame had none, 1006
//! where there was no frame), and the time from the start of the load to when it was noticed, to within
//! [`STEP`]. A slow one may be answered as late as it likes, but what comes is compared.
//!
//! Never: prints, touches a socket, knows what the load is.

use std::io;
use std::time::Duration;

use super::{Scenario, Schedule, Slots, Worker};
use crate::client::{Clients, Handler, Opening, Outbox, Piece, Route};
use crate::clock::Nanos;
use crate::fault::{Fault, FaultClass};
use crate::stats::{Counter, Measure, Tally};

/// How often slow connections read and send.
const STEP: Duration = Duration::from_millis(10);

/// What stands for a close code where the connection ended without a close frame (RFC 6455 §7.1.5).
const ABNORMAL: u16 = fanfare_codec::CloseCode::ABNORMAL.0;

/// What to run.
#[derive(Debug)]
pub(crate) struct Slow<S> {
    pub(crate) healthy: S,
    pub(crate) slow: S,
    /// The part of the connections that is slow, between 0 and 1.
    pub(crate) share: f64,
    /// What each of them reads a second; 0: never.
    pub(crate) bytes_per_second: u64,
}

/// Whether connection `number` of the run is among the slow ones.
pub(crate) fn is_slow(number: usize, share: f64) -> bool {
    let before = |number: usize| (number as f64 * share).floor();
    before(number) < before(number + 1)
}

impl<S: Scenario> Scenario for Slow<S> {
    type Worker<'a>
        = SlowWorker<S::Worker<'a>>
    where
        S: 'a;

    fn worker(&self, slots: Slots, mut random: fastrand::Rng) -> io::Result<Self::Worker<'_>> {
        Ok(SlowWorker {
            healthy: self.healthy.worker(slots, random.fork())?,
            slow: self.slow.worker(slots, random)?,
            is_slow: (slots.first..slots.first + slots.count)
                .map(|number| is_slow(number, self.share))
                .collect(),
            bytes_per_second: self.bytes_per_second,
            credit: 0.0,
            since: None,
            now: Nanos::default(),
            next_step: Nanos::MAX,
            is_sending: false,
        })
    }
}

/// The connections of one thread.
pub(crate) struct SlowWorker<W> {
    /// Counts for all of it.
    healthy: W,
    slow: W,
    is_slow: Vec<bool>,
    bytes_per_second: u64,
    /// Bytes that each slow connection may read.
    credit: f64,
    /// When the load began.
    since: Option<Nanos>,
    /// Of the last tick.
    now: Nanos,
    next_step: Nanos,
    /// The connection being refilled is one whose socket takes more.
    is_sending: bool,
}

impl<W: Worker> SlowWorker<W> {
    /// The worker that has connection `conn`.
    #[inline]
    fn owner(&mut self, conn: usize) -> &mut W {
        if self.is_slow[conn] {
            &mut self.slow
        } else {
            &mut self.healthy
        }
    }

    /// Lets the slow connections read what they may, and send what their sockets take.
    fn step(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        let elapsed = now.duration_since(self.now).as_secs_f64();
        self.credit += self.bytes_per_second as f64 * elapsed;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative; more than fits is as much as fits"
        )]
        let readable = self.credit as usize;
        self.credit -= readable as f64;
        self.is_sending = true;
        for conn in 0..self.is_slow.len() {
            if !self.is_slow[conn] {
                continue;
            }
            if readable > 0 {
                clients.limit_read(conn, readable);
            }
            if !clients.is_backed_up(conn) {
                clients.refill(conn, self);
            }
        }
        self.is_sending = false;
        (self.now, self.next_step) = (now, now.after(STEP));
    }
}

impl<W: Worker> Worker for SlowWorker<W> {
    fn connect(&mut self, conn: usize, route: &Route, clients: &mut Clients<'_>) {
        clients.connect(conn, route, self);
    }

    fn begin(&mut self, schedule: Schedule, now: Nanos, clients: &mut Clients<'_>) {
        for conn in (0..self.is_slow.len()).filter(|&conn| self.is_slow[conn]) {
            clients.pause(conn);
        }
        (self.since, self.now, self.next_step) = (Some(now), now, now);
        self.slow.begin(schedule, now, clients);
        self.healthy.begin(schedule, now, clients);
    }

    fn tick(&mut self, now: Nanos, clients: &mut Clients<'_>) -> Nanos {
        if now >= self.next_step {
            self.step(now, clients);
        }
        self.healthy.tick(now, clients).min(self.next_step)
    }

    fn end(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        self.slow.end(now, clients);
        self.healthy.end(now, clients);
    }

    /// The slow ones are not waited for.
    fn is_drained(&self) -> bool {
        self.healthy.is_drained()
    }

    fn tally(&mut self) -> &mut Tally {
        let slow = self.slow.tally();
        let messages = slow.take(Counter::Messages);
        let faults = std::mem::take(&mut slow.faults);
        let tally = self.healthy.tally();
        tally.add(Counter::SlowMessages, messages);
        tally.faults.merge(faults);
        tally
    }
}

impl<W: Worker> Handler for SlowWorker<W> {
    fn opened(&mut self, conn: usize, opening: &Opening) {
        self.owner(conn).opened(conn, opening);
    }

    #[inline]
    fn data(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>) {
        self.owner(conn).data(conn, now, piece);
    }

    #[inline]
    fn refill(&mut self, conn: usize, now: Nanos, out: &mut Outbox) {
        // Before the load begins a slow one may subscribe, as the others do.
        if !self.is_slow[conn] || self.is_sending || self.since.is_none() {
            self.owner(conn).refill(conn, now, out);
        }
    }

    fn pong(&mut self, conn: usize, now: Nanos, payload: &[u8]) {
        self.owner(conn).pong(conn, now, payload);
    }

    fn lost(&mut self, conn: usize, fault: Fault) {
        let since = self.since.filter(|_| self.is_slow[conn]);
        let Some(since) = since.filter(|_| fault.class == FaultClass::Closed) else {
            return self.owner(conn).lost(conn, fault);
        };
        let tally = self.healthy.tally();
        tally.add(Counter::SlowClosed, 1);
        tally.record(Measure::SlowClosed, self.now.since(since));
        let code = fault.close_code.unwrap_or(ABNORMAL);
        *tally.close_codes.entry(code).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_ones_are_as_many_as_asked_and_spread_evenly() {
        for (share, of_1000) in [(0.1, 100), (0.5, 500), (0.999, 999), (0.001, 1)] {
            let slow = |numbers: std::ops::Range<usize>| {
                numbers.filter(|&number| is_slow(number, share)).count()
            };
            assert_eq!(slow(0..1000), of_1000, "{share}");
            for first in (0..1000).step_by(100) {
                let part = slow(first..first + 100);
                assert!(part.abs_diff(of_1000 / 10) <= 1, "{share}: {part}");
            }
        }
    }
}
