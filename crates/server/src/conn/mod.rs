//! One connection from accept to close. In: readiness, deadlines, turns. Out: replies on its socket,
//! and what becomes of it.
//!
//! ```text
//! Handshake ──101──▶ Open ──we close──▶ Closing ──their close──▶ Lingering ──FIN──▶ gone
//!   │ └──▶ Waiting ──▶ Subscribing ─▲ │                              ▲
//!   │         └────────────└──────────┴─any other answer, 408, their close, a broken rule
//!   └──plain HTTP──▶ handed over
//! ```
//!
//! Never: reads another connection's bytes, waits, allocates while idle.

mod about;
mod deflated;
mod entrance;
mod handshake;
mod notes;
mod pace;
mod read;
mod session;
mod subscriber;
mod write;

use std::fmt;
use std::io;
use std::net::IpAddr;

use fanfare_codec::deflate::{DeflateTerms, Outgoing};
use fanfare_codec::handshake::{RequestDecoder, Response, Status};
use fanfare_codec::{CloseCode, CloseFrame, Encoder, Limits, MessageDecoder, ProtocolError, Role};
use fanfare_hub::ClientInfo;
use mio::{Registry, Token};

use crate::access::Access;
use crate::admission::{Admission, Admitted, Holding};
use crate::clock::Time;
use crate::codes;
use crate::config::Config;
use crate::deflate::Contexts;
use crate::exceeded::Exceeded;
use crate::metrics::{Initiator, Metrics as AllMetrics, Worker as Metrics};
use crate::outbound::Outbound;
use crate::peer::{Entrance, Peer};
use crate::push::{Candidate, Who};
use crate::service::Service;
use crate::slab::ConnId;
use crate::transport::Transport;

pub(crate) use notes::Notes;
pub(crate) use write::Told;

use about::About;
use session::Seat;

pub(crate) struct Conn {
    transport: Transport,
    phase: Phase,
    /// Why it is not being read.
    stop: Stop,
    /// The kernel said that the peer will send no more: `recv` until it says so too.
    peer_closed: bool,
    /// Its last turn was too short for all that it said: the next ones wait for those who say little.
    is_busy: bool,
    /// Received and not consumed: the start of a request head or of a frame.
    spill: Box<[u8]>,
    outbound: Outbound,
    heard_at: Time,
    /// When the peer last took bytes that had been queued; means nothing while nothing is.
    took_at: Time,
    /// When the wheel will call [`on_deadline`](Self::on_deadline). Never, too, once it waits for silence alone
    /// and the wheel was armed for something else.
    armed_at: Time,
    about: About,
}

/// It is what an idle connection costs, with a node in the wheel and what the kernel keeps: with its slot's
/// generation, three cache lines.
const _: () = assert!(size_of::<Conn>() <= 184);

enum Phase {
    Handshake {
        decoder: RequestDecoder,
        admitted: Admitted,
        entrance: Entrance,
        since: Time,
    },
    /// Other threads are asked whether the request is granted.
    Waiting {
        candidate: Box<Candidate>,
        deflate: Option<DeflateTerms>,
        until: Time,
    },
    /// The request is granted, and the engine asked for what it wants.
    Subscribing {
        /// What it is answered then, and to whom.
        granted: Box<(Response, Option<Box<Who>>)>,
        deflate: Option<DeflateTerms>,
        until: Time,
    },
    Open {
        endpoint: Endpoint,
        decoder: MessageDecoder,
        /// When we pinged a silent peer.
        pinged_at: Option<Time>,
    },
    /// We sent close; their close ends the wait. Their messages are dropped.
    Closing {
        decoder: MessageDecoder,
        until: Time,
        /// Our close has left, and their time for theirs has begun.
        has_left: bool,
    },
    /// Nothing more to say: send what is queued, then FIN, then wait for theirs, so that the last
    /// bytes are not lost in a reset (RFC 6455 §7.1.1, RFC 9112 §9.6).
    Lingering { fin_sent: bool, until: Time },
}

/// What an open connection is for.
enum Endpoint {
    /// And how its messages are compressed, if they are.
    Echo(Option<Outgoing>),
    /// A subscriber; its worker's table knows of what. Without it, it is anonymous.
    Raw(Option<Box<Who>>),
    /// A session of the Centrifuge protocol.
    Session(Box<Seat>),
}

