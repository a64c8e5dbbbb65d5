//! Replies and pushes in JSON. In: values. Out: an object each, on one line.
//!
//! Never: trusts that data of tokens and of the backend is JSON; looks into a payload that is.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_hub::{ClientInfo, Payload, PayloadKind, Position, PresenceStats, Publication};

use super::text::{
    Fields, NUMBER_LEN_MAX, append_base64, append_number, append_object, append_string, base64_len,
    string_len_max,
};
use crate::codes::{ClientError, Unsubscribed};
use crate::message::{ConnectResult, Expiry, Outcome, Push, Reply, Subscription};

/// What stands around a publication's payload, its offset and time among it.
const AROUND_LEN_MAX: usize =
    r#"{"push":{"channel":,"pub":{"data":,"info":,"offset":,"tags":{},"time":}}}"#.len()
        + 2 * NUMBER_LEN_MAX;

pub(crate) fn append_reply(out: &mut Vec<u8>, reply: &Reply<'_>) {
    if let Ok(outcome) = &reply.outcome {
        out.reserve(past_len_max(outcome));
    }
    append_object(out, |fields| {
        fields.number("id", u64::from(reply.id));
        match &reply.outcome {
            Err(error) => fields.object("error", |fields| write_error(fields, error)),
            Ok(outcome) => write_outcome(fields, outcome),
        }
    });
}

pub(crate) fn append_push(out: &mut Vec<u8>, push: &Push<'_>) {
    if let Push::Publication {
        channel,
        publication,
    } = push
    {
        out.reserve(string_len_max(channel) + publication_len_max(publication));
        out.extend_from_slice(b"{\"push\":{\"channel\":");
        append_string(out, channel);
        out.extend_from_slice(b",\"pub\":");
        append_publication(out, publication);
        out.extend_from_slice(b"}}");
    } else {
        append_object(out, |fields| {
            fields.object("push", |fields| write_push(fields, push));
        });
    }
}

fn write_push(fields: &mut Fields<'_>, push: &Push<'_>) {
    match push {
        Push::Publication {
            channel,
            publication,
        } => {
            fields.text("channel", channel);
            append_publication(fields.key("pub"), publication);
        }
        Push::Join { channel, info } => {
            fields.text("channel", channel);
            fields.object("join", |fields| {
                fields.object("info", |fields| write_info(fields, info));
            });
        }
        Push::Leave { channel, info } => {
            fields.text("channel", channel);
            fields.object("leave", |fields| {
                fields.object("info", |fields| write_info(fields, info));
            });
        }
        Push::Unsubscribe { channel, why } => {
            let Unsubscribed { code, reason } = why;
            fields.text("channel", channel);
            fields.object("unsubscribe", |fields| {
                fields.number("code", u64::from(*code));
                fields.empty_text("reason", reason);
            });
        }
        Push::Subscribe(subscription) => {
            let subscription = subscription.0;
            fields.text("channel", subscription.channel.as_str());
            fields.object("subscribe", |fields| write_granted(fields, subscription));
        }
        Push::Message { data } => fields.object("message", |fields| fields.data("data", data)),
        Push::Refresh(expiry) => fields.object("refresh", |fields| write_expiry(fields, *expiry)),
    }
}

fn write_error(fields: &mut Fields<'_>, error: &ClientError) {
    fields.number("code", u64::from(error.code));
    fields.empty_text("message", &error.message);
    fields.flag("temporary", error.is_temporary);
}

fn write_outcome(fields: &mut Fields<'_>, outcome: &Outcome<'_>) {
    match outcome {
        Outcome::Connect(connect) => {
            fields.object("connect", |fields| write_connect(fields, connect));
        }
        Outcome::Subscribe(subscription) => fields.object("subscribe", |fields| {
            write_subscription(fields, subscription.0);
        }),
        Outcome::Unsubscribe => fields.object("unsubscribe", |_| {}),
        Outcome::Publish => fields.object("publish", |_| {}),
        Outcome::Presence(roster) => {
            fields.object("presence", |fields| write_roster(fields, roster));
        }
        Outcome::PresenceStats(stats) => {
            fields.object("presence_stats", |fields| write_stats(fields, *stats));
        }
        Outcome::History {
            publications,
            position,
        } => fields.object("history", |fields| {
            write_past(fields, publications, *position);
        }),
        Outcome::Refresh {
            client,
            version,
            expiry,
        } => fields.object("refresh", |fields| {
            fields.text("client", client);
            fields.text("version", version);
            write_expiry(fields, *expiry);
        }),
        Outcome::SubRefresh(expiry) => {
            fields.object("sub_refresh", |fields| write_expiry(fields, *expiry));
        }
        Outcome::Rpc { data } => fields.object("rpc", |fields| fields.data("data", data)),
    }
}

fn write_connect(fields: &mut Fields<'_>, connect: &ConnectResult<'_>) {
    fields.text("client", connect.client);
    fields.text("version", connect.version);
    write_expiry(fields, connect.expiry);
    fields.data("data", connect.data);
    if !connect.subs.is_empty() {
        fields.object("subs", |fields| {
            for subscription in connect.subs {
                let out = fields.key(subscription.channel.as_str());
                append_object(out, |fields| write_subscription(fields, subscription));
            }
        });
    }
    fields.number("ping", u64::from(connect.ping));
    fields.flag("pong", connect.pong);
    fields.text("session", connect.session);
    fields.text("node", connect.node);
    fields.number("time", connect.time);
}

