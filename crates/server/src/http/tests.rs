//! The thread and its sockets. In: real ones, on the loopback. Out: what their peers see.
//!
//! Never: waits without an event; what a socket does not give within [`PATIENCE`] fails the test.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc as std_mpsc;

use fanfare_protocol::hook::{Granted, HookAnswer, HookCall, HookEvent};

use super::fixture::{BODY_BYTES_MAX, KEY, World};
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const DRAIN: Duration = Duration::from_secs(10);

/// Both ends of a connection: a peer's, and one that a worker has accepted.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = connect(listener.local_addr().unwrap());
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (peer, ours)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let peer = TcpStream::connect(addr).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    peer
}

/// The peer of a connection that is handed over with `received`.
fn hand_over(world: &World, server: &Server, received: &str) -> TcpStream {
    let (peer, socket) = pair();
    let handover = Handover {
        socket,
        tls: None,
        received: received.as_bytes().into(),
        client: None,
        place: Place::take(&world.admission),
    };
    server.gateway().hand_over(handover).unwrap();
    peer
}

fn started() -> (World, Server) {
    let mut world = World::new();
    let server = start(world.setup()).unwrap();
    (world, server)
}

fn started_with_listener() -> (World, Server, SocketAddr) {
    let mut world = World::new();
    let mut setup = world.setup();
    setup.listener = Some(TcpListener::bind("127.0.0.1:0").unwrap());
    let server = start(setup).unwrap();
    let addr = server.listens_on.unwrap();
    (world, server, addr)
}

fn publish(body: &str) -> String {
    let len = body.len();
    format!(
        "POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: {len}\r\n\r\n{body}"
    )
}

fn read_to_end(mut peer: TcpStream) -> String {
    let mut answer = String::new();
    peer.read_to_string(&mut answer).unwrap();
    answer
}

/// One answer with a `Content-Length`, of a connection that stays.
fn read_answer(peer: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let mut byte = [0];
        peer.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
        if !answer.ends_with(b"\r\n\r\n") {
            continue;
        }
        let head = String::from_utf8(answer).unwrap();
        let mut lines = head.lines();
        let len = lines.find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; len.map_or(0, |len| len.parse().unwrap())];
        peer.read_exact(&mut body).unwrap();
        return head + &String::from_utf8(body).unwrap();
    }
}

#[test]
fn a_socket_that_is_handed_over_gets_one_answer_and_is_closed() {
    let (world, server) = started();
    let get = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    let requests = [
        get.to_owned(),
        "GET /health HTTP/1.0\r\n\r\n".to_owned(),
        "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
        get.replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n"),
        get.repeat(3), // pipelined: only the first is answered
    ];
    for request in requests {
        let answer = read_to_end(hand_over(&world, &server, &request));
        let answers = answer.matches("HTTP/1.").count();
        assert_eq!(answers, 1, "{request}: {answer}");
        assert!(answer.contains(" 200 OK\r\n"), "{request}: {answer}");
        assert!(answer.ends_with("\r\n\r\nok\n"), "{request}: {answer}");
        if request.contains("HTTP/1.1") {
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        } else {
            assert!(!answer.contains("keep-alive"), "{answer}");
        }
    }
    server.stop(DRAIN);
    assert_eq!(world.admission.open(), 0, "their places are free");
}

