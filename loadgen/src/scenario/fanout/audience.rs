//! The subscribers of one thread. In: what arrives on their connections. Out: what each delivery is, how
//! long it took, which publications all have, and in the end which never came.
//!
//! Never: sends, waits, knows a publisher.

use fanfare_codec::MessageKind;

use super::pending::Pending;
use super::profile::Whole;
use super::sealed::Seal;
use super::track::{Delivery, Track};
use super::{Shared, narrow};
use crate::client::Piece;
use crate::clock::Nanos;
use crate::fault::{Fault, FaultClass};
use crate::payload::{Envelope, Reading, Stamp};
use crate::stats::{Counter, Measure, Tally};

/// The subscribers of one thread, and what they have.
pub(super) struct Audience<'a> {
    pub(super) shared: &'a Shared,
    /// The kind of every publication; `None` if the server chooses.
    pub(super) kind: Option<MessageKind>,
    /// What stands around a publication, if anything does.
    pub(super) envelope: Option<&'a Envelope>,
    /// Of each subscriber, if there is an envelope.
    pub(super) seals: Vec<Seal>,
    /// The number, in the whole run, of subscriber 0.
    first: usize,
    subscribers: Vec<Subscriber>,
    /// Of each subscriber, one after another, a track a series of its channel.
    tracks: Vec<Track>,
    /// Subscribers of each channel that are connected.
    live: Vec<u32>,
    /// Of each series.
    pending: Vec<Pending>,
    /// Of each channel, how many threads have subscribers.
    parts: Vec<u32>,
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

impl<'a> Audience<'a> {
    /// `count` subscribers from number `first` of the run on; `parts` threads have subscribers of each
    /// channel.
    pub(super) fn new(
        shared: &'a Shared,
        kind: Option<MessageKind>,
        envelope: Option<&'a Envelope>,
        first: usize,
        count: usize,
        parts: Vec<u32>,
    ) -> Self {
        let layout = shared.layout;
        let mut tracks = Vec::new();
        let subscriber = |number| {
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
        };
        Self {
            subscribers: (first..first + count).map(subscriber).collect(),
            shared,
            kind,
            seals: std::iter::repeat_with(Seal::new)
                .take(envelope.map_or(0, |_| count))
                .collect(),
            envelope,
            first,
            tracks,
            live: vec![0; layout.channels],
            pending: std::iter::repeat_with(Pending::default)
                .take(layout.series())
                .collect(),
            parts,
        }
    }

