//! What goes out on one connection. In: replies of a turn, publications of a tick. Out: one `send` of
//! them, and a queue for what the kernel did not take.
//!
//! Never: reorders a byte, or drops one but what [`Excess`] says.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::{Conn, Context, Endpoint, Fate, Phase, Stop, Why};
use crate::clock::Time;
use crate::limits::{REPLY_BUFFER_BYTES_KEPT, SLICES_PER_SEND_MAX};
use crate::metrics::Worker as Metrics;
use crate::outbound::{Excess, Fit, Outbound, Part};
use crate::push::Share;
use crate::transport::Transport;

impl Conn {
    /// Sends the turn's replies, behind what is queued already.
    #[inline]
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Fate {
        if !cx.replies.is_empty() {
            match self.offer(cx.replies, cx.now) {
                Ok(sent) => {
                    self.count_sent(sent, cx.metrics);
                    self.outbound.queue(cx.replies, sent);
                }
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
            Ok(sent) => {
                self.count_sent(sent, cx.metrics);
                self.outbound.append(&replies[sent..]);
            }
            Err(error) => return Fate::Gone(Why::Socket(error)),
        }
        Fate::Wait
    }

    /// Whether anything that was said waits for the kernel to take it.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        !self.outbound.is_empty() || !self.transport.is_flushed()
    }

    /// Whether so much waits that its peer is to take some before it is heard again.
    #[inline]
    pub(super) fn has_too_much_queued(&self, cx: &Context<'_>) -> bool {
        self.has_queued_more_than(0, cx)
    }

    /// The same, and `beside` bytes, or as much of them as is left for all.
    #[inline]
    pub(super) fn has_queued_more_than(&self, beside: usize, cx: &Context<'_>) -> bool {
        if self.outbound.is_empty() {
            return false;
        }
        let beside = beside.min(cx.output_bytes_left());
        self.outbound.len() > cx.output_bytes_max().saturating_add(beside)
    }

    /// Sends what the kernel takes of `replies`, unless others are queued in front of them; how much.
    #[inline]
    fn offer(&mut self, replies: &[u8], now: Time) -> io::Result<usize> {
        if self.is_waiting() {
            return Ok(0);
        }
        self.took_at = now;
        send(&mut self.transport, replies)
    }

    /// Tells a subscriber publications. They leave at once unless others are queued in front of them; what
    /// the kernel does not take is kept by reference. `cap`: what may wait for one connection at the moment; if that
    /// is nothing, nobody begins to.
    #[inline]
    pub(crate) fn tell(
        &mut self,
        share: Share<'_>,
        cap: usize,
        metrics: &Metrics,
        now: Time,
    ) -> Told {
        let Share {
            segment,
            mut range,
            channel,
            excess,
            has_company,
        } = share;
        match &mut self.phase {
            Phase::Open {
                endpoint: Endpoint::Raw(_),
                ..
            } => {}
            Phase::Open {
                endpoint: Endpoint::Session(seat),
                ..
            } if seat.is_connected() => {}
            Phase::Open {
                endpoint: Endpoint::Session(seat),
                ..
            } => {
                let part = Part {
                    segment: Arc::clone(segment),
                    range,
                    channel,
                };
                return match seat.hold(part, cap) {
                    Fit::Fits => Told::All,
                    Fit::Over => Told::TooSlow,
                };
            }
            _ => return Told::All,
        }
        let has_company = has_company && cap > 0; // else nothing may be gathered
        let was_empty = !self.is_waiting();
        if was_empty {
            self.took_at = now;
        }
        if was_empty && !has_company {
            let bytes = &segment.bytes()[range.start as usize..range.end as usize];
            match send(&mut self.transport, bytes) {
                Ok(sent) => {
                    self.count_sent(sent, metrics);
                    if sent == bytes.len() {
                        return if self.transport.is_flushed() {
                            Told::All
                        } else {
                            Told::Later
                        };
                    }
                    range.start += u32::try_from(sent).expect("no more than was offered");
                }
                Err(error) => return Told::Gone(Why::Socket(error)),
            }
        }
        let part = Part {
            segment: Arc::clone(segment),
            range,
            channel,
        };
        if cap == 0 && self.outbound.is_empty() {
            return Told::Gone(Why::NoRoom); // it would begin to wait, perhaps in the middle of a frame
        }
        match self.outbound.push_shared(part.clone(), excess, cap) {
            Fit::Fits if was_empty && has_company => Told::WithOthers,
            Fit::Fits => Told::Later,
            Fit::Over if has_company => self.tell_at_once(part, cap, metrics, now),
            Fit::Over => Told::TooSlow,
        }
    }