#[test]
fn a_body_may_come_after_the_hand_over_however_it_is_cut() {
    let (world, server) = started();
    let request = publish(r#"{"channel":"plain:a","data":{"text":"hello"}}"#);
    let head_len = request.find("\r\n\r\n").unwrap() + 4;
    for cut in head_len..=request.len() {
        let mut peer = hand_over(&world, &server, &request[..cut]);
        let (first, rest) = request[cut..].split_at((request.len() - cut) / 2);
        peer.write_all(first.as_bytes()).unwrap();
        peer.write_all(rest.as_bytes()).unwrap();
        let answer = read_to_end(peer);
        assert!(
            answer.ends_with("\r\n\r\n{\"result\":{}}"),
            "{cut}: {answer}"
        );
        assert!(
            answer.contains("content-type: application/json\r\n"),
            "{answer}"
        );
    }
    server.stop(DRAIN);
}

#[test]
fn a_body_may_be_chunked_and_asked_for() {
    let (world, server) = started();
    let head = format!(
        "POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: apikey {KEY}\r\n\
         Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut peer = hand_over(&world, &server, &head);
    assert_eq!(read_answer(&mut peer), "HTTP/1.1 100 Continue\r\n\r\n");
    let body = r#"{"channel":"plain:a","data":1}"#;
    let (first, rest) = body.split_at(7);
    for chunk in [first, rest, ""] {
        write!(peer, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
    }
    let answer = read_to_end(peer);
    assert!(answer.ends_with("\r\n\r\n{\"result\":{}}"), "{answer}");

    // What is refused in any case is not asked for.
    let answer = read_to_end(hand_over(&world, &server, &head.replace(KEY, "wrong")));
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    server.stop(DRAIN);
}

#[test]
fn a_peer_that_says_that_it_is_done_is_answered() {
    let (world, server) = started();
    let (head, body) = (publish("{\"channel\":\"plain:a\",\"data\":1}"), "");
    let mut peer = hand_over(&world, &server, &head);
    peer.write_all(body.as_bytes()).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert!(read_to_end(peer).ends_with("{\"result\":{}}"));
    // Half a body and then nothing is not.
    let mut peer = hand_over(&world, &server, &head[..head.len() - 1]);
    peer.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = peer.read_to_end(&mut answer);
    assert!(
        !answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        answer.escape_ascii()
    );
    server.stop(DRAIN);
}

#[test]
fn whoever_sends_too_much_still_reads_why_not() {
    let (world, server) = started();
    for declared in [true, false] {
        let body = "x".repeat(BODY_BYTES_MAX + (1 << 20));
        let length = if declared {
            format!("Content-Length: {}\r\n\r\n", body.len())
        } else {
            format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len())
        };
        let head = format!("POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n{length}");
        let mut peer = hand_over(&world, &server, &head);
        peer.write_all(body.as_bytes()).unwrap();
        let answer = read_to_end(peer);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{declared}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    server.stop(DRAIN);
}

#[test]
fn the_listener_of_the_api_keeps_connections() {
    let (world, server, addr) = started_with_listener();
    let mut peer = connect(addr);
    for n in 1..=3 {
        let body = format!("{{\"channel\":\"kept:a\",\"data\":{n}}}");
        peer.write_all(publish(&body).as_bytes()).unwrap();
        let answer = read_answer(&mut peer);
        assert!(answer.contains(&format!("{{\"offset\":{n},")), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    // One that was refused stays usable, too.
    let refused = publish("{}");
    peer.write_all(refused.as_bytes()).unwrap();
    assert!(read_answer(&mut peer).starts_with("HTTP/1.1 400 "));
    peer.write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert!(read_answer(&mut peer).ends_with("\r\n\r\nok\n"));
    // What is no request is answered and closed.
    peer.write_all(b"nonsense\r\n\r\n").unwrap();
    assert!(read_to_end(peer).starts_with("HTTP/1.1 400 "));

    let request = publish("{\"channel\":\"plain:a\",\"data\":1}");
    let answer = read_to_end(hand_over(&world, &server, &request));
    assert!(
        answer.starts_with("HTTP/1.1 404 "),
        "the main port has no API: {answer}"
    );
    let answer = read_to_end(hand_over(&world, &server, "GET /health HTTP/1.1\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    server.stop(DRAIN);
}

#[test]
fn a_socket_that_finds_no_room_comes_back() {
    let admission = Arc::new(Admission::of_any(9));
    let (sender, mut waiting) = mpsc::channel(1);
    let gateway = Gateway(sender);
    let mut refused = Vec::new();
    for name in ["first", "second"] {
        let handover = Handover {
            socket: pair().1,
            tls: None,
            received: name.as_bytes().into(),
            client: None,
            place: Place::take(&admission),
        };
        refused.extend(gateway.hand_over(handover).err());
    }
    assert_eq!(refused.len(), 1);
    assert_eq!(*refused[0].received, *b"second");
    assert_eq!(*waiting.try_recv().unwrap().received, *b"first");

    let (world, server) = started();
    let gateway = server.gateway();
    server.stop(DRAIN);
    let handover = Handover {
        socket: pair().1,
        tls: None,
        received: Box::default(),
        client: None,
        place: Place::take(&world.admission),
    };
    assert!(gateway.hand_over(handover).is_err(), "the thread has ended");
}

#[test]
fn a_stop_lets_what_is_under_way_end_and_cuts_what_does_not() {
    let (world, server, addr) = started_with_listener();
    let request = publish("{\"channel\":\"kept:a\",\"data\":1}");
    let (begun, rest) = request.split_at(request.len() - 1);

    let mut idle = connect(addr);
    idle.write_all(request.as_bytes()).unwrap();
    read_answer(&mut idle);
    let expecting = |name: &str| {
        // The body is asked for: the request is under way for sure.
        let mut peer = connect(addr);
        let head = begun.replace("\r\nHost: x", "\r\nHost: x\r\nExpect: 100-continue");
        peer.write_all(head.as_bytes()).unwrap();
        assert_eq!(
            read_answer(&mut peer),
            "HTTP/1.1 100 Continue\r\n\r\n",
            "{name}"
        );
        peer
    };
    let mut ends = expecting("ends");
    let mut stuck = expecting("stuck");

    let stopping = thread::spawn(move || server.stop(Duration::from_secs(2)));
    assert_eq!(
        idle.read(&mut [0]).unwrap(),
        0,
        "nobody waits for its answer"
    );
    ends.write_all(rest.as_bytes()).unwrap();
    let answer = read_to_end(ends);
    assert!(answer.contains("{\"offset\":2,"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    stopping.join().unwrap();
    let mut answer = Vec::new();
    let _ = stuck.read_to_end(&mut answer); // an end or a reset
    assert!(answer.is_empty(), "{}", answer.escape_ascii());
    assert!(TcpStream::connect(addr).is_err(), "nobody listens");
    drop(world);
}

#[test]
fn what_was_handed_over_before_a_stop_is_answered() {
    let (world, server) = started();
    let peers: Vec<_> = (0..50)
        .map(|_| hand_over(&world, &server, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"))
        .collect();
    let stopping = thread::spawn(move || server.stop(DRAIN));
    for peer in peers {
        assert!(read_to_end(peer).starts_with("HTTP/1.1 200 "));
    }
    stopping.join().unwrap();
    assert_eq!(world.admission.open(), 0);
}

#[test]
fn whoever_asks_how_many_clients_there_are_is_none_of_them() {
    let (world, server) = started();
    let _client = Place::take(&world.admission);
    let request = publish("{}").replace("publish", "info");
    let answer = read_to_end(hand_over(&world, &server, &request));
    assert!(answer.contains("\"num_clients\":1,"), "{answer}");
    server.stop(DRAIN);
}

#[test]
fn a_hangup_reloads() {
    let mut world = World::new();
    let mut setup = world.setup();
    let (reloaded, reloads) = std_mpsc::channel();
    setup.on_hangup = Box::new(move || {
        let _ = reloaded.send(());
    });
    let server = start(setup).unwrap();
    for _ in 0..2 {
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, rustix::process::Signal::HUP).unwrap();
        reloads.recv_timeout(PATIENCE).unwrap();
    }
    server.stop(DRAIN);
}

#[derive(Debug)]
struct Bell(std_mpsc::Sender<()>);

impl fanfare_hub::Wake for Bell {
    fn wake(&self) {
        let _ = self.0.send(()); // nobody waits any more
    }
}

#[test]
fn the_backend_is_asked_on_this_thread() {
    let (_world, server) = started();
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/rpc", backend.local_addr().unwrap());
    let environment = [("FANFARE_HOOKS__RPC".into(), url.into())];
    let sources = crate::config::Sources::new(None, environment, false);
    let settings = sources.read().unwrap().live.hooks;
    let (bell, rung) = std_mpsc::channel();
    let returns = Arc::new(crate::returns::Returns::new(Bell(bell)));
    let to = crate::returns::ReturnAddress {
        returns: Arc::clone(&returns),
        conn: crate::slab::Slab::new().insert(()),
        number: fanfare_protocol::Number(3),
    };
    let call = HookCall {
        client: "c".into(),
        user: "u".into(),
        encoding: None,
        meta: None,
        event: HookEvent::Rpc {
            method: "m".into(),
            data: "1".into(),
        },
    };
    let mut headers = hooks::ClientHeaders::default();
    let hooks = server.hooks();
    hooks.call(&settings, call, &mut headers, to).unwrap();
    let (mut socket, _) = backend.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"}") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        received.push(byte[0]);
    }
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"result\":{\"data\":42}}";
    socket.write_all(answer).unwrap();
    rung.recv_timeout(PATIENCE).unwrap();
    let finding = returns.take().0.remove(0);
    assert_eq!(finding.number, fanfare_protocol::Number(3));
    let expected = Granted {
        data: Some("42".into()),
        ..Granted::default()
    };
    match finding.finding {
        crate::returns::Finding::Hooked(hooked) => {
            assert_eq!(hooked, Ok(HookAnswer::Granted(expected)));
        }
        other => panic!("{other:?}"),
    }
    drop(socket);
    server.stop(DRAIN);
}
