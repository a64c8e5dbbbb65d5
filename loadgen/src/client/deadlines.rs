//! What is overdue. In: the time, and sockets that began something. Out: the end of those that should be
//! done with it.
//!
//! Never: reads a clock.

use std::collections::VecDeque;
use std::time::Duration;

use super::conn::End;
use super::poll::ConnId;
use super::{Clients, Handler};
use crate::clock::Nanos;

/// Something that a socket should have done a while after `since`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) id: ConnId,
    pub(super) since: Nanos,
}

impl Clients<'_> {
    /// Gives up connections that have been opening, or closing, for `timeout`.
    pub(crate) fn expire(&mut self, now: Nanos, timeout: Duration, handler: &mut impl Handler) {
        while let Some(id) = pop_overdue(&mut self.opens, now, timeout) {
            let end = self.current(id).and_then(|c| c.overdue_opening(timeout));
            self.end_if_any(id, end, handler);
        }
        while let Some(id) = pop_overdue(&mut self.closes, now, timeout) {
            let end = self
                .current(id)
                .and_then(|c| c.overdue_closing(now, timeout));
            self.end_if_any(id, end, handler);
        }
    }

    fn end_if_any(&mut self, id: ConnId, end: Option<End>, handler: &mut impl Handler) {
        if let Some(end) = end {
            self.end(id.conn as usize, end, handler);
        }
    }
}

/// The front of `queue`, if it has waited for `timeout`.
fn pop_overdue(queue: &mut VecDeque<Deadline>, now: Nanos, timeout: Duration) -> Option<ConnId> {
    let is_overdue = |d: &&Deadline| now.duration_since(d.since) >= timeout;
    let id = queue.front().filter(is_overdue)?.id;
    queue.pop_front();
    Some(id)
}
