//! refresh and sub_refresh: new ends for a session and its subscriptions. In: tokens, claims, the backend's answer.
//! Out: a reply, and when it ends now.
//!
//! Never: changes who somebody is.

use fanfare_hub::Channel;

use super::connect::VERSION;
use super::expiry::{end, ttl};
use super::pending::Waits;
use super::subscribe::refusal;
use super::terms::Origin;
use super::{Host, Rules, Session, Standing, Unverified, answer};
use crate::codes::{ClientError, Disconnect, Unsubscribed};
use crate::command::SubRefresh;
use crate::hook::{HookAnswer, HookFailed};
use crate::message::{Expiry, Outcome};
use crate::token::{Claims, TokenError, TokenKind};

impl Session {
    pub(super) fn refresh(
        &mut self,
        id: u32,
        token: String,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        if !rules.client.has_tokens {
            return self.fail(id, &ClientError::NOT_AVAILABLE, rules, host);
        }
        match self.verify(id, TokenKind::Connection, token, Waits::RefreshToken, host) {
            Ok(()) => Ok(()),
            Err(Unverified::TooLong) => Err(Disconnect::INVALID_TOKEN),
            Err(Unverified::Busy) => self.fail(id, &ClientError::INTERNAL, rules, host),
        }
    }

    /// An error reply would end an SDK's session for good, but for a temporary one. With 3005 it connects again: with
    /// the same token, which gives it 109, and then with a new one.
    pub(super) fn refresh_verified(
        &mut self,
        id: u32,
        result: Result<Claims, TokenError>,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let claims = match result {
            Ok(claims) => claims,
            Err(TokenError::Expired) => return Err(Disconnect::EXPIRED),
            Err(TokenError::Unavailable) => {
                return self.fail(id, &ClientError::INTERNAL, rules, host);
            }
            Err(TokenError::Invalid) => return Err(Disconnect::INVALID_TOKEN),
        };
        if claims.user != self.user() {
            return Err(Disconnect::INVALID_TOKEN);
        }
        let ends_at = claims.ends_at();
        if ends_at.is_some_and(|at| at <= rules.now) {
            return Err(Disconnect::EXPIRED);
        }
        self.ends.set(ends_at, false);
        if let Some(meta) = claims.meta {
            self.meta = Some(Box::new(meta));
        }
        let outcome = Outcome::Refresh {
            client: self.client(),
            version: VERSION,
            expiry: Expiry(ends_at.map(|at| ttl(at, rules.now))),
        };
        answer(id, outcome, host);
        Ok(())
    }

    /// Without a word to the client, which knows of no end.
    pub(super) fn refresh_hooked(
        &mut self,
        result: Result<HookAnswer, HookFailed>,
        rules: &Rules<'_>,
    ) -> Result<(), Disconnect> {
        let granted = match result {
            Ok(HookAnswer::Granted(granted)) => granted,
            Ok(HookAnswer::Disconnect(disconnect)) => return Err(disconnect),
            Ok(HookAnswer::Error(_)) | Err(HookFailed) => {
                self.ask_later(rules);
                return Ok(());
            }
        };
        if granted.expired || granted.expire_at.is_some_and(|at| at <= rules.now) {
            return Err(Disconnect::EXPIRED);
        }
        self.ends.set(granted.expire_at, true);
        if let Some(meta) = granted.meta {
            self.meta = Some(Box::new(meta));
        }
        Ok(())
    }

    pub(super) fn sub_refresh(
        &mut self,
        id: u32,
        refresh: SubRefresh,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        let channel = Channel::parse(&refresh.channel).map_err(|_| ClientError::BAD_REQUEST)?;
        let is_live = matches!(host.standing(channel.as_str()), Some(Standing::Live(_)));
        if !rules.client.has_tokens || !is_live {
            return Err(ClientError::PERMISSION_DENIED);
        }
        let waits = Waits::SubRefreshToken(channel);
        let verified = self.verify(id, TokenKind::Subscription, refresh.token, waits, host);
        verified.map_err(refusal)
    }

    pub(super) fn sub_refresh_verified(
        &mut self,
        id: u32,
        channel: &Channel,
        result: Result<Claims, TokenError>,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let claims = self.claims_for(channel, result, rules);
        let standing = host.standing(channel.as_str());
        let Some(Standing::Live(mut terms)) = standing else {
            return self.fail(id, &ClientError::PERMISSION_DENIED, rules, host);
        };
        let ends_at = match claims {
            Ok(claims) => claims.ends_at(),
            Err(error) => {
                // With the error alone an SDK ends the subscription for good, since 109 is not temporary. Told that
                // it has expired, it subscribes again, and takes 109 there for what it is: a new token is wanted.
                if error == ClientError::TOKEN_EXPIRED && terms.origin == Origin::Client {
                    end(channel, &Unsubscribed::EXPIRED, host);
                }
                return self.fail(id, &error, rules, host);
            }
        };
        terms.set_expire_at(ends_at);
        host.set_terms(channel.as_str(), terms);
        self.note_subscription_end(terms.expire_at());
        let expiry = Expiry(ends_at.map(|at| ttl(at, rules.now)));
        answer(id, Outcome::SubRefresh(expiry), host);
        Ok(())
    }
}
