//! Subscribers that never read. In: their connections. Out: how many the server ended.
//!
//! They connect with a receive buffer that is as small as the kernel lets it be, so that what is
//! published to them soon waits at the server, and are owed nothing. When all others have what they are
//! owed, they read what is there for a while: the server's close may wait behind it.
//!
//! Never: looks at what they receive.

use std::time::Duration;

use fanfare_codec::CloseCode;

use super::layout::Layout;
use crate::client::Clients;
use crate::fault::Fault;
use crate::scenario::Slots;
use crate::stats::{Counter, Tally};

/// Bytes of their receive buffers; the kernel takes that for twice as much, its own share included.
pub(super) const RECEIVE_BYTES: usize = 4096;

/// How long they read in the end.
pub(super) const LAST_LOOK: Duration = Duration::from_millis(200);

/// Those of one thread.
#[derive(Debug)]
pub(super) struct Stalled {
    /// Of each subscriber; empty if none is.
    flags: Vec<bool>,
}

impl Stalled {
    /// Those among the subscribers of `slots`.
    pub(super) fn new(layout: &Layout, slots: Slots) -> Self {
        let subscribers = slots.within(0..layout.subscribers);
        let flags: Vec<bool> = subscribers
            .map(|conn| layout.is_stalled(slots.first + conn))
            .collect();
        let flags = if flags.contains(&true) {
            flags
        } else {
            Vec::new()
        };
        Self { flags }
    }

    /// Whether connection `conn` never reads.
    #[inline]
    pub(super) fn contains(&self, conn: usize) -> bool {
        self.flags.get(conn) == Some(&true)
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.flags.iter().filter(|&&is_stalled| is_stalled).count()
    }

    /// Has each of them receive `bytes` at most.
    pub(super) fn limit_read(&self, bytes: usize, clients: &mut Clients<'_>) {
        for (conn, _) in self.flags.iter().enumerate().filter(|(_, flag)| **flag) {
            clients.limit_read(conn, bytes);
        }
    }
}

/// Counts one that the server ended, with the close code or what stands for none (RFC 6455 §7.1.5).
pub(super) fn count_closed(fault: &Fault, tally: &mut Tally) {
    tally.add(Counter::StalledClosed, 1);
    let code = fault.close_code.unwrap_or(CloseCode::ABNORMAL.0);
    *tally.close_codes.entry(code).or_default() += 1;
}
