//! The subscribers of one channel on one worker, and where its inbox stands in the channel's stream. In:
//! answers, publications and marks in the inbox's order. Out: who takes a publication, who has missed one.
//!
//! Never: walks the subscribers for a publication that follows the one before.

use super::{ConnToken, SubscriptionId};
use crate::channel::Channel;
use crate::position::Position;
use crate::publication::Publication;
use crate::slots::SlotId;

/// What may be said to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The engine has not answered.
    Pending,
    /// It takes what comes.
    Live,
    /// It takes what comes, and is told of holes.
    Positioned,
    /// It has missed something and takes nothing more.
    Insufficient,
}

/// A subscriber of a channel.
#[derive(Debug)]
pub struct Subscriber<S> {
    pub(super) conn: ConnToken,
    /// It has, or does not want, what is up to here.
    pub(super) after: u64,
    pub(super) slot: SlotId,
    pub(super) state: State,
    pub(super) data: S,
}

const _: () = assert!(size_of::<Subscriber<()>>() <= 32);

impl<S> Subscriber<S> {
    /// Its connection.
    #[must_use]
    pub const fn conn(&self) -> ConnToken {
        self.conn
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> SubscriptionId {
        SubscriptionId(self.slot)
    }

    /// What the worker keeps with it.
    #[must_use]
    pub const fn data(&self) -> &S {
        &self.data
    }

    /// Whether it gets anything now.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.state, State::Live | State::Positioned)
    }

    /// Whether `publication`, which came behind its answer and which the table has accepted, is for it.
    ///
    /// Who hands out a whole batch at once asks for the first that came behind the answer: if it takes one
    /// it takes all behind that.
    #[must_use]
    pub fn takes(&self, publication: &Publication) -> bool {
        let is_new = publication.position.is_none_or(|p| p.offset > self.after);
        self.is_live() && is_new
    }
}

/// What an answer says to its subscriber.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// Where the stream stands.
    pub(super) position: Option<Position>,
    /// It is told of holes.
    pub(super) is_positioned: bool,
}

/// A channel with subscribers on this worker.
#[derive(Debug)]
pub(super) struct ChannelEntry<C, S> {
    pub(super) name: Channel,
    /// The epoch, and how far the inbox is in the channel's stream: 0 until the first publication, however
    /// far the answers are, since an answer may come before publications that it speaks of. There is one
    /// as long as anyone follows positions.
    pub(super) cursor: Option<Position>,
    pub(super) subscribers: Vec<Subscriber<S>>,
    pub(super) data: C,
}

impl<C, S> ChannelEntry<C, S> {
    /// The subscriber at `index` is answered.
    pub(super) fn activate(
        &mut self,
        index: usize,
        start: Start,
        missed: &mut Vec<SubscriptionId>,
    ) {
        let is_behind = start.position.is_some_and(|at| self.reach(at, missed));
        let subscriber = &mut self.subscribers[index];
        subscriber.after = start.position.map_or(0, |position| position.offset);
        if !start.is_positioned || start.position.is_none() {
            subscriber.state = State::Live;
        } else if !is_behind {
            subscriber.state = State::Positioned;
        } else {
            subscriber.state = State::Insufficient;
            missed.push(subscriber.id());
        }
    }

    /// An answer says that the stream stands at `position`. Out: whether the inbox is further than that,
    /// which no engine promises: what came between is gone for whoever got the answer.
    fn reach(&mut self, position: Position, missed: &mut Vec<SubscriptionId>) -> bool {
        let start = Position {
            offset: 0,
            ..position
        };
        match self.cursor {
            Some(cursor) if cursor.epoch == position.epoch => {
                return cursor.offset > position.offset;
            }
            Some(_) => self.begin(start, missed),
            None => self.cursor = Some(start),
        }
        false
    }

