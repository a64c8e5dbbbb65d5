//! Control over single connections, against a server that the test plays itself. In: what the test
//! does on both ends. Out: what the handler hears.
//!
//! Never: sleeps.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use fanfare_codec::handshake::{HeadLimits, RequestDecoder, Response};
use fanfare_codec::{CloseCode, CloseFrame, Encoder, Limits, Message, MessageDecoder, Role};

use super::{Clients, Dial, DialOptions, Handler, Opening, Outbox, Piece, Route};
use crate::clock::{Clock, Nanos};
use crate::fault::{Fault, FaultClass};

/// How long a turn waits when nothing happens.
const TICK: Duration = Duration::from_millis(10);

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a handler hears.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Connected(usize),
    Opened(usize),
    Data(usize, usize),
    Ping(usize, Vec<u8>),
    Pong(usize, Vec<u8>),
    Closed(usize),
    Lost(usize, FaultClass, String),
}

/// Writes down what it hears, and sends what it was told to, once.
#[derive(Debug, Default)]
struct Script {
    heard: Vec<Heard>,
    ping: Option<Vec<u8>>,
    openings: Vec<[Nanos; 4]>,
}

impl Handler for Script {
    fn connected(&mut self, conn: usize, _now: Nanos) {
        self.heard.push(Heard::Connected(conn));
    }

    fn opened(&mut self, conn: usize, opening: &Opening) {
        self.heard.push(Heard::Opened(conn));
        let Opening {
            started,
            connected,
            secured,
            opened,
        } = *opening;
        self.openings.push([started, connected, secured, opened]);
    }

    fn data(&mut self, conn: usize, _now: Nanos, piece: &Piece<'_>) {
        self.heard.push(Heard::Data(conn, piece.data.len()));
    }

    fn refill(&mut self, _conn: usize, _now: Nanos, out: &mut Outbox) {
        if let Some(payload) = self.ping.take() {
            out.ping(&payload);
        }
    }

    fn ping(&mut self, conn: usize, _now: Nanos, payload: &[u8]) {
        self.heard.push(Heard::Ping(conn, payload.to_vec()));
    }

    fn pong(&mut self, conn: usize, _now: Nanos, payload: &[u8]) {
        self.heard.push(Heard::Pong(conn, payload.to_vec()));
    }

    fn closed(&mut self, conn: usize, _now: Nanos) {
        self.heard.push(Heard::Closed(conn));
    }

    fn lost(&mut self, conn: usize, fault: Fault) {
        self.heard
            .push(Heard::Lost(conn, fault.class, fault.detail));
    }
}

/// A listener and what dials it.
struct Scene {
    listener: TcpListener,
    dial: Dial,
    clock: Clock,
}

impl Scene {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let options = DialOptions {
            url: format!("ws://{address}/raw/{{channel}}"),
            subprotocols: vec!["v2".to_owned(), "v1".to_owned()],
            ..DialOptions::default()
        };
        Self {
            listener,
            dial: Dial::prepare(&options, 8).expect("valid options"),
            clock: Clock::start(),
        }
    }

    fn play(&self, connections: usize) -> Play<'_> {
        let random = fastrand::Rng::with_seed(7);
        Play {
            scene: self,
            clients: Clients::new(&self.dial, 0..connections, self.clock, random)
                .expect("the kernel has epoll"),
            script: Script::default(),
        }
    }
}

/// The clients of a scene at work.
struct Play<'s> {
    scene: &'s Scene,
    clients: Clients<'s>,
    script: Script,
}

impl Play<'_> {
    /// Takes turns until `done`, and forgets what was heard.
    fn until(&mut self, done: impl Fn(&[Heard]) -> bool) -> Vec<Heard> {
        let end = self.scene.clock.now().after(PATIENCE);
        while !done(&self.script.heard) {
            let now = self.clients.turn(TICK, &mut self.script).expect("a turn");
            assert!(now < end, "it never came: {:?}", self.script.heard);
        }
        std::mem::take(&mut self.script.heard)
    }

    fn until_heard(&mut self, what: &Heard) -> Vec<Heard> {
        self.until(|heard| heard.contains(what))
    }

    /// Lets `conn` connect, and gives the server's end, which has not read the request.
    fn connect(&mut self, conn: usize) -> Peer {
        let route = Route::new(format!("/raw/{conn}")).expect("a path");
        self.clients.connect(conn, &route, &mut self.script);
        self.until_heard(&Heard::Connected(conn));
        let (stream, _) = self.scene.listener.accept().expect("it has connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Peer {
            stream,
            decoder: MessageDecoder::new(Role::Server, Limits::default()),
            received: Vec::new(),
        }
    }

    /// Lets `conn` connect and open.
    fn open(&mut self, conn: usize) -> Peer {
        let mut peer = self.connect(conn);
        peer.accept(conn);
        let opened = Heard::Opened(conn);
        assert_eq!(self.until_heard(&opened), [opened]);
        peer
    }
}

