//! TLS against the live daemon: what goes through a session, how it begins and ends, and what peers do to it that
//! mean no good. Certificates have a suite of their own.
//!
//! Never: a client that accepts what a browser would not.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use fanfare_tests::binaries::loadgen;
use fanfare_tests::client::PATIENCE;
use fanfare_tests::daemon::Daemon;
use fanfare_tests::folder::Folder;
use fanfare_tests::http::request;
use fanfare_tests::push::{KEY, KEYS, NAMESPACES, eventually};
use fanfare_tests::read::read;
use fanfare_tests::tls::{Authority, HOST, Secured, TlsClient, certificates, put};
use fanfare_tests::wire::{BINARY, CLOSE, Frame, Sender};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use socket2::{Domain, Socket, Type};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Files and an authority, for [`HOST`].
struct Ground {
    folder: Folder,
    authority: Authority,
}

impl Ground {
    fn new() -> Self {
        let ground = Self {
            folder: Folder::new(),
            authority: Authority::new(),
        };
        let hosts = [HOST, "127.0.0.1"];
        put(&ground.folder, "a", &ground.authority.sign(&hosts));
        ground
    }

    fn echo(&self, flags: &[&str]) -> Daemon {
        let (certificate, key) = (self.folder.path("a.crt"), self.folder.path("a.key"));
        let secure = ["--tls-certificate", &certificate, "--tls-key", &key];
        Daemon::echo(&[&secure, flags].concat()).unwrap()
    }

    /// A push server with this head and these further tables; `[tls]` is open at the end of the head.
    fn serve(&self, head: &str, tail: &str) -> Secured {
        let tls = format!("[tls]\n{}", certificates(&self.folder, &["a"]));
        Secured::serve(&[head, &tls, tail, NAMESPACES].join("\n"))
    }

