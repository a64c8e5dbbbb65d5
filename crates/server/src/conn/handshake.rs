//! The upgrade of one connection. In: bytes of a request head. Out: the answer, and an open
//! connection or one that ends.
//!
//! Never: keeps a head longer than its limit, or longer than its deadline.

use fanfare_codec::handshake::{Response, Status};
use fanfare_codec::{MessageDecoder, Role};

use super::{Conn, Context, Fate, Phase, Why};
use crate::echo;

impl Conn {
    /// Takes the first `len` bytes of the receive buffer; gives how many of them follow the head of
    /// an accepted upgrade, moved to the buffer's front.
    pub(super) fn take_handshake(&mut self, len: usize, cx: &mut Context<'_>) -> usize {
        let Phase::Handshake {
            decoder, admitted, ..
        } = &mut self.phase
        else {
            return len;
        };
        // A head in one piece, as nearly all are, is parsed where it was received.
        let head_before = self.spill.len();
        let received = if head_before == 0 {
            &cx.receive_buffer[..len]
        } else {
            self.spill.extend_from_slice(&cx.receive_buffer[..len]);
            &self.spill
        };
        let (response, head_len) = match decoder.decode(received) {
            Ok(None) => {
                if head_before == 0 {
                    self.spill = received.to_vec();
                }
                return 0;
            }
            Ok(Some(request)) => {
                let (response, opens) = echo::upgrade(&request, *admitted);
                tracing::debug!(
                    target = request.target(),
                    status = response.status().0,
                    "request"
                );
                (response, opens.then(|| request.head_len()))
            }
            Err(error) => {
                tracing::debug!("no request: {error}");
                (Response::from(&error), None)
            }
        };
        response.encode(cx.replies);
        self.spill = Vec::new();
        let Some(head_len) = head_len else {
            self.linger(cx);
            return 0;
        };
        self.phase = Phase::Open {
            decoder: MessageDecoder::new(Role::Server, cx.config.message_limits),
            pinged_at: None,
        };
        let follows_at = head_len - head_before;
        cx.receive_buffer.copy_within(follows_at..len, 0);
        len - follows_at
    }

    /// 408 for half a request; a peer that said nothing at all is told nothing.
    pub(super) fn time_out_handshake(&mut self, cx: &mut Context<'_>) -> Fate {
        if self.spill.is_empty() {
            return Fate::Gone(Why::Silent);
        }
        Response::refusal(Status::REQUEST_TIMEOUT, &"the request took too long").encode(cx.replies);
        self.linger(cx);
        self.flush(cx)
    }
}
