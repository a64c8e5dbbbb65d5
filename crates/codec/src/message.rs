//! Messages out of a byte stream (RFC 6455 §5.4–5.6). In: what the socket gave, in pieces cut
//! anywhere. Out: whole messages and control frames.
//!
//! A message whose frame lies whole in the input is borrowed from there; any other is assembled as
//! its pieces arrive, text validated on the way, so that a bad byte fails the connection when it
//! comes and not when its frame or message ends.
//!
//! Never: allocates from a declared length; holds memory between messages.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::decoder::{Control, FrameDecoder, FrameEvent, Payload};
use crate::header::Header;
use crate::utf8::{self, TextBuffer, Utf8Error};
use crate::{CloseFrame, Limits, Opcode, ProtocolError, Role, apply_mask};

/// A message or a control frame, borrowed until the next call of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'m> {
    /// A whole text message.
    Text(&'m str),
    /// A whole binary message.
    Binary(&'m [u8]),
    /// Answer with a pong of the same payload (§5.5.3).
    Ping(&'m [u8]),
    /// An answer, or an unsolicited heartbeat that needs none.
    Pong(&'m [u8]),
    /// The last message: the decoder discards whatever follows it (§5.5.1).
    Close(Option<CloseFrame<'m>>),
}

/// Assembles messages within [`Limits`].
///
/// Call [`next_message`](Self::next_message) until it gives `None`, keep what is left of the input,
/// and call again with more bytes behind it. Errors are final, as [`FrameDecoder`]'s are.
///
/// ```
/// use fanfare_codec::{Limits, Message, MessageDecoder, Role};
///
/// // "Hel" and "lo" with a ping between, as a server sends them.
/// let mut received = *b"\x01\x03Hel\x89\x00\x80\x02lo";
/// let mut input = &mut received[..];
/// let mut messages = MessageDecoder::new(Role::Client, Limits::default());
/// assert_eq!(messages.next_message(&mut input)?, Some(Message::Ping(b"")));
/// assert_eq!(messages.next_message(&mut input)?, Some(Message::Text("Hello")));
/// assert_eq!(messages.next_message(&mut input)?, None);
/// # Ok::<(), fanfare_codec::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct MessageDecoder {
    frames: FrameDecoder,
    max_message_bytes: u64,
    max_fragments: u32,
    /// Data frames of the message in progress, the current one included.
    fragments: u32,
    /// Payload bytes that those frames declare.
    message_bytes: u64,
    /// The current frame ends its message.
    fin: bool,
    kind: Kind,
    phase: Phase,
    /// The message in progress, or just delivered, when it could not be borrowed.
    assembly: Option<Box<Assembly>>,
}

const _: () = assert!(size_of::<MessageDecoder>() <= 80);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Receiving,
    /// `assembly` was lent to the caller whole; the next call frees it.
    Delivered,
    Closed,
}

#[derive(Debug)]
enum Assembly {
    Text(TextBuffer),
    Binary(Vec<u8>),
}

impl MessageDecoder {
    /// A decoder for what arrives at `role`; no extension is negotiated.
    #[must_use]
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            frames: FrameDecoder::new(role, limits.max_frame_bytes),
            max_message_bytes: limits.max_message_bytes,
            max_fragments: limits.max_fragments,
            fragments: 0,
            message_bytes: 0,
            fin: false,
            kind: Kind::Binary,
            phase: Phase::Receiving,
            assembly: None,
        }
    }

    /// Whether the stream could end here without cutting a frame or a message.
    #[must_use]
    pub const fn is_between_messages(&self) -> bool {
        self.frames.is_between_messages()
    }

    /// The next message in `input`, which moves past what was used; `None` when more bytes are
    /// needed.
    ///
    /// # Errors
    ///
    /// The rule or limit that the peer broke. Final: every later call gives the same.
    #[inline]
    pub fn next_message<'m, 'b: 'm>(
        &'m mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Message<'m>>, ProtocolError> {
        match self.phase {
            Phase::Receiving => {
                if self.max_fragments > 0
                    && let Some((opcode, key, payload)) =
                        self.frames.next_whole(input, self.max_message_bytes)
                {
                    return self.whole(opcode, key, payload);
                }
            }
            Phase::Delivered => {
                self.assembly = None;
                self.phase = Phase::Receiving;
            }
            Phase::Closed => {
                *input = &mut [];
                return Ok(None);
            }
        }
        match self.advance(input) {
            Ok(Step::NeedBytes) => Ok(None),
            Ok(Step::Borrowed(message)) => {
                if matches!(message, Message::Close(_)) {
                    self.phase = Phase::Closed;
                    self.assembly = None;
                }
                Ok(Some(message))
            }
            Ok(Step::Assembled) => {
                self.phase = Phase::Delivered;
                Ok(self.assembly.as_ref().and_then(|a| a.whole()))
            }
            Err(error) => {
                self.frames.fail(error);
                self.assembly = None;
                Err(error)
            }
        }
    }

    /// A message that is one frame.
    #[inline]
    fn whole<'b>(
        &mut self,
        opcode: Opcode,
        key: [u8; 4],
        payload: &'b mut [u8],
    ) -> Result<Option<Message<'b>>, ProtocolError> {
        if opcode == Opcode::Binary {
            apply_mask(payload, key);
            return Ok(Some(Message::Binary(payload)));
        }
        match utf8::unmask_validate(payload, key) {
            Ok(text) => Ok(Some(Message::Text(text))),
            Err(error) => {
                let error = error.into();
                self.frames.fail(error);
                Err(error)
            }
        }
    }

    /// Runs frame events until one completes a message.
    #[inline]
    fn advance<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Step<'b>, ProtocolError> {
        while let Some(event) = self.frames.next_event(input)? {
            match event {
                FrameEvent::Header(header) => self.start_frame(&header)?,
                FrameEvent::Payload(piece) if piece.ends_frame && self.is_whole(&piece) => {
                    return self.kind.borrowed(piece.data).map(Step::Borrowed);
                }
                FrameEvent::Payload(piece) => {
                    let assembly = self.assembly.get_or_insert_with(|| self.kind.assembly());
                    assembly.push(piece.data)?;
                    if piece.ends_frame && self.fin {
                        assembly.finish()?;
                        return Ok(Step::Assembled);
                    }
                }
                FrameEvent::Control(control) => {
                    return control_message(control).map(Step::Borrowed);
                }
            }
        }
        Ok(Step::NeedBytes)
    }

    /// Counts a data frame against the limits, by what its header declares.
    #[inline]
    const fn start_frame(&mut self, header: &Header) -> Result<(), ProtocolError> {
        match header.opcode {
            Opcode::Text => self.start_message(Kind::Text),
            Opcode::Binary => self.start_message(Kind::Binary),
            _ => {}
        }
        self.fin = header.fin;
        self.message_bytes = self.message_bytes.saturating_add(header.payload_len);
        if self.message_bytes > self.max_message_bytes {
            return Err(ProtocolError::MessageTooLong(self.message_bytes));
        }
        if self.fragments >= self.max_fragments {
            return Err(ProtocolError::TooManyFragments);
        }
        self.fragments += 1;
        Ok(())
    }

    const fn start_message(&mut self, kind: Kind) {
        self.kind = kind;
        self.fragments = 0;
        self.message_bytes = 0;
    }

    /// A piece that ends its frame: is it the whole message?
    const fn is_whole(&self, piece: &Payload<&mut [u8]>) -> bool {
        self.fin && self.fragments == 1 && piece.offset == 0
    }
}

