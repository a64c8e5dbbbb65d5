//! How fast a client asks, and how often in vain. In: the time. Out: whether it is too much.
//!
//! Never: counts what is not taken.

use fanfare_hub::Time;

use super::Rules;
use crate::allowance::Allowance;
use crate::codes::Disconnect;
use crate::limits::{ERRORS_MAX, ERRORS_TIME};

/// What a session has asked of late.
#[derive(Debug, Default)]
pub(super) struct Rates {
    commands: Allowance,
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
        self.commands.take(commands_max, now_us)
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
