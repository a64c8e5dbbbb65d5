//! A channel's stream: its last publications, bounded by number, bytes and age, and where it stands. In:
//! publications and the time. Out: parts of it, and what a subscriber has missed.
//!
//! Never: serves what is past its age, even if nobody has thrown it away yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{EngineError, Recovery};
use crate::limits::{HISTORY_BYTES_MAX, HISTORY_READ_MAX};
use crate::position::{Epoch, Position, Since};
use crate::publication::Publication;
use crate::time::Time;

/// What a channel keeps, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Publications, at most.
    pub size: u32,
    /// Each for so long.
    pub ttl: Duration,
    /// Epoch and top offset, after the last publication and the last subscriber. At least `ttl`.
    pub meta_ttl: Duration,
}

/// Which part of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only what comes after this place; if `reverse`, before it. The place itself never.
    pub since: Option<Since>,
    /// At most so many; 0: the position alone; none: [`HISTORY_READ_MAX`], which is the cap in any case.
    pub limit: Option<u32>,
    /// From the latest to the oldest.
    pub reverse: bool,
}

/// A part of a history.
#[derive(Debug)]
pub struct HistoryRead {
    /// In the order that was asked for.
    pub publications: Vec<Arc<Publication>>,
    /// Where the stream stands; none if nothing is known of the channel.
    pub position: Option<Position>,
}

impl Recovery {
    /// Whether `publications`, all that history has after `since`, are what a subscriber at `since` has
    /// missed of a stream at `position` (PROTOCOL.md, "Subscribe and recover", 2).
    ///
    /// The engine has cut nothing but at [`HISTORY_READ_MAX`].
    #[must_use]
    pub fn decide(since: Since, position: Position, publications: Vec<Arc<Publication>>) -> Self {
        let offset_of = |publication: Option<&Arc<Publication>>| {
            publication.and_then(|p| p.position).map(|p| p.offset)
        };
        let whole = match offset_of(publications.first()) {
            None => position.offset == since.offset,
            Some(first) => {
                Some(first) == since.offset.checked_add(1)
                    && offset_of(publications.last()) == Some(position.offset)
            }
        };
        if whole && since.is_of(position.epoch) {
            Self::Recovered(publications)
        } else {
            Self::NotRecovered
        }
    }
}

/// The stream of one channel in memory. Offsets in it have no holes.
#[derive(Debug)]
pub(crate) struct Stream {
    epoch: Epoch,
    top: u64,
    kept: VecDeque<Arc<Publication>>,
    bytes: usize,
    /// Callers' clocks differ by milliseconds; publications are in the order of their times.
    latest: Time,
}

