//! A small echo server on the codec and threads, which can misbehave. In: what to do wrong. Out: a
//! URL, and the faults that were committed.
//!
//! Never: misbehaves more often than it says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::clock;
use fanfare_codec::handshake::{HeadLimits, RequestDecoder, Response, Status};
use fanfare_codec::{CloseCode, CloseFrame, Encoder, Limits, Message, MessageDecoder};
use fanfare_codec::{MessageKind, Role, Unmasked};

/// What the server does besides echoing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Nothing.
    Honest,
    /// Each reply in three fragments with a ping between.
    Fragmented,
    /// Each reply this much later.
    Delayed(Duration),
    /// Each reply later by a time with a long tail, half of them by less than `median`; noted.
    DelayedAtRandom { median: Duration },
    /// Once, changes this byte of a reply.
    CorruptByte(usize),
    /// Once, cuts the last byte of a reply off.
    Shorten,
    /// Once, answers as the other kind of message.
    OtherKind,
    /// Once, does not reply.
    Drop,
    /// Once, replies twice.
    Repeat,
    /// Once, sends two replies in the wrong order.
    Swap,
    /// Once, ends the connection without a word.
    Hangup,
    /// Reads nothing for this long after the upgrade.
    Deaf(Duration),
    /// Once, ends the connection with code 1001.
    GoAway,
    /// Once, sends a frame with a reserved opcode.
    BreakProtocol,
    /// Refuses each upgrade with 403.
    Forbid,
    /// Answers each upgrade with another key's hash.
    WrongAccept,
    /// Closes each connection that asks for an upgrade.
    HangupAtUpgrade,
    /// Takes upgrade requests and never answers.
    SilentAtUpgrade,
}

/// The message at which the server misbehaves, counted over all connections.
pub(crate) const MISDEED_AT: usize = 10;

/// A server on a free port; its threads end with the test process.
pub(crate) struct Server {
    pub(crate) url: String,
    /// Messages received, on all connections.
    pub(crate) received: Arc<AtomicUsize>,
    /// Misdeeds committed.
    pub(crate) misdeeds: Arc<AtomicUsize>,
    /// How long each reply was held back on purpose, in the order in which they were sent.
    pub(crate) delays: Arc<Mutex<Vec<Duration>>>,
}

/// What the connections of a server share.
#[derive(Clone)]
struct Shared {
    conduct: Conduct,
    /// Messages between two misdeeds; `None` for one misdeed in all.
    every: Option<usize>,
    received: Arc<AtomicUsize>,
    misdeeds: Arc<AtomicUsize>,
    delays: Arc<Mutex<Vec<Duration>>>,
    on_message: Arc<dyn Fn(usize) + Send + Sync>,
}

impl Shared {
    /// Whether message `number` is one to misbehave at.
    fn is_misdeed(&self, number: usize) -> bool {
        match self.every {
            None => number == MISDEED_AT,
            Some(every) => number % every == MISDEED_AT % every,
        }
    }
}

impl Server {
    /// One that misbehaves once, if at all.
    pub(crate) fn start(conduct: Conduct) -> Self {
        Self::run(conduct, None, |_| {})
    }

    /// One that misbehaves at every `every`-th message.
    pub(crate) fn start_repeating(conduct: Conduct, every: usize) -> Self {
        Self::run(conduct, Some(every), |_| {})
    }

    /// `on_message` is called with the number of each message.
    pub(crate) fn start_with(
        conduct: Conduct,
        on_message: impl Fn(usize) + Send + Sync + 'static,
    ) -> Self {
        Self::run(conduct, None, on_message)
    }

    fn run(
        conduct: Conduct,
        every: Option<usize>,
        on_message: impl Fn(usize) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Shared {
            conduct,
            every,
            received: Arc::default(),
            misdeeds: Arc::default(),
            delays: Arc::default(),
            on_message: Arc::new(on_message),
        };
        let server = Self {
            url: format!("ws://{address}/"),
            received: Arc::clone(&shared.received),
            misdeeds: Arc::clone(&shared.misdeeds),
            delays: Arc::clone(&shared.delays),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // `None` is a client that is gone, which ends the connection.
                thread::spawn(move || serve(stream, shared));
            }
        });
        server
    }
}

/// Serves one connection to its end.
fn serve(mut stream: TcpStream, shared: Shared) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut buffer = upgrade(&mut stream, shared.conduct)?;
    let number = || {
        let number = shared.received.fetch_add(1, Ordering::SeqCst);
        (shared.on_message)(number);
        number
    };
    let mut decoder = MessageDecoder::new(Role::Server, Limits::default());
    let mut replies = Replies {
        shared: shared.clone(),
        random: fastrand::Rng::new(),
        encoder: Encoder::server(),
        out: Vec::new(),
        held: None,
    };
    if let Conduct::Deaf(time) = shared.conduct {
        thread::sleep(time);
    }
    loop {
        let total = buffer.len();
        let mut input = &mut buffer[..];
        while let Some(message) = decoder.next_message(&mut input).ok()? {
            let open = match message {
                Message::Text(text) => replies.add(number(), MessageKind::Text, text.as_bytes()),
                Message::Binary(bytes) => replies.add(number(), MessageKind::Binary, bytes),
                Message::Close(close) => {
                    let close = close.map(|close| close.without_reason());
                    replies.encoder.close(&mut replies.out, close);
                    false
                }
                Message::Ping(payload) => {
                    let pong = replies.encoder.pong(&mut replies.out, payload);
                    pong.expect("it is no longer than the ping");
                    true
                }
                Message::Pong(_) => true,
            };
            if !open {
                stream.write_all(&replies.out).ok()?;
                return None;
            }
        }
        let left = input.len();
        buffer.drain(..total - left);
        stream.write_all(&replies.out).ok()?;
        replies.out.clear();
        read_more(&mut stream, &mut buffer)?;
    }
}

