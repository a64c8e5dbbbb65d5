//! `subscribe`: gives a user's sessions a server-side subscription. In: whose, to what, and on which terms. Out:
//! an order that every worker has got.
//!
//! Never: waits until they are subscribed; tells whether anybody was meant.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fanfare_hub::{Action, Epoch, Since};
use fanfare_protocol::data::without_newlines;
use fanfare_protocol::token;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::json::{self, Object};
use super::connections::{order, target};
use super::{ApiError, Call, Success};

/// What the call says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscribe<'b> {
    /// Empty: the anonymous ones.
    user: String,
    channel: String,
    client: Option<String>,
    /// What others learn of them in this channel.
    #[serde(borrow, default, deserialize_with = "json::present")]
    info: Option<&'b RawValue>,
    b64info: Option<String>,
    /// For them.
    #[serde(borrow, default, deserialize_with = "json::present")]
    data: Option<&'b RawValue>,
    b64data: Option<String>,
    recover_since: Option<Object<Place>>,
    #[serde(rename = "override")]
    overrides: Option<Object<Overrides>>,
}

/// Where they were.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    offset: u64,
    #[serde(default)]
    epoch: String,
}

/// What it changes of the namespace's options.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Overrides {
    presence: Option<Object<Flag>>,
    join_leave: Option<Object<Flag>>,
    force_push_join_leave: Option<Object<Flag>>,
    force_positioning: Option<Object<Flag>>,
    force_recovery: Option<Object<Flag>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flag {
    value: bool,
}

impl Overrides {
    fn changes(self) -> token::Overrides {
        let value = |flag: Option<Object<Flag>>| flag.map(|Object(flag)| flag.value);
        token::Overrides {
            presence: value(self.presence),
            join_leave: value(self.join_leave),
            force_push_join_leave: value(self.force_push_join_leave),
            force_positioning: value(self.force_positioning),
            force_recovery: value(self.force_recovery),
        }
    }
}

impl Subscribe<'_> {
    pub(super) async fn execute(self, call: &Call<'_>) -> Result<Success, ApiError> {
        let (channel, options) = call.resolve(&self.channel)?;
        let Object(overrides) = self.overrides.unwrap_or_default();
        let options = overrides.changes().applied_to(&options);
        options
            .validate()
            .map_err(|error| ApiError::bad_request("override", error))?;
        let channel_info = value("info", self.info, self.b64info.as_deref())?;
        let data = value("data", self.data, self.b64data.as_deref())?;
        let since = self.recover_since.as_ref().map(|Object(place)| Since {
            offset: place.offset,
            epoch: Epoch::parse(&place.epoch),
        });
        let action = Action::Subscribe {
            channel,
            options: options.into(),
            channel_info,
            data,
            since,
        };
        order(target(&self.user, self.client.as_deref()), action, call).await
    }
}

/// JSON as it stands, or what is JSON once it is decoded: sessions may speak JSON.
fn value(
    name: &'static str,
    plain: Option<&RawValue>,
    base64: Option<&str>,
) -> Result<Option<Bytes>, ApiError> {
    let text = match (plain, base64) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let why = format_args!("{name} and b64{name} exclude each other");
            return Err(ApiError::bad_request(name, why));
        }
        (Some(json), None) => without_newlines(json),
        (None, Some(text)) => {
            let bytes = STANDARD
                .decode(text)
                .map_err(|error| ApiError::bad_request(name, error))?;
            let json: &RawValue = serde_json::from_slice(&bytes)
                .map_err(|error| ApiError::bad_request(name, format_args!("no JSON: {error}")))?;
            without_newlines(json)
        }
    };
    Ok(Some(text.into()))
}
