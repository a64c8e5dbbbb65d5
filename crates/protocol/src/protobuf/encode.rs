//! Replies and pushes in Protobuf. In: values. Out: a message each, behind its length as a varint.
//!
//! Never: copies a payload but into what it appends to.

use std::sync::Arc;

use prost::{Message, length_delimiter_len};

use super::schema;
use crate::codes::{ClientError, Unsubscribed};
use crate::message::{ConnectResult, Expiry, Outcome, Push, Reply, Subscription};

pub(crate) fn append_reply(out: &mut Vec<u8>, reply: &Reply<'_>) {
    let mut wire = match &reply.outcome {
        Ok(outcome) => outcome.into(),
        Err(error) => schema::Reply {
            error: Some((*error).into()),
            ..Default::default()
        },
    };
    wire.id = reply.id;
    append(out, &wire);
}

pub(crate) fn append_push(out: &mut Vec<u8>, push: &Push<'_>) {
    let wire = schema::Reply {
        push: Some(push.into()),
        ..Default::default()
    };
    append(out, &wire);
}

fn append(out: &mut Vec<u8>, wire: &schema::Reply) {
    let len = wire.encoded_len();
    out.reserve(length_delimiter_len(len) + len);
    wire.encode_length_delimited(out)
        .expect("a Vec takes what there is memory for");
}

impl From<&Outcome<'_>> for schema::Reply {
    fn from(outcome: &Outcome<'_>) -> Self {
        let mut reply = Self::default();
        match outcome {
            Outcome::Connect(connect) => reply.connect = Some(connect.into()),
            Outcome::Subscribe(subscription) => reply.subscribe = Some(subscription.0.into()),
            Outcome::Unsubscribe => reply.unsubscribe = Some(schema::Empty {}),
            Outcome::Publish => reply.publish = Some(schema::Empty {}),
            Outcome::Presence(roster) => {
                let entry = |info: &Arc<fanfare_hub::ClientInfo>| {
                    (info.client.as_str().to_owned(), (&**info).into())
                };
                reply.presence = Some(schema::PresenceResult {
                    presence: roster.iter().map(entry).collect(),
                });
            }
            Outcome::PresenceStats(stats) => {
                reply.presence_stats = Some(schema::PresenceStatsResult {
                    num_clients: u32::try_from(stats.clients).unwrap_or(u32::MAX),
                    num_users: u32::try_from(stats.users).unwrap_or(u32::MAX),
                });
            }
            Outcome::History {
                publications,
                position,
            } => {
                reply.history = Some(schema::HistoryResult {
                    publications: shared(publications),
                    epoch: epoch(*position),
                    offset: offset(*position),
                });
            }
            Outcome::Refresh {
                client,
                version,
                expiry,
            } => {
                reply.refresh = Some(schema::RefreshResult {
                    client: (*client).to_owned(),
                    version: (*version).to_owned(),
                    expires: expires(*expiry),
                    ttl: ttl(*expiry),
                });
            }
            Outcome::SubRefresh(expiry) => reply.sub_refresh = Some((*expiry).into()),
            Outcome::Rpc { data } => {
                let data = (*data).clone();
                reply.rpc = Some(schema::Data { data });
            }
        }
        reply
    }
}

impl From<&Push<'_>> for schema::Push {
    fn from(push: &Push<'_>) -> Self {
        let mut wire = Self::default();
        match push {
            Push::Publication {
                channel,
                publication,
            } => {
                (*channel).clone_into(&mut wire.channel);
                wire.publication = Some((*publication).into());
            }
            Push::Join { channel, info } => {
                (*channel).clone_into(&mut wire.channel);
                wire.join = Some((*info).into());
            }
            Push::Leave { channel, info } => {
                (*channel).clone_into(&mut wire.channel);
                wire.leave = Some((*info).into());
            }
            Push::Unsubscribe { channel, why } => {
                let Unsubscribed { code, reason } = why;
                (*channel).clone_into(&mut wire.channel);
                wire.unsubscribe = Some(schema::Unsubscribe {
                    code: *code,
                    reason: reason.clone().into_owned(),
                });
            }
            Push::Subscribe(subscription) => {
                let subscription = subscription.0;
                subscription.channel.as_str().clone_into(&mut wire.channel);
                wire.subscribe = Some(schema::Subscribe {
                    recoverable: subscription.terms.is_recoverable,
                    epoch: epoch(subscription.position),
                    offset: offset(subscription.position),
                    positioned: subscription.terms.is_positioned,
                    data: subscription.data.clone(),
                });
            }
            Push::Message { data } => {
                let data = (*data).clone();
                wire.message = Some(schema::Data { data });
            }
            Push::Refresh(expiry) => wire.refresh = Some((*expiry).into()),
        }
        wire
    }
}