    fn client(&self) -> ClientConfig {
        self.authority.trusted(&VERSIONS, None)
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(len as u64);
    (0..len).map(|_| random.u8(..)).collect()
}

#[test]
fn messages_of_every_size_come_back_in_both_versions() {
    let ground = Ground::new();
    let daemon = ground.echo(&["--workers", "1"]);
    for version in VERSIONS {
        let config = ground.authority.trusted(&[version], None);
        let mut client = TlsClient::open(daemon.addr(), &config, "/");
        let session = &client.stream.conn;
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        for len in [0, 1, 125, 126, 16_375, 16_384, 16_385, 65_536, 1 << 20] {
            let message = noise(len);
            client.say(&Frame::binary(message.clone()));
            client.expect(&message);
        }
        client.say(&Frame::close(1000, ""));
        assert_eq!(client.frame().unwrap().opcode, CLOSE);
        client.expect_end();
    }
}

#[test]
fn a_proxys_header_comes_in_front_of_the_session() {
    let ground = Ground::new();
    let head = "echo = true\ntrusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = [\"{listen}\"]\n";
    let server = ground.serve(head, "");
    let config = ground.client();
    let mut socket = TcpStream::connect(server.addr()).unwrap();
    for piece in ["PROXY TCP4 192.0.2.7 ", "192.0.2.1 4711 443\r\n"] {
        socket.write_all(piece.as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(20)); // a segment each
    }
    let client = TlsClient::over(socket, &config, HOST).unwrap();
    let mut client = client.upgraded("/echo");
    client.say(&Frame::text("behind it"));
    client.expect(b"behind it");
    assert!(TlsClient::connect(server.addr(), &config, HOST).is_err());
}

#[test]
fn records_and_frames_may_be_cut_anywhere_and_each_other() {
    let ground = Ground::new();
    let daemon = ground.echo(&["--workers", "1"]);
    let config = ground.client();
    let mut client = TlsClient::open(daemon.addr(), &config, "/");
    // Many messages in a record, and more than the server reads at once behind them.
    let texts: Vec<String> = (0..5000).map(|n| format!("message {n}")).collect();
    let frames = texts
        .iter()
        .map(|text| Frame::text(text.as_str()).encode(Sender::Client));
    client.send(&frames.collect::<Vec<_>>().concat());
    for text in &texts {
        client.expect(text.as_bytes());
    }
    // A record for every byte, the request's too.
    let mut client = TlsClient::connect(daemon.addr(), &config, HOST).unwrap();
    for byte in fanfare_tests::client::upgrade("/", &[]).as_bytes() {
        client.send(&[*byte]);
    }
    assert_eq!(client.head().status(), Some(101));
    let message = noise(500);
    for byte in Frame::binary(message.clone()).encode(Sender::Client) {
        client.send(&[byte]);
    }
    client.expect(&message);
    // Request and messages in one record.
    let mut client = TlsClient::connect(daemon.addr(), &config, HOST).unwrap();
    let mut bytes = fanfare_tests::client::upgrade("/", &[]).into_bytes();
    bytes.extend(Frame::text("early").encode(Sender::Client));
    client.send(&bytes);
    assert_eq!(client.head().status(), Some(101));
    client.expect(b"early");
}

/// Writes as long as the server takes it; then the echo is read, and all of it comes.
#[test]
fn back_pressure_stops_reading_and_loses_nothing() {
    let ground = Ground::new();
    let daemon = ground.echo(&["--workers", "1", "--max-output-bytes", "65536"]);
    for version in VERSIONS {
        let config = ground.authority.trusted(&[version], None);
        let mut client = TlsClient::open(daemon.addr(), &config, "/");
        let message = noise(60_000);
        let frame = Frame::binary(message.clone()).encode(Sender::Client);
        let count = (32 << 20) / message.len();
        client.stream.sock.set_nonblocking(true).unwrap();
        client.stream.conn.set_buffer_limit(None);
        for _ in 0..count {
            client.stream.conn.writer().write_all(&frame).unwrap();
        }
        let mut is_stuck = 0;
        while client.stream.conn.wants_write() && is_stuck < 100 {
            let session = &mut client.stream.conn;
            match session.write_tls(&mut client.stream.sock) {
                Ok(_) => is_stuck = 0,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    is_stuck += 1;
                    thread::sleep(Duration::from_millis(5)); // the server may still be reading
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(
            client.stream.conn.wants_write(),
            "the server took everything"
        );
        let mut came = 0;
        while came < count {
            match client.more() {
                Ok(more) => more.expect("messages, not the end"),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(1)); // it echoes what it gets now
                }
                Err(error) => panic!("{error}"),
            }
            while client.has_frame() {
                let frame = client.frame().unwrap();
                assert_eq!((frame.opcode, frame.payload.len()), (BINARY, message.len()));
                assert!(frame.payload == message, "message {came} has changed");
                came += 1;
            }
        }
    }
}

/// `POST /api/publish` on the port of everything.
fn publish(addr: SocketAddr, config: &ClientConfig, body: &str) -> (u16, String) {
    let mut client = TlsClient::connect(addr, config, HOST).unwrap();
    let headers = [("X-API-Key", KEY), ("Content-Type", "application/json")];
    client.send(&request("POST /api/publish", &headers, body.as_bytes()));
    let answer = client.answer();
    client.expect_end();
    answer
}

#[test]
fn publications_come_over_wss_and_go_by_https() {
    let ground = Ground::new();
    let server = ground.serve("workers = 2", &format!("[api]\n{KEYS}"));
    for version in VERSIONS {
        let config = ground.authority.trusted(&[version], None);
        let mut subscribers: Vec<_> = (0..10)
            .map(|_| TlsClient::open(server.addr(), &config, "/raw/open:a"))
            .collect();
        // The last is longer than what a worker reads with the head.
        for len in [1, 1000, 500_000] {
            let text = "x".repeat(len);
            let body = format!(r#"{{"channel":"open:a","data":"{text}"}}"#);
            let (status, answer) = publish(server.addr(), &config, &body);
            assert_eq!(status, 200, "{answer}");
            for subscriber in &mut subscribers {
                subscriber.expect(format!("\"{text}\"").as_bytes());
            }
        }
        subscribers[0].say(&Frame::text("1"));
        for subscriber in &mut subscribers {
            subscriber.expect(b"1");
        }
        let mut health = TlsClient::connect(server.addr(), &config, HOST).unwrap();
        health.send(&request("GET /health", &[], b""));
        assert_eq!(health.answer(), (200, "ok\n".to_owned()));
        health.expect_end();
    }
}

#[test]
fn the_apis_own_listener_speaks_tls_if_it_is_told_to() {
    let ground = Ground::new();
    let api = format!("[api]\nlisten = \"{{api}}\"\ntls = true\n{KEYS}");
    let server = ground.serve("workers = 1", &api);
    let config = ground.client();
    let mut client = TlsClient::connect(server.api, &config, HOST).unwrap();
    for _ in 0..3 {
        client.send(&request("GET /ready", &[], b""));
        assert_eq!(client.answer(), (200, "ok\n".to_owned()));
    }
    let mut plain = TcpStream::connect(server.api).unwrap();
    plain
        .write_all(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    expect_400(plain);

    let server = ground.serve("workers = 1", "[api]\nlisten = \"{api}\"");
    let mut plain = fanfare_tests::http::Http::connect(server.api);
    assert_eq!(plain.request("GET /ready", &[], b"").status(), 200);
}

/// All that comes until the end; a peer that says nothing for too long fails the test.
fn rest_of(mut socket: TcpStream) -> Vec<u8> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 4096];
    let mut bytes = Vec::new();
    loop {
        match read(&mut socket, &mut buffer) {
            Ok(0) => return bytes,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return bytes,
            Err(error) => panic!("no end: {error}"),
        }
    }
}

#[track_caller]
fn expect_400(socket: TcpStream) {
    let answer = String::from_utf8(rest_of(socket)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    assert!(answer.contains("https://"), "{answer:?}");
}

#[test]
fn plain_http_is_told_so_garbage_ends_and_others_are_served() {
    let ground = Ground::new();
    let daemon = ground.echo(&["--workers", "1"]);
    let config = ground.client();
    let mut other = TlsClient::open(daemon.addr(), &config, "/");
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        fanfare_tests::client::upgrade("/", &[]),
        format!("POST / HTTP/1.1\r\nHost: a\r\n\r\n{}", "x".repeat(100_000)),
    ] {
        let mut socket = TcpStream::connect(daemon.addr()).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        expect_400(socket);
    }
    let mut random = fastrand::Rng::with_seed(3);
    for len in [1, 5, 6, 100, 5000, 100_000] {
        for first in [0, 20, 21, 22, 23, 0x80, 0xff] {
            let mut garbage = noise(len);
            garbage[0] = first;
            if random.bool() && len > 5 {
                garbage[1..5].copy_from_slice(&[3, 3, 0, 200]); // a record's head
            }
            let mut socket = TcpStream::connect(daemon.addr()).unwrap();
            let _ = socket.write_all(&garbage); // it may be cut off already
            let _ = socket.shutdown(Shutdown::Write);
            drop(rest_of(socket));
        }
        other.expect_echo("still here");
    }
}

#[test]
fn a_cut_connection_is_an_end_and_so_is_a_close_notify() {
    let ground = Ground::new();
    let daemon = ground.echo(&["--workers", "1"]);
    let config = ground.client();
    // Whoever waited for the port has connected once, and its end may not have been seen yet.
    let files = || daemon.open_files().expect("/proc tells");
    let looks = (0..20).map(|_| {
        thread::sleep(Duration::from_millis(5));
        files()
    });
    let before = looks.min().expect("there are some");
    for _ in 0..5 {
        let mut cut = TlsClient::open(daemon.addr(), &config, "/");
        cut.expect_echo("a");
        cut.stream.sock.shutdown(Shutdown::Write).unwrap();
        drop(rest_of(cut.stream.sock));

        let mut closed = TlsClient::open(daemon.addr(), &config, "/");
        closed.stream.conn.send_close_notify();
        closed
            .stream
            .conn
            .complete_io(&mut closed.stream.sock)
            .unwrap();
        drop(rest_of(closed.stream.sock));

        // In the middle of a record, and of a handshake.
        let mut cut = TlsClient::open(daemon.addr(), &config, "/");
        cut.stream
            .sock
            .write_all(&[23, 3, 3, 0, 100, 1, 2, 3])
            .unwrap();
        cut.stream.sock.shutdown(Shutdown::Write).unwrap();
        drop(rest_of(cut.stream.sock));
        let mut cut = TcpStream::connect(daemon.addr()).unwrap();
        cut.write_all(&[22, 3, 1, 0, 100, 1]).unwrap();
        cut.shutdown(Shutdown::Write).unwrap();
        drop(rest_of(cut));

        // A record that is forged.
        let mut forged = TlsClient::open(daemon.addr(), &config, "/");
        let mut record = vec![23, 3, 3, 0, 100];
        record.extend(noise(100));
        forged.stream.sock.write_all(&record).unwrap();
        assert!(forged.more().is_err(), "an alert");
    }
    eventually("the end of every connection", || files() == before);
}

#[test]
fn a_handshake_has_as_long_as_a_request() {
    let ground = Ground::new();
    let daemon = ground.echo(&["--workers", "1", "--handshake-timeout", "1"]);
    let mut begun = TcpStream::connect(daemon.addr()).unwrap();
    begun.write_all(&[22, 3, 1, 2, 0, 1, 0]).unwrap();
    let silent = TcpStream::connect(daemon.addr()).unwrap();
    // The session is there, and no request comes.
    let mute = TlsClient::connect(daemon.addr(), &ground.client(), HOST).unwrap();
    let mut half = TlsClient::connect(daemon.addr(), &ground.client(), HOST).unwrap();
    half.send(b"GET / HTTP/1.1\r\n");
    assert_eq!(half.answer().0, 408);
    half.expect_end();
    for socket in [begun, silent, mute.stream.sock] {
        drop(rest_of(socket));
    }
}

/// A subscriber whose kernel takes little for it.
fn narrow(addr: SocketAddr, config: &ClientConfig, target: &str) -> TlsClient {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&addr.into()).unwrap();
    let client = TlsClient::over(socket.into(), config, HOST).unwrap();
    client.upgraded(target)
}