    /// How many subscribers there are, connected or not.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.subscribers.len()
    }

    /// Subscriber `conn` is connected.
    pub(super) fn join(&mut self, conn: usize) {
        let subscriber = &mut self.subscribers[conn];
        subscriber.is_live = true;
        self.live[subscriber.channel as usize] += 1;
    }

    /// Subscriber `conn` is gone, if it was there: nobody waits for it any more.
    pub(super) fn leave(&mut self, conn: usize, tally: &mut Tally) {
        let subscriber = &mut self.subscribers[conn];
        if !std::mem::take(&mut subscriber.is_live) {
            return;
        }
        let channel = subscriber.channel as usize;
        let from = subscriber.tracks_from;
        self.live[channel] -= 1;
        let series = self.shared.layout.series_of_channel(channel);
        for (place, series) in series.enumerate() {
            let track = &self.tracks[from + place];
            let complete = self.pending[series].forget_subscriber(|seq| track.misses(seq, true));
            for (seq, whole) in complete {
                self.hand_in(series, seq, whole, tally);
            }
        }
    }

    /// A piece of a message has come to subscriber `conn`.
    #[inline]
    pub(super) fn take(&mut self, conn: usize, now: Nanos, piece: &Piece<'_>, tally: &mut Tally) {
        if self.envelope.is_some() {
            return self.take_sealed(conn, now, piece, tally);
        }
        let stamps = &self.shared.stamps;
        let reading = &mut self.subscribers[conn].reading;
        let len = piece.offset.saturating_add(piece.data.len() as u64);
        let is_whole = piece.offset == 0 && piece.ends_message;
        let stamp = if is_whole {
            stamps.read_whole(piece.data)
        } else {
            if piece.offset == 0 {
                *reading = Reading::new();
            }
            reading.push(stamps, piece.offset, piece.data);
            if !piece.ends_message {
                return;
            }
            reading.finish(stamps, len)
        };
        let is_kind = self.kind.is_none_or(|kind| kind == piece.kind);
        if let Some(stamp) = stamp
            && is_kind
        {
            self.deliver(conn, now, stamp, len, tally);
        } else {
            let front = if is_whole {
                piece.data
            } else {
                reading.front()
            };
            let was_published = stamps.resembles(front, len);
            self.reject(conn, was_published, tally);
        }
    }

    /// A message has come that is no publication; `was_published`: it was one, and is changed.
    #[cold]
    pub(super) fn reject(&mut self, conn: usize, was_published: bool, tally: &mut Tally) {
        let what = if was_published {
            self.subscribers[conn].changed += 1;
            "a message is not what was published"
        } else {
            "a message came that nobody has published"
        };
        self.count(1, conn, FaultClass::Mismatch, what, tally);
    }

    /// A publication has come; `stamp` is what it says. Tells whether it is one that the subscriber did
    /// not have, nor one behind it.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        conn: usize,
        now: Nanos,
        stamp: Stamp,
        len: u64,
        tally: &mut Tally,
    ) -> bool {
        let Shared { layout, ledger, .. } = self.shared;
        let subscriber = &self.subscribers[conn];
        let series = stamp.series as usize;
        let channel = subscriber.channel as usize;
        if series >= layout.series()
            || layout.channel_of_series(series) != channel
            || stamp.seq >= ledger.sent(series)
        {
            let what = "a publication of another channel";
            self.count(1, conn, FaultClass::Mismatch, what, tally);
            return false;
        }
        let track = subscriber.tracks_from + layout.place_in_channel(series);
        let delivery = self.tracks[track].deliver(stamp.seq);
        match delivery {
            Delivery::InOrder => {}
            Delivery::Late => {
                let what = "a publication came after a later one";
                self.count(1, conn, FaultClass::Disorder, what, tally);
            }
            Delivery::Repeated => {
                let what = "a publication came again";
                self.count(1, conn, FaultClass::Duplicate, what, tally);
                return false;
            }
        }
        let latency = now.since(stamp.intended);
        let is_measured = self.shared.is_measured(stamp.intended);
        if is_measured {
            tally.add(Counter::Messages, 1);
            tally.add(Counter::PayloadBytes, len);
            tally.record(Measure::Latency, latency);
        }
        let pending = &mut self.pending[series];
        let whole = pending.deliver(stamp.seq, latency, self.live[channel], is_measured);
        let given_up = pending.take_given_up();
        if let Some(whole) = whole {
            self.hand_in(series, stamp.seq, whole, tally);
        }
        if !given_up.is_empty() {
            self.give_up(series, &given_up, tally);
        }
        delivery == Delivery::InOrder
    }

    /// All subscribers of this thread have a publication.
    #[inline]
    fn hand_in(&self, series: usize, seq: u64, part: Whole, tally: &mut Tally) {
        let shared = &self.shared;
        let parts = self.parts[shared.layout.channel_of_series(series)];
        if parts == 1 {
            return Self::complete(part, tally);
        }
        let (whole, has_given_up) = shared.ledger.hand_in(series, seq, part, parts);
        if has_given_up {
            tally.add(Counter::PublicationsGivenUp, 1);
        }
        if let Some(whole) = whole {
            Self::complete(whole, tally);
        }
    }

    /// Everybody has a publication.
    fn complete(whole: Whole, tally: &mut Tally) {
        if !whole.is_measured {
            return;
        }
        if let Some(figures) = whole.profile.figures() {
            tally.add(Counter::PublicationsComplete, 1);
            tally.record(Measure::DeliveryFirst, figures.first);
            tally.record(Measure::DeliveryMedian, figures.median);
            tally.record(Measure::DeliveryP99, figures.p99);
            tally.record(Measure::DeliveryLast, figures.last);
        }
    }

    #[cold]
    fn give_up(&self, series: usize, seqs: &[u64], tally: &mut Tally) {
        for &seq in seqs {
            self.shared.ledger.mark_incomplete(series, seq);
            tally.add(Counter::PublicationsGivenUp, 1);
        }
    }

    /// Publications that a subscriber should have and does not, those behind the last that it has
    /// included if `with_tail`.
    fn missing(&self, subscriber: &Subscriber, with_tail: bool, failed: &[Vec<u64>]) -> u64 {
        let Shared { layout, ledger, .. } = self.shared;
        let tracks = &self.tracks[subscriber.tracks_from..];
        let of_series = |(series, track): (usize, &Track)| {
            let missing = track.missing(ledger.sent(series), with_tail);
            let is_excused = |seq: &&u64| track.misses(**seq, with_tail);
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
        let Shared { layout, ledger, .. } = self.shared;
        (0..layout.series()).map(|s| ledger.failed(s)).collect()
    }

    /// Whether every subscriber has everything.
    pub(super) fn has_everything(&self) -> bool {
        let failed = self.failed();
        let mut live = self.subscribers.iter().filter(|s| s.is_live);
        live.all(|subscriber| self.missing(subscriber, true, &failed) == 0)
    }

    /// Nothing more arrives; `is_waited_for`: it was waited for everything, as long as it may take.
    pub(super) fn finish(&self, is_waited_for: bool, tally: &mut Tally) {
        self.count_gaps(is_waited_for, tally);
        self.mark_incomplete();
        for whole in self.shared.ledger.finish() {
            Self::complete(whole, tally);
        }
    }

    /// Counts what the subscribers miss.
    fn count_gaps(&self, is_waited_for: bool, tally: &mut Tally) {
        let failed = self.failed();
        for (conn, subscriber) in self.subscribers.iter().enumerate() {
            // What was on its way when the run was cut short is not lost.
            let with_tail = subscriber.is_live && is_waited_for;
            let missing = self.missing(subscriber, with_tail, &failed);
            if missing > 0 {
                let what = format!("{missing} publications never came");
                self.count(missing, conn, FaultClass::Gap, &what, tally);
            }
        }
    }

    /// Tells the others which publications somebody here misses.
    fn mark_incomplete(&self) {
        let Shared { layout, ledger, .. } = self.shared;
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

    #[cold]
    fn count(&self, count: u64, conn: usize, class: FaultClass, what: &str, tally: &mut Tally) {
        let number = self.first + conn;
        let fault = Fault::new(class, format_args!("subscriber {number}: {what}"));
        tally.faults.add_many(count, fault);
    }
}
