//! What arrives on an open connection (RFC 6455 §5). In: bytes, cut anywhere. Out: pieces of messages
//! and control frames to the handler, pongs to the outbox; a [`Fault`] when the server closes unasked
//! or breaks a rule.
//!
//! Never: reads a socket; assembles a message, but a compressed one.

use fanfare_codec::deflate::{DeflateTerms, FreshWindow};
use fanfare_codec::{
    CloseCode, CloseFrame, Control, FrameDecoder, FrameEvent, Limits, Message, MessageDecoder,
    MessageKind, Opcode,
};
use fanfare_codec::{ProtocolError, Role};

use super::deflate::Savings;
use super::{Handler, Outbox, Piece};
use crate::clock::Nanos;
use crate::fault::{Fault, FaultClass};

/// The receiving half of an open connection.
///
/// Frames, not messages: pieces are compared where they lie, so a message of any size is held
/// nowhere. Lengths have no limit here, since a wrong one is a mismatch; nor is text validated,
/// since a reply is compared with text that is valid.
#[derive(Debug)]
pub(super) struct Inbound {
    frames: FrameDecoder,
    kind: MessageKind,
    /// The current frame ends its message.
    fin: bool,
    goodbye: Goodbye,
    /// Where in its message the current frame starts.
    frame_offset: u64,
    /// If the server has agreed to compress.
    deflated: Option<Box<Deflated>>,
}

#[derive(Debug)]
struct Deflated {
    /// In the place of `frames`.
    messages: MessageDecoder,
    /// Of what is sent.
    window: Option<FreshWindow>,
}

/// How far the closing handshake is that this side began (RFC 6455 §7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goodbye {
    /// It was not.
    Unsaid,
    /// Our close frame is on its way: nothing may follow it.
    Said,
    /// The server's has come: nothing may follow that one either.
    Answered,
}

impl Inbound {
    /// Nothing has arrived; `terms`: what the server has agreed to.
    pub(super) fn new(terms: Option<DeflateTerms>) -> Self {
        let limits = Limits::DEFAULT
            .with_max_frame_bytes(u64::MAX)
            .with_max_message_bytes(u64::MAX)
            .with_max_fragments(u32::MAX);
        let deflated = terms.map(|terms| {
            Box::new(Deflated {
                messages: MessageDecoder::new(Role::Client, limits).with_deflate(terms.server),
                window: FreshWindow::of(terms.client),
            })
        });
        Self {
            deflated,
            frames: FrameDecoder::new(Role::Client, u64::MAX),
            kind: MessageKind::Binary,
            fin: true,
            goodbye: Goodbye::Unsaid,
            frame_offset: 0,
        }
    }

    pub(super) const fn goodbye(&self) -> Goodbye {
        self.goodbye
    }

    /// How what is sent is compressed, if it is.
    #[inline]
    pub(super) fn window(&self) -> Option<FreshWindow> {
        self.deflated.as_ref()?.window
    }

    /// Begins the closing handshake, unless that was done before.
    pub(super) fn say_goodbye(&mut self, out: &mut Outbox) {
        if self.goodbye == Goodbye::Unsaid {
            out.close(CloseFrame::new(CloseCode::NORMAL, "").ok());
            self.goodbye = Goodbye::Said;
        }
    }

    /// Hands on every frame in `input` and tells how many bytes are left.
    #[inline]
    pub(super) fn take(
        &mut self,
        id: usize,
        now: Nanos,
        mut input: &mut [u8],
        out: &mut Outbox,
        handler: &mut impl Handler,
    ) -> Result<usize, Fault> {
        if let Some(mut deflated) = self.deflated.take() {
            let left = self.inflate(&mut deflated.messages, (id, now), input, out, handler);
            self.deflated = Some(deflated);
            return left;
        }
        loop {
            match self.frames.next_event(&mut input) {
                Ok(None) => return Ok(input.len()),
                Ok(Some(FrameEvent::Header(header))) => {
                    match header.opcode {
                        Opcode::Text => (self.kind, self.frame_offset) = (MessageKind::Text, 0),
                        Opcode::Binary => (self.kind, self.frame_offset) = (MessageKind::Binary, 0),
                        _ => {}
                    }
                    self.fin = header.fin;
                }
                Ok(Some(FrameEvent::Payload(payload))) => {
                    let offset = self.frame_offset.saturating_add(payload.offset);
                    let piece = Piece {
                        kind: self.kind,
                        offset,
                        data: payload.data,
                        ends_message: payload.ends_frame && self.fin,
                    };
                    handler.data(id, now, &piece);
                    if payload.ends_frame {
                        self.frame_offset = offset.saturating_add(piece.data.len() as u64);
                    }
                }
                Ok(Some(FrameEvent::Control(control))) => {
                    self.control(id, now, &control, out, handler)?;
                    if self.goodbye == Goodbye::Answered {
                        return Ok(0); // §5.5.1: what follows a close frame is not looked at
                    }
                }
                Err(error) => return Err(self.protocol_fault(error, out)),
            }
        }
    }

