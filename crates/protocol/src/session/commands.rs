//! Commands, each to whom it concerns, and what all of them share: errors, numbers, who asks. In: commands. Out: what
//! the session's host is asked for, and who waits for it.
//!
//! Never: lets anything come of a command that it does not take: it comes again.

use fanfare_hub::{Asker, Channel, EngineError};

use super::pending::Waits;
use super::{Host, Number, Rules, Session, Stage, Standing, Taken};
use crate::codes::{ClientError, Disconnect};
use crate::command::{Command, Method};
use crate::hook::{HookCall, HookEvent};
use crate::limits::{PAST_PENDING_MAX, TOKEN_BYTES_MAX};
use crate::message::{Outcome, Reply};
use crate::token::TokenKind;

impl Session {
    pub(super) fn take(
        &mut self,
        command: Command,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<Taken, Disconnect> {
        let Command { id, method } = command;
        match self.stage {
            Stage::Connecting(_) => return Ok(Taken::NotYet),
            Stage::Failed { .. } => return Err(Disconnect::BAD_REQUEST),
            Stage::Fresh(_) => {
                return match method {
                    Method::Connect(request) if id > 0 => {
                        self.connect(id, *request, rules, host)?;
                        Ok(Taken::Done)
                    }
                    _ => Err(Disconnect::BAD_REQUEST),
                };
            }
            Stage::Open => {}
        }
        match method {
            Method::Connect(_) | Method::Unknown => return Err(Disconnect::BAD_REQUEST),
            Method::Pong if id > 0 => return Err(Disconnect::BAD_REQUEST),
            Method::Pong => {
                self.pings.on_pong()?;
                return Ok(Taken::Done);
            }
            Method::Send { data } => {
                self.send(data, rules, host);
                return Ok(Taken::Done);
            }
            _ if id == 0 => return Err(Disconnect::BAD_REQUEST),
            _ => {}
        }
        // A command that is not taken comes again: until it is, nothing may have come of it.
        let brings_past = match &method {
            Method::History(_) => true,
            Method::Subscribe(wants) => wants.recover,
            _ => false,
        };
        let is_full = brings_past && self.pending.past() >= PAST_PENDING_MAX;
        if is_full || !self.takes_commands() || self.has_pending(&method, host) {
            return Ok(Taken::NotYet);
        }
        if !self.rates.admits(rules) {
            // It does not count as an error of the client's, which would be kept away for good by many of them.
            host.reply(&Reply {
                id,
                outcome: Err(&ClientError::TOO_MANY_REQUESTS),
            });
            return Ok(Taken::Done);
        }
        self.act(id, method, rules, host)?;
        Ok(Taken::Done)
    }

    fn act(
        &mut self,
        id: u32,
        method: Method,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let done = match method {
            Method::Subscribe(wants) => self.subscribe(id, *wants, rules, host),
            Method::Unsubscribe { channel } => {
                host.unsubscribe(&channel);
                answer(id, Outcome::Unsubscribe, host);
                Ok(())
            }
            Method::Publish(publish) => self.publish(id, publish, rules, host),
            Method::Presence { channel } => self.presence(id, &channel, false, rules, host),
            Method::PresenceStats { channel } => self.presence(id, &channel, true, rules, host),
            Method::History(history) => self.history(id, &history, rules, host),
            Method::Refresh(refresh) => return self.refresh(id, refresh.token, rules, host),
            Method::SubRefresh(refresh) => self.sub_refresh(id, refresh, rules, host),
            Method::Rpc(rpc) => self.rpc(id, rpc, rules, host),
            Method::Connect(_) | Method::Send { .. } | Method::Pong | Method::Unknown => {
                return Err(Disconnect::BAD_REQUEST); // `take` has let none of them through
            }
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => self.fail(id, &error, rules, host),
        }
    }

    /// Whether something under way is about the channel that `method` is about.
    fn has_pending(&self, method: &Method, host: &impl Host) -> bool {
        let channel = match method {
            Method::Subscribe(wants) => &wants.channel,
            Method::Publish(publish) => &publish.channel,
            Method::History(history) => &history.channel,
            Method::SubRefresh(refresh) => &refresh.channel,
            Method::Unsubscribe { channel }
            | Method::Presence { channel }
            | Method::PresenceStats { channel } => channel,
            _ => return false,
        };
        self.pending.is_about(channel)
            || matches!(host.standing(channel), Some(Standing::Pending(_)))
    }

    /// Answers with an error, and counts it.
    pub(super) fn fail(
        &mut self,
        id: u32,
        error: &ClientError,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        host.reply(&Reply {
            id,
            outcome: Err(error),
        });
        self.rates.count_error(rules.now)
    }

    /// The engine has failed with what waits for `number`.
    pub(super) fn refused(
        &mut self,
        number: Number,
        error: EngineError,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        match self.pending.take(number, Waits::is_for_engine) {
            None => Ok(()),
            Some((id, Waits::Joined(joining))) => self.not_joined(id, &joining, error, rules, host),
            Some((id, _)) => self.fail(id, &client_error(error), rules, host),
        }
    }

    /// Asks for a token to be verified.
    pub(super) fn verify(
        &mut self,
        id: u32,
        kind: TokenKind,
        token: String,
        waits: Waits,
        host: &mut impl Host,
    ) -> Result<(), Unverified> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Unverified::TooLong);
        }
        let number = self.pending.next_number();
        host.verify(number, kind, token)
            .map_err(|_busy| Unverified::Busy)?;
        self.pending.insert(number, id, waits);
        Ok(())
    }

    /// Asks the operator's backend.
    pub(super) fn call(
        &mut self,
        id: u32,
        event: HookEvent,
        waits: Waits,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        let number = self.pending.next_number();
        host.call(number, self.hook_call(event))
            .map_err(|_busy| ClientError::INTERNAL)?;
        self.pending.insert(number, id, waits);
        Ok(())
    }

    pub(super) fn hook_call(&self, event: HookEvent) -> HookCall {
        HookCall {
            client: self.client().to_owned(),
            user: self.user().to_owned(),
            encoding: Some(self.encoding),
            meta: self.meta.as_deref().cloned(),
            event,
        }
    }

    pub(super) fn client(&self) -> &str {
        match (&self.stage, &self.info) {
            (_, Some(info)) => info.client.as_str(),
            (Stage::Fresh(fresh), None) => fresh.client.as_str(),
            (Stage::Connecting(connecting), None) => connecting.client.as_str(),
            (Stage::Open | Stage::Failed { .. }, None) => "",
        }
    }

    pub(super) fn user(&self) -> &str {
        self.info.as_ref().map_or("", |info| info.user.as_str())
    }

    pub(super) fn asker(&self, channel: &Channel, host: &impl Host) -> Asker {
        Asker {
            is_anonymous: self.user().is_empty(),
            is_subscribed: matches!(host.standing(channel.as_str()), Some(Standing::Live(_))),
        }
    }

    /// Whether the name of `channel` lets the client ask about it. Who is subscribed has shown that already; else
    /// a namespace's permission opens neither what needs a token nor what is for other users.
    pub(super) fn reaches(&self, channel: &Channel, asker: Asker) -> bool {
        asker.is_subscribed || (!channel.is_private() && channel.is_for_user(self.user()))
    }
}

/// Why nobody looks at a token.
pub(super) enum Unverified {
    /// It is as good as forged.
    TooLong,
    /// Too many wait.
    Busy,
}

pub(super) fn answer(id: u32, outcome: Outcome<'_>, host: &mut impl Host) {
    host.reply(&Reply {
        id,
        outcome: Ok(outcome),
    });
}

pub(super) fn client_error(error: EngineError) -> ClientError {
    match error {
        EngineError::LimitReached | EngineError::TooLarge => ClientError::LIMIT_EXCEEDED,
        EngineError::UnrecoverablePosition => ClientError::UNRECOVERABLE_POSITION,
        // Overloaded, Unavailable, and what an engine may think of later: the client tries again.
        _ => ClientError::INTERNAL,
    }
}