enum Step<'b> {
    NeedBytes,
    Borrowed(Message<'b>),
    Assembled,
}

impl Kind {
    #[cold]
    fn assembly(self) -> Box<Assembly> {
        Box::new(match self {
            Self::Text => Assembly::Text(TextBuffer::default()),
            Self::Binary => Assembly::Binary(Vec::new()),
        })
    }

    #[inline]
    fn borrowed(self, payload: &[u8]) -> Result<Message<'_>, ProtocolError> {
        match self {
            Self::Text => Ok(Message::Text(utf8::validate(payload)?)),
            Self::Binary => Ok(Message::Binary(payload)),
        }
    }
}

impl Assembly {
    fn push(&mut self, piece: &[u8]) -> Result<(), Utf8Error> {
        match self {
            Self::Text(text) => text.push(piece),
            Self::Binary(bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    /// Whether the message may end here.
    fn finish(&self) -> Result<(), Utf8Error> {
        match self {
            Self::Text(text) => text.finish().map(|_| ()),
            Self::Binary(_) => Ok(()),
        }
    }

    fn whole(&self) -> Option<Message<'_>> {
        match self {
            Self::Text(text) => text.finish().ok().map(Message::Text),
            Self::Binary(bytes) => Some(Message::Binary(bytes)),
        }
    }
}

fn control_message(control: Control<&mut [u8]>) -> Result<Message<'_>, ProtocolError> {
    let payload: &[u8] = control.payload;
    Ok(match control.opcode {
        Opcode::Ping => Message::Ping(payload),
        Opcode::Pong => Message::Pong(payload),
        Opcode::Close => Message::Close(CloseFrame::parse(payload)?),
        Opcode::Continuation | Opcode::Text | Opcode::Binary => {
            unreachable!("the frame decoder makes control events of control frames only")
        }
    })
}

impl From<Utf8Error> for ProtocolError {
    fn from(error: Utf8Error) -> Self {
        Self::InvalidUtf8 {
            valid_up_to: error.valid_up_to,
        }
    }
}
