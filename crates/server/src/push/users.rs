//! Whose the connections are. In: connections that come and go. Out: those of a user, and how many a user has on
//! all workers.
//!
//! Never: counts anonymous connections: they are not one user's.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use fanfare_hub::UserId;

use crate::slab::ConnId;

/// The connections of one worker, by user.
#[derive(Debug, Default)]
pub(super) struct Users(HashMap<UserId, Held>);

/// A user's connections; most have one.
#[derive(Debug)]
#[expect(
    clippy::box_collection,
    reason = "every user with one connection would pay for the set's size"
)]
enum Held {
    One(ConnId),
    Many(Box<HashSet<ConnId>>),
}

impl Users {
    pub(super) fn insert(&mut self, user: &UserId, conn: ConnId) {
        if user.is_anonymous() {
            return;
        }
        match self.0.entry(user.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Held::One(conn));
            }
            Entry::Occupied(mut held) => match held.get_mut() {
                Held::One(first) => {
                    let both = HashSet::from([*first, conn]);
                    held.insert(Held::Many(Box::new(both)));
                }
                Held::Many(conns) => {
                    conns.insert(conn);
                }
            },
        }
    }

    /// False: it was not there.
    pub(super) fn remove(&mut self, user: &UserId, conn: ConnId) -> bool {
        let (was_there, is_last) = match self.0.get_mut(user) {
            None => (false, false),
            Some(Held::One(one)) => (*one == conn, *one == conn),
            Some(Held::Many(conns)) => (conns.remove(&conn), conns.is_empty()),
        };
        if is_last {
            self.0.remove(user);
        }
        was_there
    }

    pub(super) fn of(&self, user: &UserId) -> Vec<ConnId> {
        match self.0.get(user) {
            None => Vec::new(),
            Some(Held::One(conn)) => vec![*conn],
            Some(Held::Many(conns)) => conns.iter().copied().collect(),
        }
    }
}

/// How many connections each user has, on all workers.
#[derive(Debug, Default)]
pub(crate) struct Census(Mutex<HashMap<UserId, u32>>);

impl Census {
    /// Counts one more; false, and it does not, if the user has `max` already.
    pub(super) fn enter(&self, user: &UserId, max: Option<u32>) -> bool {
        if user.is_anonymous() {
            return true;
        }
        let mut users = self.lock();
        let count = users.entry(user.clone()).or_default();
        if max.is_some_and(|max| *count >= max) {
            return false; // there is one at least, so the entry is no empty one
        }
        *count += 1;
        true
    }

    pub(super) fn leave(&self, user: &UserId) {
        let mut users = self.lock();
        if let Some(count) = users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                users.remove(user);
            }
        }
    }

    /// Users that are there.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, u32>> {
        self.0
            .lock()
            .expect("nothing under this lock panics but for want of memory")
    }
}

#[cfg(test)]
mod tests {
    use mio::Token;

    use super::*;

    #[test]
    fn a_user_has_its_connections_and_no_other() {
        let (ada, bob) = (UserId::from("ada"), UserId::from("bob"));
        let conns: Vec<ConnId> = (0..3).map(|n| ConnId::from(Token(n))).collect();
        let mut users = Users::default();
        for conn in &conns[..2] {
            users.insert(&ada, *conn);
        }
        users.insert(&bob, conns[2]);
        users.insert(&UserId::from(""), conns[0]);
        assert_eq!(users.of(&ada).len(), 2);
        assert!(users.remove(&ada, conns[0]) && !users.remove(&ada, conns[0]));
        assert!(!users.remove(&ada, conns[2]), "another's");
        assert_eq!(users.of(&ada), &conns[1..2]);
        assert!(users.remove(&ada, conns[1]) && users.remove(&bob, conns[2]));
        assert!(users.0.is_empty());
    }

    #[test]
    fn a_user_has_no_more_connections_than_it_may() {
        let census = Census::default();
        let ada = UserId::from("ada");
        assert!(census.enter(&ada, Some(2)) && census.enter(&ada, Some(2)));
        assert!(!census.enter(&ada, Some(2)));
        assert!(census.enter(&ada, None));
        assert!(census.enter(&UserId::from(""), Some(1)));
        assert_eq!(census.len(), 1);
        for _ in 0..3 {
            census.leave(&ada);
        }
        assert_eq!(census.len(), 0);
    }
}
