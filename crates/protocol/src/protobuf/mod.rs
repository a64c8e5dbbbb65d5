//! The Protobuf wire. In: messages, replies, pushes. Out: commands, messages behind their lengths.
//!
//! Never: believes a length that goes beyond what has arrived.

mod decode;
mod encode;
mod schema;
#[cfg(test)]
mod tests;

pub(crate) use decode::{decode_command, split_first};
pub(crate) use encode::{append_push, append_reply};
