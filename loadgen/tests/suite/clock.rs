//! The one place in these tests that reads the clock.

use std::time::Instant;

/// This moment.
#[expect(clippy::disallowed_methods, reason = "this is `clock.rs`")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
