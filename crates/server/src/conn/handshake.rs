//! The upgrade of one connection. In: bytes of a request head. Out: the answer, and an open
//! connection, one that ends, or one that somebody else answers.
//!
//! Never: keeps a head longer than its limit, or longer than its deadline.

use std::net::IpAddr;
use std::time::Duration;

use fanfare_codec::deflate::Outgoing;
use fanfare_codec::handshake::{Response, Status};

use super::about::About;
use super::session::Seat;
use super::subscriber::limits_of;
use super::{Conn, Context, Endpoint, Fate, Phase, Stop, Why};
use crate::admission::{Admitted, Holding};
use crate::clock::Time;
use crate::config::Config;
use crate::deflate::{self, Agreed};
use crate::exceeded::Exceeded;
use crate::limits::{COMMANDS_BYTES_MAX, HANDSHAKE_GRACE};
use crate::metrics::Kind;
use crate::peer::Shown;
use crate::service::{Asked, Verdict};

impl Conn {
    /// Takes the first `len` bytes of the receive buffer; gives how many of them follow the head of
    /// an accepted upgrade, moved to the buffer's front.
    pub(super) fn take_handshake(&mut self, len: usize, cx: &mut Context<'_>) -> usize {
        let Phase::Handshake {
            decoder,
            admitted,
            entrance,
            ..
        } = &mut self.phase
        else {
            return len;
        };
        // A head in one piece, as nearly all are, is parsed where it was received.
        let head_before = self.spill.len();
        let received = if head_before == 0 {
            &cx.receive_buffer[..len]
        } else {
            self.spill = [&*self.spill, &cx.receive_buffer[..len]].concat().into();
            &self.spill
        };
        let mut agreed = None;
        let (verdict, head_len) = match decoder.decode(received) {
            Ok(None) => {
                if head_before == 0 {
                    self.spill = received.into();
                }
                return 0;
            }
            Ok(Some(request)) => {
                // The query may hold a token.
                let path = request.path();
                if let Some(ip) = entrance.forwarded_for(request.headers(), &cx.config.trusted) {
                    entrance.client = Some(ip);
                    self.about.know(ip);
                    *admitted = claim(*admitted, &mut self.about, ip, cx);
                }
                let client = entrance.client;
                let shown = Shown(client);
                tracing::debug!(conn = %cx.id, client = %shown, method = request.method(), path, "request");
                if let Some(access) = self.about.access_mut() {
                    access.request(request.method(), path);
                }
                let offered =
                    deflate::agree(cx.config.deflate.as_ref(), request.headers(), cx.admission);
                let answer = offered.map(|offered| {
                    agreed = offered;
                    agreed.as_ref().map(|agreed| agreed.answer)
                });
                let asked = Asked {
                    request: &request,
                    admitted: *admitted,
                    client,
                    deflate: answer,
                };
                let verdict = match cx.service.judge(asked, cx.id, cx.now) {
                    Verdict::Refuse(response) if request.method() == "HEAD" => {
                        Verdict::Refuse(response.without_body())
                    }
                    verdict => verdict,
                };
                (verdict, request.head_len())
            }
            Err(error) => {
                tracing::debug!(conn = %cx.id, "no request: {error}");
                if error.status() == Status::HEADERS_TOO_LARGE {
                    cx.metrics.exceeds(Exceeded::HandshakeBytes);
                }
                (Verdict::Refuse(Response::from(&error)), 0)
            }
        };
        let until = cx.now + cx.config.timeouts.handshake;
        let deflate = agreed.as_ref().map(Agreed::terms);
        if let Verdict::Echo(_) | Verdict::Session(_) | Verdict::Wait(_) | Verdict::Subscribe(_) =
            verdict
            && let Some(agreed) = agreed
        {
            self.about.hold_contexts(agreed.promises);
        }
        let follows_at = head_len.saturating_sub(head_before);
        match verdict {
            Verdict::Refuse(response) => {
                cx.notes.answered = Some(response.status());
                response.encode(cx.replies);
                self.linger(cx);
                0
            }
            Verdict::Echo(response) => {
                response.encode(cx.replies);
                self.armed_at = Time::NEVER;
                let outgoing = deflate.map(|terms| Outgoing::new(terms.server));
                let limits = cx.config.message_limits;
                self.phase = Phase::open(Endpoint::Echo(outgoing), limits, deflate);
                cx.notes.opened = Some(Kind::Echo);
                cx.notes.answered = Some(Status::SWITCHING_PROTOCOLS);
                self.spill = Box::default();
                cx.receive_buffer.copy_within(follows_at..len, 0);
                len - follows_at
            }
            Verdict::Session(granted) => {
                let (response, start) = *granted;
                response.encode(cx.replies);
                self.armed_at = Time::NEVER;
                let seat = Box::new(Seat::new(start));
                let limits = limits_of(cx, COMMANDS_BYTES_MAX);
                self.phase = Phase::open(Endpoint::Session(seat), limits, deflate);
                cx.notes.opened = Some(Kind::Session);
                cx.notes.answered = Some(Status::SWITCHING_PROTOCOLS);
                self.spill = Box::default();
                cx.receive_buffer.copy_within(follows_at..len, 0);
                len - follows_at
            }
            Verdict::Wait(candidate) => {
                self.phase = Phase::Waiting {
                    candidate,
                    deflate,
                    until,
                };
                self.spill = cx.receive_buffer[follows_at..len].into();
                self.stop = Stop::Pending;
                0
            }
            Verdict::Subscribe(granted) => {
                self.phase = Phase::Subscribing {
                    granted,
                    deflate,
                    until,
                };
                self.spill = cx.receive_buffer[follows_at..len].into();
                self.stop = Stop::Pending;
                0
            }
            Verdict::HandOver => {
                if head_before == 0 {
                    self.spill = received.into();
                }
                self.stop = Stop::HandedOver;
                0
            }
        }
    }