#[test]
fn a_subscriber_that_reads_nothing_is_bounded_and_closed() {
    const PUBLICATIONS: usize = 1500;
    let ground = Ground::new();
    let websocket = "[websocket]\nmax_output_bytes = 262144\nsend_timeout = 60\nclose_timeout = 60";
    let server = ground.serve("workers = 1", websocket);
    for version in VERSIONS {
        let config = ground.authority.trusted(&[version], None);
        let subscribe = || narrow(server.addr(), &config, "/raw/open:a");
        let mut slow: Vec<TlsClient> = (0..3).map(|_| subscribe()).collect();
        let mut publisher = TlsClient::open(server.addr(), &config, "/raw/open:a");
        let payload = |n: usize| format!("{n:06} {}", "x".repeat(16 << 10));
        for n in 0..PUBLICATIONS {
            publisher.say(&Frame::text(payload(n)));
            publisher.expect(payload(n).as_bytes());
        }
        for client in &mut slow {
            let mut next = 0;
            loop {
                let frame = client.frame().expect("a close in front of the end");
                if frame.opcode == CLOSE {
                    assert_eq!(frame.payload[..2], 3008_u16.to_be_bytes());
                    break;
                }
                assert!(frame.payload == payload(next).as_bytes(), "{next}");
                next += 1;
            }
            assert!((1..PUBLICATIONS).contains(&next), "{next} came");
            client.say(&Frame::close(1000, ""));
            client.expect_end();
        }
        publisher.say(&Frame::text("after"));
        publisher.expect(b"after");
    }
}

