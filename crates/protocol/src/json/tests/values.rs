//! What replies and pushes say on the JSON wire, as values. In: what was written. Out: what is to be read.
//! A null in the making is a field that is left out.
//!
//! Never: knows how it is written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_hub::{ClientInfo, Position, Publication};
use serde_json::{Map, Value, json};

use crate::message::{Expiry, Outcome, Push, Reply, Subscription};

fn object(fields: Value) -> Value {
    let Value::Object(fields) = fields else {
        panic!("no object: {fields}");
    };
    let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(kept.collect())
}

fn text(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        text.into()
    }
}

fn number(number: u64) -> Value {
    if number == 0 {
        Value::Null
    } else {
        number.into()
    }
}

fn flag(is_set: bool) -> Value {
    if is_set { true.into() } else { Value::Null }
}

fn data(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| STANDARD.encode(bytes).into())
}

fn with(mut fields: Value, more: &[(&str, Value)]) -> Value {
    for (key, value) in more {
        fields[key] = value.clone();
    }
    object(fields)
}

fn expiry(Expiry(seconds): Expiry) -> Value {
    seconds.map_or_else(
        || json!({}),
        |s| json!({ "expires": true, "ttl": s.max(1) }),
    )
}

fn position(position: Option<Position>) -> [(&'static str, Value); 2] {
    let epoch = position.map(|position| position.epoch.to_string());
    let offset = position.map_or(0, |position| position.offset);
    [("epoch", epoch.into()), ("offset", number(offset))]
}

fn info(info: &ClientInfo) -> Value {
    object(json!({
        "user": info.user.as_str(),
        "client": text(info.client.as_str()),
        "conn_info": data(info.connection_info.as_deref().unwrap_or_default()),
        "chan_info": data(info.channel_info.as_deref().unwrap_or_default()),
    }))
}

fn publication(publication: &Publication) -> Value {
    let payload = &publication.payload;
    let data: Value = match payload.kind() {
        fanfare_hub::PayloadKind::Json => serde_json::from_slice(payload.bytes()).unwrap(),
        fanfare_hub::PayloadKind::Text => payload.as_text().into(),
        fanfare_hub::PayloadKind::Binary => STANDARD.encode(payload.bytes()).into(),
    };
    let tags: Map<String, Value> = publication
        .tags
        .iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    object(json!({
        "data": data,
        "info": publication.info.as_deref().map(info),
        "offset": publication.position.map(|position| position.offset),
        "tags": (!tags.is_empty()).then_some(tags),
        "time": number(publication.time.as_millis()),
    }))
}

fn publications(publications: &[std::sync::Arc<Publication>]) -> Value {
    if publications.is_empty() {
        return Value::Null;
    }
    publications.iter().map(|p| publication(p)).collect()
}

fn granted(subscription: &Subscription) -> Value {
    let fields = json!({
        "recoverable": flag(subscription.terms.is_recoverable),
        "positioned": flag(subscription.terms.is_positioned),
        "data": data(&subscription.data),
    });
    with(fields, &position(subscription.position))
}

fn subscription(subscription: &Subscription) -> Value {
    let Value::Object(expiry) = expiry(subscription.expiry) else {
        unreachable!("an object");
    };
    let mut fields = granted(subscription);
    for (key, value) in expiry {
        fields[key] = value;
    }
    let more = [
        ("publications", publications(&subscription.publications)),
        ("recovered", flag(subscription.recovered)),
        ("was_recovering", flag(subscription.was_recovering)),
    ];
    with(fields, &more)
}

pub(super) fn reply_value(reply: &Reply<'_>) -> Value {
    let (name, value) = match &reply.outcome {
        Err(error) => {
            let temporary = flag(error.is_temporary);
            let fields = json!({ "code": number(error.code.into()), "message": error.message, "temporary": temporary });
            ("error", object(fields))
        }
        Ok(Outcome::Connect(connect)) => {
            let subs: Map<String, Value> = connect
                .subs
                .iter()
                .map(|sub| (sub.channel.to_string(), subscription(sub)))
                .collect();
            let more = [
                ("client", text(connect.client)),
                ("version", text(connect.version)),
                ("data", data(connect.data)),
                ("subs", subs.into()),
                ("ping", number(connect.ping.into())),
                ("pong", flag(connect.pong)),
                ("session", text(connect.session)),
                ("node", text(connect.node)),
                ("time", number(connect.time)),
            ];
            ("connect", with(expiry(connect.expiry), &more))
        }
        Ok(Outcome::Subscribe(result)) => ("subscribe", subscription(result.0)),
        Ok(Outcome::Unsubscribe) => ("unsubscribe", json!({})),
        Ok(Outcome::Publish) => ("publish", json!({})),
        Ok(Outcome::Presence(infos)) => {
            let infos: Map<String, Value> = infos
                .iter()
                .map(|i| (i.client.as_str().to_owned(), info(i)))
                .collect();
            ("presence", json!({ "presence": infos }))
        }
        Ok(Outcome::PresenceStats(stats)) => {
            let stats = json!({ "num_clients": stats.clients, "num_users": stats.users });
            ("presence_stats", stats)
        }
        Ok(Outcome::History {
            publications: past,
            position: top,
        }) => {
            let fields = json!({ "publications": publications(past) });
            ("history", with(fields, &position(*top)))
        }
        Ok(Outcome::Refresh {
            client,
            version,
            expiry: end,
        }) => {
            let more = [("client", text(client)), ("version", text(version))];
            ("refresh", with(expiry(*end), &more))
        }
        Ok(Outcome::SubRefresh(end)) => ("sub_refresh", expiry(*end)),
        Ok(Outcome::Rpc { data: given }) => ("rpc", object(json!({ "data": data(given) }))),
    };
    json!({ "id": reply.id, name: value })
}

pub(super) fn push_value(push: &Push<'_>) -> Value {
    match push {
        Push::Publication {
            channel,
            publication: given,
        } => json!({ "channel": channel, "pub": publication(given) }),
        Push::Join {
            channel,
            info: given,
        } => json!({ "channel": channel, "join": { "info": info(given) } }),
        Push::Leave {
            channel,
            info: given,
        } => json!({ "channel": channel, "leave": { "info": info(given) } }),
        Push::Unsubscribe { channel, why } => {
            let fields = json!({ "code": number(why.code.into()), "reason": why.reason });
            json!({ "channel": channel, "unsubscribe": object(fields) })
        }
        Push::Subscribe(result) => {
            json!({ "channel": result.0.channel.as_str(), "subscribe": granted(result.0) })
        }
        Push::Message { data: given } => {
            json!({ "message": object(json!({ "data": data(given) })) })
        }
        Push::Refresh(end) => json!({ "refresh": expiry(*end) }),
    }
}