/// Why a connection is not being read, and who takes it up again. No other reason exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The socket is empty: its next edge.
    Drained,
    /// Its turn is over, or it is busy and has to wait for one: the reactor's ready list ([`Conn::on_ready`]).
    TurnOver,
    /// The peer does not take our replies: the write that drains them ([`Conn::write`]).
    OutputFull,
    /// Its publications wait to be told, or its messages were long once inflated, and what was received with them is
    /// not decoded yet: the ready list.
    Crowded,
    /// The engine, or another thread, has been asked: the answer ([`Conn::on_welcome`], [`Conn::on_failed`],
    /// a turn of its session).
    Pending,
    /// Its request is plain HTTP: the thread that it is handed over to.
    HandedOver,
    /// The peer's FIN was read: nobody, there is nothing more.
    Finished,
}

/// A connection that was accepted and is in no slab yet; it counts as open.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) transport: Transport,
    pub(crate) peer: Peer,
    pub(crate) entrance: Entrance,
    pub(crate) admitted: Admitted,
    pub(crate) holding: Holding,
}

/// What the poller reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) peer_closed: bool,
}

/// What a worker lends to the connection whose turn it is.
pub(crate) struct Context<'w> {
    pub(crate) receive_buffer: &'w mut [u8],
    /// Empty between turns.
    pub(crate) replies: &'w mut Vec<u8>,
    pub(crate) service: &'w mut Service,
    pub(crate) deflate: &'w mut Contexts,
    pub(crate) config: &'w Config,
    pub(crate) metrics: &'w Metrics,
    pub(crate) admission: &'w Admission,
    /// Of all workers.
    pub(crate) all_metrics: &'w AllMetrics,
    /// Whose turn it is.
    pub(crate) id: ConnId,
    pub(crate) now: Time,
    /// What of the turn is counted, and logged.
    pub(crate) notes: Notes,
}

impl Context<'_> {
    /// What may wait for one connection at the moment.
    pub(crate) fn output_bytes_max(&self) -> usize {
        self.config.output_bytes_max_now(self.all_metrics)
    }

    /// What may wait for all, beside what does.
    pub(crate) fn output_bytes_left(&self) -> usize {
        self.config.output_bytes_left(self.all_metrics)
    }
}

/// What becomes of a connection after a turn.
#[must_use]
#[derive(Debug)]
pub(crate) enum Fate {
    /// An edge or its deadline gives it the next turn.
    Wait,
    /// It wants another turn, and no edge will come.
    Again,
    Gone(Why),
    /// Its request is plain HTTP: [`Conn::into_parts`].
    HandOver,
}

/// Why a connection is gone, for the log.
#[derive(Debug)]
pub(crate) enum Why {
    Closed,
    PeerLeft,
    Silent,
    DoesNotRead,
    /// Nor is there room to keep for it what it does not read.
    NoRoom,
    Stopping,
    Socket(io::Error),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("done"),
            Self::PeerLeft => f.write_str("the peer left without a close"),
            Self::Silent => f.write_str("the peer did not answer in time"),
            Self::DoesNotRead => f.write_str("the peer took nothing for too long"),
            Self::NoRoom => f.write_str("the peer does not read, and nothing more may wait"),
            Self::Stopping => f.write_str("not upgraded yet, and the daemon stops"),
            Self::Socket(error) => error.fmt(f),
        }
    }
}

impl Conn {
    pub(crate) fn new(newcomer: Newcomer, now: Time, config: &Config) -> Self {
        let Newcomer {
            transport,
            peer,
            entrance,
            admitted,
            holding,
        } = newcomer;
        let access = config.access_log.then(|| Access::new(peer, now));
        Self {
            transport,
            phase: Phase::Handshake {
                decoder: RequestDecoder::new(config.bounds.head),
                admitted,
                entrance,
                since: now,
            },
            stop: Stop::Drained,
            peer_closed: false,
            is_busy: false,
            spill: Box::default(),
            outbound: Outbound::default(),
            heard_at: now,
            took_at: now,
            armed_at: Time::NEVER,
            about: About::new(access, holding),
        }
    }

