//! Echoes of a connection with permessage-deflate. In: what it receives. Out: each message inflated, and deflated
//! again.
//!
//! Never: echoes in place: an answer may be longer than what it answers.

use fanfare_codec::{CloseCode, Message};

use super::read::{code_of, hear, keep};
use super::{Conn, Context, Endpoint, Phase, say_close};
use crate::echo;
use crate::exceeded::Exceeded;
use crate::metrics::Initiator;

impl Conn {
    /// Answers messages into the worker's reply buffer.
    pub(super) fn take_deflated(&mut self, len: usize, cx: &mut Context<'_>) {
        let Phase::Open {
            endpoint: Endpoint::Echo(Some(outgoing)),
            decoder,
            pinged_at,
        } = &mut self.phase
        else {
            return;
        };
        let mut room = hear(pinged_at, &mut self.armed_at, &self.about, decoder, cx);
        let contexts = cx.deflate.lend(decoder);
        let mut input = &mut cx.receive_buffer[..len];
        loop {
            let message = match decoder.next_message_with(&mut input, contexts.inflaters) {
                Ok(message) => message,
                Err(error) => return self.fail(error, cx),
            };
            if let Err(exceeded) = room.add(message.as_ref()) {
                return self.end_flood(exceeded, cx);
            }
            let is_last = message.is_none();
            if let Some(message) = message {
                echo::answer_deflated(message, cx.replies, outgoing, contexts.deflaters);
                if let Message::Close(close) = message {
                    cx.notes.ended = Some((Initiator::Client, code_of(close)));
                    return self.linger(cx);
                }
            }
            if let Err(exceeded) = room.add_fragments(decoder) {
                return self.end_flood(exceeded, cx);
            }
            if is_last {
                break;
            }
        }
        if contexts.is_one_too_many() {
            return self.end_half_way(cx);
        }
        keep(&mut self.spill, input);
        self.about.settle(&room, &cx.config.bounds, cx.now);
    }

    /// It has begun a compressed message, and too many others have, too. That is not its fault: it may come again.
    #[cold]
    pub(super) fn end_half_way(&mut self, cx: &mut Context<'_>) {
        cx.metrics.exceeds(Exceeded::HalfReceived);
        let why = Exceeded::HalfReceived.why();
        say_close(CloseCode::TRY_AGAIN_LATER, why, cx);
        self.linger(cx);
    }
}
