//! The fan-out scenario: what is published to a channel reaches each of its subscribers, once and in
//! order. In: subscribers, channels, publishers and when they publish. Out: how long deliveries took,
//! and which never came, came twice or came late.
//!
//! Open loop: publications have their times, whatever the server does. The latency of a delivery runs
//! from there to just after the receive call that brings its end, at each subscriber. Deliveries of one
//! publication give its first, median, 99th percentile and last; these are spread over the
//! publications that reached everybody.
//!
//! Every delivery counts as exactly one thing. A changed one is a mismatch, and no gap beside that. A
//! publication that comes behind a later one of its publisher on the channel is disordered, and no
//! gap. Whoever is disconnected is counted once, as closed; what is published from then on is no gap.
//! What publishers get back of the server is not looked at.
//!
//! The first publication leaves `SETTLE` after the last connection is open, or when the warm-up is
//! over: a server may answer the upgrade before it has subscribed the connection.
//!
//! Never: prints, touches a socket.

mod layout;
mod ledger;
mod pending;
mod post;
mod profile;
mod track;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fanfare_codec::MessageKind;

use super::pace::{Arrivals, Pace};
use super::{Scenario, Schedule, Slots, Timing, Worker};
use crate::client::{Clients, Handler, Opening, Outbox, Piece, Route};
use crate::clock::Nanos;
use crate::fault::{Fault, FaultClass};
use crate::payload::{Reading, Stamp, Stamps};
use crate::stats::{Counter, Measure, Tally};
pub(crate) use layout::Layout;
use ledger::Ledger;
use pending::Pending;
pub(crate) use post::Post;
use post::Poster;
use profile::Whole;
use track::{Delivery, Track};

/// How long servers have to subscribe a connection that they have upgraded.
const SETTLE: Duration = Duration::from_millis(200);

/// The time between two looks at whether everything has arrived.
const SETTLED_CHECK: Duration = Duration::from_millis(5);

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
    per_second: f64,
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
            per_second: plan.per_second,
            threads: plan.threads,
            timing: plan.timing,
        }
    }

    /// How many threads have subscribers of each channel.
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
        let layout = self.shared.layout;
        let subscribers = slots.within(0..layout.subscribers).len();
        let mut tracks = Vec::new();
        let members = (slots.first..slots.first + subscribers).map(|number| {
            let channel = layout.channel_of_connection(number);
            let from = tracks.len();
            tracks.extend(layout.series_of_channel(channel).map(|_| Track::default()));
            Subscriber {
                channel: narrow(channel),
                tracks_from: from,
                changed: 0,
                is_live: false,
                reading: Reading::new(),
            }
        });
        Ok(FanoutWorker {
            fanout: self,
            slots,
            subscribers: members.collect(),
            tracks,
            publishers: (subscribers..slots.count)
                .map(|_| Publisher::default())
                .collect(),
            live: vec![0; layout.channels],
            pending: std::iter::repeat_with(Pending::default)
                .take(layout.series())
                .collect(),
            parts: self.threads_of_channels(),
            routes: Vec::new(),
            pace: None,
            next_in_turn: 0,
            touched: Vec::new(),
            posters: Vec::new(),
            wait: Wait::NotYet,
            random,
            tally: Tally::default(),
        })
    }
}

/// The connections of one thread: subscribers, then publishers.
pub(crate) struct FanoutWorker<'a> {
    fanout: &'a Fanout,
    slots: Slots,
    subscribers: Vec<Subscriber>,
    /// Of each subscriber, one after another, a track a series of its channel.
    tracks: Vec<Track>,
    publishers: Vec<Publisher>,
    /// Subscribers of each channel that are connected.
    live: Vec<u32>,
    /// Of each series.
    pending: Vec<Pending>,
    /// Of each channel, how many threads have subscribers.
    parts: Vec<u32>,
    /// Of each channel, once they are needed.
    routes: Vec<Option<Route>>,
    pace: Option<Pace>,
    /// The publisher that publishes next.
    next_in_turn: usize,
    /// Publishers that have got something to send in this tick.
    touched: Vec<usize>,
    /// The threads that publish over HTTP; the first worker has them.
    posters: Vec<JoinHandle<Tally>>,
    wait: Wait,
    random: fastrand::Rng,
    tally: Tally,
}

