//! One deadline a connection. In: a slot and when to look at it. Out: the slots whose time has come.
//!
//! A hashed wheel of intrusive lists: arming, moving and disarming are O(1) and allocate nothing
//! but a node's place beside the slab. Deadlines that move later are not moved here: the owner looks
//! when the old one fires and arms the next, so that traffic never touches the wheel. A deadline may
//! fire up to two ticks late, never early.
//!
//! Never: reads the clock, knows what a deadline is for.

use crate::clock::Time;

const TICK_MILLIS: u64 = 32;
/// A power of two; one turn is 33 s, and what is further away is passed over once a turn.
const SLOTS: usize = 1024;
const NONE: u32 = u32::MAX;

/// The tick of a slot that is not armed.
const NEVER: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    /// When to look at the slot; its list is this modulo [`SLOTS`].
    tick: u64,
    next: u32,
    prev: u32,
}

impl Node {
    const IDLE: Self = Self {
        tick: NEVER,
        next: NONE,
        prev: NONE,
    };
}

#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Box<[u32; SLOTS]>,
    /// A bit for each list that is not empty.
    occupied: [u64; SLOTS / 64],
    nodes: Vec<Node>,
    /// Lists up to this tick have been looked at.
    done: u64,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            heads: Box::new([NONE; SLOTS]),
            occupied: [0; SLOTS / 64],
            nodes: Vec::new(),
            done: 0,
        }
    }

    /// Moves the deadline of `slot` to `at`; [`Time::NEVER`] disarms it.
    pub(crate) fn arm(&mut self, slot: u32, at: Time) {
        self.disarm(slot);
        if at == Time::NEVER {
            return;
        }
        if self.nodes.len() <= slot as usize {
            self.nodes.resize(slot as usize + 1, Node::IDLE);
        }
        let tick = tick_of(at).max(self.done + 1);
        let list = index(tick);
        let head = self.heads[list];
        self.nodes[slot as usize] = Node {
            tick,
            next: head,
            prev: NONE,
        };
        if head != NONE {
            self.nodes[head as usize].prev = slot;
        }
        self.heads[list] = slot;
        self.occupied[list / 64] |= 1 << (list % 64);
    }

    pub(crate) fn disarm(&mut self, slot: u32) {
        let Some(&Node { tick, next, prev }) = self.nodes.get(slot as usize) else {
            return;
        };
        if tick == NEVER {
            return;
        }
        self.nodes[slot as usize] = Node::IDLE;
        if next != NONE {
            self.nodes[next as usize].prev = prev;
        }
        if prev != NONE {
            self.nodes[prev as usize].next = next;
            return;
        }
        let list = index(tick);
        self.heads[list] = next;
        if next == NONE {
            self.occupied[list / 64] &= !(1 << (list % 64));
        }
    }

    /// Disarms every slot whose time has come and appends it to `expired`.
    pub(crate) fn expire(&mut self, now: Time, expired: &mut Vec<u32>) {
        let now_tick = now.as_millis() / TICK_MILLIS;
        let first = self.done + 1;
        let last = now_tick.min(self.done + SLOTS as u64); // one turn sees every list
        self.done = self.done.max(now_tick);
        for tick in first..=last {
            let mut slot = self.heads[index(tick)];
            while slot != NONE {
                let Node { tick, next, .. } = self.nodes[slot as usize];
                if tick <= now_tick {
                    self.disarm(slot);
                    expired.push(slot);
                }
                slot = next;
            }
        }
    }

    /// When [`expire`](Self::expire) has a list to look at; [`Time::NEVER`] if nothing is armed.
    pub(crate) fn next(&self) -> Time {
        let start = index(self.done + 1);
        // The first word twice: from `start` up, and at the end what is below it.
        let next = (0..=self.occupied.len()).find_map(|step| {
            let word = (start / 64 + step) % self.occupied.len();
            let mask = if step == 0 { !0 << (start % 64) } else { !0 };
            let bits = self.occupied[word] & mask;
            if bits == 0 {
                return None;
            }
            let list = word * 64 + bits.trailing_zeros() as usize;
            let ahead = (list + SLOTS - start) % SLOTS;
            let tick = self.done + 1 + ahead as u64;
            Some(Time::from_millis(tick * TICK_MILLIS))
        });
        next.unwrap_or(Time::NEVER)
    }
}

/// The first tick at or after `at`.
const fn tick_of(at: Time) -> u64 {
    at.as_millis().div_ceil(TICK_MILLIS)
}

#[expect(clippy::cast_possible_truncation, reason = "reduced by SLOTS")]
const fn index(tick: u64) -> usize {
    const { assert!(SLOTS.is_power_of_two()) };
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const TICK: u64 = TICK_MILLIS;

    /// Random arming, moving, disarming and leaps of time, against a map of deadlines.
    #[test]
    fn fires_every_deadline_within_a_tick_and_none_early() {
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let (mut wheel, mut model) = (Wheel::new(), BTreeMap::new());
        let mut now = 0;
        for _ in 0..20_000 {
            let slot = u32::try_from(random(64)).unwrap();
            match random(8) {
                0 => {
                    wheel.disarm(slot);
                    model.remove(&slot);
                }
                1..=4 => {
                    let at = now + random(3 * SLOTS as u64 * TICK);
                    wheel.arm(slot, Time::from_millis(at));
                    model.insert(slot, at);
                }
                _ => {
                    let leaps = [TICK / 2, 20 * TICK, 2 * SLOTS as u64 * TICK];
                    let leap = leaps[usize::try_from(random(3)).unwrap()];
                    now += random(leap);
                    let mut expired = Vec::new();
                    wheel.expire(Time::from_millis(now), &mut expired);
                    for slot in expired {
                        let at = model.remove(&slot).expect("fired once, and only if armed");
                        assert!(at <= now, "{slot} fired at {now}, {at} was asked for");
                    }
                    let late = model.iter().find(|(_, at)| **at + 2 * TICK < now);
                    assert_eq!(late, None, "at {now}");
                }
            }
            let next = wheel.next();
            assert_eq!(next == Time::NEVER, model.is_empty());
            if let Some(&soonest) = model.values().min() {
                let latest = Time::from_millis(soonest.max(now) + 2 * TICK);
                assert!(next <= latest, "oversleeps");
            }
        }
    }
}
