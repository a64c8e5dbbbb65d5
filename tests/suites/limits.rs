//! What one client may take, and all together, against the live daemon: each limit has somebody who meets it and is
//! told so, somebody beside it who is served, a number, and a line in the log.
//!
//! Never: how fast anything is.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use fanfare_tests::client::{Client, PATIENCE, upgrade};
use fanfare_tests::clock;
use fanfare_tests::daemon::{Daemon, free_address};
use fanfare_tests::http::Http;
use fanfare_tests::jwt::{Key, SECRET, TOKENS};
use fanfare_tests::push::{Push, eventually};
use fanfare_tests::samples::Samples;
use fanfare_tests::session::{Came, Session, WIRES, Wire};
use fanfare_tests::wire::{CLOSE, Frame, Sender};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;
use socket2::{Domain, Socket, Type};

const CHANNEL: &str = "/raw/open:a";

fn start(head: &str, tail: &str) -> Push {
    let tail = format!("[client]\nallow_anonymous = true\n{tail}");
    Push::start(&format!("echo = true\n{head}"), &tail)
}

/// Waits until so many have met `limit`, and the log says so.
#[track_caller]
fn expect_met(push: &Push, limit: &str, times: f64) {
    let sample = format!("fanfare_limits_exceeded_total{{limit=\"{limit}\"}}");
    let mut met = 0.0;
    eventually(&sample, || {
        met = Samples::of(push).get(&sample);
        met >= times
    });
    assert!(met <= times, "{sample} {met}");
    let word = format!("limit=\"{limit}\"");
    let log = push.daemon().log();
    let _ = log.wait_for(limit, 0, |line| {
        line.contains("a limit was met") && line.contains(&word)
    });
}

/// A connection from `from`.
fn connect_from(from: [u8; 4], to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from = SocketAddr::new(IpAddr::from(from), 0);
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    Client {
        socket,
        received: Vec::new(),
    }
}

/// The status of the answer to an upgrade.
#[track_caller]
fn status(client: &mut Client, headers: &[(&str, &str)]) -> u16 {
    client.send(upgrade(CHANNEL, headers).as_bytes());
    let head = client.head().expect("an answer");
    let status = head.status().unwrap();
    if status == 503 {
        assert_eq!(head.all("Retry-After").collect::<Vec<_>>(), ["1"]);
    }
    status
}

#[test]
fn an_address_has_so_many_connections_and_another_its_own() {
    let push = start("max_connections_per_address = 3", "");
    let connect = |from| connect_from(from, push.addr());
    let mut own: Vec<Client> = (0..4).map(|_| connect([127, 0, 0, 9])).collect();
    let statuses: Vec<u16> = own.iter_mut().map(|client| status(client, &[])).collect();
    let served = statuses.iter().filter(|status| **status == 101).count();
    assert_eq!(served, 3, "{statuses:?}"); // two workers accept: not always the last is refused
    let last = statuses.iter().position(|status| *status == 503).unwrap();
    own[last].more();
    let why = String::from_utf8_lossy(&own[last].received).into_owned();
    assert!(
        why.contains("too many connections of your address"),
        "{why}"
    );
    assert_eq!(status(&mut connect([127, 0, 0, 10]), &[]), 101);
    expect_met(&push, "max_connections_per_address", 1.0);
    // Whoever is over it may still ask whether the daemon lives.
    let mut probe = connect([127, 0, 0, 9]);
    probe.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(probe.head().unwrap().status(), Some(200));
    drop(own);
    eventually("its places are free", || {
        status(&mut connect([127, 0, 0, 9]), &[]) == 101
    });
}

#[test]
fn behind_a_proxy_it_is_the_client_s_address_that_counts() {
    let head = "max_connections_per_address = 2\ntrusted_proxies = [\"127.0.0.1\"]";
    let push = start(head, "");
    let mut held = Vec::new();
    let mut come = |client: &str| {
        let mut connection = Client::connect(push.addr());
        let status = status(&mut connection, &[("X-Forwarded-For", client)]);
        held.push(connection);
        status
    };
    let of_one = [come("10.0.0.1"), come("10.0.0.1"), come("10.0.0.1")];
    assert_eq!(of_one, [101, 101, 503]);
    // Of IPv6 a network is one.
    let of_network = [
        come("2001:db8::1"),
        come("2001:db8::2"),
        come("2001:db8::3"),
    ];
    assert_eq!(of_network, [101, 101, 503]);
    assert_eq!(come("2001:db8:1::1"), 101);
    expect_met(&push, "max_connections_per_address", 2.0);
    held.truncate(0);
    eventually("the places of one are free", || {
        let mut connection = Client::connect(push.addr());
        status(&mut connection, &[("X-Forwarded-For", "10.0.0.1")]) == 101
    });
}

