//! What of a session waits for an answer. In: what was asked. Out: the same, once, by its number.
//!
//! Never: allocates while nothing waits; gives something out twice.

use fanfare_hub::Channel;

use super::Number;
use super::join::Joining;
use super::publish::Publishing;
use super::subscribe::Asked;
use crate::codes::Unsubscribed;

/// What is waited for.
#[derive(Debug)]
pub(super) enum Waits {
    /// connect: its token is verified.
    ConnectToken,
    /// connect: the backend is asked.
    ConnectHook,
    /// subscribe: its token is verified.
    SubscribeToken(Box<Asked>),
    /// subscribe: the backend is asked.
    SubscribeHook(Box<Asked>),
    /// A subscription of whatever origin: the engine is asked.
    Joined(Box<Joining>),
    /// publish: the backend is asked.
    PublishHook(Box<Publishing>),
    /// publish: the engine is asked.
    Published,
    /// history.
    History,
    /// presence.
    Presence,
    /// presence_stats.
    PresenceStats,
    /// refresh: its token is verified.
    RefreshToken,
    /// The session's time runs out: the backend is asked. There is no command.
    RefreshHook,
    /// sub_refresh: its token is verified.
    SubRefreshToken(Channel),
    /// rpc.
    Rpc,
    /// send: nobody is told what comes of it.
    Sent,
    /// Nobody: the API has ended a subscription that connect's reply is to tell of. The client is told of its end in
    /// the next turn, behind what the host has held back for it until that reply.
    Ending(Box<(Channel, Unsubscribed)>),
}

impl Waits {
    /// Whether its answer may hold publications of the past.
    pub(super) const fn brings_past(&self) -> bool {
        match self {
            Self::History => true,
            Self::SubscribeToken(asked) | Self::SubscribeHook(asked) => asked.recovers(),
            Self::Joined(joining) => joining.recovers(),
            _ => false,
        }
    }

    pub(super) const fn is_for_token(&self) -> bool {
        matches!(
            self,
            Self::ConnectToken
                | Self::SubscribeToken(_)
                | Self::RefreshToken
                | Self::SubRefreshToken(_)
        )
    }

    pub(super) const fn is_for_hook(&self) -> bool {
        matches!(
            self,
            Self::ConnectHook
                | Self::SubscribeHook(_)
                | Self::PublishHook(_)
                | Self::RefreshHook
                | Self::Rpc
                | Self::Sent
        )
    }

    pub(super) const fn is_for_engine(&self) -> bool {
        let is_for_nobody = matches!(self, Self::Ending(_));
        !self.is_for_token() && !self.is_for_hook() && !is_for_nobody
    }

    const fn is_ending(&self) -> bool {
        matches!(self, Self::Ending(_))
    }

