//! What arrives on an open connection (RFC 6455 §5). In: bytes, cut anywhere. Out: pieces of messages
//! and control frames to the handler, pongs to the outbox; a [`Fault`] when the server closes unasked
//! or breaks a rule.
//!
//! Never: reads a socket, assembles a message.

use fanfare_codec::{
    CloseCode, CloseFrame, Control, FrameDecoder, FrameEvent, MessageKind, Opcode,
};
use fanfare_codec::{ProtocolError, Role};

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
    /// Nothing has arrived.
    pub(super) const fn new() -> Self {
        Self {
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
            Opcode::Ping => {
                if self.goodbye == Goodbye::Unsaid {
                    out.pong(control.payload);
                }
                handler.ping(id, now, control.payload);
            }
            Opcode::Pong => handler.pong(id, now, control.payload),
            _ => return self.close(control.payload, out),
        }
        Ok(())
    }

    fn close(&mut self, payload: &[u8], out: &mut Outbox) -> Result<(), Fault> {
        let close = CloseFrame::parse(payload).map_err(|e| self.protocol_fault(e, out))?;
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
