//! What one worker counts. In: what it does. Out: numbers for whoever exposes them.
//!
//! Never: written by another thread.

use fanfare_codec::CloseCode;
use fanfare_codec::handshake::Status;

use super::count::{Count, Histogram};
use crate::deflate::Sums;
use crate::exceeded::Exceeded;

/// What a connection is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has yet to be answered.
    Handshake,
    Raw,
    Session,
    Echo,
    /// Everything is said but goodbye.
    Closing,
}

impl Kind {
    pub(super) const ALL: [(Self, &str); 5] = [
        (Self::Handshake, "handshake"),
        (Self::Raw, "raw"),
        (Self::Session, "session"),
        (Self::Echo, "echo"),
        (Self::Closing, "closing"),
    ];
    /// Those that an upgrade makes.
    pub(super) const OPENED: [(Self, &str); 3] = [Self::ALL[1], Self::ALL[2], Self::ALL[3]];
}

/// What a connection weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    /// Bytes that its peer has not taken.
    pub(crate) queued: usize,
    /// Memory that they keep.
    pub(crate) pinned: usize,
    /// Of that, what nobody else keeps.
    pub(crate) own: usize,
}

/// Who has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initiator {
    Client,
    Server,
}

impl Initiator {
    pub(super) const ALL: [(Self, &str); 2] = [(Self::Client, "client"), (Self::Server, "server")];

    pub(crate) const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Why a client was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slowness {
    /// More waited than may.
    Output,
    /// It took nothing for too long.
    Timeout,
}

impl Slowness {
    pub(super) const ALL: [(Self, &str); 2] =
        [(Self::Output, "output"), (Self::Timeout, "timeout")];
}

/// How a recovery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovered {
    Yes,
    No,
}

impl Recovered {
    pub(super) const ALL: [(Self, &str); 2] =
        [(Self::Yes, "recovered"), (Self::No, "not_recovered")];
}

/// Statuses that are counted one by one.
pub(super) const STATUSES: [u16; 15] = [
    400, 401, 403, 404, 405, 408, 413, 414, 426, 429, 431, 500, 501, 503, 505,
];

/// Close codes that are counted one by one, in ranges; all others are together.
const CODES: [std::ops::RangeInclusive<u16>; 3] = [1000..=1015, 3000..=3031, 3500..=3531];
const CODES_COUNT: usize = 16 + 32 + 32;

/// A connection's end by its code.
#[derive(Debug)]
pub(super) struct Codes([Count; CODES_COUNT + 1]);

impl Default for Codes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

impl Codes {
    fn place(code: CloseCode) -> usize {
        let codes = CODES.into_iter().flatten();
        let mut places = codes.enumerate().filter(|(_, known)| *known == code.0);
        places.next().map_or(CODES_COUNT, |(place, _)| place)
    }

    /// Each code with its count; none: all others.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Option<u16>, u64)> {
        let codes = CODES.into_iter().flatten().map(Some).chain([None]);
        codes.zip(self.0.iter().map(Count::get))
    }
}

/// A worker's numbers, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Worker {
    pub(crate) received_bytes: Count,
    pub(crate) received_messages: Count,
    pub(crate) sent_bytes: Count,
    /// Publications, joins and leaves that subscribers were told.
    pub(crate) deliveries: Count,
    /// Messages for single sessions.
    pub(crate) replies: Count,
    /// Messages that it has compressed.
    pub(crate) deflated: Count,
    deflate_contexts: [Count; 3],
    /// What messages that have begun were inflated to so far.
    pub(crate) half_received_bytes: Count,
    /// Publications that its connections asked for.
    pub(crate) publications: Count,
    /// From a publication to the end of its fan-out here.
    pub(crate) flush: Histogram,
    /// From the poller's return to its next call.
    pub(crate) turns: Histogram,
    queued_bytes: Count,
    pinned_bytes: Count,
    own_bytes: Count,
    /// Memory of segments that are being told, or wait.
    pub(crate) segment_bytes: Count,
    exceeded: [Count; Exceeded::ALL.len()],
    exceeded_in_all: Count,
    pub(crate) accepted: Count,
    connections: [Count; Kind::ALL.len()],
    opened: [Count; Kind::ALL.len()],
    pub(crate) subscriptions: Count,
    /// Subscriptions that were told that they missed something.
    pub(crate) insufficient: Count,
    /// Joins and leaves that did not fit its inbox.
    pub(crate) events_lost: Count,
    recoveries: [Count; Recovered::ALL.len()],
    slow_closes: [Count; Slowness::ALL.len()],
    disconnects: [Codes; Initiator::ALL.len()],
    refusals: [Count; STATUSES.len()],
    refusals_other: Count,
    /// Gone before they were answered.
    unanswered: Count,
}