    /// The channel that has to wait with it. What the engine is asked but subscribe keeps its order there; what
    /// the backend is asked could be overtaken by the next command.
    fn channel(&self) -> Option<&Channel> {
        match self {
            Self::SubscribeToken(asked) | Self::SubscribeHook(asked) => Some(&asked.channel),
            Self::Joined(joining) => Some(&joining.channel),
            Self::PublishHook(publishing) => Some(&publishing.channel),
            Self::SubRefreshToken(channel) => Some(channel),
            Self::Ending(ending) => Some(&ending.0),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Entry {
    number: Number,
    /// The command's; 0: there is none.
    id: u32,
    waits: Waits,
}

/// Everything that waits.
#[derive(Debug, Default)]
pub(super) struct Pending {
    entries: Vec<Entry>,
    next: u32,
}

impl Pending {
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// A number that nothing has which waits.
    pub(super) fn next_number(&mut self) -> Number {
        loop {
            let number = Number(self.next);
            self.next = self.next.wrapping_add(1);
            if !self.has(number) {
                return number;
            }
        }
    }

    /// Whether anything waits for `number`.
    pub(super) fn has(&self, number: Number) -> bool {
        self.entries.iter().any(|entry| entry.number == number)
    }

    pub(super) fn insert(&mut self, number: Number, id: u32, waits: Waits) {
        self.entries.push(Entry { number, id, waits });
    }

    /// What waits for `number`, and its command's id, if it `is` what has come.
    pub(super) fn take(
        &mut self,
        number: Number,
        is: impl Fn(&Waits) -> bool,
    ) -> Option<(u32, Waits)> {
        let is_it = |entry: &Entry| entry.number == number && is(&entry.waits);
        let at = self.entries.iter().position(is_it)?;
        let entry = self.entries.swap_remove(at);
        self.release();
        Some((entry.id, entry.waits))
    }

    /// Takes out all subscriptions that `is` holds of.
    pub(super) fn take_joining(&mut self, is: impl Fn(&Joining) -> bool) -> Vec<Joining> {
        let mut taken = Vec::new();
        let mut at = 0;
        while at < self.entries.len() {
            let is_it = matches!(&self.entries[at].waits, Waits::Joined(joining) if is(joining));
            if !is_it {
                at += 1;
            } else if let Waits::Joined(joining) = self.entries.swap_remove(at).waits {
                taken.push(*joining);
            }
        }
        self.release();
        taken
    }

    /// Answers that may hold publications of the past.
    pub(super) fn past(&self) -> usize {
        let past = self
            .entries
            .iter()
            .filter(|entry| entry.waits.brings_past());
        past.count()
    }

    pub(super) fn any_joining(&self, is: impl Fn(&Joining) -> bool) -> bool {
        let is_it = |entry: &Entry| matches!(&entry.waits, Waits::Joined(joining) if is(joining));
        self.entries.iter().any(is_it)
    }

    /// Everything that a subscribe command is waiting with.
    pub(super) fn subscribing_mut(&mut self) -> impl Iterator<Item = Subscribing<'_>> {
        self.entries
            .iter_mut()
            .filter_map(|entry| match &mut entry.waits {
                Waits::SubscribeToken(asked) | Waits::SubscribeHook(asked) => Some(Subscribing {
                    channel: &asked.channel,
                    ended: &mut asked.ended,
                }),
                Waits::Joined(joining) if joining.is_commanded() => Some(Subscribing {
                    channel: &joining.channel,
                    ended: &mut joining.ended,
                }),
                _ => None,
            })
    }

    /// Whether commands about `channel` have to wait.
    pub(super) fn is_about(&self, channel: &str) -> bool {
        let mut channels = self
            .entries
            .iter()
            .filter_map(|entry| entry.waits.channel());
        channels.any(|pending| pending.as_str() == channel)
    }

    /// Whether a subscription to `channel` is under way.
    pub(super) fn is_subscribing(&self, channel: &str) -> bool {
        self.entries.iter().any(|entry| match &entry.waits {
            Waits::SubscribeToken(asked) | Waits::SubscribeHook(asked) => {
                asked.channel.as_str() == channel
            }
            Waits::Joined(joining) => joining.channel.as_str() == channel,
            _ => false,
        })
    }

    pub(super) fn has_refresh_hook(&self) -> bool {
        let is_it = |entry: &Entry| matches!(entry.waits, Waits::RefreshHook);
        self.entries.iter().any(is_it)
    }

    pub(super) fn has_ending(&self) -> bool {
        self.entries.iter().any(|entry| entry.waits.is_ending())
    }

    /// Takes out one subscription that the client is to be told the end of.
    pub(super) fn take_ending(&mut self) -> Option<(Channel, Unsubscribed)> {
        let at = self.entries.iter().position(|e| e.waits.is_ending())?;
        let entry = self.entries.swap_remove(at);
        self.release();
        match entry.waits {
            Waits::Ending(ending) => Some(*ending),
            _ => None,
        }
    }

    fn release(&mut self) {
        if self.entries.is_empty() {
            self.entries = Vec::new(); // an idle session owns nothing
        }
    }
}

/// A subscribe command that waits.
pub(super) struct Subscribing<'p> {
    pub(super) channel: &'p Channel,
    /// Why the subscription ends as soon as it is answered.
    pub(super) ended: &'p mut Option<Unsubscribed>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_and_leave_out_those_that_wait() {
        let mut pending = Pending {
            next: u32::MAX,
            ..Pending::default()
        };
        assert_eq!(pending.next_number(), Number(u32::MAX));
        pending.insert(Number(0), 7, Waits::Published);
        pending.insert(Number(1), 8, Waits::Rpc);
        assert_eq!(pending.next_number(), Number(2));
    }

    #[test]
    fn something_is_given_out_once_and_only_as_what_it_is() {
        let mut pending = Pending::default();
        pending.insert(Number(3), 7, Waits::Rpc);
        assert!(pending.take(Number(3), Waits::is_for_engine).is_none());
        assert!(pending.take(Number(3), Waits::is_for_token).is_none());
        assert!(pending.take(Number(4), Waits::is_for_hook).is_none());
        let taken = pending.take(Number(3), Waits::is_for_hook);
        assert!(matches!(taken, Some((7, Waits::Rpc))));
        assert!(pending.take(Number(3), Waits::is_for_hook).is_none());
        assert_eq!(pending.entries.capacity(), 0);
    }
}
