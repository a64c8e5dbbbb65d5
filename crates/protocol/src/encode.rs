//! What a client is told, in bytes. In: a reply or a push, and a wire. Out: one object, appended.
//!
//! Never: writes what stands between two objects of a JSON frame: whoever joins them does.

use crate::message::{Encoding, Push, Reply};
use crate::{json, protobuf};

impl Reply<'_> {
    /// Appends it as one object: JSON without a newline; Protobuf behind its length as a varint.
    ///
    /// Data of tokens and of the backend that is no JSON stands on the JSON wire as a string in base64.
    pub fn append_to(&self, out: &mut Vec<u8>, encoding: Encoding) {
        match encoding {
            Encoding::Json => json::append_reply(out, self),
            Encoding::Protobuf => protobuf::append_reply(out, self),
        }
    }
}

impl Push<'_> {
    /// Appends it as one object, as [`Reply::append_to`] does.
    ///
    /// On the JSON wire a payload is its JSON, its text as a string, or its bytes as a string in base64; on
    /// the Protobuf wire it is its bytes.
    pub fn append_to(&self, out: &mut Vec<u8>, encoding: Encoding) {
        match encoding {
            Encoding::Json => json::append_push(out, self),
            Encoding::Protobuf => protobuf::append_push(out, self),
        }
    }
}

/// Appends a ping: an empty object.
pub fn append_ping(out: &mut Vec<u8>, encoding: Encoding) {
    out.extend_from_slice(match encoding {
        Encoding::Json => b"{}",
        Encoding::Protobuf => &[0],
    });
}
