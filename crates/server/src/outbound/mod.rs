//! What a connection's peer has not taken yet. In: replies, publications of history, segments that many
//! share. Out: the bytes to try next, in one `writev`.
//!
//! A segment is kept by reference and a cursor, and what it pins counts whole: the cap is on memory, not
//! on bytes to send. An empty queue holds no memory.
//!
//! Never: sends; cuts a frame that has begun to leave.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use fanfare_hub::ChannelId;

use crate::limits::SLICES_PER_SEND_MAX;
use crate::push::Segment;

/// Bytes queued behind a cursor.
#[derive(Debug, Default)]
pub(crate) struct Outbound(Option<Box<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    /// Bytes still to be sent.
    unsent: usize,
    /// Memory that the chunks keep.
    pinned: usize,
    /// Of that, what nobody else keeps.
    own: usize,
    /// How much of that may be over the cap: the history that a subscriber asked for. It is in front of
    /// everything else, so what leaves is its first.
    allowance: usize,
}

#[derive(Debug)]
enum Chunk {
    /// Frames of this connection alone; `sent` of the bytes have left.
    Own { bytes: Vec<u8>, sent: usize },
    /// A payload that history holds, too, and what stands in front of it.
    Payload {
        head: Box<[u8]>,
        payload: Bytes,
        sent: usize,
    },
    /// Frames that others get, too, still to be sent.
    Shared(Part),
}

/// Frames of one channel's segment.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) segment: Arc<Segment>,
    pub(crate) range: Range<u32>,
    /// Whose news they are: what one channel may lose is no other's.
    pub(crate) channel: ChannelId,
}

/// What to do with the publications of a peer that is too slow for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Keep them; the owner closes it.
    Report,
    /// Drop the oldest that have not begun to leave.
    DropOldest,
    /// Drop all but the last, and those that have begun to leave.
    KeepLatest,
}

/// Whether a queue is within its cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Fit {
    Fits,
    /// More would wait than may.
    Over,
}

impl Chunk {
    /// The memory that it keeps, its own place included.
    fn pinned(&self) -> usize {
        let bytes = match self {
            Self::Own { bytes, .. } => bytes.len(),
            Self::Payload { head, payload, .. } => head.len() + payload.len(),
            Self::Shared(part) => part.segment.memory_bytes(),
        };
        bytes + size_of::<Self>()
    }

    /// Of that, what nobody else keeps: neither history nor another connection.
    fn own(&self) -> usize {
        let bytes = match self {
            Self::Own { bytes, .. } => bytes.len(),
            Self::Payload { head, .. } => head.len(),
            Self::Shared(_) => 0,
        };
        bytes + size_of::<Self>()
    }

    fn unsent(&self) -> usize {
        match self {
            Self::Own { bytes, sent } => bytes.len() - *sent,
            Self::Payload {
                head,
                payload,
                sent,
            } => head.len() + payload.len() - *sent,
            Self::Shared(Part { range, .. }) => (range.end - range.start) as usize,
        }
    }

    fn advance(&mut self, len: usize) {
        match self {
            Self::Own { sent, .. } | Self::Payload { sent, .. } => *sent += len,
            Self::Shared(Part { range, .. }) => {
                range.start += u32::try_from(len).expect("no more than was offered");
            }
        }
    }

    /// The parts still to be sent; the second may be empty.
    fn slices(&self) -> [&[u8]; 2] {
        match self {
            Self::Own { bytes, sent } => [&bytes[*sent..], &[]],
            Self::Payload {
                head,
                payload,
                sent,
            } => match sent.checked_sub(head.len()) {
                None => [&head[*sent..], payload],
                Some(of_payload) => [&payload[of_payload..], &[]],
            },
            Self::Shared(Part { segment, range, .. }) => {
                let range = range.start as usize..range.end as usize;
                [&segment.bytes()[range], &[]]
            }
        }
    }

    /// The end of a frame of publications that has begun to leave; none if there is no such frame.
    fn begun_until(&self) -> Option<u32> {
        match self {
            Self::Shared(Part { segment, range, .. }) => {
                Some(segment.frame_end(range.start)).filter(|end| *end > range.start)
            }
            Self::Own { .. } | Self::Payload { .. } => None,
        }
    }

