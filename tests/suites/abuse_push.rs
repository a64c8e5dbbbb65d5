//! Many that misbehave at once, against a push server whose config is one for the internet: whoever behaves gets
//! everything in order, memory stays under what the config lets connections have, each abuser is let go with the code
//! or the status that it has earned, and the server serves on. `scripts/abuse` does the same by the thousand, and
//! measures.
//!
//! Never: asks how long anything took; lets an abuse off without having looked at bystanders and memory.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use fanfare_tests::bystander::beside_a_bystander;
use fanfare_tests::client::{Client, PATIENCE, upgrade};
use fanfare_tests::clock;
use fanfare_tests::http::Http;
use fanfare_tests::push::{Push, eventually};
use fanfare_tests::session::{OPEN, PATH, Session, WIRES};
use fanfare_tests::wire::{self, CLOSE, Frame, Sender};
use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};

/// What a connection may have: a message that is not whole, what waits for it, and what of one read was answered
/// past that; before its upgrade a request's head, which is no longer.
const MESSAGE_BYTES_MAX: u64 = 16 << 10;
const OUTPUT_BYTES_MAX: u64 = 64 << 10;
const READ_BYTES: u64 = 16 << 10;
/// What it costs beside that.
const CONNECTION_BYTES: u64 = 2 << 10;
/// What the allocator keeps, and the server's own buffers.
const ROOM_KIB: u64 = 6 << 10;
const CONNECTIONS_MAX: usize = 200;
const FRAGMENTS_MAX: usize = 100;
/// Between two rounds of what is sent slowly.
const PAUSE: Duration = Duration::from_millis(10);

/// One worker, so that abusers and bystanders share it.
fn start() -> Push {
    let tail = format!(
        "{OPEN}[websocket]\nmax_output_bytes = {OUTPUT_BYTES_MAX}\nmax_message_bytes = {MESSAGE_BYTES_MAX}\n\
         max_fragments = {FRAGMENTS_MAX}\nhandshake_timeout = 2\nsend_timeout = 1\nclose_timeout = 1"
    );
    let head = format!("workers = 1\nmax_connections = {CONNECTIONS_MAX}");
    Push::start(&head, &tail)
}

/// An abuse by so many; then the server is as it was before.
#[track_caller]
fn abuse(push: &Push, connections: usize, case: &str, abuse: impl FnOnce()) {
    let each = CONNECTION_BYTES + MESSAGE_BYTES_MAX + OUTPUT_BYTES_MAX + READ_BYTES;
    let kib_max = connections as u64 * each / 1024 + ROOM_KIB;
    let files = push.daemon().open_files();
    beside_a_bystander(push, kib_max, case, abuse);
    // Those of the bystanders' are closed meanwhile, too.
    eventually(case, || push.daemon().open_files() <= files);
    let ready = Http::connect(push.addr()).request("GET /ready", &[], b"");
    assert_eq!(ready.status(), 200, "{case}");
    let mut fresh = push.subscribe("open:after");
    push.api().publish("open:after", &json!("still here"));
    fresh.expect_text("\"still here\"");
}

/// The code of the close frame that comes at last; none if the connection ends without one.
fn close_code(client: &mut Client) -> Option<u16> {
    loop {
        let frame = client.frame()?;
        if frame.opcode == CLOSE {
            return Some(u16::from_be_bytes([frame.payload[0], frame.payload[1]]));
        }
    }
}

/// Of either kind; what raw ones say there is not taken.
const fn target(nth: usize) -> &'static str {
    if nth.is_multiple_of(2) {
        "/raw/mute:abused"
    } else {
        PATH
    }
}

/// An open WebSocket of either kind.
fn enter(push: &Push, nth: usize) -> Client {
    Client::enter(push.addr(), target(nth), &[]).0
}

/// Says this; whether all of it was taken before the server closed.
fn pour(client: &mut Client, bytes: &[u8]) -> bool {
    client.socket.write_all(bytes).is_ok()
}

#[test]
fn requests_that_come_byte_by_byte_are_let_go() {
    const SLOW: usize = 150;
    let push = start();
    abuse(&push, SLOW, "requests byte by byte", || {
        let mut slow: Vec<Option<Client>> = (0..SLOW)
            .map(|_| Some(Client::connect(push.addr())))
            .collect();
        for client in slow.iter_mut().flatten() {
            client.socket.set_nonblocking(true).unwrap();
        }
        let begin = b"GET /raw/open:a HTTP/1.1\r\nX-Slow: ";
        let mut bytes = begin.iter().copied().chain(std::iter::repeat(b'z'));
        let deadline = clock::now() + PATIENCE;
        let mut timed_out = 0;
        let mut rounds = 0;
        while slow.iter().any(Option::is_some) {
            assert!(
                clock::now() < deadline,
                "{} are still there",
                slow.iter().flatten().count()
            );
            let byte = [bytes.next().expect("endless")];
            rounds += 1;
            for (n, place) in slow.iter_mut().enumerate() {
                let Some(client) = place else { continue };
                // Every other one falls silent: nothing of its answer is lost in a reset.
                let is_silent = n % 2 == 1 && rounds > begin.len();
                let is_cut = !is_silent && client.socket.write_all(&byte).is_err();
                if !is_cut && !has_ended(client) {
                    continue;
                }
                let status = wire::read_head(&client.received).and_then(|head| head.status());
                match status {
                    Some(408) => timed_out += 1,
                    None if !is_silent => {}
                    other => panic!("client {n}: {other:?}"),
                }
                *place = None;
            }
            std::thread::sleep(PAUSE);
        }
        assert!(timed_out >= SLOW / 2, "{timed_out} were told 408");
    });
}

