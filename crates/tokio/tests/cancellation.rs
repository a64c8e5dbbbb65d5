//! Every future is dropped at any of its polls, as a seed says: what was received is given once, in order and whole; what
//! was sent leaves once, in order and whole; what was dropped while it was being sent leaves whole or not at all.

mod common;

use common::{Scripted, poll_times};
use fanfare_codec::{
    CloseCode, CloseFrame, Encoder, Limits, MaskKeys, Message as MessageRef, MessageDecoder,
    MessageKind, Role,
};
use fanfare_tokio::{Config, Error, Event, Message, WebSocketStream};
use futures_util::{SinkExt, StreamExt};

const SEEDS: u64 = 1_500;

/// A fixed key is as good as any in a test, and a server has none.
struct Keys(Role);

impl MaskKeys for Keys {
    fn next_key(&mut self) -> Option<[u8; 4]> {
        self.0.masks().then_some([0xA5, 0x5A, 0x01, 0xFE])
    }
}

/// How both ends compress.
#[derive(Clone, Copy, Debug)]
enum Terms {
    None,
    #[cfg(feature = "deflate")]
    Deflate,
}

/// What the peer says, and as which bytes.
struct Script {
    bytes: Vec<u8>,
    data: Vec<Message>,
    pings: Vec<Vec<u8>>,
}

fn text(rng: &mut fastrand::Rng, len: usize) -> String {
    (0..len)
        .map(|_| ['a', 'é', '漢', '😀'][rng.usize(..4)])
        .collect()
}

fn len(rng: &mut fastrand::Rng) -> usize {
    match rng.u8(..10) {
        0..=5 => rng.usize(..130),
        6..=8 => rng.usize(..2_000),
        _ => rng.usize(..20_000),
    }
}

fn script(rng: &mut fastrand::Rng, peer: Role, terms: Terms) -> Script {
    let mut encoder = Encoder::with_keys(Keys(peer));
    let mut script = Script {
        bytes: Vec::new(),
        data: Vec::new(),
        pings: Vec::new(),
    };
    #[cfg(feature = "deflate")]
    let (mut window, mut deflaters) = {
        use fanfare_codec::deflate::{DeflateSettings, DeflateTerms, Deflaters, Outgoing};
        let settings = DeflateSettings::DEFAULT.with_threshold_bytes(20);
        let window = Outgoing::new(DeflateTerms::DEFAULT.sent_by(peer));
        (window, Deflaters::new(settings, 1))
    };
    let mut ping = |rng: &mut fastrand::Rng, encoder: &mut Encoder<Keys>, out: &mut Vec<u8>| {
        let payload = format!("ping {}", script.pings.len()).into_bytes();
        if rng.u8(..4) == 0 {
            encoder.ping(out, &payload).expect("short");
            script.pings.push(payload);
        }
    };
    for _ in 0..rng.usize(1..12) {
        let out = &mut script.bytes;
        ping(rng, &mut encoder, out);
        let len = len(rng);
        let message = if rng.bool() {
            Message::text(text(rng, len))
        } else {
            Message::binary((0..len).map(|_| rng.u8(..)).collect::<Vec<u8>>())
        };
        let kind = match message {
            Message::Text(_) => MessageKind::Text,
            _ => MessageKind::Binary,
        };
        let payload = message.payload();
        if rng.u8(..3) == 0 {
            let (first, rest) = payload.split_at(rng.usize(..=payload.len()));
            let (second, third) = rest.split_at(rng.usize(..=rest.len()));
            encoder.begin(out, kind, first).expect("between messages");
            ping(rng, &mut encoder, out);
            encoder.proceed(out, second).expect("inside one");
            encoder.end(out, third).expect("inside one");
        } else {
            match terms {
                Terms::None => encoder.message(out, kind, payload),
                #[cfg(feature = "deflate")]
                Terms::Deflate => encoder.deflate(out, kind, payload, &mut window, &mut deflaters),
            }
            .expect("between messages");
        }
        script.data.push(message);
    }
    let close = CloseFrame::new(CloseCode(4000), "done").expect("a good code");
    encoder.close(&mut script.bytes, Some(close));
    script
}

