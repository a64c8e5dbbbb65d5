//! What the inbox brings. In: batches of deliveries. Out: turns for connections that are meant alone, and a
//! `send` for each subscriber of a channel that has news.
//!
//! Never: encodes; keeps a delivery for later.

use std::time::Duration;

use fanfare_codec::CloseCode;
use fanfare_hub::{Action, Batch, Order, Upkeep};

use super::Reactor;
use crate::clock::Time;
use crate::codes;
use crate::conn::{Conn, Fate, Told, Why};
use crate::limits::BATCHES_PER_TURN_MAX;
use crate::push::{CHECK_INTERVAL, Meant, News};
use crate::service::Service;
use crate::slab::ConnId;

/// How often the first worker lets the engine forget what is past its time.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The same while more is past its time than one call takes.
const UPKEEP_INTERVAL_BUSY: Duration = Duration::from_millis(5);

/// What comes through the inbox.
pub(super) struct Deliveries {
    batch: Batch,
    /// More may wait, and nothing will wake the worker for it.
    pub(super) are_left: bool,
    /// Subscribers that a tick has found to be too slow, or gone.
    troubled: Vec<(ConnId, Trouble)>,
    /// Those with news of several channels in this tick: they are sent them at its end.
    gathered: Vec<ConnId>,
    /// When the engine gets its next tick; never, from this worker, if it is not the first.
    pub(super) upkeep_at: Option<Time>,
    /// When positions are checked next.
    pub(super) check_at: Time,
}

impl Deliveries {
    /// `upkeep_at`: when the engine gets its first tick from this worker; none: from another. `check_at`: when
    /// positions are checked first.
    pub(super) fn new(upkeep_at: Option<Time>, check_at: Time) -> Self {
        Self {
            upkeep_at,
            check_at,
            batch: Batch::default(),
            are_left: false,
            troubled: Vec::new(),
            gathered: Vec::new(),
        }
    }
}

impl Deliveries {
    /// Joins and leaves that did not fit the inbox.
    pub(super) const fn events_lost(&self) -> u64 {
        self.batch.events_lost()
    }
}

enum Trouble {
    TooSlow,
    Gone(Why),
}

impl Reactor {
    /// Takes what the inbox holds, tells subscribers, and does what it says of single connections.
    pub(super) fn deliver(&mut self) {
        self.deliveries.are_left = self.hand_in();
        for _ in 0..BATCHES_PER_TURN_MAX {
            let Service::Push(push) = &mut self.service else {
                return;
            };
            if let Some(at) = self.deliveries.upkeep_at
                && at <= self.now
            {
                let interval = match push.tick_engine(self.now) {
                    Upkeep::Done => UPKEEP_INTERVAL,
                    Upkeep::More => UPKEEP_INTERVAL_BUSY,
                };
                self.deliveries.upkeep_at = Some(self.now + interval);
            }
            if self.deliveries.check_at <= self.now {
                push.check_positions(self.now);
                self.deliveries.check_at = self.now + CHECK_INTERVAL;
            }
            if !push.drain(&mut self.deliveries.batch) {
                return;
            }
            self.hand_out();
        }
        self.deliveries.are_left = true;
    }

    /// Before a flood of its own connections fills the inbox: they are read no faster than they are told.
    #[inline]
    pub(super) fn deliver_if_crowded(&mut self) {
        if let Service::Push(push) = &mut self.service
            && push.is_crowded()
            && push.drain(&mut self.deliveries.batch)
        {
            self.hand_out();
        }
    }

    /// What other threads have found out for connections. True: more than a turn has time for.
    fn hand_in(&mut self) -> bool {
        let Service::Push(push) = &self.service else {
            return false;
        };
        let (taken, are_left) = push.take_returns();
        for found in taken {
            self.turn(found.conn, |conn, cx| conn.on_found(found, cx));
        }
        are_left
    }

