//! `publish` and `broadcast`. In: what is published, and where. Out: its place in each channel.
//!
//! A broadcast reads and copies the payload once: the channels share it. What is wrong with the payload is
//! the broadcast's error, what is wrong with a channel that channel's.
//!
//! Never: changes a payload but for raw newlines.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_hub::{
    Channel, ChannelOptions, IdempotencyKey, Payload, Position, Request, Response, Tags,
};
use fanfare_protocol::data::without_newlines;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::caller::unexpected;
use super::super::json;
use super::{ApiError, Call, Reply, Success};
use crate::limits::{BROADCAST_ASKED_MAX, BROADCAST_CHANNELS_MAX};

/// `publish`, to one channel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Publish<'b> {
    channel: String,
    #[serde(borrow, default, deserialize_with = "json::present")]
    data: Option<&'b RawValue>,
    b64data: Option<String>,
    skip_history: Option<bool>,
    tags: Option<BTreeMap<String, String>>,
    idempotency_key: Option<String>,
}

/// `broadcast`, to many.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Broadcast<'b> {
    channels: Vec<String>,
    #[serde(borrow, default, deserialize_with = "json::present")]
    data: Option<&'b RawValue>,
    b64data: Option<String>,
    skip_history: Option<bool>,
    tags: Option<BTreeMap<String, String>>,
    idempotency_key: Option<String>,
}

/// Where a publication stands; nowhere without history.
#[derive(Debug, Default, Serialize)]
pub(super) struct Published {
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
}

/// What came of a broadcast, in the order of its channels.
#[derive(Debug, Serialize)]
pub(super) struct Responses {
    responses: Vec<Reply>,
}

impl Publish<'_> {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        check_sources(self.data, self.b64data.as_deref())
    }

    pub(super) async fn execute(self, call: &Call<'_>) -> Result<Success, ApiError> {
        let (channel, options) = call.resolve(&self.channel)?;
        let content = Content {
            payload: payload(self.data, self.b64data.as_deref(), call)?,
            tags: read_tags(self.tags)?,
            idempotency_key: read_key(self.idempotency_key.as_deref())?,
            skips_history: self.skip_history.unwrap_or(false),
        };
        let request = content.publish_to(channel, &options);
        published(call.api.caller.ask(request).await, call)
    }
}

impl Broadcast<'_> {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        check_sources(self.data, self.b64data.as_deref())
    }

    /// Asks for many channels before it waits for the first: an engine across a network would make the
    /// broadcast as slow as all its round trips.
    pub(super) async fn execute(self, call: &Call<'_>) -> Result<Success, ApiError> {
        if self.channels.is_empty() || self.channels.len() > BROADCAST_CHANNELS_MAX {
            let why = format_args!("1 to {BROADCAST_CHANNELS_MAX} of them");
            return Err(ApiError::bad_request("channels", why));
        }
        let content = Content {
            payload: payload(self.data, self.b64data.as_deref(), call)?,
            tags: read_tags(self.tags)?,
            idempotency_key: read_key(self.idempotency_key.as_deref())?,
            skips_history: self.skip_history.unwrap_or(false),
        };
        let mut responses = Vec::with_capacity(self.channels.len());
        for names in self.channels.chunks(BROADCAST_ASKED_MAX) {
            let ask = |name: &String| {
                let (channel, options) = call.resolve(name)?;
                Ok(call.api.caller.ask(content.publish_to(channel, &options)))
            };
            let asked: Vec<Result<_, ApiError>> = names.iter().map(ask).collect();
            for answer in asked {
                let outcome = match answer {
                    Ok(answer) => published(answer.await, call),
                    Err(error) => Err(error),
                };
                responses.push(outcome.into());
            }
        }
        Ok(Success::Broadcast(Responses { responses }))
    }
}

/// What is published, read.
struct Content {
    payload: Payload,
    tags: Tags,
    idempotency_key: Option<IdempotencyKey>,
    skips_history: bool,
}

impl Content {
    /// The payload's bytes are shared.
    fn publish_to(&self, channel: Channel, options: &ChannelOptions) -> Request {
        Request::Publish(fanfare_hub::Publish {
            channel,
            payload: self.payload.clone(),
            tags: self.tags.clone(),
            info: None,
            retention: options.retention().filter(|_| !self.skips_history),
            idempotency_key: self.idempotency_key.clone(),
        })
    }
}

fn check_sources(data: Option<&RawValue>, b64data: Option<&str>) -> Result<(), &'static str> {
    match (data, b64data) {
        (None, None) => Err("one of `data` and `b64data` is needed"),
        (Some(_), Some(_)) => Err("`data` and `b64data` exclude each other"),
        _ => Ok(()),
    }
}

fn payload(
    data: Option<&RawValue>,
    b64data: Option<&str>,
    call: &Call<'_>,
) -> Result<Payload, ApiError> {
    let payload = match (data, b64data) {
        (Some(data), _) => Payload::json(without_newlines(data)),
        (None, text) => match STANDARD.decode(text.unwrap_or_default()) {
            Ok(bytes) => Payload::binary(bytes.into()),
            Err(error) => return Err(ApiError::bad_request("b64data", error)),
        },
    };
    if payload.bytes().len() > call.live.publication_bytes_max {
        return Err(ApiError::LimitExceeded);
    }
    Ok(payload)
}

fn read_tags(tags: Option<BTreeMap<String, String>>) -> Result<Tags, ApiError> {
    Tags::from_pairs(tags.unwrap_or_default()).map_err(|error| ApiError::bad_request("tags", error))
}

fn read_key(key: Option<&str>) -> Result<Option<IdempotencyKey>, ApiError> {
    key.map(IdempotencyKey::parse)
        .transpose()
        .map_err(|error| ApiError::bad_request("idempotency_key", error))
}

fn published(answer: Result<Response, ApiError>, call: &Call<'_>) -> Result<Success, ApiError> {
    match answer? {
        Response::Published(position) => {
            call.api.metrics.api_publications.add(1);
            Ok(Success::Published(Published::from(position)))
        }
        other => Err(unexpected(&other)),
    }
}

impl From<Option<Position>> for Published {
    fn from(position: Option<Position>) -> Self {
        position.map_or_else(Self::default, |position| Self {
            offset: Some(position.offset),
            epoch: Some(position.epoch.to_string()),
        })
    }
}
