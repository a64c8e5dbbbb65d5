//! Every cap of the hub, by name. What is a setting names its default here.
//!
//! Never: a limit that nothing enforces.

use std::time::Duration;

/// A channel's name.
pub const CHANNEL_BYTES_MAX: usize = 255;

/// A publication's tags: how many, and the bytes of all their keys and values.
pub const TAGS_MAX: usize = 32;
/// See [`TAGS_MAX`].
pub const TAGS_BYTES_MAX: usize = 4 << 10;

/// An idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Publications that a namespace may ask a channel to keep.
pub const HISTORY_SIZE_MAX: u32 = 100_000;

/// Payload bytes that a channel's history holds, whatever its size says; the oldest go first.
pub const HISTORY_BYTES_MAX: usize = 64 << 20;

/// Publications in one answer: a history read, or what a subscriber has missed (PROTOCOL.md: 300).
pub const HISTORY_READ_MAX: usize = 300;

/// Clients in one presence answer; past it only the counts can be had.
pub const PRESENCE_LISTED_MAX: usize = 10_000;

/// Channels in one answer; a pattern narrows it.
pub const CHANNELS_LISTED_MAX: usize = 10_000;

/// Bytes of a pattern that selects channels.
pub const PATTERN_BYTES_MAX: usize = CHANNEL_BYTES_MAX;

/// Workers and other callers of one engine: a set of them is a few words.
pub const ORIGINS_MAX: usize = 256;

/// Channels of one [`MemoryEngine`](crate::MemoryEngine), by default.
pub const CHANNELS_MAX: usize = 1 << 20;

/// Clients with presence or join/leave in one channel.
pub const MEMBERS_MAX: usize = 1 << 20;

/// Shards of a [`MemoryEngine`](crate::MemoryEngine), by default: many more than workers, so that two
/// rarely want the same.
pub const SHARDS: usize = 64;

/// Timers that one [`tick`](crate::Engine::tick) handles.
pub const TIMERS_PER_TICK_MAX: usize = 1024;

/// Idempotency keys that one [`MemoryEngine`](crate::MemoryEngine) remembers, by default; past it the
/// oldest is forgotten.
pub const IDEMPOTENCY_KEYS_MAX: usize = 1 << 20;

/// How long an idempotency key is remembered, by default.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_secs(300);

/// Publications that wait in one inbox, by default.
pub const INBOX_DELIVERIES_MAX: usize = 1 << 16;

/// Joins and leaves that wait in one inbox, by default.
pub const INBOX_EVENTS_MAX: usize = 1 << 14;

/// Payload bytes that wait in one inbox, by default. A single publication always fits an empty one.
pub const INBOX_BYTES_MAX: usize = 64 << 20;

/// Requests of one origin whose answers it has not taken, by default.
pub const INBOX_REQUESTS_MAX: usize = 1 << 16;

/// Orders of the API (disconnect, unsubscribe …) that wait in one inbox, by default.
pub const INBOX_ORDERS_MAX: usize = 1 << 12;

/// Channels that one inbox marks one by one as missed; past it one mark stands for all.
pub const INBOX_MARKS_MAX: usize = 1 << 16;

/// Channels of one connection, by default.
pub const CHANNELS_PER_CONNECTION_MAX: usize = 128;

/// Subscriptions of one worker: their slots are 32 bits wide.
pub const SUBSCRIPTIONS_MAX: usize = u32::MAX as usize - 1;