/// How far the wait for the last deliveries is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The load is on.
    NotYet,
    /// Others may still publish; look again at this time.
    ForPublishers { check: Nanos },
    /// Nobody publishes since `since`.
    ForDeliveries { since: Nanos, check: Nanos },
    /// Everything is there, or was waited for long enough.
    Over,
}

/// A connection that receives.
struct Subscriber {
    channel: u32,
    /// Where its tracks begin.
    tracks_from: usize,
    /// Deliveries that were changed on their way: each stands for one that is missing.
    changed: u64,
    is_live: bool,
    reading: Reading,
}

/// A connection that publishes.
#[derive(Debug, Default)]
struct Publisher {
    is_open: bool,
    /// The intended times of publications that are due.
    due: Vec<Nanos>,
}

/// A number of channels or series, of which there are fewer than 2³².
#[expect(clippy::cast_possible_truncation, reason = "flags have their limits")]
const fn narrow(number: usize) -> u32 {
    number as u32
}

impl FanoutWorker<'_> {
    /// Gives out the publications whose time has come, to the open publishers in turn.
    fn send_due(&mut self, now: Nanos, clients: &mut Clients<'_>) {
        while let Some(pace) = &mut self.pace
            && let Some(intended) = pace.take_due(now)
        {
            let Some(at) = self.next_open() else {
                break;
            };
            let publisher = &mut self.publishers[at];
            if publisher.due.is_empty() {
                self.touched.push(self.subscribers.len() + at);
            }
            publisher.due.push(intended);
        }
        while let Some(conn) = self.touched.pop() {
            clients.refill(conn, self);
        }
    }

    /// The next open publisher in turn.
    fn next_open(&mut self) -> Option<usize> {
        for _ in 0..self.publishers.len() {
            let at = self.next_in_turn;
            self.next_in_turn = (at + 1) % self.publishers.len();
            if self.publishers[at].is_open {
                return Some(at);
            }
        }
        None
    }

    /// Starts the publishers that post.
    fn start_posters(
        &mut self,
        schedule: Schedule,
        start: Nanos,
        post: &Arc<Post>,
        clients: &Clients<'_>,
    ) {
        let fanout = self.fanout;
        let layout = fanout.shared.layout;
        for number in 0..layout.publishers {
            let share = layout.series_of_publisher(number).len() as f64 / layout.series() as f64;
            let rate = fanout.per_second * share;
            let pace = Pace::new(fanout.arrivals, rate, start, self.random.fork());
            let shared = Arc::clone(&fanout.shared);
            let poster = Poster::new(shared, Arc::clone(post), number, clients.clock(), pace);
            let started = thread::Builder::new()
                .name(format!("publisher-{number}"))
                .spawn(move || poster.run(schedule.until));
            match started {
                Ok(thread) => self.posters.push(thread),
                Err(error) => {
                    let detail = format_args!("publisher {number}: no thread: {error}");
                    self.tally
                        .faults
                        .add(Fault::new(FaultClass::Refused, detail));
                }
            }
        }
    }

    #[cold]
    fn count(&mut self, conn: usize, class: FaultClass, what: &str) {
        self.count_many(1, conn, class, what);
    }

    #[cold]
    fn count_many(&mut self, count: u64, conn: usize, class: FaultClass, what: &str) {
        let number = self.slots.first + conn;
        let layout = self.fanout.shared.layout;
        let fault = match number.checked_sub(layout.subscribers) {
            None => Fault::new(class, format_args!("subscriber {number}: {what}")),
            Some(number) => Fault::new(class, format_args!("publisher {number}: {what}")),
        };
        self.tally.faults.add_many(count, fault);
    }

    /// A whole message has come: `stamp` is what it says, `None` if it is no publication.
    #[inline]
    fn deliver(&mut self, conn: usize, now: Nanos, stamp: Option<Stamp>, len: u64) {
        let Shared { layout, ledger, .. } = &*self.fanout.shared;
        let subscriber = &mut self.subscribers[conn];
        let Some(stamp) = stamp else {
            subscriber.changed += 1;
            let what = "a message is not what was published";
            return self.count(conn, FaultClass::Mismatch, what);
        };
        let series = stamp.series as usize;
        let channel = subscriber.channel as usize;
        if series >= layout.series()
            || layout.channel_of_series(series) != channel
            || stamp.seq >= ledger.sent(series)
        {
            let what = "a publication of another channel";
            return self.count(conn, FaultClass::Mismatch, what);
        }
        let track = subscriber.tracks_from + layout.place_in_channel(series);
        match self.tracks[track].deliver(stamp.seq) {
            Delivery::InOrder => {}
            Delivery::Late => {
                let what = "a publication came after a later one";
                self.count(conn, FaultClass::Disorder, what);
            }
            Delivery::Repeated => {
                return self.count(conn, FaultClass::Duplicate, "a publication came again");
            }
        }
        let latency = now.since(stamp.intended);
        let is_measured = self.fanout.shared.is_measured(stamp.intended);
        if is_measured {
            self.tally.add(Counter::Messages, 1);
            self.tally.add(Counter::PayloadBytes, len);
            self.tally.record(Measure::Latency, latency);
        }
        let pending = &mut self.pending[series];
        let whole = pending.deliver(stamp.seq, latency, self.live[channel], is_measured);
        let given_up = pending.take_given_up();
        if let Some(whole) = whole {
            self.hand_in(series, stamp.seq, whole);
        }
        if !given_up.is_empty() {
            self.give_up(series, &given_up);
        }
    }

    /// All subscribers of this thread have a publication.
    #[inline]
    fn hand_in(&mut self, series: usize, seq: u64, part: Whole) {
        let shared = &self.fanout.shared;
        let parts = self.parts[shared.layout.channel_of_series(series)];
        if parts == 1 {
            return self.complete(part);
        }
        let (whole, has_given_up) = shared.ledger.hand_in(series, seq, part, parts);
        if has_given_up {
            self.tally.add(Counter::PublicationsGivenUp, 1);
        }
        if let Some(whole) = whole {
            self.complete(whole);
        }
    }

    /// Everybody has a publication.
    fn complete(&mut self, whole: Whole) {
        if !whole.is_measured {
            return;
        }
        if let Some(figures) = whole.profile.figures() {
            self.tally.add(Counter::PublicationsComplete, 1);
            self.tally.record(Measure::DeliveryFirst, figures.first);
            self.tally.record(Measure::DeliveryMedian, figures.median);
            self.tally.record(Measure::DeliveryP99, figures.p99);
            self.tally.record(Measure::DeliveryLast, figures.last);
        }
    }

    #[cold]
    fn give_up(&mut self, series: usize, seqs: &[u64]) {
        for &seq in seqs {
            self.fanout.shared.ledger.mark_incomplete(series, seq);
            self.tally.add(Counter::PublicationsGivenUp, 1);
        }
    }

    /// Publications that a subscriber should have and does not, those behind the last that it has
    /// included if `with_tail`.
    fn missing(&self, subscriber: &Subscriber, with_tail: bool, failed: &[Vec<u64>]) -> u64 {
        let Shared { layout, ledger, .. } = &*self.fanout.shared;
        let tracks = &self.tracks[subscriber.tracks_from..];
        let of_series = |(series, track): (usize, &Track)| {
            let missing = track.missing(ledger.sent(series), with_tail);
            let is_excused = |seq: &&u64| track.misses(**seq);
            let excused = failed[series].iter().filter(is_excused).count() as u64;
            missing.saturating_sub(excused)
        };
        layout
            .series_of_channel(subscriber.channel as usize)
            .zip(tracks)
            .map(of_series)
            .sum::<u64>()
            .saturating_sub(subscriber.changed)
    }

    /// Of each series, the publications that the server did not take.
    fn failed(&self) -> Vec<Vec<u64>> {
        let Shared { layout, ledger, .. } = &*self.fanout.shared;
        (0..layout.series()).map(|s| ledger.failed(s)).collect()
    }

    /// Whether every subscriber has everything.
    fn has_everything(&self) -> bool {
        let failed = self.failed();
        let mut live = self.subscribers.iter().filter(|s| s.is_live);
        live.all(|subscriber| self.missing(subscriber, true, &failed) == 0)
    }

    /// Goes on with the wait for the last deliveries, and tells when to look again.
    fn proceed_to_wait(&mut self, now: Nanos) -> Nanos {
        let ledger = &self.fanout.shared.ledger;
        let next_check = now.after(SETTLED_CHECK);
        match self.wait {
            Wait::NotYet => return Nanos::MAX,
            Wait::Over => {}
            Wait::ForPublishers { check } | Wait::ForDeliveries { check, .. } if now < check => {
                return check;
            }
            Wait::ForPublishers { .. } => {
                self.wait = if ledger.is_published() {
                    Wait::ForDeliveries {
                        since: now,
                        check: now,
                    }
                } else {
                    Wait::ForPublishers { check: next_check }
                };
            }
            Wait::ForDeliveries { since, .. } => {
                let timeout = self.fanout.timing.timeout;
                self.wait = if now.duration_since(since) >= timeout || self.has_everything() {
                    ledger.stop_waiting();
                    Wait::Over
                } else {
                    Wait::ForDeliveries {
                        since,
                        check: next_check,
                    }
                };
            }
        }
        next_check
    }

    /// Counts what the subscribers miss.
    fn count_gaps(&mut self) {
        let failed = self.failed();
        for conn in 0..self.subscribers.len() {
            let subscriber = &self.subscribers[conn];
            // What was on its way when the run was cut short is not lost.
            let with_tail = subscriber.is_live && self.wait == Wait::Over;
            let missing = self.missing(subscriber, with_tail, &failed);
            if missing > 0 {
                let what = format!("{missing} publications never came");
                self.count_many(missing, conn, FaultClass::Gap, &what);
            }
        }
    }

    /// Tells the others which publications somebody here misses.
    fn mark_incomplete(&self) {
        let Shared { layout, ledger, .. } = &*self.fanout.shared;
        for (series, pending) in self.pending.iter().enumerate() {
            let channel = layout.channel_of_series(series);
            if self.parts[channel] < 2 || self.live[channel] == 0 {
                continue;
            }
            let unseen = pending.end()..ledger.sent(series);
            for seq in pending.incomplete().chain(unseen) {
                ledger.mark_incomplete(series, seq);
            }
        }
    }

    fn lose_subscriber(&mut self, conn: usize) {
        let subscriber = &mut self.subscribers[conn];
        if !std::mem::take(&mut subscriber.is_live) {
            return;
        }
        let channel = subscriber.channel as usize;
        let from = subscriber.tracks_from;
        self.live[channel] -= 1;
        let series = self.fanout.shared.layout.series_of_channel(channel);
        for (place, series) in series.enumerate() {
            let track = &self.tracks[from + place];
            let complete = self.pending[series].forget_subscriber(|seq| track.misses(seq));
            for (seq, whole) in complete {
                self.hand_in(series, seq, whole);
            }
        }
    }
}

