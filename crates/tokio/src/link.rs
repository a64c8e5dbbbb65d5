//! The transport and what waits to be written to it: the one thing that both directions share. In: polls of either
//! side. Out: bytes that have left.
//!
//! The reading side writes, too: answers to pings and closes, and whatever waits before it waits itself. A transport
//! wakes only the last task that it has told to wait, so it is given a waker that wakes both sides.
//!
//! Never: loses what a blocked write has not taken; waits where the transport does not.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use fanfare_codec::{CloseFrame, EncodeError, MessageKind, PreparedFrame};
use tokio::io::AsyncWrite;

use crate::outgoing::Outgoing;
use crate::{Error, Message};

/// Who waits until the transport takes something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Reader,
    Writer,
}

#[derive(Debug, Default)]
struct Waiting([Mutex<Option<Waker>>; 2]);

impl Waiting {
    fn add(&self, side: Side, waker: &Waker) {
        let slot = &self.0[side as usize];
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        for slot in &self.0 {
            let waker = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Link<S> {
    pub(crate) io: S,
    pub(crate) outgoing: Outgoing,
    waiting: Arc<Waiting>,
    /// Wakes whoever is in `waiting`.
    waker: Waker,
    /// Who waits for the peer, to be told that a close was written.
    pub(crate) reader: Option<Waker>,
    /// The transport has bytes that it was not told to let go.
    needs_flush: bool,
    /// It was told, and has not yet.
    is_flushing: bool,
    /// As it should.
    has_ended: bool,
}

impl<S> Link<S> {
    pub(crate) fn new(io: S, outgoing: Outgoing) -> Self {
        let waiting = Arc::new(Waiting::default());
        Self {
            io,
            outgoing,
            waker: Arc::clone(&waiting).into(),
            waiting,
            reader: None,
            needs_flush: false,
            is_flushing: false,
            has_ended: false,
        }
    }

    /// Writes the last frame; the reading side then waits for the peer's only so long.
    pub(crate) fn close(&mut self, close: Option<CloseFrame<'_>>) {
        self.outgoing.close(close);
        self.wake_reader();
    }

    /// Appends a frame that others are sent, too, which may be the last.
    pub(crate) fn append_prepared(&mut self, frame: &PreparedFrame) -> Result<(), Error> {
        self.outgoing.prepared(frame)?;
        if self.outgoing.is_closed() {
            self.wake_reader();
        }
        Ok(())
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// The connection has ended: nobody need wait for the transport.
    pub(crate) fn give_up(&mut self, kind: io::ErrorKind) {
        self.outgoing.give_up(kind);
        self.waiting.wake_by_ref();
    }

    /// The connection has ended behind the last frame of each side, or of ours alone. If all of ours has left, whoever writes
    /// is told that it is closed, else that it has failed.
    pub(crate) fn finish(&mut self) {
        let has_left = self.is_drained() && self.outgoing.broken.is_none();
        self.has_ended = has_left && self.outgoing.is_closed();
        self.give_up(match has_left {
            true => io::ErrorKind::NotConnected,
            false => io::ErrorKind::TimedOut,
        });
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.outgoing.waiting().is_empty() && !self.needs_flush
    }
}

/// From this length on a payload leaves from where it lies, if nothing waits before it: a copy of it costs more than a
/// write of its own.
const DIRECT_BYTES_MIN: usize = 16 << 10;

impl<S: AsyncWrite + Unpin> Link<S> {
    /// Writes a whole message; of text the caller knows that it is UTF-8.
    #[inline]
    pub(crate) fn data(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), Error> {
        if payload.len() >= DIRECT_BYTES_MIN
            && self.io.is_write_vectored()
            && let Some((header, len)) = self.outgoing.header_alone(kind, payload.len())
        {
            return self.write_through([&header[..len], payload]);
        }
        self.outgoing.data(kind, payload)
    }

    /// Writes any message.
    pub(crate) fn message(&mut self, message: &Message) -> Result<(), Error> {
        match message {
            Message::Text(text) => self.data(MessageKind::Text, text.as_bytes()),
            Message::Binary(bytes) => self.data(MessageKind::Binary, bytes),
            Message::Ping(payload) => self.outgoing.ping(payload),
            Message::Pong(payload) => self.outgoing.pong(payload),
            Message::Close(close) => {
                self.close(close.as_ref().map(crate::CloseFrame::checked).transpose()?);
                Ok(())
            }
        }
    }

    /// Writes a frame that others are sent, too.
    pub(crate) fn prepared(&mut self, frame: &PreparedFrame) -> Result<(), Error> {
        if frame.len() >= DIRECT_BYTES_MIN
            && self.io.is_write_vectored()
            && self.outgoing.takes_as_it_is(frame)
        {
            return self.write_through(frame.slices(0));
        }
        self.append_prepared(frame)
    }

    /// Gives the transport a frame before which nothing waits. What it does not take now waits as any other.
    fn write_through(&mut self, frame: [&[u8]; 2]) -> Result<(), Error> {
        // Whoever waits for the rest will ask again.
        let mut cx = Context::from_waker(&self.waker);
        let slices = frame.map(IoSlice::new);
        let sent = match Pin::new(&mut self.io).poll_write_vectored(&mut cx, &slices) {
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(written) => written,
            Poll::Pending => Ok(0),
        };
        let sent = sent.map_err(|error| self.fail(error))?;
        self.needs_flush |= sent > 0;
        self.outgoing.keep_rest(frame, sent);
        Ok(())
    }

    /// Writes until nothing waits and the transport has let go of it.
    pub(crate) fn poll_drain(&mut self, cx: &Context<'_>, side: Side) -> Poll<Result<(), Error>> {
        if (self.is_drained() && self.outgoing.broken.is_none()) || self.has_ended {
            return Poll::Ready(Ok(()));
        }
        self.poll_write(cx, side, |outgoing| outgoing.waiting().is_empty())
            .map(|written| written.map_err(Error::Io))
    }

    /// Writes until a message may be written.
    pub(crate) fn poll_room(&mut self, cx: &Context<'_>, side: Side) -> Poll<Result<(), Error>> {
        if !self.outgoing.is_full() && self.outgoing.broken.is_none() {
            return Poll::Ready(Ok(()));
        }
        if self.has_ended {
            return Poll::Ready(Err(EncodeError::Closed.into()));
        }
        self.poll_write(cx, side, |outgoing| !outgoing.is_full())
            .map(|written| written.map_err(Error::Io))
    }

    fn poll_write(
        &mut self,
        cx: &Context<'_>,
        side: Side,
        is_enough: impl Fn(&Outgoing) -> bool,
    ) -> Poll<io::Result<()>> {
        if let Some(kind) = self.outgoing.broken {
            return Poll::Ready(Err(kind.into()));
        }
        while !is_enough(&self.outgoing) {
            let written = match self.poll_io(cx, side, |io, outgoing, cx| {
                io.poll_write(cx, outgoing.waiting())
            }) {
                Poll::Ready(written) => written,
                Poll::Pending => {
                    self.outgoing.is_blocked = true;
                    return Poll::Pending;
                }
            };
            match written.and_then(|n| {
                if n == 0 {
                    Err(io::ErrorKind::WriteZero.into())
                } else {
                    Ok(n)
                }
            }) {
                Ok(n) => {
                    let was_blocked = self.outgoing.is_blocked;
                    self.outgoing.advance(n);
                    self.needs_flush = true;
                    if was_blocked {
                        // The transport owes the other side nothing now.
                        self.waiting.wake_by_ref();
                    }
                }
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        }
        if self.needs_flush && self.outgoing.waiting().is_empty() {
            let was_flushing = std::mem::replace(&mut self.is_flushing, true);
            let flushed = ready!(self.poll_io(cx, side, |io, _, cx| io.poll_flush(cx)));
            self.is_flushing = false;
            if was_flushing {
                self.waiting.wake_by_ref();
            }
            match flushed {
                Ok(()) => self.needs_flush = false,
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our direction of the transport.
    pub(crate) fn poll_shutdown(&mut self, cx: &Context<'_>, side: Side) -> Poll<io::Result<()>> {
        self.poll_io(cx, side, |io, _, cx| io.poll_shutdown(cx))
    }

    /// Polls the transport with the waker of both sides.
    fn poll_io<R>(
        &mut self,
        cx: &Context<'_>,
        side: Side,
        poll: impl Fn(Pin<&mut S>, &Outgoing, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let mut both = Context::from_waker(&self.waker);
        let polled = poll(Pin::new(&mut self.io), &self.outgoing, &mut both);
        if polled.is_ready() {
            return polled;
        }
        // It may have become ready before this side was there to be woken. A reader that waits for the peer is
        // woken, too: the future that has written this may be gone by then.
        self.waiting.add(side, cx.waker());
        if let (Side::Writer, Some(reader)) = (side, &self.reader) {
            self.waiting.add(Side::Reader, reader);
        }
        poll(Pin::new(&mut self.io), &self.outgoing, &mut both)
    }

    #[cold]
    fn fail(&mut self, error: io::Error) -> io::Error {
        self.give_up(error.kind());
        error
    }
}