    /// Whom it is for, if a proxy has said so; else that is its peer.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.about.client()
    }

    /// The transport, and what was received from it, of a connection to be handed over, and what it holds.
    pub(crate) fn into_parts(mut self) -> (Transport, Box<[u8]>, Holding) {
        let holding = self.about.take_holding();
        (self.transport, self.spill, holding)
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.transport.register(registry, token)
    }

    /// The poller has news.
    #[inline]
    pub(crate) fn on_event(&mut self, readiness: Readiness, cx: &mut Context<'_>) -> Fate {
        self.peer_closed |= readiness.peer_closed;
        if readiness.writable && self.is_waiting() {
            match self.write(cx) {
                Fate::Wait => {}
                other => return other,
            }
        }
        let news = readiness.readable || readiness.peer_closed;
        match self.stop {
            Stop::Drained if news && self.is_busy => {
                self.stop = Stop::TurnOver;
                Fate::Again
            }
            Stop::Drained if news => self.read(cx),
            _ => Fate::Wait,
        }
    }

    /// Whether it waits with those that say much for its turn on the ready list.
    pub(crate) const fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Its turn on the ready list.
    pub(crate) fn on_ready(&mut self, cx: &mut Context<'_>) -> Fate {
        match self.stop {
            Stop::TurnOver => self.read(cx),
            Stop::Crowded => self.resume(cx),
            _ => Fate::Wait,
        }
    }

    /// When to call [`on_deadline`](Self::on_deadline), if that is earlier than what was said before.
    /// A deadline that has moved away, as traffic moves it, is left to fire and be moved then.
    #[inline]
    pub(crate) fn nearer_deadline(&mut self, config: &Config) -> Option<Time> {
        let is_quiet = matches!(
            self.phase,
            Phase::Open {
                pinged_at: None,
                endpoint: Endpoint::Echo(_) | Endpoint::Raw(None),
                ..
            }
        ) && !self.is_waiting();
        if is_quiet && self.armed_at != Time::NEVER {
            return None; // armed for a silence that began no later than this one
        }
        let deadline = self.deadline(config);
        if deadline >= self.armed_at {
            return None;
        }
        self.armed_at = deadline;
        Some(deadline)
    }

    #[inline]
    fn deadline(&self, config: &Config) -> Time {
        let timeouts = &config.timeouts;
        let of_phase = match &self.phase {
            Phase::Handshake { since, .. } => self.handshake_deadline(*since, config),
            Phase::Waiting { until, .. } | Phase::Subscribing { until, .. } => *until,
            // A peer that has yet to take our replies is not asked for anything else.
            Phase::Open { endpoint, .. } if self.is_waiting() => {
                (self.took_at + timeouts.send).min(endpoint.deadline())
            }
            _ if self.is_waiting() => self.took_at + timeouts.send,
            Phase::Closing { until, .. } | Phase::Lingering { until, .. } => *until,
            Phase::Open {
                endpoint: Endpoint::Session(seat),
                ..
            } if !seat.wants_frame_pings() => seat.deadline,
            Phase::Open {
                endpoint,
                pinged_at: Some(at),
                ..
            } => (*at + timeouts.pong).min(endpoint.deadline()),
            Phase::Open { endpoint, .. } => timeouts
                .ping_interval
                .map_or(Time::NEVER, |interval| self.heard_at + interval)
                .min(endpoint.deadline()),
        };
        match self.phase {
            Phase::Open { .. } => of_phase.min(self.about.whole_by()),
            _ => of_phase,
        }
    }

    /// The wheel fired, perhaps for a deadline that has moved since.
    pub(crate) fn on_deadline(&mut self, cx: &mut Context<'_>) -> Fate {
        self.armed_at = Time::NEVER;
        if self.deadline(cx.config) > cx.now {
            return Fate::Wait;
        }
        let (is_heard, is_waiting) = (self.is_heard(), self.is_waiting());
        match &mut self.phase {
            Phase::Handshake { .. } => self.time_out_handshake(cx),
            Phase::Waiting { .. } | Phase::Subscribing { .. } => self.time_out_subscription(cx),
            Phase::Open {
                endpoint: Endpoint::Session(seat),
                ..
            } if seat.deadline <= cx.now => self.on_session_deadline(cx),
            Phase::Open { .. } if self.about.whole_by() <= cx.now => {
                let exceeded = Exceeded::HalfReceivedTime;
                cx.metrics.exceeds(exceeded);
                self.close(CloseCode::POLICY_VIOLATION, exceeded.why(), cx)
            }
            Phase::Open {
                endpoint: Endpoint::Raw(Some(who)),
                ..
            } if who.ends_at <= cx.now => self.close(codes::EXPIRED, "connection expired", cx),
            _ if is_waiting => Fate::Gone(Why::DoesNotRead),
            Phase::Open {
                pinged_at: Some(at),
                ..
            } if !is_heard => {
                *at = cx.now; // its pong may be where we do not read
                Fate::Wait
            }
            Phase::Open {
                pinged_at: Some(_), ..
            } => {
                let code = match &self.phase {
                    Phase::Open {
                        endpoint: Endpoint::Session(_),
                        ..
                    } => codes::NO_PONG,
                    _ => CloseCode::INTERNAL_ERROR,
                };
                say_close(code, "no answer to a ping", cx);
                self.linger(cx);
                self.flush(cx)
            }
            Phase::Open { pinged_at, .. } => {
                *pinged_at = Some(cx.now);
                Encoder::server()
                    .ping(cx.replies, b"")
                    .expect("an empty ping is short");
                self.flush(cx)
            }
            Phase::Closing { .. } | Phase::Lingering { .. } => Fate::Gone(Why::Silent),
        }
    }

    /// The daemon stops: close, and wait for theirs.
    pub(crate) fn on_stop(&mut self, cx: &mut Context<'_>) -> Fate {
        if let Phase::Handshake { .. } | Phase::Waiting { .. } | Phase::Subscribing { .. } =
            self.phase
        {
            return Fate::Gone(Why::Stopping);
        }
        let code = if self.is_session() {
            codes::SHUTDOWN
        } else {
            cx.config.drain.close_code
        };
        self.close(code, "shutdown: the server stops", cx)
    }

    /// Closes an open connection, and waits for theirs.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str, cx: &mut Context<'_>) -> Fate {
        if let Phase::Subscribing { .. } = self.phase {
            return self.refuse(&Response::refusal(Status::FORBIDDEN, &reason), cx);
        }
        self.begin_close(code, reason, cx);
        let fate = self.flush(cx);
        match (fate, self.stop) {
            // What it has said since is of no interest, but its close is.
            (Fate::Wait, Stop::Pending | Stop::OutputFull) => self.resume(cx),
            (fate, _) => fate,
        }
    }

    /// Answers a request that has waited, and is not granted.
    fn refuse(&mut self, response: &Response, cx: &mut Context<'_>) -> Fate {
        cx.notes.answered = Some(response.status());
        response.encode(cx.replies);
        self.linger(cx);
        self.stop = Stop::TurnOver; // its FIN is to be read
        match self.flush(cx) {
            Fate::Wait => Fate::Again,
            fate => fate,
        }
    }

    /// Says the close of an open connection; what comes of it is sent at the end of the turn.
    fn begin_close(&mut self, code: CloseCode, reason: &str, cx: &mut Context<'_>) {
        let until = cx.now + cx.config.timeouts.close;
        match std::mem::replace(&mut self.phase, Phase::lingering(until)) {
            Phase::Open {
                decoder, endpoint, ..
            } => {
                self.phase = Phase::Closing {
                    decoder,
                    until,
                    has_left: false,
                };
                if !matches!(endpoint, Endpoint::Echo(_)) {
                    cx.service.leave(cx.id, endpoint.info(), cx.now);
                }
                say_close(code, reason, cx);
            }
            other => self.phase = other,
        }
    }

    /// Answers a broken rule: close at once, without waiting for theirs (RFC 6455 §7.1.7).
    fn fail(&mut self, error: ProtocolError, cx: &mut Context<'_>) {
        tracing::debug!(conn = %cx.id, "{error}");
        say_close(error.close_code(), &error.to_string(), cx);
        self.linger(cx);
    }

    /// Whether what the peer says is read.
    const fn is_heard(&self) -> bool {
        !matches!(self.stop, Stop::Pending | Stop::Crowded | Stop::OutputFull)
    }

    /// Everything is said: what is queued, FIN, and the peer's FIN remain.
    fn linger(&mut self, cx: &mut Context<'_>) {
        if self.is_subscriber() {
            cx.service.leave(cx.id, self.info(), cx.now);
        }
        self.phase = Phase::lingering(cx.now + cx.config.timeouts.close);
        self.spill = Box::default();
    }
}

