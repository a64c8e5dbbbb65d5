//! The messages of one connection that are not answered yet. In: when each was sent, and what came
//! back. Out: which message that answers, and which are overdue.
//!
//! Replies are expected in order. A reply that runs ahead of others leaves them waiting: each of
//! these is counted once, as out of order when it comes later, as timed out when it never does.
//!
//! Never: reads a clock, looks at a payload, counts.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{Nanos, nanos};
use crate::payload::SeqBits;

/// Messages sent and not answered.
#[derive(Debug)]
pub(crate) struct Window {
    /// The first that is not answered.
    oldest: u64,
    /// The one after the furthest that was answered.
    expected: u64,
    /// The first that is not sent.
    next: u64,
    /// How many may be in flight.
    depth: u64,
    /// When each was sent, at its number modulo the length, a power of two.
    sent_at: Box<[Nanos]>,
    /// Timed out, and not answered since.
    given_up: VecDeque<u64>,
}

/// In [`Window::sent_at`]: answered or given up.
const SETTLED: Nanos = Nanos::MAX;

/// What a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The answer to a message sent at this time.
    Answer(Nanos),
    /// The answer to a message that was already counted as timed out.
    Late,
    /// Not what was sent.
    Changed,
    /// The answer to a message that was answered already.
    Repeated,
    /// The answer to a message before one that was answered already.
    OutOfOrder,
    /// Nothing was waiting for an answer.
    Unasked,
}

impl Window {
    /// Nothing sent, and never more than `depth` in flight.
    pub(crate) fn bounded(depth: usize) -> Self {
        Self {
            depth: depth as u64,
            sent_at: vec![SETTLED; depth.next_power_of_two()].into_boxed_slice(),
            ..Self::unbounded()
        }
    }

    /// Nothing sent; it grows with what is in flight.
    pub(crate) fn unbounded() -> Self {
        Self {
            oldest: 0,
            expected: 0,
            next: 0,
            depth: u64::MAX,
            sent_at: Box::default(),
            given_up: VecDeque::new(),
        }
    }

    /// How many more may be sent now.
    #[inline]
    pub(crate) const fn room(&self) -> u64 {
        self.depth - (self.next - self.oldest)
    }

    /// Notes that one more is sent, and gives its number. There must be room.
    #[inline]
    pub(crate) fn send(&mut self, now: Nanos) -> u64 {
        debug_assert!(self.room() > 0, "the caller asks for room first");
        let seq = self.next;
        if seq - self.oldest == self.sent_at.len() as u64 {
            self.grow();
        }
        self.next += 1;
        *self.slot(seq) = now;
        seq
    }

    /// The number of the first message that is not answered or given up; the next one's if there is none.
    pub(crate) const fn oldest(&self) -> u64 {
        self.oldest
    }

    /// The number of the next message.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// When a message in flight was sent, or should have been.
    pub(crate) fn sent_at(&mut self, seq: u64) -> Nanos {
        *self.slot(seq)
    }

    /// Makes room for twice as many times.
    #[cold]
    fn grow(&mut self) {
        let len = self.sent_at.len().max(1) * 2;
        let mut grown = Self {
            sent_at: vec![SETTLED; len].into_boxed_slice(),
            ..Self::unbounded()
        };
        for seq in self.oldest..self.next {
            *grown.slot(seq) = *self.slot(seq);
        }
        self.sent_at = grown.sent_at;
    }

    /// The message whose answer comes next if the server keeps order and loses none.
    #[inline]
    pub(crate) const fn expected(&self) -> Option<u64> {
        if self.expected < self.next {
            Some(self.expected)
        } else {
            None
        }
    }

    /// The expected message was answered: when it was sent.
    #[inline]
    pub(crate) fn answer_expected(&mut self) -> Nanos {
        debug_assert!(self.expected < self.next, "the caller asks for it first");
        let sent_at = std::mem::replace(self.slot(self.expected), SETTLED);
        self.expected += 1;
        self.skip_settled();
        sent_at
    }

