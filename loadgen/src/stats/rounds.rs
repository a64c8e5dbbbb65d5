//! Rounds of a storm. In: how long after each cut each connection was back. Out: when the first, half,
//! 99 of 100 and the last were, exactly.
//!
//! Never: measures.

/// What came back in each round.
#[derive(Debug, Default)]
pub(crate) struct Rounds(Vec<Round>);

/// One round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    /// One a connection, in no order.
    returns_ns: Vec<u64>,
    /// Attempts that failed.
    pub(crate) failures: u64,
}

/// How long a round took, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Return {
    pub(crate) first: f64,
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) last: f64,
}

impl Rounds {
    /// Round `number`, from 0, begins: it is told of even if nothing comes back.
    pub(crate) fn begin(&mut self, number: usize) {
        self.at(number);
    }

    /// A connection was back so long after the cut of round `number`.
    pub(crate) fn add(&mut self, number: usize, ns: u64) {
        self.at(number).returns_ns.push(ns);
    }

    /// An attempt of round `number` failed.
    pub(crate) fn add_failure(&mut self, number: usize) {
        self.at(number).failures += 1;
    }

    fn at(&mut self, number: usize) -> &mut Round {
        if self.0.len() <= number {
            self.0.resize_with(number + 1, Round::default);
        }
        &mut self.0[number]
    }

    /// Adds those of another thread.
    pub(super) fn merge(&mut self, other: Self) {
        for (number, theirs) in other.0.into_iter().enumerate() {
            let ours = self.at(number);
            ours.returns_ns.extend(theirs.returns_ns);
            ours.failures += theirs.failures;
        }
    }

    /// All that were begun, in order.
    pub(crate) fn all(&self) -> &[Round] {
        &self.0
    }
}

impl Round {
    /// Connections that came back.
    pub(crate) const fn count(&self) -> usize {
        self.returns_ns.len()
    }

    /// How long it took; `None` if nothing came back.
    pub(crate) fn returns(&self) -> Option<Return> {
        let mut sorted = self.returns_ns.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        // The nearest rank: the first that so many of 100 are not after.
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted[rank.saturating_sub(1)] as f64 / 1e3
        };
        Some(Return {
            first: sorted[0] as f64 / 1e3,
            median: at(50),
            p99: at(99),
            last: sorted[last] as f64 / 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_merge_and_ranks_are_exact() {
        let (mut one, mut other) = (Rounds::default(), Rounds::default());
        for us in 1..=100u64 {
            let rounds = if us % 3 == 0 { &mut one } else { &mut other };
            rounds.add(1, us * 1_000);
        }
        other.add_failure(1);
        other.begin(2);
        one.merge(other);
        let [first, second, third] = one.all() else {
            panic!("three rounds: {one:?}")
        };
        assert!(first.returns().is_none() && third.returns().is_none());
        let returns = second.returns().expect("100 came back");
        let got = [returns.first, returns.median, returns.p99, returns.last];
        assert_eq!(got, [1.0, 50.0, 99.0, 100.0]);
        assert_eq!((second.count(), second.failures), (100, 1));
    }
}
