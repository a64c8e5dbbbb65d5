//! A session's host on the real hub, for one turn. In: what the session asks for. Out: the table, and requests, tokens
//! and calls that wait in the [`World`].
//!
//! Never: answers a session while it asks.

use std::collections::HashSet;
use std::sync::Arc;

use fanfare_hub::*;

use super::told::Told;
use super::world::{Conn, REQUEST, Seat, World};
use crate::hook::HookCall;
use crate::message::{Push, Reply};
use crate::session::{Host, NotSubscribed, Number, Session, Standing, Terms, Wish};
use crate::token::TokenKind;

/// A turn of one connection.
pub(super) struct Desk<'w> {
    pub(super) world: &'w mut World,
    pub(super) conn: Conn,
}

impl Desk<'_> {
    const fn token(&self) -> ConnToken {
        ConnToken(self.conn as u64)
    }

    fn told(&mut self, told: Told) {
        self.world.seats[self.conn].told.push(told);
    }

    fn busy(&self) -> Result<(), Busy> {
        if self.world.is_busy {
            Err(Busy)
        } else {
            Ok(())
        }
    }

    fn is_hooked(&self, channel: &Channel, hooks: &HashSet<&'static str>) -> bool {
        channel.namespace().is_some_and(|name| hooks.contains(name))
    }
}

impl Host for Desk<'_> {
    fn standing(&self, channel: &str) -> Option<Standing> {
        let id = self.world.table.find(self.token(), channel)?;
        let (_, subscriber) = self.world.table.subscription(id)?;
        Some(if subscriber.is_live() {
            Standing::Live(*subscriber.data())
        } else {
            Standing::Pending(*subscriber.data())
        })
    }

    fn has_subscribe_hook(&self, channel: &Channel) -> bool {
        self.is_hooked(channel, &self.world.settings.subscribe_hooks)
    }

    fn has_publish_hook(&self, channel: &Channel) -> bool {
        self.is_hooked(channel, &self.world.settings.publish_hooks)
    }

    fn set_terms(&mut self, channel: &str, terms: Terms) {
        let id = self.world.table.find(self.token(), channel).unwrap();
        *self.world.table.data_mut(id).unwrap() = terms;
    }

    fn for_each(&self, each: &mut dyn FnMut(&Channel, Standing)) {
        for id in self.world.table.of(self.token()) {
            let (channel, _) = self.world.table.subscription(id).unwrap();
            each(channel, self.standing(channel.as_str()).unwrap());
        }
    }

    fn subscribe(&mut self, wish: Wish<'_>) -> Result<(), NotSubscribed> {
        self.busy().map_err(|_| NotSubscribed::Busy)?;
        assert!(wish.terms.is_positioned || !wish.terms.is_recoverable);
        let opened = self
            .world
            .table
            .open(self.token(), wish.channel, wish.terms);
        let opened = opened.map_err(NotSubscribed::Refused)?;
        let ticket = Ticket {
            token: self.token().0,
            generation: opened.id.generation(),
        };
        let request = Request::Subscribe(Subscribe {
            channel: wish.channel.clone(),
            subscribers: opened.subscribers,
            retention: wish.options.retention(),
            catch_up: wish.catch_up,
            member: wish.terms.is_member.then(|| Member {
                info: Arc::clone(&wish.info),
                is_listed: wish.options.presence,
                is_announced: wish.options.join_leave,
            }),
        });
        self.world.requests.push((Some(ticket), request));
        Ok(())
    }

    fn unsubscribe(&mut self, channel: &str) -> bool {
        let Some(id) = self.world.table.find(self.token(), channel) else {
            return false;
        };
        self.world.close(id, self.conn).is_some()
    }

    fn request(&mut self, number: Number, request: Request) -> Result<(), Busy> {
        self.busy()?;
        let ticket = Ticket {
            token: self.token().0 | REQUEST,
            generation: u64::from(number.0),
        };
        self.world.requests.push((Some(ticket), request));
        Ok(())
    }

    fn verify(&mut self, number: Number, kind: TokenKind, token: String) -> Result<(), Busy> {
        self.busy()?;
        self.world.verifies.push((self.conn, number, kind, token));
        Ok(())
    }

    fn call(&mut self, number: Number, call: HookCall) -> Result<(), Busy> {
        self.busy()?;
        self.world.calls.push((self.conn, number, call));
        Ok(())
    }

    fn enter(&mut self, info: &Arc<ClientInfo>) -> bool {
        let of_user = |seat: &&Seat| {
            let session = seat.session.as_ref();
            session
                .and_then(Session::info)
                .is_some_and(|other| other.user == info.user)
        };
        self.world.seats.iter().filter(of_user).count() < self.world.users_max
    }

    fn leave(&mut self, info: &ClientInfo) {
        self.world.left.push(info.user.as_str().to_owned());
    }

    fn reply(&mut self, reply: &Reply<'_>) {
        self.told(Told::from(reply));
    }

    fn push(&mut self, push: &Push<'_>) {
        self.told(Told::from(push));
    }

    fn ping(&mut self) {
        self.told(Told::Ping);
    }
}