    /// What waits may be of this tick alone, and nothing that the peer is slow to take: it is sent first.
    fn tell_at_once(&mut self, part: Part, cap: usize, metrics: &Metrics, now: Time) -> Told {
        if let Err(error) = self.send_all_queued(metrics, now) {
            return Told::Gone(Why::Socket(error));
        }
        match self.outbound.push_shared(part, Excess::Report, cap) {
            Fit::Fits => Told::WithOthers,
            Fit::Over => Told::TooSlow,
        }
    }

    /// Everything of a tick is queued: it leaves in one `writev`.
    pub(crate) fn send_tick(&mut self, cx: &mut Context<'_>) -> Fate {
        self.write(cx)
    }

    /// Sends what is queued as long as the kernel takes all of it.
    fn send_all_queued(&mut self, metrics: &Metrics, now: Time) -> io::Result<()> {
        if self.transport.flush()? > 0 {
            self.took_at = now;
        }
        while !self.outbound.is_empty() {
            let Sent { bytes, is_all } = send_queued(&mut self.transport, &self.outbound)?;
            if bytes > 0 {
                self.count_sent(bytes, metrics);
                self.took_at = now;
                self.outbound.advance(bytes);
            }
            if !is_all {
                break;
            }
        }
        Ok(())
    }

    /// Sends what is queued; takes reading up again if it waited for that.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> Fate {
        if let Err(error) = self.send_all_queued(cx.metrics, cx.now) {
            return Fate::Gone(Why::Socket(error));
        }
        if self.is_waiting() {
            return Fate::Wait;
        }
        self.armed_at = Time::NEVER;
        if let Phase::Closing {
            until, has_left, ..
        } = &mut self.phase
            && !std::mem::replace(has_left, true)
        {
            *until = cx.now + cx.config.timeouts.close; // our close has left only now
        }
        match (self.finish_if_said(cx), self.stop) {
            (gone @ Fate::Gone(_), _) => gone,
            // Commands may be left over from what was read.
            (_, Stop::OutputFull) if self.is_session() || !self.spill.is_empty() => self.resume(cx),
            (_, Stop::OutputFull) => self.read(cx),
            (_, Stop::Finished) => Fate::Gone(Why::PeerLeft),
            (fate, _) => fate,
        }
    }

    /// Sends FIN once there is nothing more to say.
    fn finish_if_said(&mut self, cx: &Context<'_>) -> Fate {
        let has_ended = matches!(
            self.phase,
            Phase::Lingering {
                fin_sent: false,
                ..
            }
        );
        if !has_ended || self.is_waiting() {
            return Fate::Wait;
        }
        match self.transport.finish() {
            Ok(()) => {
                self.phase = Phase::Lingering {
                    fin_sent: true,
                    until: cx.now + cx.config.timeouts.close,
                };
                Fate::Wait
            }
            // What ends a TLS session waits itself, for the write that drains it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Fate::Wait,
            Err(error) => Fate::Gone(Why::Socket(error)),
        }
    }
}

/// What became of publications that a subscriber was told.
#[derive(Debug)]
pub(crate) enum Told {
    /// They have left, or it is no subscriber any more.
    All,
    /// The next edge takes them up.
    Later,
    /// They wait for those of other channels: [`Conn::send_tick`].
    WithOthers,
    /// More would wait than may: they do not.
    TooSlow,
    Gone(Why),
}

/// What the kernel took.
struct Sent {
    bytes: usize,
    /// It was all that was offered: it may take more.
    is_all: bool,
}

fn send_queued(transport: &mut Transport, outbound: &Outbound) -> io::Result<Sent> {
    let mut parts = [IoSlice::new(&[]); SLICES_PER_SEND_MAX];
    let used = outbound.unsent(&mut parts);
    let parts = &parts[..used];
    let offered: usize = parts.iter().map(|part| part.len()).sum();
    let bytes = match parts {
        [part] => send(transport, part)?,
        parts => unless_full(|| transport.send_parts(parts))?,
    };
    Ok(Sent {
        bytes,
        is_all: bytes == offered,
    })
}

/// How many bytes the kernel took: none if it is full.
fn send(transport: &mut Transport, bytes: &[u8]) -> io::Result<usize> {
    unless_full(|| transport.send(bytes))
}

fn unless_full(mut send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return sent,
        }
    }
}
