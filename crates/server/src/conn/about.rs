//! What is known of few connections. In: whom a proxy names, what the access log wants, what limits count. Out: the
//! same.
//!
//! In one box, and none for a connection of which nothing of this is known: an idle one pays for a pointer.
//!
//! Never: decides what is logged.

use std::net::IpAddr;

use super::pace::{Pace, Room};
use crate::access::Access;
use crate::admission::{Holding, Promise};
use crate::clock::Time;
use crate::config::Bounds;

#[derive(Debug, Default)]
pub(super) struct About(Option<Box<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Whom it is for, if a proxy has said so.
    client: Option<IpAddr>,
    access: Option<Box<Access>>,
    holding: Holding,
    /// Contexts that it may keep between messages.
    promises: [Option<Promise>; 2],
    /// How fast it sends, if it does and may not at will.
    pace: Option<Pace>,
    /// When the compressed message that it is in the middle of has to be whole.
    whole_by: Option<Time>,
}

impl About {
    pub(super) fn new(access: Option<Access>, holding: Holding) -> Self {
        if access.is_none() && holding.is_nothing() {
            return Self::default();
        }
        Self(Some(Box::new(Known {
            access: access.map(Box::new),
            holding,
            ..Known::default()
        })))
    }

    /// A proxy has said whom it is for.
    pub(super) fn know(&mut self, client: IpAddr) {
        let known = self.0.get_or_insert_default();
        known.client = Some(client);
        if let Some(access) = &mut known.access {
            access.is_for(client);
        }
    }

    /// It takes one of the places that its address has.
    pub(super) fn hold(&mut self, holding: Holding) {
        self.0.get_or_insert_default().holding = holding;
    }

    /// What it held, and does not any more.
    pub(super) fn take_holding(&mut self) -> Holding {
        let known = self.0.as_mut();
        known.map_or(Holding::NOTHING, |known| std::mem::take(&mut known.holding))
    }

    /// It may keep these.
    pub(super) fn hold_contexts(&mut self, promises: [Option<Promise>; 2]) {
        if promises.iter().any(Option::is_some) {
            self.0.get_or_insert_default().promises = promises;
        }
    }

    #[inline]
    pub(super) fn pace(&self) -> Option<Pace> {
        self.0.as_ref()?.pace
    }

    /// A read is over that had so much of its room.
    #[inline]
    pub(super) fn settle(&mut self, room: &Room, bounds: &Bounds, now: Time) {
        if let Some(pace) = room.settle(bounds, now) {
            self.0.get_or_insert_default().pace = Some(pace);
        }
    }

    /// A read is over, in the middle of a compressed message or not; one that begins has to be whole `by` then. Whether
    /// one does.
    #[inline]
    pub(super) fn go_half_way(&mut self, is_half_way: bool, by: impl FnOnce() -> Time) -> bool {
        if is_half_way {
            let whole_by = &mut self.0.get_or_insert_default().whole_by;
            let begins = whole_by.is_none();
            whole_by.get_or_insert_with(by);
            return begins;
        }
        if let Some(known) = &mut self.0 {
            known.whole_by = None;
        }
        false
    }

    /// When a message has to be whole, if there is one.
    #[inline]
    pub(super) fn whole_by(&self) -> Time {
        let known = self.0.as_ref().and_then(|known| known.whole_by);
        known.unwrap_or(Time::NEVER)
    }

    pub(super) fn client(&self) -> Option<IpAddr> {
        self.0.as_ref()?.client
    }

    pub(super) fn access(&self) -> Option<&Access> {
        self.0.as_ref()?.access.as_deref()
    }

    #[inline]
    pub(super) fn access_mut(&mut self) -> Option<&mut Access> {
        self.0.as_mut()?.access.as_deref_mut()
    }
}
