//! The reading side of a connection. In: polls, and the link that it shares with the writing side. Out: what was found,
//! once answers that wait have been given a chance to leave.
//!
//! Never: waits for the peer while something waits that the transport would take; stops reading because the peer
//! does not.

use std::io;
use std::task::{Context, Poll};

use fanfare_codec::{CloseFrame, Message as MessageRef, Opcode, ProtocolError};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::framing::{Found, Framing};
use crate::life::{Due, Life, Phase};
use crate::link::{Link, Side};
use crate::{Error, Message};

#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) framing: Framing,
    pub(crate) life: Life,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Want {
    Message,
    /// One that is going to be answered: not before there is room for that.
    Question,
    /// A piece of at most this many bytes.
    Event(usize),
}

impl Receiving {
    /// Whether the next message is there, and may be taken without a poll; to answer it, if there is room for that.
    #[inline]
    pub(crate) fn has_whole<S>(&self, link: &Link<S>, want: Want) -> bool {
        matches!(self.life.phase, Phase::Open)
            && !(want == Want::Question && link.outgoing.is_full())
            && self.framing.has_whole()
    }

    /// Finds what is next; `None` once the connection has ended.
    #[inline]
    pub(crate) fn poll_found<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link<S>,
        want: Want,
    ) -> Poll<Option<Result<Found, Error>>> {
        if self.framing.has_given_many() {
            // Others wait, too: a buffer may hold very many short messages.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if std::mem::take(&mut self.framing.owes_close) {
                return Poll::Ready(Some(Ok(Found::Control(Opcode::Close))));
            }
            if self.life.phase != Phase::Open {
                return self.poll_ending(cx, link).map(|ended| ended.map(Err));
            }
            if want == Want::Question && link.outgoing.is_full() {
                // A write that fails is told of by what reading finds, or by the next answer.
                if link.poll_room(cx, Side::Reader).is_pending() {
                    return self
                        .poll_due(cx, link)
                        .map(|due| Some(Err(self.expire(due, link))));
                }
            }
            let found = match want {
                Want::Message | Want::Question => self.framing.find_message(),
                Want::Event(max) => self.framing.find_event(max),
            };
            match found {
                Ok(Some(found)) => {
                    if let Found::Control(opcode) = found {
                        if opcode == Opcode::Pong && self.life.takes_pong(self.framing.control()) {
                            continue;
                        }
                        self.answer(cx, link, opcode);
                    }
                    return Poll::Ready(Some(Ok(found)));
                }
                Ok(None) => {}
                Err(error) => {
                    self.life.fail(error, link);
                    continue;
                }
            }
            if let Some(due) = self.life.over {
                return Poll::Ready(Some(Err(self.expire(due, link))));
            }
            // A write that fails does not end reading: what the peer has said before is still to come.
            let _ = link.poll_drain(cx, Side::Reader);
            match self.framing.poll_fill(cx, &mut link.io) {
                Poll::Ready(Ok(1..)) => {
                    self.life.hear();
                    // Who goes on sending does not put off the end: what has come now is the last.
                    if link.outgoing.is_closed()
                        && let Poll::Ready(end) = self.poll_due(cx, link)
                    {
                        self.life.over = Some(end);
                    }
                }
                Poll::Ready(Ok(_)) => {
                    if let Err(error) = self.framing.let_go() {
                        self.life.fail(error, link);
                        continue;
                    }
                    if link.is_drained() {
                        self.end(link, io::ErrorKind::UnexpectedEof);
                        return Poll::Ready(Some(Err(Error::Disconnected)));
                    }
                    self.life.cut(); // what waits to be written may still leave
                }
                Poll::Ready(Err(error)) => {
                    self.end(link, error.kind());
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Pending => {
                    if let Err(error) = self.framing.let_go() {
                        self.life.fail(error, link);
                        continue;
                    }
                    self.framing.rest();
                    // Not before it has shown that there is nothing to read: silence is the peer's, not ours.
                    if let Poll::Ready(due) = self.poll_due(cx, link) {
                        return Poll::Ready(Some(Err(self.expire(due, link))));
                    }
                    if !link.is_drained() {
                        let _ = link.poll_drain(cx, Side::Reader); // a ping of ours
                    }
                    match &mut link.reader {
                        Some(known) => known.clone_from(cx.waker()),
                        none => *none = Some(cx.waker().clone()),
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// The end: what it was if it was an error, and then `None`.
    #[cold]
    fn poll_ending<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link<S>,
    ) -> Poll<Option<Error>> {
        if self.life.phase == Phase::Ended {
            return Poll::Ready(None);
        }
        if self.life.poll_end(cx, link).is_pending() {
            return Poll::Pending;
        }
        let error = match self.life.phase {
            Phase::Failing(error) => Some(error.into()),
            Phase::Cut => Some(Error::Disconnected),
            _ => None,
        };
        self.life.phase = Phase::Ended;
        link.finish();
        Poll::Ready(error)
    }

    /// Answers a ping or a close.
    #[cold]
    fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &Context<'_>,
        link: &mut Link<S>,
        opcode: Opcode,
    ) {
        match opcode {
            Opcode::Ping => link.outgoing.answer_ping(self.framing.control()),
            Opcode::Close => {
                let close = CloseFrame::parse(self.framing.control()).unwrap_or_default();
                link.outgoing.close(close.map(CloseFrame::without_reason));
                self.life.close();
                // So that it leaves even if nobody asks for what follows a close.
                let _ = link.poll_drain(cx, Side::Reader);
            }
            _ => {}
        }
    }

    #[inline]
    fn poll_due<S>(&mut self, cx: &mut Context<'_>, link: &mut Link<S>) -> Poll<Due> {
        let is_closing = link.outgoing.is_closed();
        self.life.poll_due(cx, link, is_closing)
    }

    /// A time that has come ends the connection.
    fn expire<S>(&mut self, due: Due, link: &mut Link<S>) -> Error {
        self.end(link, io::ErrorKind::TimedOut);
        due.into()
    }

    /// Nothing is waited for any more, by the writing side either.
    fn end<S>(&mut self, link: &mut Link<S>, kind: io::ErrorKind) {
        self.life.phase = Phase::Ended;
        link.give_up(kind);
    }

    /// Lends the message that was found.
    ///
    /// # Errors
    ///
    /// The rule that it breaks. The connection is failing then: [`poll_failed`] tells the peer.
    #[inline]
    pub(crate) fn lend<'a, S>(
        &'a mut self,
        link: &mut Link<S>,
        found: &Found,
    ) -> Result<MessageRef<'a>, (ProtocolError, &'a mut Life)> {
        let Self { framing, life } = self;
        match framing.lend(found) {
            Ok(message) => Ok(message),
            Err(error) => {
                life.fail(error, link);
                Err((error, life))
            }
        }
    }

    /// The next message, as its owner.
    pub(crate) fn poll_owned<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link<S>,
    ) -> Poll<Option<Result<Message, Error>>> {
        loop {
            let found = match self.poll_found(cx, link, Want::Message) {
                Poll::Ready(Some(Ok(found))) => found,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            match self.framing.own(&found) {
                Ok(message) => return Poll::Ready(Some(Ok(message))),
                Err(error) => self.life.fail(error, link),
            }
        }
    }

    /// Fills `into` with what comes next of the message that is taken in pieces; `None` behind its end.
    pub(crate) fn poll_piece<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link<S>,
        into: &mut [u8],
    ) -> Poll<Result<Option<usize>, Error>> {
        if into.is_empty() {
            return Poll::Ready(Ok(Some(0)));
        }
        while self.framing.is_in_pieces() {
            let found = match self.poll_found(cx, link, Want::Event(into.len())) {
                Poll::Ready(Some(found)) => found?,
                Poll::Ready(None) => return Poll::Ready(Err(Error::Disconnected)),
                Poll::Pending => return Poll::Pending,
            };
            match found {
                Found::Piece(range, _) if !range.is_empty() => {
                    let data = self.framing.bytes(range);
                    into[..data.len()].copy_from_slice(data);
                    return Poll::Ready(Ok(Some(data.len())));
                }
                Found::Control(Opcode::Close) => {
                    self.framing.owes_close = true; // whoever asks for a message gets it
                    return Poll::Ready(Err(Error::Disconnected));
                }
                _ => {}
            }
        }
        Poll::Ready(Ok(None))
    }

    /// Waits for the end, and drops what comes before it.
    pub(crate) fn poll_end<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link<S>,
    ) -> Poll<Result<(), Error>> {
        loop {
            match self.poll_owned(cx, link) {
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Tells the peer of a rule that it has broken, and gives the error when that is done.
pub(crate) fn poll_failed<S: AsyncRead + AsyncWrite + Unpin>(
    life: &mut Life,
    link: &mut Link<S>,
    cx: &mut Context<'_>,
    error: ProtocolError,
) -> Poll<Error> {
    if life.poll_end(cx, link).is_pending() {
        return Poll::Pending;
    }
    life.phase = Phase::Ended;
    link.finish();
    Poll::Ready(error.into())
}
