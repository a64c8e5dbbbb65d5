//! Commands in Protobuf. In: bytes of a frame. Out: messages, and the command in one.
//!
//! Never: allocates more than arrived: a length that goes beyond the bytes is refused first.

use prost::Message;
use prost::encoding::decode_varint;

use super::schema;
use crate::command::{
    Command, Connect, History, Method, Position, Publish, Refresh, Rpc, SubRefresh, Subscribe,
};
use crate::commands::Malformed;

/// The first message, without its length, and what follows it.
pub(crate) fn split_first(mut bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let len = decode_varint(&mut bytes).map_err(|_| Malformed::Command)?;
    let len = usize::try_from(len).map_err(|_| Malformed::Command)?;
    bytes.split_at_checked(len).ok_or(Malformed::Command)
}

/// The command of a message: the first in the order of the schema, should there be several.
pub(crate) fn decode_command(message: &[u8]) -> Result<Command, Malformed> {
    let wire = schema::Command::decode(message).map_err(|_| Malformed::Command)?;
    let method = if let Some(connect) = wire.connect {
        Method::Connect(Box::new(connect.into()))
    } else if let Some(subscribe) = wire.subscribe {
        Method::Subscribe(Box::new(subscribe.into()))
    } else if let Some(schema::ChannelRequest { channel }) = wire.unsubscribe {
        Method::Unsubscribe { channel }
    } else if let Some(schema::PublishRequest { channel, data }) = wire.publish {
        Method::Publish(Publish { channel, data })
    } else if let Some(schema::ChannelRequest { channel }) = wire.presence {
        Method::Presence { channel }
    } else if let Some(schema::ChannelRequest { channel }) = wire.presence_stats {
        Method::PresenceStats { channel }
    } else if let Some(history) = wire.history {
        Method::History(history.into())
    } else if let Some(schema::Data { data }) = wire.send {
        Method::Send { data }
    } else if let Some(schema::RpcRequest { data, method }) = wire.rpc {
        Method::Rpc(Rpc { method, data })
    } else if let Some(schema::RefreshRequest { token }) = wire.refresh {
        Method::Refresh(Refresh { token })
    } else if let Some(schema::SubRefreshRequest { channel, token }) = wire.sub_refresh {
        Method::SubRefresh(SubRefresh { channel, token })
    } else {
        Method::missing(wire.id)
    };
    Ok(Command {
        id: wire.id,
        method,
    })
}

impl From<schema::ConnectRequest> for Connect {
    fn from(wire: schema::ConnectRequest) -> Self {
        let subs = wire.subs.into_iter();
        Self {
            token: wire.token,
            data: wire.data,
            name: wire.name,
            version: wire.version,
            headers: wire.headers,
            subs: subs.map(|(channel, sub)| (channel, sub.into())).collect(),
        }
    }
}

impl From<schema::SubscribeRequest> for Subscribe {
    fn from(wire: schema::SubscribeRequest) -> Self {
        Self {
            channel: wire.channel,
            token: wire.token,
            data: wire.data,
            recover: wire.recover,
            since: Position {
                offset: wire.offset,
                epoch: wire.epoch,
            },
            positioned: wire.positioned,
            recoverable: wire.recoverable,
            join_leave: wire.join_leave,
            flag: wire.flag.cast_unsigned(),
        }
    }
}

impl From<schema::HistoryRequest> for History {
    fn from(wire: schema::HistoryRequest) -> Self {
        let position = |since: schema::StreamPosition| Position {
            offset: since.offset,
            epoch: since.epoch,
        };
        Self {
            channel: wire.channel,
            limit: wire.limit,
            since: wire.since.map(position),
            reverse: wire.reverse,
        }
    }
}
