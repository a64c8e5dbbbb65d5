//! A connection's life as a session of the Centrifuge protocol. In: messages, answers, findings, orders, the time.
//! Out: turns for its session, and what the session sends.
//!
//! Never: decides what a command means; tells a publication before the session is connected.

use std::sync::Arc;

use fanfare_codec::deflate::{Deflaters, FreshWindow};
use fanfare_codec::{CloseCode, Message};
use fanfare_hub::{Action, ClientInfo, EngineError, Response, Subscribed};
use fanfare_protocol::{Commands, Disconnect, Encoding, Rules, Session, Taken};

use super::{Conn, Context, Endpoint, Fate, Phase, Stop, read};
use crate::clock::Time;
use crate::echo;
use crate::http::hooks::ClientHeaders;
use crate::limits::REPLIES_OVER_BYTES_MAX;
use crate::metrics::Initiator;
use crate::outbound::{Excess, Fit, Part};
use crate::push::{Desk, Insufficient, Start};
use crate::returns::{Finding, Return};
use crate::service::Service;
use fanfare_protocol::Number;

/// What a connection keeps with its session.
pub(super) struct Seat {
    session: Session,
    encoding: Encoding,
    /// How what it is told is compressed, if it is.
    window: Option<FreshWindow>,
    /// Commands of a message that the session does not take yet.
    backlog: Option<Box<Backlog>>,
    /// Publications that came before the reply to connect.
    held: Option<Box<Held>>,
    headers: ClientHeaders,
    frame_pings: bool,
    /// When the session wants a turn.
    pub(super) deadline: Time,
}

/// What is left of a message, from `at` on.
struct Backlog {
    bytes: Vec<u8>,
    at: usize,
}

/// Publications that may not be told yet.
#[derive(Default)]
struct Held {
    parts: Vec<Part>,
    /// The memory that they keep.
    pinned: usize,
}

/// What comes next on a connection.
enum Next {
    Go,
    /// The session waits for an answer.
    Wait,
    /// Its publications are to be told first.
    Crowded,
    Close(Disconnect),
}

/// What a turn of a session needs of the worker.
struct Turn<'t> {
    service: &'t mut Service,
    deflaters: &'t mut Deflaters,
    replies: &'t mut Vec<u8>,
    id: crate::slab::ConnId,
    now: Time,
}

impl Seat {
    pub(super) fn new(start: Start) -> Self {
        Self {
            deadline: start.deadline,
            session: start.session,
            encoding: start.encoding,
            window: start.window,
            backlog: None,
            held: None,
            headers: start.headers,
            frame_pings: start.frame_pings,
        }
    }

    /// The silence of its peer is broken by frames, not by the session.
    pub(super) const fn wants_frame_pings(&self) -> bool {
        self.frame_pings
    }

    pub(super) const fn info(&self) -> Option<&Arc<ClientInfo>> {
        self.session.info()
    }

    /// Whether publications may be told.
    pub(super) const fn is_connected(&self) -> bool {
        self.session.is_connected()
    }

    /// Keeps publications until they may be told.
    pub(super) fn hold(&mut self, part: Part, cap: usize) -> Fit {
        let held = self.held.get_or_insert_default();
        let pinned = held.pinned + part.segment.memory_bytes();
        if pinned > cap && !held.parts.is_empty() {
            return Fit::Over;
        }
        held.pinned = pinned;
        held.parts.push(part);
        Fit::Fits
    }

    /// Gives the session a turn, and what its host has found out at once.
    fn run<T>(
        &mut self,
        turn: &mut Turn<'_>,
        act: impl FnOnce(&mut Session, &Rules<'_>, &mut Desk<'_>) -> Result<T, Disconnect>,
    ) -> Result<T, Disconnect> {
        let Service::Push(push) = turn.service else {
            return Err(Disconnect::NOT_AVAILABLE); // an echo daemon has no sessions
        };
        let live = push.live();
        let clock = push.clock();
        let rules = Rules {
            namespaces: &live.namespaces,
            client: &live.client,
            now: clock.for_hub(turn.now),
        };
        let mut desk = Desk {
            push,
            live: &live,
            conn: turn.id,
            encoding: self.encoding,
            window: self.window,
            deflaters: turn.deflaters,
            headers: &mut self.headers,
            replies: turn.replies,
            now: turn.now,
        };
        let session = &mut self.session;
        let mut done = act(session, &rules, &mut desk);
        while let (Ok(_), Some(found)) = (&done, desk.push.next_found()) {
            if let Err(disconnect) = found_out(session, found, &rules, &mut desk) {
                done = Err(disconnect);
            }
        }
        desk.push.forget_found();
        self.deadline = clock.of_hub(session.deadline());
        done
    }