impl Endpoint {
    fn info(&self) -> Option<&ClientInfo> {
        match self {
            Self::Echo(_) => None,
            Self::Raw(who) => who.as_ref().map(|who| &*who.info),
            Self::Session(seat) => seat.info().map(|info| &**info),
        }
    }

    /// When it wants a turn, beside pings.
    fn deadline(&self) -> Time {
        match self {
            Self::Echo(_) | Self::Raw(None) => Time::NEVER,
            Self::Raw(Some(who)) => who.ends_at,
            Self::Session(seat) => seat.deadline,
        }
    }
}

impl Phase {
    /// Open from now on.
    fn open(endpoint: Endpoint, limits: Limits, deflate: Option<DeflateTerms>) -> Self {
        let decoder = MessageDecoder::new(Role::Server, limits);
        Self::Open {
            endpoint,
            decoder: match deflate {
                None => decoder,
                Some(terms) => decoder.with_deflate(terms.client),
            },
            pinged_at: None,
        }
    }

    const fn lingering(until: Time) -> Self {
        Self::Lingering {
            fin_sent: false,
            until,
        }
    }
}

/// Of an open connection, which it is no longer.
fn say_close(code: CloseCode, reason: &str, cx: &mut Context<'_>) {
    cx.notes.ended = Some((Initiator::Server, code));
    let close = CloseFrame::new(code, reason).expect("our codes may be sent");
    Encoder::server().close(cx.replies, Some(close));
}
