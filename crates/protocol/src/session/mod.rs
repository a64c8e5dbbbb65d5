//! One client's session. In: commands, answers, orders, the time. Out: what its [`Host`] is asked for.
//!
//! Everything that takes time is asked of the host under a [`Number`], and comes back under it, in any order.
//! Whatever comes back under a number that nothing waits for, late or twice, is ignored.
//!
//! Never: reads a clock; touches a socket; draws a random number; keeps a list of its subscriptions: its host's
//! table is the truth.

mod commands;
mod connect;
mod expiry;
mod host;
mod join;
mod orders;
mod pending;
mod pings;
mod publish;
mod rates;
mod refresh;
mod requests;
mod subscribe;
mod terms;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use fanfare_hub::{Channel, ClientId, ClientInfo, EngineError, Response, Subscribed, Time};

use crate::codes::{Disconnect, Unsubscribed};
use crate::command::Command;
use crate::hook::{HookAnswer, HookFailed};
use crate::limits::PENDING_MAX;
use crate::message::{Encoding, Push};
use crate::token::{Claims, TokenError};

use commands::{Unverified, answer, client_error};
use connect::{Connecting, Fresh};
use expiry::{Ends, end};
use pending::{Pending, Waits};
use pings::Pings;
use rates::Rates;

pub use host::{ClientSettings, Host, NotSubscribed, Number, Rules, Standing, Taken, Wish};
pub use pings::PingKind;
pub use terms::{Origin, Terms};

/// A point in time that never comes.
const NEVER: Time = Time::from_millis(u64::MAX);

/// How far a session has come.
#[derive(Debug)]
enum Stage {
    /// Connect has not come.
    Fresh(Box<Fresh>),
    /// Connect has come, and is not answered.
    Connecting(Box<Connecting>),
    /// Connect is answered.
    Open,
    /// Connect is answered with an error. The client is to go by then.
    Failed { by: Time },
}

/// The state of one client.
///
/// Every method but the last few may answer with a [`Disconnect`]: the host then closes the connection and
/// forgets its subscriptions, and gives the session nothing more.
#[derive(Debug)]
pub struct Session {
    stage: Stage,
    /// Once it is known who it is.
    info: Option<Arc<ClientInfo>>,
    /// For the backend alone.
    meta: Option<Box<Bytes>>,
    pending: Pending,
    ends: Ends,
    /// No subscription ends before.
    subscriptions_end_at: Time,
    pings: Pings,
    rates: Rates,
    /// When something is to be done next. Worked out at the end of every turn.
    due: Time,
    encoding: Encoding,
    ping_kind: PingKind,
    /// The last command was not taken: those behind it, pongs too, are not heard until it is.
    is_deaf: bool,
}

// An idle connection pays for it.
const _: () = assert!(size_of::<Session>() <= 160);

impl Session {
    /// A session whose client has not said anything. `token` is what its upgrade carried, in a header or a
    /// cookie: it counts if connect brings none.
    #[must_use]
    pub fn new(
        client: ClientId,
        encoding: Encoding,
        token: Option<Box<str>>,
        ping_kind: PingKind,
        rules: &Rules<'_>,
    ) -> Self {
        let by = rules.now + rules.client.connect_timeout;
        Self {
            stage: Stage::Fresh(Box::new(Fresh { client, token, by })),
            info: None,
            meta: None,
            pending: Pending::default(),
            ends: Ends::default(),
            subscriptions_end_at: NEVER,
            pings: Pings::default(),
            rates: Rates::default(),
            due: by,
            encoding,
            ping_kind,
            is_deaf: false,
        }
    }

