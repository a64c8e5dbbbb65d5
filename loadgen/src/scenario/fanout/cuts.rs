//! Who is cut, and who comes back. In: how often somebody is cut, and what becomes of connections. Out:
//! the next subscriber to cut, and the next to connect again.
//!
//! A thread cuts its share of all subscribers at its share of the rate, whom is drawn at random among
//! those that are there. When there is nobody a cut is left out.
//!
//! Never: touches a connection, knows what a subscriber is owed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::resume::Resume;
use crate::clock::Nanos;
use crate::scenario::pace::{Arrivals, Pace};

/// Draws of somebody who is there, before they are looked through in a row.
const DRAWS_MAX: usize = 16;

/// What the flags say of it.
#[derive(Debug)]
pub(crate) struct CutPlan {
    /// Cuts, of all subscribers together; `None`: nobody is cut.
    pub(crate) per_second: Option<f64>,
    /// From a cut to the next connection.
    pub(crate) pause: Duration,
    /// How those that know where they stood come back; `None`: as new ones.
    pub(crate) resume: Option<Resume>,
    /// Close codes that tell a subscriber that it has missed something.
    pub(crate) told: Vec<u16>,
}

/// The subscribers of one thread.
#[derive(Debug)]
pub(super) struct Cuts {
    pace: Option<Pace>,
    phases: Vec<Phase>,
    /// When which subscriber is to connect again.
    due: BinaryHeap<Reverse<(Nanos, usize)>>,
    here: usize,
    away: usize,
    is_ending: bool,
    random: fastrand::Rng,
}

/// What a subscriber is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It was not there yet, or is lost: nobody waits for it.
    Apart,
    Here,
    /// It is to connect again, and waits for its time.
    Due,
    /// It connects again, since its time.
    Dialling {
        since: Nanos,
    },
}

impl Phase {
    const fn is_away(self) -> bool {
        matches!(self, Self::Due | Self::Dialling { .. })
    }
}

impl Cuts {
    /// Nobody is there.
    pub(super) fn new(subscribers: usize, random: fastrand::Rng) -> Self {
        Self {
            pace: None,
            phases: vec![Phase::Apart; subscribers],
            due: BinaryHeap::new(),
            here: 0,
            away: 0,
            is_ending: false,
            random,
        }
    }

    /// Cuts `per_second` times a second from `start` on.
    pub(super) fn begin(&mut self, per_second: f64, start: Nanos) {
        let random = self.random.fork();
        self.pace = Some(Pace::new(Arrivals::Constant, per_second, start, random));
    }

    fn enter(&mut self, conn: usize, phase: Phase) -> Phase {
        let before = std::mem::replace(&mut self.phases[conn], phase);
        self.here += usize::from(phase == Phase::Here);
        self.here -= usize::from(before == Phase::Here);
        self.away += usize::from(phase.is_away());
        self.away -= usize::from(before.is_away());
        before
    }

    /// Whom to cut now, if a cut is due. Again and again, until it is nobody.
    pub(super) fn take_victim(&mut self, now: Nanos) -> Option<usize> {
        while self.pace.as_mut()?.take_due(now).is_some() {
            if let Some(victim) = self.draw() {
                self.enter(victim, Phase::Apart);
                return Some(victim);
            }
        }
        None
    }

    /// Somebody who is there.
    fn draw(&mut self) -> Option<usize> {
        if self.here == 0 {
            return None;
        }
        let count = self.phases.len();
        for _ in 0..DRAWS_MAX {
            let drawn = self.random.usize(..count);
            if self.phases[drawn] == Phase::Here {
                return Some(drawn);
            }
        }
        let start = self.random.usize(..count);
        let mut row = (start..count).chain(0..start);
        row.find(|&conn| self.phases[conn] == Phase::Here)
    }

    /// Has a subscriber connect again at `at`.
    pub(super) fn plan_return(&mut self, conn: usize, at: Nanos) {
        self.enter(conn, Phase::Due);
        self.due.push(Reverse((at, conn)));
    }

