//! When a session and its subscriptions end. In: the time. Out: what is over, and what the backend is asked.
//!
//! Never: knows a token.

use fanfare_hub::{Channel, Time};

use super::pending::Waits;
use super::{Host, NEVER, Rules, Session, Standing};
use crate::codes::{Disconnect, Unsubscribed};
use crate::hook::HookEvent;
use crate::limits::REFRESH_RETRY_TIME;
use crate::message::Push;

/// When a session ends.
#[derive(Debug)]
pub(super) struct Ends {
    at: Time,
    /// When the backend is asked whether it may stay, if it is the one that says so.
    asks_at: Time,
    is_of_hook: bool,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            at: NEVER,
            asks_at: NEVER,
            is_of_hook: false,
        }
    }
}

impl Ends {
    pub(super) fn set(&mut self, at: Option<Time>, is_of_hook: bool) {
        self.at = at.unwrap_or(NEVER);
        self.is_of_hook = is_of_hook;
        self.asks_at = if is_of_hook { self.at } else { NEVER };
    }

    /// The same, whoever said it before.
    pub(super) fn move_to(&mut self, at: Option<Time>) {
        self.set(at, self.is_of_hook);
    }

    pub(super) fn at(&self) -> Option<Time> {
        (self.at != NEVER).then_some(self.at)
    }

    pub(super) fn due(&self, rules: &Rules<'_>, is_asked: bool) -> Time {
        let ends = self.at + rules.client.expiry_grace;
        if rules.client.has_refresh_hook && !is_asked {
            ends.min(self.asks_at)
        } else {
            ends
        }
    }
}

/// Seconds until `at`. Rounded up: 0 would be "now", and an SDK may come late by the grace.
pub(super) fn ttl(at: Time, now: Time) -> u32 {
    let millis = at.as_millis().saturating_sub(now.as_millis());
    u32::try_from(millis.div_ceil(1000))
        .unwrap_or(u32::MAX)
        .max(1)
}

impl Session {
    /// # Errors
    ///
    /// [`Disconnect::EXPIRED`]: an SDK connects again with a new token.
    pub(super) fn end_if_due(
        &mut self,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let is_asked = self.pending.has_refresh_hook();
        if rules.now < self.ends.due(rules, is_asked) {
            return Ok(());
        }
        if rules.now >= self.ends.at + rules.client.expiry_grace {
            return Err(Disconnect::EXPIRED);
        }
        if self
            .call(0, HookEvent::Refresh, Waits::RefreshHook, host)
            .is_err()
        {
            self.ask_later(rules);
        }
        Ok(())
    }

    /// The backend did not say whether the session may stay: it has the grace for it.
    pub(super) fn ask_later(&mut self, rules: &Rules<'_>) {
        let pause = (rules.client.expiry_grace / 5).max(REFRESH_RETRY_TIME);
        self.ends.asks_at = rules.now + pause;
    }

    /// A subscription ends then.
    pub(super) fn note_subscription_end(&mut self, at: Option<Time>) {
        self.subscriptions_end_at = self.subscriptions_end_at.min(at.unwrap_or(NEVER));
    }

    /// Ends subscriptions whose time is over, with a code on which an SDK subscribes again, with a new token; a
    /// server-side one is the operator's to give again. (3006 would cut all other subscriptions with it.)
    pub(super) fn end_subscriptions(&mut self, rules: &Rules<'_>, host: &mut impl Host) {
        let grace = rules.client.expiry_grace;
        if rules.now < self.subscriptions_end_at + grace {
            return;
        }
        let mut over: Vec<Channel> = Vec::new();
        let mut next = NEVER;
        host.for_each(&mut |channel, standing| {
            // One that is pending is noted when it is answered.
            let Standing::Live(terms) = standing else {
                return;
            };
            match terms.expire_at() {
                Some(at) if rules.now >= at + grace => over.push(channel.clone()),
                Some(at) => next = next.min(at),
                None => {}
            }
        });
        self.subscriptions_end_at = next;
        for channel in over {
            end(&channel, &Unsubscribed::EXPIRED, host);
        }
    }
}

/// Ends a live subscription and tells the client.
pub(super) fn end(channel: &Channel, why: &Unsubscribed, host: &mut impl Host) {
    if host.unsubscribe(channel.as_str()) {
        host.push(&Push::Unsubscribe {
            channel: channel.as_str(),
            why,
        });
    }
}
