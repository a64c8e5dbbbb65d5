//! The receive scenario: connections that only listen, to a server that pushes. In: connections, and
//! what each says once to be sent something. Out: how much came, and when.
//!
//! The first message is timed from the receive call that brought the 101, after which the subscription
//! is sent, to the one that brought the message's end, whenever in the run that was; a gap is from the
//! end of one message to the end of the next on the same connection, if the latter is measured. Nothing
//! is compared, since nobody says what should come.
//!
//! Never: prints, touches a socket.

use std::io;

use fanfare_codec::MessageKind;

use super::{Scenario, Schedule, Slots, Worker};
use crate::client::{Clients, Handler, Opening, Outbox, Piece, Route};
use crate::clock::Nanos;
use crate::fault::Fault;
use crate::stats::{Counter, Measure, Tally};

/// What to run.
#[derive(Debug)]
pub(crate) struct Receive {
    /// A text message that each connection sends when it is upgraded.
    pub(crate) subscription: Option<String>,
}

impl Scenario for Receive {
    type Worker<'a> = ReceiveWorker<'a>;

    fn worker(&self, slots: Slots, _random: fastrand::Rng) -> io::Result<ReceiveWorker<'_>> {
        Ok(ReceiveWorker {
            subscription: self.subscription.as_deref(),
            slots,
            listeners: vec![Listener::default(); slots.count],
            schedule: None,
            tally: Tally::default(),
        })
    }
}

/// The connections of one thread.
pub(crate) struct ReceiveWorker<'a> {
    subscription: Option<&'a str>,
    slots: Slots,
    listeners: Vec<Listener>,
    schedule: Option<Schedule>,
    tally: Tally,
}

/// What a connection remembers.
#[derive(Clone, Copy, Debug, Default)]
struct Listener {
    /// The last message's end; before the first, when the connection was upgraded.
    last: Nanos,
    is_subscribed: bool,
    has_received: bool,
}

impl Worker for ReceiveWorker<'_> {
    fn connect(&mut self, conn: usize, route: &Route, clients: &mut Clients<'_>) {
        clients.connect(conn, route, self);
    }

    fn begin(&mut self, schedule: Schedule, _now: Nanos, _clients: &mut Clients<'_>) {
        self.schedule = Some(schedule);
    }

    fn tick(&mut self, _now: Nanos, _clients: &mut Clients<'_>) -> Nanos {
        Nanos::MAX
    }

    fn end(&mut self, _now: Nanos, _clients: &mut Clients<'_>) {}

    fn is_drained(&self) -> bool {
        true
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

impl Handler for ReceiveWorker<'_> {
    fn opened(&mut self, conn: usize, opening: &Opening) {
        self.listeners[conn] = Listener {
            last: opening.opened,
            ..Listener::default()
        };
    }

    #[inline]
    fn data(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>) {
        let is_measured = self.schedule.is_some_and(|s| s.covers(now));
        if is_measured {
            self.tally
                .add(Counter::PayloadBytes, piece.data.len() as u64);
        }
        if !piece.ends_message {
            return;
        }
        let listener = &mut self.listeners[conn];
        let waited = now.since(listener.last);
        if !listener.has_received {
            self.tally.record(Measure::FirstMessage, waited);
        } else if is_measured {
            self.tally.record(Measure::Gap, waited);
        }
        (listener.last, listener.has_received) = (now, true);
        if is_measured {
            self.tally.add(Counter::Messages, 1);
        }
    }

    #[inline]
    fn refill(&mut self, conn: usize, _now: Nanos, out: &mut Outbox) {
        if let Some(text) = self.subscription
            && !self.listeners[conn].is_subscribed
        {
            self.listeners[conn].is_subscribed = true;
            out.message(MessageKind::Text, &[text.as_bytes()]);
        }
    }

    fn lost(&mut self, conn: usize, fault: Fault) {
        self.slots.count_fault(&mut self.tally, conn, &fault);
    }
}