/// Takes what has come over a socket that does not block; whether that was the end.
fn has_ended(client: &mut Client) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match client.socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(len) => client.received.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}

#[test]
fn a_flood_of_handshakes_is_served_up_to_the_cap_and_503_past_it() {
    const ASKING: usize = CONNECTIONS_MAX + 100;
    let push = start();
    abuse(&push, ASKING, "handshakes", || {
        let padding = "p".repeat(12 << 10);
        let request = upgrade("/raw/open:a", &[("X-Padding", &padding)]);
        let mut asking: Vec<Client> = (0..ASKING).map(|_| Client::connect(push.addr())).collect();
        for client in &mut asking {
            client.send(request.as_bytes());
        }
        let mut answers = BTreeMap::new();
        let mut served = Vec::new();
        for mut client in asking {
            let status = client.head().expect("an answer").status().unwrap();
            *answers.entry(status).or_insert(0) += 1;
            if status == 101 {
                served.push(client);
            }
        }
        let is_full = (CONNECTIONS_MAX - 10..=CONNECTIONS_MAX).contains(&served.len());
        assert!(is_full, "{answers:?}");
        assert_eq!(
            answers.get(&503),
            Some(&(ASKING - served.len())),
            "{answers:?}"
        );
    });
}

#[test]
fn pings_and_pongs_of_peers_that_never_read_cost_what_may_wait_and_they_are_cut_off() {
    const DEAF: usize = 60;
    let push = start();
    abuse(&push, DEAF, "pings", || {
        let frames = [
            Frame::ping([7; 125]),
            Frame::ping(""),
            Frame::pong([7; 125]),
            Frame::pong(""),
        ];
        let blocks = frames.map(|frame| {
            let bytes = frame.encode(Sender::Client);
            bytes.repeat((64 << 10) / bytes.len())
        });
        let mut deaf: Vec<Option<Deaf<'_>>> = (0..DEAF)
            .map(|n| {
                let client = tiny(&push, target(n));
                client.socket.set_nonblocking(true).unwrap();
                let block = &blocks[n / 2 % blocks.len()];
                // Pongs need no answer: who says nothing else is borne, and leaves when it has said much.
                let bytes_max = if n / 2 % blocks.len() < 2 {
                    usize::MAX
                } else {
                    4 << 20
                };
                Some(Deaf {
                    client,
                    block,
                    said: 0,
                    bytes_max,
                })
            })
            .collect();
        let deadline = clock::now() + PATIENCE;
        let mut cut_off = 0;
        while deaf.iter().any(Option::is_some) {
            let left = deaf.iter().flatten().count();
            assert!(clock::now() < deadline, "{left} still ping");
            for place in &mut deaf {
                let Some(peer) = place else { continue };
                let is_cut_off = peer.say_more();
                cut_off += usize::from(is_cut_off);
                if is_cut_off || peer.said >= peer.bytes_max {
                    *place = None;
                }
            }
        }
        assert!(cut_off >= DEAF / 2, "{cut_off} were cut off");
    });
}

/// One that says the same for ever.
struct Deaf<'b> {
    client: Client,
    block: &'b [u8],
    said: usize,
    bytes_max: usize,
}