fn write_subscription(fields: &mut Fields<'_>, subscription: &Subscription) {
    write_expiry(fields, subscription.expiry);
    write_granted(fields, subscription);
    fields.array("publications", &subscription.publications, append_shared);
    fields.flag("recovered", subscription.recovered);
    fields.flag("was_recovering", subscription.was_recovering);
}

/// What a subscribe push has, too.
fn write_granted(fields: &mut Fields<'_>, subscription: &Subscription) {
    fields.flag("recoverable", subscription.terms.is_recoverable);
    write_position(fields, subscription.position);
    fields.flag("positioned", subscription.terms.is_positioned);
    fields.data("data", &subscription.data);
}

fn write_past(
    fields: &mut Fields<'_>,
    publications: &[Arc<Publication>],
    position: Option<Position>,
) {
    fields.array("publications", publications, append_shared);
    write_position(fields, position);
}

fn write_position(fields: &mut Fields<'_>, position: Option<Position>) {
    if let Some(Position { epoch, offset }) = position {
        fields.text("epoch", &epoch.to_string());
        fields.number("offset", offset);
    }
}

/// An SDK sets a timer by `ttl`, and one of them fails without it: what ends now ends in a second.
fn write_expiry(fields: &mut Fields<'_>, Expiry(seconds): Expiry) {
    if let Some(seconds) = seconds {
        fields.flag("expires", true);
        fields.number("ttl", u64::from(seconds.max(1)));
    }
}

/// Even without anybody there is the map: an SDK hands it on as it is.
fn write_roster(fields: &mut Fields<'_>, roster: &[Arc<ClientInfo>]) {
    fields.object("presence", |fields| {
        for info in roster {
            let out = fields.key(info.client.as_str());
            append_object(out, |fields| write_info(fields, info));
        }
    });
}

/// Zeros, too: an SDK hands them on as they are.
fn write_stats(fields: &mut Fields<'_>, stats: PresenceStats) {
    fields.zero_number("num_clients", stats.clients);
    fields.zero_number("num_users", stats.users);
}

fn write_info(fields: &mut Fields<'_>, info: &ClientInfo) {
    let data = |data: &Option<Bytes>| data.clone().unwrap_or_default();
    fields.empty_text("user", info.user.as_str());
    fields.text("client", info.client.as_str());
    fields.data("conn_info", &data(&info.connection_info));
    fields.data("chan_info", &data(&info.channel_info));
}

fn append_shared(out: &mut Vec<u8>, publication: &Arc<Publication>) {
    append_publication(out, publication);
}

/// Once a publication, wire and tick, for everybody who is told of it.
fn append_publication(out: &mut Vec<u8>, publication: &Publication) {
    out.extend_from_slice(b"{\"data\":");
    append_payload(out, &publication.payload);
    if let Some(info) = &publication.info {
        out.extend_from_slice(b",\"info\":");
        append_object(out, |fields| write_info(fields, info));
    }
    if let Some(position) = publication.position {
        out.extend_from_slice(b",\"offset\":");
        append_number(out, position.offset);
    }
    if !publication.tags.is_empty() {
        out.extend_from_slice(b",\"tags\":");
        append_object(out, |fields| {
            for (key, value) in publication.tags.iter() {
                append_string(fields.key(key), value);
            }
        });
    }
    let time = publication.time.as_millis();
    if time > 0 {
        out.extend_from_slice(b",\"time\":");
        append_number(out, time);
    }
    out.push(b'}');
}

fn append_payload(out: &mut Vec<u8>, payload: &Payload) {
    match (payload.kind(), payload.as_text()) {
        (PayloadKind::Json, _) => out.extend_from_slice(payload.bytes()),
        (PayloadKind::Text, Some(text)) => append_string(out, text),
        (PayloadKind::Text, None) | (PayloadKind::Binary, _) => append_base64(out, payload.bytes()),
    }
}

/// The most that a publication takes with a push around it, its channel apart.
pub(super) fn publication_len_max(publication: &Publication) -> usize {
    let payload = &publication.payload;
    let data = match (payload.kind(), payload.as_text()) {
        (PayloadKind::Json, _) => payload.bytes().len(),
        (PayloadKind::Text, Some(text)) => string_len_max(text),
        (PayloadKind::Text, None) | (PayloadKind::Binary, _) => base64_len(payload.bytes()),
    };
    let tags = publication.tags.iter();
    let tags = tags.map(|(key, value)| string_len_max(key) + string_len_max(value) + 2);
    let info = publication.info.as_deref().map_or(0, info_len_max);
    AROUND_LEN_MAX + data + info + tags.sum::<usize>()
}

fn info_len_max(info: &ClientInfo) -> usize {
    const NAMES_LEN: usize = r#"{"user":,"client":,"conn_info":,"chan_info":}"#.len();
    let data = |data: &Option<Bytes>| data.as_deref().map_or(0, base64_len);
    let names = string_len_max(info.user.as_str()) + string_len_max(info.client.as_str());
    NAMES_LEN + names + data(&info.connection_info) + data(&info.channel_info)
}

/// The most that the publications of the past take in a reply.
fn past_len_max(outcome: &Outcome<'_>) -> usize {
    let len_max = |publications: &[Arc<Publication>]| {
        let publications = publications.iter();
        publications.map(|p| publication_len_max(p)).sum::<usize>()
    };
    match outcome {
        Outcome::Connect(connect) => {
            let subs = connect.subs.iter();
            subs.map(|sub| len_max(&sub.publications)).sum()
        }
        Outcome::Subscribe(subscription) => len_max(&subscription.0.publications),
        Outcome::History { publications, .. } => len_max(publications),
        _ => 0,
    }
}
