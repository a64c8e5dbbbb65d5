//! What comes in on one connection. In: its socket. Out: replies for the worker's buffer, and the
//! reason why reading stopped.
//!
//! Never: reads on while the peer does not take its replies.

use std::io;

use fanfare_codec::{CloseCode, CloseFrame, Message, MessageDecoder};

use super::about::About;
use super::pace::Room;
use super::{Conn, Context, Endpoint, Fate, Phase, Stop, Why, say_close};
use crate::clock::Time;
use crate::echo;
use crate::exceeded::Exceeded;
use crate::limits::READS_PER_TURN_MAX;
use crate::metrics::Initiator;
use crate::transport::Received;

impl Conn {
    /// Reads until one of the reasons in [`Stop`]; the replies of each read leave in one `send`.
    ///
    /// Whoever says more than a turn takes is busy, until one read is all that there is.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Fate {
        if let Some(fate) = self.enter(cx) {
            return fate;
        }
        for nth in 0..READS_PER_TURN_MAX {
            let held = self.held_frame_bytes();
            if held > 0 {
                cx.receive_buffer[..held].copy_from_slice(&self.spill);
            }
            let read = held..held + self.transport.read_bytes_max();
            let received = match self.transport.recv(&mut cx.receive_buffer[read]) {
                Ok(Received { len: 0, .. }) => return self.peer_finished(),
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_busy &= nth > 0;
                    self.stop = Stop::Drained;
                    return Fate::Wait;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Fate::Gone(Why::Socket(error)),
            };
            cx.metrics.received_bytes.add(received.len as u64);
            if let Some(access) = self.about.access_mut() {
                access.received_bytes += received.len as u64;
            }
            self.heard_at = cx.now;
            let in_place = self.take(held + received.len, cx);
            if let gone @ Fate::Gone(_) = self.flush_in_place(in_place, cx) {
                return gone;
            }
            match self.stop {
                Stop::Pending => return Fate::Wait,
                Stop::HandedOver => return Fate::HandOver,
                Stop::Crowded => return Fate::Again,
                _ => {}
            }
            if self.has_too_much_queued(cx) && matches!(self.phase, Phase::Open { .. }) {
                self.stop = Stop::OutputFull;
                return Fate::Wait;
            }
            // A FIN may have come in the same edge: no other will announce it.
            if received.drained && !self.peer_closed {
                self.is_busy &= nth > 0;
                self.stop = Stop::Drained;
                return Fate::Wait;
            }
        }
        self.is_busy = true;
        self.stop = Stop::TurnOver;
        Fate::Again
    }

    /// Goes on with what was received and not decoded: the engine was asked, or publications were to be told.
    pub(super) fn resume(&mut self, cx: &mut Context<'_>) -> Fate {
        let received = std::mem::take(&mut self.spill);
        cx.receive_buffer[..received.len()].copy_from_slice(&received);
        self.stop = Stop::TurnOver;
        let in_place = self.take(received.len(), cx);
        match self.flush_in_place(in_place, cx) {
            gone @ Fate::Gone(_) => gone,
            _ if self.stop == Stop::Pending => Fate::Wait, // the answer brings the next turn
            _ => Fate::Again,
        }
    }

    /// Bytes of a cut frame that go in front of what is read next. A head that is cut stays in the
    /// spill instead: it is searched where it grows.
    const fn held_frame_bytes(&self) -> usize {
        match self.phase {
            Phase::Open { .. } | Phase::Closing { .. } => self.spill.len(),
            Phase::Handshake { .. }
            | Phase::Waiting { .. }
            | Phase::Subscribing { .. }
            | Phase::Lingering { .. } => 0,
        }
    }

    /// Consumes the first `len` bytes of the receive buffer, or keeps the end of them; how many bytes at
    /// its front are replies now.
    #[inline]
    pub(super) fn take(&mut self, len: usize, cx: &mut Context<'_>) -> usize {
        let len = match self.phase {
            Phase::Handshake { .. } => self.take_handshake(len, cx),
            _ => len,
        };
        match self.phase {
            Phase::Open {
                endpoint: Endpoint::Echo(None),
                ..
            } => return self.take_messages(len, cx),
            Phase::Open {
                endpoint: Endpoint::Echo(Some(_)),
                ..
            } => self.take_deflated(len, cx),
            Phase::Open {
                endpoint: Endpoint::Raw(_),
                ..
            } => self.take_publications(len, cx),
            Phase::Open {
                endpoint: Endpoint::Session(_),
                ..
            } => self.take_commands(len, cx),
            Phase::Closing { .. } => self.await_close(len, cx),
            Phase::Handshake { .. }
            | Phase::Waiting { .. }
            | Phase::Subscribing { .. }
            | Phase::Lingering { .. } => {}
        }
        0
    }

    /// Answers messages where they lie, and the others into the worker's reply buffer. There can be
    /// replies in one of the two only: the latter takes in what lies in front of its first.
    #[inline]
    fn take_messages(&mut self, len: usize, cx: &mut Context<'_>) -> usize {
        let Phase::Open {
            decoder, pinged_at, ..
        } = &mut self.phase
        else {
            return 0;
        };
        let mut room = hear(pinged_at, &mut self.armed_at, &self.about, decoder, cx);
        // Messages that are counted are looked at one by one.
        let are_counted = cx.config.bounds.messages_per_second_max.is_some();
        let answer_in_place = |decoder: &mut MessageDecoder, input: &mut _| {
            if are_counted {
                return &[][..];
            }
            echo::answer_in_place(decoder, input)
        };
        let mut input = &mut cx.receive_buffer[..len];
        let mut in_place = answer_in_place(decoder, &mut input);
        loop {
            let message = match decoder.next_message(&mut input) {
                Ok(Some(message)) => Ok(message),
                Ok(None) => break,
                Err(error) => Err(error),
            };
            cx.replies.extend_from_slice(in_place);
            let paced = match message {
                Ok(message) => {
                    let paced = room.add(Some(&message));
                    echo::answer(message, cx.replies);
                    if let Message::Close(close) = message {
                        cx.notes.ended = Some((Initiator::Client, code_of(close)));
                        self.linger(cx);
                        return 0;
                    }
                    paced.and_then(|()| room.add_fragments(decoder))
                }
                Err(error) => {
                    self.fail(error, cx);
                    return 0;
                }
            };
            if let Err(exceeded) = paced {
                self.end_flood(exceeded, cx);
                return 0;
            }
            in_place = answer_in_place(decoder, &mut input);
        }
        keep(&mut self.spill, input);
        let paced = room.add_fragments(decoder);
        self.about.settle(&room, &cx.config.bounds, cx.now);
        if let Err(exceeded) = paced {
            cx.replies.extend_from_slice(in_place);
            self.end_flood(exceeded, cx);
            return 0;
        }
        if cx.replies.is_empty() {
            return in_place.len();
        }
        cx.replies.extend_from_slice(in_place); // behind replies that are there already
        0
    }

    /// Publishes messages of a subscriber, as many as may be before they are told; one that can't be closes it.
    fn take_publications(&mut self, len: usize, cx: &mut Context<'_>) {
        let Phase::Open {
            endpoint: Endpoint::Raw(who),
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
            match message {
                None => {}
                Some(message @ (Message::Text(_) | Message::Binary(_))) => {
                    cx.metrics.received_messages.add(1);
                    let info = who.as_ref().map(|who| &who.info);
                    if let Err(refusal) = cx.service.publish(cx.id, info, message, cx.now) {
                        say_close(refusal.code, refusal.reason, cx);
                        return self.linger(cx);
                    }
                    if cx.service.is_crowded() || room.is_long() {
                        self.stop = Stop::Crowded;
                    }
                }
                Some(message) => {
                    echo::answer(message, cx.replies);
                    if let Message::Close(close) = message {
                        cx.notes.ended = Some((Initiator::Client, code_of(close)));
                        return self.linger(cx);
                    }
                }
            }
            if let Err(exceeded) = room.add_fragments(decoder) {
                return self.end_flood(exceeded, cx);
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

    /// It sends faster than it may.
    #[cold]
    pub(super) fn end_flood(&mut self, exceeded: Exceeded, cx: &mut Context<'_>) {
        cx.metrics.exceeds(exceeded);
        say_close(CloseCode::POLICY_VIOLATION, exceeded.why(), cx);
        self.linger(cx);
    }

    /// Drops messages until the peer's close; pings are answered until then (RFC 6455 §5.5.2), but for those that come
    /// while an answer waits to be taken: only the latest needs one (§5.5.3).
    pub(super) fn await_close(&mut self, len: usize, cx: &mut Context<'_>) {
        let is_waiting = self.is_waiting();
        let Phase::Closing { decoder, .. } = &mut self.phase else {
            return;
        };
        let contexts = cx.deflate.lend(decoder);
        let mut input = &mut cx.receive_buffer[..len];
        loop {
            match decoder.next_message_with(&mut input, contexts.inflaters) {
                Ok(Some(Message::Close(_))) | Err(_) => return self.linger(cx),
                Ok(Some(ping @ Message::Ping(_))) if !is_waiting => echo::answer(ping, cx.replies),
                Ok(Some(_)) => {}
                Ok(None) => break,
            }
        }
        if contexts.exceeded().is_some() {
            return self.linger(cx); // it was told already that this ends
        }
        keep(&mut self.spill, input);
    }

    /// The peer's FIN: nothing more will come, but it may still read what is queued.
    fn peer_finished(&mut self) -> Fate {
        self.stop = Stop::Finished;
        let why = match self.phase {
            Phase::Lingering { .. } => Why::Closed,
            _ => Why::PeerLeft,
        };
        if self.is_waiting() {
            return Fate::Wait;
        }
        Fate::Gone(why)
    }
}

/// Bytes have come, which are a sign of life whatever they are; how much they may be.
#[inline]
pub(super) fn hear(
    pinged_at: &mut Option<Time>,
    armed_at: &mut Time,
    about: &About,
    decoder: &mut MessageDecoder,
    cx: &Context<'_>,
) -> Room {
    let was_asked = pinged_at.take().is_some();
    if was_asked {
        *armed_at = Time::NEVER;
    }
    let (bounds, seen) = (&cx.config.bounds, decoder.fragments());
    Room::new(about.pace(), seen, was_asked, bounds, cx.now)
}

/// What a peer closes with.
pub(super) fn code_of(close: Option<CloseFrame<'_>>) -> CloseCode {
    close.map_or(CloseCode::NO_STATUS, |close| close.code())
}

/// Replaces what `spill` holds; it holds no memory when that is nothing.
#[inline]
pub(super) fn keep(spill: &mut Box<[u8]>, rest: &[u8]) {
    if spill.len() == rest.len() {
        spill.copy_from_slice(rest);
    } else {
        *spill = rest.into();
    }
}