    /// Takes the commands of a message, and keeps those that have to wait.
    fn take_message(&mut self, encoding: Encoding, bytes: &[u8], turn: &mut Turn<'_>) -> Next {
        if encoding != self.encoding {
            return Next::Close(Disconnect::WRONG_PROTOCOL);
        }
        if Commands::new(encoding, bytes).rest().is_empty() {
            return Next::Close(Disconnect::BAD_REQUEST); // a message holds one object at least
        }
        let (next, rest) = self.take_commands(bytes, turn);
        if !rest.is_empty() {
            let bytes = rest.to_vec();
            self.backlog = Some(Box::new(Backlog { bytes, at: 0 }));
        }
        next
    }

    /// Takes what an earlier message has left over.
    fn take_backlog(&mut self, turn: &mut Turn<'_>) -> Next {
        let Some(mut backlog) = self.backlog.take() else {
            return Next::Go;
        };
        let (next, rest) = self.take_commands(&backlog.bytes[backlog.at..], turn);
        if !rest.is_empty() {
            backlog.at = backlog.bytes.len() - rest.len();
            self.backlog = Some(backlog);
        }
        next
    }

    /// Takes one command after the other; gives those that are left if it stops.
    fn take_commands<'b>(&mut self, bytes: &'b [u8], turn: &mut Turn<'_>) -> (Next, &'b [u8]) {
        let mut commands = Commands::new(self.encoding, bytes);
        loop {
            let untaken = commands.rest();
            let command = match commands.next() {
                None => return (Next::Go, &[]),
                Some(Err(malformed)) => {
                    tracing::debug!(conn = %turn.id, "{malformed}");
                    return (Next::Close(Disconnect::BAD_REQUEST), &[]);
                }
                Some(Ok(command)) => command,
            };
            let taken = self.run(turn, |session, rules, desk| {
                session.on_command(command, rules, desk)
            });
            match taken {
                Err(disconnect) => return (Next::Close(disconnect), &[]),
                Ok(Taken::NotYet) => return (Next::Wait, untaken),
                Ok(Taken::Done) if turn.service.is_crowded() => {
                    return (Next::Crowded, commands.rest());
                }
                Ok(Taken::Done) => {}
            }
        }
    }
}

fn found_out(
    session: &mut Session,
    found: Return,
    rules: &Rules<'_>,
    desk: &mut Desk<'_>,
) -> Result<(), Disconnect> {
    match found.finding {
        Finding::Verified(result) => session.on_verified(found.number, result, rules, desk),
        Finding::Hooked(result) => session.on_hook(found.number, result, rules, desk),
        Finding::Admitted(_) => Ok(()), // it is asked for raw clients alone
    }
}

impl Conn {
    /// Takes commands until the session wants to wait.
    pub(super) fn take_commands(&mut self, len: usize, cx: &mut Context<'_>) {
        let Phase::Open {
            endpoint: Endpoint::Session(seat),
            decoder,
            pinged_at,
        } = &mut self.phase
        else {
            return;
        };
        let mut room = read::hear(pinged_at, &mut self.armed_at, &self.about, decoder, cx);
        let contexts = cx.deflate.lend(decoder);
        let inflaters = &mut *contexts.inflaters;
        let mut turn = Turn {
            service: cx.service,
            deflaters: contexts.deflaters,
            replies: cx.replies,
            id: cx.id,
            now: cx.now,
        };
        let mut input = &mut cx.receive_buffer[..len];
        let mut next = seat.take_backlog(&mut turn);
        while let Next::Go = next {
            let message = match decoder.next_message_with(&mut input, inflaters) {
                Ok(message) => message,
                Err(error) => return self.fail(error, cx),
            };
            let is_last = message.is_none();
            let mut paced = room.add_inflated(message.as_ref());
            if paced.is_ok() {
                next = match message {
                    None => Next::Go,
                    Some(Message::Text(text)) => {
                        cx.metrics.received_messages.add(1);
                        seat.take_message(Encoding::Json, text.as_bytes(), &mut turn)
                    }
                    Some(Message::Binary(bytes)) => {
                        cx.metrics.received_messages.add(1);
                        seat.take_message(Encoding::Protobuf, bytes, &mut turn)
                    }
                    Some(message) => {
                        echo::answer(message, turn.replies);
                        if let Message::Close(close) = message {
                            cx.notes.ended = Some((Initiator::Client, read::code_of(close)));
                            return self.linger(cx);
                        }
                        Next::Go
                    }
                };
                paced = room.add_fragments(decoder);
            }
            if let Err(exceeded) = paced {
                cx.metrics.exceeds(exceeded);
                next = Next::Close(Disconnect::TOO_MANY_REQUESTS);
            } else if room.is_long() && matches!(next, Next::Go) {
                next = Next::Crowded;
            }
            if is_last {
                break;
            }
        }
        let exceeded = contexts.exceeded();
        let is_half_way = decoder.is_inflating();
        self.about.settle(&room, &cx.config.bounds, cx.now);
        let rest = input.len();
        match next {
            Next::Go => {}
            Next::Wait => self.stop = Stop::Pending,
            Next::Crowded => self.stop = Stop::Crowded,
            Next::Close(Disconnect { code, reason }) => {
                self.begin_close(CloseCode(code), &reason, cx);
                cx.receive_buffer.copy_within(len - rest..len, 0);
                return self.await_close(rest, cx);
            }
        }
        read::keep(&mut self.spill, &cx.receive_buffer[len - rest..len]);
        self.go_half_way(is_half_way, exceeded, cx);
    }

