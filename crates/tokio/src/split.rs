//! Two halves of one connection. In: a stream. Out: a half that reads and one that writes, for two tasks.
//!
//! They share the link behind a lock that is held within a poll only. Pongs and the answer to a close are the reading
//! half's; a transport that takes nothing wakes whichever half waits.
//!
//! Never: holds the lock while anything is waited for.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use fanfare_codec::{CloseCode, Message as MessageRef, MessageKind, PreparedFrame, Role};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::link::{Link, Side};
use crate::receiving::{Receiving, Want, poll_failed};
use crate::traits::poll_close;
use crate::{Error, Event, Message, WebSocketStream};

/// The half that reads, answers pings and closes, and keeps times.
#[derive(Debug)]
pub struct ReadHalf<S> {
    link: Arc<Mutex<Link<S>>>,
    receiving: Receiving,
}

/// The half that writes.
#[derive(Debug)]
pub struct WriteHalf<S> {
    link: Arc<Mutex<Link<S>>>,
}

pub(crate) fn split<S>(stream: WebSocketStream<S>) -> (WriteHalf<S>, ReadHalf<S>) {
    let WebSocketStream { link, receiving } = stream;
    let link = Arc::new(Mutex::new(link));
    let write = WriteHalf {
        link: Arc::clone(&link),
    };
    (write, ReadHalf { link, receiving })
}

fn lock<S>(link: &Mutex<Link<S>>) -> MutexGuard<'_, Link<S>> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> ReadHalf<S> {
    /// The whole again.
    ///
    /// # Errors
    ///
    /// Both halves, if they are not of one stream.
    #[expect(
        clippy::missing_panics_doc,
        reason = "there are two halves, and both are here"
    )]
    pub fn reunite(self, write: WriteHalf<S>) -> Result<WebSocketStream<S>, Box<ReuniteError<S>>> {
        if !Arc::ptr_eq(&self.link, &write.link) {
            return Err(Box::new(ReuniteError(self, write)));
        }
        drop(write);
        let Self { link, receiving } = self;
        let link = Arc::into_inner(link).expect("there are two halves");
        let link = link.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(WebSocketStream { link, receiving })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> ReadHalf<S> {
    /// As [`WebSocketStream::next_message`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn next_message(&mut self) -> Option<Result<MessageRef<'_>, Error>> {
        let Self { link, receiving } = self;
        let want = Want::Message;
        let found = match poll_fn(|cx| receiving.poll_found(cx, &mut lock(link), want)).await? {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let lent = receiving.lend(&mut lock(link), &found);
        Some(match lent {
            Ok(message) => Ok(message),
            Err((error, life)) => {
                Err(poll_fn(|cx| poll_failed(life, &mut lock(link), cx, error)).await)
            }
        })
    }

    /// As [`WebSocketStream::recv`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn recv(&mut self) -> Option<Result<Message, Error>> {
        let Self { link, receiving } = self;
        poll_fn(|cx| receiving.poll_owned(cx, &mut lock(link))).await
    }

    /// As [`WebSocketStream::next_event`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn next_event(&mut self) -> Option<Result<Event<'_>, Error>> {
        let Self { link, receiving } = self;
        let want = Want::Event(usize::MAX);
        let found = match poll_fn(|cx| receiving.poll_found(cx, &mut lock(link), want)).await? {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let Receiving { framing, life } = receiving;
        Some(match framing.lend_event(&found) {
            Ok(event) => Ok(event),
            Err(error) => {
                life.fail(error, &mut lock(link));
                Err(poll_fn(|cx| poll_failed(life, &mut lock(link), cx, error)).await)
            }
        })
    }

    /// As [`WebSocketStream::read_piece`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn read_piece(&mut self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        let Self { link, receiving } = self;
        poll_fn(|cx| receiving.poll_piece(cx, &mut lock(link), into)).await
    }
}