impl Worker {
    /// A connection was accepted.
    pub(crate) fn enters(&self, kind: Kind) {
        self.accepted.add(1);
        self.connections[kind as usize].add(1);
    }

    /// A connection has changed.
    #[inline]
    pub(crate) fn changes(&self, before: Load, after: Load) {
        if before.kind != after.kind {
            self.connections[before.kind as usize].sub(1);
            self.connections[after.kind as usize].add(1);
        }
        self.queued_bytes
            .add((after.queued as u64).wrapping_sub(before.queued as u64));
        self.pinned_bytes
            .add((after.pinned as u64).wrapping_sub(before.pinned as u64));
        self.own_bytes
            .add((after.own as u64).wrapping_sub(before.own as u64));
    }

    /// A connection is this worker's no more.
    pub(crate) fn leaves(&self, load: Load) {
        self.connections[load.kind as usize].sub(1);
        self.queued_bytes.sub(load.queued as u64);
        self.pinned_bytes.sub(load.pinned as u64);
        self.own_bytes.sub(load.own as u64);
    }

    /// Somebody has met a limit.
    #[cold]
    pub(crate) fn exceeds(&self, exceeded: Exceeded) {
        self.exceeded[exceeded as usize].add(1);
        self.exceeded_in_all.add(1);
    }

    /// How often that has happened.
    pub(crate) fn exceeded(&self, exceeded: Exceeded) -> u64 {
        self.exceeded[exceeded as usize].get()
    }

    /// How often anything of that kind has.
    pub(crate) fn exceeded_in_all(&self) -> u64 {
        self.exceeded_in_all.get()
    }

    /// What there is of compression.
    pub(crate) fn has_contexts(&self, sums: Sums) {
        self.deflated.set(sums.deflated);
        let [deflating, receiving, takeover] = &self.deflate_contexts;
        deflating.set(sums.deflaters as u64);
        receiving.set(sums.half_way as u64);
        self.half_received_bytes.set(sums.half_way_bytes as u64);
        takeover.set(sums.kept as u64);
    }

    /// By what they are for.
    pub(super) fn contexts(&self) -> [(&'static str, u64); 3] {
        let names = ["deflating", "receiving", "takeover"];
        std::array::from_fn(|n| (names[n], self.deflate_contexts[n].get()))
    }

    /// An upgrade was granted.
    pub(crate) fn opens(&self, kind: Kind) {
        self.opened[kind as usize].add(1);
    }

    /// A request was answered with a status; what is no refusal does not count.
    pub(crate) fn answers(&self, status: Status) {
        if status.0 < 400 {
            return;
        }
        let place = STATUSES.iter().position(|known| *known == status.0);
        place
            .map_or(&self.refusals_other, |place| &self.refusals[place])
            .add(1);
    }

    /// A connection ended before it was answered.
    pub(crate) fn leaves_unanswered(&self) {
        self.unanswered.add(1);
    }

    /// An open connection ends.
    pub(crate) fn ends(&self, initiator: Initiator, code: CloseCode) {
        self.disconnects[initiator as usize].0[Codes::place(code)].add(1);
    }

    /// And for this reason.
    pub(crate) fn is_slow(&self, slowness: Slowness) {
        self.slow_closes[slowness as usize].add(1);
    }

    /// A subscriber wanted what it had missed.
    pub(crate) fn recovers(&self, recovered: Recovered) {
        self.recoveries[recovered as usize].add(1);
    }

    pub(super) fn connections(&self, kind: Kind) -> u64 {
        self.connections[kind as usize].get()
    }

    pub(super) fn opened(&self, kind: Kind) -> u64 {
        self.opened[kind as usize].get()
    }

    pub(super) fn queued_bytes(&self) -> u64 {
        self.queued_bytes.get()
    }

    pub(super) fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes.get()
    }

