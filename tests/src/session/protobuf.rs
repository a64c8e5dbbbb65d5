//! The Protobuf encoding, from the field numbers of the SDKs' descriptors. In: commands as JSON. Out: bytes;
//! and replies the other way round.
//!
//! A `bytes` field is shown as the JSON that it holds, or as `{"$bytes": "base64"}`.
//!
//! Never: uses the server's types; skips a field that it does not know.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// How a field is written.
#[derive(Clone, Copy)]
enum Kind {
    /// A varint.
    Int,
    Bool,
    Text,
    /// `bytes`.
    Data,
    Message(&'static [Field]),
    List(&'static [Field]),
    /// `map<string, ...>`.
    Texts,
    Messages(&'static [Field]),
}

use Kind::{Bool, Data, Int, List, Message, Messages, Text, Texts};

/// Number, name, kind.
type Field = (u64, &'static str, Kind);

const CHANNEL: &[Field] = &[(1, "channel", Text)];
const POSITION: &[Field] = &[(1, "offset", Int), (2, "epoch", Text)];
const SUBSCRIBE: &[Field] = &[
    (1, "channel", Text),
    (2, "token", Text),
    (3, "recover", Bool),
    (6, "epoch", Text),
    (7, "offset", Int),
    (8, "data", Data),
    (9, "positioned", Bool),
    (10, "recoverable", Bool),
    (11, "join_leave", Bool),
    (12, "delta", Text),
    (14, "flag", Int),
];
const COMMAND: &[Field] = &[
    (1, "id", Int),
    (
        4,
        "connect",
        Message(&[
            (1, "token", Text),
            (2, "data", Data),
            (3, "subs", Messages(SUBSCRIBE)),
            (4, "name", Text),
            (5, "version", Text),
            (6, "headers", Texts),
            (7, "flag", Int),
        ]),
    ),
    (5, "subscribe", Message(SUBSCRIBE)),
    (6, "unsubscribe", Message(CHANNEL)),
    (
        7,
        "publish",
        Message(&[(1, "channel", Text), (2, "data", Data)]),
    ),
    (8, "presence", Message(CHANNEL)),
    (9, "presence_stats", Message(CHANNEL)),
    (
        10,
        "history",
        Message(&[
            (1, "channel", Text),
            (7, "limit", Int),
            (8, "since", Message(POSITION)),
            (9, "reverse", Bool),
        ]),
    ),
    (11, "ping", Message(&[])),
    (12, "send", Message(&[(1, "data", Data)])),
    (
        13,
        "rpc",
        Message(&[(1, "data", Data), (2, "method", Text)]),
    ),
    (14, "refresh", Message(&[(1, "token", Text)])),
    (
        15,
        "sub_refresh",
        Message(&[(1, "channel", Text), (2, "token", Text)]),
    ),
];

const INFO: &[Field] = &[
    (1, "user", Text),
    (2, "client", Text),
    (3, "conn_info", Data),
    (4, "chan_info", Data),
];
const PUBLICATION: &[Field] = &[
    (4, "data", Data),
    (5, "info", Message(INFO)),
    (6, "offset", Int),
    (7, "tags", Texts),
    (8, "delta", Bool),
    (9, "time", Int),
    (10, "channel", Text),
];
const SUBSCRIBED: &[Field] = &[
    (1, "expires", Bool),
    (2, "ttl", Int),
    (3, "recoverable", Bool),
    (6, "epoch", Text),
    (7, "publications", List(PUBLICATION)),
    (8, "recovered", Bool),
    (9, "offset", Int),
    (10, "positioned", Bool),
    (11, "data", Data),
    (12, "was_recovering", Bool),
    (13, "delta", Bool),
    (14, "id", Int),
];
const CONNECTED: &[Field] = &[
    (1, "client", Text),
    (2, "version", Text),
    (3, "expires", Bool),
    (4, "ttl", Int),
    (5, "data", Data),
    (6, "subs", Messages(SUBSCRIBED)),
    (7, "ping", Int),
    (8, "pong", Bool),
    (9, "session", Text),
    (10, "node", Text),
    (11, "time", Int),
];
const REFRESHED: &[Field] = &[
    (1, "client", Text),
    (2, "version", Text),
    (3, "expires", Bool),
    (4, "ttl", Int),
];
const JOIN: &[Field] = &[(1, "info", Message(INFO))];
const PUSH: &[Field] = &[
    (2, "channel", Text),
    (4, "pub", Message(PUBLICATION)),
    (5, "join", Message(JOIN)),
    (6, "leave", Message(JOIN)),
    (
        7,
        "unsubscribe",
        Message(&[(2, "code", Int), (3, "reason", Text)]),
    ),
    (8, "message", Message(&[(1, "data", Data)])),
    (
        9,
        "subscribe",
        Message(&[
            (1, "recoverable", Bool),
            (4, "epoch", Text),
            (5, "offset", Int),
            (6, "positioned", Bool),
            (7, "data", Data),
        ]),
    ),
    (10, "connect", Message(CONNECTED)),
    (
        12,
        "refresh",
        Message(&[(1, "expires", Bool), (2, "ttl", Int)]),
    ),
];
const REPLY: &[Field] = &[
    (1, "id", Int),
    (
        2,
        "error",
        Message(&[
            (1, "code", Int),
            (2, "message", Text),
            (3, "temporary", Bool),
        ]),
    ),
    (4, "push", Message(PUSH)),
    (5, "connect", Message(CONNECTED)),
    (6, "subscribe", Message(SUBSCRIBED)),
    (7, "unsubscribe", Message(&[])),
    (8, "publish", Message(&[])),
    (9, "presence", Message(&[(1, "presence", Messages(INFO))])),
    (
        10,
        "presence_stats",
        Message(&[(1, "num_clients", Int), (2, "num_users", Int)]),
    ),
    (
        11,
        "history",
        Message(&[
            (1, "publications", List(PUBLICATION)),
            (2, "epoch", Text),
            (3, "offset", Int),
        ]),
    ),
    (13, "rpc", Message(&[(1, "data", Data)])),
    (14, "refresh", Message(REFRESHED)),
    (
        15,
        "sub_refresh",
        Message(&[(1, "expires", Bool), (2, "ttl", Int)]),
    ),
];

/// How a `bytes` field of these bytes is written in a command.
#[must_use]
pub fn bytes_of(bytes: &[u8]) -> Value {
    json!({"$bytes": STANDARD.encode(bytes)})
}

/// Seven bits a byte, the lowest first.
#[must_use]
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A command with its length in front.
#[track_caller]
pub(super) fn command(command: &Value) -> Vec<u8> {
    let body = message(COMMAND, command);
    [varint(body.len() as u64), body].concat()
}

#[track_caller]
fn message(fields: &'static [Field], value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in value.as_object().expect("an object") {
        let field = fields.iter().find(|(_, of, _)| of == name);
        let (number, _, kind) = field.unwrap_or_else(|| panic!("no field {name:?}"));
        match (kind, value) {
            (Int, value) => {
                let number_of = value.as_u64().or_else(|| value.as_i64().map(|n| n as u64));
                out.extend(varint(number << 3));
                out.extend(varint(number_of.expect("an integer")));
            }
            (Bool, value) => {
                out.extend(varint(number << 3));
                out.push(value.as_bool().expect("a bool").into());
            }
            (Text, value) => put(&mut out, *number, value.as_str().expect("text").as_bytes()),
            (Data, value) => put(&mut out, *number, &bytes(value)),
            (Message(fields), value) => put(&mut out, *number, &message(fields, value)),
            (Messages(_) | Texts, value) => {
                for (key, value) in value.as_object().expect("an object") {
                    let value = match kind {
                        Messages(fields) => message(fields, value),
                        _ => value.as_str().expect("text").as_bytes().to_vec(),
                    };
                    let mut entry = Vec::new();
                    put(&mut entry, 1, key.as_bytes());
                    put(&mut entry, 2, &value);
                    put(&mut out, *number, &entry);
                }
            }
            (List(_), _) => panic!("no command has a list"),
        }
    }
    out
}

fn put(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    out.extend(varint(number << 3 | 2));
    out.extend(varint(bytes.len() as u64));
    out.extend_from_slice(bytes);
}

fn bytes(value: &Value) -> Vec<u8> {
    match value["$bytes"].as_str() {
        Some(encoded) => STANDARD.decode(encoded).expect("base64"),
        None => value.to_string().into_bytes(),
    }
}

/// The objects of a frame, which ends with the last of them.
pub(super) fn replies(mut payload: &[u8]) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    while !payload.is_empty() {
        let body = counted(&mut payload)?;
        found.push(read(REPLY, body)?);
    }
    Ok(found)
}

fn read(fields: &'static [Field], mut body: &[u8]) -> Result<Value, String> {
    let mut object = Map::new();
    while !body.is_empty() {
        let key = number(&mut body)?;
        let field = fields.iter().find(|(number, _, _)| *number == key >> 3);
        let (_, name, kind) = field.ok_or_else(|| format!("no field {}", key >> 3))?;
        let is_varint = matches!(kind, Int | Bool);
        if key & 7 != if is_varint { 0 } else { 2 } {
            return Err(format!("{name}: wire type {}", key & 7));
        }
        let name = (*name).to_owned();
        match kind {
            Int => drop(object.insert(name, number(&mut body)?.into())),
            Bool => drop(object.insert(name, (number(&mut body)? != 0).into())),
            Text => drop(object.insert(name, text(counted(&mut body)?)?.into())),
            Data => drop(object.insert(name, shown(counted(&mut body)?))),
            Message(fields) => drop(object.insert(name, read(fields, counted(&mut body)?)?)),
            List(fields) => {
                let item = read(fields, counted(&mut body)?)?;
                let list = object.entry(name).or_insert_with(|| json!([]));
                list.as_array_mut().expect("a list").push(item);
            }
            Texts | Messages(_) => {
                let mut entry = counted(&mut body)?;
                let (mut key, mut value) = (String::new(), &b""[..]);
                while !entry.is_empty() {
                    match number(&mut entry)? {
                        0x0A => key = text(counted(&mut entry)?)?,
                        0x12 => value = counted(&mut entry)?,
                        other => return Err(format!("key {other} in an entry of {name}")),
                    }
                }
                let value = match kind {
                    Messages(fields) => read(fields, value)?,
                    _ => text(value)?.into(),
                };
                object.entry(name).or_insert_with(|| json!({}))[key] = value;
            }
        }
    }
    Ok(object.into())
}

fn number(body: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = body.split_first().ok_or("a varint that is cut off")?;
        *body = rest;
        value |= u64::from(first & 0x7F) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a varint of more than ten bytes".to_owned())
}

fn counted<'b>(body: &mut &'b [u8]) -> Result<&'b [u8], String> {
    let len = usize::try_from(number(body)?).map_err(|error| error.to_string())?;
    let (piece, rest) = body
        .split_at_checked(len)
        .ok_or_else(|| format!("{len} bytes of {}", body.len()))?;
    *body = rest;
    Ok(piece)
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())
}

fn shown(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| bytes_of(bytes))
}
