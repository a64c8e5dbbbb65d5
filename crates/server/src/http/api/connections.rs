//! `disconnect`, `unsubscribe` and `refresh`. In: whose connections, and what becomes of them. Out: an order that every
//! worker has got; whether anybody was meant, nobody says.
//!
//! Never: waits until it is done.

use fanfare_hub::{Action, ClientId, Order, Request, Response, Target, Time, UserId};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::caller::unexpected;
use super::super::json::Object;
use super::{ApiError, Call, Done, Success};

/// Close codes that an application may use, and those of the protocol that it may name (PROTOCOL.md,
/// "Codes"; RFC 6455 §7.4.2).
const CLOSE_CODES: std::ops::RangeInclusive<u32> = 3000..=4999;
/// What fits a close frame behind its code (RFC 6455 §5.5).
const REASON_BYTES_MAX: usize = 123;
/// Below 2500: an SDK does not subscribe again.
const UNSUBSCRIBED: u32 = 2000;

/// `disconnect`: closes a user's connections.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disconnect {
    /// Empty: the anonymous ones.
    user: String,
    client: Option<String>,
    disconnect: Option<Object<Close>>,
}

/// How.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Close {
    code: u32,
    reason: String,
}

/// `unsubscribe`: takes a user's subscription to a channel away.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unsubscribe {
    /// Empty: the anonymous ones.
    user: String,
    channel: String,
    client: Option<String>,
}

impl Disconnect {
    pub(super) async fn execute(self, call: &Call<'_>) -> Result<Success, ApiError> {
        let Object(close) = self.disconnect.unwrap_or_else(|| {
            Object(Close {
                code: 3503,
                reason: "force disconnect".to_owned(),
            })
        });
        let action = Action::Disconnect {
            code: close_code(close.code)?,
            reason: close_reason(&close.reason)?.into(),
        };
        order(target(&self.user, self.client.as_deref()), action, call).await
    }
}

impl Unsubscribe {
    pub(super) async fn execute(self, call: &Call<'_>) -> Result<Success, ApiError> {
        let (channel, _) = call.resolve(&self.channel)?;
        let action = Action::Unsubscribe {
            channel: Some(channel),
            code: UNSUBSCRIBED,
            reason: "unsubscribed".into(),
        };
        order(target(&self.user, self.client.as_deref()), action, call).await
    }
}

/// `refresh`: changes when a user's sessions end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refresh {
    /// Empty: the anonymous ones.
    user: String,
    client: Option<String>,
    /// They end now.
    #[serde(default)]
    expired: bool,
    /// Seconds since the Unix epoch; 0, or left out: never.
    #[serde(default)]
    expire_at: u64,
}

impl Refresh {
    pub(super) async fn execute(self, call: &Call<'_>) -> Result<Success, ApiError> {
        let at = |seconds: u64| Time::from_millis(seconds.saturating_mul(1000));
        let expire_at = if self.expired {
            Some(Time::from_millis(0))
        } else {
            (self.expire_at > 0).then(|| at(self.expire_at))
        };
        let action = Action::Refresh { expire_at };
        order(target(&self.user, self.client.as_deref()), action, call).await
    }
}

pub(super) fn target(user: &str, client: Option<&str>) -> Target {
    Target {
        user: UserId::from(user),
        client: client.map(ClientId::from),
    }
}

pub(super) async fn order(
    target: Target,
    action: Action,
    call: &Call<'_>,
) -> Result<Success, ApiError> {
    let request = Request::Order(Order { target, action });
    match call.api.caller.ask(request).await? {
        Response::Ordered => Ok(Success::Done(Done {})),
        other => Err(unexpected(&other)),
    }
}

fn close_code(code: u32) -> Result<u16, ApiError> {
    match u16::try_from(code) {
        Ok(short) if CLOSE_CODES.contains(&code) => Ok(short),
        _ => {
            let (first, last) = (CLOSE_CODES.start(), CLOSE_CODES.end());
            let why = format_args!("{first} to {last}, not {code}");
            Err(ApiError::bad_request("disconnect.code", why))
        }
    }
}

fn close_reason(reason: &str) -> Result<&str, ApiError> {
    // An SDK reads a reason as JSON if it can, and takes what is no object of its own for the end.
    let is_json = serde_json::from_str::<IgnoredAny>(reason).is_ok();
    if (1..=REASON_BYTES_MAX).contains(&reason.len()) && !is_json {
        return Ok(reason);
    }
    let why = format_args!("1 to {REASON_BYTES_MAX} bytes that are no JSON");
    Err(ApiError::bad_request("disconnect.reason", why))
}
