//! How the deliveries of one publication are spread. In: the latency of one delivery after another.
//! Out: the first, the median, the 99th percentile and the last.
//!
//! First and last are exact, the others within half a hundredth: latencies are counted in classes,
//! 128 for each doubling. One thread's deliveries of one publication come in the order of their
//! latency, so the classes are a list that grows at its end: as short as the spread is small.
//!
//! Never: knows whose deliveries they are.

/// Bits of a latency, behind its highest, that its class tells.
const CLASS_BITS: u32 = 7;

/// The deliveries of one publication.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    first: u64,
    last: u64,
    /// The class that the last delivery was in.
    current: Class,
    /// Those before it.
    earlier: Vec<Class>,
}

/// Deliveries of about the same latency.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    number: u16,
    count: u32,
}

/// All deliveries of one publication, to one thread's subscribers or to all.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) profile: Profile,
    /// It was to be sent in the measured time.
    pub(super) is_measured: bool,
}

/// A publication's deliveries in four numbers, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) first: u64,
    pub(super) median: u64,
    pub(super) p99: u64,
    pub(super) last: u64,
}

impl Profile {
    /// One delivery took `ns`.
    #[inline]
    pub(super) fn record(&mut self, ns: u64) {
        let number = class_of(ns);
        if self.current.count == 0 {
            (self.first, self.last) = (ns, ns);
            self.current.number = number;
        } else {
            self.first = self.first.min(ns);
            self.last = self.last.max(ns);
            if self.current.number != number {
                self.earlier.push(self.current);
                self.current = Class { number, count: 0 };
            }
        }
        self.current.count += 1;
    }

    /// Adds another thread's deliveries of the same publication.
    pub(super) fn merge(&mut self, other: Self) {
        if other.current.count == 0 {
            return;
        }
        if self.current.count == 0 {
            *self = other;
            return;
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.earlier.extend(other.earlier);
        self.earlier.push(other.current);
    }

    /// What they come to; `None` if there were none.
    pub(super) fn figures(mut self) -> Option<Figures> {
        if self.current.count == 0 {
            return None;
        }
        self.earlier.push(self.current);
        self.earlier.sort_unstable_by_key(|class| class.number);
        let total = self.earlier.iter().map(|c| u64::from(c.count)).sum();
        let at = |rank: u64| self.at_rank(rank).clamp(self.first, self.last);
        Some(Figures {
            first: self.first,
            median: at(rank(total, 50)),
            p99: at(rank(total, 99)),
            last: self.last,
        })
    }

    /// The middle of the class that delivery `rank`, the first is 1, is in.
    fn at_rank(&self, rank: u64) -> u64 {
        let mut up_to_here = 0;
        self.earlier
            .iter()
            .find(|class| {
                up_to_here += u64::from(class.count);
                up_to_here >= rank
            })
            .map_or(self.last, |class| middle_of(class.number))
    }
}

/// The place of a percentile among `total` deliveries in their order.
const fn rank(total: u64, percent: u64) -> u64 {
    (total * percent).div_ceil(100)
}

/// Numbers under 128 are classes of their own.
#[inline]
fn class_of(ns: u64) -> u16 {
    let shift = ns.max(1).ilog2().saturating_sub(CLASS_BITS);
    #[expect(clippy::cast_possible_truncation, reason = "less than 64 << 8")]
    let number = ((u64::from(shift) << CLASS_BITS) + (ns >> shift)) as u16;
    number
}

/// The inverse of [`class_of`].
fn middle_of(number: u16) -> u64 {
    let number = u64::from(number);
    // Past the first two classes' worth, the highest bit is part of what the shift left over.
    let shift = (number >> CLASS_BITS).saturating_sub(1);
    let front = number - (shift << CLASS_BITS);
    (front << shift) + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_within_half_a_hundredth_at_every_size() {
        let mut random = fastrand::Rng::with_seed(1);
        for bits in 1..60 {
            for _ in 0..1_000 {
                let ns = random.u64(..1 << bits);
                let middle = middle_of(class_of(ns));
                assert!(middle.abs_diff(ns) <= ns / 200 + 1, "{ns}: {middle}");
            }
        }
    }

    #[test]
    fn figures_are_those_of_the_sorted_list_however_threads_share_it() {
        let mut random = fastrand::Rng::with_seed(2);
        for threads in [1, 2, 5] {
            for count in [1usize, 2, 3, 99, 100, 101, 5_000] {
                let mut all = Vec::new();
                let mut total = Profile::default();
                for thread in 0..threads {
                    let mut part: Vec<u64> = (0..count / threads + thread % 2)
                        .map(|_| random.u64(50_000..3_000_000))
                        .collect();
                    part.sort_unstable();
                    let mut profile = Profile::default();
                    part.iter().for_each(|&ns| profile.record(ns));
                    assert!(
                        profile.earlier.len() < 7 * 128,
                        "as many as classes at most"
                    );
                    total.merge(profile);
                    all.extend(part);
                }
                all.sort_unstable();
                let Some(figures) = total.figures() else {
                    assert!(all.is_empty());
                    continue;
                };
                let near = |got: u64, want: u64| got.abs_diff(want) <= want / 100;
                assert_eq!(figures.first, all[0]);
                assert_eq!(figures.last, all[all.len() - 1]);
                assert!(near(figures.median, all[all.len().div_ceil(2) - 1]));
                let p99 = all[(all.len() * 99).div_ceil(100) - 1];
                assert!(near(figures.p99, p99), "{figures:?}, not {p99}");
            }
        }
    }
}
