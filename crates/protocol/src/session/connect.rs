//! connect: who is it, may it, and what is it subscribed to from the start. In: the command, claims, the backend's
//! answer. Out: one reply, once every server-side subscription is answered.
//!
//! Never: tells a client anything else before that reply.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fanfare_hub::{Channel, ClientId, ClientInfo, Time, UserId};

use super::expiry::ttl;
use super::join::{Plan, Wanted, Wants};
use super::pending::Waits;
use super::pings::PingKind;
use super::terms::Origin;
use super::{Host, Rules, Session, Stage, Unverified, answer};
use crate::codes::{ClientError, Disconnect};
use crate::command::{Connect, Subscribe};
use crate::hook::{Granted, HookAnswer, HookEvent, HookFailed};
use crate::message::{ConnectResult, Expiry, Outcome, Reply, Subscription};
use crate::token::{Claims, Grant, Overrides, TokenError, TokenKind};

/// A session that waits for connect.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) client: ClientId,
    /// From its upgrade.
    pub(super) token: Option<Box<str>>,
    /// It is closed, if it has not come by then.
    pub(super) by: Time,
}

/// A connect command that is not answered.
#[derive(Debug)]
pub(super) struct Connecting {
    id: u32,
    pub(super) client: ClientId,
    /// It is closed, if it is not answered by then.
    pub(super) by: Time,
    /// Where it was in server-side subscriptions.
    was_in: std::collections::HashMap<String, Subscribe>,
    /// What the backend has said.
    data: Bytes,
    /// Whether the client is to bring a token when its time runs out.
    tells_expiry: bool,
    /// Server-side subscriptions that are answered.
    pub(super) subs: Vec<Subscription>,
    /// Payload bytes of what they have recovered.
    pub(super) past_bytes: usize,
}

/// Who somebody is, as a token or the backend says, or as nobody does.
#[derive(Debug, Default)]
struct Identity {
    user: String,
    info: Option<Bytes>,
    meta: Option<Bytes>,
    data: Option<Bytes>,
    ends_at: Option<Time>,
    is_of_hook: bool,
    subs: BTreeMap<String, Grant>,
}

impl Session {
    pub(super) fn connect(
        &mut self,
        id: u32,
        mut request: Connect,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let by = rules.now + rules.client.connect_timeout;
        let Stage::Fresh(fresh) = std::mem::replace(&mut self.stage, Stage::Failed { by }) else {
            return Err(Disconnect::BAD_REQUEST);
        };
        let Fresh { client, token, .. } = *fresh;
        let has_tokens = rules.client.has_tokens;
        let token = if !request.token.is_empty() {
            if !has_tokens {
                return Err(Disconnect::INVALID_TOKEN);
            }
            Some(std::mem::take(&mut request.token))
        } else {
            // A cookie of that name may be somebody else's as long as no tokens are expected.
            token.filter(|_| has_tokens).map(String::from)
        };
        self.stage = Stage::Connecting(Box::new(Connecting {
            id,
            client,
            by,
            was_in: std::mem::take(&mut request.subs),
            data: Bytes::new(),
            tells_expiry: false,
            subs: Vec::new(),
            past_bytes: 0,
        }));
        self.rates.admits(rules);
        if let Some(token) = token {
            let kind = TokenKind::Connection;
            return match self.verify(id, kind, token, Waits::ConnectToken, host) {
                Ok(()) => Ok(()),
                Err(Unverified::TooLong) => Err(Disconnect::INVALID_TOKEN),
                Err(Unverified::Busy) => self.refuse(&ClientError::INTERNAL, rules, host),
            };
        }
        if rules.client.has_connect_hook {
            let event = HookEvent::Connect {
                data: request.data,
                name: request.name,
                version: request.version,
                headers: request.headers,
                channels: self.channels_it_was_in(),
            };
            return match self.call(id, event, Waits::ConnectHook, host) {
                Ok(()) => Ok(()),
                Err(error) => self.refuse(&error, rules, host),
            };
        }
        if !rules.client.allow_anonymous {
            return Err(Disconnect::BAD_REQUEST);
        }
        self.enter(Identity::default(), rules, host)
    }

