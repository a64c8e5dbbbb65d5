//! Who is on which channel. In: how many channels, subscribers and publishers. Out: which belongs to
//! which; all of it is arithmetic on numbers.
//!
//! A series is what one publisher publishes to one channel: within it, and only within it, the order
//! is known. On a WebSocket a publisher has the channel of its URL, so there is a series a publisher.
//! Over HTTP it reaches any, so there are as many series as the larger of both numbers, and each
//! channel has a publisher however few there are.
//!
//! Never: remembers anything.

use std::ops::Range;

/// How many there are of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) subscribers: usize,
    /// Of the subscribers, those that never read.
    pub(crate) stalled: usize,
    pub(crate) channels: usize,
    pub(crate) publishers: usize,
    /// Publishers are HTTP clients and no connections of the run.
    pub(crate) is_posting: bool,
}

impl Layout {
    /// Series.
    pub(super) fn series(&self) -> usize {
        if self.is_posting {
            self.publishers.max(self.channels)
        } else {
            self.publishers
        }
    }

    /// Connections: subscribers, then publishers.
    pub(crate) const fn connections(&self) -> usize {
        self.subscribers + if self.is_posting { 0 } else { self.publishers }
    }

    /// The channel of connection `number` of the run.
    pub(super) const fn channel_of_connection(&self, number: usize) -> usize {
        if number < self.subscribers {
            number % self.channels
        } else {
            (number - self.subscribers) % self.channels
        }
    }

    #[inline]
    pub(super) const fn channel_of_series(&self, series: usize) -> usize {
        series % self.channels
    }

    /// The place of a series among those of its channel.
    #[inline]
    pub(super) const fn place_in_channel(&self, series: usize) -> usize {
        series / self.channels
    }

    /// The series of a channel, in the order of their places.
    pub(super) fn series_of_channel(&self, channel: usize) -> impl Iterator<Item = usize> + use<> {
        (channel..self.series()).step_by(self.channels)
    }

    /// The series of a publisher.
    pub(super) fn series_of_publisher(&self, publisher: usize) -> Vec<usize> {
        (publisher..self.series())
            .step_by(self.publishers)
            .collect()
    }

    /// Whether a thread with these subscribers, numbers in the run, has one on `channel` that reads.
    pub(super) fn is_on_channel(&self, subscribers: &Range<usize>, channel: usize) -> bool {
        let ahead = (channel + self.channels - subscribers.start % self.channels) % self.channels;
        let mut there = (subscribers.start + ahead..subscribers.end).step_by(self.channels);
        there.any(|number| !self.is_stalled(number))
    }

    /// Whether connection `number` of the run is a subscriber that never reads. They are spread evenly
    /// over the channels and over the subscribers of each, from channel to channel at other places: so
    /// each thread has its part.
    pub(super) const fn is_stalled(&self, number: usize) -> bool {
        if self.stalled == 0 || number >= self.subscribers {
            return false;
        }
        let (channel, place) = (number % self.channels, number / self.channels);
        let (subscribers, stalled) = self.on_channel(channel);
        let shift = channel % subscribers;
        let before = (place * stalled + shift) / subscribers;
        before < ((place + 1) * stalled + shift) / subscribers
    }

    /// The subscribers of a channel, and those of them that never read.
    const fn on_channel(&self, channel: usize) -> (usize, usize) {
        let (from, to) = (
            self.before_channel(channel),
            self.before_channel(channel + 1),
        );
        let share = to * self.stalled / self.subscribers - from * self.stalled / self.subscribers;
        (to - from, share)
    }

    /// The subscribers of all channels before `channel`.
    const fn before_channel(&self, channel: usize) -> usize {
        let more = self.subscribers % self.channels;
        let with_one_more = if channel < more { channel } else { more };
        channel * (self.subscribers / self.channels) + with_one_more
    }

    /// A channel on which nobody reads.
    pub(crate) fn deaf_channel(&self) -> Option<usize> {
        (0..self.channels).find(|&channel| {
            let (subscribers, stalled) = self.on_channel(channel);
            stalled == subscribers
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_on_its_channel_at_its_place_and_has_a_publisher() {
        for (channels, publishers, is_posting) in
            [(1, 1, false), (3, 7, false), (5, 2, true), (2, 5, true)]
        {
            let layout = Layout {
                subscribers: 11,
                stalled: 0,
                channels,
                publishers,
                is_posting,
            };
            let mut seen = 0;
            for channel in 0..channels {
                for (place, series) in layout.series_of_channel(channel).enumerate() {
                    assert_eq!(layout.channel_of_series(series), channel);
                    assert_eq!(layout.place_in_channel(series), place);
                    seen += 1;
                }
                assert!(layout.series_of_channel(channel).next().is_some());
            }
            assert_eq!(seen, layout.series());
            let mut published: Vec<usize> = (0..publishers)
                .flat_map(|publisher| layout.series_of_publisher(publisher))
                .collect();
            published.sort_unstable();
            assert_eq!(published, (0..layout.series()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_thread_is_on_the_channels_of_its_subscribers() {
        let layout = Layout {
            subscribers: 20,
            stalled: 0,
            channels: 6,
            publishers: 6,
            is_posting: false,
        };
        for first in 0..20 {
            for end in first..20 {
                for channel in 0..6 {
                    let wanted = (first..end).any(|n| layout.channel_of_connection(n) == channel);
                    assert_eq!(layout.is_on_channel(&(first..end), channel), wanted);
                }
            }
        }
    }

    #[test]
    fn those_that_never_read_are_spread_over_channels_and_threads() {
        for (subscribers, channels, stalled) in [
            (100, 1, 10),
            (100, 10, 10),
            (100, 10, 90),
            (97, 10, 13),
            (20, 10, 10),
            (1_000, 7, 1),
        ] {
            let layout = Layout {
                subscribers,
                stalled,
                channels,
                publishers: channels,
                is_posting: false,
            };
            let of = |numbers: &mut dyn Iterator<Item = usize>| {
                numbers.filter(|&number| layout.is_stalled(number)).count()
            };
            let context = format!("{stalled} of {subscribers} on {channels}");
            assert_eq!(of(&mut (0..layout.connections())), stalled, "{context}");
            assert_eq!(layout.deaf_channel(), None, "{context}");
            for channel in 0..channels {
                let there = of(&mut (channel..subscribers).step_by(channels));
                assert!(there.abs_diff(stalled / channels) <= 1, "{context}");
            }
            for half in [0..subscribers / 2, subscribers / 2..subscribers] {
                let there = of(&mut half.clone());
                assert!(there.abs_diff(stalled / 2) <= channels / 2 + 1, "{context}");
            }
        }
    }

    #[test]
    fn a_channel_without_a_reader_is_found() {
        for (stalled, deaf) in [(4, true), (3, true), (2, false), (0, false)] {
            let layout = Layout {
                subscribers: 4,
                stalled,
                channels: 2,
                publishers: 2,
                is_posting: false,
            };
            assert_eq!(layout.deaf_channel().is_some(), deaf, "{stalled}");
        }
    }
}
