//! Where each subscriber stands in its channel. In: subscriptions, and publications with their offsets.
//! Out: deliveries to the [`Audience`], offsets that do not rise by one, and the position to come back to.
//!
//! What is missing, late or repeated among the publications of this run shows in them themselves, and
//! their offsets then tell the same once more. So an offset is a fault only where they tell nothing: one
//! that comes behind a later offset, though its publication is in order among its publisher's
//! (`disorder`); one that the subscriber had, or none (`mismatch`); and in the end those that were left
//! out and that no missing publication accounts for (`gap`).
//!
//! Never: sends, knows an encoding.

use super::Dialect;
use crate::centrifuge::{Publication, Recovery, Subscribed};
use crate::clock::Nanos;
use crate::fault::FaultClass;
use crate::payload::Content;
use crate::scenario::fanout::audience::Audience;
use crate::scenario::fanout::track::{Delivery, Track};
use crate::stats::Tally;

/// No channel has so many publications.
const OFFSET_MAX: u64 = 1 << 62;

/// A subscriber's place.
#[derive(Debug, Default)]
pub(in crate::scenario::fanout) struct Place {
    /// Offsets in the epoch, since the subscription began as a new one.
    offsets: Track,
    epoch: Box<str>,
    standing: Standing,
    /// Offsets that were left out before that.
    skipped_before: u64,
    /// Publications that were told under an offset that was not theirs: each stands for one left out.
    misplaced: u64,
}

/// What a subscription promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// Nothing.
    #[default]
    None,
    /// Every offset, or to say so.
    Positioned,
    /// The same, and what is behind an offset to whoever comes back.
    Recoverable,
}

impl Place {
    /// Nothing is promised any more.
    pub(in crate::scenario::fanout) fn forget(&mut self) {
        self.standing = Standing::None;
    }

    /// Offsets that were left out and that no misplaced publication accounts for.
    pub(in crate::scenario::fanout) fn skipped(&self) -> u64 {
        let skipped = self.skipped_before + self.offsets.missing(0, false);
        skipped.saturating_sub(self.misplaced)
    }

    /// Where to come back to.
    pub(super) fn recovery(&self) -> Option<Recovery<'_>> {
        (self.standing == Standing::Recoverable).then(|| Recovery {
            offset: self.offsets.next() - 1,
            epoch: &self.epoch,
        })
    }

    /// A subscription has begun behind an offset.
    fn begin(&mut self, subscribed: &Subscribed<'_>) {
        self.skipped_before += self.offsets.missing(0, false);
        self.offsets = Track::starting_at(subscribed.offset.min(OFFSET_MAX) + 1);
        self.standing = match (subscribed.is_recoverable, subscribed.is_positioned) {
            (true, _) => Standing::Recoverable,
            (false, true) => Standing::Positioned,
            (false, false) => Standing::None,
        };
        self.epoch.clone_from(&subscribed.epoch);
    }
}

impl Audience<'_> {
    /// Subscriber `conn` has a new subscription.
    pub(super) fn take_place(&mut self, conn: usize, subscribed: &Subscribed<'_>) {
        self.places[conn].begin(subscribed);
    }

    /// Whether `subscribed` goes on where subscriber `conn` stands.
    pub(super) fn is_continued(&self, conn: usize, subscribed: &Subscribed<'_>) -> bool {
        subscribed.has_recovered && self.places[conn].epoch == subscribed.epoch
    }

    /// Where subscriber `conn` is to come back to, if it is owed what is behind that.
    pub(in crate::scenario::fanout) fn recovery(&self, conn: usize) -> Option<Recovery<'_>> {
        let place = self.places.get(conn)?;
        self.is_owed(conn).then(|| place.recovery()).flatten()
    }

    /// A publication has come to subscriber `conn`, on its channel; `is_kind`: in the kind of message that
    /// it has to come in.
    #[inline]
    pub(super) fn take_publication(
        &mut self,
        conn: usize,
        now: Nanos,
        dialect: &Dialect,
        publication: Publication<'_>,
        is_kind: bool,
        tally: &mut Tally,
    ) {
        let stamps = &self.shared.stamps;
        match dialect.delivery.open(stamps, publication.data).content {
            Content::Publication(stamp) if is_kind => {
                let len = stamps.len(stamp);
                if let Some(delivery) = self.deliver(conn, now, stamp, len, tally) {
                    self.follow(conn, publication.offset, delivery, tally);
                }
            }
            content => {
                let was_published = !matches!(content, Content::Stranger);
                self.reject(conn, was_published, tally);
                if self.has_offsets(conn) && is_plausible(publication.offset) {
                    self.places[conn].offsets.deliver(publication.offset);
                }
            }
        }
    }

    #[inline]
    fn has_offsets(&self, conn: usize) -> bool {
        self.places[conn].standing != Standing::None
    }

    /// A publication of this run is `delivery`, and was told under `offset`.
    #[inline]
    fn follow(&mut self, conn: usize, offset: u64, delivery: Delivery, tally: &mut Tally) {
        if !self.has_offsets(conn) {
            return;
        }
        let place = &mut self.places[conn];
        let placed = if is_plausible(offset) {
            place.offsets.deliver(offset)
        } else {
            Delivery::Repeated
        };
        let is_counted = matches!(delivery, Delivery::Late { .. } | Delivery::Repeated);
        let (class, what) = match placed {
            Delivery::InOrder => return,
            _ if is_counted => return,
            Delivery::Late { .. } => (
                FaultClass::Disorder,
                format!("offset {offset} came behind a later one"),
            ),
            Delivery::Unowed | Delivery::Repeated => {
                place.misplaced += 1;
                let what =
                    format!("a publication came under offset {offset}, which is not its own");
                (FaultClass::Mismatch, what)
            }
        };
        self.count(1, conn, class, &what, tally);
    }
}

/// Whether a publication may have this offset.
#[inline]
const fn is_plausible(offset: u64) -> bool {
    offset > 0 && offset <= OFFSET_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribed(epoch: &str, offset: u64) -> Subscribed<'_> {
        Subscribed {
            is_recoverable: true,
            epoch: epoch.into(),
            offset,
            ..Subscribed::default()
        }
    }

    fn position(place: &Place) -> Option<(u64, String)> {
        let recovery = place.recovery()?;
        Some((recovery.offset, recovery.epoch.to_owned()))
    }

    #[test]
    fn a_place_is_the_last_offset_of_its_epoch_until_it_is_forgotten() {
        let mut place = Place::default();
        assert_eq!(position(&place), None);
        place.begin(&subscribed("a", 7));
        assert_eq!(position(&place), Some((7, "a".to_owned())));
        for (offset, delivery) in [
            (8, Delivery::InOrder),
            (11, Delivery::InOrder),
            (10, Delivery::Late { is_owed: true }),
            (7, Delivery::Repeated),
        ] {
            assert_eq!(place.offsets.deliver(offset), delivery, "{offset}");
        }
        assert_eq!(position(&place), Some((11, "a".to_owned())));
        place.forget();
        assert_eq!(position(&place), None);
        assert_eq!(place.skipped(), 1);
        place.begin(&subscribed("b", 2));
        assert_eq!(position(&place), Some((2, "b".to_owned())));
        place.offsets.deliver(5);
        assert_eq!(place.skipped(), 3);
        place.misplaced = 1;
        assert_eq!(place.skipped(), 2);
    }
}
