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
use contexts::{Contexts, HalfWays};
pub(crate) use contexts::{HalfWay, Promise};

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
    /// Those of them that wait to be told that they are refused.
    refused: AtomicUsize,
    max: usize,
    arrivals: Option<Arrivals>,
    addresses: Option<Arc<Addresses>>,
    contexts: Contexts,
    half_ways: HalfWays,
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
            refused: AtomicUsize::new(0),
            max,
            arrivals: arrivals_per_second_max.map(Arrivals::new),
            addresses: per_address_max.map(|max| Arc::new(Addresses::new(max))),
            contexts: Contexts::new(0),
            half_ways: HalfWays::default(),
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

    /// Compressed messages that have begun to come, over all workers.
    pub(crate) const fn half_ways(&self) -> &HalfWays {
        &self.half_ways
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

    /// One more is open, until it [leaves](Self::leave). `ip`: whose it is, if that is known.
    ///
    /// Nothing to hold for one that is refused: more than [`REFUSED_CONNECTIONS_MAX`] wait to be told so already.
    pub(crate) fn enter(self: &Arc<Self>, ip: Option<IpAddr>, now: Time) -> (Admitted, Holding) {
        let refused = if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            Exceeded::Connections
        } else {
            match self.claim(ip) {
                Err(exceeded) => exceeded,
                Ok(_) if !self.may_arrive(now) => Exceeded::NewConnections,
                Ok(share) => return (Admitted::Served, Holding::of(share)),
            }
        };
        let holding = match RefusedPlace::take(self) {
            Some(place) => Holding(Some(Held::Refused(place))),
            None => Holding::NOTHING,
        };
        (Admitted::Refused(refused), holding)
    }

    fn may_arrive(&self, now: Time) -> bool {
        self.arrivals
            .as_ref()
            .is_none_or(|arrivals| arrivals.take(now))
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

/// What a connection has of what there is only so much of, until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Holding(Option<Held>);

#[derive(Debug)]
enum Held {
    /// Of the places that its address has.
    Share(#[expect(dead_code, reason = "it is dropped")] Share),
    /// Of those who are told that they are refused.
    Refused(#[expect(dead_code, reason = "it is dropped")] RefusedPlace),
}

impl Holding {
    pub(crate) const NOTHING: Self = Self(None);

    pub(crate) fn of(share: Option<Share>) -> Self {
        Self(share.map(Held::Share))
    }

    pub(crate) const fn is_nothing(&self) -> bool {
        self.0.is_none()
    }
}

#[derive(Debug)]
struct RefusedPlace(Arc<Admission>);

impl RefusedPlace {
    fn take(admission: &Arc<Admission>) -> Option<Self> {
        let place = Self(Arc::clone(admission)); // it is given back by its drop
        let before = admission.refused.fetch_add(1, Ordering::Relaxed);
        (before < REFUSED_CONNECTIONS_MAX).then_some(place)
    }
}

impl Drop for RefusedPlace {
    fn drop(&mut self) {
        self.0.refused.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a connection holds that a worker has handed on: it counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    #[expect(dead_code, reason = "it is dropped")]
    holding: Holding,
}

impl Place {
    /// The place of a connection that was admitted.
    pub(crate) fn of_admitted(admission: &Arc<Admission>, holding: Holding) -> Self {
        Self {
            admission: Arc::clone(admission),
            holding,
        }
    }

    /// As if a worker had accepted it.
    #[cfg(test)]
    pub(crate) fn take(admission: &Arc<Admission>) -> Self {
        let (_, holding) = admission.enter(None, Time::from_millis(0));
        Self::of_admitted(admission, holding)
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

    const NOW: Time = Time::from_millis(0);

    fn enter(admission: &Arc<Admission>) -> Admitted {
        admission.enter(None, NOW).0
    }

    fn refused(exceeded: Exceeded) -> Admitted {
        Admitted::Refused(exceeded)
    }

    #[test]
    fn a_place_is_taken_until_it_is_left() {
        let admission = Arc::new(Admission::of_any(1));
        assert_eq!(enter(&admission), Admitted::Served);
        assert_eq!(enter(&admission), refused(Exceeded::Connections));
        assert_eq!(admission.open(), 2, "who is refused is there, too");
        admission.leave();
        drop(Place::of_admitted(&admission, Holding::NOTHING));
        assert_eq!(admission.open(), 0);
        assert_eq!(enter(&admission), Admitted::Served);
    }

    #[test]
    fn past_those_who_are_told_nobody_is_taken() {
        let admission = Arc::new(Admission::of_any(1));
        let mut holdings = Vec::new();
        for n in 0..=REFUSED_CONNECTIONS_MAX {
            assert!(!admission.is_overrun());
            let (_, holding) = admission.enter(None, NOW);
            assert_eq!(holding.is_nothing(), n == 0, "the first is served");
            holdings.push(holding);
        }
        assert!(admission.is_overrun());
        assert!(admission.enter(None, NOW).1.is_nothing(), "one too many");
        holdings.pop();
        assert!(!admission.enter(None, NOW).1.is_nothing());
    }

    #[test]
    fn who_comes_too_soon_is_refused_and_has_a_place_meanwhile() {
        let admission = Arc::new(Admission::new(9, None, NonZeroU32::new(2)));
        assert_eq!(enter(&admission), Admitted::Served);
        assert_eq!(enter(&admission), Admitted::Served);
        assert_eq!(enter(&admission), refused(Exceeded::NewConnections));
        assert_eq!(admission.open(), 3);
        let ip = "10.0.0.1".parse().ok();
        assert_eq!(admission.claim(ip).map(|share| share.is_none()), Ok(true));
    }

    #[test]
    fn the_share_of_an_address_goes_with_the_place_and_no_arrival_with_a_refusal() {
        let admission = Arc::new(Admission::new(9, NonZeroU32::new(1), NonZeroU32::new(2)));
        let (ip, other) = ("10.0.0.1".parse().ok(), "10.0.0.2".parse().ok());
        let (admitted, holding) = admission.enter(ip, NOW);
        assert_eq!(admitted, Admitted::Served);
        for _ in 0..9 {
            let (admitted, _) = admission.enter(ip, NOW);
            assert_eq!(admitted, refused(Exceeded::ConnectionsPerAddress));
            admission.leave();
        }
        assert_eq!(admission.enter(other, NOW).0, Admitted::Served);
        drop(Place::of_admitted(&admission, holding));
        let later = Time::from_millis(1000);
        assert_eq!(admission.enter(ip, later).0, Admitted::Served);
        assert!(admission.claim(None).unwrap().is_none(), "nobody's");
    }
}
