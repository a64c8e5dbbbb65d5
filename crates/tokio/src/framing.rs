//! What comes. In: bytes of the transport, into a buffer that is there only while it has some. Out: messages and
//! pieces of them, borrowed from that buffer, owned, or as the decoder has put them together.
//!
//! What is found is named first ([`Found`]) and lent afterwards: so a poll that gives nothing borrows nothing.
//!
//! Never: parses a frame; reads while there is something to give; loses what was read when a future is dropped.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use fanfare_codec::{
    FrameEvent, Message as MessageRef, MessageDecoder, MessageKind, Opcode, ProtocolError, Role,
    UNCONSUMED_BYTES_MAX, Utf8Validator,
};
use tokio::io::{AsyncRead, ReadBuf};

use crate::pool::{self, Size};
use crate::{Config, Event, Message};

/// Small reads in a row after which the buffer is smaller.
const SMALL_READS_MAX: u8 = 8;

/// So many messages a connection gives without waiting.
const GIVEN_MAX: u16 = 1000;

#[derive(Debug)]
pub(crate) struct Framing {
    decoder: MessageDecoder,
    /// Empty while nothing is held.
    buffer: Box<[u8]>,
    /// Of the buffer: what was read and not decoded.
    start: usize,
    end: usize,
    /// A cut header or control frame while there is no buffer.
    spill: Box<[u8]>,
    size: Size,
    /// Reads in a row for which a smaller buffer would have done.
    small_reads: u8,
    max_bytes: usize,
    role: Role,
    inflates: bool,
    /// A cut message was left in the buffer, for what else can be read at once.
    holds: bool,
    /// Messages that were given since reading last had to wait.
    given: u16,
    /// A close was found where it could not be given.
    pub(crate) owes_close: bool,
    /// The control frame that was found last.
    control: Box<[u8]>,
    /// The message that is taken in pieces.
    pieces: Option<Pieces>,
}

#[derive(Debug)]
struct Pieces {
    /// Text is looked at as it comes.
    text: Option<Utf8Validator>,
    /// The frame is its last.
    fin: bool,
    /// Of the frame, what is still to come.
    left: u64,
}

/// What is there to be lent.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A message that lies whole in the buffer, or a broken rule.
    Whole,
    /// A message that the decoder has put together.
    Assembled,
    /// The control frame in `control`.
    Control(Opcode),
    /// A message begins that is to be taken in pieces.
    Begin(MessageKind),
    /// Bytes of it, where they lie in the buffer; whether they are its last.
    Piece(Range<usize>, bool),
}

impl Framing {
    pub(crate) fn new(decoder: MessageDecoder, role: Role, config: &Config, read: &[u8]) -> Self {
        Self {
            decoder,
            buffer: read.into(),
            start: 0,
            end: read.len(),
            spill: Box::default(),
            size: Size::default(),
            small_reads: 0,
            max_bytes: config.max_read_buffer,
            role,
            inflates: false,
            holds: false,
            given: 0,
            owes_close: false,
            control: Box::default(),
            pieces: None,
        }
    }

    #[cfg(feature = "deflate")]
    pub(crate) const fn set_inflates(&mut self) {
        self.inflates = true;
    }

    /// Names the next message, if it is there.
    #[inline]
    pub(crate) fn find_message(&mut self) -> Result<Option<Found>, ProtocolError> {
        while self.pieces.is_some() {
            // What is left of a message that was taken in pieces is dropped.
            match self.find_event(usize::MAX)? {
                Some(Found::Piece(..) | Found::Begin(_)) => {}
                other => return Ok(other),
            }
        }
        if self.start == self.end {
            return Ok(None);
        }
        let input = &self.buffer[self.start..self.end];
        if self.decoder.has_whole(input) {
            return Ok(Some(Found::Whole));
        }
        let cut = self.decoder.cut_frame_len(input);
        self.holds = cut.is_some_and(|len| len <= self.buffer.len());
        if self.holds {
            return Ok(None);
        }
        self.advance()
    }

    /// Lets the decoder begin to put the cut message together that was left in the buffer, if one was.
    ///
    /// # Errors
    ///
    /// The rule that it breaks already.
    pub(crate) fn let_go(&mut self) -> Result<(), ProtocolError> {
        if std::mem::take(&mut self.holds) {
            let found = self.advance()?;
            debug_assert!(found.is_none(), "it is cut");
        }
        Ok(())
    }

