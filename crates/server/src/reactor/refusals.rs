//! What of a turn is counted and logged. In: notes of connections. Out: numbers, lines of the access log, and
//! now and then a line about refusals.
//!
//! Never: a line for each refusal, unless the config wants one for each request.

use std::time::Duration;

use crate::clock::Time;
use crate::conn::{Conn, Notes};
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

#[cfg(test)]
mod tests {
    use super::*;

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
