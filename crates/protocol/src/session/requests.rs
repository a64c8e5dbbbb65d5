//! history, presence, presence_stats, rpc and send. In: commands, the engine's and the backend's answers. Out:
//! requests, replies.
//!
//! Never: answers more than one page.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_hub::{
    Channel, ChannelOptions, HistoryQuery, HistoryRead, Publication, Request, Response, Since,
    limits::HISTORY_READ_MAX,
};

use super::pending::Waits;
use super::{Host, Number, Rules, Session, answer};
use crate::codes::{ClientError, Disconnect};
use crate::command::{History, Rpc};
use crate::hook::{HookAnswer, HookEvent, HookFailed};
use crate::limits::PAST_BYTES_MAX;
use crate::message::{Outcome, Reply};

impl Session {
    pub(super) fn history(
        &mut self,
        id: u32,
        history: &History,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        let (channel, options) = known(&history.channel, rules)?;
        if !options.has_history() {
            return Err(ClientError::NOT_AVAILABLE);
        }
        let asker = self.asker(&channel, host);
        if !options.allows_history(asker) || !self.reaches(&channel, asker) {
            return Err(ClientError::PERMISSION_DENIED);
        }
        let page_max = u32::try_from(HISTORY_READ_MAX).unwrap_or(u32::MAX);
        // Negative: as many as one answer holds.
        let limit = u32::try_from(history.limit).map_or(page_max, |limit| limit.min(page_max));
        let query = HistoryQuery {
            since: history.since.as_ref().map(Since::from),
            limit: Some(limit),
            reverse: history.reverse,
        };
        let request = Request::History(fanfare_hub::History { channel, query });
        self.request(id, request, Waits::History, host)
    }

    pub(super) fn presence(
        &mut self,
        id: u32,
        channel: &str,
        is_of_numbers: bool,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        let (channel, options) = known(channel, rules)?;
        if !options.presence {
            return Err(ClientError::NOT_AVAILABLE);
        }
        let asker = self.asker(&channel, host);
        if !options.allows_presence(asker) || !self.reaches(&channel, asker) {
            return Err(ClientError::PERMISSION_DENIED);
        }
        if is_of_numbers {
            let request = Request::PresenceStats(channel);
            self.request(id, request, Waits::PresenceStats, host)
        } else {
            self.request(id, Request::Presence(channel), Waits::Presence, host)
        }
    }

    pub(super) fn request(
        &mut self,
        id: u32,
        request: Request,
        waits: Waits,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        let number = self.pending.next_number();
        host.request(number, request)
            .map_err(|_busy| ClientError::INTERNAL)?;
        self.pending.insert(number, id, waits);
        Ok(())
    }

    /// The engine has done what was asked.
    pub(super) fn answered(
        &mut self,
        number: Number,
        response: Response,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        if let Response::Subscribed(subscribed) = response {
            return self.joined(number, subscribed, rules, host);
        }
        let is_it = |waits: &Waits| waits.is_for_engine() && !matches!(waits, Waits::Joined(_));
        let Some((id, waits)) = self.pending.take(number, is_it) else {
            return Ok(());
        };
        match (waits, response) {
            (Waits::Published, Response::Published(_)) => answer(id, Outcome::Publish, host),
            (
                Waits::History,
                Response::History(HistoryRead {
                    publications,
                    position,
                }),
            ) => {
                let outcome = Outcome::History {
                    publications: page(&publications),
                    position,
                };
                answer(id, outcome, host);
            }
            (Waits::Presence, Response::Presence(roster)) => {
                answer(id, Outcome::Presence(&roster), host);
            }
            (Waits::PresenceStats, Response::PresenceStats(stats)) => {
                answer(id, Outcome::PresenceStats(stats), host);
            }
            // An engine that answers another question than it was asked.
            _ => return self.fail(id, &ClientError::INTERNAL, rules, host),
        }
        Ok(())
    }

    pub(super) fn rpc(
        &mut self,
        id: u32,
        rpc: Rpc,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), ClientError> {
        if !rules.client.has_rpc_hook {
            return Err(ClientError::METHOD_NOT_FOUND);
        }
        let Rpc { method, data } = rpc;
        self.call(id, HookEvent::Rpc { method, data }, Waits::Rpc, host)
    }

    pub(super) fn rpc_hooked(
        &mut self,
        id: u32,
        result: Result<HookAnswer, HookFailed>,
        rules: &Rules<'_>,
        host: &mut impl Host,
    ) -> Result<(), Disconnect> {
        match result {
            Ok(HookAnswer::Granted(granted)) => {
                let data = granted.data.unwrap_or_default();
                answer(id, Outcome::Rpc { data: &data }, host);
                Ok(())
            }
            // An answer like any other between a client and its backend: not one of its failures.
            Ok(HookAnswer::Error(error)) => {
                host.reply(&Reply {
                    id,
                    outcome: Err(&error),
                });
                Ok(())
            }
            Ok(HookAnswer::Disconnect(disconnect)) => Err(disconnect),
            Err(HookFailed) => self.fail(id, &ClientError::INTERNAL, rules, host),
        }
    }

    /// To the backend, as a call without a method. Nothing waits for what it answers, and what can't be told to it is
    /// dropped: a client could not be told.
    pub(super) fn send(&mut self, data: Bytes, rules: &Rules<'_>, host: &mut impl Host) {
        if !self.rates.admits(rules) || !rules.client.has_rpc_hook || !self.takes_commands() {
            return;
        }
        let method = String::new();
        let event = HookEvent::Rpc { method, data };
        let _ = self.call(0, event, Waits::Sent, host);
    }
}

fn known<'r>(
    channel: &str,
    rules: &'r Rules<'_>,
) -> Result<(Channel, &'r ChannelOptions), ClientError> {
    let channel = Channel::parse(channel).map_err(|_| ClientError::BAD_REQUEST)?;
    let options = rules.namespaces.resolve(&channel);
    let options = options.map_err(|_| ClientError::UNKNOWN_CHANNEL)?;
    Ok((channel, options))
}

/// So many of `publications` as one reply holds, and one at least.
fn page(publications: &[Arc<Publication>]) -> &[Arc<Publication>] {
    let mut bytes = 0;
    let is_past = |publication: &Arc<Publication>| {
        bytes += publication.payload.bytes().len();
        bytes > PAST_BYTES_MAX
    };
    let end = publications.iter().position(is_past);
    &publications[..end.map_or(publications.len(), |end| end.max(1))]
}