    /// A whole reply came. `seq_bits` is what it tells of its number, `None` when it is no message of
    /// this connection; `fits` says whether it could be a message for all else that is known of it.
    pub(crate) fn reply(&mut self, seq_bits: Option<SeqBits>, fits: impl Fn(u64) -> bool) -> Reply {
        let Some(SeqBits { bits, mask }) = seq_bits else {
            return self.reply_changed();
        };
        let ahead = bits.wrapping_sub(self.oldest) & mask;
        if ahead < self.next - self.oldest && fits(self.oldest + ahead) {
            return self.reply_in_window(self.oldest + ahead);
        }
        let behind = self.oldest.wrapping_sub(bits) & mask;
        if behind > 0 && behind <= self.oldest && fits(self.oldest - behind) {
            return self.reply_behind(self.oldest - behind);
        }
        if self.expected < self.next {
            self.reply_changed()
        } else {
            Reply::Unasked
        }
    }

    /// It stands where the expected answer should, so it must have been that.
    fn reply_changed(&mut self) -> Reply {
        if self.expected < self.next {
            self.answer_expected();
            Reply::Changed
        } else {
            Reply::Unasked
        }
    }

    fn reply_in_window(&mut self, seq: u64) -> Reply {
        let sent_at = std::mem::replace(self.slot(seq), SETTLED);
        if sent_at == SETTLED {
            return Reply::Repeated;
        }
        let in_order = seq >= self.expected;
        self.expected = self.expected.max(seq + 1);
        self.skip_settled();
        if in_order {
            Reply::Answer(sent_at)
        } else {
            Reply::OutOfOrder
        }
    }

    fn reply_behind(&mut self, seq: u64) -> Reply {
        // They were given up in the order of their numbers, in which most come late, too: a million
        // that are late after a stall leave at the front, without a move of those behind.
        match self.given_up.binary_search(&seq) {
            Ok(at) => {
                self.given_up.remove(at);
                Reply::Late
            }
            Err(_) => Reply::Repeated,
        }
    }

    /// Gives up messages that have waited for `timeout` and tells how many they are.
    pub(crate) fn expire(&mut self, now: Nanos, timeout: Duration) -> u64 {
        let mut expired = 0;
        for seq in self.oldest..self.next {
            let sent_at = self.slot(seq);
            if *sent_at == SETTLED {
                continue;
            }
            if now.since(*sent_at) < nanos(timeout) {
                break; // those behind it were sent no earlier
            }
            *sent_at = SETTLED;
            self.given_up.push_back(seq);
            self.expected = self.expected.max(seq + 1);
            expired += 1;
        }
        self.skip_settled();
        expired
    }

