//! Commands in JSON. In: a line. Out: a command.
//!
//! Unknown fields are ignored, and `null` stands for a field that is not there, but in `data`, where it is a
//! value. What `serde_json` refuses is malformed, a field that comes twice among it.
//!
//! Never: recurses into `data`, or into what it does not know.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::{Object, present};
use crate::command::{
    Command, Connect, History, Method, Position, Publish, Refresh, Rpc, SubRefresh, Subscribe,
};
use crate::commands::Malformed;
use crate::data;

/// The command of a line, which has no other.
pub(crate) fn decode_command(line: &[u8]) -> Result<Command, Malformed> {
    let wire: Object<WireCommand<'_>> =
        serde_json::from_slice(line).map_err(|_| Malformed::Command)?;
    wire.0.into_command()
}

/// The text of a `data`; empty: there is none.
fn text(json: Option<&RawValue>) -> Result<Bytes, Malformed> {
    let Some(json) = json else {
        return Ok(Bytes::new());
    };
    if data::is_shallow(json.get().as_bytes()) {
        Ok(data::without_newlines(json).into())
    } else {
        Err(Malformed::Command)
    }
}

#[derive(Deserialize)]
struct WireCommand<'b> {
    id: Option<u32>,
    #[serde(borrow)]
    connect: Option<Object<WireConnect<'b>>>,
    subscribe: Option<Object<WireSubscribe<'b>>>,
    unsubscribe: Option<Object<WireChannel>>,
    publish: Option<Object<WirePublish<'b>>>,
    presence: Option<Object<WireChannel>>,
    presence_stats: Option<Object<WireChannel>>,
    history: Option<Object<WireHistory>>,
    send: Option<Object<WireSend<'b>>>,
    rpc: Option<Object<WireRpc<'b>>>,
    refresh: Option<Object<WireRefresh>>,
    sub_refresh: Option<Object<WireSubRefresh>>,
}

#[derive(Deserialize)]
struct WireConnect<'b> {
    token: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'b RawValue>,
    name: Option<String>,
    version: Option<String>,
    headers: Option<HashMap<String, String>>,
    subs: Option<HashMap<String, Object<WireSubscribe<'b>>>>,
}

#[derive(Deserialize)]
struct WireSubscribe<'b> {
    channel: Option<String>,
    token: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'b RawValue>,
    recover: Option<bool>,
    offset: Option<u64>,
    epoch: Option<String>,
    positioned: Option<bool>,
    recoverable: Option<bool>,
    join_leave: Option<bool>,
    flag: Option<i64>,
}

#[derive(Deserialize)]
struct WireChannel {
    channel: Option<String>,
}

#[derive(Deserialize)]
struct WirePublish<'b> {
    channel: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'b RawValue>,
}

#[derive(Deserialize)]
struct WireHistory {
    channel: Option<String>,
    limit: Option<i32>,
    since: Option<Object<WirePosition>>,
    reverse: Option<bool>,
}

#[derive(Deserialize)]
struct WirePosition {
    offset: Option<u64>,
    epoch: Option<String>,
}

#[derive(Deserialize)]
struct WireSend<'b> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'b RawValue>,
}

#[derive(Deserialize)]
struct WireRpc<'b> {
    method: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'b RawValue>,
}

#[derive(Deserialize)]
struct WireRefresh {
    token: Option<String>,
}

#[derive(Deserialize)]
struct WireSubRefresh {
    channel: Option<String>,
    token: Option<String>,
}

impl WireCommand<'_> {
    fn into_command(self) -> Result<Command, Malformed> {
        let id = self.id.unwrap_or_default();
        let method = self.into_method(id)?;
        Ok(Command { id, method })
    }

    /// The first in the order of the schema, should there be several.
    fn into_method(self, id: u32) -> Result<Method, Malformed> {
        Ok(if let Some(Object(connect)) = self.connect {
            Method::Connect(Box::new(connect.try_into()?))
        } else if let Some(Object(subscribe)) = self.subscribe {
            Method::Subscribe(Box::new(subscribe.try_into()?))
        } else if let Some(Object(WireChannel { channel })) = self.unsubscribe {
            let channel = channel.unwrap_or_default();
            Method::Unsubscribe { channel }
        } else if let Some(Object(WirePublish { channel, data })) = self.publish {
            Method::Publish(Publish {
                channel: channel.unwrap_or_default(),
                data: text(data)?,
            })
        } else if let Some(Object(WireChannel { channel })) = self.presence {
            let channel = channel.unwrap_or_default();
            Method::Presence { channel }
        } else if let Some(Object(WireChannel { channel })) = self.presence_stats {
            let channel = channel.unwrap_or_default();
            Method::PresenceStats { channel }
        } else if let Some(Object(history)) = self.history {
            Method::History(history.into())
        } else if let Some(Object(WireSend { data })) = self.send {
            Method::Send { data: text(data)? }
        } else if let Some(Object(WireRpc { method, data })) = self.rpc {
            Method::Rpc(Rpc {
                method: method.unwrap_or_default(),
                data: text(data)?,
            })
        } else if let Some(Object(WireRefresh { token })) = self.refresh {
            let token = token.unwrap_or_default();
            Method::Refresh(Refresh { token })
        } else if let Some(Object(WireSubRefresh { channel, token })) = self.sub_refresh {
            Method::SubRefresh(SubRefresh {
                channel: channel.unwrap_or_default(),
                token: token.unwrap_or_default(),
            })
        } else {
            Method::missing(id)
        })
    }
}

impl TryFrom<WireConnect<'_>> for Connect {
    type Error = Malformed;

    fn try_from(wire: WireConnect<'_>) -> Result<Self, Malformed> {
        let subs = wire.subs.unwrap_or_default().into_iter();
        Ok(Self {
            token: wire.token.unwrap_or_default(),
            data: text(wire.data)?,
            name: wire.name.unwrap_or_default(),
            version: wire.version.unwrap_or_default(),
            headers: wire.headers.unwrap_or_default(),
            subs: subs
                .map(|(channel, Object(sub))| Ok((channel, sub.try_into()?)))
                .collect::<Result<_, Malformed>>()?,
        })
    }
}

impl TryFrom<WireSubscribe<'_>> for Subscribe {
    type Error = Malformed;

    fn try_from(wire: WireSubscribe<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            channel: wire.channel.unwrap_or_default(),
            token: wire.token.unwrap_or_default(),
            data: text(wire.data)?,
            recover: wire.recover.unwrap_or_default(),
            since: Position {
                offset: wire.offset.unwrap_or_default(),
                epoch: wire.epoch.unwrap_or_default(),
            },
            positioned: wire.positioned.unwrap_or_default(),
            recoverable: wire.recoverable.unwrap_or_default(),
            join_leave: wire.join_leave.unwrap_or_default(),
            flag: wire.flag.unwrap_or_default().cast_unsigned(),
        })
    }
}

impl From<WireHistory> for History {
    fn from(wire: WireHistory) -> Self {
        let position = |Object(since): Object<WirePosition>| Position {
            offset: since.offset.unwrap_or_default(),
            epoch: since.epoch.unwrap_or_default(),
        };
        Self {
            channel: wire.channel.unwrap_or_default(),
            limit: wire.limit.unwrap_or_default(),
            since: wire.since.map(position),
            reverse: wire.reverse.unwrap_or_default(),
        }
    }
}
