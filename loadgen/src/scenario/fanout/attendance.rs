//! Who is there of the subscribers of one thread. In: those that connect, are lost, and come back. Out:
//! which publications they are owed, and those that nobody is waited for any more.
//!
//! A subscriber is owed what is published while it is connected, and, if it comes back to where it stood,
//! what was published meanwhile: then it never left.
//!
//! Never: connects.

use super::audience::Audience;
use super::profile::{Profile, Whole};
use crate::stats::Tally;

impl Audience<'_> {
    /// Subscriber `conn` is connected, and owed what is published from now on. What it gets of what was
    /// published before is in order, too: the server may have subscribed it before it said so.
    pub(super) fn join(&mut self, conn: usize, tally: &mut Tally) {
        let subscriber = &mut self.subscribers[conn];
        if std::mem::replace(&mut subscriber.is_live, true) {
            return;
        }
        let (channel, from) = (subscriber.channel as usize, subscriber.tracks_from);
        let live = self.live[channel];
        self.live[channel] += 1;
        let series = self.shared.layout.series_of_channel(channel);
        for (place, series) in series.enumerate() {
            let sent = self.shared.ledger.sent(series);
            self.tracks[from + place].excuse(sent);
            // Publications that wait for other threads do not wait for this one.
            for seq in self.pending[series].expect(sent, live) {
                let nobody = Whole {
                    profile: Profile::default(),
                    is_measured: false,
                };
                self.hand_in(series, seq, nobody, tally);
            }
            self.give_up(series, tally);
        }
    }

    /// Subscriber `conn` is gone, if it was there: nobody waits for it any more, and where it stood is
    /// forgotten.
    pub(super) fn leave(&mut self, conn: usize, tally: &mut Tally) {
        let subscriber = &mut self.subscribers[conn];
        if !std::mem::take(&mut subscriber.is_live) {
            return;
        }
        let channel = subscriber.channel as usize;
        let from = subscriber.tracks_from;
        self.live[channel] -= 1;
        let series = self.shared.layout.series_of_channel(channel);
        let mut holes = 0;
        for (place, series) in series.enumerate() {
            let track = &self.tracks[from + place];
            holes += track.missing(0, false);
            let complete = self.pending[series].forget_subscriber(|seq| track.misses(seq, true));
            for (seq, whole) in complete {
                self.hand_in(series, seq, whole, tally);
            }
        }
        // What was changed behind all that it has is missing no more: it stands for no gap of later.
        let subscriber = &mut self.subscribers[conn];
        subscriber.changed = subscriber.changed.min(holes);
        if let Some(seal) = self.seals.get_mut(conn) {
            seal.forget_position();
        }
        if let Some(place) = self.places.get_mut(conn) {
            place.forget();
        }
    }

    /// Subscriber `conn` is connected again, where it stood.
    pub(super) fn resume(&mut self, conn: usize) {
        if let Some(seal) = self.seals.get_mut(conn) {
            seal.note_resumption();
        }
    }

    /// Whether subscriber `conn` is owed what is published.
    pub(super) fn is_owed(&self, conn: usize) -> bool {
        self.subscribers[conn].is_live
    }

    /// Where subscriber `conn` stands in its channel; `None` if it was not told.
    pub(super) fn position(&self, conn: usize) -> Option<&[u8]> {
        self.seals.get(conn)?.position()
    }
}