    /// From the first that is not answered to the last that is sent, how many.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.next - self.oldest
    }

    /// Whether nothing waits for an answer.
    pub(crate) const fn is_empty(&self) -> bool {
        self.oldest == self.next
    }

    #[inline]
    fn skip_settled(&mut self) {
        while self.oldest < self.expected && *self.slot(self.oldest) == SETTLED {
            self.oldest += 1;
        }
    }

    #[inline]
    fn slot(&mut self, seq: u64) -> &mut Nanos {
        #[expect(clippy::cast_possible_truncation, reason = "masked to the length")]
        let at = (seq & (self.sent_at.len() as u64 - 1)) as usize;
        &mut self.sent_at[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::unnecessary_wraps, reason = "as `reply` takes it")]
    const fn some(bits: u64, mask: u64) -> Option<SeqBits> {
        Some(SeqBits { bits, mask })
    }

    const fn fits(_seq: u64) -> bool {
        true
    }

    fn full(depth: usize) -> Window {
        let mut window = Window::bounded(depth);
        for at in 0..window.room() {
            assert_eq!(window.send(Nanos(at)), at);
        }
        assert_eq!(window.room(), 0);
        window
    }

    #[test]
    fn answers_in_order_free_the_window() {
        let mut window = full(3);
        assert_eq!(
            window.reply(some(0, u64::MAX), fits),
            Reply::Answer(Nanos(0))
        );
        assert_eq!(window.answer_expected(), Nanos(1));
        assert_eq!(window.room(), 2);
        assert_eq!(window.send(Nanos(9)), 3);
        assert_eq!(
            window.reply(some(2, u64::MAX), fits),
            Reply::Answer(Nanos(2))
        );
        assert_eq!(
            window.reply(some(3, u64::MAX), fits),
            Reply::Answer(Nanos(9))
        );
        assert!(window.is_empty());
    }

    #[test]
    fn a_lost_message_is_one_timeout() {
        let mut window = full(4);
        for seq in [0, 2, 3] {
            assert!(matches!(
                window.reply(some(seq, u64::MAX), fits),
                Reply::Answer(_)
            ));
        }
        assert_eq!(window.room(), 1, "message 1 holds the window");
        assert_eq!(window.expire(Nanos(5), SECOND), 0);
        assert_eq!(window.expire(Nanos(2_000_000_000), SECOND), 1);
        assert!(window.is_empty());
        assert_eq!(window.reply(some(1, u64::MAX), fits), Reply::Late);
        assert_eq!(window.reply(some(1, u64::MAX), fits), Reply::Repeated);
    }

    #[test]
    fn swapped_replies_are_one_fault() {
        let mut window = full(2);
        assert_eq!(
            window.reply(some(1, u64::MAX), fits),
            Reply::Answer(Nanos(1))
        );
        assert_eq!(window.reply(some(0, u64::MAX), fits), Reply::OutOfOrder);
        assert!(window.is_empty());
    }

    #[test]
    fn a_repeated_reply_is_one_fault_and_answers_nothing() {
        let mut window = full(2);
        assert_eq!(
            window.reply(some(0, u64::MAX), fits),
            Reply::Answer(Nanos(0))
        );
        assert_eq!(window.reply(some(0, u64::MAX), fits), Reply::Repeated);
        assert_eq!(
            window.reply(some(1, u64::MAX), fits),
            Reply::Answer(Nanos(1))
        );
    }

    #[test]
    fn a_changed_reply_is_one_fault_and_takes_its_place() {
        for bits in [None, some(u64::MAX / 3, u64::MAX)] {
            let mut window = full(2);
            assert_eq!(window.reply(bits, fits), Reply::Changed);
            assert_eq!(
                window.reply(some(1, u64::MAX), fits),
                Reply::Answer(Nanos(1))
            );
            assert_eq!(window.reply(bits, fits), Reply::Unasked);
        }
    }

    #[test]
    fn few_bits_are_enough_for_a_window() {
        let mut window = Window::bounded(4);
        for seq in 0..1_000 {
            window.send(Nanos(seq));
            assert_eq!(
                window.reply(some(seq & 0xF, 0xF), fits),
                Reply::Answer(Nanos(seq))
            );
        }
        window.send(Nanos(7));
        assert_eq!(window.reply(some(0, 0), fits), Reply::Answer(Nanos(7)));
        assert_eq!(window.reply(some(0, 0), fits), Reply::Unasked);
    }

    #[test]
    fn a_reply_of_another_length_is_changed_whatever_number_it_carries() {
        let mut window = full(2);
        assert_eq!(window.reply(some(0, 0xFF), |_| false), Reply::Changed);
        assert_eq!(window.reply(some(1, 0xFF), fits), Reply::Answer(Nanos(1)));
    }

    #[test]
    fn an_unbounded_window_keeps_every_time_while_it_grows() {
        let mut window = Window::unbounded();
        let mut answered = 0;
        for seq in 0..1_000 {
            assert_eq!(window.send(Nanos(seq)), seq);
            if seq % 3 == 0 {
                assert_eq!(window.answer_expected(), Nanos(answered));
                answered += 1;
            }
        }
        while window.expected().is_some() {
            assert_eq!(window.answer_expected(), Nanos(answered));
            answered += 1;
        }
        assert_eq!(answered, 1_000);
    }
}
