//! How fast a client sends. In: messages and frames of a read, what was there before. Out: whether that is too much.
//!
//! Never: memory for a client that sends nothing but what it is asked for.

use std::num::NonZeroU32;

use fanfare_codec::{Message, MessageDecoder};
use fanfare_protocol::Allowance;

use crate::clock::Time;
use crate::config::Bounds;
use crate::exceeded::Exceeded;
use crate::limits::TURN_INFLATED_BYTES_MAX;

/// What is left of a second's worth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    messages: Allowance,
    fragments: Allowance,
}

/// What may come in one read.
#[derive(Debug)]
pub(super) struct Room {
    before: Option<Pace>,
    messages: Tally,
    fragments: Tally,
    /// Of the message in progress, those that were counted.
    seen: u32,
    /// A frame that we have asked for does not count.
    awaited: bool,
    /// Of messages, those counted that may be compressed.
    bytes: usize,
}

/// How much of something there was, and how much there may be.
#[derive(Clone, Copy, Debug)]
struct Tally {
    had: u32,
    max: u32,
}

impl Tally {
    fn of(allowance: Allowance, per_second: Option<NonZeroU32>, now: Time) -> Self {
        let max = per_second.map_or(u32::MAX, |max| allowance.left(max, micros(now)));
        Self { had: 0, max }
    }

    const fn add(&mut self, n: u32) -> bool {
        self.had = self.had.saturating_add(n);
        self.had <= self.max
    }

    /// What is left for the next read.
    fn settle(self, before: Allowance, per_second: Option<NonZeroU32>, now: Time) -> Allowance {
        per_second.map_or(before, |max| before.without(self.had, max, micros(now)))
    }
}

impl Room {
    /// `seen`: [fragments](MessageDecoder::fragments) that came before. `awaited`: a pong, or anything else that
    /// shows that the peer is there.
    pub(super) fn new(
        before: Option<Pace>,
        seen: u32,
        awaited: bool,
        bounds: &Bounds,
        now: Time,
    ) -> Self {
        let pace = before.unwrap_or_default();
        Self {
            before,
            seen,
            messages: Tally::of(pace.messages, bounds.messages_per_second_max, now),
            fragments: Tally::of(pace.fragments, bounds.fragments_per_second_max, now),
            awaited,
            bytes: 0,
        }
    }

    /// [`add`](Self::add) where messages may be compressed: how long they are counts too, for the others' sake.
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub(super) fn add_inflated(&mut self, message: Option<&Message<'_>>) -> Result<(), Exceeded> {
        self.bytes += match message {
            Some(Message::Text(text)) => text.len(),
            Some(Message::Binary(bytes)) => bytes.len(),
            _ => 0,
        };
        self.add(message)
    }

    /// Whether it is others' turn, whatever was read.
    pub(super) const fn is_long(&self) -> bool {
        self.bytes > TURN_INFLATED_BYTES_MAX
    }

    /// What a decoder has given: one more message, or ping, or pong; or nothing.
    ///
    /// # Errors
    ///
    /// It is one too many.
    #[inline]
    pub(super) fn add(&mut self, message: Option<&Message<'_>>) -> Result<(), Exceeded> {
        match message {
            Some(Message::Text(_) | Message::Binary(_)) => self.add_message(),
            Some(Message::Ping(_) | Message::Pong(_)) => self.add_control(),
            Some(Message::Close(_)) | None => Ok(()),
        }
    }

    #[inline]
    const fn add_message(&mut self) -> Result<(), Exceeded> {
        if self.messages.add(1) {
            Ok(())
        } else {
            Err(Exceeded::Messages)
        }
    }

    fn add_control(&mut self) -> Result<(), Exceeded> {
        if std::mem::take(&mut self.awaited) {
            return Ok(());
        }
        self.add_frames(1)
    }

    /// What came of fragments before `decoder` has given what it gave last.
    ///
    /// # Errors
    ///
    /// It is too much.
    #[inline]
    pub(super) fn add_fragments(&mut self, decoder: &mut MessageDecoder) -> Result<(), Exceeded> {
        let fragments = decoder.fragments();
        if fragments == self.seen {
            return Ok(());
        }
        let new = fragments.saturating_sub(self.seen);
        self.seen = if decoder.is_between_messages() {
            0
        } else {
            fragments
        };
        self.add_frames(new)
    }

