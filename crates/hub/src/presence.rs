//! Who is in a channel. In: members that come and go. Out: who is there, how many, and whether others
//! are to be told.
//!
//! Never: expires anybody: a member leaves with its subscription.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::limits::{MEMBERS_MAX, PRESENCE_LISTED_MAX};

macro_rules! shared_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

shared_text! {
    /// A client's id, one a connection. A clone shares the text.
    ClientId
}

shared_text! {
    /// A user's id; empty: anonymous. A clone shares the text.
    UserId
}

impl UserId {
    /// Whether there is no user.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.0.is_empty()
    }
}

/// What others are told about a client (the Centrifuge protocol's `ClientInfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its user.
    pub user: UserId,
    /// Its id.
    pub client: ClientId,
    /// JSON of its connection, from its token.
    pub connection_info: Option<Bytes>,
    /// JSON of its subscription, from that one's token.
    pub channel_info: Option<Bytes>,
}

/// A subscriber that others may learn of.
#[derive(Clone, Debug)]
pub struct Member {
    /// What they learn.
    pub info: Arc<ClientInfo>,
    /// It is listed in presence.
    pub is_listed: bool,
    /// Others are told when it comes and goes.
    pub is_announced: bool,
}

/// The clients in a channel, in no order.
pub type Roster = Vec<Arc<ClientInfo>>;

/// How many are in a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// Clients that are listed.
    pub clients: u64,
    /// Different users among them.
    pub users: u64,
}

/// More members than [`MEMBERS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyMembers;

/// The members of one channel.
#[derive(Debug, Default)]
pub(crate) struct Members {
    by_client: HashMap<ClientId, Member>,
    /// Clients that are listed, of each user.
    listed: HashMap<UserId, u32>,
    listed_clients: u64,
}

impl Members {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    /// Whether `client` may come: there is room, or it is here already.
    pub(crate) fn admits(&self, client: &ClientId) -> Result<(), TooManyMembers> {
        if self.by_client.len() < MEMBERS_MAX || self.by_client.contains_key(client) {
            Ok(())
        } else {
            Err(TooManyMembers)
        }
    }

    /// Takes a member in. Out: whom to announce, if it was not here before.
    pub(crate) fn join(&mut self, member: Member) -> Option<Arc<ClientInfo>> {
        let announced = member.is_announced.then(|| Arc::clone(&member.info));
        if member.is_listed {
            self.list(&member.info.user);
        }
        let before = self.by_client.insert(member.info.client.clone(), member);
        match before {
            None => announced,
            Some(before) => {
                if before.is_listed {
                    self.unlist(&before.info.user);
                }
                announced.filter(|_| !before.is_announced)
            }
        }
    }

    /// Lets a member go. Out: whose leave to announce.
    pub(crate) fn leave(&mut self, client: &ClientId) -> Option<Arc<ClientInfo>> {
        let member = self.by_client.remove(client)?;
        if member.is_listed {
            self.unlist(&member.info.user);
        }
        member.is_announced.then_some(member.info)
    }

    /// Everyone who is listed; none if they are more than one answer holds.
    pub(crate) fn roster(&self) -> Option<Roster> {
        let count = usize::try_from(self.listed_clients).ok()?;
        if count > PRESENCE_LISTED_MAX {
            return None;
        }
        let listed = self.by_client.values().filter(|member| member.is_listed);
        Some(listed.map(|member| Arc::clone(&member.info)).collect())
    }

    pub(crate) fn stats(&self) -> PresenceStats {
        PresenceStats {
            clients: self.listed_clients,
            users: self.listed.len() as u64,
        }
    }

    fn list(&mut self, user: &UserId) {
        *self.listed.entry(user.clone()).or_default() += 1;
        self.listed_clients += 1;
    }

    fn unlist(&mut self, user: &UserId) {
        self.listed_clients -= 1;
        if let Some(clients) = self.listed.get_mut(user) {
            *clients -= 1;
            if *clients == 0 {
                self.listed.remove(user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(user: &str, client: &str, is_listed: bool, is_announced: bool) -> Member {
        Member {
            info: Arc::new(ClientInfo {
                user: user.into(),
                client: client.into(),
                connection_info: None,
                channel_info: None,
            }),
            is_listed,
            is_announced,
        }
    }

    fn stats(clients: u64, users: u64) -> PresenceStats {
        PresenceStats { clients, users }
    }

    #[test]
    fn clients_and_users_are_counted_apart() {
        let mut members = Members::default();
        for (user, client) in [("u", "1"), ("u", "2"), ("v", "3")] {
            assert!(members.join(member(user, client, true, false)).is_none());
        }
        assert_eq!(members.stats(), stats(3, 2));
        assert!(members.leave(&"1".into()).is_none());
        assert_eq!(members.stats(), stats(2, 2));
        assert!(members.leave(&"2".into()).is_none());
        assert_eq!(members.stats(), stats(1, 1));
        let roster = members.roster().unwrap();
        assert_eq!(roster.len(), 1);
        assert_eq!(roster[0].client.as_str(), "3");
        assert!(members.leave(&"2".into()).is_none(), "gone is gone");
        members.leave(&"3".into());
        assert!(members.is_empty());
        assert_eq!(members.stats(), stats(0, 0));
    }

    #[test]
    fn only_the_announced_are_announced_once() {
        let mut members = Members::default();
        assert!(members.join(member("u", "1", false, true)).is_some());
        assert!(
            members.join(member("u", "1", true, true)).is_none(),
            "again"
        );
        assert!(members.join(member("u", "2", true, false)).is_none());
        assert_eq!(members.stats(), stats(2, 1));
        assert!(members.leave(&"1".into()).is_some());
        assert!(members.leave(&"1".into()).is_none());
        assert!(members.leave(&"2".into()).is_none());
    }

    #[test]
    fn a_client_that_comes_again_is_counted_as_it_came_last() {
        let mut members = Members::default();
        members.join(member("u", "1", true, false));
        members.join(member("v", "1", true, false));
        assert_eq!(members.stats(), stats(1, 1));
        members.join(member("v", "1", false, false));
        assert_eq!(members.stats(), stats(0, 0));
        assert_eq!(members.roster(), Some(vec![]));
        assert!(!members.is_empty());
    }

    #[test]
    fn a_roster_past_its_cap_is_refused_and_the_counts_are_not() {
        let mut members = Members::default();
        for n in 0..PRESENCE_LISTED_MAX {
            members.join(member("u", &n.to_string(), true, false));
        }
        assert_eq!(members.roster().map(|r| r.len()), Some(PRESENCE_LISTED_MAX));
        members.join(member("v", "one more", true, false));
        assert_eq!(members.roster(), None);
        assert_eq!(members.stats(), stats(PRESENCE_LISTED_MAX as u64 + 1, 2));
    }
}