    /// The engine has subscribed it.
    pub(crate) fn on_subscribed(
        &mut self,
        number: Number,
        subscribed: Subscribed,
        cx: &mut Context<'_>,
    ) -> Fate {
        self.act(cx, |session, rules, desk| {
            session.on_subscribed(number, subscribed, rules, desk)
        })
    }

    /// The engine has answered, or it has not subscribed it.
    pub(crate) fn on_answer(
        &mut self,
        number: Number,
        outcome: Result<Response, EngineError>,
        cx: &mut Context<'_>,
    ) -> Fate {
        self.act(cx, |session, rules, desk| {
            session.on_answer(number, outcome, rules, desk)
        })
    }

    /// Another thread has found something out.
    pub(crate) fn on_found(&mut self, found: Return, cx: &mut Context<'_>) -> Fate {
        if let Phase::Waiting { .. } = self.phase {
            return self.on_decided(found.finding, cx);
        }
        self.act(cx, |session, rules, desk| {
            found_out(session, found, rules, desk)
        })
    }

    /// It has missed something of a channel, and is no subscriber of it any more.
    pub(crate) fn on_missed(&mut self, missed: &Insufficient, cx: &mut Context<'_>) -> Fate {
        if !self.is_session() {
            return self.on_insufficient(cx);
        }
        self.act(cx, |session, rules, desk| {
            session.on_insufficient(&missed.channel, missed.terms, rules, desk)
        })
    }

    /// The API wants something of it.
    pub(crate) fn on_order(&mut self, action: &Action, cx: &mut Context<'_>) -> Fate {
        self.act(cx, |session, rules, desk| {
            session.on_order(action, rules, desk)
        })
    }

    /// The session's time has come.
    pub(super) fn on_session_deadline(&mut self, cx: &mut Context<'_>) -> Fate {
        // Its pong may be where we do not read, or our ping behind what it has not taken.
        let is_silence_ours = !self.is_heard() || self.is_waiting();
        self.act(cx, |session, rules, desk| {
            if is_silence_ours {
                session.excuse_silence(rules);
            }
            session.on_deadline(rules, desk)
        })
    }

    /// Gives the session a turn, and sends what it says; goes on with commands that have waited.
    fn act(
        &mut self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut Session, &Rules<'_>, &mut Desk<'_>) -> Result<(), Disconnect>,
    ) -> Fate {
        let has_asked_too_much = self.has_queued_more_than(REPLIES_OVER_BYTES_MAX, cx);
        let Phase::Open {
            endpoint: Endpoint::Session(seat),
            ..
        } = &mut self.phase
        else {
            return Fate::Wait; // it is closing: nothing more is said
        };
        if has_asked_too_much {
            return self.on_too_slow(cx); // it asks, and does not read what it is answered
        }
        let mut turn = Turn {
            service: cx.service,
            deflaters: cx.deflate.deflaters(),
            replies: cx.replies,
            id: cx.id,
            now: cx.now,
        };
        if let Err(Disconnect { code, reason }) = seat.run(&mut turn, act) {
            return self.close(CloseCode(code), &reason, cx);
        }
        let held = if seat.is_connected() {
            seat.held.take()
        } else {
            None
        };
        if let gone @ Fate::Gone(_) = self.flush(cx) {
            return gone;
        }
        if let Some(held) = held {
            for part in held.parts {
                // A subscription may have ended meanwhile. The others have been counted while they were held.
                if cx.service.is_in(cx.id, part.channel) {
                    let _ = self.outbound.push_shared(part, Excess::Report, usize::MAX);
                }
            }
            match self.write(cx) {
                Fate::Wait => {}
                other => return other,
            }
        }
        match self.stop {
            // It is not asked for more while it does not take what there is.
            Stop::Pending if self.has_too_much_queued(cx) => {
                self.stop = Stop::OutputFull;
                Fate::Wait
            }
            Stop::Pending => self.resume(cx),
            _ => Fate::Wait,
        }
    }
}