    fn hand_out(&mut self) {
        while let Some(delivery) = self.deliveries.batch.next() {
            let Service::Push(push) = &mut self.service else {
                return;
            };
            match push.take(delivery, self.now) {
                None => {}
                Some(News::Welcome(id, welcome)) => {
                    self.turn(id, |conn, cx| conn.on_welcome(welcome, cx));
                }
                Some(News::Subscribed(id, number, subscribed)) => {
                    self.turn(id, |conn, cx| conn.on_subscribed(number, subscribed, cx));
                }
                Some(News::Answer(id, number, outcome)) => {
                    self.turn(id, |conn, cx| conn.on_answer(number, outcome, cx));
                }
                Some(News::Failed(id, error)) => {
                    self.turn(id, |conn, cx| conn.on_failed(error, cx))
                }
                Some(News::Order(order)) => {
                    self.fan_out(); // what was published before it is told before it
                    self.obey(&order);
                }
                Some(News::TickIsFull) => self.fan_out(),
            }
        }
        while let Service::Push(push) = &mut self.service
            && let Some(missed) = push.next_insufficient(self.now)
        {
            self.turn(missed.conn, |conn, cx| conn.on_missed(&missed, cx));
        }
        self.fan_out();
    }

    /// Ends a tick: one `send` for each subscriber that is not behind.
    fn fan_out(&mut self) {
        let Service::Push(push) = &mut self.service else {
            return;
        };
        let (conns, wheel, config) = (&mut self.conns, &mut self.wheel, &self.config);
        let metrics = &*self.metrics;
        let Deliveries {
            troubled, gathered, ..
        } = &mut self.deliveries;
        let now = self.now;
        let cap = config.output_bytes_max_now(&self.all_metrics);
        push.fan_out(self.deflate.deflaters(), |id, share| {
            let Some(conn) = conns.get_mut(id) else {
                return;
            };
            let before = conn.load();
            let told = conn.tell(share, cap, metrics, now);
            let after = conn.load();
            if before != after {
                metrics.changes(before, after);
            }
            match told {
                Told::All => {}
                Told::Later => {
                    if let Some(at) = conn.nearer_deadline(config) {
                        wheel.arm(id.slot(), at);
                    }
                }
                Told::WithOthers => gathered.push(id),
                Told::TooSlow => troubled.push((id, Trouble::TooSlow)),
                Told::Gone(why) => troubled.push((id, Trouble::Gone(why))),
            }
        });
        while let Some(id) = self.deliveries.gathered.pop() {
            self.turn(id, Conn::send_tick);
        }
        while let Some((id, trouble)) = self.deliveries.troubled.pop() {
            self.turn(id, |conn, cx| match trouble {
                Trouble::TooSlow => conn.on_too_slow(cx),
                Trouble::Gone(why) => Fate::Gone(why),
            });
        }
        if let Service::Push(push) = &mut self.service {
            push.count_flushed();
        }
    }

    /// Does what the API wants to the connections that it means.
    fn obey(&mut self, order: &Order) {
        let Service::Push(push) = &self.service else {
            return;
        };
        let meant = match push.meant(&order.target) {
            Meant::These(ids) => ids,
            Meant::Anonymous => self.conns.ids().collect(),
        };
        for id in meant {
            let (Some(conn), Service::Push(push)) = (self.conns.get_mut(id), &self.service) else {
                continue;
            };
            if conn.is_session() && conn.info().is_none() && order.target.client.is_none() {
                continue; // it is nobody's yet
            }
            let user = conn.info().map_or("", |info| info.user.as_str());
            if user != order.target.user.as_str() {
                continue;
            }
            if conn.is_session() {
                self.turn(id, |conn, cx| conn.on_order(&order.action, cx));
                continue;
            }
            if !conn.is_subscriber() {
                continue;
            }
            match &order.action {
                Action::Disconnect { code, reason } => {
                    self.turn(id, |conn, cx| conn.close(CloseCode(*code), reason, cx));
                }
                // Its channel is all that a raw client is here for.
                Action::Unsubscribe { channel, .. } if push.is_subscribed(id, channel.as_ref()) => {
                    let code = codes::FORCE_DISCONNECT;
                    self.turn(id, |conn, cx| conn.close(code, "unsubscribed", cx));
                }
                Action::Unsubscribe { .. } | Action::Subscribe { .. } | Action::Refresh { .. } => {}
            }
        }
    }
}