    /// When the head that began to be waited for at `since` is too late: it must come as fast as the config wants it,
    /// once there was some time for it, and in no more time than there is for all of it.
    pub(super) fn handshake_deadline(&self, since: Time, config: &Config) -> Time {
        let last = since + config.timeouts.handshake;
        match config.bounds.handshake_rate_min {
            Some(bytes_per_second) if self.transport.is_plain() => {
                let bytes = self.spill.len() as u64;
                let millis = bytes * 1000 / u64::from(bytes_per_second.get());
                last.min(since + HANDSHAKE_GRACE + Duration::from_millis(millis))
            }
            _ => last,
        }
    }

    /// 408 for half a request; a peer that said nothing at all is told nothing.
    pub(super) fn time_out_handshake(&mut self, cx: &mut Context<'_>) -> Fate {
        let Phase::Handshake { since, .. } = self.phase else {
            return Fate::Wait;
        };
        if self.spill.is_empty() {
            return Fate::Gone(Why::Silent);
        }
        let exceeded = if cx.now < since + cx.config.timeouts.handshake {
            Exceeded::HandshakeRate
        } else {
            Exceeded::HandshakeTime
        };
        cx.metrics.exceeds(exceeded);
        cx.notes.answered = Some(Status::REQUEST_TIMEOUT);
        Response::refusal(Status::REQUEST_TIMEOUT, &exceeded.why()).encode(cx.replies);
        self.linger(cx);
        self.flush(cx)
    }
}

/// Whether a connection may upgrade of which it is known only now that it is for `ip`.
pub(super) fn claim(
    admitted: Admitted,
    about: &mut About,
    ip: IpAddr,
    cx: &Context<'_>,
) -> Admitted {
    if admitted != Admitted::Served {
        return admitted;
    }
    match cx.admission.claim(Some(ip)) {
        Ok(share) => {
            if share.is_some() {
                about.hold(Holding::of(share));
            }
            Admitted::Served
        }
        Err(exceeded) => {
            cx.metrics.exceeds(exceeded);
            Admitted::Refused(exceeded)
        }
    }
}