impl Stream {
    pub(crate) const fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            top: 0,
            kept: VecDeque::new(),
            bytes: 0,
            latest: Time::from_millis(0),
        }
    }

    pub(crate) const fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.top,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives `publication` the next offset and keeps it.
    pub(crate) fn append(
        &mut self,
        now: Time,
        retention: Retention,
        mut publication: Publication,
    ) -> Arc<Publication> {
        self.latest = self.latest.max(now);
        self.top += 1;
        publication.time = self.latest;
        publication.position = Some(self.position());
        let publication = Arc::new(publication);
        self.bytes += publication.payload.bytes().len();
        self.kept.push_back(Arc::clone(&publication));
        self.trim(now, retention);
        publication
    }

    /// Throws away what is past its age, or too many, or too large.
    pub(crate) fn trim(&mut self, now: Time, retention: Retention) {
        self.latest = self.latest.max(now);
        while let Some(oldest) = self.kept.front() {
            let fits = self.kept.len() <= retention.size as usize
                && self.bytes <= HISTORY_BYTES_MAX
                && oldest.time + retention.ttl > self.latest;
            if fits {
                return;
            }
            self.bytes -= oldest.payload.bytes().len();
            self.kept.pop_front();
        }
        self.kept = VecDeque::new(); // an empty history owns nothing
    }

    /// When the oldest is past its age.
    pub(crate) fn oldest_expires(&self, retention: Retention) -> Option<Time> {
        Some(self.kept.front()?.time + retention.ttl)
    }

    /// Throws all publications away. The position stays: a subscriber may have seen it.
    pub(crate) fn clear(&mut self) {
        self.kept = VecDeque::new();
        self.bytes = 0;
    }

    /// What a subscriber at `since` has missed. [`trim`](Self::trim) comes first.
    pub(crate) fn recover(&self, since: Since) -> Recovery {
        let missed = self.after(since.offset);
        if missed.len() > HISTORY_READ_MAX {
            return Recovery::NotRecovered;
        }
        Recovery::decide(since, self.position(), missed.cloned().collect())
    }

    /// The latest `count`, the oldest of them first. [`trim`](Self::trim) comes first.
    pub(crate) fn last(&self, count: u32) -> Vec<Arc<Publication>> {
        let count = (count as usize).min(HISTORY_READ_MAX).min(self.kept.len());
        let from = self.kept.len() - count;
        self.kept.range(from..).cloned().collect()
    }

    /// Reads a part. [`trim`](Self::trim) comes first.
    pub(crate) fn read(&self, query: HistoryQuery) -> Result<HistoryRead, EngineError> {
        if let Some(since) = query.since
            && (!since.is_of(self.epoch) || since.offset > self.top)
        {
            return Err(EngineError::UnrecoverablePosition);
        }
        let limit = query.limit.map_or(HISTORY_READ_MAX, |limit| limit as usize);
        let limit = limit.min(HISTORY_READ_MAX);
        let publications = if query.reverse {
            let before = query.since.map_or(self.kept.len(), |since| {
                self.kept.len() - self.after(since.offset.saturating_sub(1)).len()
            });
            let part = self.kept.range(..before).rev();
            part.take(limit).cloned().collect()
        } else {
            let part = query
                .since
                .map_or_else(|| self.kept.iter(), |since| self.after(since.offset));
            part.take(limit).cloned().collect()
        };
        Ok(HistoryRead {
            publications,
            position: Some(self.position()),
        })
    }

    /// What is kept with an offset above `offset`.
    fn after(&self, offset: u64) -> std::collections::vec_deque::Iter<'_, Arc<Publication>> {
        let above = self.top.saturating_sub(offset);
        let count = usize::try_from(above).map_or(self.kept.len(), |n| n.min(self.kept.len()));
        self.kept.range(self.kept.len() - count..)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::position::EpochSource;
    use crate::publication::{Payload, Tags};

    const RETENTION: Retention = Retention {
        size: 5,
        ttl: Duration::from_millis(100),
        meta_ttl: Duration::from_millis(1000),
    };

    /// One that was given its place already.
    pub(crate) fn publication_at(position: Option<Position>) -> Publication {
        Publication {
            position,
            ..publication(1)
        }
    }

    pub(crate) fn publication(bytes: usize) -> Publication {
        Publication {
            payload: Payload::binary(vec![0; bytes].into()),
            position: None,
            info: None,
            tags: Tags::default(),
            time: Time::default(),
        }
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// A stream with a publication at each time.
    fn stream(times: &[u64]) -> Stream {
        let mut stream = Stream::new(EpochSource::new(1).next_epoch());
        for time in times {
            stream.append(at(*time), RETENTION, publication(1));
        }
        stream
    }

    fn offsets(publications: &[Arc<Publication>]) -> Vec<u64> {
        let offset = |p: &Arc<Publication>| p.position.expect("kept ones have one").offset;
        publications.iter().map(offset).collect()
    }

    fn since(offset: u64) -> Since {
        Since {
            offset,
            epoch: None,
        }
    }

    fn query(since_offset: Option<u64>, limit: Option<u32>, reverse: bool) -> HistoryQuery {
        HistoryQuery {
            since: since_offset.map(since),
            limit,
            reverse,
        }
    }

    fn read(stream: &Stream, query: HistoryQuery) -> Vec<u64> {
        offsets(&stream.read(query).unwrap().publications)
    }

    #[test]
    fn the_oldest_go_by_number_bytes_and_age() {
        let mut stream = stream(&[0; 7]);
        assert_eq!(offsets(&stream.last(9)), [3, 4, 5, 6, 7]);
        assert_eq!((stream.len(), stream.bytes()), (5, 5));
        stream.append(at(50), RETENTION, publication(HISTORY_BYTES_MAX - 1));
        assert_eq!(offsets(&stream.last(9)), [7, 8]);
        stream.trim(at(99), RETENTION);
        assert_eq!(stream.len(), 2);
        assert_eq!(stream.oldest_expires(RETENTION), Some(at(100)));
        stream.trim(at(100), RETENTION);
        assert_eq!(offsets(&stream.last(9)), [8]);
        stream.trim(at(150), RETENTION);
        assert_eq!((stream.len(), stream.bytes()), (0, 0));
        assert_eq!(stream.oldest_expires(RETENTION), None);
        assert_eq!(stream.position().offset, 8, "the position stays");
    }

    #[test]
    fn times_never_go_back() {
        let mut stream = stream(&[100, 90]);
        let times: Vec<Time> = stream.last(9).iter().map(|p| p.time).collect();
        assert_eq!(times, [at(100), at(100)]);
        stream.trim(at(200), RETENTION);
        assert_eq!(stream.len(), 0);
    }

    #[test]
    fn a_read_starts_behind_its_place_and_ends_at_its_limit() {
        let stream = stream(&[0; 7]); // 3..=7
        let cases = [
            (query(None, None, false), vec![3, 4, 5, 6, 7]),
            (query(None, Some(2), false), vec![3, 4]),
            (query(None, Some(0), false), vec![]),
            (query(Some(5), None, false), vec![6, 7]),
            (query(Some(7), None, false), vec![]),
            (query(Some(0), Some(1), false), vec![3]),
            (query(None, None, true), vec![7, 6, 5, 4, 3]),
            (query(None, Some(2), true), vec![7, 6]),
            (query(Some(5), None, true), vec![4, 3]),
            (query(Some(7), Some(1), true), vec![6]),
            (query(Some(3), None, true), vec![]),
            (query(Some(1), None, true), vec![]),
            (query(Some(0), None, true), vec![]),
        ];
        for (query, expected) in cases {
            assert_eq!(read(&stream, query), expected, "{query:?}");
            let position = stream.read(query).unwrap().position;
            assert_eq!(position, Some(stream.position()));
        }
    }

    #[test]
    fn a_read_from_another_epoch_or_above_the_top_is_refused() {
        let stream = stream(&[0; 7]);
        for reverse in [false, true] {
            let refused = stream.read(query(Some(8), None, reverse)).unwrap_err();
            assert_eq!(refused, EngineError::UnrecoverablePosition);
            let foreign = HistoryQuery {
                since: Some(Since {
                    offset: 5,
                    epoch: Some(Epoch::FOREIGN),
                }),
                limit: None,
                reverse,
            };
            let refused = stream.read(foreign).unwrap_err();
            assert_eq!(refused, EngineError::UnrecoverablePosition);
        }
    }

    #[test]
    fn recovered_means_every_offset_up_to_the_top() {
        let stream = stream(&[0; 7]); // 3..=7
        let recovered = |since: Since| match stream.recover(since) {
            Recovery::Recovered(publications) => Some(offsets(&publications)),
            Recovery::NotRecovered => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(recovered(since(0)), None);
        assert_eq!(recovered(since(1)), None);
        assert_eq!(recovered(since(2)), Some(vec![3, 4, 5, 6, 7]));
        assert_eq!(recovered(since(6)), Some(vec![7]));
        assert_eq!(recovered(since(7)), Some(vec![]));
        assert_eq!(recovered(since(8)), None, "above the top");
        assert_eq!(recovered(since(u64::MAX)), None);
        let epoch = Some(stream.position().epoch);
        assert_eq!(recovered(Since { offset: 6, epoch }), Some(vec![7]));
        for offset in [2, 6, 7] {
            let epoch = Some(Epoch::FOREIGN);
            assert_eq!(recovered(Since { offset, epoch }), None);
        }
    }

    #[test]
    fn more_than_one_answer_holds_is_not_recovered() {
        let retention = Retention {
            size: 1000,
            ..RETENTION
        };
        let mut stream = Stream::new(EpochSource::new(1).next_epoch());
        for _ in 0..=HISTORY_READ_MAX {
            stream.append(at(0), retention, publication(1));
        }
        assert!(matches!(stream.recover(since(0)), Recovery::NotRecovered));
        assert!(matches!(stream.recover(since(1)), Recovery::Recovered(p) if p.len() == 300));
        assert_eq!(read(&stream, query(None, None, false)).len(), 300);
        assert_eq!(read(&stream, query(None, Some(9999), true)).len(), 300);
        assert_eq!(stream.last(9999).len(), 300);
    }

    #[test]
    fn what_is_cleared_is_missed_but_counted() {
        let mut stream = stream(&[0; 3]);
        stream.clear();
        assert_eq!((stream.len(), stream.bytes()), (0, 0));
        assert!(matches!(stream.recover(since(2)), Recovery::NotRecovered));
        assert!(matches!(stream.recover(since(3)), Recovery::Recovered(p) if p.is_empty()));
        stream.append(at(0), RETENTION, publication(1));
        assert_eq!(offsets(&stream.last(9)), [4]);
    }
}