#[test]
fn a_proxy_header_s_client_counts_as_well() {
    let listen = free_address().unwrap();
    let config = format!(
        "max_connections_per_address = 1\ntrusted_proxies = [\"127.0.0.1\"]\n\
         proxy_protocol = [\"{listen}\"]\n[default_namespace]\nallow_subscribe_for_anonymous = true\n\
         allow_subscribe_for_client = true\n[client]\nallow_anonymous = true\n"
    );
    let flags = ["--listen", &listen.to_string()];
    let daemon = Daemon::serve(&config, &flags).unwrap();
    let mut held = Vec::new();
    let mut come = |client: &str| {
        let mut connection = Client::connect(listen);
        connection.send(format!("PROXY TCP4 {client} 127.0.0.1 4000 80\r\n").as_bytes());
        connection.send(upgrade("/raw/a", &[]).as_bytes());
        let status = connection.head().expect("an answer").status();
        held.push(connection);
        status
    };
    assert_eq!(come("10.0.0.1"), Some(101));
    assert_eq!(come("10.0.0.1"), Some(503));
    assert_eq!(come("10.0.0.2"), Some(101));
    drop(daemon);
}

#[test]
fn who_comes_too_soon_after_others_is_told_when_to_come_again() {
    let push = start("max_new_connections_per_second = 20", "");
    // What the start has used up is whole again.
    thread::sleep(Duration::from_millis(1100));
    let began = clock::now();
    let mut all: Vec<Client> = (0..60).map(|_| Client::connect(push.addr())).collect();
    let statuses: Vec<u16> = all.iter_mut().map(|client| status(client, &[])).collect();
    let came_back = 1 + began.elapsed().as_millis() / 50;
    let served = statuses.iter().filter(|status| **status == 101).count();
    assert!(
        (20..=20 + came_back as usize).contains(&served),
        "{statuses:?}"
    );
    assert!(statuses.iter().all(|status| [101, 503].contains(status)));
    expect_met(
        &push,
        "max_new_connections_per_second",
        (60 - served) as f64,
    );
    eventually("it is time to come again", || {
        status(&mut Client::connect(push.addr()), &[]) == 101
    });
}

#[test]
fn a_head_may_be_so_long() {
    let push = start("", "[websocket]\nmax_handshake_bytes = 1024");
    let padding = "x".repeat(1024);
    for (len, expected) in [(1024 - 400, 101), (1024, 431)] {
        let mut client = Client::connect(push.addr());
        assert_eq!(
            status(&mut client, &[("X-Padding", &padding[..len])]),
            expected
        );
    }
    expect_met(&push, "max_handshake_bytes", 1.0);
}

