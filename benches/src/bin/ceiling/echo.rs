//! An echo that parses nothing. In: masked frames. Out: as many bytes as an echo would have. They are
//! those just read, header and masking untouched, so only their number means something.
//!
//! How many bytes: without a frame length, a read of n bytes is answered with n - 4, since a
//! server's frame header is four bytes shorter than a client's. That is right with one frame a
//! read; d frames in a read get 4 (d - 1) bytes too many. With the length N of a masked frame, header
//! included, each N bytes received are answered with N - 4, and a
//! frame that a read has cut is answered with the read that completes it: one division a read
//! and four bytes a connection, and the lengths are right at any depth.
//!
//! What a socket does not take at once is owed as a number and sent once it is writable; nothing
//! is lost, doubled or buffered.
//!
//! Never: parses a frame, unmasks, validates, allocates for a message.

use std::io;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::server::{Connection, Interest, Mode, Next, READ_BYTES_MAX, Table, receive, upgrade};

/// The mask key, which a client's frame header has and a server's has not.
const MASK_BYTES: usize = 4;

/// The echo.
#[derive(Debug)]
pub(crate) struct Echo {
    frame_bytes: Option<usize>,
    buf: Box<[u8]>,
}

/// What a connection has sent and is owed.
#[derive(Debug, Default)]
pub(crate) struct Account {
    upgraded: bool,
    /// Bytes received of a frame that is not complete; only counted with a frame length.
    cut_bytes: usize,
    /// Bytes of answers that the socket has not taken yet.
    owed_bytes: usize,
}

impl Echo {
    /// `frame_bytes`: the length of every masked frame, if they are all of one.
    pub(crate) fn new(frame_bytes: Option<usize>) -> Self {
        Self {
            frame_bytes,
            buf: vec![0; READ_BYTES_MAX].into_boxed_slice(),
        }
    }
}

impl Mode for Echo {
    type State = Account;

    #[inline]
    fn serve(
        &mut self,
        slot: usize,
        flags: EventFlags,
        table: &mut Table<Account>,
    ) -> io::Result<Next> {
        let next = table.get_mut(slot).map_or(Next::Wait, |connection| {
            connection.on_event(flags, self.frame_bytes, &mut self.buf)
        });
        Ok(next)
    }
}

impl Connection<Account> {
    #[inline]
    fn on_event(&mut self, flags: EventFlags, frame_bytes: Option<usize>, buf: &mut [u8]) -> Next {
        let Self { socket, state } = self;
        let Some(received) = receive(socket, buf) else {
            return Next::Close;
        };
        let mut payload_bytes = received;
        if !state.upgraded && received > 0 {
            let Some(head_bytes) = upgrade(socket, &buf[..received]) else {
                return Next::Close;
            };
            state.upgraded = true;
            payload_bytes -= head_bytes;
        }
        state.owed_bytes += state.reply_bytes(payload_bytes, frame_bytes);
        if state.owed_bytes > 0 {
            let chunk = &buf[..state.owed_bytes.min(buf.len())];
            match send(socket, chunk, SendFlags::NOSIGNAL) {
                Ok(sent) => state.owed_bytes -= sent,
                Err(Errno::AGAIN) => {}
                Err(_) => return Next::Close,
            }
        }
        // A full read leaves more, a short write must be taken up again, and data and FIN may
        // have shared this edge.
        if received == buf.len() || state.owed_bytes > 0 || flags.contains(EventFlags::RDHUP) {
            return Next::Rearm(Interest::of(state.owed_bytes > 0));
        }
        Next::Wait
    }
}

impl Account {
    #[inline]
    fn reply_bytes(&mut self, received: usize, frame_bytes: Option<usize>) -> usize {
        let Some(frame_bytes) = frame_bytes else {
            return received.saturating_sub(MASK_BYTES);
        };
        let total = self.cut_bytes + received;
        let frames = total / frame_bytes;
        self.cut_bytes = total % frame_bytes;
        frames * (frame_bytes - MASK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_frame_length_a_read_is_answered_four_bytes_shorter() {
        let mut account = Account::default();
        assert_eq!(account.reply_bytes(26, None), 22);
        assert_eq!(account.reply_bytes(3, None), 0);
    }

    #[test]
    fn with_a_frame_length_every_cut_of_a_burst_adds_up() {
        for first in 0..=26 * 16 {
            let mut account = Account::default();
            let bytes = account.reply_bytes(first, Some(26))
                + account.reply_bytes(26 * 16 - first, Some(26));
            assert_eq!((bytes, account.cut_bytes), (22 * 16, 0), "cut at {first}");
        }
    }
}