    /// Memory of all that waits, what several wait for once.
    pub(super) fn output_bytes(&self) -> u64 {
        self.own_bytes.get().wrapping_add(self.segment_bytes.get())
    }

    pub(super) fn recoveries(&self, recovered: Recovered) -> u64 {
        self.recoveries[recovered as usize].get()
    }

    pub(super) fn slow_closes(&self, slowness: Slowness) -> u64 {
        self.slow_closes[slowness as usize].get()
    }

    pub(super) const fn disconnects(&self, initiator: Initiator) -> &Codes {
        &self.disconnects[initiator as usize]
    }

    /// Refusals by what they are called, in a fixed order.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (String, u64)> {
        let known = STATUSES.iter().map(u16::to_string).zip(&self.refusals);
        let others = [("other", &self.refusals_other), ("none", &self.unanswered)];
        let others = others.map(|(name, count)| (name.to_owned(), count));
        known.chain(others).map(|(name, count)| (name, count.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(kind: Kind, queued: usize, pinned: usize) -> Load {
        Load {
            kind,
            queued,
            pinned,
            own: pinned / 10,
        }
    }

    #[test]
    fn what_a_connection_adds_goes_with_it() {
        let worker = Worker::default();
        worker.enters(Kind::Handshake);
        let (before, after) = (load(Kind::Handshake, 0, 0), load(Kind::Raw, 5, 70));
        worker.changes(before, after);
        assert_eq!(worker.connections(Kind::Handshake), 0);
        assert_eq!(worker.connections(Kind::Raw), 1);
        let less = load(Kind::Closing, 2, 60);
        worker.changes(after, less);
        assert_eq!((worker.queued_bytes(), worker.pinned_bytes()), (2, 60));
        assert_eq!(worker.output_bytes(), 6);
        worker.leaves(less);
        assert_eq!((worker.queued_bytes(), worker.pinned_bytes()), (0, 0));
        assert_eq!(worker.output_bytes(), 0);
        assert!(
            Kind::ALL
                .iter()
                .all(|(kind, _)| worker.connections(*kind) == 0)
        );
        assert_eq!(worker.accepted.get(), 1);
    }

    #[test]
    fn names_stand_where_their_numbers_are() {
        for (n, (kind, _)) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, n);
        }
        for (n, (slowness, _)) in Slowness::ALL.iter().enumerate() {
            assert_eq!(*slowness as usize, n);
        }
        for (n, (recovered, _)) in Recovered::ALL.iter().enumerate() {
            assert_eq!(*recovered as usize, n);
        }
        for (n, (initiator, _)) in Initiator::ALL.iter().enumerate() {
            assert_eq!(*initiator as usize, n);
        }
    }

    #[test]
    fn each_close_code_has_a_place_and_what_is_not_known_another() {
        let worker = Worker::default();
        for code in [1000, 1015, 3000, 3008, 3531, 3531, 999, 3032, 4999] {
            worker.ends(Initiator::Server, CloseCode(code));
        }
        let counts = worker.disconnects(Initiator::Server).counts();
        let counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        let one = |code| (Some(code), 1);
        let expected = [
            one(1000),
            one(1015),
            one(3000),
            one(3008),
            (Some(3531), 2),
            (None, 3),
        ];
        assert_eq!(counts, expected);
        let none = worker.disconnects(Initiator::Client).counts();
        assert_eq!(none.map(|(_, count)| count).sum::<u64>(), 0);
    }

    #[test]
    fn refusals_are_counted_by_status() {
        let worker = Worker::default();
        for status in [200, 400, 503, 503, 418] {
            worker.answers(Status(status));
        }
        worker.leaves_unanswered();
        let counts = worker.refusals().filter(|(_, count)| *count > 0);
        let expected = [("400", 1), ("503", 2), ("other", 1), ("none", 1)];
        let expected = expected.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(counts.collect::<Vec<_>>(), expected);
    }
}
