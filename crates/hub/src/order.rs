//! What the API tells every worker to do to a user's connections. In: an API call. Out: a value that
//! each worker gets once.
//!
//! Never: knows a connection.

use std::sync::Arc;

use bytes::Bytes;

use crate::channel::Channel;
use crate::namespace::ChannelOptions;
use crate::position::Since;
use crate::presence::{ClientId, UserId};
use crate::time::Time;

/// Something to do to connections.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whose.
    pub target: Target,
    /// What.
    pub action: Action,
}

/// Which connections an order is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Those of this user; empty: the anonymous ones.
    pub user: UserId,
    /// Only this one of them.
    pub client: Option<ClientId>,
}

impl Target {
    /// Whether the connection of `user` with the id `client` is meant.
    #[must_use]
    pub fn matches(&self, user: &UserId, client: &ClientId) -> bool {
        self.user == *user && self.client.as_ref().is_none_or(|only| only == client)
    }
}

/// What an order does (PROTOCOL.md, "Server HTTP API").
#[derive(Clone, Debug)]
pub enum Action {
    /// Closes them.
    Disconnect {
        /// The WebSocket close code.
        code: u16,
        /// Never empty: an SDK would take a final code for a temporary one.
        reason: Arc<str>,
    },
    /// Takes a subscription away.
    Unsubscribe {
        /// From which channel; none: from all.
        channel: Option<Channel>,
        /// The unsubscribe code.
        code: u32,
        /// Why.
        reason: Arc<str>,
    },
    /// Gives a server-side subscription.
    Subscribe {
        /// To which channel.
        channel: Channel,
        /// The options of its namespace, with what the call changed of them.
        options: Arc<ChannelOptions>,
        /// What presence says of them in this channel.
        channel_info: Option<Bytes>,
        /// What the subscribe push carries.
        data: Option<Bytes>,
        /// Where to recover from.
        since: Option<Since>,
    },
    /// Changes when their session ends.
    Refresh {
        /// They are closed when; none: never.
        expire_at: Option<Time>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_for_a_user_or_one_of_its_connections() {
        let all = Target {
            user: UserId::from("u"),
            client: None,
        };
        let one = Target {
            client: Some(ClientId::from("c")),
            ..all.clone()
        };
        let cases = [
            ("u", "c", true, true),
            ("u", "d", true, false),
            ("v", "c", false, false),
            ("", "c", false, false),
        ];
        for (user, client, by_all, by_one) in cases {
            let (user, client) = (UserId::from(user), ClientId::from(client));
            assert_eq!(all.matches(&user, &client), by_all, "{user} {client}");
            assert_eq!(one.matches(&user, &client), by_one, "{user} {client}");
        }
    }
}