/// Answers the request; what follows it was sent too early but is kept.
pub(crate) fn upgrade(stream: &mut TcpStream, conduct: Conduct) -> Option<Vec<u8>> {
    let mut received = Vec::new();
    let mut decoder = RequestDecoder::new(HeadLimits::default());
    let mut answer = Vec::new();
    let head_len = loop {
        read_more(stream, &mut received)?;
        if let Some(request) = decoder.decode(&received).expect("loadgen sends valid HTTP") {
            let upgrade = request.upgrade().expect("loadgen sends valid upgrades");
            Response::switching_protocols(&upgrade).encode(&mut answer);
            break request.head_len();
        }
    };
    match conduct {
        Conduct::Forbid => {
            answer.clear();
            Response::refusal(Status::FORBIDDEN, &"not you").encode(&mut answer);
        }
        Conduct::WrongAccept => {
            let text = String::from_utf8(answer).expect("a head is ASCII");
            answer = text.replace("Accept: ", "Accept: x").into_bytes();
        }
        Conduct::HangupAtUpgrade => return None,
        Conduct::SilentAtUpgrade => answer.clear(),
        _ => {}
    }
    stream.write_all(&answer).ok()?;
    if conduct == Conduct::Forbid {
        return None;
    }
    received.drain(..head_len);
    Some(received)
}

pub(crate) fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = vec![0; 64 << 10];
    match stream.read(&mut piece) {
        Ok(0) | Err(_) => None,
        Ok(len) => {
            buffer.extend_from_slice(&piece[..len]);
            Some(())
        }
    }
}

/// Replies on their way, and what is wrong with them.
struct Replies {
    shared: Shared,
    random: fastrand::Rng,
    encoder: Encoder<Unmasked>,
    out: Vec<u8>,
    /// A reply that waits for the next to overtake it.
    held: Option<(MessageKind, Vec<u8>)>,
}

impl Replies {
    /// Replies to message `number`; `false` ends the connection.
    fn add(&mut self, number: usize, kind: MessageKind, payload: &[u8]) -> bool {
        match self.shared.conduct {
            Conduct::Fragmented => self.fragmented(kind, payload),
            Conduct::Delayed(delay) => {
                thread::sleep(delay);
                self.plain(kind, payload);
            }
            Conduct::DelayedAtRandom { median } => {
                self.hold_back(median);
                self.plain(kind, payload);
            }
            // A second reply that waits would push out the first.
            _ if self.shared.is_misdeed(number) && self.held.is_none() => {
                self.shared.misdeeds.fetch_add(1, Ordering::SeqCst);
                return self.misbehave(kind, payload);
            }
            _ => self.plain(kind, payload),
        }
        if let Some((kind, payload)) = self.held.take() {
            self.plain(kind, &payload);
        }
        true
    }

    /// Waits for a time with a long tail, and notes how long it was.
    fn hold_back(&mut self, median: Duration) {
        let received = clock::now();
        // The logarithm is spread over 2.5 natural units, the more the rarer.
        let stretch = |share: f64| (share * 0.7 + share.powi(6) * 1.8).exp();
        thread::sleep(median.mul_f64(stretch(self.random.f64()) / stretch(0.5)));
        let mut delays = self.shared.delays.lock().expect("nobody panics with it");
        delays.push(received.elapsed());
    }

    fn plain(&mut self, kind: MessageKind, payload: &[u8]) {
        match kind {
            // The corrupting servers may send what is no text.
            MessageKind::Text => {
                self.encoder
                    .begin(&mut self.out, kind, payload)
                    .expect("no message is open");
                self.encoder.end(&mut self.out, b"").expect("one was begun");
            }
            MessageKind::Binary => self
                .encoder
                .binary(&mut self.out, payload)
                .expect("no message is open"),
        }
    }

    fn fragmented(&mut self, kind: MessageKind, payload: &[u8]) {
        let (first, rest) = payload.split_at(payload.len() / 3);
        let (second, third) = rest.split_at(rest.len() / 2);
        let out = &mut self.out;
        let encoder = &mut self.encoder;
        encoder.begin(out, kind, first).expect("none is open");
        encoder.ping(out, b"still there?").expect("a short ping");
        encoder.proceed(out, second).expect("one is open");
        encoder.end(out, third).expect("one is open");
    }

    fn misbehave(&mut self, kind: MessageKind, payload: &[u8]) -> bool {
        match self.shared.conduct {
            Conduct::CorruptByte(at) => {
                let mut changed = payload.to_vec();
                changed[at] ^= 0x80;
                self.plain(kind, &changed);
            }
            Conduct::Shorten => self.plain(kind, &payload[..payload.len() - 1]),
            Conduct::OtherKind => self.plain(
                match kind {
                    MessageKind::Text => MessageKind::Binary,
                    MessageKind::Binary => MessageKind::Text,
                },
                payload,
            ),
            Conduct::Drop => {}
            Conduct::Repeat => {
                self.plain(kind, payload);
                self.plain(kind, payload);
            }
            Conduct::Swap => self.held = Some((kind, payload.to_vec())),
            Conduct::Hangup => return false,
            Conduct::GoAway => {
                let close = CloseFrame::new(CloseCode::GOING_AWAY, "bye").expect("1001 is allowed");
                self.encoder.close(&mut self.out, Some(close));
                return false;
            }
            Conduct::BreakProtocol => self.out.extend_from_slice(b"\x83\x00"),
            _ => self.plain(kind, payload),
        }
        true
    }
}
