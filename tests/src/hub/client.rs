//! A client: what it was sent and has not read, and how far it has read each channel. In: what its worker
//! sends. Out: a panic if it sees a hole that nobody told it of.
//!
//! Never: knows what was published.

use std::collections::{HashMap, VecDeque};

use fanfare_hub::{ConnToken, Position};

use super::World;

/// Something that a client was sent.
#[derive(Debug)]
pub(super) enum Sent {
    /// The reply to a subscribe: what it recovered, and where it stands now.
    Reply {
        channel: usize,
        /// None: it starts at the position.
        recovered: Option<Vec<Position>>,
        position: Option<Position>,
    },
    Publication {
        channel: usize,
        position: Option<Position>,
    },
}

/// A connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) worker: usize,
    pub(super) token: ConnToken,
}

/// A client that keeps its positions over all its connections.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) connection: Option<Connection>,
    pub(super) outbox: VecDeque<Sent>,
    positions: HashMap<usize, Position>,
}

impl Client {
    pub(super) fn position(&self, channel: usize) -> Option<Position> {
        self.positions.get(&channel).copied()
    }

    /// Reads one thing. Out: whether there was one.
    fn read(&mut self) -> bool {
        let Some(sent) = self.outbox.pop_front() else {
            return false;
        };
        match sent {
            Sent::Reply {
                channel,
                recovered,
                position,
            } => {
                for position in recovered.iter().flatten() {
                    self.step(channel, *position);
                }
                if recovered.is_some() && self.positions.contains_key(&channel) {
                    assert_eq!(self.position(channel), position, "recovery ends elsewhere");
                }
                match position {
                    Some(position) => self.positions.insert(channel, position),
                    None => self.positions.remove(&channel),
                };
            }
            Sent::Publication { channel, position } => {
                if let Some(position) = position {
                    self.step(channel, position);
                }
            }
        }
        true
    }

    /// The next offset, if it knows where it was.
    fn step(&mut self, channel: usize, position: Position) {
        if let Some(last) = self.positions.insert(channel, position) {
            assert_eq!(last.epoch, position.epoch, "another epoch, untold");
            assert_eq!(
                last.offset + 1,
                position.offset,
                "a hole or a repetition, untold"
            );
        }
    }
}

impl World {
    /// A client reads some of what it was sent.
    pub(super) fn read_some(&mut self, client: usize) {
        for _ in 0..self.rng.usize(1..12) {
            if !self.clients[client].read() {
                return;
            }
        }
    }

    pub(super) fn read_all(&mut self, client: usize) {
        while self.clients[client].read() {}
    }
}