    /// Whether it is publications that can be dropped whole.
    fn is_droppable(&self) -> bool {
        matches!(self, Self::Shared(_)) && self.begun_until().is_none()
    }

    /// Whether it is publications of `channel`.
    fn is_of(&self, channel: ChannelId) -> bool {
        matches!(self, Self::Shared(part) if part.channel == channel)
    }
}

impl Outbound {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes still to be sent.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.unsent)
    }

    /// Memory that it keeps.
    pub(crate) fn pinned_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.pinned)
    }

    /// Of that, what nobody else keeps.
    pub(crate) fn own_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.own)
    }

    /// What is to be sent next: how many of `slices` say so, from the first.
    pub(crate) fn unsent<'q>(&'q self, slices: &mut [IoSlice<'q>; SLICES_PER_SEND_MAX]) -> usize {
        let mut used = 0;
        let chunks = self.0.iter().flat_map(|queue| &queue.chunks);
        let parts = chunks.flat_map(Chunk::slices).filter(|s| !s.is_empty());
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
            used += 1;
        }
        used
    }

    /// Queues a copy of `bytes`.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let queue = self.0.get_or_insert_default();
        if let Some(Chunk::Own { bytes: last, .. }) = queue.chunks.back_mut() {
            last.extend_from_slice(bytes);
            queue.unsent += bytes.len();
            queue.pinned += bytes.len();
            queue.own += bytes.len();
        } else {
            queue.push(Chunk::Own {
                bytes: bytes.to_vec(),
                sent: 0,
            });
        }
    }

    /// Takes `replies` over but for its first `sent` bytes, and leaves it empty.
    pub(crate) fn queue(&mut self, replies: &mut Vec<u8>, sent: usize) {
        let left = replies.len() - sent;
        if left > 0 && self.is_empty() && left >= replies.capacity() / 2 {
            // Mostly payload that waits: the allocation itself changes hands.
            self.0.get_or_insert_default().push(Chunk::Own {
                bytes: std::mem::take(replies),
                sent,
            });
        } else {
            self.append(&replies[sent..]);
            replies.clear();
        }
    }

    /// Queues a publication of history, which may be over the cap: its payload is shared with the history.
    pub(crate) fn push_history(&mut self, head: &[u8], payload: Bytes) {
        self.0.get_or_insert_default().push(Chunk::Payload {
            head: head.into(),
            payload,
            sent: 0,
        });
    }

    /// All that waits now may be over the cap, until it has left.
    pub(crate) fn allow(&mut self) {
        if let Some(queue) = &mut self.0 {
            queue.allowance = queue.pinned;
        }
    }

    /// Queues frames, as many as `excess` leaves of all of their channel that waits under `cap` bytes. One
    /// segment always fits an empty queue; what is [`Fit::Over`] is not queued.
    pub(crate) fn push_shared(&mut self, part: Part, excess: Excess, cap: usize) -> Fit {
        let queue = self.0.get_or_insert_default();
        let is_first = queue.chunks.is_empty();
        let channel = part.channel;
        let chunk = Chunk::Shared(part);
        let cap = cap.saturating_add(queue.allowance);
        let over = |queue: &Queue| (queue.pinned + chunk.pinned()).saturating_sub(cap);
        match excess {
            Excess::Report if over(queue) > 0 && !is_first => return Fit::Over,
            Excess::Report => {}
            Excess::DropOldest => queue.drop_oldest(over(queue), channel),
            Excess::KeepLatest => queue.drop_all(channel),
        }
        // Other channels may lose nothing for it.
        if over(queue) > 0 && queue.has_others(channel) {
            return Fit::Over;
        }
        match chunk {
            Chunk::Shared(part) if excess == Excess::KeepLatest => queue.push_latest(part),
            chunk => queue.push(chunk),
        }
        Fit::Fits
    }

    /// Drops all publications but what has begun to leave: no more will come.
    pub(crate) fn cut_short(&mut self) {
        if let Some(queue) = &mut self.0 {
            queue.end_begun();
            queue.drop_where(|index, chunk| match chunk {
                Chunk::Own { .. } => false,
                Chunk::Payload { sent, .. } => *sent == 0,
                Chunk::Shared(_) => index > 0 || chunk.is_droppable(),
            });
            if queue.chunks.is_empty() {
                self.0 = None;
            }
        }
    }

    /// `sent` more bytes have left.
    pub(crate) fn advance(&mut self, sent: usize) {
        let Some(queue) = &mut self.0 else {
            debug_assert!(sent == 0, "more sent than queued");
            return;
        };
        queue.advance(sent);
        if queue.chunks.is_empty() {
            self.0 = None;
        }
    }
}

