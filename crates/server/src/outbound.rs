//! What a connection's peer has not taken yet. In: encoded frames that a `send` did not take. Out: the
//! bytes to try next.
//!
//! Holds no memory while empty. Its size is capped by its owner, which stops reading the peer.
//!
//! Never: sends.

/// Bytes queued behind a cursor.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    bytes: Vec<u8>,
    /// How many of them have left.
    sent: usize,
}

impl Outbound {
    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes still to be sent.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Queues a copy of `bytes`.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Takes `replies` over but for its first `sent` bytes, and leaves it empty.
    pub(crate) fn queue(&mut self, replies: &mut Vec<u8>, sent: usize) {
        let left = replies.len() - sent;
        if left == 0 {
            replies.clear();
        } else if self.is_empty() && left >= replies.capacity() / 2 {
            // Mostly payload that waits: the allocation itself changes hands.
            self.bytes = std::mem::take(replies);
            self.sent = sent;
        } else {
            self.bytes.extend_from_slice(&replies[sent..]);
            replies.clear();
        }
    }

    /// `sent` more bytes have left.
    pub(crate) fn advance(&mut self, sent: usize) {
        self.sent += sent;
        debug_assert!(self.sent <= self.bytes.len(), "more sent than queued");
        if self.sent == self.bytes.len() {
            *self = Self::default();
        } else if self.sent >= self.bytes.len() / 2 {
            // What has left makes room before the queue grows again: a byte moves for each one sent.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_and_memory_with_them() {
        let mut outbound = Outbound::default();
        let mut expected: Vec<u8> = Vec::new();
        let mut received: Vec<u8> = Vec::new();
        for round in 0..200_u8 {
            let mut replies: Vec<u8> = (0..=round).collect();
            let sent = if outbound.is_empty() {
                usize::from(round) / 3
            } else {
                0
            };
            expected.extend_from_slice(&replies);
            received.extend_from_slice(&replies[..sent]);
            if round % 3 == 0 {
                outbound.append(&replies[sent..]);
            } else {
                outbound.queue(&mut replies, sent);
                assert!(replies.is_empty());
            }
            let take = outbound.len().min(usize::from(round) * 7 % 160);
            received.extend_from_slice(&outbound.unsent()[..take]);
            outbound.advance(take);
            assert_eq!(received.len() + outbound.len(), expected.len());
        }
        received.extend_from_slice(outbound.unsent());
        outbound.advance(outbound.len());
        assert_eq!(received, expected);
        assert!(outbound.is_empty());
        assert_eq!(outbound.bytes.capacity(), 0);
    }
}
