//! The JSON wire. In: lines, replies, pushes. Out: commands, objects.
//!
//! Never: builds a tree of values; writes a newline.

mod decode;
mod encode;
mod object;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use decode::decode_command;
pub(crate) use encode::{append_push, append_reply};
pub use object::{Object, present};