#[test]
fn a_stop_closes_sessions_properly() {
    let ground = Ground::new();
    let daemon = ground.echo(&["--workers", "2"]);
    let mut clients: Vec<_> = (0..4)
        .map(|_| TlsClient::open(daemon.addr(), &ground.client(), "/"))
        .collect();
    daemon.terminate().unwrap();
    for client in &mut clients {
        let close = client.frame().expect("a close frame");
        assert_eq!(close.payload[..2], 1001_u16.to_be_bytes());
        client.say(&Frame::close(1001, ""));
        client.expect_end();
    }
    drop(clients);
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn openssl_understands_it() {
    let ground = Ground::new();
    let ca = ground.folder.write("ca.pem", &ground.authority.pem);
    let echo = ground.echo(&["--workers", "1"]);
    let server = ground.serve("workers = 1", "");
    for version in ["-tls1_2", "-tls1_3"] {
        for addr in [echo.addr(), server.addr()] {
            let mut client = Command::new("openssl")
                .args([
                    "s_client",
                    "-connect",
                    &addr.to_string(),
                    "-servername",
                    HOST,
                ])
                .args([
                    "-CAfile",
                    &ca,
                    "-verify_return_error",
                    "-verify_hostname",
                    HOST,
                ])
                .args(["-alpn", "http/1.1", version, "-ign_eof"])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .expect("Debian's openssl");
            let mut stdin = client.stdin.take().unwrap();
            stdin
                .write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            let output = client.wait_with_output().unwrap();
            drop(stdin);
            let text = String::from_utf8_lossy(&output.stdout);
            let case = format!(
                "{version}: {text} {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(output.status.success(), "{case}");
            assert!(text.contains("HTTP/1.1 200 OK"), "{case}");
            assert!(text.contains("ALPN protocol: http/1.1"), "{case}");
        }
    }
}

#[test]
fn loadgen_finds_every_message_again() {
    let ground = Ground::new();
    let ca = ground.folder.write("ca.pem", &ground.authority.pem);
    let daemon = ground.echo(&["--workers", "2"]);
    let output = Command::new(loadgen())
        .args(["echo", &format!("wss://{}/", daemon.addr()), "--ca", &ca])
        .args([
            "--connections",
            "50",
            "--duration",
            "1",
            "--warmup",
            "0",
            "--json",
        ])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["messages"].as_u64().unwrap() > 100, "{report}");
}
