//! `history` and `history_remove`. In: a channel, and which part. Out: its publications, and where its
//! stream stands.
//!
//! A publication that a client sent as a text that need not be JSON is a JSON string in `data`.
//!
//! Never: gives a payload that is no JSON for JSON, whatever engine it came from.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_hub::{
    ClientInfo, Epoch, HistoryQuery, HistoryRead, PayloadKind, Publication, Request, Response,
    Since,
};
use serde::ser::{Error, SerializeStruct};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::super::caller::unexpected;
use super::super::json::Object;
use super::channel::OfChannel;
use super::{ApiError, Call, Done, Success};

/// `history`: a part of it, and where the stream stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct History {
    channel: String,
    /// None, or 0: the position alone.
    limit: Option<u32>,
    since: Option<Object<Place>>,
    reverse: Option<bool>,
}

/// A position as a caller gives it back; zeros are left out on the wire.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    offset: Option<u64>,
    epoch: Option<String>,
}

impl From<Place> for Since {
    fn from(place: Place) -> Self {
        Self {
            offset: place.offset.unwrap_or(0),
            epoch: place.epoch.as_deref().and_then(Epoch::parse),
        }
    }
}

impl History {
    pub(super) async fn execute(self, call: &Call<'_>) -> Result<Success, ApiError> {
        let (channel, options) = call.resolve(&self.channel)?;
        if !options.has_history() {
            return Err(ApiError::NotAvailable);
        }
        let query = HistoryQuery {
            since: self.since.map(|Object(place)| place.into()),
            limit: Some(self.limit.unwrap_or(0)),
            reverse: self.reverse.unwrap_or(false),
        };
        let request = Request::History(fanfare_hub::History { channel, query });
        match call.api.caller.ask(request).await? {
            Response::History(read) => Ok(Success::History(Page(read))),
            other => Err(unexpected(&other)),
        }
    }
}

/// `history_remove`: forgets the publications, not the position.
pub(super) async fn remove(of: &OfChannel, call: &Call<'_>) -> Result<Success, ApiError> {
    let (channel, options) = call.resolve(&of.channel)?;
    if !options.has_history() {
        return Err(ApiError::NotAvailable);
    }
    match call.api.caller.ask(Request::HistoryRemove(channel)).await? {
        Response::HistoryRemoved => Ok(Success::Done(Done {})),
        other => Err(unexpected(&other)),
    }
}

/// A part of a history. A channel of which nothing is known stands at 0 of no epoch.
#[derive(Debug)]
pub(super) struct Page(HistoryRead);

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(read) = self;
        let items = read.publications.iter().map(|p| Item::try_from(&**p));
        let items: Vec<_> = items.collect::<Result<_, _>>().map_err(Error::custom)?;
        let position = read.position;
        let epoch = position.map(|position| position.epoch.to_string());
        let mut page = serializer.serialize_struct("Page", 3)?;
        page.serialize_field("publications", &items)?;
        page.serialize_field("offset", &position.map_or(0, |position| position.offset))?;
        page.serialize_field("epoch", &epoch.unwrap_or_default())?;
        page.end()
    }
}

/// A publication on its way out.
#[derive(Serialize)]
struct Item<'p> {
    #[serde(flatten)]
    payload: PayloadText<'p>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<&'p str, &'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Client<'p>>,
}

/// A payload under the name that it would be published by.
#[derive(Serialize)]
enum PayloadText<'p> {
    #[serde(rename = "data")]
    Json(&'p RawValue),
    #[serde(rename = "data")]
    Text(&'p str),
    #[serde(rename = "b64data")]
    Binary(String),
}

impl<'p> TryFrom<&'p Publication> for Item<'p> {
    type Error = serde_json::Error;

    fn try_from(publication: &'p Publication) -> Result<Self, serde_json::Error> {
        let bytes = publication.payload.bytes();
        let payload = match publication.payload.kind() {
            PayloadKind::Json => PayloadText::Json(serde_json::from_slice(bytes)?),
            PayloadKind::Text => {
                let text = publication.payload.as_text();
                PayloadText::Text(text.ok_or_else(|| Error::custom("a text is no UTF-8"))?)
            }
            PayloadKind::Binary => PayloadText::Binary(STANDARD.encode(bytes)),
        };
        Ok(Self {
            payload,
            offset: publication.position.map(|position| position.offset),
            tags: publication.tags.iter().collect(),
            info: publication
                .info
                .as_deref()
                .map(Client::try_from)
                .transpose()?,
        })
    }
}

/// A client as others learn of it.
#[derive(Debug, Serialize)]
pub(super) struct Client<'p> {
    client: &'p str,
    user: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn_info: Option<&'p RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chan_info: Option<&'p RawValue>,
}

impl<'p> TryFrom<&'p ClientInfo> for Client<'p> {
    type Error = serde_json::Error;

    fn try_from(info: &'p ClientInfo) -> Result<Self, serde_json::Error> {
        let json = |bytes: &'p Option<bytes::Bytes>| {
            bytes.as_deref().map(serde_json::from_slice).transpose()
        };
        Ok(Self {
            client: info.client.as_str(),
            user: info.user.as_str(),
            conn_info: json(&info.connection_info)?,
            chan_info: json(&info.channel_info)?,
        })
    }
}