impl Deaf<'_> {
    /// Says as much as is taken at once; whether it was cut off.
    fn say_more(&mut self) -> bool {
        match self
            .client
            .socket
            .write(&self.block[self.said % self.block.len()..])
        {
            Ok(len) => {
                self.said += len;
                false
            }
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn messages_in_pieces_of_a_byte_or_none_are_1009() {
    const CUTTING: usize = 60;
    let push = start();
    abuse(&push, CUTTING, "fragments", || {
        let mut cutting: Vec<Client> = (0..CUTTING).map(|n| enter(&push, n)).collect();
        let pongs = Frame::pong("").encode(Sender::Client).repeat(20);
        for (n, client) in cutting.iter_mut().enumerate() {
            let piece = if n % 4 < 2 { "" } else { " " };
            let piece = Frame::continuation(piece)
                .not_final()
                .encode(Sender::Client);
            // Between fragments there may be control frames, which are none.
            let step = if n % 8 < 4 {
                piece
            } else {
                [piece, pongs.clone()].concat()
            };
            client.say(&Frame::text("").not_final());
            // The first fragment was one; the last that may be is not too many.
            client.send(&step.repeat(FRAGMENTS_MAX - 1));
        }
        for client in &mut cutting {
            client.say(&Frame::ping("whole"));
            let pong = client.frame().expect("a pong: nothing was too much");
            assert_eq!(pong.payload, b"whole", "{pong:?}");
            pour(
                client,
                &Frame::continuation("")
                    .not_final()
                    .encode(Sender::Client)
                    .repeat(1000),
            );
            assert_eq!(close_code(client), Some(1009));
        }
    });
}

#[test]
fn subscribers_that_never_read_are_3008_and_cost_what_may_wait_for_them() {
    const DEAF: usize = 60;
    let push = start();
    abuse(&push, DEAF, "subscribers that never read", || {
        let mut deaf: Vec<Client> = (0..DEAF)
            .map(|n| match n % 2 {
                0 => tiny(&push, "/raw/open:loud"),
                _ => {
                    let mut session = Session::over(tiny(&push, PATH), WIRES[0]);
                    session.result("connect", &json!({}));
                    session.subscribe("open:loud");
                    session.socket
                }
            })
            .collect();
        let mut api = push.api();
        let is_left = |api: &mut fanfare_tests::api::Api| {
            let stats = api.result("presence_stats", &json!({"channel": "open:loud"}));
            stats["num_clients"].as_u64().unwrap_or(0) > 0
        };
        let payload = json!("x".repeat(8 << 10));
        let mut published = 0;
        while is_left(&mut api) {
            assert!(published < 4096, "somebody takes 32 MiB without reading");
            api.publish("open:loud", &payload);
            published += 1;
        }
        for client in &mut deaf {
            assert_eq!(close_code(client), Some(3008));
        }
    });
}

/// An open WebSocket for which the kernel takes next to nothing: its segments are short, and so is its window.
fn tiny(push: &Push, target: &str) -> Client {
    let socket = Socket::new(Domain::for_address(push.addr()), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.set_tcp_mss(536).unwrap();
    socket.connect(&push.addr().into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client {
        socket: socket.into(),
        received: Vec::new(),
    };
    client.send(upgrade(target, &[]).as_bytes());
    assert_eq!(client.head().expect("an answer").status(), Some(101));
    client
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    const COMING: usize = 400;
    let push = start();
    abuse(&push, 1, "churn", || {
        let mut api = push.api();
        for n in 0..COMING {
            let client = match n % 4 {
                0 | 1 => push.subscribe("open:busy"),
                2 => enter(&push, 1), // says nothing
                _ => {
                    let mut session = Session::anonymous(&push, WIRES[n / 4 % 2]);
                    session.subscribe("open:busy");
                    session.socket
                }
            };
            if n % 3 == 0 {
                let at_once = SockRef::from(&client.socket);
                at_once.set_linger(Some(Duration::ZERO)).unwrap(); // a reset
            }
        }
        eventually("nobody is subscribed", || {
            let stats = api.result("presence_stats", &json!({"channel": "open:busy"}));
            stats["num_clients"].as_u64().unwrap_or(0) == 0
        });
    });
}

#[test]
fn garbage_in_the_place_of_a_request_is_400_and_behind_one_it_closes() {
    const NOISY: usize = 100;
    let push = start();
    abuse(&push, NOISY, "garbage", || {
        let mut random = fastrand::Rng::with_seed(11);
        let mut noise = || -> Vec<u8> { (0..4096).map(|_| random.u8(..)).collect() };
        let mut asking: Vec<Client> = (0..NOISY / 2)
            .map(|_| Client::connect(push.addr()))
            .collect();
        let mut open: Vec<Client> = (0..NOISY / 2).map(|n| enter(&push, n)).collect();
        for client in asking.iter_mut().chain(&mut open) {
            pour(client, &noise());
        }
        for client in &mut asking {
            assert_eq!(client.head().expect("an answer").status(), Some(400));
        }
        let mut codes = BTreeMap::new();
        for client in &mut open {
            // Of what is by chance the begin of a long frame, the rest may be waited for.
            client.socket.shutdown(std::net::Shutdown::Write).unwrap();
            *codes.entry(close_code(client)).or_insert(0) += 1;
        }
        assert!(
            codes.get(&Some(1002)) >= Some(&(NOISY / 2 * 4 / 5)),
            "{codes:?}"
        );
        // Text that is no UTF-8, too long, or a message where none is taken, or no command.
        let known = [
            None,
            Some(1002),
            Some(1007),
            Some(1009),
            Some(3501),
            Some(3507),
        ];
        assert!(codes.keys().all(|code| known.contains(code)), "{codes:?}");
    });
}
