//! subscribe: may the client? In: the command, claims, the backend's answer. Out: a subscription that the engine is
//! asked for, or an error.
//!
//! Never: keeps what the engine was asked for.

use bytes::Bytes;
use fanfare_hub::{Channel, Time};

use super::join::{Plan, Wanted, Wants};
use super::pending::Waits;
use super::terms::Origin;
use super::{Host, Rules, Session, Unverified};
use crate::codes::{ClientError, Disconnect, Unsubscribed};
use crate::command::Subscribe;
use crate::hook::{HookAnswer, HookEvent, HookFailed};
use crate::token::{Claims, Overrides, TokenError, TokenKind};

/// Of [`Subscribe::flag`]: refuse with error 112 what can't be recovered.
const REFUSES_UNRECOVERED: u64 = 2;

/// A subscribe command whose token is verified, or which the backend is asked about.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) channel: Channel,
    wants: Wants,
    refuses_unrecovered: bool,
    /// Why the subscription ends as soon as it is answered.
    pub(super) ended: Option<Unsubscribed>,
}

impl Asked {
    /// Whether it asks for what it has missed.
    pub(super) const fn recovers(&self) -> bool {
        self.wants.recovers()
    }
}

/// What a token or the backend grants to a subscription.
#[derive(Default)]
struct Grants {
    overrides: Overrides,
    channel_info: Option<Bytes>,
    data: Option<Bytes>,
    ends_at: Option<Time>,
    /// Whether the client is to bring a token when its time runs out.
    tells_expiry: bool,
}

impl Session {
    pub(super) fn subscribe(
        &mut self,
        id: u32,
        wants: Subscribe,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        let channel = Channel::parse(&wants.channel).map_err(|_| ClientError::BAD_REQUEST)?;
        let resolved = rules.namespaces.resolve(&channel);
        let options = resolved.map_err(|_| ClientError::UNKNOWN_CHANNEL)?;
        if host.standing(channel.as_str()).is_some() {
            return Err(ClientError::ALREADY_SUBSCRIBED);
        }
        let asked = Asked {
            wants: Wants::of(&wants),
            refuses_unrecovered: wants.flag & REFUSES_UNRECOVERED != 0,
            channel,
            ended: None,
        };
        if asked.channel.is_private() || !wants.token.is_empty() {
            if !rules.client.has_tokens || wants.token.is_empty() {
                return Err(ClientError::PERMISSION_DENIED);
            }
            let waits = Waits::SubscribeToken(Box::new(asked));
            let verified = self.verify(id, TokenKind::Subscription, wants.token, waits, host);
            return verified.map_err(refusal);
        }
        if !asked.channel.is_for_user(self.user()) {
            return Err(ClientError::PERMISSION_DENIED);
        }
        if host.has_subscribe_hook(&asked.channel) {
            let event = HookEvent::Subscribe {
                channel: asked.channel.clone(),
                data: wants.data,
            };
            return self.call(id, event, Waits::SubscribeHook(Box::new(asked)), host);
        }
        if !options.allows_subscribe(self.asker(&asked.channel, host)) {
            return Err(ClientError::PERMISSION_DENIED);
        }
        self.grant_subscription(id, asked, Grants::default(), rules, host)
    }

    pub(super) fn subscribe_verified(
        &mut self,
        id: u32,
        asked: Asked,
        result: Result<Claims, TokenError>,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let granted = self.claims_for(&asked.channel, result, rules);
        let done = granted.and_then(|claims| {
            let grants = Grants {
                ends_at: claims.ends_at(),
                tells_expiry: true,
                overrides: claims.options,
                channel_info: claims.info,
                data: None,
            };
            self.grant_subscription(id, asked, grants, rules, host)
        });
        done.or_else(|error| self.fail(id, &error, rules, host))
    }

    pub(super) fn subscribe_hooked(
        &mut self,
        id: u32,
        asked: Asked,
        result: Result<HookAnswer, HookFailed>,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let done = match result {
            Ok(HookAnswer::Granted(granted)) => {
                let is_over = granted.expire_at.is_some_and(|at| at <= rules.now);
                if is_over {
                    Err(ClientError::EXPIRED)
                } else {
                    let grants = Grants {
                        overrides: granted.options,
                        channel_info: granted.info,
                        data: granted.data,
                        ends_at: granted.expire_at,
                        // An SDK that is told would ask its application for a token, and end the subscription for
                        // good where there is none. When its time is over it subscribes again, and the backend is
                        // asked again.
                        tells_expiry: false,
                    };
                    self.grant_subscription(id, asked, grants, rules, host)
                }
            }
            Ok(HookAnswer::Error(error)) => Err(error),
            Ok(HookAnswer::Disconnect(disconnect)) => return Err(disconnect),
            Err(HookFailed) => Err(ClientError::INTERNAL),
        };
        done.or_else(|error| self.fail(id, &error, rules, host))
    }

    /// A subscription token's claims, if they are for this client and `channel`.
    pub(super) fn claims_for(
        &self,
        channel: &Channel,
        result: Result<Claims, TokenError>,
        rules: &Rules<'_>,
    ) -> Result<Claims, ClientError> {
        let claims = result.map_err(|error| match error {
            TokenError::Expired => ClientError::TOKEN_EXPIRED,
            TokenError::Unavailable => ClientError::INTERNAL,
            TokenError::Invalid => ClientError::PERMISSION_DENIED,
        })?;
        let is_for_it = claims.channel == channel.as_str()
            && claims.user == self.user()
            && claims
                .client
                .as_deref()
                .is_none_or(|only| only == self.client());
        if !is_for_it {
            return Err(ClientError::PERMISSION_DENIED);
        }
        if claims.ends_at().is_some_and(|at| at <= rules.now) {
            return Err(ClientError::TOKEN_EXPIRED);
        }
        Ok(claims)
    }

    fn grant_subscription(
        &mut self,
        id: u32,
        asked: Asked,
        grants: Grants,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        // A reload may have come since the command did.
        let resolved = rules.namespaces.resolve(&asked.channel);
        let plan = Plan {
            options: resolved.map_err(|_| ClientError::UNKNOWN_CHANNEL)?,
            channel: asked.channel,
            overrides: grants.overrides,
            wants: asked.wants,
            origin: Origin::Client,
            wanted: Wanted::Command,
            refuses_unrecovered: asked.refuses_unrecovered,
            channel_info: grants.channel_info,
            ends_at: grants.ends_at,
            tells_expiry: grants.tells_expiry,
            data: grants.data.unwrap_or_default(),
            ended: asked.ended,
        };
        self.join(id, plan, host)
    }
}

/// What a client learns of a subscription token that nobody looks at.
pub(super) fn refusal(unverified: Unverified) -> ClientError {
    match unverified {
        Unverified::TooLong => ClientError::PERMISSION_DENIED,
        Unverified::Busy => ClientError::INTERNAL,
    }
}