    #[cold]
    fn add_frames(&mut self, n: u32) -> Result<(), Exceeded> {
        if self.fragments.add(n) {
            Ok(())
        } else {
            Err(Exceeded::Fragments)
        }
    }

    /// What is to be kept for the next read, if anything is.
    pub(super) fn settle(&self, bounds: &Bounds, now: Time) -> Option<Pace> {
        let (messages_max, fragments_max) = (
            bounds.messages_per_second_max,
            bounds.fragments_per_second_max,
        );
        let counts = |tally: Tally, max: Option<NonZeroU32>| max.is_some() && tally.had > 0;
        if !counts(self.messages, messages_max) && !counts(self.fragments, fragments_max) {
            return self.before;
        }
        let before = self.before.unwrap_or_default();
        Some(Pace {
            messages: self.messages.settle(before.messages, messages_max, now),
            fragments: self.fragments.settle(before.fragments, fragments_max, now),
        })
    }
}

const fn micros(now: Time) -> u64 {
    now.as_millis().saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use fanfare_codec::{Limits, Role};

    use super::*;

    fn bounds(messages: u32, fragments: u32) -> Bounds {
        Bounds {
            messages_per_second_max: NonZeroU32::new(messages),
            fragments_per_second_max: NonZeroU32::new(fragments),
            ..Bounds::NONE
        }
    }

    const NOW: Time = Time::from_millis(7000);

    #[test]
    fn a_read_has_what_the_reads_before_have_left() {
        let bounds = bounds(3, 5);
        let mut room = Room::new(None, 0, false, &bounds, NOW);
        assert!(room.add_message().is_ok() && room.add_message().is_ok());
        assert!(room.add_frames(4).is_ok());
        let pace = room.settle(&bounds, NOW);
        let mut room = Room::new(pace, 0, false, &bounds, NOW);
        assert_eq!(room.add_message(), Ok(()));
        assert_eq!(room.add_message(), Err(Exceeded::Messages));
        assert_eq!(room.add_control(), Ok(()));
        assert_eq!(room.add_control(), Err(Exceeded::Fragments));
        let later = Time::from_millis(8000);
        let mut room = Room::new(pace, 0, false, &bounds, later);
        assert!((0..3).all(|_| room.add_message().is_ok()));
        assert_eq!(room.add_frames(6), Err(Exceeded::Fragments));
    }

    #[test]
    fn what_was_asked_for_is_free_and_takes_no_memory() {
        let bounds = bounds(1, 1);
        let mut room = Room::new(None, 0, true, &bounds, NOW);
        assert!(room.add_control().is_ok());
        assert!(room.settle(&bounds, NOW).is_none());
        assert!(room.add_control().is_ok(), "once");
        assert_eq!(room.add_control(), Err(Exceeded::Fragments));
    }

    #[test]
    fn fragments_count_once_whichever_read_they_come_in() {
        let frame = |first: u8| [first, 0x81, 0, 0, 0, 0, b'x'];
        let message = [frame(1), frame(0), frame(0), frame(0x80)].concat();
        let stream = [message, frame(0x81).to_vec()].concat().repeat(10);
        for size in 1..=stream.len() {
            let mut decoder = MessageDecoder::new(Role::Server, Limits::DEFAULT);
            let (bounds, mut pace, mut rest) = (bounds(0, 1000), None, Vec::new());
            for read in stream.chunks(size) {
                rest.extend_from_slice(read);
                let mut input = &mut rest[..];
                let seen = decoder.fragments();
                let mut room = Room::new(pace, seen, false, &bounds, NOW);
                loop {
                    let is_over = decoder.next_message(&mut input).unwrap().is_none();
                    room.add_fragments(&mut decoder).unwrap();
                    if is_over {
                        break;
                    }
                }
                pace = room.settle(&bounds, NOW);
                rest = input.to_vec();
            }
            let left = Tally::of(
                pace.unwrap().fragments,
                bounds.fragments_per_second_max,
                NOW,
            );
            assert_eq!(left.max, 1000 - 40, "in reads of {size}");
        }
    }

    #[test]
    fn without_limits_nothing_is_kept() {
        let mut room = Room::new(None, 0, false, &Bounds::NONE, NOW);
        assert!((0..100_000).all(|_| room.add_message().is_ok() && room.add_control().is_ok()));
        assert!(room.settle(&Bounds::NONE, NOW).is_none());
    }
}
