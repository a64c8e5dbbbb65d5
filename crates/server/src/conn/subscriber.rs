//! A connection's life as a subscriber. In: what came of its subscription, orders. Out: its 101 and first
//! messages, or why there are none; a close.
//!
//! Never: asks the engine; decides who may subscribe.

use fanfare_hub::EngineError;

use super::{Conn, Context, Endpoint, Fate, Phase, Stop, say_close};
use crate::codes;
use crate::echo;
use crate::push::Welcome;

impl Conn {
    /// Whether the worker's table knows it.
    pub(crate) const fn is_subscriber(&self) -> bool {
        matches!(
            self.phase,
            Phase::Subscribing { .. }
                | Phase::Open {
                    endpoint: Endpoint::Raw,
                    ..
                }
        )
    }

    /// Its subscription is in place: everything from here on reaches it.
    pub(crate) fn on_welcome(&mut self, welcome: Welcome, cx: &mut Context<'_>) -> Fate {
        let open = Phase::open(Endpoint::Raw, cx.config);
        let Phase::Subscribing { response, .. } = std::mem::replace(&mut self.phase, open) else {
            unreachable!("a subscriber is answered once: its table says so");
        };
        let response = match welcome.position() {
            None => *response,
            Some(position) => response
                .header("Fanfare-Position", &position.to_string())
                .expect("a position is printable"),
        };
        response.encode(cx.replies);
        if welcome.is_insufficient() {
            let reason = "insufficient state: what follows that position is gone";
            let fate = self.close(codes::INSUFFICIENT_STATE, reason, cx);
            return self.resume(fate, cx);
        }
        welcome.queue(cx.replies, &mut self.outbound);
        self.took_at = cx.now;
        let fate = match self.flush(cx) {
            Fate::Wait if !self.outbound.is_empty() => self.write(cx),
            fate => fate,
        };
        self.resume(fate, cx)
    }

    /// Goes on with what was received while the engine was asked.
    fn resume(&mut self, fate: Fate, cx: &mut Context<'_>) -> Fate {
        if let Fate::Gone(_) = fate {
            return fate;
        }
        let received = std::mem::take(&mut self.spill);
        cx.receive_buffer[..received.len()].copy_from_slice(&received);
        let in_place = self.take(received.len(), cx);
        if let gone @ Fate::Gone(_) = self.flush_in_place(in_place, cx) {
            return gone;
        }
        self.stop = Stop::TurnOver;
        Fate::Again
    }

    /// Its subscription, or what it published, came to nothing; the worker's table has forgotten it.
    pub(crate) fn on_failed(&mut self, error: EngineError, cx: &mut Context<'_>) -> Fate {
        match self.phase {
            Phase::Subscribing { .. } => {
                echo::unavailable(&error).encode(cx.replies);
                self.linger(cx);
                self.stop = Stop::TurnOver; // its FIN is to be read
                match self.flush(cx) {
                    Fate::Wait => Fate::Again,
                    fate => fate,
                }
            }
            _ => self.close(codes::SERVER_ERROR, &error.to_string(), cx),
        }
    }

    /// It has missed something: it is told so.
    pub(crate) fn on_insufficient(&mut self, cx: &mut Context<'_>) -> Fate {
        let reason = "insufficient state: some publications were missed";
        self.close(codes::INSUFFICIENT_STATE, reason, cx)
    }

    /// The engine does not answer.
    pub(super) fn time_out_subscription(&mut self, cx: &mut Context<'_>) -> Fate {
        self.on_failed(EngineError::Unavailable, cx)
    }

    /// More waits than may: what has begun to leave is ended, and a close is the last that is said.
    pub(crate) fn on_too_slow(&mut self, cx: &mut Context<'_>) -> Fate {
        self.outbound.cut_short();
        say_close(codes::SLOW, "slow: too much waits to be read", cx);
        self.linger(cx);
        self.flush(cx)
    }
}
