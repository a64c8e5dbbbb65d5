//! How a worker ends. In: a request to stop, the time. Out: closes, spread over a window.
//!
//! ```text
//! signal ── delay: as before ──┬── window: a close for each ──┬── their closes ──▶ nobody is left
//!                              └ the listener is closed       └──────────── timeout ──▶ the end
//! ```
//!
//! Never: closes a connection before it was told what was published until then.

use std::time::Duration;

use super::Reactor;
use super::accept::{AcceptState, Accepting};
use crate::clock::Time;
use crate::config::Drain;
use crate::conn::Conn;
use crate::limits::{ACCEPTS_PER_TURN_MAX, LISTEN_BACKLOG};
use crate::slab::ConnId;

/// How far a worker's end is.
#[derive(Debug)]
pub(super) enum Draining {
    /// Nobody has asked for it.
    No,
    /// `/ready` fails; everything else is as before.
    Delayed { until: Time, ends_at: Time },
    /// Connections are closed, each in its time.
    Closing {
        /// The next one last.
        due: Vec<(Time, ConnId)>,
        ends_at: Time,
    },
}

impl Draining {
    fn begun(now: Time, drain: Drain) -> Self {
        Self::Delayed {
            until: now + drain.delay,
            ends_at: now + drain.timeout,
        }
    }

    /// Whether it has begun.
    pub(super) const fn is_begun(&self) -> bool {
        !matches!(self, Self::No)
    }

    /// When the worker ends in any case, once it has begun.
    pub(super) const fn ends_at(&self) -> Option<Time> {
        match self {
            Self::No => None,
            Self::Delayed { ends_at, .. } | Self::Closing { ends_at, .. } => Some(*ends_at),
        }
    }

    /// Whether the worker ends now, if so many connections are open.
    pub(super) fn is_over(&self, open: usize, now: Time) -> bool {
        match self {
            Self::No => false,
            Self::Delayed { ends_at, .. } => now >= *ends_at,
            Self::Closing { ends_at, .. } => open == 0 || now >= *ends_at,
        }
    }

    /// When it wants a turn.
    pub(super) fn next(&self) -> Time {
        match self {
            Self::No => Time::NEVER,
            Self::Delayed { until, .. } => *until,
            Self::Closing { due, ends_at } => due.last().map_or(*ends_at, |(at, _)| *at),
        }
    }

    /// The next connection whose time has come.
    fn next_due(&mut self, now: Time) -> Option<ConnId> {
        let Self::Closing { due, .. } = self else {
            return None;
        };
        due.pop_if(|(at, _)| *at <= now).map(|(_, id)| id)
    }
}

impl Reactor {
    /// Begins to drain if a stop is requested.
    pub(super) fn stop_if_requested(&mut self) {
        if self.draining.is_begun() || !self.stop.is_requested(self.config.drain) {
            return;
        }
        self.draining = Draining::begun(self.now, self.config.drain);
    }

    /// What draining has to do now. The inbox was drained in front of it: what was published is told before a
    /// close.
    #[inline]
    pub(super) fn drain(&mut self) {
        if self.draining.is_begun() {
            self.close_due();
        }
    }

    #[cold]
    fn close_due(&mut self) {
        if let Draining::Delayed { until, ends_at } = self.draining
            && until <= self.now
        {
            let window = self.config.drain.window;
            if !window.is_zero() {
                self.accept_rest();
            }
            self.stop_accepting();
            let due = spread(self.conns.ids().collect(), self.now, window);
            self.draining = Draining::Closing { due, ends_at };
        }
        while let Some(id) = self.draining.next_due(self.now) {
            self.turn(id, Conn::on_stop);
        }
    }

    /// Takes in those whom the kernel has connected already: it would reset them with the listener.
    fn accept_rest(&mut self) {
        self.accepting.iter_mut().for_each(Accepting::on_edge);
        self.newcomers_wait = true;
        for _ in 0..LISTEN_BACKLOG.unsigned_abs() as usize / ACCEPTS_PER_TURN_MAX {
            let is_ready = |accepting: &Accepting| accepting.state == AcceptState::Ready;
            if !self.newcomers_wait && !self.accepting.iter().any(is_ready) {
                break;
            }
            self.accept();
        }
    }
}

/// A time for each within `window`, in an order that says nothing of them: each has a part of the window to itself,
/// and its time somewhere in there. The earliest is the last.
fn spread(mut ids: Vec<ConnId>, now: Time, window: Duration) -> Vec<(Time, ConnId)> {
    let part = window.as_secs_f64() / ids.len().max(1) as f64;
    fastrand::shuffle(&mut ids);
    let at = |n: usize| {
        let after = (n as f64 + fastrand::f64()) * part;
        now + Duration::from_secs_f64(after).min(window)
    };
    let mut due: Vec<_> = ids
        .into_iter()
        .enumerate()
        .map(|(n, id)| (at(n), id))
        .collect();
    due.reverse();
    due
}

#[cfg(test)]
mod tests {
    use mio::Token;

    use super::*;

    fn ids(count: usize) -> Vec<ConnId> {
        (0..count).map(|n| ConnId::from(Token(n))).collect()
    }

    #[test]
    fn closes_are_spread_over_the_window_and_each_has_a_part_of_it() {
        let now = Time::from_millis(1000);
        let window = Duration::from_secs(10);
        let mut due = spread(ids(1000), now, window);
        due.reverse();
        for (n, (at, _)) in (0..).zip(&due) {
            let part = now.as_millis() + n * 10;
            assert!((part..=part + 10).contains(&at.as_millis()), "{n}: {at:?}");
        }
        let mut closed: Vec<usize> = due.iter().map(|(_, id)| Token::from(*id).0).collect();
        assert!(!closed.is_sorted(), "who came first does not go first");
        closed.sort_unstable();
        assert_eq!(closed, (0..1000).collect::<Vec<_>>(), "each has a time");
    }

    #[test]
    fn without_a_window_all_are_due_at_once() {
        let now = Time::from_millis(7);
        let due = spread(ids(3), now, Duration::ZERO);
        assert!(due.iter().all(|(at, _)| *at == now), "{due:?}");
        assert!(spread(Vec::new(), now, Duration::from_secs(1)).is_empty());
    }

    #[test]
    fn an_end_waits_for_its_delay_and_then_for_connections_but_not_for_ever() {
        let drain = Drain {
            delay: Duration::from_millis(10),
            window: Duration::from_millis(10),
            ..Drain::at_once(Duration::from_millis(100))
        };
        let at = Time::from_millis;
        assert!(!Draining::No.is_over(0, Time::NEVER));
        let delayed = Draining::begun(at(1), drain);
        assert_eq!(delayed.next(), at(11));
        assert!(!delayed.is_over(0, at(11)), "somebody may still come");
        let id = ConnId::from(Token(3));
        let mut closing = Draining::Closing {
            due: vec![(at(20), id)],
            ends_at: at(101),
        };
        assert_eq!(closing.next(), at(20));
        assert_eq!(closing.next_due(at(19)), None);
        assert_eq!(closing.next_due(at(20)), Some(id));
        assert_eq!(closing.next(), at(101));
        assert!(!closing.is_over(1, at(100)));
        assert!(closing.is_over(0, at(21)) && closing.is_over(1, at(101)));
    }
}
