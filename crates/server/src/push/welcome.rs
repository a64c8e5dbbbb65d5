//! What a new subscriber gets first. In: the engine's answer. Out: its position, and publications of the
//! past as frames.
//!
//! Never: decides what it may have of the past.

use std::sync::Arc;

use fanfare_codec::deflate::Deflaters;
use fanfare_hub::{Position, Publication, Recovery};

use super::raw;
use super::segment::{Cohort, Variant};
use crate::limits::HISTORY_COPY_BYTES_MAX;
use crate::outbound::Outbound;

/// A subscription that is in place.
#[derive(Debug)]
pub(crate) struct Welcome {
    variant: Variant,
    position: Option<Position>,
    /// What it gets of the past; none: what it asked for is gone.
    past: Option<Vec<Arc<Publication>>>,
}

impl Welcome {
    pub(super) fn new(
        variant: impl Into<Variant>,
        position: Option<Position>,
        recovery: Recovery,
    ) -> Self {
        Self {
            variant: variant.into(),
            position,
            past: match recovery {
                Recovery::NotAsked => Some(Vec::new()),
                Recovery::Recovered(past) | Recovery::Last(past) => Some(past),
                Recovery::NotRecovered => None,
            },
        }
    }

    /// Where the channel's stream stands, behind what it gets of the past.
    pub(crate) const fn position(&self) -> Option<Position> {
        self.position
    }

    /// Whether it asked for publications that are gone.
    pub(crate) const fn is_insufficient(&self) -> bool {
        self.past.is_none()
    }

    /// Queues the first messages behind `replies`, which leave first. Short ones are copied there; the
    /// others are shared with the history, and so never compressed.
    pub(crate) fn queue(
        self,
        replies: &mut Vec<u8>,
        outbound: &mut Outbound,
        deflaters: &mut Deflaters,
    ) {
        let past = self.past.unwrap_or_default();
        if let (Cohort::Positioned, Some(position)) = (self.variant.cohort, self.position) {
            // Where it starts: behind what it has, or in front of what it gets of the past.
            let before = past.first().and_then(|first| first.position);
            let start = before.map_or(position, |first| Position {
                offset: first.offset - 1,
                ..first
            });
            raw::append_greeting(replies, start);
        }
        for publication in past {
            let payload = publication.payload.bytes();
            if payload.len() <= HISTORY_COPY_BYTES_MAX {
                raw::append_publication(replies, &publication, self.variant, deflaters);
            } else {
                let head_at = replies.len();
                raw::append_head(replies, &publication, self.variant.cohort);
                outbound.append(&replies[..head_at]);
                outbound.push_history(&replies[head_at..], payload.clone());
                replies.clear();
            }
        }
        if !outbound.is_empty() {
            outbound.append(replies);
            replies.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use fanfare_hub::{Epoch, Payload, Tags, Time};

    use super::*;
    use crate::limits::SLICES_PER_SEND_MAX;

    fn at(offset: u64) -> Position {
        Position {
            offset,
            epoch: Epoch::parse("e").unwrap(),
        }
    }

    fn publication(offset: u64, text: String) -> Arc<Publication> {
        Arc::new(Publication {
            payload: Payload::text(text),
            position: Some(at(offset)),
            info: None,
            tags: Tags::default(),
            time: Time::default(),
        })
    }

    fn queued(welcome: Welcome) -> (Vec<u8>, Vec<u8>) {
        let (mut replies, mut outbound) = (b"101".to_vec(), Outbound::default());
        let mut deflaters = Deflaters::new(Default::default(), 1);
        welcome.queue(&mut replies, &mut outbound, &mut deflaters);
        let mut slices = [IoSlice::new(&[]); SLICES_PER_SEND_MAX];
        let used = outbound.unsent(&mut slices);
        let waits = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
        (replies, waits)
    }

    #[test]
    fn short_publications_leave_with_the_101_and_long_ones_wait_behind_it() {
        let past = vec![publication(2, "b".into()), publication(3, "c".into())];
        let welcome = Welcome::new(Cohort::Bare, Some(at(3)), Recovery::Recovered(past));
        let (replies, waits) = queued(welcome);
        assert_eq!(replies, b"101\x81\x01b\x81\x01c");
        assert_eq!(waits, b"");

        let long = "x".repeat(HISTORY_COPY_BYTES_MAX + 1);
        let past = vec![publication(2, long.clone()), publication(3, "c".into())];
        let welcome = Welcome::new(Cohort::Positioned, Some(at(3)), Recovery::Last(past));
        let (replies, waits) = queued(welcome);
        assert_eq!(replies, b"");
        let mut expected = b"101\x81\x031:e\x81\x7e".to_vec();
        expected.extend(u16::try_from(long.len() + 4).unwrap().to_be_bytes());
        expected.extend_from_slice(b"2:e ");
        expected.extend_from_slice(long.as_bytes());
        expected.extend_from_slice(b"\x81\x053:e c");
        assert_eq!(waits, expected);
    }

    #[test]
    fn without_a_past_the_greeting_is_the_position() {
        let welcome = Welcome::new(Cohort::Positioned, Some(at(3)), Recovery::NotAsked);
        assert_eq!(queued(welcome).0, b"101\x81\x033:e");
        let welcome = Welcome::new(Cohort::Bare, None, Recovery::NotAsked);
        assert_eq!(queued(welcome).0, b"101");
        assert!(Welcome::new(Cohort::Bare, None, Recovery::NotRecovered).is_insufficient());
    }
}