/// What the other end has done so far, as the test sees it.
struct Run {
    seed: u64,
    rng: fastrand::Rng,
    ws: WebSocketStream<Scripted>,
    received: Vec<Message>,
    /// A message that comes in pieces.
    pieces: Option<(MessageKind, Vec<u8>)>,
    /// They go into a buffer of ours: what says that there are no more is the next call.
    is_filling: bool,
    /// Each message that was to be sent, and whether it must have been.
    sent: Vec<(Vec<u8>, bool)>,
    has_ended: bool,
}

impl Run {
    fn polls(&mut self) -> u32 {
        self.rng.u32(1..4)
    }

    fn payload(&mut self) -> Vec<u8> {
        let mut payload = format!("{} ", self.sent.len()).into_bytes();
        // Some leave from where they lie.
        let max = [400, 400, 400, 40_000][self.rng.usize(..4)];
        payload.resize(payload.len() + self.rng.usize(..max), b'x');
        payload
    }

    fn take(&mut self, message: Message) {
        if message.is_data() {
            self.received.push(message);
        }
    }

    fn finish_pieces(&mut self) {
        self.is_filling = false;
        let (kind, bytes) = self.pieces.take().expect("begun");
        self.received.push(match kind {
            MessageKind::Text => Message::text(String::from_utf8(bytes).expect("UTF-8")),
            MessageKind::Binary => Message::binary(bytes),
        });
    }

    /// One future, polled a few times and dropped.
    fn step(&mut self) {
        let polls = self.polls();
        let what = if self.is_filling {
            4
        } else if self.pieces.is_some() {
            self.rng.u8(3..=4)
        } else {
            self.rng.u8(..12)
        };
        let seed = self.seed;
        match what {
            0 => match poll_times(polls, self.ws.next_message()) {
                Some(Some(message)) => {
                    let message = message
                        .unwrap_or_else(|e| panic!("seed {seed}: {e}"))
                        .into();
                    self.take(message);
                }
                Some(None) => self.has_ended = true,
                None => {}
            },
            1 | 2 => {
                let next = if what == 1 {
                    poll_times(polls, self.ws.recv())
                } else {
                    poll_times(polls, self.ws.next())
                };
                match next {
                    Some(Some(message)) => {
                        self.take(message.unwrap_or_else(|e| panic!("seed {seed}: {e}")));
                    }
                    Some(None) => self.has_ended = true,
                    None => {}
                }
            }
            3 => self.step_event(polls),
            4 if self.pieces.is_some() => {
                self.is_filling = true;
                let mut into = vec![0; self.rng.usize(1..3_000)];
                match poll_times(polls, self.ws.read_piece(&mut into)) {
                    Some(Ok(Some(len))) => {
                        let (_, bytes) = self.pieces.as_mut().expect("begun");
                        bytes.extend_from_slice(&into[..len]);
                    }
                    Some(Ok(None)) => self.finish_pieces(),
                    Some(Err(error)) => panic!("seed {seed}: {error}"),
                    None => {}
                }
            }
            4 | 5 => {
                let payload = self.payload();
                match poll_times(polls, self.ws.next_with_replies()) {
                    Some(Some(received)) => {
                        let (message, mut replies) =
                            received.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
                        let message = Message::from(message);
                        if message.is_data() {
                            replies.binary(&payload).expect("there is room");
                            self.sent.push((payload, true));
                        }
                        self.take(message);
                    }
                    Some(None) => self.has_ended = true,
                    None => {}
                }
            }
            6 | 7 => {
                let payload = self.payload();
                let message = Message::binary(payload.clone());
                let sent = if what == 6 {
                    poll_times(polls, self.ws.send(message))
                } else {
                    poll_times(polls, SinkExt::send(&mut self.ws, message))
                };
                self.note(payload, sent);
            }
            8 => {
                let payload = self.payload();
                let written = self.ws.write_binary(&payload);
                match written {
                    Ok(()) => self.sent.push((payload, true)),
                    Err(Error::WriteBufferFull) => {}
                    Err(error) => self.expect_closed(error),
                }
                if let Some(Err(error)) = poll_times(polls, self.ws.flush()) {
                    panic!("seed {seed}: {error}");
                }
            }
            9 => self.step_fragments(polls),
            10 => {
                let payload = self.payload();
                let fed = poll_times(polls, self.ws.feed(Message::binary(payload.clone())));
                self.note(payload, fed);
            }
            _ => {
                if let Some(Err(error)) = poll_times(polls, self.ws.ready()) {
                    panic!("seed {seed}: {error}");
                }
            }
        }
    }