    /// Names whatever the decoder finds next but whole messages.
    #[inline(never)]
    fn advance(&mut self) -> Result<Option<Found>, ProtocolError> {
        let mut input = &mut self.buffer[self.start..self.end];
        let decoder = &mut self.decoder;
        #[cfg(feature = "deflate")]
        let message = if self.inflates {
            crate::contexts::with_inflaters(|i| decoder.next_message_with(&mut input, i))?
        } else {
            decoder.next_message(&mut input)?
        };
        #[cfg(not(feature = "deflate"))]
        let message = decoder.next_message(&mut input)?;
        let found = match message {
            None => None,
            Some(MessageRef::Text(_) | MessageRef::Binary(_)) => Some(Found::Assembled),
            Some(MessageRef::Ping(payload)) => {
                self.control = payload.into();
                Some(Found::Control(Opcode::Ping))
            }
            Some(MessageRef::Pong(payload)) => {
                self.control = payload.into();
                Some(Found::Control(Opcode::Pong))
            }
            Some(MessageRef::Close(close)) => {
                self.control = Box::default();
                if let Some(close) = close {
                    let code = close.code().0.to_be_bytes();
                    self.control = [&code, close.reason().as_bytes()].concat().into();
                }
                Some(Found::Control(Opcode::Close))
            }
        };
        self.start = self.end - input.len();
        Ok(found)
    }

    /// Whether the next message lies whole in the buffer, and nothing else is to be done first.
    #[inline]
    pub(crate) fn has_whole(&self) -> bool {
        self.start < self.end
            && self.given < GIVEN_MAX
            && !self.owes_close
            && self.pieces.is_none()
            && self.decoder.has_whole(&self.buffer[self.start..self.end])
    }

    /// Whether so many messages were given that others must have their turn; then they are counted anew.
    #[inline]
    pub(crate) fn has_given_many(&mut self) -> bool {
        let is_many = self.given >= GIVEN_MAX;
        if is_many {
            self.given = 0;
        }
        is_many
    }

