//! The fan-out scenario: what is published to a channel reaches each of its subscribers, once and in
//! order. In: subscribers, channels, publishers and when they publish. Out: how long deliveries took,
//! and which never came, came twice or came late.
//!
//! Open loop: publications have their times, whatever the server does. The latency of a delivery runs
//! from there to just after the receive call that brings its end, at each subscriber. Deliveries of one
//! publication give its first, median, 99th percentile and last; these are spread over the
//! publications that reached everybody.
//!
//! Every delivery counts as exactly one thing. A changed one is a mismatch, and no gap beside that; a
//! message that does not even resemble a publication is a mismatch and stands for none. A
//! publication that comes behind a later one of its publisher on the channel is disordered, and no
//! gap. Whoever is disconnected is counted once, as closed; what is published from then on is no gap.
//! What publishers get back of the server is not looked at, but for the answers to commands where the
//! Centrifuge protocol is spoken ([`centrifuge`]).
//!
//! Subscribers may be cut and come back ([`cuts`], [`returns`]): to where they stood, and then what was
//! published meanwhile is owed to them as if they had never left, or as new ones. One that the server
//! tells that it has missed something is counted, and what it missed is no gap; what was left out before
//! a publication that it got is.
//!
//! Some subscribers may be stalled: they never read, and are no part of any other figure.
//!
//! The first publication leaves 0.2 s after the last connection is open, or when the warm-up is
//! over: a server may answer the upgrade before it has subscribed the connection.
//!
//! Never: prints, touches a socket.

mod attendance;
mod audience;
mod bursts;
mod centrifuge;
mod cuts;
mod layout;
mod ledger;
mod pending;
mod post;
mod profile;
mod resume;
mod returns;
mod sealed;
mod settle;
mod stalled;
mod track;
mod wait;
mod worker;

use std::io;
use std::sync::Arc;

use fanfare_codec::MessageKind;

use super::pace::{Arrivals, Pace};
use super::{Scenario, Slots, Timing};
use crate::clock::Nanos;
use crate::payload::{Envelope, Stamps};
use bursts::Bursts;
pub(crate) use centrifuge::{Dialect, Positions};
pub(crate) use cuts::CutPlan;
pub(crate) use layout::Layout;
use ledger::Ledger;
pub(crate) use post::{BASE64_PAYLOAD, PAYLOAD, Post};
pub(crate) use resume::Resume;
use worker::FanoutWorker;

/// What to run, as the flags say it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) layout: Layout,
    /// The names of the channels.
    pub(crate) channels: Vec<String>,
    pub(crate) stamps: Stamps,
    pub(crate) kind: MessageKind,
    pub(crate) arrivals: Arrivals,
    /// Publications, in all.
    pub(crate) per_second: f64,
    /// Publications at each arrival.
    pub(crate) burst: u32,
    /// How a publication is told to a subscriber.
    pub(crate) delivery: Envelope,
    pub(crate) cuts: CutPlan,
    /// `None`: a message is a publication.
    pub(crate) dialect: Option<Dialect>,
    /// `None`: publishers are WebSockets.
    pub(crate) post: Option<Post>,
    pub(crate) threads: usize,
    pub(crate) timing: Timing,
}

/// What to run.
#[derive(Debug)]
pub(crate) struct Fanout {
    shared: Arc<Shared>,
    post: Option<Arc<Post>>,
    kind: MessageKind,
    arrivals: Arrivals,
    bursts_per_second: f64,
    burst: u32,
    /// `None`: a message is a publication and nothing else.
    envelope: Option<Envelope>,
    cuts: CutPlan,
    dialect: Option<Dialect>,
    threads: usize,
    timing: Timing,
}

/// What all threads look at.
#[derive(Debug)]
struct Shared {
    layout: Layout,
    channels: Vec<String>,
    stamps: Stamps,
    ledger: Ledger,
}

impl Shared {
    /// Whether what was to be published at `intended` is measured.
    #[inline]
    fn is_measured(&self, intended: Nanos) -> bool {
        self.ledger
            .schedule()
            .is_some_and(|schedule| schedule.covers(intended))
    }
}

impl Fanout {
    /// The scenario that `plan` asks for.
    pub(crate) fn new(plan: Plan) -> Self {
        let layout = plan.layout;
        let posters = if layout.is_posting {
            layout.publishers
        } else {
            0
        };
        Self {
            shared: Arc::new(Shared {
                layout,
                channels: plan.channels,
                stamps: plan.stamps,
                ledger: Ledger::new(layout.series(), plan.threads, posters),
            }),
            post: plan.post.map(Arc::new),
            kind: plan.kind,
            arrivals: plan.arrivals,
            bursts_per_second: plan.per_second / f64::from(plan.burst),
            burst: plan.burst,
            envelope: Some(plan.delivery)
                .filter(|envelope| plan.dialect.is_none() && !envelope.is_bare()),
            cuts: plan.cuts,
            dialect: plan.dialect,
            threads: plan.threads,
            timing: plan.timing,
        }
    }

    /// The times of a `share` of all publications, from `start` on.
    fn bursts(&self, share: f64, start: Nanos, random: fastrand::Rng) -> Bursts {
        let rate = self.bursts_per_second * share;
        Bursts::new(Pace::new(self.arrivals, rate, start, random), self.burst)
    }

    /// How many threads have subscribers of each channel that read.
    fn threads_of_channels(&self) -> Vec<u32> {
        let layout = self.shared.layout;
        let mut threads = vec![0; layout.channels];
        for thread in 0..self.threads {
            let slots = Slots::of_thread(thread, self.threads, layout.connections());
            let subscribers = slots.first..(slots.first + slots.count).min(layout.subscribers);
            for (channel, count) in threads.iter_mut().enumerate() {
                *count += u32::from(layout.is_on_channel(&subscribers, channel));
            }
        }
        threads
    }
}

impl Scenario for Fanout {
    type Worker<'a> = FanoutWorker<'a>;

    fn worker(&self, slots: Slots, random: fastrand::Rng) -> io::Result<FanoutWorker<'_>> {
        Ok(FanoutWorker::new(self, slots, random))
    }
}

/// A number of channels or series, of which there are fewer than 2³².
#[expect(clippy::cast_possible_truncation, reason = "flags have their limits")]
const fn narrow(number: usize) -> u32 {
    number as u32
}
