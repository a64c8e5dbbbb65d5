//! What the API wants of a session. In: orders. Out: subscriptions that begin and end, another end, a close.
//!
//! Never: tells a client of a subscription that it does not know.

use std::borrow::Cow;

use fanfare_hub::{Action, Channel};

use super::expiry::{end, ttl};
use super::join::{Joining, Plan, Wanted, Wants};
use super::pending::Waits;
use super::terms::Origin;
use super::{Host, Rules, Session, Stage, Standing};
use crate::codes::{Disconnect, Unsubscribed};
use crate::message::{Expiry, Push};
use crate::token::Overrides;

impl Session {
    pub(super) fn obey(
        &mut self,
        action: &Action,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        if let Action::Disconnect { code, reason } = action {
            return Err(Disconnect {
                code: *code,
                reason: text(reason, Disconnect::FORCE_DISCONNECT.reason),
            });
        }
        let is_known = self.info.is_some() && !matches!(self.stage, Stage::Failed { .. });
        if !is_known {
            return Ok(()); // it is nobody's yet, or it is over
        }
        match action {
            Action::Unsubscribe {
                channel,
                code,
                reason,
            } => {
                let why = Unsubscribed {
                    code: *code,
                    reason: text(reason, Unsubscribed::BY_SERVER.reason),
                };
                self.end_subscription(channel.as_ref(), &why, rules, host);
            }
            Action::Subscribe {
                channel,
                options,
                channel_info,
                data,
                since,
            } => {
                let is_there = host.standing(channel.as_str()).is_some();
                if is_there || self.pending.is_subscribing(channel.as_str()) {
                    return Ok(());
                }
                let plan = Plan {
                    channel: channel.clone(),
                    options,
                    overrides: Overrides::default(), // the API has changed them itself
                    wants: Wants::since(*since),
                    origin: Origin::Server,
                    wanted: Wanted::Order,
                    refuses_unrecovered: false,
                    channel_info: channel_info.clone(),
                    ends_at: None,
                    tells_expiry: false,
                    data: data.clone().unwrap_or_default(),
                    ended: None,
                };
                // The API does not wait for what comes of it.
                let _ = self.join(0, plan, host);
            }
            Action::Refresh { expire_at } => {
                if expire_at.is_some_and(|at| at <= rules.now) {
                    return Err(Disconnect::EXPIRED);
                }
                self.ends.move_to(*expire_at);
                if self.is_connected() {
                    let left = expire_at.map(|at| ttl(at, rules.now));
                    host.push(&Push::Refresh(Expiry(left)));
                }
            }
            Action::Disconnect { .. } => {} // above
        }
        Ok(())
    }

    /// Ends the subscription to `channel`, or all.
    fn end_subscription(
        &mut self,
        channel: Option<&Channel>,
        why: &Unsubscribed,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) {
        let is_meant = |other: &Channel| channel.is_none_or(|channel| channel == other);
        // A subscribe command is answered first: an SDK does not take an unsubscribe before that for its own.
        for subscribing in self.pending.subscribing_mut() {
            if is_meant(subscribing.channel) {
                *subscribing.ended = Some(why.clone());
            }
        }
        // The client does not know of the others.
        let unknown = |joining: &Joining| !joining.is_commanded() && is_meant(&joining.channel);
        for joining in self.pending.take_joining(unknown) {
            host.unsubscribe(joining.channel.as_str());
        }
        if let Stage::Connecting(connecting) = &self.stage {
            // Publications of those that are answered may wait for connect's reply already.
            for subscription in &connecting.subs {
                if is_meant(&subscription.channel)
                    && !self.pending.is_about(subscription.channel.as_str())
                {
                    let ending = Box::new((subscription.channel.clone(), why.clone()));
                    let number = self.pending.next_number();
                    self.pending.insert(number, 0, Waits::Ending(ending));
                }
            }
            self.connect_if_joined(rules, host);
            return;
        }
        let mut live: Vec<Channel> = Vec::new();
        host.for_each(&mut |channel, standing| {
            if matches!(standing, Standing::Live(_)) && is_meant(channel) {
                live.push(channel.clone());
            }
        });
        for channel in live {
            end(&channel, why, host);
        }
    }
}

/// Never empty: an SDK would take a final code for a temporary one.
fn text(reason: &str, otherwise: Cow<'static, str>) -> Cow<'static, str> {
    if reason.is_empty() {
        otherwise
    } else {
        Cow::Owned(reason.to_owned())
    }
}
