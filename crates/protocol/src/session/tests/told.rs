//! What a client was told, kept. In: replies and pushes that borrow. Out: the same, owned.
//!
//! Never: knows how it is written.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_hub::{ClientInfo, Position, PresenceStats, Publication};

use crate::codes::{ClientError, Disconnect, Unsubscribed};
use crate::message::{Expiry, Outcome, Push, Reply, Subscription};

#[derive(Clone, Debug)]
pub(super) struct Connected {
    pub(super) client: String,
    pub(super) expiry: Expiry,
    pub(super) data: Bytes,
    pub(super) subs: Vec<Subscription>,
    pub(super) ping: u32,
    pub(super) pong: bool,
}

/// A reply's result.
#[derive(Clone, Debug)]
pub(super) enum Got {
    Error(ClientError),
    Connect(Connected),
    Subscribe(Subscription),
    Unsubscribe,
    Publish,
    Presence(Vec<Arc<ClientInfo>>),
    PresenceStats(PresenceStats),
    History(Vec<Arc<Publication>>, Option<Position>),
    Refresh(Expiry),
    SubRefresh(Expiry),
    Rpc(Bytes),
}

#[derive(Clone, Debug)]
pub(super) enum Told {
    Reply(u32, Got),
    Publication(String, Arc<Publication>),
    Unsubscribed(String, Unsubscribed),
    Subscribed(Subscription),
    Refreshed(Expiry),
    Ping,
    Closed(Disconnect),
}

impl From<&Reply<'_>> for Told {
    fn from(reply: &Reply<'_>) -> Self {
        let got = match &reply.outcome {
            Err(error) => Got::Error((*error).clone()),
            Ok(Outcome::Connect(result)) => Got::Connect(Connected {
                client: result.client.to_owned(),
                expiry: result.expiry,
                data: result.data.clone(),
                subs: result.subs.to_vec(),
                ping: result.ping,
                pong: result.pong,
            }),
            Ok(Outcome::Subscribe(result)) => Got::Subscribe(result.0.clone()),
            Ok(Outcome::Unsubscribe) => Got::Unsubscribe,
            Ok(Outcome::Publish) => Got::Publish,
            Ok(Outcome::Presence(roster)) => Got::Presence(roster.to_vec()),
            Ok(Outcome::PresenceStats(stats)) => Got::PresenceStats(*stats),
            Ok(Outcome::History {
                publications,
                position,
            }) => Got::History(publications.to_vec(), *position),
            Ok(Outcome::Refresh { expiry, .. }) => Got::Refresh(*expiry),
            Ok(Outcome::SubRefresh(expiry)) => Got::SubRefresh(*expiry),
            Ok(Outcome::Rpc { data }) => Got::Rpc((*data).clone()),
        };
        Self::Reply(reply.id, got)
    }
}

impl From<&Push<'_>> for Told {
    fn from(push: &Push<'_>) -> Self {
        match push {
            Push::Publication {
                channel,
                publication,
            } => Self::Publication((*channel).to_owned(), owned(publication)),
            Push::Unsubscribe { channel, why } => {
                Self::Unsubscribed((*channel).to_owned(), (*why).clone())
            }
            Push::Subscribe(result) => Self::Subscribed(result.0.clone()),
            Push::Refresh(expiry) => Self::Refreshed(*expiry),
            Push::Join { .. } | Push::Leave { .. } | Push::Message { .. } => {
                panic!("a session pushes no {push:?}")
            }
        }
    }
}

/// A publication does not clone: the hub shares it.
pub(super) fn owned(publication: &Publication) -> Arc<Publication> {
    Arc::new(Publication {
        payload: publication.payload.clone(),
        position: publication.position,
        info: publication.info.clone(),
        tags: publication.tags.clone(),
        time: publication.time,
    })
}
