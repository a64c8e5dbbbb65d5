//! Methods that need nothing but a channel. In: its name. Out: the same, read.
//!
//! Never: asks whether there is such a channel.

use serde::Deserialize;

/// Which channel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfChannel {
    pub(super) channel: String,
}