impl Queue {
    /// A connection that falls behind rarely has more than a few chunks: no room for more at first.
    fn push(&mut self, chunk: Chunk) {
        self.unsent += chunk.unsent();
        self.pinned += chunk.pinned();
        self.own += chunk.own();
        if self.chunks.len() == self.chunks.capacity() {
            self.chunks.reserve_exact(self.chunks.len().max(1));
        }
        self.chunks.push_back(chunk);
    }

    fn advance(&mut self, mut sent: usize) {
        self.unsent -= sent;
        while let Some(chunk) = self.chunks.front_mut() {
            let len = chunk.unsent();
            if sent < len {
                chunk.advance(sent);
                let freed = reclaim(chunk);
                self.own -= freed;
                self.free(freed);
                return;
            }
            sent -= len;
            let freed = chunk.pinned();
            self.own -= chunk.own();
            self.free(freed);
            self.chunks.pop_front();
        }
        debug_assert!(sent == 0, "more sent than queued");
    }

    fn free(&mut self, pinned: usize) {
        self.pinned -= pinned;
        self.allowance = self.allowance.saturating_sub(pinned);
    }

    /// The frame that has begun to leave is the last of its chunk.
    fn end_begun(&mut self) {
        let Some(first) = self.chunks.front_mut() else {
            return;
        };
        if let (Some(end), Chunk::Shared(Part { range, .. })) = (first.begun_until(), first) {
            self.unsent -= (range.end - end) as usize;
            range.end = end;
        }
    }

    fn drop_where(&mut self, mut drops: impl FnMut(usize, &Chunk) -> bool) {
        let mut index = 0;
        let (unsent, pinned, own) = (&mut self.unsent, &mut self.pinned, &mut self.own);
        self.chunks.retain(|chunk| {
            let goes = drops(index, chunk);
            index += 1;
            if goes {
                *unsent -= chunk.unsent();
                *pinned -= chunk.pinned();
                *own -= chunk.own();
            }
            !goes
        });
    }

    /// Whether publications of other channels wait.
    fn has_others(&self, channel: ChannelId) -> bool {
        let mut chunks = self.chunks.iter();
        chunks.any(|chunk| matches!(chunk, Chunk::Shared(part) if part.channel != channel))
    }

    /// Drops segments of `channel` from the oldest on until `excess` bytes are gone, or all that can go.
    fn drop_oldest(&mut self, mut excess: usize, channel: ChannelId) {
        self.drop_where(|_, chunk| {
            let goes = excess > 0 && chunk.is_of(channel) && chunk.is_droppable();
            if goes {
                excess = excess.saturating_sub(chunk.pinned());
            }
            goes
        });
    }

    /// Drops every publication of `channel` that has not begun to leave.
    fn drop_all(&mut self, channel: ChannelId) {
        if self
            .chunks
            .front()
            .is_some_and(|first| first.is_of(channel))
        {
            self.end_begun();
        }
        self.drop_where(|_, chunk| chunk.is_of(channel) && chunk.is_droppable());
    }

    /// Queues the last publication of a part. What of the part has begun to leave, is ended.
    fn push_latest(&mut self, part: Part) {
        let Part {
            segment,
            range,
            channel,
        } = part;
        let begun = segment.frame_end(range.start);
        let latest = segment.last_frame().max(range.start);
        for range in [range.start..begun, latest.max(begun)..range.end] {
            if range.is_empty() {
                continue;
            }
            self.push(Chunk::Shared(Part {
                segment: Arc::clone(&segment),
                range,
                channel,
            }));
        }
    }
}

/// Gives the memory of what has left back, before the chunk grows again: a byte moves for each one sent.
fn reclaim(chunk: &mut Chunk) -> usize {
    match chunk {
        Chunk::Own { bytes, sent } if *sent >= bytes.len() / 2 => {
            bytes.drain(..*sent);
            std::mem::take(sent)
        }
        _ => 0,
    }
}
