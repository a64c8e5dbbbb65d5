//! What an inbox brings. In: deliveries. Out: news for single connections; what many are told waits for the end
//! of the tick.
//!
//! Never: answers a subscription that has ended.

use fanfare_hub::{
    Activation, Answer, ConnToken, Delivery, EngineError, Recovery, Response, Subscribed,
    SubscriptionId, Ticket,
};
use fanfare_protocol::Number;

use super::check::CHECK;
use super::tick::Item;
use super::{News, PUBLISH, Push, REQUEST, Welcome, conn_of, token};
use crate::clock::Time;
use crate::metrics::Recovered;

impl Push {
    /// Takes one delivery: what a channel's subscribers are told waits, all else is news.
    pub(crate) fn take(&mut self, delivery: Delivery, now: Time) -> Option<News> {
        let is_full = match delivery {
            Delivery::Publication {
                channel,
                publication,
            } => self.keep_publication(&channel, publication),
            Delivery::Join { channel, info } => self.keep_event(&channel, Item::Join(info)),
            Delivery::Leave { channel, info } => self.keep_event(&channel, Item::Leave(info)),
            Delivery::Answer(answer) => return self.take_answer(*answer, now),
            Delivery::Missed(missed) => {
                self.table.miss(&missed);
                false
            }
            Delivery::Order(order) => return Some(News::Order(order)),
        };
        is_full.then_some(News::TickIsFull)
    }

    fn take_answer(&mut self, answer: Answer, now: Time) -> Option<News> {
        let Answer { ticket, outcome } = answer;
        let conn = conn_of(ConnToken(ticket.token));
        if ticket.generation == PUBLISH {
            return outcome.err().map(|error| News::Failed(conn, error));
        }
        if ticket.generation == CHECK {
            self.take_check(ticket.token, outcome);
            return None;
        }
        if let Some(number) = number_of(ticket.generation) {
            return Some(News::Answer(conn, number, outcome));
        }
        match outcome {
            Ok(Response::Subscribed(subscribed)) => self.activate(ticket, subscribed),
            Ok(_) => None,
            Err(error) => self.fail(ticket, error, now),
        }
    }

    /// A subscription came to nothing.
    fn fail(&mut self, ticket: Ticket, error: EngineError, now: Time) -> Option<News> {
        let conn = conn_of(ConnToken(ticket.token));
        let id = SubscriptionId::from_generation(ticket.generation);
        let (_, subscriber) = self.table.subscription(id)?;
        if subscriber.conn() != token(conn) {
            return None; // it has ended, and its slot has another tenant
        }
        let follower = *subscriber.data();
        self.close(id, now);
        Some(if follower.variant.cohort.is_session() {
            News::Answer(conn, follower.terms.number, Err(error))
        } else {
            News::Failed(conn, error)
        })
    }

    fn activate(&mut self, ticket: Ticket, subscribed: Subscribed) -> Option<News> {
        let id = SubscriptionId::from_generation(ticket.generation);
        let follower = *self.table.subscription(id)?.1.data();
        let is_session = follower.variant.cohort.is_session();
        let is_positioned = if is_session {
            follower.terms.is_positioned
        } else {
            // Whoever can't recover is told so, and is not a subscriber that could miss anything.
            !matches!(subscribed.recovery, Recovery::NotRecovered)
        };
        let activation = self
            .table
            .activate(ticket, subscribed.position, is_positioned);
        let Activation::Live { id, channel } = activation else {
            return None;
        };
        let (_, tick, _) = self.table.channel_mut(channel)?;
        let waiting = u32::try_from(tick.len()).unwrap_or(u32::MAX);
        self.table.data_mut(id)?.skips = waiting;
        if waiting > 0 {
            self.joined.push(id);
        }
        match &subscribed.recovery {
            Recovery::Recovered(_) => self.link.metrics.recovers(Recovered::Yes),
            Recovery::NotRecovered => self.link.metrics.recovers(Recovered::No),
            Recovery::NotAsked | Recovery::Last(_) => {}
        }
        let conn = conn_of(ConnToken(ticket.token));
        Some(if is_session {
            News::Subscribed(conn, follower.terms.number, subscribed)
        } else {
            let Subscribed {
                position, recovery, ..
            } = subscribed;
            News::Welcome(conn, Welcome::new(follower.variant, position, recovery))
        })
    }
}

/// The number of a session's request, if a ticket's generation is one.
fn number_of(generation: u64) -> Option<Number> {
    let number = generation.checked_sub(REQUEST)?;
    u32::try_from(number).ok().map(Number)
}