    pub(super) fn connect_verified(
        &mut self,
        result: Result<Claims, TokenError>,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let claims = match result {
            Ok(claims) => claims,
            Err(TokenError::Expired) => {
                return self.refuse(&ClientError::TOKEN_EXPIRED, rules, host);
            }
            Err(TokenError::Unavailable) => {
                return self.refuse(&ClientError::INTERNAL, rules, host);
            }
            Err(_) => return Err(Disconnect::INVALID_TOKEN),
        };
        let identity = Identity {
            ends_at: claims.ends_at(),
            user: claims.user,
            info: claims.info,
            meta: claims.meta,
            data: None,
            is_of_hook: false,
            subs: with_channels(claims.subs, claims.channels),
        };
        self.enter(identity, rules, host)
    }

    pub(super) fn connect_hooked(
        &mut self,
        result: Result<HookAnswer, HookFailed>,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let granted: Granted = match result {
            Ok(HookAnswer::Granted(granted)) => granted,
            Ok(HookAnswer::Error(error)) => return self.refuse(&error, rules, host),
            Ok(HookAnswer::Disconnect(disconnect)) => return Err(disconnect),
            Err(HookFailed) => return self.refuse(&ClientError::INTERNAL, rules, host),
        };
        let identity = Identity {
            user: granted.user,
            info: granted.info,
            meta: granted.meta,
            data: granted.data,
            ends_at: granted.expire_at,
            is_of_hook: true,
            subs: with_channels(granted.subs, granted.channels),
        };
        self.enter(identity, rules, host)
    }

    /// It is known who it is: subscribes it to what is its own.
    fn enter(
        &mut self,
        identity: Identity,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        if identity.ends_at.is_some_and(|at| at <= rules.now) {
            // With 109 an SDK brings a new token; there is none to bring if it is the backend that says so.
            let error = if identity.is_of_hook {
                ClientError::EXPIRED
            } else {
                ClientError::TOKEN_EXPIRED
            };
            return self.refuse(&error, rules, host);
        }
        let Stage::Connecting(connecting) = &mut self.stage else {
            return Ok(());
        };
        connecting.data = identity.data.unwrap_or_default();
        connecting.tells_expiry = !identity.is_of_hook;
        let info = Arc::new(ClientInfo {
            user: UserId::from(identity.user.as_str()),
            client: connecting.client.clone(),
            connection_info: identity.info,
            channel_info: None,
        });
        self.ends.set(identity.ends_at, identity.is_of_hook);
        self.meta = identity.meta.map(Box::new);
        self.info = Some(Arc::clone(&info));
        if !host.enter(&info) {
            return Err(Disconnect::CONNECTION_LIMIT);
        }
        let mut subs = identity.subs;
        if let Some(channel) = personal_channel(rules, &identity.user) {
            subs.entry(channel).or_default();
        }
        for (name, grant) in subs {
            if let Err(error) = self.grant(&name, grant, rules, host) {
                return self.refuse(&error, rules, host);
            }
        }
        self.connect_if_joined(rules, host);
        Ok(())
    }

    fn grant(
        &mut self,
        name: &str,
        grant: Grant,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        let channel = Channel::parse(name).map_err(|_| ClientError::UNKNOWN_CHANNEL)?;
        let was_in = match &mut self.stage {
            Stage::Connecting(connecting) => connecting.was_in.remove(name),
            _ => None,
        };
        let options = rules.namespaces.resolve(&channel);
        let plan = Plan {
            channel,
            options: options.map_err(|_| ClientError::UNKNOWN_CHANNEL)?,
            overrides: grant.options,
            wants: was_in.as_ref().map_or_else(Wants::default, Wants::of),
            origin: Origin::Server,
            wanted: Wanted::Connect,
            refuses_unrecovered: false,
            channel_info: grant.info,
            ends_at: None,
            tells_expiry: false,
            data: grant.data.unwrap_or_default(),
            ended: None,
        };
        self.join(0, plan, host)
    }

