//! One connection, in one hand. In: a transport whose HTTP upgrade is done. Out: messages, borrowed or owned, and what is
//! sent.
//!
//! Never: loses or doubles a byte when a future is dropped: what was read stays, and a message is written whole or
//! not at all.

use std::future::poll_fn;

#[cfg(feature = "deflate")]
use fanfare_codec::deflate::DeflateTerms;
use fanfare_codec::{
    CloseCode, Message as MessageRef, MessageDecoder, MessageKind, PreparedFrame, Role,
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::framing::{Found, Framing};
use crate::life::Life;
use crate::link::{Link, Side};
use crate::outgoing::Outgoing;
use crate::receiving::{Receiving, Want, poll_failed};
use crate::{Config, Error, Event, Message, ReadHalf, Replies, WriteHalf};

/// A WebSocket over any transport.
///
/// Reading is what moves a connection: while a message is waited for, what was written leaves, pings are answered,
/// closes too, and times are kept. Three ways to read, and they can be mixed:
///
/// | want | take |
/// |---|---|
/// | messages to keep | the [`Stream`](futures_core::Stream), or [`recv`](Self::recv) |
/// | messages to look at or answer, without an allocation each | [`next_message`](Self::next_message), [`next_with_replies`](Self::next_with_replies) |
/// | huge messages in pieces | [`next_event`](Self::next_event), [`read_piece`](Self::read_piece) |
///
/// And to write: `write_…` append and wait for nothing, `send_…` append and [`flush`](Self::flush). All of what was
/// appended leaves in one write, at the next flush or when reading has to wait. A server's message of 16 KiB or more, if it
/// is sent, fed or an answer, nothing waits before it and it is not compressed, leaves from where it lies.
///
/// Every future here may be dropped at any time, in a `select!` or by a timeout: nothing that was received is lost,
/// and what was to be sent is then queued whole, or not at all.
#[derive(Debug)]
pub struct WebSocketStream<S> {
    pub(crate) link: Link<S>,
    pub(crate) receiving: Receiving,
}

// An idle connection is this, 64 bytes for whom to wake, and its transport.
const _: () = assert!(size_of::<WebSocketStream<()>>() <= 456);

impl<S> WebSocketStream<S> {
    /// A connection whose HTTP upgrade somebody else has done. `read`: what was read behind it.
    pub fn from_raw(io: S, role: Role, config: &Config, read: &[u8]) -> Self {
        let decoder = MessageDecoder::new(role, config.limits);
        Self::build(io, role, config, read, decoder)
    }

    /// The same where both sides agreed on permessage-deflate.
    #[cfg(feature = "deflate")]
    pub fn from_raw_deflate(
        io: S,
        role: Role,
        config: &Config,
        read: &[u8],
        terms: Option<DeflateTerms>,
    ) -> Self {
        let Some(terms) = terms else {
            return Self::from_raw(io, role, config, read);
        };
        let peer = terms.sent_by(role.peer());
        let decoder = MessageDecoder::new(role, config.limits).with_deflate(peer);
        let mut stream = Self::build(io, role, config, read, decoder);
        stream.receiving.framing.set_inflates();
        stream.link.outgoing.set_deflate(terms, config);
        stream
    }

    fn build(io: S, role: Role, config: &Config, read: &[u8], decoder: MessageDecoder) -> Self {
        Self {
            link: Link::new(io, Outgoing::new(role, config)),
            receiving: Receiving {
                framing: Framing::new(decoder, role, config, read),
                life: Life::new(config),
            },
        }
    }

    /// Our end of the connection.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.link.outgoing.role()
    }

    /// The transport.
    #[must_use]
    pub const fn io(&self) -> &S {
        &self.link.io
    }

    /// The transport, to set its options; whoever reads from it or writes to it breaks the connection.
    #[must_use]
    pub const fn io_mut(&mut self) -> &mut S {
        &mut self.link.io
    }

    /// How many bytes wait to be written.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.link.outgoing.waiting().len()
    }

    /// Appends a text message.
    ///
    /// # Errors
    ///
    /// [`Error::WriteBufferFull`]; [`Error::Encode`] inside a fragmented message and behind a close.
    #[inline]
    pub fn write_text(&mut self, text: &str) -> Result<(), Error> {
        self.link.outgoing.data(MessageKind::Text, text.as_bytes())
    }

    /// Appends a binary message.
    ///
    /// # Errors
    ///
    /// As [`write_text`](Self::write_text).
    #[inline]
    pub fn write_binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.link.outgoing.data(MessageKind::Binary, bytes)
    }

    /// Appends a ping; at most 125 bytes.
    ///
    /// # Errors
    ///
    /// As [`write_text`](Self::write_text), and [`Error::Encode`] if it is longer.
    pub fn write_ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.link.outgoing.ping(payload)
    }

    /// Appends a frame that was encoded once for many; compressed, if this connection understands it.
    ///
    /// # Errors
    ///
    /// As [`write_text`](Self::write_text), and [`Error::NotAServer`].
    pub fn write_prepared(&mut self, frame: &PreparedFrame) -> Result<(), Error> {
        self.link.append_prepared(frame)
    }

    /// Appends the first fragment of a message. Text may be cut inside a character.
    ///
    /// # Errors
    ///
    /// As [`write_text`](Self::write_text).
    pub fn begin(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), Error> {
        self.link.outgoing.begin(kind, payload)
    }

    /// Appends a further fragment.
    ///
    /// # Errors
    ///
    /// As [`write_text`](Self::write_text), and [`Error::Encode`] outside a message.
    pub fn proceed(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.link.outgoing.proceed(payload)
    }

    /// Appends the last fragment.
    ///
    /// # Errors
    ///
    /// As [`proceed`](Self::proceed).
    pub fn end(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.link.outgoing.end(payload)
    }

    /// The transport, without what was read ahead or waits to be written.
    pub fn into_inner(self) -> S {
        self.link.io
    }

    /// Two halves for two tasks, in the order of `StreamExt::split`: first the one that writes.
    ///
    /// They share the transport and what waits to be written, nothing else: the reading half alone answers pings and
    /// closes.
    pub fn split(self) -> (WriteHalf<S>, ReadHalf<S>) {
        crate::split::split(self)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketStream<S> {
    /// The next message, borrowed from the stream's buffer; `None` once the connection has ended as it should.
    ///
    /// To answer while the message is borrowed, take [`next_with_replies`](Self::next_with_replies).
    ///
    /// # Errors
    ///
    /// How the connection has ended instead. What comes next is `None`.
    #[inline]
    pub async fn next_message(&mut self) -> Option<Result<MessageRef<'_>, Error>> {
        let Self { link, receiving } = self;
        let found = if receiving.has_whole(link, Want::Message) {
            Found::Whole
        } else {
            match poll_fn(|cx| receiving.poll_found(cx, link, Want::Message)).await? {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            }
        };
        Some(match receiving.lend(link, &found) {
            Ok(message) => Ok(message),
            Err((error, life)) => Err(poll_fn(|cx| poll_failed(life, link, cx, error)).await),
        })
    }

    /// The next message and what it is answered with: answers to all that one read brought leave in one write.
    ///
    /// Waits while more than [`max_write_buffer`](Config::max_write_buffer) bytes wait: a peer that does not take its
    /// answers is not read from.
    ///
    /// ```
    /// use fanfare_tokio::{Error, MessageRef, WebSocketStream};
    /// use tokio::io::{AsyncRead, AsyncWrite};
    ///
    /// async fn echo(mut ws: WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>) -> Result<(), Error> {
    ///     while let Some(received) = ws.next_with_replies().await {
    ///         let (message, mut replies) = received?;
    ///         match message {
    ///             MessageRef::Text(text) => replies.text(text)?,
    ///             MessageRef::Binary(bytes) => replies.binary(bytes)?,
    ///             _ => {}
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next_message`](Self::next_message).
    #[inline]
    pub async fn next_with_replies(
        &mut self,
    ) -> Option<Result<(MessageRef<'_>, Replies<'_, S>), Error>> {
        let Self { link, receiving } = self;
        let found = if receiving.has_whole(link, Want::Question) {
            Found::Whole
        } else {
            match poll_fn(|cx| receiving.poll_found(cx, link, Want::Question)).await? {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            }
        };
        Some(match receiving.lend(link, &found) {
            Ok(message) => Ok((message, Replies(link))),
            Err((error, life)) => Err(poll_fn(|cx| poll_failed(life, link, cx, error)).await),
        })
    }

    /// The next message, as its owner.
    ///
    /// # Errors
    ///
    /// As [`next_message`](Self::next_message).
    pub async fn recv(&mut self) -> Option<Result<Message, Error>> {
        let Self { link, receiving } = self;
        poll_fn(|cx| receiving.poll_owned(cx, link)).await
    }

    /// The next frame, or what has come of it: messages of any length in pieces, none of them kept.
    ///
    /// Of [`limits`](Config::limits) the one on frames holds. A message that is left in the middle is
    /// dropped by [`next_message`](Self::next_message), which gives the one behind it.
    ///
    /// # Errors
    ///
    /// As [`next_message`](Self::next_message).
    pub async fn next_event(&mut self) -> Option<Result<Event<'_>, Error>> {
        let Self { link, receiving } = self;
        let want = Want::Event(usize::MAX);
        let found = match poll_fn(|cx| receiving.poll_found(cx, link, want)).await? {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        let Receiving { framing, life } = receiving;
        Some(match framing.lend_event(&found) {
            Ok(event) => Ok(event),
            Err(error) => {
                life.fail(error, link);
                Err(poll_fn(|cx| poll_failed(life, link, cx, error)).await)
            }
        })
    }

    /// Fills `into` with the next bytes of the message that [`next_event`](Self::next_event) has begun: how many they
    /// are; `None` behind its last byte. Control frames between them are answered and not told.
    ///
    /// # Errors
    ///
    /// As [`next_message`](Self::next_message); [`Error::Disconnected`] if the peer closes inside the message.
    pub async fn read_piece(&mut self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        let Self { link, receiving } = self;
        poll_fn(|cx| receiving.poll_piece(cx, link, into)).await
    }

    /// Waits until a message may be written.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub async fn ready(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.link.poll_room(cx, Side::Writer)).await
    }

    /// Lets everything leave that was written.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    #[inline]
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.link.poll_drain(cx, Side::Writer)).await
    }

    /// Appends a message, once there is room; there is always room for a close.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn feed(&mut self, message: Message) -> Result<(), Error> {
        if !message.is_close() {
            self.ready().await?;
        }
        self.link.message(&message)
    }

    /// Sends a message, and what was written before; waits for room first.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::Encode`] or [`Error::CloseCode`], and then nothing of it is written.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// [`send`](Self::send) for borrowed text.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_text(&mut self, text: &str) -> Result<(), Error> {
        self.ready().await?;
        self.link.data(MessageKind::Text, text.as_bytes())?;
        self.flush().await
    }

    /// [`send`](Self::send) for borrowed bytes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_binary(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.ready().await?;
        self.link.data(MessageKind::Binary, bytes)?;
        self.flush().await
    }

    /// [`send`](Self::send) for a frame that was encoded once for many.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`Error::NotAServer`].
    pub async fn send_prepared(&mut self, frame: &PreparedFrame) -> Result<(), Error> {
        self.ready().await?;
        self.link.prepared(frame)?;
        self.flush().await
    }

    /// Closes the connection, and waits for the peer's answer, no longer than
    /// [`close_timeout`](Config::close_timeout). Messages that come before it are dropped.
    ///
    /// Call it again if it was dropped: it goes on where it was.
    ///
    /// # Errors
    ///
    /// [`Error::CloseCode`], and then nothing has happened; [`Error::CloseTimeout`], [`Error::Disconnected`] and others
    /// of the peer, and then the connection has ended all the same.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let close = fanfare_codec::CloseFrame::new(code, reason)?;
        let Self { link, receiving } = self;
        link.close(Some(close));
        poll_fn(|cx| receiving.poll_end(cx, link)).await
    }
}
