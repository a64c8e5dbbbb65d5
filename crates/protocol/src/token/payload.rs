//! Claims as JSON has them: RFC 7519 §4, and those of the Centrifuge protocol. In: a token's payload. Out: its
//! [`Claims`] and what else a verifier looks at; and back.
//!
//! Never: says whether a token is good; takes a claim of another type for absent.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fanfare_hub::Time;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use crate::data::without_newlines;

use super::claims::{Claims, Grant, Overrides};

/// A token's payload. What is not named here is nobody's business.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Payload {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<Number>,
    #[serde(skip_serializing)]
    nbf: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iat: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_at: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Box<RawValue>>,
    #[serde(skip_serializing)]
    b64info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subs: Option<BTreeMap<String, Sub>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    options: Option<Options>,
}

#[derive(Serialize, Deserialize)]
struct Sub {
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Box<RawValue>>,
    #[serde(skip_serializing)]
    b64info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing)]
    b64data: Option<String>,
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    options: Option<Options>,
}

#[derive(Serialize, Deserialize)]
struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    presence: Option<Switch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join_leave: Option<Switch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    force_push_join_leave: Option<Switch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    force_recovery: Option<Switch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    force_positioning: Option<Switch>,
}

#[derive(Serialize, Deserialize)]
struct Switch {
    value: bool,
}

/// A payload that makes no sense.
#[derive(Debug)]
pub(super) struct Nonsense;

impl Payload {
    pub(super) fn parse(json: &[u8]) -> Result<Self, Nonsense> {
        // A list would be taken for the fields in their order.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(Nonsense);
        }
        serde_json::from_slice(json).map_err(|_| Nonsense)
    }

    pub(super) fn not_before(&self) -> Option<Time> {
        self.nbf.as_ref().map(time)
    }

    pub(super) fn claims(self) -> Result<Claims, Nonsense> {
        // An empty name is no channel, and `Claims::channel` is empty for a connection.
        if self.channel.as_ref().is_some_and(String::is_empty) {
            return Err(Nonsense);
        }
        let subs = self.subs.unwrap_or_default().into_iter();
        let subs = subs.map(|(channel, sub)| sub.grant().map(|grant| (channel, grant)));
        Ok(Claims {
            user: self.sub.unwrap_or_default(),
            expires_at: self.exp.as_ref().map(time),
            // The number 0 alone is "never": what is before it is past.
            expire_at: self
                .expire_at
                .as_ref()
                .map(|at| (at.as_f64() != Some(0.0)).then(|| time(at))),
            info: json(self.info, self.b64info)?,
            meta: json(self.meta, None)?,
            channels: self.channels.unwrap_or_default(),
            subs: subs.collect::<Result<_, _>>()?,
            channel: self.channel.unwrap_or_default(),
            client: self.client,
            options: self.options.map_or_else(Overrides::default, Into::into),
        })
    }

    /// The other way round: `Nonsense` if what should be JSON is not.
    pub(super) fn of(claims: &Claims) -> Result<Self, Nonsense> {
        let subs = claims.subs.iter();
        let subs = subs.map(|(channel, grant)| Ok((channel.clone(), Sub::of(grant)?)));
        let subs: BTreeMap<_, _> = subs.collect::<Result<_, _>>()?;
        let never = Number::from(0);
        Ok(Self {
            sub: (!claims.user.is_empty()).then(|| claims.user.clone()),
            exp: claims.expires_at.map(seconds),
            expire_at: claims.expire_at.map(|at| at.map_or(never, seconds)),
            info: raw(claims.info.as_ref())?,
            meta: raw(claims.meta.as_ref())?,
            channels: (!claims.channels.is_empty()).then(|| claims.channels.clone()),
            subs: (!subs.is_empty()).then_some(subs),
            channel: (!claims.channel.is_empty()).then(|| claims.channel.clone()),
            client: claims.client.clone(),
            options: Options::of(claims.options),
            ..Self::default()
        })
    }
}

impl Sub {
    fn grant(self) -> Result<Grant, Nonsense> {
        Ok(Grant {
            info: json(self.info, self.b64info)?,
            data: json(self.data, self.b64data)?,
            options: self.options.map_or_else(Overrides::default, Into::into),
        })
    }

    fn of(grant: &Grant) -> Result<Self, Nonsense> {
        Ok(Self {
            info: raw(grant.info.as_ref())?,
            b64info: None,
            data: raw(grant.data.as_ref())?,
            b64data: None,
            options: Options::of(grant.options),
        })
    }
}

impl From<Options> for Overrides {
    fn from(options: Options) -> Self {
        let value = |switch: Option<Switch>| switch.map(|switch| switch.value);
        Self {
            presence: value(options.presence),
            join_leave: value(options.join_leave),
            force_push_join_leave: value(options.force_push_join_leave),
            force_recovery: value(options.force_recovery),
            force_positioning: value(options.force_positioning),
        }
    }
}

impl Options {
    fn of(overrides: Overrides) -> Option<Self> {
        let switch = |value: Option<bool>| value.map(|value| Switch { value });
        (overrides != Overrides::default()).then(|| Self {
            presence: switch(overrides.presence),
            join_leave: switch(overrides.join_leave),
            force_push_join_leave: switch(overrides.force_push_join_leave),
            force_recovery: switch(overrides.force_recovery),
            force_positioning: switch(overrides.force_positioning),
        })
    }
}

/// A NumericDate (RFC 7519 §2): seconds, perhaps with a fraction. What is before 1970 is 1970.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates: the far future stays there, and the past is past"
)]
fn time(seconds: &Number) -> Time {
    let millis = match (seconds.as_u64(), seconds.as_f64()) {
        (Some(whole), _) => whole.saturating_mul(1000),
        (None, Some(any)) => (any * 1000.0) as u64,
        (None, None) => 0,
    };
    Time::from_millis(millis)
}

/// Rounded up: a token is not shorter than was said.
pub(super) fn seconds(time: Time) -> Number {
    time.as_millis().div_ceil(1000).into()
}

/// JSON that may stand in a frame; `base64` wins, as its issuer meant it to.
fn json(plain: Option<Box<RawValue>>, base64: Option<String>) -> Result<Option<Bytes>, Nonsense> {
    match base64.filter(|base64| !base64.is_empty()) {
        None => Ok(plain.map(|plain| without_newlines(&plain).into())),
        Some(base64) => {
            let text = STANDARD.decode(base64).map_err(|_| Nonsense)?;
            let json: &RawValue = serde_json::from_slice(&text).map_err(|_| Nonsense)?;
            Ok(Some(without_newlines(json).into()))
        }
    }
}

fn raw(json: Option<&Bytes>) -> Result<Option<Box<RawValue>>, Nonsense> {
    let raw = json.map(|json| serde_json::from_slice(json)).transpose();
    raw.map_err(|_| Nonsense)
}