    /// Where the positioned subscriber at `index` is.
    pub(super) fn position(&self, index: usize) -> Option<Position> {
        let subscriber = &self.subscribers[index];
        let cursor = self
            .cursor
            .filter(|_| subscriber.state == State::Positioned)?;
        Some(Position {
            offset: cursor.offset.max(subscriber.after),
            ..cursor
        })
    }

    /// A publication has `position`. Out: whether anyone may lack it.
    pub(super) fn advance(&mut self, position: Position, missed: &mut Vec<SubscriptionId>) -> bool {
        match self.cursor {
            Some(cursor) if cursor.epoch == position.epoch => {
                if position.offset <= cursor.offset {
                    return false;
                }
                if position.offset - cursor.offset > 1 {
                    self.leave_behind(position.offset - 1, cursor.offset, missed);
                }
                self.cursor = Some(position);
            }
            Some(_) => self.begin(position, missed),
            None => self.cursor = Some(position),
        }
        true
    }

    /// A new epoch: whoever followed the old one has missed its end, all others start again.
    fn begin(&mut self, position: Position, missed: &mut Vec<SubscriptionId>) {
        self.lose(missed);
        for subscriber in &mut self.subscribers {
            subscriber.after = 0;
        }
        self.cursor = Some(position);
    }

    /// The stream goes on behind `offset` and the inbox was at `cursor`: whoever has not all up to
    /// `offset` from its answer has missed something.
    fn leave_behind(&mut self, offset: u64, cursor: u64, missed: &mut Vec<SubscriptionId>) {
        for subscriber in &mut self.subscribers {
            if subscriber.state == State::Positioned && subscriber.after.max(cursor) < offset {
                subscriber.state = State::Insufficient;
                missed.push(subscriber.id());
            }
        }
    }

    /// The engine says that the stream stands at `top`, and the inbox has given all that came before it said so:
    /// whoever is not there has missed something. None: it knows nothing of the stream any more.
    pub(super) fn check(&mut self, top: Option<Position>, missed: &mut Vec<SubscriptionId>) {
        let Some(cursor) = self.cursor else {
            return; // nobody follows positions
        };
        let Some(top) = top.filter(|top| top.epoch == cursor.epoch) else {
            return self.lose(missed);
        };
        if cursor.offset >= top.offset {
            return;
        }
        for subscriber in &mut self.subscribers {
            if subscriber.state == State::Positioned && subscriber.after < top.offset {
                subscriber.state = State::Insufficient;
                missed.push(subscriber.id());
            }
        }
    }