impl From<&ClientError> for schema::Error {
    fn from(error: &ClientError) -> Self {
        Self {
            code: error.code,
            message: error.message.clone().into_owned(),
            temporary: error.is_temporary,
        }
    }
}

impl From<&ConnectResult<'_>> for schema::ConnectResult {
    fn from(connect: &ConnectResult<'_>) -> Self {
        let subs = connect.subs.iter();
        Self {
            client: connect.client.to_owned(),
            version: connect.version.to_owned(),
            expires: expires(connect.expiry),
            ttl: ttl(connect.expiry),
            data: connect.data.clone(),
            subs: subs
                .map(|subscription| schema::SubscribeEntry {
                    key: subscription.channel.to_string(),
                    value: Some(subscription.into()),
                })
                .collect(),
            ping: connect.ping,
            pong: connect.pong,
            session: connect.session.to_owned(),
            node: connect.node.to_owned(),
            time: i64::try_from(connect.time).unwrap_or(i64::MAX),
        }
    }
}

impl From<&Subscription> for schema::SubscribeResult {
    fn from(subscription: &Subscription) -> Self {
        Self {
            expires: expires(subscription.expiry),
            ttl: ttl(subscription.expiry),
            recoverable: subscription.terms.is_recoverable,
            epoch: epoch(subscription.position),
            publications: shared(&subscription.publications),
            recovered: subscription.recovered,
            offset: offset(subscription.position),
            positioned: subscription.terms.is_positioned,
            data: subscription.data.clone(),
            was_recovering: subscription.was_recovering,
        }
    }
}

impl From<&fanfare_hub::Publication> for schema::Publication {
    fn from(publication: &fanfare_hub::Publication) -> Self {
        let tags = publication.tags.iter();
        Self {
            data: publication.payload.bytes().clone(),
            info: publication.info.as_deref().map(Into::into),
            offset: offset(publication.position),
            tags: tags
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            time: i64::try_from(publication.time.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

impl From<&fanfare_hub::ClientInfo> for schema::ClientInfo {
    fn from(info: &fanfare_hub::ClientInfo) -> Self {
        Self {
            user: info.user.as_str().to_owned(),
            client: info.client.as_str().to_owned(),
            conn_info: info.connection_info.clone().unwrap_or_default(),
            chan_info: info.channel_info.clone().unwrap_or_default(),
        }
    }
}

impl From<&fanfare_hub::ClientInfo> for schema::Member {
    fn from(info: &fanfare_hub::ClientInfo) -> Self {
        Self {
            info: Some(info.into()),
        }
    }
}

impl From<Expiry> for schema::Refresh {
    fn from(expiry: Expiry) -> Self {
        Self {
            expires: expires(expiry),
            ttl: ttl(expiry),
        }
    }
}

fn shared(publications: &[Arc<fanfare_hub::Publication>]) -> Vec<schema::Publication> {
    publications.iter().map(|p| (&**p).into()).collect()
}

fn epoch(position: Option<fanfare_hub::Position>) -> String {
    position.map_or_else(String::new, |position| position.epoch.to_string())
}

fn offset(position: Option<fanfare_hub::Position>) -> u64 {
    position.map_or(0, |position| position.offset)
}

const fn expires(Expiry(seconds): Expiry) -> bool {
    seconds.is_some()
}

/// An SDK sets a timer by it, and one of them fails without it: what ends now ends in a second.
fn ttl(Expiry(seconds): Expiry) -> u32 {
    seconds.map_or(0, |seconds| seconds.max(1))
}