    /// Lends the message that was found.
    #[inline]
    pub(crate) fn lend(&mut self, found: &Found) -> Result<MessageRef<'_>, ProtocolError> {
        self.given += 1;
        if !matches!(found, Found::Whole) {
            return self.lend_other(found);
        }
        let mut input = &mut self.buffer[self.start..self.end];
        let message = self.decoder.next_message(&mut input)?;
        self.start = self.end - input.len();
        Ok(message.expect("it is whole"))
    }

    fn lend_other(&self, found: &Found) -> Result<MessageRef<'_>, ProtocolError> {
        match *found {
            Found::Assembled => Ok(self.decoder.assembled().expect("it was given just now")),
            Found::Control(Opcode::Ping) => Ok(MessageRef::Ping(&self.control)),
            Found::Control(Opcode::Close) => Ok(MessageRef::Close(
                fanfare_codec::CloseFrame::parse(&self.control)?,
            )),
            Found::Control(_) => Ok(MessageRef::Pong(&self.control)),
            Found::Whole | Found::Begin(_) | Found::Piece(..) => {
                unreachable!("it is lent otherwise")
            }
        }
    }

    /// Gives the message that was found away.
    #[inline]
    pub(crate) fn own(&mut self, found: &Found) -> Result<Message, ProtocolError> {
        if matches!(found, Found::Assembled)
            && let Some(assembled) = self.decoder.take_assembled()
        {
            self.given += 1;
            return Ok(assembled.into());
        }
        self.lend(found).map(Message::from)
    }

    /// The payload of the control frame that was found.
    pub(crate) fn control(&self) -> &[u8] {
        &self.control
    }

    /// Names the next event, if it is there: a message that has begun to be put together, or that is compressed, is
    /// given in one piece.
    pub(crate) fn find_event(&mut self, piece_max: usize) -> Result<Option<Found>, ProtocolError> {
        if self.pieces.is_none() {
            if !self.decoder.is_between_messages() {
                return self.find_message();
            }
            if self.inflates && self.is_compressed_next()? {
                return self.find_message();
            }
        }
        let until = match &self.pieces {
            Some(pieces) if pieces.left > 0 => self.end.min(self.start.saturating_add(piece_max)),
            _ => self.end,
        };
        let mut input = &mut self.buffer[self.start..until];
        let event = self.decoder.next_event(&mut input)?;
        let rest = input.len();
        let found = match event {
            None => None,
            Some(FrameEvent::Header(header)) => {
                let kind = match header.opcode {
                    Opcode::Text => Some(MessageKind::Text),
                    Opcode::Binary => Some(MessageKind::Binary),
                    _ => None,
                };
                let text = match (&self.pieces, kind) {
                    (_, Some(kind)) => (kind == MessageKind::Text).then(Utf8Validator::default),
                    (Some(pieces), None) => pieces.text.clone(),
                    (None, None) => None,
                };
                self.pieces = Some(Pieces {
                    text,
                    fin: header.fin,
                    left: header.payload_len,
                });
                self.start = until - rest;
                return match kind {
                    Some(kind) => Ok(Some(Found::Begin(kind))),
                    None => self.find_event(piece_max), // no frame, but the message goes on
                };
            }
            Some(FrameEvent::Payload(piece)) => {
                let at = until - rest - piece.data.len();
                let is_last = self.pieces.as_mut().is_some_and(|pieces| {
                    pieces.left -= piece.data.len() as u64;
                    piece.ends_frame && pieces.fin
                });
                if let Some(text) = self.pieces.as_mut().and_then(|p| p.text.as_mut()) {
                    text.push(piece.data)?;
                    if is_last {
                        text.finish()?;
                    }
                }
                if is_last {
                    self.pieces = None;
                }
                Some(Found::Piece(at..at + piece.data.len(), is_last))
            }
            Some(FrameEvent::Control(control)) => {
                self.control = (&*control.payload).into();
                if control.opcode == Opcode::Close {
                    fanfare_codec::CloseFrame::parse(&self.control)?;
                }
                Some(Found::Control(control.opcode))
            }
        };
        self.start = until - rest;
        Ok(found)
    }

    /// Whether the next frame begins a compressed message.
    fn is_compressed_next(&self) -> Result<bool, ProtocolError> {
        use fanfare_codec::{AllowedRsv, Header, Rsv};
        let allowed = AllowedRsv::per_message(Rsv::RSV1);
        let input = &self.buffer[self.start..self.end];
        let header = Header::parse(input, self.role, allowed)?;
        Ok(header.is_some_and(|(header, _)| header.rsv != Rsv::NONE))
    }

    /// Lends the event that was found.
    pub(crate) fn lend_event(&mut self, found: &Found) -> Result<Event<'_>, ProtocolError> {
        if matches!(found, Found::Piece(..)) {
            self.given += 1;
        }
        Ok(match found {
            Found::Begin(kind) => Event::Begin(*kind),
            Found::Piece(range, is_last) => Event::Piece {
                data: self.bytes(range.clone()),
                is_last: *is_last,
            },
            Found::Whole | Found::Assembled | Found::Control(_) => Event::Whole(self.lend(found)?),
        })
    }

    /// Bytes of a piece that was found.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Whether a message is taken in pieces, and more of it is to come.
    pub(crate) const fn is_in_pieces(&self) -> bool {
        self.pieces.is_some()
    }

    /// Reads once, behind what is there.
    #[inline]
    pub(crate) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut S,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let mut into = ReadBuf::new(&mut self.buffer[self.end..]);
        match Pin::new(io).poll_read(cx, &mut into) {
            Poll::Ready(Ok(())) => {
                let (read, room) = (into.filled().len(), into.capacity());
                self.end += read;
                self.holds &= read == 0;
                self.fit(read, room);
                Poll::Ready(Ok(read))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Lets the next buffer follow what comes. The tail of a long message comes alone now and then: that is no reason.
    #[inline]
    fn fit(&mut self, read: usize, room: usize) {
        if read >= room / 8 {
            self.small_reads = 0;
            if read == room {
                self.size = self.size.grown(self.max_bytes);
            }
            return;
        }
        self.small_reads += 1;
        if self.small_reads == SMALL_READS_MAX {
            self.small_reads = 0;
            self.size = self.size.shrunk();
        }
    }

    /// A buffer of the right size, with what was left at its front.
    #[inline]
    fn make_room(&mut self) {
        let held = self.end - self.start;
        let is_right = self.size.is_of(&self.buffer) || !self.size.holds(held);
        if is_right && held < self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
            }
        } else {
            self.replace_buffer(held);
        }
        (self.start, self.end) = (0, held);
        self.take_spill();
    }

    fn replace_buffer(&mut self, held: usize) {
        let mut buffer = pool::take(self.size);
        buffer[..held].copy_from_slice(&self.buffer[self.start..self.end]);
        pool::give(&mut self.buffer);
        self.buffer = buffer;
    }

    fn take_spill(&mut self) {
        if self.spill.is_empty() {
            return;
        }
        let spill = std::mem::take(&mut self.spill);
        debug_assert_eq!(self.end, 0, "there is a spill, or a buffer");
        self.buffer[..spill.len()].copy_from_slice(&spill);
        self.end = spill.len();
    }

    /// Keeps no more memory than there are bytes.
    pub(crate) fn rest(&mut self) {
        debug_assert!(self.end - self.start <= UNCONSUMED_BYTES_MAX);
        self.decoder.release();
        self.given = 0;
        if self.start < self.end {
            self.spill = self.buffer[self.start..self.end].into();
        }
        (self.start, self.end) = (0, 0);
        pool::give(&mut self.buffer);
    }
}

impl Drop for Framing {
    fn drop(&mut self) {
        pool::give(&mut self.buffer);
    }
}
