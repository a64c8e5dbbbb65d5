//! A connection's life as a subscriber. In: what came of its subscription. Out: its 101 and first messages, or
//! why there are none; a close that says what it is closed for.
//!
//! Never: decides who may subscribe, or who is too slow.

use fanfare_codec::Limits;
use fanfare_codec::handshake::Status;
use fanfare_hub::{ClientInfo, EngineError};

use super::{Conn, Context, Endpoint, Fate, Phase, Stop, say_close};
use crate::clock::Time;
use crate::codes;
use crate::echo;
use crate::exceeded::Exceeded;
use crate::metrics::{Kind, Slowness};
use crate::push::Welcome;
use crate::returns::Finding;
use crate::service::Verdict;

impl Conn {
    /// Whether the worker's table knows it.
    pub(crate) const fn is_subscriber(&self) -> bool {
        matches!(
            self.phase,
            Phase::Subscribing { .. }
                | Phase::Open {
                    endpoint: Endpoint::Raw(_) | Endpoint::Session(_),
                    ..
                }
        )
    }

    /// Whether it has a session.
    pub(crate) const fn is_session(&self) -> bool {
        matches!(
            self.phase,
            Phase::Open {
                endpoint: Endpoint::Session(_),
                ..
            }
        )
    }

    /// Who it is, if that is known.
    pub(crate) fn info(&self) -> Option<&ClientInfo> {
        match &self.phase {
            Phase::Open { endpoint, .. } => endpoint.info(),
            Phase::Subscribing { granted, .. } => granted.1.as_ref().map(|who| &*who.info),
            _ => None,
        }
    }

    /// Its subscription is in place: everything from here on reaches it.
    pub(crate) fn on_welcome(&mut self, welcome: Welcome, cx: &mut Context<'_>) -> Fate {
        let limits = limits_of(cx, 0);
        self.armed_at = Time::NEVER;
        let lingering = Phase::lingering(cx.now);
        let Phase::Subscribing {
            granted, deflate, ..
        } = std::mem::replace(&mut self.phase, lingering)
        else {
            unreachable!("a subscriber is answered once: its table says so");
        };
        let (response, who) = *granted;
        self.phase = Phase::open(Endpoint::Raw(who), limits, deflate);
        cx.notes.opened = Some(Kind::Raw);
        cx.notes.answered = Some(Status::SWITCHING_PROTOCOLS);
        let response = match welcome.position() {
            None => response,
            Some(position) => response
                .header("Fanfare-Position", &position.to_string())
                .expect("a position is printable"),
        };
        response.encode(cx.replies);
        if welcome.is_insufficient() {
            let reason = "insufficient state: what follows that position is gone";
            return match self.close(codes::INSUFFICIENT_STATE, reason, cx) {
                gone @ Fate::Gone(_) => gone,
                _ => self.resume(cx),
            };
        }
        welcome.queue(cx.replies, &mut self.outbound, cx.deflate.deflaters());
        self.took_at = cx.now;
        let fate = self.flush(cx);
        self.outbound.allow();
        match fate {
            Fate::Wait if !self.outbound.is_empty() => match self.write(cx) {
                gone @ Fate::Gone(_) => gone,
                _ => self.resume(cx),
            },
            gone @ Fate::Gone(_) => gone,
            _ => self.resume(cx),
        }
    }

    /// Something that it waited for was found out, in front of its upgrade.
    pub(super) fn on_decided(&mut self, finding: Finding, cx: &mut Context<'_>) -> Fate {
        let lingering = Phase::lingering(cx.now);
        let Phase::Waiting {
            candidate,
            deflate,
            until,
        } = std::mem::replace(&mut self.phase, lingering)
        else {
            return Fate::Wait;
        };
        match cx.service.decide(*candidate, finding, cx.id, cx.now) {
            Verdict::Wait(candidate) => {
                self.phase = Phase::Waiting {
                    candidate,
                    deflate,
                    until,
                };
            }
            Verdict::Subscribe(granted) => {
                self.phase = Phase::Subscribing {
                    granted,
                    deflate,
                    until,
                };
            }
            Verdict::Refuse(response) => return self.refuse(&response, cx),
            Verdict::Echo(_) | Verdict::Session(_) | Verdict::HandOver => {
                unreachable!("only raw clients wait")
            }
        }
        Fate::Wait
    }

    /// Its subscription, or what it published, came to nothing.
    pub(crate) fn on_failed(&mut self, error: EngineError, cx: &mut Context<'_>) -> Fate {
        match self.phase {
            Phase::Waiting { .. } | Phase::Subscribing { .. } => {
                self.refuse(&echo::unavailable(&error), cx)
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
        if !matches!(self.phase, Phase::Open { .. }) {
            return Fate::Wait; // another channel of the same tick was too much already
        }
        cx.metrics.is_slow(Slowness::Output);
        let is_all_s = cx.output_bytes_max() < cx.config.output_bytes_max;
        cx.metrics.exceeds(if is_all_s {
            Exceeded::OutputInAll
        } else {
            Exceeded::Output
        });
        self.outbound.cut_short();
        say_close(codes::SLOW, "slow: too much waits to be read", cx);
        self.linger(cx);
        let fate = self.flush(cx);
        if let (Fate::Wait, Stop::Pending | Stop::OutputFull) = (&fate, self.stop) {
            self.stop = Stop::TurnOver; // its FIN is to be read
            return Fate::Again;
        }
        fate
    }
}

/// What a publisher's messages may be: as large as a publication, and `beside` bytes.
pub(super) fn limits_of(cx: &Context<'_>, beside: u64) -> Limits {
    let limits = cx.config.message_limits;
    let published = cx.service.publication_bytes_max().saturating_add(beside);
    limits.with_max_message_bytes(limits.max_message_bytes.min(published))
}
