//! What is told at the end of a tick. In: publications, and who comes and goes, one by one. Out: a segment for
//! each variant of a channel, and the share of each subscriber.
//!
//! Never: sends; encodes anything twice for one variant.

use std::ops::Range;
use std::sync::Arc;

use fanfare_codec::deflate::Deflaters;
use fanfare_hub::{Channel, ChannelId, Publication, SlowReader, Subscriber};

use super::segment::{Cohort, FRAME_BYTES, Segment, Variant};
use super::{Follower, Push, conn_of};
use crate::limits::{PUBLISHES_PER_TICK_MAX, SEGMENT_BYTES_MAX};
use crate::outbound::Excess;
use crate::slab::ConnId;

pub(super) use super::segment::Item;

/// What of a channel waits to be told.
#[derive(Debug, Default)]
pub(super) struct Tick {
    items: Vec<Item>,
}

impl Tick {
    pub(super) const fn len(&self) -> usize {
        self.items.len()
    }
}

/// A subscriber's share of a tick.
#[derive(Debug)]
pub(crate) struct Share<'t> {
    pub(crate) segment: &'t Arc<Segment>,
    pub(crate) range: Range<u32>,
    pub(crate) channel: ChannelId,
    /// What becomes of it if the subscriber is too slow.
    pub(crate) excess: Excess,
    /// The subscriber may have news of other channels in this tick, too.
    pub(crate) has_company: bool,
}

/// A channel's segments of one tick.
#[derive(Default)]
struct Segments {
    plain: [Option<Arc<Segment>>; Cohort::COUNT],
    /// Few: clients have few window sizes.
    deflated: Vec<(Variant, Arc<Segment>)>,
}

impl Segments {
    fn get_or_insert_with(
        &mut self,
        variant: Variant,
        make: impl FnOnce() -> Arc<Segment>,
    ) -> &Arc<Segment> {
        if variant.window.is_none() {
            return self.plain[variant.cohort.index()].get_or_insert_with(make);
        }
        let known = self.deflated.iter().position(|(made, _)| *made == variant);
        let at = known.unwrap_or_else(|| {
            self.deflated.push((variant, make()));
            self.deflated.len() - 1
        });
        &self.deflated[at].1
    }
}

impl Push {
    /// Keeps a publication until the end of the tick. True: enough waits.
    pub(super) fn keep_publication(
        &mut self,
        channel: &Channel,
        publication: Arc<Publication>,
    ) -> bool {
        let Some(id) = self.table.accept(channel, &publication) else {
            return false;
        };
        let bytes = publication.payload.bytes().len();
        self.published_at.push(publication.time);
        self.keep(id, Item::Publication(publication), bytes)
    }

    /// Keeps a join or a leave, if anyone here is told of it.
    pub(super) fn keep_event(&mut self, channel: &Channel, item: Item) -> bool {
        let Some(id) = self.table.channel_id(channel) else {
            return false;
        };
        self.keep(id, item, 0)
    }

    fn keep(&mut self, id: ChannelId, item: Item, bytes: usize) -> bool {
        let Some((name, tick, _)) = self.table.channel_mut(id) else {
            return false;
        };
        if tick.items.is_empty() {
            self.dirty.push(id);
            if tick.items.capacity() == 0 {
                tick.items = std::mem::take(&mut self.spare);
            }
        }
        self.waiting_bytes += bytes + FRAME_BYTES + name.as_str().len();
        tick.items.push(item);
        self.waiting_bytes >= SEGMENT_BYTES_MAX
    }

    /// Ends the tick: tells every subscriber its share of what waits.
    pub(crate) fn fan_out(
        &mut self,
        deflaters: &mut Deflaters,
        mut tell: impl FnMut(ConnId, Share<'_>),
    ) {
        if self.dirty.is_empty() {
            return;
        }
        let live = self.link.live.load();
        let are_several = self.dirty.len() > 1;
        let mut deliveries = 0;
        for id in self.dirty.drain(..) {
            let Some((name, tick, subscribers, holders)) = self.table.channel_and_holders_mut(id)
            else {
                continue; // all have left
            };
            let mut items = std::mem::take(&mut tick.items);
            let excess = live
                .namespaces
                .resolve(name)
                .map_or(Excess::Report, |options| options.slow_reader.into());
            let is_publication = |item: &Item| matches!(item, Item::Publication(_));
            let last_publication = items.iter().rposition(is_publication);
            let are_publications = items.iter().all(is_publication);
            let mut segments = Segments::default();
            for subscriber in subscribers.iter().filter(|s| s.is_live()) {
                let Some(first) = first_for(subscriber, &items, last_publication) else {
                    continue;
                };
                let variant = subscriber.data().variant;
                let cohort = variant.cohort;
                let segment = segments.get_or_insert_with(variant, || {
                    let segment = Segment::encode(name.as_str(), &items, variant, deflaters);
                    Arc::new(segment.counted_by(&self.link.metrics))
                });
                let range = segment.from(first);
                if range.is_empty() {
                    continue;
                }
                deliveries += if are_publications || cohort.has_joins() {
                    items.len() - first
                } else {
                    items[first..]
                        .iter()
                        .filter(|item| is_publication(item))
                        .count()
                };
                let share = Share {
                    segment,
                    range,
                    channel: id,
                    excess,
                    has_company: are_several && holders.has_several(subscriber.conn()),
                };
                tell(conn_of(subscriber.conn()), share);
            }
            items.clear();
            self.spare = items;
        }
        for id in self.joined.drain(..) {
            if let Some(follower) = self.table.data_mut(id) {
                follower.skips = 0;
            }
        }
        self.link.metrics.deliveries.add(deliveries as u64);
        self.waiting_bytes = 0;
        self.spare.shrink_to(PUBLISHES_PER_TICK_MAX);
    }
}

/// The first item of a tick that a subscriber is told of: whoever takes one publication takes all behind it. Joins
/// between its answer and publications that it has are not told: it may ask for presence.
fn first_for(
    subscriber: &Subscriber<Follower>,
    items: &[Item],
    last_publication: Option<usize>,
) -> Option<usize> {
    let Follower { variant, skips, .. } = *subscriber.data();
    let cohort = variant.cohort;
    let skips = skips as usize;
    let mut first = None;
    for (at, item) in items.iter().enumerate().skip(skips) {
        if last_publication.is_none_or(|last| at > last) {
            // Only joins and leaves are left.
            return first.or_else(|| cohort.has_joins().then_some(at));
        }
        match item {
            Item::Publication(publication) if subscriber.takes(publication) => {
                return first.or(Some(at));
            }
            // It has this one.
            Item::Publication(_) => first = None,
            Item::Join(_) | Item::Leave(_) if cohort.has_joins() => {
                first = first.or(Some(at));
            }
            Item::Join(_) | Item::Leave(_) => {}
        }
    }
    first
}

impl From<SlowReader> for Excess {
    fn from(slow: SlowReader) -> Self {
        match slow {
            SlowReader::Close => Self::Report,
            SlowReader::DropOldest => Self::DropOldest,
            SlowReader::Conflate => Self::KeepLatest,
        }
    }
}
