//! What arrives on an open connection (RFC 6455 §5). In: bytes, cut anywhere. Out: pieces of messages
//! to the handler, pongs to the outbox; a [`Fault`] when the server closes or breaks a rule.
//!
//! Never: reads a socket, assembles a message.

use fanfare_codec::{CloseFrame, Control, FrameDecoder, FrameEvent, MessageKind, Opcode};
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
    /// Where in its message the current frame starts.
    frame_offset: u64,
}

impl Inbound {
    /// Nothing has arrived.
    pub(super) const fn new() -> Self {
        Self {
            frames: FrameDecoder::new(Role::Client, u64::MAX),
            kind: MessageKind::Binary,
            fin: true,
            frame_offset: 0,
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
                Ok(Some(FrameEvent::Control(control))) => take_control(&control, out)?,
                Err(error) => return Err(protocol_fault(error, out)),
            }
        }
    }
}

/// Answers a ping; a close ends the connection.
#[cold]
fn take_control(control: &Control<&mut [u8]>, out: &mut Outbox) -> Result<(), Fault> {
    match control.opcode {
        Opcode::Ping => out.pong(control.payload),
        Opcode::Close => {
            let close = CloseFrame::parse(control.payload).map_err(|e| protocol_fault(e, out))?;
            out.close(close);
            return Err(Fault::new(
                FaultClass::Closed,
                close.map_or_else(
                    || "the server sent a close frame without a code".to_owned(),
                    |c| format!("the server sent close {} {:?}", c.code(), c.reason()),
                ),
            ));
        }
        _ => {}
    }
    Ok(())
}

/// What the peer did wrong, which it is told (§7.1.7).
#[cold]
fn protocol_fault(error: ProtocolError, out: &mut Outbox) -> Fault {
    out.close(CloseFrame::new(error.close_code(), "").ok());
    Fault::new(FaultClass::Protocol, error)
}
