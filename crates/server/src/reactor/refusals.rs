//! What of a turn is counted and logged. In: notes of connections. Out: numbers, lines of the access log, and
//! now and then a line about refusals.
//!
//! Never: a line for each refusal, unless the config wants one for each request.

use std::time::Duration;

use crate::clock::Time;
use crate::conn::{Conn, Notes};
use crate::exceeded::Exceeded;
use crate::metrics::Worker as Metrics;
use crate::slab::ConnId;

/// How often refusals are logged at most, by one worker.
const SILENCE: Duration = Duration::from_secs(5);

/// Refusals that the log knows of, and those that it does not yet.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    logged_at: Option<Time>,
    unlogged: u64,
}

impl Refusals {
    /// Counts and logs what a turn has noted.
    #[cold]
    pub(super) fn note(
        &mut self,
        id: ConnId,
        conn: &mut Conn,
        notes: Notes,
        metrics: &Metrics,
        now: Time,
    ) {
        if let Some(status) = notes.answered {
            metrics.answers(status);
            if let Some(access) = conn.access() {
                access.log_answer(id, status, now);
            }
            if status.0 >= 400
                && let Some(others) = self.next_line(now)
            {
                tracing::info!(conn = %id, status = status.0, others, "refused");
            }
        }
        if let Some(kind) = notes.opened {
            metrics.opens(kind);
        }
        if let Some((initiator, code)) = notes.ended {
            metrics.ends(initiator, code);
            conn.note_end(initiator, code);
        }
    }

    /// One more; how many others the line about it speaks for, if it is time for one.
    fn next_line(&mut self, now: Time) -> Option<u64> {
        if self.logged_at.is_some_and(|at| now.since(at) < SILENCE) {
            self.unlogged += 1;
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

/// Limits that were met, and what the log knows of that.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    /// How often, in all, as the log knows it.
    logged_in_all: u64,
    logged: [Logged; Exceeded::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Logged {
    at: Option<Time>,
    times: u64,
}

impl Warnings {
    /// Tells the log, now and then, which limits were met since, and how often.
    #[inline]
    pub(super) fn log(&mut self, metrics: &Metrics, now: Time) {
        if metrics.exceeded_in_all() != self.logged_in_all {
            self.log_each(metrics, now);
        }
    }

    #[cold]
    fn log_each(&mut self, metrics: &Metrics, now: Time) {
        for (limit, logged) in Exceeded::ALL.into_iter().zip(&mut self.logged) {
            let so_far = metrics.exceeded(limit);
            let times = so_far - logged.times;
            if times == 0 || logged.at.is_some_and(|at| now.since(at) < SILENCE) {
                continue;
            }
            tracing::warn!(limit = limit.key(), times, "a limit was met");
            self.logged_in_all += times;
            *logged = Logged {
                at: Some(now),
                times: so_far,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_logged_now_and_then_and_nothing_is_forgotten() {
        let metrics = Metrics::default();
        let mut warnings = Warnings::default();
        let at = Time::from_millis;
        let unlogged = |warnings: &Warnings| metrics.exceeded_in_all() - warnings.logged_in_all;
        metrics.exceeds(Exceeded::Messages);
        warnings.log(&metrics, at(1));
        assert_eq!(unlogged(&warnings), 0, "the first at once");
        metrics.exceeds(Exceeded::Messages);
        metrics.exceeds(Exceeded::Fragments);
        warnings.log(&metrics, at(5000));
        assert_eq!(unlogged(&warnings), 1, "that of another at once");
        warnings.log(&metrics, at(5001));
        assert_eq!(unlogged(&warnings), 0);
        assert_eq!(warnings.logged[Exceeded::Messages as usize].times, 2);
    }

    #[test]
    fn refusals_are_logged_now_and_then_and_none_is_forgotten() {
        let mut refusals = Refusals::default();
        let at = Time::from_millis;
        assert_eq!(refusals.next_line(at(1)), Some(0), "the first at once");
        assert_eq!(refusals.next_line(at(2)), None);
        assert_eq!(refusals.next_line(at(5000)), None);
        assert_eq!(refusals.next_line(at(5001)), Some(2));
        assert_eq!(refusals.next_line(at(99_999)), Some(0));
    }
}