    fn step_event(&mut self, polls: u32) {
        let seed = self.seed;
        match poll_times(polls, self.ws.next_event()) {
            None => {}
            Some(None) => self.has_ended = true,
            Some(Some(event)) => match event.unwrap_or_else(|e| panic!("seed {seed}: {e}")) {
                Event::Begin(kind) => self.pieces = Some((kind, Vec::new())),
                Event::Piece { data, is_last } => {
                    let (_, bytes) = self.pieces.as_mut().expect("begun");
                    bytes.extend_from_slice(data);
                    if is_last {
                        self.finish_pieces();
                    }
                }
                Event::Whole(message) => {
                    let message = message.into();
                    self.take(message);
                }
            },
        }
    }

    /// A message in fragments, with a flush that is dropped between them.
    fn step_fragments(&mut self, polls: u32) {
        let payload = self.payload();
        let (first, second) = payload.split_at(self.rng.usize(..=payload.len()));
        match self.ws.begin(MessageKind::Binary, first) {
            Ok(()) => {}
            Err(Error::WriteBufferFull) => return,
            Err(error) => return self.expect_closed(error),
        }
        if let Some(Err(error)) = poll_times(polls, self.ws.flush()) {
            panic!("seed {}: {error}", self.seed);
        }
        // Nothing else may be sent before its end, so that is not given up.
        while let Err(error) = self.ws.end(second) {
            assert!(matches!(error, Error::WriteBufferFull), "{error}");
            poll_times(u32::MAX, self.ws.ready())
                .expect("in the end")
                .expect("room");
        }
        self.sent.push((payload, true));
    }

    fn note(&mut self, payload: Vec<u8>, sent: Option<Result<(), Error>>) {
        match sent {
            Some(Ok(())) => self.sent.push((payload, true)),
            Some(Err(error)) => self.expect_closed(error),
            None => self.sent.push((payload, false)),
        }
    }

    /// A refusal is right only behind a close.
    fn expect_closed(&self, error: Error) {
        let closed = matches!(error, Error::Encode(fanfare_tokio::EncodeError::Closed));
        assert!(closed, "seed {}: {error}", self.seed);
    }
}

/// What the other end was sent.
#[derive(Default)]
struct Written {
    data: Vec<Vec<u8>>,
    pongs: Vec<Vec<u8>>,
    close: Option<Option<u16>>,
}

fn read_back(mut bytes: Vec<u8>, peer: Role, terms: Terms) -> Written {
    let mut decoder = MessageDecoder::new(peer, Limits::default());
    match terms {
        Terms::None => {}
        #[cfg(feature = "deflate")]
        Terms::Deflate => {
            let ours = fanfare_codec::deflate::DeflateTerms::DEFAULT.sent_by(peer.peer());
            decoder = decoder.with_deflate(ours);
        }
    }
    let mut input = &mut bytes[..];
    let mut written = Written::default();
    while let Some(message) = decoder.next_message(&mut input).expect("by the rules") {
        assert!(written.close.is_none(), "behind a close");
        match message {
            MessageRef::Binary(bytes) => written.data.push(bytes.to_vec()),
            MessageRef::Pong(bytes) => written.pongs.push(bytes.to_vec()),
            MessageRef::Close(close) => written.close = Some(close.map(|c| c.code().0)),
            other => panic!("{other:?} was not sent"),
        }
    }
    assert!(input.is_empty() && decoder.is_between_messages(), "cut");
    written
}

