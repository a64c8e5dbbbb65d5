//! What comes in front of a connection's request. In: a socket of a trusted proxy. Out: whom the connection is for.
//!
//! The header is looked at where it lies in the kernel, and taken when it is whole, and no byte more: whatever speaks
//! next on the socket finds it at its own first byte.
//!
//! Never: keeps a part of a header.

use std::io;

use fanfare_codec::handshake::{Response, Status};

use super::handshake::claim;
use super::{Conn, Context, Fate, Phase, Stop, Why};
use crate::limits::PROXY_V2_BYTES_MAX;
use crate::peer::{Shown, decode_proxy_header};

impl Conn {
    /// Takes the header, if one is to come. None: there is nothing to be waited for in front of the request.
    #[inline]
    pub(super) fn enter(&mut self, cx: &mut Context<'_>) -> Option<Fate> {
        match &self.phase {
            Phase::Handshake { entrance, .. } if entrance.expects_proxy => self.take_header(cx),
            _ => None,
        }
    }

    fn take_header(&mut self, cx: &mut Context<'_>) -> Option<Fate> {
        let Phase::Handshake {
            entrance, admitted, ..
        } = &mut self.phase
        else {
            return None;
        };
        let seen = loop {
            match self
                .transport
                .peek(&mut cx.receive_buffer[..PROXY_V2_BYTES_MAX])
            {
                Ok(0) => return Some(Fate::Gone(Why::PeerLeft)),
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stop = Stop::Drained;
                    return Some(Fate::Wait);
                }
                Err(error) => return Some(Fate::Gone(Why::Socket(error))),
            }
        };
        let header = match decode_proxy_header(&cx.receive_buffer[..seen]) {
            Ok(Some(header)) => header,
            Ok(None) if self.peer_closed => return Some(Fate::Gone(Why::PeerLeft)),
            Ok(None) => {
                self.stop = Stop::Drained; // more of it is an edge
                return Some(Fate::Wait);
            }
            Err(error) => {
                let peer = Shown(entrance.client);
                tracing::debug!(conn = %cx.id, %peer, "not let in: {error}");
                if !self.transport.is_plain() {
                    return Some(Fate::Gone(Why::Closed)); // it would take no answer in front of its handshake
                }
                let response = Response::refusal(Status::BAD_REQUEST, &error);
                return Some(self.refuse(&response, cx));
            }
        };
        // All of it is there, so it comes in one piece.
        let header_bytes = &mut cx.receive_buffer[..header.len];
        match self.transport.take_peeked(header_bytes) {
            Ok(taken) if taken == header.len => {}
            Ok(_) => return Some(Fate::Gone(Why::PeerLeft)),
            Err(error) => return Some(Fate::Gone(Why::Socket(error))),
        }
        *entrance = entrance.behind(&header, &cx.config.trusted);
        if let Some(source) = header.source {
            let ip = source.ip().to_canonical();
            self.about.know(ip);
            if !entrance.is_trusted {
                *admitted = claim(*admitted, &mut self.about, ip, cx);
            }
            tracing::debug!(conn = %cx.id, client = %source, "proxied");
        }
        None
    }
}
