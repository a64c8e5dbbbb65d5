//! The messages of one connection that are not answered yet. In: when each was sent, and what came
//! back. Out: which message that answers, and which are overdue.
//!
//! Replies are expected in order. A reply that runs ahead of others leaves them waiting: each of
//! these is counted once, as out of order when it comes later, as timed out when it never does.
//!
//! Never: reads a clock, looks at a payload, counts.

use std::time::Duration;

use crate::clock::{Nanos, nanos};

/// Messages sent and not answered, at most `depth`.
#[derive(Debug)]
pub(crate) struct Window {
    /// The first that is not answered.
    oldest: u64,
    /// The one after the furthest that was answered.
    expected: u64,
    /// The first that is not sent.
    next: u64,
    depth: u64,
    /// When each was sent, at its number modulo the length, a power of two.
    sent_at: Box<[Nanos]>,
    /// Timed out, and not answered since.
    given_up: Vec<u64>,
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
    /// Nothing sent.
    pub(crate) fn new(depth: usize) -> Self {
        Self {
            oldest: 0,
            expected: 0,
            next: 0,
            depth: depth as u64,
            sent_at: vec![SETTLED; depth.next_power_of_two()].into_boxed_slice(),
            given_up: Vec::new(),
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
        self.next += 1;
        *self.slot(seq) = now;
        seq
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

    /// A whole reply came. `seq_bits` are the bits under `seq_mask` of the number that it carries;
    /// `None` when it is no message of this connection.
    pub(crate) fn reply(&mut self, seq_bits: Option<u64>, seq_mask: u64) -> Reply {
        let Some(bits) = seq_bits else {
            return self.reply_changed();
        };
        let ahead = bits.wrapping_sub(self.oldest) & seq_mask;
        if ahead < self.next - self.oldest {
            return self.reply_in_window(self.oldest + ahead);
        }
        let behind = self.oldest.wrapping_sub(bits) & seq_mask;
        if behind > 0 && behind <= self.oldest {
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
        match self.given_up.iter().position(|&lost| lost == seq) {
            Some(at) => {
                self.given_up.remove(at);
                Reply::Late
            }
            None => Reply::Repeated,
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
            self.given_up.push(seq);
            self.expected = self.expected.max(seq + 1);
            expired += 1;
        }
        self.skip_settled();
        expired
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

    const ALL_BITS: u64 = u64::MAX;
    const SECOND: Duration = Duration::from_secs(1);

    fn full(depth: usize) -> Window {
        let mut window = Window::new(depth);
        for at in 0..window.room() {
            assert_eq!(window.send(Nanos(at)), at);
        }
        assert_eq!(window.room(), 0);
        window
    }

    #[test]
    fn answers_in_order_free_the_window() {
        let mut window = full(3);
        assert_eq!(window.reply(Some(0), ALL_BITS), Reply::Answer(Nanos(0)));
        assert_eq!(window.answer_expected(), Nanos(1));
        assert_eq!(window.room(), 2);
        assert_eq!(window.send(Nanos(9)), 3);
        assert_eq!(window.reply(Some(2), ALL_BITS), Reply::Answer(Nanos(2)));
        assert_eq!(window.reply(Some(3), ALL_BITS), Reply::Answer(Nanos(9)));
        assert!(window.is_empty());
    }

    #[test]
    fn a_lost_message_is_one_timeout() {
        let mut window = full(4);
        for seq in [0, 2, 3] {
            assert!(matches!(
                window.reply(Some(seq), ALL_BITS),
                Reply::Answer(_)
            ));
        }
        assert_eq!(window.room(), 1, "message 1 holds the window");
        assert_eq!(window.expire(Nanos(5), SECOND), 0);
        assert_eq!(window.expire(Nanos(2_000_000_000), SECOND), 1);
        assert!(window.is_empty());
        assert_eq!(window.reply(Some(1), ALL_BITS), Reply::Late);
        assert_eq!(window.reply(Some(1), ALL_BITS), Reply::Repeated);
    }

    #[test]
    fn swapped_replies_are_one_fault() {
        let mut window = full(2);
        assert_eq!(window.reply(Some(1), ALL_BITS), Reply::Answer(Nanos(1)));
        assert_eq!(window.reply(Some(0), ALL_BITS), Reply::OutOfOrder);
        assert!(window.is_empty());
    }

    #[test]
    fn a_repeated_reply_is_one_fault_and_answers_nothing() {
        let mut window = full(2);
        assert_eq!(window.reply(Some(0), ALL_BITS), Reply::Answer(Nanos(0)));
        assert_eq!(window.reply(Some(0), ALL_BITS), Reply::Repeated);
        assert_eq!(window.reply(Some(1), ALL_BITS), Reply::Answer(Nanos(1)));
    }

    #[test]
    fn a_changed_reply_is_one_fault_and_takes_its_place() {
        for bits in [None, Some(u64::MAX / 3)] {
            let mut window = full(2);
            assert_eq!(window.reply(bits, ALL_BITS), Reply::Changed);
            assert_eq!(window.reply(Some(1), ALL_BITS), Reply::Answer(Nanos(1)));
            assert_eq!(window.reply(bits, ALL_BITS), Reply::Unasked);
        }
    }

    #[test]
    fn few_bits_are_enough_for_a_window() {
        let mut window = Window::new(4);
        for seq in 0..1_000 {
            window.send(Nanos(seq));
            assert_eq!(
                window.reply(Some(seq & 0xF), 0xF),
                Reply::Answer(Nanos(seq))
            );
        }
        window.send(Nanos(7));
        assert_eq!(window.reply(Some(0), 0), Reply::Answer(Nanos(7)));
        assert_eq!(window.reply(Some(0), 0), Reply::Unasked);
    }
}
