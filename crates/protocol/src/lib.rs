//! The Centrifuge client protocol v2 without I/O: what clients ask, what they are told, who they are, and
//! the session that decides.
//!
//! | want | take |
//! |---|---|
//! | what a frame asks | [`Commands`], which gives one [`Command`] after the other |
//! | a frame's bytes | [`Reply`] and [`Push`], written in an [`Encoding`]; [`append_ping`] |
//! | what a client published, to keep | [`data::payload`] |
//! | who a client is | `token::Verifier` |
//! | how much it may have a second | [`Allowance`] |
//! | what to do about all of that | [`Session`], which asks its [`Host`] |
//!
//! Time is an argument, and nothing here knows a socket, so a session replays from a seed.
//!
//! Never: opens a socket, reads a clock, starts a thread, knows what a WebSocket frame is.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod allowance;
mod codes;
mod command;
mod commands;
pub mod data;
mod encode;
pub mod hook;
mod json;
pub mod limits;
mod message;
mod protobuf;
#[cfg(test)]
mod samples;
mod session;
pub mod token;

pub use allowance::Allowance;
pub use codes::{ClientError, Disconnect, Unsubscribed};
pub use command::{
    Command, Connect, History, Method, Position, Publish, Refresh, Rpc, SubRefresh, Subscribe,
};
pub use commands::{Commands, Malformed};
pub use encode::append_ping;
pub use json::{Object, present};
pub use message::{
    ConnectResult, Encoding, Expiry, Outcome, Push, Reply, Subscription, SubscriptionResult,
};
pub use session::{
    ClientSettings, Host, NotSubscribed, Number, Origin, PingKind, Rules, Session, Standing, Taken,
    Terms, Wish,
};
