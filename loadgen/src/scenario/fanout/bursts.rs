//! When publications are due, in bursts. In: when bursts are. Out: one publication after another, and
//! which of them begin a burst.
//!
//! Never: waits, skips a time that has passed.

use crate::clock::Nanos;
use crate::scenario::pace::Pace;

/// The intended times of one publisher, or of those of one thread.
#[derive(Debug)]
pub(super) struct Bursts {
    pace: Pace,
    /// Publications in each.
    size: u32,
    /// Of the burst that was begun last.
    intended: Nanos,
    /// Its publications that were not taken yet.
    left: u32,
}

/// A publication that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) intended: Nanos,
    /// Those of one burst follow one another.
    pub(super) begins_burst: bool,
}

impl Bursts {
    /// A burst of `size` at each time of `pace`.
    pub(super) const fn new(pace: Pace, size: u32) -> Self {
        Self {
            pace,
            size,
            intended: Nanos(0),
            left: 0,
        }
    }

    /// When the next publication is due.
    #[inline]
    pub(super) fn next(&self) -> Nanos {
        if self.left > 0 {
            self.intended
        } else {
            self.pace.next()
        }
    }

    /// Takes the next publication if its time has come.
    #[inline]
    pub(super) fn take_due(&mut self, now: Nanos) -> Option<Due> {
        let begins_burst = self.left == 0;
        if begins_burst {
            self.intended = self.pace.take_due(now)?;
            self.left = self.size;
        }
        self.left -= 1;
        Some(Due {
            intended: self.intended,
            begins_burst,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::pace::Arrivals;

    #[test]
    fn a_burst_has_one_time_and_the_next_another() {
        let random = fastrand::Rng::with_seed(1);
        let pace = Pace::new(Arrivals::Constant, 100.0, Nanos(0), random);
        let mut bursts = Bursts::new(pace, 3);
        assert_eq!(bursts.take_due(Nanos(0)), None);
        for _ in 0..4 {
            let at = bursts.next();
            for number in 0..3 {
                assert_eq!(bursts.next(), at);
                let due = bursts.take_due(at).expect("its time has come");
                assert_eq!((due.intended, due.begins_burst), (at, number == 0));
            }
            assert_eq!(bursts.take_due(at), None);
            assert!(bursts.next() > at);
        }
    }
}