impl<S> WriteHalf<S> {
    /// How many bytes wait to be written.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        lock(&self.link).outgoing.waiting().len()
    }

    /// As [`WebSocketStream::write_text`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn write_text(&mut self, text: &str) -> Result<(), Error> {
        let mut link = lock(&self.link);
        link.outgoing.data(MessageKind::Text, text.as_bytes())
    }

    /// As [`WebSocketStream::write_binary`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn write_binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut link = lock(&self.link);
        link.outgoing.data(MessageKind::Binary, bytes)
    }

    /// As [`WebSocketStream::write_ping`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn write_ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        lock(&self.link).outgoing.ping(payload)
    }

    /// As [`WebSocketStream::write_prepared`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn write_prepared(&mut self, frame: &PreparedFrame) -> Result<(), Error> {
        lock(&self.link).append_prepared(frame)
    }

    /// As [`WebSocketStream::begin`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn begin(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), Error> {
        lock(&self.link).outgoing.begin(kind, payload)
    }

    /// As [`WebSocketStream::proceed`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn proceed(&mut self, payload: &[u8]) -> Result<(), Error> {
        lock(&self.link).outgoing.proceed(payload)
    }

    /// As [`WebSocketStream::end`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn end(&mut self, payload: &[u8]) -> Result<(), Error> {
        lock(&self.link).outgoing.end(payload)
    }

    /// Our end of the connection.
    #[must_use]
    pub fn role(&self) -> Role {
        lock(&self.link).outgoing.role()
    }
}

impl<S: AsyncWrite + Unpin> WriteHalf<S> {
    /// As [`WebSocketStream::ready`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn ready(&mut self) -> Result<(), Error> {
        self.append(|_| Ok(())).await
    }

    /// Appends a message, once there is room; there is always room for a close.
    ///
    /// # Errors
    ///
    /// As [`WebSocketStream::send`].
    pub async fn feed(&mut self, message: Message) -> Result<(), Error> {
        if message.is_close() {
            return lock(&self.link).message(&message);
        }
        self.append(|link| link.message(&message)).await
    }

    /// As [`WebSocketStream::send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// As [`WebSocketStream::send_text`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_text(&mut self, text: &str) -> Result<(), Error> {
        self.append(|link| link.data(MessageKind::Text, text.as_bytes()))
            .await?;
        self.flush().await
    }

    /// As [`WebSocketStream::send_binary`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.append(|link| link.data(MessageKind::Binary, bytes))
            .await?;
        self.flush().await
    }

    /// As [`WebSocketStream::send_prepared`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_prepared(&mut self, frame: &PreparedFrame) -> Result<(), Error> {
        self.append(|link| link.prepared(frame)).await?;
        self.flush().await
    }

    /// Lets everything leave that was written.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| lock(&self.link).poll_drain(cx, Side::Writer)).await
    }

    /// Sends a close frame. The peer's answer is the reading half's, which waits for it no longer than
    /// [`close_timeout`](crate::Config::close_timeout).
    ///
    /// # Errors
    ///
    /// [`Error::CloseCode`], [`Error::Io`].
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let close = fanfare_codec::CloseFrame::new(code, reason)?;
        lock(&self.link).close(Some(close));
        self.flush().await
    }

    /// Runs `append` in the poll that finds room.
    async fn append(
        &self,
        mut append: impl FnMut(&mut Link<S>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        poll_fn(|cx| {
            let mut link = lock(&self.link);
            std::task::ready!(link.poll_room(cx, Side::Writer))?;
            Poll::Ready(append(&mut link))
        })
        .await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for ReadHalf<S> {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { link, receiving } = self.get_mut();
        receiving.poll_owned(cx, &mut lock(link))
    }
}

impl<S: AsyncWrite + Unpin> Sink<Message> for WriteHalf<S> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        lock(&self.link).poll_room(cx, Side::Writer)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        lock(&self.link).message(&message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        lock(&self.link).poll_drain(cx, Side::Writer)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        poll_close(&mut lock(&self.link), cx)
    }
}

/// Two halves that are of different streams.
pub struct ReuniteError<S>(pub ReadHalf<S>, pub WriteHalf<S>);

impl<S> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReuniteError")
    }
}

impl<S> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are of different streams")
    }
}

impl<S> std::error::Error for ReuniteError<S> {}