    /// Everyone who follows positions has missed something, and where the stream stands is not known.
    pub(super) fn lose(&mut self, missed: &mut Vec<SubscriptionId>) {
        self.cursor = None;
        for subscriber in &mut self.subscribers {
            if subscriber.state == State::Positioned {
                subscriber.state = State::Insufficient;
                missed.push(subscriber.id());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Epoch, EpochSource};
    use crate::slots::Slots;

    fn epoch(n: u64) -> Epoch {
        EpochSource::new(n).next_epoch()
    }

    fn at(offset: u64) -> Position {
        Position {
            epoch: epoch(1),
            offset,
        }
    }

    /// A channel with subscribers that are answered at these offsets.
    struct Followed {
        entry: ChannelEntry<(), ()>,
        missed: Vec<SubscriptionId>,
    }

    impl Followed {
        fn new(subscribers: usize) -> Self {
            let mut slots = Slots::default();
            let subscriber = |_| Subscriber {
                conn: ConnToken(0),
                after: 0,
                slot: slots.insert(()),
                state: State::Pending,
                data: (),
            };
            Self {
                entry: ChannelEntry {
                    name: Channel::parse("a").unwrap(),
                    cursor: None,
                    subscribers: (0..subscribers).map(subscriber).collect(),
                    data: (),
                },
                missed: Vec::new(),
            }
        }

        fn answer(&mut self, index: usize, position: Position, is_positioned: bool) {
            let start = Start {
                position: Some(position),
                is_positioned,
            };
            self.entry.activate(index, start, &mut self.missed);
        }

        /// Out: who takes it.
        fn publish(&mut self, position: Option<Position>) -> Vec<usize> {
            if let Some(position) = position
                && !self.entry.advance(position, &mut self.missed)
            {
                return Vec::new();
            }
            let publication = crate::history::tests::publication_at(position);
            let subscribers = self.entry.subscribers.iter().enumerate();
            subscribers
                .filter(|(_, s)| s.takes(&publication))
                .map(|(index, _)| index)
                .collect()
        }

        /// Who was said to have missed something since this was asked.
        fn missed(&mut self) -> Vec<usize> {
            let missed = std::mem::take(&mut self.missed);
            let index = |id: &SubscriptionId| {
                let found = self.entry.subscribers.iter().position(|s| s.id() == *id);
                found.expect("all are here")
            };
            missed.iter().map(index).collect()
        }
    }

    #[test]
    fn a_check_finds_whoever_is_behind_the_top_and_nobody_else() {
        let mut channel = Followed::new(4);
        channel.answer(0, at(0), true);
        channel.answer(1, at(0), false);
        assert_eq!(channel.publish(Some(at(1))), [0, 1]);
        channel.entry.check(Some(at(1)), &mut channel.missed);
        channel.entry.check(Some(at(0)), &mut channel.missed);
        assert!(channel.missed().is_empty(), "it is there, or further");
        // 2 and 3 never came; who is answered behind them has missed nothing.
        channel.answer(2, at(3), true);
        channel.entry.check(Some(at(3)), &mut channel.missed);
        assert_eq!(channel.missed(), [0]);
        channel.entry.check(Some(at(3)), &mut channel.missed);
        assert!(channel.missed().is_empty(), "it is said once");
        assert_eq!(channel.publish(Some(at(4))), [1, 2]);
    }

    #[test]
    fn a_check_that_finds_another_stream_or_none_is_for_all_who_follow() {
        for top in [
            None,
            Some(Position {
                epoch: epoch(2),
                offset: 0,
            }),
        ] {
            let mut channel = Followed::new(2);
            channel.answer(0, at(1), true);
            channel.answer(1, at(1), false);
            channel.entry.check(top, &mut channel.missed);
            assert_eq!(channel.missed(), [0], "{top:?}");
        }
        // Nobody follows, so nobody is asked about.
        let mut channel = Followed::new(1);
        channel.answer(0, at(1), false);
        channel.entry.check(None, &mut channel.missed);
        assert!(channel.missed().is_empty());
    }

    #[test]
    fn a_pending_subscriber_takes_nothing() {
        let mut channel = Followed::new(2);
        channel.answer(0, at(0), true);
        assert_eq!(channel.publish(Some(at(1))), [0]);
        assert_eq!(channel.publish(None), [0]);
        channel.answer(1, at(1), true);
        assert_eq!(channel.publish(Some(at(2))), [0, 1]);
        assert_eq!(channel.publish(None), [0, 1]);
        assert!(channel.missed().is_empty());
    }

    #[test]
    fn an_offset_comes_once() {
        let mut channel = Followed::new(1);
        channel.answer(0, at(4), true);
        assert_eq!(channel.publish(Some(at(5))), [0]);
        for old in [1, 5] {
            assert!(channel.publish(Some(at(old))).is_empty());
        }
        assert_eq!(channel.publish(Some(at(6))), [0]);
        assert!(channel.publish(Some(at(6))).is_empty());
        assert!(channel.missed().is_empty());
    }

    #[test]
    fn a_hole_is_told_to_those_who_lack_it_only() {
        let mut channel = Followed::new(4);
        channel.answer(0, at(0), true);
        channel.answer(1, at(0), false);
        assert_eq!(channel.publish(Some(at(1))), [0, 1]);
        channel.answer(2, at(3), true); // an answer may be ahead of the inbox
        assert_eq!(channel.publish(Some(at(4))), [1, 2]);
        assert_eq!(channel.missed(), [0]);
        assert_eq!(
            channel.publish(Some(at(5))),
            [1, 2],
            "never again to who missed some"
        );
        assert!(channel.missed().is_empty(), "told once");
    }

    #[test]
    fn an_answer_ahead_of_the_inbox_skips_what_it_has() {
        let mut channel = Followed::new(2);
        channel.answer(0, at(1), true);
        channel.answer(1, at(3), true);
        assert_eq!(channel.publish(Some(at(2))), [0]);
        assert_eq!(channel.publish(Some(at(3))), [0]);
        assert_eq!(channel.publish(Some(at(4))), [0, 1]);
        assert!(channel.missed().is_empty());
    }

    #[test]
    fn an_answer_takes_nothing_from_the_others_even_if_the_inbox_is_lost() {
        let mut channel = Followed::new(2);
        channel.answer(0, at(1), false);
        channel.entry.lose(&mut channel.missed);
        channel.answer(1, at(6), true);
        assert_eq!(channel.publish(Some(at(5))), [0]);
        assert_eq!(channel.publish(Some(at(6))), [0]);
        assert_eq!(channel.entry.position(1), Some(at(6)));
        assert_eq!(channel.publish(Some(at(7))), [0, 1]);
        assert!(channel.missed().is_empty());
    }

    #[test]
    fn the_first_publication_can_show_a_hole() {
        let mut channel = Followed::new(2);
        channel.answer(0, at(4), true);
        channel.answer(1, at(6), true);
        assert_eq!(channel.entry.position(0), Some(at(4)));
        assert_eq!(channel.publish(Some(at(7))), [1]);
        assert_eq!(channel.missed(), [0]);
        assert_eq!(channel.entry.position(0), None);
        assert_eq!(channel.entry.position(1), Some(at(7)));
    }

    #[test]
    fn an_answer_behind_the_inbox_has_missed_what_is_between() {
        let mut channel = Followed::new(3);
        channel.answer(0, at(4), true);
        assert_eq!(channel.publish(Some(at(5))), [0]);
        channel.answer(1, at(4), true);
        channel.answer(2, at(4), false);
        assert_eq!(channel.missed(), [1]);
        assert_eq!(channel.publish(Some(at(6))), [0, 2]);
    }

    #[test]
    fn a_mark_is_told_to_all_who_follow_and_who_comes_later_starts_anew() {
        let mut channel = Followed::new(3);
        channel.answer(0, at(1), true);
        channel.answer(1, at(1), false);
        channel.entry.lose(&mut channel.missed);
        assert_eq!(channel.missed(), [0]);
        assert_eq!(channel.entry.cursor, None);
        assert_eq!(channel.publish(Some(at(9))), [1]);
        channel.answer(2, at(12), true);
        assert_eq!(channel.publish(Some(at(13))), [1, 2]);
        assert!(channel.missed().is_empty());
    }

    #[test]
    fn a_new_epoch_ends_the_old_one_for_all_who_follow() {
        let reborn = |offset| Position {
            epoch: epoch(2),
            offset,
        };
        let mut channel = Followed::new(3);
        channel.answer(0, at(7), true);
        channel.answer(1, at(7), false);
        assert_eq!(channel.publish(Some(reborn(1))), [1], "offsets begin again");
        assert_eq!(channel.missed(), [0]);
        // The same, learned from an answer.
        let mut channel = Followed::new(3);
        channel.answer(0, at(7), true);
        channel.answer(1, at(7), false);
        channel.answer(2, reborn(3), true);
        assert_eq!(channel.missed(), [0]);
        assert_eq!(channel.publish(Some(reborn(4))), [1, 2]);
    }

    #[test]
    fn without_a_position_there_is_nothing_to_follow() {
        let mut channel = Followed::new(1);
        let start = Start {
            position: None,
            is_positioned: true,
        };
        channel.entry.activate(0, start, &mut channel.missed);
        channel.entry.lose(&mut channel.missed);
        assert_eq!(channel.publish(None), [0]);
        assert!(channel.missed().is_empty());
    }
}
