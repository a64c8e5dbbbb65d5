//! Echoes of a connection with permessage-deflate. In: what it receives. Out: each message inflated, and deflated
//! again.
//!
//! Never: echoes in place: an answer may be longer than what it answers.

use fanfare_codec::{CloseCode, Message};

use super::read::{code_of, hear, keep};
use super::{Conn, Context, Endpoint, Phase, Stop, say_close};
use crate::clock::Time;
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
            if let Err(exceeded) = room.add_inflated(message.as_ref()) {
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
            if room.is_long() {
                self.stop = Stop::Crowded;
            }
            if is_last || self.stop == Stop::Crowded {
                break;
            }
        }
        let exceeded = contexts.exceeded();
        let is_half_way = decoder.is_inflating();
        keep(&mut self.spill, input);
        self.about.settle(&room, &cx.config.bounds, cx.now);
        self.go_half_way(is_half_way, exceeded, cx);
    }

    /// A turn is over, in the middle of a compressed message or not. If that is more than there may be, it ends; that is
    /// not its fault: it may come again.
    #[inline]
    pub(super) fn go_half_way(
        &mut self,
        is_half_way: bool,
        exceeded: Option<Exceeded>,
        cx: &mut Context<'_>,
    ) {
        let by = || {
            let timeout = cx.config.deflate.map(|deflate| deflate.half_way_timeout);
            timeout.map_or(Time::NEVER, |timeout| cx.now + timeout)
        };
        if self.about.go_half_way(is_half_way, by) {
            self.armed_at = Time::NEVER; // a deadline that is nearer
        }
        if let Some(exceeded) = exceeded {
            cx.metrics.exceeds(exceeded);
            say_close(CloseCode::TRY_AGAIN_LATER, exceeded.why(), cx);
            self.linger(cx);
        }
    }
}
