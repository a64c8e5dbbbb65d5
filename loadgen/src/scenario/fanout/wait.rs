//! The wait for the last deliveries. In: time, and what is there. Out: when nothing is waited for any more.
//!
//! Never: waits itself.

use std::time::Duration;

use super::stalled;
use super::worker::FanoutWorker;
use crate::client::Clients;
use crate::clock::Nanos;

/// The time between two looks at whether everything has arrived.
const SETTLED_CHECK: Duration = Duration::from_millis(5);

/// How far the wait for the last deliveries is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The load is on.
    NotYet,
    /// Others may still publish; look again at this time.
    ForPublishers { check: Nanos },
    /// Nobody publishes since `since`.
    ForDeliveries { since: Nanos, check: Nanos },
    /// Everything is there, or was waited for long enough; other threads may still wait.
    ForOthers { check: Nanos },
    /// Nobody waits; stalled subscribers read what is there.
    ForStalled { until: Nanos },
    /// Nothing is waited for any more.
    Over,
}

impl Wait {
    /// Whether deliveries were waited for as long as that may take.
    pub(super) const fn has_ended(self) -> bool {
        matches!(
            self,
            Self::ForOthers { .. } | Self::ForStalled { .. } | Self::Over
        )
    }
}

impl FanoutWorker<'_> {
    /// Goes on with the wait for the last deliveries, and tells when to look again.
    pub(super) fn proceed_to_wait(&mut self, now: Nanos, clients: &mut Clients<'_>) -> Nanos {
        let ledger = &self.fanout.shared.ledger;
        let next_check = now.after(SETTLED_CHECK);
        match self.wait {
            Wait::NotYet => return Nanos::MAX,
            Wait::Over => {}
            Wait::ForPublishers { check }
            | Wait::ForDeliveries { check, .. }
            | Wait::ForOthers { check }
            | Wait::ForStalled { until: check }
                if now < check =>
            {
                return check;
            }
            Wait::ForPublishers { .. } => {
                self.wait = if ledger.is_published() {
                    Wait::ForDeliveries {
                        since: now,
                        check: now,
                    }
                } else {
                    Wait::ForPublishers { check: next_check }
                };
            }
            Wait::ForDeliveries { since, .. } => {
                let is_overdue = now.duration_since(since) >= self.fanout.timing.timeout;
                if is_overdue {
                    self.give_up_returns(clients);
                    self.give_up_answers();
                }
                let is_there =
                    self.cuts.away() == 0 && self.has_answers() && self.audience.has_everything();
                self.wait = if is_overdue || is_there {
                    ledger.stop_waiting();
                    Wait::ForOthers { check: now }
                } else {
                    Wait::ForDeliveries {
                        since,
                        check: next_check,
                    }
                };
            }
            Wait::ForOthers { .. } => {
                self.wait = if !ledger.is_settled() {
                    Wait::ForOthers { check: next_check }
                } else if self.stalled.count() == 0 {
                    Wait::Over
                } else {
                    self.stalled.limit_read(usize::MAX, clients);
                    Wait::ForStalled {
                        until: now.after(stalled::LAST_LOOK),
                    }
                };
            }
            Wait::ForStalled { .. } => self.wait = Wait::Over,
        }
        next_check
    }
}