    /// Answers connect, if every server-side subscription is answered.
    pub(super) fn connect_if_joined(&mut self, rules: &Rules<'_>, host: &mut impl Host) {
        if self
            .pending
            .any_joining(|joining| joining.wanted == Wanted::Connect)
        {
            return;
        }
        let Some(connecting) = self.leave_connecting(Stage::Open) else {
            return;
        };
        let client = connecting.client.as_str();
        let interval = match self.ping_kind {
            PingKind::Protocol => rules.client.ping_interval,
            PingKind::WebSocket => None,
        };
        let pong = interval.is_some() && rules.client.pong_timeout.is_some();
        let mut ping = 0;
        if let Some(interval) = interval {
            self.pings.start(client, rules.now, interval, pong);
            let seconds = interval.as_millis().div_ceil(1000).max(1); // 0 would read as none
            ping = u32::try_from(seconds).unwrap_or(u32::MAX);
        }
        let tells_expiry = connecting.tells_expiry;
        let ends_at = self.ends.at().filter(|_| tells_expiry);
        let outcome = Outcome::Connect(ConnectResult {
            client,
            version: VERSION,
            expiry: Expiry(ends_at.map(|at| ttl(at, rules.now))),
            data: &connecting.data,
            subs: &connecting.subs,
            ping,
            pong,
            session: "",
            node: "",
            time: rules.now.as_millis(),
        });
        answer(connecting.id, outcome, host);
    }

    /// Answers connect with an error: the session is over, and has no subscriptions.
    pub(super) fn refuse(
        &mut self,
        error: &ClientError,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let by = rules.now + rules.client.connect_timeout;
        let Stage::Connecting(connecting) =
            std::mem::replace(&mut self.stage, Stage::Failed { by })
        else {
            return Ok(());
        };
        for joining in self.pending.take_joining(|_| true) {
            host.unsubscribe(joining.channel.as_str());
        }
        for subscription in &connecting.subs {
            host.unsubscribe(subscription.channel.as_str());
        }
        // Else its place would be taken until it goes, and 3504 for the next is final.
        if let Some(info) = self.info.take() {
            host.leave(&info);
        }
        host.reply(&Reply {
            id: connecting.id,
            outcome: Err(error),
        });
        Ok(())
    }

    /// Goes on to `next`, if connect is under way.
    fn leave_connecting(&mut self, next: Stage) -> Option<Box<Connecting>> {
        match std::mem::replace(&mut self.stage, next) {
            Stage::Connecting(connecting) => Some(connecting),
            other => {
                self.stage = other;
                None
            }
        }
    }

    fn channels_it_was_in(&self) -> Vec<String> {
        match &self.stage {
            Stage::Connecting(connecting) => connecting.was_in.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }
}

/// What a client learns of the server.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

fn with_channels(
    mut subs: BTreeMap<String, Grant>,
    channels: Vec<String>,
) -> BTreeMap<String, Grant> {
    for channel in channels {
        subs.entry(channel).or_insert_with(|| Grant {
            options: Overrides::default(),
            ..Grant::default()
        });
    }
    subs
}

/// The channel of `user` alone. A user whose name can't stand in a channel's, or would read as several users, has
/// none: it must not share one with them.
fn personal_channel(rules: &Rules<'_>, user: &str) -> Option<String> {
    let namespace = rules.client.personal_namespace.as_deref()?;
    let name = if namespace.is_empty() {
        format!("#{user}")
    } else {
        format!("{namespace}:#{user}")
    };
    let channel = Channel::parse(&name).ok()?;
    let is_alone = channel.users()?.count() == 1;
    (is_alone && channel.is_for_user(user)).then_some(name)
}