    /// The same where messages may be compressed: each is one piece.
    fn inflate(
        &mut self,
        messages: &mut MessageDecoder,
        (id, now): (usize, Nanos),
        mut input: &mut [u8],
        out: &mut Outbox,
        handler: &mut impl Handler,
    ) -> Result<usize, Fault> {
        loop {
            let before = input.len();
            let message = messages
                .next_message_with(&mut input, out.inflaters())
                .map_err(|error| self.protocol_fault(error, out))?;
            let wire_bytes = (before - input.len()) as u64;
            let (kind, data) = match message {
                Some(Message::Text(text)) => (MessageKind::Text, text.as_bytes()),
                Some(Message::Binary(bytes)) => (MessageKind::Binary, bytes),
                other => {
                    // Part of a message, or none.
                    out.save(Savings {
                        wire_bytes,
                        ..Savings::default()
                    });
                    match other {
                        Some(Message::Ping(payload)) => self.ping((id, now), payload, out, handler),
                        Some(Message::Pong(payload)) => handler.pong(id, now, payload),
                        Some(Message::Close(close)) => {
                            self.close(close, out)?;
                            return Ok(0);
                        }
                        _ => return Ok(input.len()),
                    }
                    continue;
                }
            };
            out.save(Savings {
                payload_bytes: data.len() as u64,
                wire_bytes,
                ..Savings::default()
            });
            let piece = Piece {
                kind,
                offset: 0,
                data,
                ends_message: true,
            };
            handler.data(id, now, &piece);
        }
    }

    fn ping(
        &self,
        (id, now): (usize, Nanos),
        payload: &[u8],
        out: &mut Outbox,
        handler: &mut impl Handler,
    ) {
        if self.goodbye == Goodbye::Unsaid {
            out.pong(payload);
        }
        handler.ping(id, now, payload);
    }

    /// Answers a ping; a close answers ours or ends the connection.
    #[cold]
    fn control(
        &mut self,
        id: usize,
        now: Nanos,
        control: &Control<&mut [u8]>,
        out: &mut Outbox,
        handler: &mut impl Handler,
    ) -> Result<(), Fault> {
        match control.opcode {
            Opcode::Ping => self.ping((id, now), control.payload, out, handler),
            Opcode::Pong => handler.pong(id, now, control.payload),
            _ => {
                let close = CloseFrame::parse(control.payload);
                let close = close.map_err(|error| self.protocol_fault(error, out))?;
                return self.close(close, out);
            }
        }
        Ok(())
    }

    fn close(&mut self, close: Option<CloseFrame<'_>>, out: &mut Outbox) -> Result<(), Fault> {
        if self.goodbye == Goodbye::Said {
            self.goodbye = Goodbye::Answered;
            return Ok(());
        }
        out.close(close);
        let code = close.map_or(CloseCode::NO_STATUS, |c| c.code());
        let fault = Fault::new(
            FaultClass::Closed,
            close.map_or_else(
                || "the server sent a close frame without a code".to_owned(),
                |c| format!("the server sent close {} {:?}", c.code(), c.reason()),
            ),
        );
        Err(fault.with_close_code(code.0))
    }

    /// What the peer did wrong, which it is told (§7.1.7) if nothing was said yet.
    #[cold]
    fn protocol_fault(&self, error: ProtocolError, out: &mut Outbox) -> Fault {
        if self.goodbye == Goodbye::Unsaid {
            out.close(CloseFrame::new(error.close_code(), "").ok());
        }
        Fault::new(FaultClass::Protocol, error)
    }
}
