//! What goes out on one connection. In: replies of a turn. Out: one `send` of them, and a queue for
//! what the kernel did not take.
//!
//! Never: drops or reorders a byte.

use std::io;

use super::{Conn, Context, Fate, Phase, Stop, Why};
use crate::clock::Time;
use crate::limits::REPLY_BUFFER_BYTES_KEPT;
use crate::transport::Transport;

impl Conn {
    /// Sends the turn's replies, behind what is queued already.
    #[inline]
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Fate {
        if !cx.replies.is_empty() {
            match self.offer(cx.replies, cx.now) {
                Ok(sent) => self.outbound.queue(cx.replies, sent),
                Err(error) => {
                    cx.replies.clear();
                    return Fate::Gone(Why::Socket(error));
                }
            }
            if cx.replies.capacity() > REPLY_BUFFER_BYTES_KEPT {
                *cx.replies = Vec::new();
            }
        }
        self.finish_if_said(cx)
    }

    /// [`flush`](Self::flush) of replies that are the first `len` bytes of the receive buffer, if there
    /// are any.
    #[inline]
    pub(super) fn flush_in_place(&mut self, len: usize, cx: &mut Context<'_>) -> Fate {
        if len == 0 {
            return self.flush(cx);
        }
        debug_assert!(cx.replies.is_empty(), "replies lie in one place");
        let replies = &cx.receive_buffer[..len];
        match self.offer(replies, cx.now) {
            Ok(sent) => self.outbound.append(&replies[sent..]),
            Err(error) => return Fate::Gone(Why::Socket(error)),
        }
        Fate::Wait
    }

    /// Sends what the kernel takes of `replies`, unless others are queued in front of them; how much.
    #[inline]
    fn offer(&mut self, replies: &[u8], now: Time) -> io::Result<usize> {
        if !self.outbound.is_empty() {
            return Ok(0);
        }
        self.took_at = now;
        send(&mut self.transport, replies)
    }

    /// Sends what is queued; takes reading up again if it waited for that.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> Fate {
        while !self.outbound.is_empty() {
            let offered = self.outbound.len();
            match send(&mut self.transport, self.outbound.unsent()) {
                Ok(0) => return Fate::Wait,
                Ok(n) => {
                    self.took_at = cx.now;
                    self.outbound.advance(n);
                    if n < offered {
                        return Fate::Wait;
                    }
                }
                Err(error) => return Fate::Gone(Why::Socket(error)),
            }
        }
        if let Phase::Closing { until, .. } = &mut self.phase {
            *until = cx.now + cx.config.timeouts.close; // our close has left only now
        }
        match self.stop {
            Stop::OutputFull => self.read(cx),
            Stop::Finished => Fate::Gone(Why::PeerLeft),
            Stop::Drained | Stop::TurnOver => self.finish_if_said(cx),
        }
    }

    /// Sends FIN once there is nothing more to say.
    fn finish_if_said(&mut self, cx: &Context<'_>) -> Fate {
        if let Phase::Lingering { fin_sent, until } = &mut self.phase
            && self.outbound.is_empty()
            && !*fin_sent
        {
            *fin_sent = true;
            *until = cx.now + cx.config.timeouts.close;
            if let Err(error) = self.transport.finish() {
                return Fate::Gone(Why::Socket(error));
            }
        }
        Fate::Wait
    }
}

/// How many bytes the kernel took: none if it is full.
fn send(transport: &mut Transport, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match transport.send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return sent,
        }
    }
}
