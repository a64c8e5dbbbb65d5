//! Subscribers that are cut, told that they missed something, lost, and back again. In: time, and what
//! becomes of connections. Out: connections that are cut and made again, and what each of that counts as.
//!
//! A cut is a reset or a close of the socket without a close frame, at random. A subscriber that knows
//! where it stands comes back there, if that is asked for, and is owed all that was published meanwhile.
//! Another is owed what is published from its 101 on, as is one that was told that it missed something.
//! With the Centrifuge protocol the answer to `subscribe` stands for the 101, and one that was told comes
//! back to where it stands, too: it is owed what it missed until it hears that this is gone.
//! An attempt that fails is a fault, and the subscriber stays away. At the end those that are on their
//! way back are waited for; one that is not back in time is a fault of class `timeout` and has no gaps.
//!
//! Never: looks at a payload.

use std::time::Duration;

use super::stalled;
use super::worker::FanoutWorker;
use crate::client::{Clients, Opening, Route};
use crate::clock::Nanos;
use crate::fault::{Fault, FaultClass};
use crate::stats::{Counter, Measure};

/// The shortest wait of one that was told, so that a server that tells everybody is not run down.
const TOLD_PAUSE: Duration = Duration::from_millis(10);

impl FanoutWorker<'_> {
    /// Cuts those whose turn it is, and connects those again whose time has come.
    pub(super) fn cut_and_return(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        while let Some(conn) = self.cuts.take_victim(now) {
            if self.random.bool() {
                clients.cut(conn);
            } else {
                clients.hang_up(conn);
            }
            self.tally.add(Counter::Cuts, 1);
            self.forget_conversation(conn);
            if !self.knows_way_back(conn) {
                self.audience.leave(conn, &mut self.tally);
            }
            let pause = self.fanout.cuts.pause;
            self.cuts.plan_return(conn, now.after(pause));
        }
        while let Some(conn) = self.cuts.take_due(now) {
            if self.fanout.dialect.is_some() && self.subscribe_again(conn, clients) {
                continue;
            }
            match self.route_back(conn) {
                Ok(route) => clients.connect(conn, &route, self),
                Err(fault) => self.lose_subscriber(conn, &fault),
            }
        }
    }

    /// Whether a subscriber that is owed something can come back to where it stands.
    fn knows_way_back(&self, conn: usize) -> bool {
        if self.fanout.dialect.is_some() {
            return self.audience.recovery(conn).is_some();
        }
        self.fanout.cuts.resume.is_some() && self.audience.position(conn).is_some()
    }

    /// What was under way on connection `conn` is over.
    pub(super) fn forget_conversation(&mut self, conn: usize) {
        if self.fanout.dialect.is_some() {
            self.members.leave(conn);
        }
    }

    /// Where a subscriber connects again.
    fn route_back(&self, conn: usize) -> Result<Route, Fault> {
        let number = self.slots.first + conn;
        let channel = self.fanout.shared.layout.channel_of_connection(number);
        let Some(base) = &self.routes[channel] else {
            let why = "its first route was none";
            return Err(Fault::new(FaultClass::Handshake, why));
        };
        let resume = self.fanout.cuts.resume.as_ref();
        match resume.zip(self.audience.position(conn)) {
            Some((resume, position)) if self.audience.is_owed(conn) => resume.route(base, position),
            _ => Ok(base.clone()),
        }
    }

    /// A subscriber is connected.
    pub(super) fn welcome(&mut self, conn: usize, opening: &Opening) {
        if self.stalled.contains(conn) {
            return;
        }
        let due = self.cuts.arrive(conn);
        if let Some(since) = due.filter(|&since| self.fanout.shared.is_measured(since)) {
            let took = opening.opened.since(since);
            self.tally.record(Measure::Reconnect, took);
        }
        if self.audience.is_owed(conn) {
            self.tally.add(Counter::Resumes, 1);
            self.audience.resume(conn);
        } else {
            self.audience.join(conn, &mut self.tally);
        }
    }

    /// A subscriber's connection is gone.
    #[cold]
    pub(super) fn lose_subscriber(&mut self, conn: usize, fault: &Fault) {
        if self.stalled.contains(conn) && fault.class == FaultClass::Closed {
            return stalled::count_closed(fault, &mut self.tally);
        }
        let told = &self.fanout.cuts.told;
        if fault.close_code.is_some_and(|code| told.contains(&code)) {
            return self.tell(conn);
        }
        self.audience.leave(conn, &mut self.tally);
        self.cuts.dismiss(conn);
        self.count(conn, fault);
    }

    /// A subscriber was told that it has missed something, and is to come back.
    pub(super) fn tell(&mut self, conn: usize) {
        self.tally.add(Counter::Told, 1);
        // On `/raw` nothing is behind a position that the server has given up.
        if self.fanout.dialect.is_none() || !self.knows_way_back(conn) {
            self.audience.leave(conn, &mut self.tally);
        }
        if self.cuts.is_ending() && !self.audience.is_owed(conn) {
            // Nothing more is published: there is nothing to come back to.
            self.cuts.dismiss(conn);
        } else {
            let pause = self.fanout.cuts.pause.max(TOLD_PAUSE);
            self.cuts.plan_return(conn, self.now.after(pause));
        }
    }

    /// Gives up those that are not back.
    pub(super) fn give_up_returns(&mut self, clients: &mut Clients<'_>) {
        for conn in self.cuts.all_away() {
            clients.cut(conn);
            self.forget_conversation(conn);
            self.audience.leave(conn, &mut self.tally);
            self.cuts.dismiss(conn);
            let fault = Fault::new(FaultClass::Timeout, "it was not back in time");
            self.count(conn, &fault);
        }
    }
}