    /// Who is to connect again now. Again and again, until it is nobody.
    pub(super) fn take_due(&mut self, now: Nanos) -> Option<usize> {
        loop {
            let &Reverse((since, conn)) = self.due.peek()?;
            if since > now {
                return None;
            }
            self.due.pop();
            // One whose connection broke while it waited was planned twice.
            if self.phases[conn] == Phase::Due {
                self.enter(conn, Phase::Dialling { since });
                return Some(conn);
            }
        }
    }

    /// A subscriber is there: since when it has tried to come back, if that is what it did.
    pub(super) fn arrive(&mut self, conn: usize) -> Option<Nanos> {
        match self.enter(conn, Phase::Here) {
            Phase::Dialling { since } => Some(since),
            _ => None,
        }
    }

    /// A subscriber is lost, or its return is given up.
    pub(super) fn dismiss(&mut self, conn: usize) {
        self.enter(conn, Phase::Apart);
    }

    /// When there is something to do.
    pub(super) fn next(&self) -> Nanos {
        let cut = self.pace.as_ref().map_or(Nanos::MAX, Pace::next);
        let due = self.due.peek().map_or(Nanos::MAX, |&Reverse((at, _))| at);
        cut.min(due)
    }

    /// Subscribers that are to come back.
    pub(super) const fn away(&self) -> usize {
        self.away
    }

    /// Who they are.
    pub(super) fn all_away(&self) -> Vec<usize> {
        let away = self.phases.iter().enumerate().filter(|(_, p)| p.is_away());
        away.map(|(conn, _)| conn).collect()
    }

    /// Nobody is cut any more. Those that wait for their time connect at once if they are `owed`
    /// something, and not at all if they are not.
    pub(super) fn end(&mut self, now: Nanos, owed: impl Fn(usize) -> bool) {
        self.pace = None;
        self.is_ending = true;
        for Reverse((at, conn)) in std::mem::take(&mut self.due) {
            if owed(conn) {
                self.due.push(Reverse((at.min(now), conn)));
            } else {
                self.enter(conn, Phase::Apart);
            }
        }
    }

    /// Whether nobody is cut any more.
    pub(super) const fn is_ending(&self) -> bool {
        self.is_ending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(subscribers: usize) -> Cuts {
        let mut cuts = Cuts::new(subscribers, fastrand::Rng::with_seed(4));
        for conn in 0..subscribers {
            assert_eq!(cuts.arrive(conn), None);
        }
        cuts.begin(1_000.0, Nanos(0));
        cuts
    }

    #[test]
    fn everybody_is_cut_at_some_time_and_nobody_who_is_away() {
        let mut cuts = cuts(20);
        let now = Nanos(10_000_000_000);
        let mut order = Vec::new();
        while let Some(victim) = cuts.take_victim(now) {
            order.push(victim);
            cuts.plan_return(victim, now);
        }
        assert_ne!(order, (0..20).collect::<Vec<_>>(), "drawn at random");
        order.sort_unstable();
        assert_eq!(order, (0..20).collect::<Vec<_>>());
        assert_eq!(cuts.away(), 20);
        assert!(cuts.next() <= now);
    }

    #[test]
    fn those_that_are_cut_come_back_in_the_order_of_their_times() {
        let mut cuts = cuts(3);
        for (conn, at) in [(0, 30), (1, 10), (2, 20)] {
            cuts.plan_return(conn, Nanos(at));
        }
        assert_eq!(cuts.take_due(Nanos(9)), None);
        assert_eq!(cuts.take_due(Nanos(25)), Some(1));
        assert_eq!(cuts.arrive(1), Some(Nanos(10)));
        assert_eq!(cuts.take_due(Nanos(25)), Some(2));
        cuts.dismiss(2);
        assert_eq!(cuts.take_due(Nanos(25)), None);
        assert_eq!(cuts.all_away(), [0]);
    }

    #[test]
    fn at_the_end_only_those_that_are_owed_something_come_back_and_at_once() {
        let mut cuts = cuts(3);
        for conn in [0, 1] {
            cuts.plan_return(conn, Nanos(1_000));
        }
        cuts.end(Nanos(5), |conn| conn == 1);
        assert_eq!(cuts.take_victim(Nanos::MAX), None);
        assert_eq!(cuts.take_due(Nanos(5)), Some(1));
        assert_eq!(cuts.take_due(Nanos::MAX), None);
        assert_eq!(cuts.away(), 1);
    }
}
