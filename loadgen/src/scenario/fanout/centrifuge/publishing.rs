//! Publications as commands. In: what is due, and the answers. Out: commands, and which publications the
//! server has taken.
//!
//! A publication that is refused is a fault of class `refused`, as over HTTP, and so is one that is not
//! answered before the timeout is over: nobody is owed it.
//!
//! Never: looks at what is published.

use std::collections::VecDeque;

use super::Dialect;
use crate::centrifuge::{Outcome, publish_head, publish_tail};
use crate::client::Outbox;
use crate::clock::Nanos;
use crate::fault::{Fault, FaultClass};
use crate::payload::Stamp;
use crate::scenario::fanout::narrow;
use crate::scenario::fanout::worker::FanoutWorker;
use crate::stats::{Counter, Measure};

/// The publications of one publisher that are not answered yet, in their order.
#[derive(Debug, Default)]
pub(in crate::scenario::fanout) struct Answers(VecDeque<Unanswered>);

#[derive(Clone, Copy, Debug)]
struct Unanswered {
    id: u32,
    seq: u64,
    is_measured: bool,
}

impl Answers {
    fn take(&mut self, id: u32) -> Option<Unanswered> {
        // Most come in order.
        let at = self.0.iter().position(|unanswered| unanswered.id == id)?;
        self.0.remove(at)
    }
}

impl FanoutWorker<'_> {
    /// Publishes what is due on connection `conn`.
    pub(super) fn publish(&mut self, conn: usize, now: Nanos, dialect: &Dialect, out: &mut Outbox) {
        let shared = &self.fanout.shared;
        let at = conn - self.audience.len();
        let series = self.series_of(conn);
        let channel = &shared.channels[shared.layout.channel_of_series(series)];
        let (before, behind) = dialect.delivery.around();
        let tail = publish_tail(dialect.encoding);
        let due = std::mem::take(&mut self.publishers[at].due);
        for &intended in &due {
            let seq = shared.ledger.publish(series);
            let stamp = Stamp {
                series: narrow(series),
                seq,
                intended,
            };
            let (front, filler) = shared.stamps.publication(stamp);
            let data_len = before.len() + front.len() + filler.len() + behind.len();
            let id = self.members.next_id(conn);
            self.scratch.clear();
            publish_head(dialect.encoding, id, channel, data_len, &mut self.scratch);
            out.message(
                dialect.encoding.kind(),
                &[&self.scratch, before, &front, filler, behind, tail],
            );
            let is_measured = shared.is_measured(intended);
            if is_measured {
                self.tally.record(Measure::SendLag, now.since(intended));
            }
            self.publishers[at].answers.0.push_back(Unanswered {
                id,
                seq,
                is_measured,
            });
        }
        let place = &mut self.publishers[at].due;
        *place = due;
        place.clear();
    }

    /// Command `id` of connection `conn`, which is a publisher's, is answered; whether it was one.
    pub(super) fn take_answer(&mut self, conn: usize, id: u32, outcome: &Outcome<'_>) -> bool {
        let at = conn - self.audience.len();
        let Some(Unanswered {
            seq, is_measured, ..
        }) = self.publishers[at].answers.take(id)
        else {
            return false;
        };
        if let Outcome::Refused { code, message } = outcome {
            self.fanout.shared.ledger.fail(self.series_of(conn), seq);
            let why = format_args!("publish: error {code}: {message}");
            self.count(conn, &Fault::new(FaultClass::Refused, why));
        } else if is_measured {
            self.tally.add(Counter::Publications, 1);
        }
        true
    }

    /// Connection `conn`, a publisher's, is gone: nobody is owed what was not answered.
    pub(in crate::scenario::fanout) fn forget_answers(&mut self, conn: usize) {
        let series = self.series_of(conn);
        let at = conn - self.audience.len();
        for unanswered in self.publishers[at].answers.0.drain(..) {
            self.fanout.shared.ledger.fail(series, unanswered.seq);
        }
    }

    /// Whether every publication is answered.
    pub(in crate::scenario::fanout) fn has_answers(&self) -> bool {
        self.publishers.iter().all(|p| p.answers.0.is_empty())
    }

    /// What is not answered is given up.
    pub(in crate::scenario::fanout) fn give_up_answers(&mut self) {
        for at in 0..self.publishers.len() {
            let conn = self.audience.len() + at;
            let unanswered = self.publishers[at].answers.0.len();
            if unanswered > 0 {
                self.forget_answers(conn);
                let why = "publish: not answered in time";
                let fault = Fault::new(FaultClass::Refused, why);
                self.count_many(unanswered as u64, conn, &fault);
            }
        }
    }

    /// The run ends: what is on its way is no fault, and was sent.
    pub(in crate::scenario::fanout) fn count_unanswered(&mut self) {
        for publisher in &self.publishers {
            let measured = publisher.answers.0.iter().filter(|u| u.is_measured).count();
            self.tally.add(Counter::Publications, measured as u64);
        }
    }

    /// The series of a publisher's connection.
    pub(in crate::scenario::fanout) fn series_of(&self, conn: usize) -> usize {
        self.slots.first + conn - self.fanout.shared.layout.subscribers
    }
}
