//! Whether a worker is where the engine's streams stand. In: the time. Out: questions for the engine, a few at a
//! time; its answers to the table.
//!
//! A publication that never reached the inbox leaves no hole until the next one comes: without this, whoever
//! waits for it would wait for ever.
//!
//! Never: asks about a channel in which nobody follows positions.

use std::time::Duration;

use fanfare_hub::{ChannelId, EngineError, History, HistoryQuery, Request, Response, Ticket};

use super::Push;
use crate::clock::Time;

/// Every channel is checked as often (PROTOCOL.md, "Subscribe and recover", 6).
const CHECKED_EVERY: Duration = Duration::from_secs(40);
/// Each time a part of them.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The generation in the ticket of a check; its token is the channel.
pub(super) const CHECK: u64 = u64::MAX - 1;

impl Push {
    /// Asks about the next part of the channels. Call it once every [`CHECK_INTERVAL`].
    pub(crate) fn check_positions(&mut self, now: Time) {
        let places = self.table.channel_places();
        let parts = CHECKED_EVERY.as_secs().div_ceil(CHECK_INTERVAL.as_secs());
        let part = places.div_ceil(usize::try_from(parts).unwrap_or(1));
        if self.next_checked >= places {
            self.next_checked = 0;
        }
        let first = self.next_checked;
        self.next_checked = (first + part).min(places);
        for place in first..self.next_checked {
            let Some((id, channel)) = self.table.followed_at(place) else {
                continue;
            };
            let ticket = Ticket {
                token: id.to_bits(),
                generation: CHECK,
            };
            let query = HistoryQuery {
                limit: Some(0),
                ..HistoryQuery::default()
            };
            let request = Request::History(History {
                channel: channel.clone(),
                query,
            });
            if self.request(Some(ticket), request, now).is_err() {
                self.next_checked = place; // the engine is busy: it is asked again
                return;
            }
        }
    }

    /// Takes the engine's word.
    pub(super) fn take_check(&mut self, token: u64, outcome: Result<Response, EngineError>) {
        if let Ok(Response::History(read)) = outcome {
            self.table.check(ChannelId::from_bits(token), read.position);
        }
    }
}
