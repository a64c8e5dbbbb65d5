//! What the subscribers of one thread miss. In: what they have, and what was sent. Out: whether they have
//! everything, and in the end what never came.
//!
//! Never: waits.

use super::Shared;
use super::audience::{Audience, Subscriber};
use super::track::Track;
use crate::fault::FaultClass;
use crate::stats::Tally;

impl Audience<'_> {
    /// Publications that a subscriber should have and does not, those behind the last that it has
    /// included if `with_tail`. One that came changed is not among them.
    fn missing(&self, subscriber: &Subscriber, with_tail: bool, failed: &[Vec<u64>]) -> u64 {
        let lacking = self.lacking(subscriber, with_tail, failed);
        lacking.saturating_sub(subscriber.changed)
    }

    /// The same, changed ones included.
    fn lacking(&self, subscriber: &Subscriber, with_tail: bool, failed: &[Vec<u64>]) -> u64 {
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
            .sum()
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
            let Some(place) = self.places.get(conn) else {
                continue;
            };
            let lacking = self.lacking(subscriber, with_tail, &failed);
            let skipped = place.skipped().saturating_sub(lacking);
            if skipped > 0 {
                let what = format!("{skipped} offsets never came");
                self.count(skipped, conn, FaultClass::Gap, &what, tally);
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
}
