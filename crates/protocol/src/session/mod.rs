//! One client's session. In: commands, answers, orders, the time. Out: what its [`Host`] is asked for.
//!
//! Never: reads a clock; touches a socket; keeps a list of its subscriptions: its host's table is the truth.

mod host;
mod terms;

pub use host::{ClientSettings, Host, NotSubscribed, Number, Rules, Standing, Taken, Wish};
pub use terms::{Origin, Terms};

/// The state of one client.
#[derive(Debug)]
pub struct Session {}
