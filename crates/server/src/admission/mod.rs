//! Who may come in. In: connections, whose they are, the time. Out: whether they may upgrade, or which limit they
//! have met.
//!
//! One for all workers. Whoever comes holds a place, and one of its address if those are counted, until it goes.
//!
//! Never: closes a connection.

mod addresses;
mod arrivals;
mod contexts;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::clock::Time;
use crate::exceeded::Exceeded;
use crate::limits::REFUSED_CONNECTIONS_MAX;

use addresses::Addresses;
pub(crate) use addresses::Share;
use arrivals::Arrivals;
use contexts::Contexts;
pub(crate) use contexts::Promise;

/// Whether a new connection may upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    Served,
    /// It is answered 503.
    Refused(Exceeded),
}

/// The connections of the daemon, over all workers.
#[derive(Debug)]
pub(crate) struct Admission {
    open: AtomicUsize,
    max: usize,
    arrivals: Option<Arrivals>,
    addresses: Option<Arc<Addresses>>,
    contexts: Contexts,
}

impl Admission {
    /// For `max` connections, so many of one address, and so many new ones a second; none: any number.
    pub(crate) fn new(
        max: usize,
        per_address_max: Option<NonZeroU32>,
        arrivals_per_second_max: Option<NonZeroU32>,
    ) -> Self {
        Self {
            open: AtomicUsize::new(0),
            max,
            arrivals: arrivals_per_second_max.map(Arrivals::new),
            addresses: per_address_max.map(|max| Arc::new(Addresses::new(max))),
            contexts: Contexts::new(0),
        }
    }

    /// The same with so many contexts that connections may keep between messages.
    pub(crate) fn with_contexts(mut self, max: usize) -> Self {
        self.contexts = Contexts::new(max);
        self
    }

    /// A context that a connection may keep between messages. None: there are no more.
    pub(crate) fn promise(&self) -> Option<Promise> {
        self.contexts.promise()
    }

    /// For `max` connections, of whomever.
    #[cfg(test)]
    pub(crate) fn of_any(max: usize) -> Self {
        Self::new(max, None, None)
    }

    /// Connections that are open now, those that were handed on among them.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many there may be.
    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    /// One more is open, until it [leaves](Self::leave).
    pub(crate) fn enter(&self, now: Time) -> Admitted {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            return Admitted::Refused(Exceeded::Connections);
        }
        match &self.arrivals {
            Some(arrivals) if !arrivals.take(now) => Admitted::Refused(Exceeded::NewConnections),
            _ => Admitted::Served,
        }
    }

    pub(crate) fn leave(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Past the cap and past those who are told so.
    pub(crate) fn is_overrun(&self) -> bool {
        self.open() >= self.max.saturating_add(REFUSED_CONNECTIONS_MAX)
    }

    /// One of the places that `ip` has. None: they are not counted, or it is not known whose connection it is.
    ///
    /// # Errors
    ///
    /// It has no more.
    pub(crate) fn claim(&self, ip: Option<IpAddr>) -> Result<Option<Share>, Exceeded> {
        match (&self.addresses, ip) {
            (Some(addresses), Some(ip)) => match addresses.claim(ip) {
                None => Err(Exceeded::ConnectionsPerAddress),
                share => Ok(share),
            },
            _ => Ok(None),
        }
    }
}

/// What a connection holds that a worker has handed on: it counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    /// Of its address.
    #[expect(dead_code, reason = "it is dropped")]
    share: Option<Share>,
}

impl Place {
    /// The place of a connection that was admitted.
    pub(crate) fn of_admitted(admission: &Arc<Admission>, share: Option<Share>) -> Self {
        Self {
            admission: Arc::clone(admission),
            share,
        }
    }

    /// As if a worker had accepted it.
    #[cfg(test)]
    pub(crate) fn take(admission: &Arc<Admission>) -> Self {
        admission.enter(Time::from_millis(0));
        Self::of_admitted(admission, None)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_until_it_is_left() {
        let admission = Arc::new(Admission::of_any(1));
        let now = Time::from_millis(0);
        assert_eq!(admission.enter(now), Admitted::Served);
        let refused = Admitted::Refused(Exceeded::Connections);
        assert_eq!(admission.enter(now), refused);
        assert_eq!(admission.open(), 2, "who is refused is there, too");
        admission.leave();
        drop(Place::of_admitted(&admission, None));
        assert_eq!(admission.open(), 0);
        assert_eq!(admission.enter(now), Admitted::Served);
    }

    #[test]
    fn past_those_who_are_told_nobody_is_taken() {
        let admission = Admission::of_any(1);
        for _ in 0..=REFUSED_CONNECTIONS_MAX {
            assert!(!admission.is_overrun());
            admission.enter(Time::from_millis(0));
        }
        assert!(admission.is_overrun());
    }

    #[test]
    fn who_comes_too_soon_is_refused_and_has_a_place_meanwhile() {
        let admission = Admission::new(9, None, NonZeroU32::new(2));
        let now = Time::from_millis(0);
        assert_eq!(admission.enter(now), Admitted::Served);
        assert_eq!(admission.enter(now), Admitted::Served);
        let refused = Admitted::Refused(Exceeded::NewConnections);
        assert_eq!(admission.enter(now), refused);
        assert_eq!(admission.open(), 3);
        assert_eq!(
            admission
                .claim("10.0.0.1".parse().ok())
                .map(|s| s.is_none()),
            Ok(true)
        );
    }

    #[test]
    fn the_share_of_an_address_goes_with_the_place() {
        let admission = Arc::new(Admission::new(9, NonZeroU32::new(1), None));
        let ip = "10.0.0.1".parse().ok();
        admission.enter(Time::from_millis(0));
        let share = admission.claim(ip).unwrap();
        assert!(share.is_some());
        assert!(admission.claim(None).unwrap().is_none(), "nobody's");
        let refused = admission.claim(ip).map(|_| ());
        assert_eq!(refused, Err(Exceeded::ConnectionsPerAddress));
        drop(Place::of_admitted(&admission, share));
        assert!(admission.claim(ip).is_ok());
    }
}
