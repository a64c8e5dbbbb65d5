//! What one client may take, and all together. In: keys of several tables. Out: numbers that make sense.
//!
//! Never: a rate that cannot be told from any number.

use std::num::NonZeroU32;

use fanfare_codec::handshake::HeadLimits;

use super::error::{Fault, Key};
use super::file::File;
use crate::limits::{HANDSHAKE_BYTES_MAX, HANDSHAKE_BYTES_MIN, RATE_MAX};

/// None: any number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections of one address.
    pub(crate) per_address_max: Option<NonZeroU32>,
    /// Connections that are accepted a second.
    pub(crate) arrivals_per_second_max: Option<NonZeroU32>,
    pub(crate) head: HeadLimits,
    /// What must come of a request's head, in bytes a second.
    pub(crate) handshake_rate_min: Option<NonZeroU32>,
    /// Data messages of one client.
    pub(crate) messages_per_second_max: Option<NonZeroU32>,
    /// Its fragments and control frames.
    pub(crate) fragments_per_second_max: Option<NonZeroU32>,
    /// Memory for all that waits to be read.
    pub(crate) output_bytes_in_all_max: usize,
}

impl Bounds {
    /// For one's own clients.
    pub(crate) const NONE: Self = Self {
        per_address_max: None,
        arrivals_per_second_max: None,
        head: HeadLimits::DEFAULT,
        handshake_rate_min: None,
        messages_per_second_max: None,
        fragments_per_second_max: None,
        output_bytes_in_all_max: usize::MAX,
    };
}

pub(super) fn check(file: &File) -> Result<Bounds, Fault> {
    let websocket = &file.websocket;
    let key = |name| Key::from(["websocket", name]);
    let head_bytes = websocket.max_handshake_bytes;
    if !(HANDSHAKE_BYTES_MIN..=HANDSHAKE_BYTES_MAX).contains(&head_bytes) {
        let why = format!("must be from {HANDSHAKE_BYTES_MIN} to {HANDSHAKE_BYTES_MAX}");
        return Err(Fault::new(key("max_handshake_bytes"), why));
    }
    let arrivals = file.max_new_connections_per_second;
    Ok(Bounds {
        per_address_max: file.max_connections_per_address,
        arrivals_per_second_max: rate(["max_new_connections_per_second"].into(), arrivals)?,
        head: HeadLimits::DEFAULT.with_max_head_bytes(head_bytes),
        handshake_rate_min: NonZeroU32::new(websocket.min_handshake_bytes_per_second),
        messages_per_second_max: rate(
            key("max_messages_per_second"),
            websocket.max_messages_per_second,
        )?,
        fragments_per_second_max: rate(
            key("max_fragments_per_second"),
            NonZeroU32::new(websocket.max_fragments_per_second),
        )?,
        output_bytes_in_all_max: websocket.max_output_bytes_in_all.get(),
    })
}

fn rate(key: Key, per_second: Option<NonZeroU32>) -> Result<Option<NonZeroU32>, Fault> {
    match per_second {
        Some(n) if n > RATE_MAX => Err(Fault::new(key, format!("must be at most {RATE_MAX}"))),
        rate => Ok(rate),
    }
}
