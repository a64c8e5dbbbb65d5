//! The one place where the benches ask what time it is.
//!
//! Never: converts or rounds.

use std::time::Instant;

/// The monotonic time, now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock the others ask"
)]
#[must_use]
#[inline]
pub fn now() -> Instant {
    Instant::now()
}
