//! A session's worker, for one turn of one connection. In: what the session asks for. Out: the table, the
//! engine, other threads; frames in the worker's reply buffer.
//!
//! Never: decides anything; answers a session while it asks.

use std::sync::Arc;

use fanfare_codec::deflate::{Deflaters, FreshWindow};
use fanfare_hub::{Busy, Channel, ClientInfo, Request, Ticket};
use fanfare_protocol::hook::HookCall;
use fanfare_protocol::token::TokenKind;
use fanfare_protocol::{
    ClientError, Encoding, Host, NotSubscribed, Number, Push as News, Reply, Standing, Terms, Wish,
    append_ping,
};

use super::segment::{Cohort, append_message, opcode};
use super::{Push, REQUEST, token};
use crate::clock::Time;
use crate::config::Live;
use crate::exceeded::Exceeded;
use crate::http::hooks::ClientHeaders;
use crate::returns::{Finding, Return, ReturnAddress};
use crate::slab::ConnId;

/// What a session's turn works with.
pub(crate) struct Desk<'t> {
    pub(crate) push: &'t mut Push,
    pub(crate) live: &'t Live,
    pub(crate) conn: ConnId,
    pub(crate) encoding: Encoding,
    /// How what it is told is compressed, if it is.
    pub(crate) window: Option<FreshWindow>,
    pub(crate) deflaters: &'t mut Deflaters,
    /// What the backend is to see of its upgrade.
    pub(crate) headers: &'t mut ClientHeaders,
    pub(crate) replies: &'t mut Vec<u8>,
    pub(crate) now: Time,
}

impl Desk<'_> {
    fn send(&mut self, append: impl FnOnce(&mut Vec<u8>, Encoding)) {
        self.push.link.metrics.replies.add(1);
        let mut object = std::mem::take(&mut self.push.object);
        append(&mut object, self.encoding);
        let opcode = opcode(self.encoding);
        append_message(self.replies, opcode, &object, self.window, self.deflaters);
        object.clear();
        object.shrink_to(OBJECT_BYTES_KEPT);
        self.push.object = object;
    }

    fn address(&self, number: Number) -> ReturnAddress {
        ReturnAddress {
            returns: Arc::clone(&self.push.link.returns),
            conn: self.conn,
            number,
        }
    }
}

/// Of the buffer in which an object is written before its frame's header is known.
const OBJECT_BYTES_KEPT: usize = 64 << 10;

impl Host for Desk<'_> {
    fn standing(&self, channel: &str) -> Option<Standing> {
        let table = &self.push.table;
        let id = table.find(token(self.conn), channel)?;
        let (_, subscriber) = table.subscription(id)?;
        let terms = subscriber.data().terms;
        Some(if subscriber.is_live() {
            Standing::Live(terms)
        } else {
            Standing::Pending(terms)
        })
    }

    fn has_subscribe_hook(&self, channel: &Channel) -> bool {
        self.live.hooks.has_subscribe(channel)
    }

    fn has_publish_hook(&self, channel: &Channel) -> bool {
        self.live.hooks.has_publish(channel)
    }

    fn set_terms(&mut self, channel: &str, terms: Terms) {
        let table = &mut self.push.table;
        let id = table.find(token(self.conn), channel);
        if let Some(follower) = id.and_then(|id| table.data_mut(id)) {
            follower.terms = terms;
        }
    }

    fn for_each(&self, each: &mut dyn FnMut(&Channel, Standing)) {
        let table = &self.push.table;
        for id in table.of(token(self.conn)) {
            if let Some((channel, subscriber)) = table.subscription(id) {
                let terms = subscriber.data().terms;
                let standing = if subscriber.is_live() {
                    Standing::Live(terms)
                } else {
                    Standing::Pending(terms)
                };
                each(channel, standing);
            }
        }
    }

    fn subscribe(&mut self, wish: Wish<'_>) -> Result<(), NotSubscribed> {
        let cohort = Cohort::Session {
            encoding: self.encoding,
            joins: wish.terms.gets_join_leave,
        };
        let variant = cohort.told(self.window);
        self.push.subscribe(self.conn, variant, wish, self.now)
    }

    fn unsubscribe(&mut self, channel: &str) -> bool {
        let Some(id) = self.push.table.find(token(self.conn), channel) else {
            return false;
        };
        self.push.close(id, self.now);
        true
    }

    fn request(&mut self, number: Number, request: Request) -> Result<(), Busy> {
        if let Request::Publish(publish) = &request {
            self.push.count_publish(publish.payload.bytes().len());
        }
        let ticket = Ticket {
            token: token(self.conn).0,
            generation: REQUEST | u64::from(number.0),
        };
        self.push.request(Some(ticket), request, self.now)
    }

    fn verify(&mut self, number: Number, kind: TokenKind, token: String) -> Result<(), Busy> {
        let link = &self.push.link;
        let now = link.clock.for_hub(self.now);
        let Some(verified) = link.tokens.verify_now(Some(kind), &token, now) else {
            let to = self.address(number);
            return link.tokens.verify(Some(kind), token, now, to);
        };
        self.push.found.push(Return {
            conn: self.conn,
            number,
            finding: Finding::Verified(verified.map(|(_, claims)| claims)),
        });
        Ok(())
    }

    fn call(&mut self, number: Number, call: HookCall) -> Result<(), Busy> {
        let to = self.address(number);
        let hooks = &self.push.link.hooks;
        hooks.call(&self.live.hooks, call, self.headers, to)
    }

    fn enter(&mut self, info: &Arc<ClientInfo>) -> bool {
        self.push.enter(self.conn, info)
    }

    fn leave(&mut self, info: &ClientInfo) {
        self.push.give_back(self.conn, info);
    }

    fn reply(&mut self, reply: &Reply<'_>) {
        if matches!(&reply.outcome, Err(error) if error.code == ClientError::TOO_MANY_REQUESTS.code)
        {
            self.push.link.metrics.exceeds(Exceeded::Commands);
        }
        self.send(|out, encoding| reply.append_to(out, encoding));
    }

    fn push(&mut self, news: &News<'_>) {
        self.send(|out, encoding| news.append_to(out, encoding));
    }

    fn ping(&mut self) {
        self.send(append_ping);
    }
}
