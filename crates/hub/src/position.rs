//! Where a channel's stream stands. In: a seed. Out: epochs that never come twice, and positions.
//!
//! Never: compares offsets of two epochs.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// One life of a channel's stream. Offsets of two epochs have nothing to do with each other.
///
/// On the wire it is text: hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(NonZeroU64);

impl Epoch {
    /// What any text stands for that no engine has ever made: equal to no stream's epoch.
    pub const FOREIGN: Self = Self(NonZeroU64::MAX);

    /// An epoch as a peer gave it back; an empty text is none.
    ///
    /// Total: text of another server is [`FOREIGN`](Self::FOREIGN), so that a recovery with it is
    /// answered "not recovered" instead of being malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let ours =
            text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) && !text.starts_with('0');
        let number = if ours {
            u64::from_str_radix(text, 16).ok()
        } else {
            None
        };
        Some(number.and_then(NonZeroU64::new).map_or(Self::FOREIGN, Self))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A place in a channel's stream: `offset` publications of `epoch` are behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The life of the stream.
    pub epoch: Epoch,
    /// The offset of the last publication, 0 before the first.
    pub offset: u64,
}

impl fmt::Display for Position {
    /// As `?since=` takes it: `offset:epoch`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.offset, self.epoch)
    }
}

/// A place that a peer claims to have read up to. Without an epoch any is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The last offset that it has.
    pub offset: u64,
    /// The epoch that it knows.
    pub epoch: Option<Epoch>,
}

impl Since {
    /// A place from a URL: `offset:epoch`, or `offset` alone. None if the offset is no number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (offset, epoch) = text.split_once(':').unwrap_or((text, ""));
        let digits = !offset.is_empty() && offset.bytes().all(|b| b.is_ascii_digit());
        Some(Self {
            offset: digits.then(|| offset.parse().ok()).flatten()?,
            epoch: Epoch::parse(epoch),
        })
    }

    /// Whether it speaks of the stream with `epoch`.
    #[must_use]
    pub fn is_of(self, epoch: Epoch) -> bool {
        self.epoch.is_none_or(|known| known == epoch)
    }
}

impl From<Position> for Since {
    fn from(position: Position) -> Self {
        Self {
            offset: position.offset,
            epoch: Some(position.epoch),
        }
    }
}

/// Makes epochs from a random number that the caller drew, once a process.
///
/// Within a process none comes twice: a counter goes through a bijection (SplitMix64, Steele et al.
/// 2014). Two processes make the same one about as likely as they draw neighbouring seeds.
#[derive(Debug)]
pub struct EpochSource(AtomicU64);

impl EpochSource {
    /// A source that makes the same epochs for the same `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// An epoch that this source has not made before.
    pub fn next_epoch(&self) -> Epoch {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        loop {
            let number = mix(self.0.fetch_add(STEP, Ordering::Relaxed));
            match NonZeroU64::new(number).map(Epoch) {
                Some(epoch) if epoch != Epoch::FOREIGN => return epoch,
                _ => {} // two numbers of 2^64: the next is another
            }
        }
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_source_repeats_nothing_and_replays_by_seed() {
        let source = EpochSource::new(7);
        let epochs: Vec<Epoch> = (0..10_000).map(|_| source.next_epoch()).collect();
        assert_eq!(epochs.iter().collect::<HashSet<_>>().len(), epochs.len());
        let again = EpochSource::new(7);
        assert!(epochs.iter().all(|epoch| *epoch == again.next_epoch()));
        assert_ne!(EpochSource::new(8).next_epoch(), epochs[0]);
    }

    #[test]
    fn zero_and_the_foreign_number_are_left_out() {
        // `mix` maps 0 to 0.
        let epoch = EpochSource::new(0).next_epoch();
        assert_eq!(Epoch::parse(&epoch.to_string()), Some(epoch));
    }

    #[test]
    fn text_of_an_epoch_comes_back_and_other_text_is_foreign() {
        let source = EpochSource::new(1);
        for _ in 0..100 {
            let epoch = source.next_epoch();
            assert_eq!(Epoch::parse(&epoch.to_string()), Some(epoch));
        }
        assert_eq!(Epoch::parse(""), None);
        for foreign in [
            "xyz",
            "0",
            "0a",
            "A",
            "+1",
            "ffffffffffffffff",
            "10000000000000000",
        ] {
            assert_eq!(Epoch::parse(foreign), Some(Epoch::FOREIGN), "{foreign}");
        }
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let epoch = EpochSource::new(3).next_epoch();
        let position = Position { epoch, offset: 42 };
        assert_eq!(Since::parse(&position.to_string()), Some(position.into()));
        let anywhere = Since {
            offset: 7,
            epoch: None,
        };
        assert_eq!(Since::parse("7"), Some(anywhere));
        assert_eq!(Since::parse("7:"), Some(anywhere));
        assert!(anywhere.is_of(epoch));
        assert!(!Since::parse("7:nobody").unwrap().is_of(epoch));
        for bad in ["", ":", ":ab", "-1", "+1", "x", "18446744073709551616"] {
            assert_eq!(Since::parse(bad), None, "{bad}");
        }
    }
}
