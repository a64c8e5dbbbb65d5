//! What is asked of the engine that changes nobody's subscription: histories, presence, lists, orders.
//!
//! Never: looks at an answer, but for sums that are asked for when nothing else is open.

use fanfare_hub::{
    Action, Channel, ChannelPattern, EngineInfo, History, HistoryQuery, Order, Request, Response,
    Since, Target, Ticket,
};

use super::World;
use super::model::Expected;
use super::steps::Who;

impl World {
    pub(super) fn remove_history(&mut self) {
        let channel = self.any_channel();
        let name = self.channels[channel].name.clone();
        let who = self.anyone();
        if let Some(ticket) = self.query(who, self.now, Request::HistoryRemove(name)) {
            self.channels[channel].remove_history();
            self.expect(who, ticket, Expected::HistoryRemoved);
        }
    }

    pub(super) fn order(&mut self) {
        let order = Order {
            target: Target {
                user: "u".into(),
                client: None,
            },
            action: Action::Refresh { expire_at: None },
        };
        if let Some(ticket) = self.query(Who::Api, self.now, Request::Order(order)) {
            self.expect(Who::Api, ticket, Expected::Ordered);
            for worker in &mut self.workers {
                worker.orders += 1;
            }
        }
    }

    pub(super) fn ask(&mut self) {
        let channel = self.any_channel();
        let who = self.anyone();
        let now = self.skewed_now();
        let name = self.channels[channel].name.clone();
        match self.rng.u8(..4) {
            0 => self.read_history(who, now, channel, name),
            1 => {
                let asked = self.query(who, now, Request::Presence(name));
                let listed = self.channels[channel].listed().0;
                self.expect_if(who, asked, Expected::Presence(listed));
            }
            2 => {
                let asked = self.query(who, now, Request::PresenceStats(name));
                let (clients, users) = self.channels[channel].listed();
                let stats = Expected::PresenceStats(clients.len() as u64, users);
                self.expect_if(who, asked, stats);
            }
            _ => {
                let only_it = self.rng.bool();
                let pattern = if only_it { name.as_str() } else { "c*" };
                let pattern = ChannelPattern::parse(pattern).expect("it is short");
                let asked = self.query(who, now, Request::Channels(pattern));
                let channels = self.channels.iter().enumerate();
                let listed = channels
                    .filter(|(n, model)| !model.listening.is_empty() && (!only_it || *n == channel))
                    .map(|(_, model)| {
                        let sum = model.listening.values().map(|n| u64::from(*n)).sum();
                        (model.name.to_string(), sum)
                    })
                    .collect();
                self.expect_if(who, asked, Expected::Channels(listed));
            }
        }
    }

    fn expect_if(&mut self, who: Who, asked: Option<Ticket>, expected: Expected) {
        if let Some(ticket) = asked {
            self.expect(who, ticket, expected);
        }
    }

    fn read_history(&mut self, who: Who, now: u64, channel: usize, name: Channel) {
        let since = self.rng.bool().then(|| {
            let client = self.rng.usize(..self.clients.len());
            let position = self.clients[client].position(channel);
            Since {
                offset: self.rng.u64(..30),
                epoch: position.map(|position| position.epoch),
            }
        });
        let query = HistoryQuery {
            since,
            limit: self.rng.bool().then(|| self.rng.u32(..8)),
            reverse: self.rng.bool(),
        };
        let request = Request::History(History {
            channel: name,
            query,
        });
        let Some(ticket) = self.query(who, now, request) else {
            return;
        };
        self.note("reads");
        let model = &mut self.channels[channel];
        let is_epoch_lost = model.look(now);
        let expected = Expected::History(model.read(query, &self.epochs));
        if is_epoch_lost {
            self.note("epochs_lost");
        }
        self.expect(who, ticket, expected);
    }

    /// Sums over the engine, taken at once.
    pub(super) fn ask_info(&mut self) -> EngineInfo {
        let ticket = Ticket {
            token: 0,
            generation: 0,
        };
        let asked = self.request(Who::Api, self.now, ticket, Request::Info);
        asked.expect("nothing is open");
        match self.take_only_answer() {
            Response::Info(info) => info,
            other => panic!("{other:?}"),
        }
    }
}