    /// The client asks for something. Commands are given in the order in which they came.
    ///
    /// # Errors
    ///
    /// Whatever its connection is to be closed with.
    pub fn on_command(
        &mut self,
        command: Command,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<Taken, Disconnect> {
        let taken = self.take(command, rules, host);
        self.is_deaf = taken == Ok(Taken::NotYet);
        self.settle(rules);
        taken
    }

    /// A subscription is joined, and stands as [`Standing::Live`] in the host's table.
    ///
    /// # Errors
    ///
    /// Whatever its connection is to be closed with.
    pub fn on_subscribed(
        &mut self,
        number: Number,
        subscribed: Subscribed,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let done = self.joined(number, subscribed, rules, host);
        self.settle(rules);
        done
    }

    /// The engine has answered a request, or has refused a subscription, which the host's table does not have
    /// any more.
    ///
    /// # Errors
    ///
    /// Whatever its connection is to be closed with.
    pub fn on_answer(
        &mut self,
        number: Number,
        outcome: Result<Response, EngineError>,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let done = match outcome {
            Ok(response) => self.answered(number, response, rules, host),
            Err(error) => self.refused(number, error, rules, host),
        };
        self.settle(rules);
        done
    }

    /// A token is verified, or is not.
    ///
    /// # Errors
    ///
    /// Whatever its connection is to be closed with.
    pub fn on_verified(
        &mut self,
        number: Number,
        result: Result<Claims, TokenError>,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let done = match self.pending.take(number, Waits::is_for_token) {
            None => Ok(()),
            Some((id, Waits::SubscribeToken(asked))) => {
                self.subscribe_verified(id, *asked, result, rules, host)
            }
            Some((id, Waits::RefreshToken)) => self.refresh_verified(id, result, rules, host),
            Some((id, Waits::SubRefreshToken(channel))) => {
                self.sub_refresh_verified(id, &channel, result, rules, host)
            }
            Some(_) => self.connect_verified(result, rules, host),
        };
        self.settle(rules);
        done
    }

    /// The operator's backend has answered, or has not.
    ///
    /// # Errors
    ///
    /// Whatever its connection is to be closed with.
    pub fn on_hook(
        &mut self,
        number: Number,
        result: Result<HookAnswer, HookFailed>,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let done = match self.pending.take(number, Waits::is_for_hook) {
            None => Ok(()),
            Some((id, Waits::SubscribeHook(asked))) => {
                self.subscribe_hooked(id, *asked, result, rules, host)
            }
            Some((id, Waits::PublishHook(publishing))) => {
                self.publish_hooked(id, *publishing, result, rules, host)
            }
            Some((id, Waits::Rpc)) => self.rpc_hooked(id, result, rules, host),
            Some((_, Waits::Sent)) => Ok(()),
            Some((_, Waits::RefreshHook)) => self.refresh_hooked(result, rules),
            Some(_) => self.connect_hooked(result, rules, host),
        };
        self.settle(rules);
        done
    }

    /// The client has missed publications of `channel`. The host has ended the subscription; `terms` are what it
    /// stood with.
    ///
    /// # Errors
    ///
    /// [`Disconnect::INSUFFICIENT_STATE`]: a client can't begin a server-side subscription again.
    pub fn on_insufficient(
        &mut self,
        channel: &Channel,
        terms: Terms,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        if terms.origin == Origin::Server {
            return Err(Disconnect::INSUFFICIENT_STATE);
        }
        host.push(&Push::Unsubscribe {
            channel: channel.as_str(),
            why: &Unsubscribed::INSUFFICIENT_STATE,
        });
        self.settle(rules);
        Ok(())
    }

    /// The API wants something of this client.
    ///
    /// # Errors
    ///
    /// Whatever its connection is to be closed with.
    pub fn on_order(
        &mut self,
        action: &fanfare_hub::Action,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let done = self.obey(action, rules, host);
        self.settle(rules);
        done
    }

    /// Its [`deadline`](Self::deadline) is there. Does what is due, which is nothing if it is called early.
    ///
    /// # Errors
    ///
    /// Whatever its connection is to be closed with.
    pub fn on_deadline(
        &mut self,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let done = self.do_what_is_due(rules, host);
        self.settle(rules);
        done
    }

    /// Whatever the client has said may not have been read: a pong that is late is none of its doing.
    pub fn excuse_silence(&mut self, rules: &Rules<'_>) {
        self.pings.wait_on(rules.now, rules.client.pong_timeout);
    }

    /// When [`on_deadline`](Self::on_deadline) is to be called; `Time::from_millis(u64::MAX)`: never. Every other
    /// call may move it, also to now.
    #[must_use]
    pub const fn deadline(&self) -> Time {
        self.due
    }

    /// Whether the answer to connect is out: publications may be told.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Who it is, once it is known.
    #[must_use]
    pub const fn info(&self) -> Option<&Arc<ClientInfo>> {
        self.info.as_ref()
    }

    /// Whether [`on_command`](Self::on_command) takes commands at all: few wait, and connect is not under way.
    #[must_use]
    pub fn takes_commands(&self) -> bool {
        self.pending.len() < PENDING_MAX && !matches!(self.stage, Stage::Connecting(_))
    }

    fn do_what_is_due(
        &mut self,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        let now = rules.now;
        match &self.stage {
            Stage::Fresh(fresh) if now >= fresh.by => Err(Disconnect::STALE),
            Stage::Failed { by } if now >= *by => Err(Disconnect::STALE),
            // Temporary: what is late is the server or its backend, and 3502 would keep the client away for good.
            Stage::Connecting(connecting) if now >= connecting.by => Err(Disconnect::SERVER_ERROR),
            Stage::Fresh(_) | Stage::Failed { .. } | Stage::Connecting(_) => Ok(()),
            Stage::Open => {
                while let Some((channel, why)) = self.pending.take_ending() {
                    end(&channel, &why, host);
                }
                self.end_if_due(rules, host)?;
                self.end_subscriptions(rules, host);
                if self.is_deaf {
                    self.pings.wait_on(now, rules.client.pong_timeout);
                }
                if self.pings.is_due(now, rules.client.pong_timeout)? {
                    host.ping();
                }
                Ok(())
            }
        }
    }

    /// Works out when something is to be done next.
    fn settle(&mut self, rules: &Rules<'_>) {
        self.due = match &self.stage {
            Stage::Fresh(fresh) => fresh.by,
            Stage::Connecting(connecting) => connecting.by,
            Stage::Failed { by } => *by,
            Stage::Open if self.pending.has_ending() => rules.now,
            Stage::Open => {
                let grace = rules.client.expiry_grace;
                let ends = self.ends.due(rules, self.pending.has_refresh_hook());
                let subscriptions_end = self.subscriptions_end_at + grace;
                ends.min(subscriptions_end).min(self.pings.due())
            }
        };
    }
}
