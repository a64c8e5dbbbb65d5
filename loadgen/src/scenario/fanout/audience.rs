//! The subscribers of one thread. In: what arrives on their connections. Out: what each delivery is, how
//! long it took and which publications all have.
//!
//! Never: sends, waits, knows a publisher.

use fanfare_codec::MessageKind;

use super::centrifuge::Place;
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
    /// Of each subscriber, if it speaks the Centrifuge protocol.
    pub(super) places: Vec<Place>,
    /// The number, in the whole run, of subscriber 0.
    pub(super) first: usize,
    pub(super) subscribers: Vec<Subscriber>,
    /// Of each subscriber, one after another, a track a series of its channel.
    pub(super) tracks: Vec<Track>,
    /// Subscribers of each channel that are connected.
    pub(super) live: Vec<u32>,
    /// Of each series.
    pub(super) pending: Vec<Pending>,
    /// Of each channel, how many threads have subscribers.
    pub(super) parts: Vec<u32>,
}

/// A connection that receives.
pub(super) struct Subscriber {
    pub(super) channel: u32,
    /// Where its tracks begin.
    pub(super) tracks_from: usize,
    /// Deliveries that were changed on their way: each stands for one that is missing.
    pub(super) changed: u64,
    /// It is owed what is published.
    pub(super) is_live: bool,
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
            places: Vec::new(),
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

    /// The same, of subscribers that speak the Centrifuge protocol.
    pub(super) fn with_places(mut self) -> Self {
        self.places
            .resize_with(self.subscribers.len(), Place::default);
        self
    }

    /// Whether subscriber `conn` is on `channel`.
    #[inline]
    pub(super) fn is_channel_of(&self, conn: usize, channel: &[u8]) -> bool {
        let own = self.subscribers[conn].channel as usize;
        self.shared.channels[own].as_bytes() == channel
    }

    /// How many subscribers there are, connected or not.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.subscribers.len()
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

    /// A publication has come; `stamp` is what it says. Tells what it is to the subscriber; `None`: it
    /// should not have come.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        conn: usize,
        now: Nanos,
        stamp: Stamp,
        len: u64,
        tally: &mut Tally,
    ) -> Option<Delivery> {
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
            return None;
        }
        let track = subscriber.tracks_from + layout.place_in_channel(series);
        let delivery = self.tracks[track].deliver(stamp.seq);
        let is_owed = match delivery {
            Delivery::InOrder => true,
            Delivery::Unowed => false,
            Delivery::Late { is_owed } => {
                let what = "a publication came after a later one";
                self.count(1, conn, FaultClass::Disorder, what, tally);
                is_owed
            }
            Delivery::Repeated => {
                let what = "a publication came again";
                self.count(1, conn, FaultClass::Duplicate, what, tally);
                return Some(delivery);
            }
        };
        let latency = now.since(stamp.intended);
        let is_measured = self.shared.is_measured(stamp.intended);
        if is_measured {
            tally.add(Counter::Messages, 1);
            tally.add(Counter::PayloadBytes, len);
            tally.record(Measure::Latency, latency);
        }
        if is_owed {
            let pending = &mut self.pending[series];
            let whole = pending.deliver(stamp.seq, latency, self.live[channel], is_measured);
            if let Some(whole) = whole {
                self.hand_in(series, stamp.seq, whole, tally);
            }
            self.give_up(series, tally);
        }
        Some(delivery)
    }

    /// All subscribers of this thread have a publication.
    #[inline]
    pub(super) fn hand_in(&self, series: usize, seq: u64, part: Whole, tally: &mut Tally) {
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
    pub(super) fn complete(whole: Whole, tally: &mut Tally) {
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

    /// Notes the publications of a series that there is no room to follow.
    #[inline]
    pub(super) fn give_up(&mut self, series: usize, tally: &mut Tally) {
        for seq in self.pending[series].take_given_up() {
            self.shared.ledger.mark_incomplete(series, seq);
            tally.add(Counter::PublicationsGivenUp, 1);
        }
    }

    #[cold]
    pub(super) fn count(
        &self,
        count: u64,
        conn: usize,
        class: FaultClass,
        what: &str,
        tally: &mut Tally,
    ) {
        let number = self.first + conn;
        let fault = Fault::new(class, format_args!("subscriber {number}: {what}"));
        tally.faults.add_many(count, fault);
    }
}