/// Whether `some` are among `all`, in order, each once.
fn is_among(some: &[Vec<u8>], all: &[Vec<u8>]) -> bool {
    let mut all = all.iter();
    some.iter().all(|one| all.any(|other| other == one))
}

fn run(seed: u64, role: Role, terms: Terms) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let script = script(&mut rng, role.peer(), terms);
    let mut config = Config::default().with_close_timeout(None);
    if rng.bool() {
        config = config.with_max_write_buffer(rng.usize(1..1_000));
    }
    // Some of it came behind the head of the upgrade.
    let (read, incoming) = script
        .bytes
        .split_at(rng.usize(..=script.bytes.len().min(300)));
    let io = Scripted::new(rng.u64(..), incoming.to_vec());
    let ws = match terms {
        Terms::None => WebSocketStream::from_raw(io, role, &config, read),
        #[cfg(feature = "deflate")]
        Terms::Deflate => {
            let terms = Some(fanfare_codec::deflate::DeflateTerms::DEFAULT);
            WebSocketStream::from_raw_deflate(io, role, &config, read, terms)
        }
    };
    let closes_first = rng.bool();
    let mut run = Run {
        seed,
        rng,
        ws,
        received: Vec::new(),
        pieces: None,
        is_filling: false,
        sent: Vec::new(),
        has_ended: false,
    };
    while !run.has_ended {
        let is_all = run.received.len() == script.data.len() && run.pieces.is_none();
        if closes_first && is_all {
            let polls = run.polls();
            if let Some(closed) = poll_times(polls, run.ws.close(CloseCode(4001), "ours")) {
                closed.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                break;
            }
            continue;
        }
        run.step();
    }
    assert!(
        run.received == script.data,
        "seed {seed}: what was received"
    );
    let io = run.ws.io();
    assert_eq!(io.is_shut_down, role == Role::Server, "seed {seed}");
    let written = read_back(io.written.clone(), role.peer(), terms);
    let certain: Vec<Vec<u8>> = run
        .sent
        .iter()
        .filter(|s| s.1)
        .map(|s| s.0.clone())
        .collect();
    let perhaps: Vec<Vec<u8>> = run.sent.into_iter().map(|s| s.0).collect();
    assert!(
        is_among(&certain, &written.data),
        "seed {seed}: lost or out of order"
    );
    assert!(
        is_among(&written.data, &perhaps),
        "seed {seed}: doubled or not ours"
    );
    assert!(
        is_among(&written.pongs, &script.pings),
        "seed {seed}: pongs"
    );
    let code = written.close.expect("a close at the end").expect("a code");
    assert!(
        code == 4000 || (closes_first && code == 4001),
        "seed {seed}: {code}"
    );
}

#[test]
fn a_server_loses_and_doubles_nothing_whenever_its_futures_are_dropped() {
    (0..SEEDS).for_each(|seed| run(seed, Role::Server, Terms::None));
}

#[test]
fn a_client_loses_and_doubles_nothing_whenever_its_futures_are_dropped() {
    (0..SEEDS).for_each(|seed| run(seed, Role::Client, Terms::None));
}

#[cfg(feature = "deflate")]
#[test]
fn with_windows_that_outlive_a_message_too() {
    for seed in 0..SEEDS / 3 {
        run(seed, Role::Server, Terms::Deflate);
        run(seed, Role::Client, Terms::Deflate);
    }
}
