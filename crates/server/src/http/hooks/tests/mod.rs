//! Hooks against real backends, from a worker's call to its finding.
//!
//! Never: waits without an event; what does not come within [`fixture::PATIENCE`] fails the test.

mod calls;
mod entries;
mod failures;
mod fixture;
mod tls;
mod turns;

use super::*;