/// The server's end of a connection.
struct Peer {
    stream: TcpStream,
    decoder: MessageDecoder,
    received: Vec<u8>,
}

/// A message of the client's.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
    Other,
}

impl Peer {
    /// Answers the request of `conn` with 101.
    fn accept(&mut self, conn: usize) {
        let mut decoder = RequestDecoder::new(HeadLimits::default());
        let mut received = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let len = self.stream.read(&mut piece).expect("a request");
            received.extend_from_slice(&piece[..len]);
            if let Some(request) = decoder.decode(&received).expect("HTTP") {
                assert_eq!(request.path(), format!("/raw/{conn}"));
                let upgrade = request.upgrade().expect("an upgrade");
                let mut answer = Vec::new();
                Response::switching_protocols(&upgrade)
                    .subprotocol("v1")
                    .expect("a token")
                    .encode(&mut answer);
                return self.write(&answer);
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the client is there");
    }

    /// Sends the frames that `encode` makes.
    fn say(&mut self, encode: impl FnOnce(&mut Encoder<fanfare_codec::Unmasked>, &mut Vec<u8>)) {
        let mut out = Vec::new();
        encode(&mut Encoder::server(), &mut out);
        self.write(&out);
    }

    /// The client's next message.
    fn hear(&mut self) -> Said {
        loop {
            let total = self.received.len();
            let mut input = &mut self.received[..];
            let message = self.decoder.next_message(&mut input).expect("valid frames");
            let said = message.map(|message| match message {
                Message::Ping(payload) => Said::Ping(payload.to_vec()),
                Message::Pong(payload) => Said::Pong(payload.to_vec()),
                Message::Close(close) => Said::Close(close.map(|c| c.code().0)),
                _ => Said::Other,
            });
            let left = input.len();
            self.received.drain(..total - left);
            if let Some(said) = said {
                return said;
            }
            let mut piece = [0; 4096];
            let len = self.stream.read(&mut piece).expect("the client says more");
            assert!(len > 0, "the client closed");
            self.received.extend_from_slice(&piece[..len]);
        }
    }

    /// How the stream ends.
    fn end(&mut self) -> Result<usize, ErrorKind> {
        self.stream.read(&mut [0; 64]).map_err(|error| error.kind())
    }
}

/// Bytes of data among what was heard.
fn data_bytes(heard: &[Heard]) -> usize {
    let bytes = |h: &Heard| match h {
        Heard::Data(_, bytes) => *bytes,
        _ => 0,
    };
    heard.iter().map(bytes).sum()
}

fn close_frame(encoder: &mut Encoder<fanfare_codec::Unmasked>, out: &mut Vec<u8>) {
    encoder.close(out, CloseFrame::new(CloseCode::NORMAL, "").ok());
}

#[test]
fn opening_is_told_step_by_step() {
    let scene = Scene::new();
    let mut play = scene.play(1);
    let mut peer = play.connect(0);
    assert_eq!((play.clients.live(), play.clients.opening()), (1, 1));
    assert!(!play.clients.is_open(0));
    peer.accept(0);
    play.until_heard(&Heard::Opened(0));
    assert_eq!((play.clients.live(), play.clients.opening()), (1, 0));
    assert!(play.clients.is_open(0));
    let [started, connected, secured, opened] = play.script.openings[0];
    assert!(started < connected && connected < opened);
    assert_eq!(connected, secured, "there is no TLS");
}

#[test]
fn pings_and_pongs_go_both_ways() {
    let scene = Scene::new();
    let mut play = scene.play(1);
    let mut peer = play.open(0);
    play.script.ping = Some(b"there?".to_vec());
    play.clients.refill(0, &mut play.script);
    assert_eq!(peer.hear(), Said::Ping(b"there?".to_vec()));
    peer.say(|encoder, out| {
        encoder.pong(out, b"there?").expect("short");
        encoder.ping(out, b"you?").expect("short");
    });
    let heard = play.until_heard(&Heard::Ping(0, b"you?".to_vec()));
    assert_eq!(heard[0], Heard::Pong(0, b"there?".to_vec()));
    assert_eq!(peer.hear(), Said::Pong(b"you?".to_vec()));
}

#[test]
fn close_waits_for_the_answer_and_for_the_end_of_the_stream() {
    let scene = Scene::new();
    let mut play = scene.play(1);
    let mut peer = play.open(0);
    play.clients.pause(0); // which must not keep the answer from being heard
    play.clients.close(0, &mut play.script);
    assert!(!play.clients.is_open(0));
    assert_eq!(peer.hear(), Said::Close(Some(1000)));
    // §5.5.1: nothing may follow a close frame, whatever the handler has to say.
    play.script.ping = Some(b"more".to_vec());
    play.clients.refill(0, &mut play.script);
    peer.say(|encoder, out| {
        encoder.ping(out, b"p").expect("short");
        encoder.binary(out, b"last words").expect("none is open");
        close_frame(encoder, out);
        let mut other = Encoder::server();
        other.binary(out, b"not heard").expect("none is open");
    });
    let heard = play.until_heard(&Heard::Data(0, 10));
    assert_eq!(heard, [Heard::Ping(0, b"p".to_vec()), Heard::Data(0, 10)]);
    assert_eq!(play.clients.live(), 1, "the server closes first (§7.1.1)");
    peer.stream
        .shutdown(std::net::Shutdown::Write)
        .expect("it is connected");
    assert_eq!(play.until_heard(&Heard::Closed(0)), [Heard::Closed(0)]);
    assert_eq!(play.clients.live(), 0);
    assert_eq!(peer.end(), Ok(0), "neither a ping nor a pong has followed");
}

#[test]
fn a_close_that_is_not_answered_is_a_fault() {
    let scene = Scene::new();
    let mut play = scene.play(2);
    let mut hangs_up = play.open(0);
    play.clients.close(0, &mut play.script);
    assert_eq!(hangs_up.hear(), Said::Close(Some(1000)));
    drop(hangs_up);
    let heard = play.until(|heard| !heard.is_empty());
    assert!(
        matches!(&heard[..], [Heard::Lost(0, FaultClass::Closed, why)] if why.contains("answer"))
    );

    let mut silent = play.open(1);
    play.clients.close(1, &mut play.script);
    assert_eq!(silent.hear(), Said::Close(Some(1000)));
    let now = scene.clock.now();
    play.clients.expire(now, PATIENCE, &mut play.script);
    assert_eq!(play.script.heard, []);
    play.clients
        .expire(now.after(PATIENCE), PATIENCE, &mut play.script);
    assert!(matches!(
        &play.script.heard[..],
        [Heard::Lost(1, FaultClass::Timeout, _)]
    ));
    assert_eq!((play.clients.live(), play.clients.opening()), (0, 0));
}

#[test]
fn one_that_opens_too_slowly_is_given_up_and_others_are_not() {
    let scene = Scene::new();
    let mut play = scene.play(2);
    let _silent = play.connect(0);
    let _served = play.open(1);
    let now = scene.clock.now();
    play.clients.expire(now, PATIENCE, &mut play.script);
    assert_eq!(play.script.heard, []);
    play.clients
        .expire(now.after(PATIENCE), PATIENCE, &mut play.script);
    assert!(matches!(
        &play.script.heard[..],
        [Heard::Lost(0, FaultClass::Handshake, _)]
    ));
    assert_eq!((play.clients.live(), play.clients.opening()), (1, 0));
}

#[test]
fn a_cut_is_a_reset_and_the_number_is_free_again() {
    let scene = Scene::new();
    let mut play = scene.play(1);
    for _ in 0..3 {
        let mut peer = play.open(0);
        assert!(play.clients.cut(0));
        assert!(!play.clients.cut(0));
        assert_eq!(peer.end(), Err(ErrorKind::ConnectionReset));
        assert_eq!((play.clients.live(), play.clients.opening()), (0, 0));
    }
    // One that is still there is cut by the next of its number.
    let mut first = play.open(0);
    let _second = play.open(0);
    assert_eq!(first.end(), Err(ErrorKind::ConnectionReset));
    assert_eq!(play.clients.live(), 1);
    assert_eq!(play.script.heard, [], "the caller knows");
}

#[test]
fn an_event_of_the_former_socket_does_not_reach_the_next() {
    let scene = Scene::new();
    let mut play = scene.play(1);
    let mut former = play.open(0);
    former.say(|encoder, out| encoder.binary(out, b"stale").expect("none is open"));
    // The kernel reports it, and only then is the socket replaced.
    while play.clients.poll.len() == 0 {
        play.clients.wait(PATIENCE).expect("a wait");
    }
    let route = Route::new("/raw/0").expect("a path");
    play.clients.connect(0, &route, &mut play.script);
    play.clients.serve_all(&mut play.script);
    assert_eq!(play.script.heard, [], "the event has missed");
    assert_eq!((play.clients.live(), play.clients.opening()), (1, 1));
    play.until_heard(&Heard::Connected(0));
}

#[test]
fn a_reader_takes_no_more_than_it_may() {
    let scene = Scene::new();
    let mut play = scene.play(1);
    let mut peer = play.open(0);
    play.clients.pause(0);
    peer.say(|encoder, out| encoder.binary(out, &[7; 1000]).expect("none is open"));
    play.clients
        .turn(PATIENCE, &mut play.script)
        .expect("a turn");
    assert_eq!(play.script.heard, []);
    // The 4 bytes of the frame's header count, too.
    for _ in 0..3 {
        play.clients.limit_read(0, 104);
        play.until(|heard| data_bytes(heard) >= 100);
    }
    play.clients.turn(TICK, &mut play.script).expect("a turn");
    let before = data_bytes(&play.script.heard);
    assert_eq!(before, 0, "the allowance is used up");
    play.clients.limit_read(0, usize::MAX);
    play.until(|heard| data_bytes(heard) == 1000 - 100 - 2 * 104);
}

#[test]
fn a_paused_reader_hears_that_the_server_has_closed() {
    let scene = Scene::new();
    let mut play = scene.play(1);
    let mut peer = play.open(0);
    play.clients.pause(0);
    peer.say(|encoder, out| {
        encoder.binary(out, b"data").expect("none is open");
        encoder.close(out, CloseFrame::new(CloseCode(3008), "slow").ok());
    });
    drop(peer);
    let heard = play.until(|heard| heard.len() == 2);
    assert_eq!(heard[0], Heard::Data(0, 4));
    assert!(matches!(&heard[1], Heard::Lost(0, FaultClass::Closed, why) if why.contains("3008")));
}

#[test]
fn more_than_a_budget_is_read_without_another_event() {
    let scene = Scene::new();
    let mut play = scene.play(1);
    let mut peer = play.open(0);
    // 16 bytes a receive: the budget of a turn is used up long before the frame ends.
    play.clients.io.buffer = vec![0; 16].into_boxed_slice();
    peer.say(|encoder, out| {
        encoder.binary(out, &[7; 100_000]).expect("none is open");
    });
    play.until(|heard| data_bytes(heard) == 100_000);
}

#[test]
fn a_turn_until_a_mark_comes_back_on_time() {
    let scene = Scene::new();
    let mut play = scene.play(1);
    let mark = scene.clock.now().after(Duration::from_micros(1_700));
    let now = play
        .clients
        .turn_until(mark, &mut play.script)
        .expect("a turn");
    assert!(
        now >= mark,
        "nothing has happened, so nothing ends the wait"
    );
    let now = play
        .clients
        .turn_until(mark, &mut play.script)
        .expect("a turn");
    assert!(now > mark, "a mark that is past costs one look");
}

#[test]
fn close_all_says_goodbye_to_each_and_leaves_the_numbers_free() {
    let scene = Scene::new();
    let mut play = scene.play(2);
    let mut peers = [play.open(0), play.open(1)];
    play.clients.close_all();
    for peer in &mut peers {
        assert_eq!(peer.hear(), Said::Close(Some(1000)));
        assert_eq!(peer.end(), Ok(0));
    }
    assert_eq!(play.clients.live(), 0);
    drop(play.open(1));
}