impl Worker for FanoutWorker<'_> {
    fn connect(&mut self, conn: usize, route: &Route, clients: &mut Clients<'_>) {
        let shared = &self.fanout.shared;
        let number = self.slots.first + conn;
        let channel = shared.layout.channel_of_connection(number);
        if self.routes.is_empty() {
            self.routes.resize(shared.layout.channels, None);
        }
        if self.routes[channel].is_none() {
            let path = route
                .as_str()
                .replace("{channel}", &shared.channels[channel]);
            match Route::new(path) {
                Ok(route) => self.routes[channel] = Some(route),
                Err(error) => return self.lost(conn, Fault::new(FaultClass::Handshake, error)),
            }
        }
        let expanded = self.routes[channel].take();
        if let Some(expanded) = &expanded {
            clients.connect(conn, expanded, self);
        }
        self.routes[channel] = expanded;
    }

    fn begin(&mut self, schedule: Schedule, now: Nanos, clients: &mut Clients<'_>) {
        let fanout = self.fanout;
        fanout.shared.ledger.begin(schedule);
        let start = now.after(SETTLE).min(schedule.from);
        if !self.publishers.is_empty() {
            let share = self.publishers.len() as f64 / fanout.shared.layout.publishers as f64;
            let rate = fanout.per_second * share;
            let random = self.random.fork();
            self.pace = Some(Pace::new(fanout.arrivals, rate, start, random));
        }
        if self.slots.first == 0
            && let Some(post) = &fanout.post
        {
            self.start_posters(schedule, start, post, clients);
        }
    }

    fn tick(&mut self, now: Nanos, clients: &mut Clients<'_>) -> Nanos {
        self.send_due(now, clients);
        let next_check = self.proceed_to_wait(now);
        let next_send = self.pace.as_ref().map_or(Nanos::MAX, Pace::next);
        next_send.min(next_check)
    }

    fn end(&mut self, now: Nanos, _clients: &mut Clients<'_>) {
        self.pace = None;
        self.fanout.shared.ledger.stop_running();
        self.wait = Wait::ForPublishers { check: now };
    }

    fn is_drained(&self) -> bool {
        self.wait == Wait::Over && self.fanout.shared.ledger.is_settled()
    }

    fn finish(&mut self) {
        for poster in self.posters.drain(..) {
            match poster.join() {
                Ok(tally) => self.tally.merge(tally),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        self.count_gaps();
        self.mark_incomplete();
        for whole in self.fanout.shared.ledger.finish() {
            self.complete(whole);
        }
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

impl Handler for FanoutWorker<'_> {
    fn opened(&mut self, conn: usize, _opening: &Opening) {
        if let Some(subscriber) = self.subscribers.get_mut(conn) {
            subscriber.is_live = true;
            self.live[subscriber.channel as usize] += 1;
        } else {
            self.publishers[conn - self.subscribers.len()].is_open = true;
        }
    }

    #[inline]
    fn data(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>) {
        let stamps = &self.fanout.shared.stamps;
        let Some(subscriber) = self.subscribers.get_mut(conn) else {
            return; // what a publisher gets
        };
        // Over HTTP the server chooses.
        let is_kind = piece.kind == self.fanout.kind || self.fanout.post.is_some();
        let len = piece.offset.saturating_add(piece.data.len() as u64);
        let stamp = if piece.offset == 0 && piece.ends_message {
            stamps.read_whole(piece.data)
        } else {
            if piece.offset == 0 {
                subscriber.reading = Reading::new();
            }
            subscriber.reading.push(stamps, piece.offset, piece.data);
            if !piece.ends_message {
                return;
            }
            subscriber.reading.finish(stamps, len)
        };
        self.deliver(conn, now, stamp.filter(|_| is_kind), len);
    }

    fn refill(&mut self, conn: usize, now: Nanos, out: &mut Outbox) {
        let Some(at) = conn.checked_sub(self.subscribers.len()) else {
            return;
        };
        let shared = &self.fanout.shared;
        let series = self.slots.first + conn - shared.layout.subscribers;
        for intended in self.publishers[at].due.drain(..) {
            let stamp = Stamp {
                series: narrow(series),
                seq: shared.ledger.publish(series),
                intended,
            };
            let (front, filler) = shared.stamps.publication(stamp);
            out.message(self.fanout.kind, &[&front, filler]);
            if shared.is_measured(intended) {
                self.tally.add(Counter::Publications, 1);
                self.tally.record(Measure::SendLag, now.since(intended));
            }
        }
    }

    fn lost(&mut self, conn: usize, fault: Fault) {
        match conn.checked_sub(self.subscribers.len()) {
            None => self.lose_subscriber(conn),
            Some(at) => self.publishers[at] = Publisher::default(),
        }
        self.count(conn, fault.class, &fault.detail);
    }
}