#[test]
fn a_head_that_trickles_is_told_so_long_before_all_of_its_time_is_over() {
    let push = start(
        "",
        "[websocket]\nmin_handshake_bytes_per_second = 200\nhandshake_timeout = 60",
    );
    let began = clock::now();
    // Silence is closed without a word, as soon.
    let mut silent = Client::connect(push.addr());
    let mut trickling = Client::connect(push.addr());
    let head = upgrade(CHANNEL, &[]);
    let mut bytes = head.as_bytes()[..100].chunks(1);
    let trickler = thread::spawn({
        let mut socket = trickling.socket.try_clone().unwrap();
        let mut bytes: Vec<Vec<u8>> = bytes.by_ref().map(<[u8]>::to_vec).collect();
        move || {
            use std::io::Write;
            for byte in bytes.drain(..) {
                if socket.write_all(&byte).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(100));
            }
        }
    });
    let head = trickling.head().expect("an answer");
    assert_eq!(head.status(), Some(408));
    let took = began.elapsed();
    assert!(took > Duration::from_secs(5), "{took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    silent.expect_end();
    trickler.join().unwrap();
    expect_met(&push, "min_handshake_bytes_per_second", 1.0);
    // Slower than a head in one piece, and still fast enough: 5 s are free.
    let mut slow = Client::connect(push.addr());
    for part in upgrade(CHANNEL, &[]).as_bytes().chunks(40) {
        slow.send(part);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(slow.head().unwrap().status(), Some(101));
}

#[test]
fn a_head_that_never_ends_has_its_time() {
    let push = start("", "[websocket]\nhandshake_timeout = 0.3");
    let mut client = Client::connect(push.addr());
    client.send(b"GET /raw/open:a HTTP/1.1\r\n");
    assert_eq!(client.head().expect("an answer").status(), Some(408));
    expect_met(&push, "handshake_timeout", 1.0);
}

const RATES: &str = "[websocket]\nmax_messages_per_second = 10\nmax_fragments_per_second = 20";

#[test]
fn a_client_may_send_so_many_messages_a_second() {
    let push = start("", RATES);
    let message = Frame::text("hello").encode(Sender::Client);
    for path in [CHANNEL, "/echo"] {
        // As many as it may, at once.
        let (mut client, _) = Client::enter(push.addr(), path, &[]);
        client.send(&message.repeat(10));
        for _ in 0..10 {
            client.expect_text("hello");
        }
        // And in whatever pieces, more.
        let (mut client, _) = Client::enter(push.addr(), path, &[]);
        for _ in 0..12 {
            client.send(&message);
        }
        let mut texts = 0;
        let close = loop {
            let frame = client.frame().expect("a close");
            if frame.opcode == CLOSE {
                break frame.payload;
            }
            texts += 1;
        };
        // A subscriber's own are told behind its close.
        let is_echo = path == "/echo";
        assert!(texts <= 11 && (texts >= 9 || !is_echo), "{path}: {texts}");
        assert_eq!(close[..2], 1008_u16.to_be_bytes(), "{path}");
        assert_eq!(&close[2..], b"too many messages a second", "{path}");
    }
    for wire in WIRES {
        let mut session = Session::anonymous(&push, wire);
        for _ in 0..20 {
            session.send("rpc", &json!({"method": "x", "data": 1}));
        }
        session.until_closed(3013, "a flood");
    }
    expect_met(&push, "max_messages_per_second", 4.0);
    // Whoever keeps to it is served for longer than a second.
    let (mut client, _) = Client::enter(push.addr(), "/echo", &[]);
    for _ in 0..15 {
        client.expect_echo("hello");
        thread::sleep(Duration::from_millis(110));
    }
}

#[test]
fn a_client_may_send_so_many_fragments_and_control_frames_a_second() {
    let push = start("", RATES);
    let ping = Frame::ping("").encode(Sender::Client);
    let pong = Frame::pong("").encode(Sender::Client);
    let first = Frame::text("x").not_final();
    let middle = Frame::continuation("").not_final();
    let fragments = [
        first.encode(Sender::Client),
        middle.encode(Sender::Client).repeat(30),
    ]
    .concat();
    let last = Frame::continuation("").encode(Sender::Client);
    // Messages of two frames, fewer than there may be messages.
    let whole = [
        first.encode(Sender::Client),
        middle.encode(Sender::Client).repeat(2),
        last,
    ]
    .concat();
    let floods = [ping.repeat(30), pong.repeat(30), fragments, whole.repeat(8)];
    for flood in &floods {
        for path in [CHANNEL, "/echo"] {
            let (mut client, _) = Client::enter(push.addr(), path, &[]);
            client.send(flood);
            loop {
                let frame = client.frame().expect("a close");
                if frame.opcode == CLOSE {
                    assert_eq!(frame.payload[..2], 1008_u16.to_be_bytes(), "{path}");
                    break;
                }
            }
        }
        let mut session = Session::anonymous(&push, Wire::Json);
        session.socket.send(flood);
        let came = session.read();
        let is_told = matches!(came, Came::Closed(3013 | 3501, _));
        assert!(is_told, "{came:?}");
    }
    // A whole message, however long and in whatever reads, is no fragment.
    let (mut client, _) = Client::enter(push.addr(), "/echo", &[]);
    let long = "x".repeat(300_000);
    client.expect_echo(&long);
    client.expect_echo(&long);
}

#[test]
fn commands_and_a_user_s_connections_are_counted_where_they_are_too_many() {
    let push = start(
        "",
        &format!("max_commands_per_second = 5\nmax_connections_per_user = 1\n{TOKENS}"),
    );
    let mut session = Session::anonymous(&push, Wire::Json);
    let mut refused = 0;
    for _ in 0..8 {
        let id = session.send("rpc", &json!({"method": "x", "data": 1}));
        refused += u32::from(session.reply(id)["error"]["code"] == 111);
    }
    assert!(refused >= 3, "{refused}");
    expect_met(&push, "max_commands_per_second", f64::from(refused));
    let token = Key::secret(SECRET).token(&json!({"sub": "ada"}));
    let _first = Session::with_token(&push, Wire::Json, &token);
    let mut second = Session::open(push.addr(), Wire::Json);
    second.send("connect", &json!({"token": token}));
    second.until_closed(3504, "a second connection");
    expect_met(&push, "max_connections_per_user", 1.0);
}

#[test]
fn who_does_not_read_takes_what_is_left_for_all_and_no_more() {
    const IN_ALL: usize = 2 << 20;
    let push = start(
        "workers = 2",
        &format!("[websocket]\nmax_output_bytes = 1048576\nmax_output_bytes_in_all = {IN_ALL}"),
    );
    let mut reader = push.subscribe("open:reader");
    // Each on a channel of its own: nothing is shared.
    let stalled: Vec<Client> = (0..12)
        .map(|n| Client::narrow(push.addr(), &format!("/raw/open:{n}"), &[]))
        .collect();
    let payload = "x".repeat(256 << 10);
    let mut api = push.api();
    let mut most = 0.0_f64;
    let channels: Vec<String> = (0..stalled.len()).map(|n| format!("open:{n}")).collect();
    let broadcast = json!({"channels": channels, "data": payload});
    for round in 0..60 {
        api.result("broadcast", &broadcast);
        api.publish("open:reader", &json!(round));
        reader.expect_text(&round.to_string());
        let now = Samples::of(&push);
        most = most.max(now.get("fanfare_output_memory_bytes"));
    }
    assert!(most > (IN_ALL / 4) as f64, "nothing waited: {most}");
    // What is being told is in it, too, and each worker looks before it tells.
    assert!(most < (IN_ALL + 2 * 300_000) as f64, "{most}");
    let now = Samples::of(&push);
    let met = now.get("fanfare_limits_exceeded_total{limit=\"max_output_bytes_in_all\"}");
    assert!(met >= 1.0, "{met}");
    drop(stalled);
    eventually("the memory is given back", || {
        Samples::of(&push).get("fanfare_output_memory_bytes") == 0.0
    });
}

#[test]
fn without_descriptors_who_comes_is_told_so_and_later_served() {
    let push = start("workers = 1", "");
    let mut before = push.subscribe("open:a");
    let mut api = push.api();
    api.publish("open:a", &json!("first")); // both are accepted
    before.expect_text("\"first\"");
    let pid = Pid::from_raw(push.daemon().id().try_into().unwrap());
    // It has raised its own as far as that goes.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let lower = Rlimit {
        current: Some(push.daemon().open_files().unwrap() as u64),
        maximum,
    };
    let was = prlimit(pid, Resource::Nofile, lower).unwrap();
    let (mut served, mut refused) = (Vec::new(), 0);
    while refused < 5 {
        assert!(served.len() < 50, "nobody is refused");
        let mut client = Client::connect(push.addr());
        client.send(upgrade(CHANNEL, &[]).as_bytes());
        // Told, or closed with the answer lost: nobody waits until the end of its patience.
        match client.head() {
            Some(head) if head.status() == Some(101) => served.push(client), // numbers were free in between
            Some(head) => {
                assert_eq!(head.status(), Some(503));
                assert_eq!(head.all("Retry-After").collect::<Vec<_>>(), ["1"]);
                refused += 1;
            }
            None => refused += 1,
        }
    }
    api.publish("open:a", &json!("still here"));
    before.expect_text("\"still here\"");
    prlimit(pid, Resource::Nofile, was).unwrap();
    eventually("there are descriptors again", || {
        Client::ask(push.addr(), CHANNEL, &[]).1.status() == Some(101)
    });
    let sample = "fanfare_limits_exceeded_total{limit=\"descriptors\"}";
    assert!(Samples::of(&push).get(sample) >= 5.0);
    let mut http = Http::connect(push.daemon().api());
    assert_eq!(http.request("GET /ready", &[], b"").status(), 200);
}
