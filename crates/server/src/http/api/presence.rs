//! `presence` and `presence_stats`. In: a channel. Out: who is subscribed to it, or how many.
//!
//! Never: answers for a namespace without presence.

use fanfare_hub::{Channel, PresenceStats, Request, Response, Roster};
use serde::ser::Error;
use serde::{Serialize, Serializer};

use super::super::caller::unexpected;
use super::channel::OfChannel;
use super::history::Client;
use super::{ApiError, Call, Success};

/// `presence`: who.
pub(super) async fn list(of: &OfChannel, call: &Call<'_>) -> Result<Success, ApiError> {
    let channel = with_presence(of, call)?;
    match call.api.caller.ask(Request::Presence(channel)).await? {
        Response::Presence(mut roster) => {
            roster.sort_unstable_by(|a, b| a.client.cmp(&b.client));
            let presence = Clients(roster);
            Ok(Success::Presence(Present { presence }))
        }
        other => Err(unexpected(&other)),
    }
}

/// `presence_stats`: how many.
pub(super) async fn count(of: &OfChannel, call: &Call<'_>) -> Result<Success, ApiError> {
    let channel = with_presence(of, call)?;
    match call.api.caller.ask(Request::PresenceStats(channel)).await? {
        Response::PresenceStats(stats) => Ok(Success::PresenceStats(stats.into())),
        other => Err(unexpected(&other)),
    }
}

fn with_presence(of: &OfChannel, call: &Call<'_>) -> Result<Channel, ApiError> {
    let (channel, options) = call.resolve(&of.channel)?;
    if options.presence {
        Ok(channel)
    } else {
        Err(ApiError::NotAvailable)
    }
}

/// Who is there.
#[derive(Debug, Serialize)]
pub(super) struct Present {
    presence: Clients,
}

/// By client.
#[derive(Debug)]
struct Clients(Roster);

impl Serialize for Clients {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let clients = self.0.iter().map(|info| {
            let client = Client::try_from(&**info)?;
            Ok((info.client.as_str(), client))
        });
        let clients: Vec<_> = clients
            .collect::<Result<_, serde_json::Error>>()
            .map_err(Error::custom)?;
        serializer.collect_map(clients)
    }
}

/// How many are there.
#[derive(Debug, Serialize)]
pub(super) struct Stats {
    num_clients: u64,
    num_users: u64,
}

impl From<PresenceStats> for Stats {
    fn from(stats: PresenceStats) -> Self {
        Self {
            num_clients: stats.clients,
            num_users: stats.users,
        }
    }
}
