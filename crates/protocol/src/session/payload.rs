//! What a client publishes, as the hub keeps it. In: the data of a command. Out: a payload.
//!
//! Never: lets a raw newline of JSON through: it would end an object on another client's wire.

use bytes::Bytes;
use fanfare_hub::Payload;
use serde_json::value::RawValue;

use crate::message::Encoding;

/// None: it is not what the wire says it is.
pub(super) fn of(encoding: Encoding, data: Bytes) -> Option<Payload> {
    let json = serde_json::from_slice::<&RawValue>(&data);
    match (json, encoding) {
        (Ok(json), _) => Some(Payload::json(json.get().replace(['\n', '\r'], ""))),
        (Err(_), Encoding::Json) => None,
        (Err(_), Encoding::Protobuf) => Some(Payload::binary(data)),
    }
}
