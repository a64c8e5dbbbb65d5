//! How far each connection of one thread is. In: what it has sent, what was answered. Out: what it is to
//! send, and which of them wait for an answer, and for how long.
//!
//! Never: sends, counts, knows what is owed.

use std::collections::VecDeque;
use std::time::Duration;

use crate::centrifuge::Partial;
use crate::clock::Nanos;

/// The connections of one thread, by their numbers.
#[derive(Debug)]
pub(in crate::scenario::fanout) struct Members {
    members: Vec<Member>,
    /// Those that wait for answers.
    asking: usize,
    /// When they began to, the first to be overdue in front; who is answered stays in it until then.
    asked: VecDeque<(Nanos, usize)>,
    /// Those to be hung up on.
    dropped: Vec<usize>,
}

/// One connection.
#[derive(Debug)]
struct Member {
    phase: Phase,
    wants_pongs: bool,
    pongs_due: u32,
    /// Commands that were sent on the connection.
    commands: u32,
    /// Of a message that comes in pieces.
    partial: Partial,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none, or nothing of it counts any more.
    Away,
    /// It is to say who it is, and to subscribe.
    Upgraded,
    /// It is to subscribe once more.
    Returning,
    /// It waits for the answer to its `connect`, that to `subscribe` comes next.
    Connecting(Asking),
    /// It waits for the answer to its `subscribe`.
    Subscribing(Asking),
    Subscribed,
    /// The server has ended its subscription.
    Unsubscribed,
}

/// What an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asking {
    pub(super) since: Nanos,
    /// Of the `subscribe`.
    pub(super) id: u32,
    /// It has asked for what is behind its position.
    pub(super) recovers: bool,
}

impl Phase {
    const fn asking(self) -> Option<Asking> {
        match self {
            Self::Connecting(asking) | Self::Subscribing(asking) => Some(asking),
            _ => None,
        }
    }
}

impl Members {
    /// So many connections, none of them there.
    pub(in crate::scenario::fanout) fn new(count: usize) -> Self {
        let away = || Member {
            phase: Phase::Away,
            wants_pongs: false,
            pongs_due: 0,
            commands: 0,
            partial: Partial::default(),
        };
        Self {
            members: std::iter::repeat_with(away).take(count).collect(),
            asking: 0,
            asked: VecDeque::new(),
            dropped: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn phase(&self, conn: usize) -> Phase {
        self.members[conn].phase
    }

    pub(super) fn enter(&mut self, conn: usize, phase: Phase) {
        let before = std::mem::replace(&mut self.members[conn].phase, phase);
        self.asking += usize::from(phase.asking().is_some());
        self.asking -= usize::from(before.asking().is_some());
        if let Some(Asking { since, .. }) = phase.asking()
            && before.asking().is_none()
        {
            self.asked.push_back((since, conn));
        }
    }

    /// Connection `conn` is upgraded.
    pub(super) fn open(&mut self, conn: usize) {
        self.enter(conn, Phase::Upgraded);
        let member = &mut self.members[conn];
        (member.wants_pongs, member.pongs_due, member.commands) = (false, 0, 0);
        member.partial.clear();
    }

    /// Connection `conn` is gone.
    pub(in crate::scenario::fanout) fn leave(&mut self, conn: usize) {
        self.enter(conn, Phase::Away);
        self.members[conn].partial.clear();
    }

    /// Connection `conn` is to be hung up on; until then nothing of it counts.
    pub(super) fn drop_soon(&mut self, conn: usize) {
        self.leave(conn);
        self.dropped.push(conn);
    }

    /// Who is to be hung up on. Again and again, until it is nobody.
    pub(super) fn take_dropped(&mut self) -> Option<usize> {
        loop {
            let conn = self.dropped.pop()?;
            // Another connection may have its number by now.
            if self.phase(conn) == Phase::Away {
                return Some(conn);
            }
        }
    }

    /// Whether nobody waits for an answer, and nobody is to be hung up on.
    pub(in crate::scenario::fanout) const fn are_settled(&self) -> bool {
        self.asking == 0 && self.dropped.is_empty()
    }

    /// Who has waited for `timeout`. Again and again, until it is nobody.
    pub(super) fn take_overdue(&mut self, now: Nanos, timeout: Duration) -> Option<usize> {
        loop {
            let &(since, conn) = self.asked.front()?;
            if now.duration_since(since) < timeout {
                return None;
            }
            self.asked.pop_front();
            let asking = self.phase(conn).asking();
            if asking.is_some_and(|asking| asking.since == since) {
                return Some(conn);
            }
        }
    }

    /// The id of the next command on connection `conn`.
    pub(super) fn next_id(&mut self, conn: usize) -> u32 {
        let commands = &mut self.members[conn].commands;
        *commands = commands.wrapping_add(1).max(1);
        *commands
    }

    /// Whether pings on connection `conn` are to be answered.
    pub(super) fn want_pongs(&mut self, conn: usize, wants_pongs: bool) {
        self.members[conn].wants_pongs = wants_pongs;
    }

    /// A ping has come; whether the server may send one that nobody is to answer is its own matter.
    pub(super) fn ping(&mut self, conn: usize) {
        let member = &mut self.members[conn];
        member.pongs_due += u32::from(member.wants_pongs);
    }

    /// Pongs that connection `conn` is to send.
    #[inline]
    pub(super) fn take_pongs(&mut self, conn: usize) -> u32 {
        std::mem::take(&mut self.members[conn].pongs_due)
    }

    /// What has come of a message in pieces.
    pub(super) fn partial(&mut self, conn: usize) -> &mut Partial {
        &mut self.members[conn].partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(since: u64) -> Asking {
        Asking {
            since: Nanos(since),
            id: 2,
            recovers: false,
        }
    }

    #[test]
    fn who_waits_is_overdue_once_and_who_is_answered_never() {
        let mut members = Members::new(3);
        for conn in 0..3 {
            members.open(conn);
            members.enter(conn, Phase::Connecting(asking(conn as u64)));
            members.enter(conn, Phase::Subscribing(asking(conn as u64)));
        }
        members.enter(1, Phase::Subscribed);
        let timeout = Duration::from_nanos(10);
        assert_eq!(members.take_overdue(Nanos(9), timeout), None);
        assert_eq!(members.take_overdue(Nanos(12), timeout), Some(0));
        members.leave(0);
        assert_eq!(members.take_overdue(Nanos(12), timeout), Some(2));
        assert!(!members.are_settled());
        members.drop_soon(2);
        assert_eq!(members.take_overdue(Nanos(99), timeout), None);
        assert_eq!(members.take_dropped(), Some(2));
        assert_eq!(members.take_dropped(), None);
        assert!(members.are_settled());
    }

    #[test]
    fn who_has_come_back_meanwhile_is_not_hung_up_on() {
        let mut members = Members::new(1);
        members.drop_soon(0);
        members.open(0);
        assert_eq!(members.take_dropped(), None);
    }

    #[test]
    fn only_pings_that_are_to_be_answered_are() {
        let mut members = Members::new(1);
        members.open(0);
        members.ping(0);
        assert_eq!(members.take_pongs(0), 0);
        members.want_pongs(0, true);
        members.ping(0);
        assert_eq!(members.take_pongs(0), 1);
        assert_eq!(members.take_pongs(0), 0);
    }

    #[test]
    fn ids_begin_at_one_and_never_are_zero() {
        let mut members = Members::new(1);
        assert_eq!(members.next_id(0), 1);
        members.members[0].commands = u32::MAX;
        assert_eq!(members.next_id(0), 1);
    }
}
