//! permessage-deflate, as it is configured. In: the keys of [websocket.deflate]. Out: what is negotiated, and what it
//! may cost.
//!
//! Never: lets the push server keep a window: what it sends many is compressed once.

use std::time::Duration;

use fanfare_codec::deflate::{DeflatePolicy, DeflateSettings, WindowBits};
use serde::{Deserialize, Serialize};

use super::check::seconds;
use super::error::{Fault, Key};
use crate::admission::HalfWay;

/// What is negotiated, and what it may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deflate {
    pub(crate) policy: DeflatePolicy,
    pub(crate) settings: DeflateSettings,
    /// Contexts that connections may keep between messages.
    pub(crate) contexts_max: usize,
    /// Compressed messages that may be half-way, each of which has a context, and what they may be inflated to.
    pub(crate) half_way_max: HalfWay,
    /// From the first byte of one to its last.
    pub(crate) half_way_timeout: Duration,
}

impl Deflate {
    /// Of `fanfare echo --deflate`: everything is compressed, and windows are kept as clients like it.
    pub(crate) const ECHO: Self = Self {
        policy: DeflatePolicy::DEFAULT,
        settings: DeflateSettings::DEFAULT.with_threshold_bytes(0),
        contexts_max: CONTEXTS_MAX,
        half_way_max: HALF_WAY_MAX,
        half_way_timeout: HALF_WAY_TIMEOUT,
    };
}

/// Of clients' windows that is 48 MiB; of ours, which an echo has, 380.
const CONTEXTS_MAX: usize = 1024;
const HALF_WAY_MAX: HalfWay = HalfWay {
    messages: 1024,
    bytes: 64 << 20,
};
const HALF_WAY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    enabled: bool,
    level: u8,
    mem_level: u8,
    threshold_bytes: usize,
    server_max_window_bits: u8,
    client_max_window_bits: u8,
    allow_client_takeover: bool,
    max_contexts: usize,
    max_half_received: usize,
    max_half_received_bytes: usize,
    half_received_timeout: f64,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            enabled: false,
            level: 1,
            mem_level: 8,
            threshold_bytes: DeflateSettings::DEFAULT.threshold_bytes,
            server_max_window_bits: WindowBits::MAX.get(),
            client_max_window_bits: WindowBits::MAX.get(),
            allow_client_takeover: false,
            max_contexts: CONTEXTS_MAX,
            max_half_received: HALF_WAY_MAX.messages,
            max_half_received_bytes: HALF_WAY_MAX.bytes,
            half_received_timeout: HALF_WAY_TIMEOUT.as_secs_f64(),
        }
    }
}

/// None: it is not offered to anybody.
pub(super) fn check(written: &Written) -> Result<Option<Deflate>, Fault> {
    let key = |name| Key::from(["websocket", "deflate", name]);
    let level = |name, level| match level {
        1..=9 => Ok(level),
        _ => Err(Fault::new(key(name), "must be from 1 to 9")),
    };
    let bits = |name, bits| {
        let why = "must be from 8 to 15";
        WindowBits::new(bits).ok_or_else(|| Fault::new(key(name), why))
    };
    let settings = DeflateSettings::DEFAULT
        .with_level(level("level", written.level)?)
        .with_mem_level(level("mem_level", written.mem_level)?)
        .with_threshold_bytes(written.threshold_bytes);
    let server_bits = bits("server_max_window_bits", written.server_max_window_bits)?;
    let client_bits = bits("client_max_window_bits", written.client_max_window_bits)?;
    let timeout = seconds(key("half_received_timeout"), written.half_received_timeout)?;
    let policy = DeflatePolicy::DEFAULT
        .with_server_takeover(false)
        .with_client_takeover(written.allow_client_takeover)
        .with_server_window_bits_max(server_bits)
        .with_client_window_bits_max(client_bits);
    Ok(written.enabled.then_some(Deflate {
        policy,
        settings,
        contexts_max: written.max_contexts,
        half_way_max: HalfWay {
            messages: written.max_half_received,
            bytes: written.max_half_received_bytes,
        },
        half_way_timeout: timeout,
    }))
}
