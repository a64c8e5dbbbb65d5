//! How fast a client asks, and how often in vain. In: the time. Out: whether it is too much.
//!
//! Never: counts what is not taken.

use fanfare_hub::Time;

use super::Rules;
use crate::codes::Disconnect;
use crate::limits::{ERRORS_MAX, ERRORS_TIME};

const SECOND_US: u64 = 1_000_000;

/// What a session has asked of late.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// When its allowance is whole again, in microseconds since the Unix epoch: the "theoretical arrival time" of
    /// the generic cell rate algorithm (ITU-T I.371), a bucket of tokens in one number.
    whole_at_us: u64,
    errors_since: Time,
    errors: u32,
}

impl Rates {
    /// Whether one more command is within the limit; if so it counts.
    pub(super) fn admits(&mut self, rules: &Rules<'_>) -> bool {
        let Some(commands_max) = rules.client.commands_per_second_max else {
            return true;
        };
        let now_us = rules.now.as_millis().saturating_mul(1000);
        let cost_us = SECOND_US / u64::from(commands_max.max(1));
        let whole_at_us = self.whole_at_us.max(now_us).saturating_add(cost_us);
        let is_within = whole_at_us - now_us <= SECOND_US;
        if is_within {
            self.whole_at_us = whole_at_us;
        }
        is_within
    }

    /// One more command has failed.
    ///
    /// # Errors
    ///
    /// [`Disconnect::TOO_MANY_ERRORS`]: more than [`ERRORS_MAX`] within [`ERRORS_TIME`].
    pub(super) fn count_error(&mut self, now: Time) -> Result<(), Disconnect> {
        if self.errors == 0 || now >= self.errors_since + ERRORS_TIME {
            self.errors_since = now;
            self.errors = 0;
        }
        self.errors += 1;
        if self.errors > ERRORS_MAX {
            return Err(Disconnect::TOO_MANY_ERRORS);
        }
        Ok(())
    }
}
