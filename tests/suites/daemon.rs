//! The life of `fanfare echo`: flags, limits, timeouts, faults of peers and of the machine, signals.
//!
//! Never: tests framing (see the catalogue).
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use fanfare_tests::clock;
use fanfare_tests::daemon::{Daemon, binary};
use fanfare_tests::drivers::live_server::upgrade_request;
use fanfare_tests::wire::{self, CLOSE, Frame, Head, PING, Received, Sender};

const PATIENCE: Duration = Duration::from_secs(10);

/// A client that reads frames one at a time.
struct Client {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Client {
    fn connect(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            received: Vec::new(),
        }
    }

    fn open(addr: SocketAddr) -> Self {
        let mut client = Self::connect(addr);
        client.send(upgrade_request().as_bytes());
        assert_eq!(client.head().unwrap().status(), Some(101));
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    fn say(&mut self, frame: &Frame) {
        self.send(&frame.encode(Sender::Client));
    }

    /// More bytes; `None` at the end of the stream, however it ended.
    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 64 << 10];
        match self.socket.read(&mut buffer) {
            Ok(0) => None,
            Ok(n) => {
                self.received.extend_from_slice(&buffer[..n]);
                Some(())
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no end and no bytes: {error}"),
        }
    }

    fn head(&mut self) -> Option<Head> {
        loop {
            if let Some(head) = wire::read_head(&self.received) {
                self.received.drain(..head.len);
                return Some(head);
            }
            self.more()?;
        }
    }

    fn frame(&mut self) -> Option<Received> {
        loop {
            if let Some((frame, len)) = wire::read_frame(&self.received, Sender::Server).unwrap() {
                self.received.drain(..len);
                return Some(frame);
            }
            self.more()?;
        }
    }

    #[track_caller]
    fn expect_close(&mut self, code: u16) {
        let frame = self.frame().expect("a close frame");
        assert_eq!(
            (frame.opcode, &frame.payload[..2]),
            (CLOSE, &code.to_be_bytes()[..])
        );
    }

    #[track_caller]
    fn expect_end(&mut self) {
        while self.more().is_some() {}
        assert_eq!(self.received, b"", "more than was expected");
    }

    #[track_caller]
    fn expect_echo(&mut self, text: &str) {
        self.say(&Frame::text(text));
        assert_eq!(self.frame().unwrap().payload, text.as_bytes());
    }
}

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .args(args)
        .stdin(Stdio::null())
        .env_remove("RUST_LOG");
    command.output().unwrap()
}

#[track_caller]
fn assert_one_line(output: &Output, code: i32, named: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(named), "{stderr}");
    assert_eq!(output.stdout, b"");
}

#[test]
fn bad_usage_exits_2_with_one_line_that_names_it() {
    assert_one_line(&run(&["echo", "--frobnicate"]), 2, "--frobnicate");
    assert_one_line(&run(&["echo", "--workers", "none"]), 2, "--workers");
    assert_one_line(&run(&["echo", "--listen", "127.0.0.1"]), 2, "--listen");
    assert_one_line(&run(&["dance"]), 2, "dance");
    assert_one_line(&run(&[]), 2, "subcommand");
}

#[test]
fn help_shows_an_example_and_exits_0() {
    let output = run(&["echo", "--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        help.contains("fanfare echo --listen 127.0.0.1:9001"),
        "{help}"
    );
}

#[test]
fn a_port_in_use_is_named_whoever_uses_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for workers in ["1", "2"] {
        let output = run(&["echo", "--listen", &addr, "--workers", workers]);
        assert_one_line(&output, 1, &addr);
    }
    // Another daemon, whose listeners would be willing to share.
    let other = Daemon::echo(&["--workers", "2"]).unwrap();
    let addr = other.addr().to_string();
    for workers in ["1", "2"] {
        let output = run(&["echo", "--listen", &addr, "--workers", workers]);
        assert_one_line(&output, 1, &addr);
    }
}

#[test]
fn more_connections_than_descriptors_are_refused_before_the_start() {
    let output = run(&[
        "echo",
        "--listen",
        "127.0.0.1:0",
        "--max-connections",
        "999999999",
    ]);
    assert_one_line(&output, 1, "ulimit -n");
}

#[test]
fn health_is_200_and_other_plain_http_426() {
    let daemon = Daemon::echo(&[]).unwrap();
    let mut client = Client::connect(daemon.addr());
    client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), Some(200));
    let mut client = Client::connect(daemon.addr());
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!(head.status(), Some(426));
    assert!(head.lists("Upgrade", "websocket") && head.lists("Connection", "close"));
}

#[test]
fn sigterm_closes_1001_and_exits_0() {
    let daemon = Daemon::echo(&["--workers", "2"]).unwrap();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::open(daemon.addr())).collect();
    let mut half_open = Client::connect(daemon.addr());
    half_open.send(b"GET / HTTP/1.1\r\n");
    daemon.terminate().unwrap();
    for client in &mut clients {
        client.expect_close(1001);
        client.say(&Frame::text("too late"));
        client.say(&Frame::close(1001, ""));
        client.expect_end();
    }
    half_open.expect_end();
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn a_peer_that_ignores_the_close_delays_the_exit_no_longer_than_the_drain_timeout() {
    let daemon = Daemon::echo(&["--drain-timeout", "0.5", "--close-timeout", "60"]).unwrap();
    let mut deaf = Client::open(daemon.addr());
    let started = clock::now();
    daemon.terminate().unwrap();
    deaf.expect_close(1001);
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    let took = clock::now() - started;
    assert!(
        took >= Duration::from_millis(400),
        "it did not wait: {took:?}"
    );
    assert!(took < PATIENCE, "it waited for the peer: {took:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let daemon = Daemon::echo(&["--drain-timeout", "60", "--close-timeout", "60"]).unwrap();
    let mut deaf = Client::open(daemon.addr());
    daemon.terminate().unwrap();
    deaf.expect_close(1001);
    daemon.terminate().unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(128 + 15));
}

#[test]
fn half_a_request_gets_408_and_none_gets_nothing() {
    let daemon = Daemon::echo(&["--handshake-timeout", "0.2"]).unwrap();
    let mut silent = Client::connect(daemon.addr());
    let mut half = Client::connect(daemon.addr());
    half.send(b"GET / HTTP/1.1\r\nHost: loc");
    assert_eq!(half.head().unwrap().status(), Some(408));
    silent.expect_end();
}

#[test]
fn a_silent_peer_is_pinged_and_closed_1011_unless_it_answers() {
    let daemon = Daemon::echo(&["--ping-interval", "0.1", "--pong-timeout", "0.3"]).unwrap();
    let mut dead = Client::open(daemon.addr());
    let mut alive = Client::open(daemon.addr());
    for _ in 0..5 {
        assert_eq!(alive.frame().unwrap().opcode, PING);
        alive.say(&Frame::pong(""));
    }
    assert_eq!(dead.frame().unwrap().opcode, PING);
    dead.expect_close(1011);
    alive.received.clear();
    alive.say(&Frame::close(1000, ""));
}

#[test]
fn data_and_fin_in_one_edge_are_both_seen() {
    let daemon = Daemon::echo(&["--workers", "1"]).unwrap();
    for _ in 0..50 {
        let mut client = Client::open(daemon.addr());
        client.say(&Frame::text("last words"));
        client.socket.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.frame().unwrap().payload, b"last words");
        client.expect_end();
    }
}

#[test]
fn the_largest_message_comes_back_and_one_byte_more_is_1009() {
    let max = 1 << 20;
    let daemon = Daemon::echo(&["--max-message-bytes", &max.to_string()]).unwrap();
    let mut client = Client::open(daemon.addr());
    let payload: Vec<u8> = (0..=250).cycle().take(max).collect();
    client.say(&Frame::binary(payload.clone()));
    assert_eq!(client.frame().unwrap().payload, payload);
    client.say(&Frame::binary(vec![0; max + 1]).declaring(max as u64 + 1));
    client.expect_close(1009);
}

#[test]
fn a_peer_that_writes_first_and_reads_later_gets_everything_in_order() {
    let daemon = Daemon::echo(&["--workers", "1", "--max-output-bytes", "4096"]).unwrap();
    let client = Client::open(daemon.addr());
    let mut writer = client.socket.try_clone().unwrap();
    let messages = 20_000_u32;
    // More than the kernel's buffers hold: the writer is stopped by back-pressure until we read.
    let writing = std::thread::spawn(move || {
        for number in 0..messages {
            let payload = number.to_be_bytes().repeat(256);
            writer
                .write_all(&Frame::binary(payload).encode(Sender::Client))
                .unwrap();
        }
    });
    let mut reader = client;
    for number in 0..messages {
        let frame = reader.frame().expect("all of them");
        assert_eq!(
            frame.payload,
            number.to_be_bytes().repeat(256),
            "message {number}"
        );
    }
    writing.join().unwrap();
}

#[test]
fn a_peer_that_never_reads_costs_its_cap_and_is_cut_off() {
    let daemon = Daemon::echo(&["--workers", "1", "--send-timeout", "1"]).unwrap();
    let mut other = Client::open(daemon.addr());
    let before = daemon.resident_kib().unwrap();
    let flood = Frame::ping(vec![b'x'; 125])
        .encode(Sender::Client)
        .repeat(1000);
    let mut deaf = Client::open(daemon.addr());
    deaf.socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut sent = 0;
    // Until the daemon cuts it off: a reset fails the write, sooner or later.
    while deaf.socket.write_all(&flood).is_ok() {
        sent += flood.len();
        assert!(sent < 1 << 30, "the daemon takes a flood for ever");
        let grown = daemon.resident_kib().unwrap().saturating_sub(before);
        assert!(grown < 4096, "{grown} KiB after {sent} bytes");
        other.expect_echo("still served");
    }
    other.expect_echo("served after it");
}

#[test]
fn a_declared_length_allocates_nothing() {
    let daemon = Daemon::echo(&["--workers", "1"]).unwrap();
    let mut clients: Vec<Client> = (0..100).map(|_| Client::open(daemon.addr())).collect();
    let before = daemon.resident_kib().unwrap();
    for client in &mut clients {
        client.say(&Frame::binary("just this").declaring(16 << 20));
    }
    Client::open(daemon.addr()).expect_echo("behind them");
    let grown = daemon.resident_kib().unwrap().saturating_sub(before);
    assert!(grown < 2048, "{grown} KiB for 100 promises of 16 MiB");
}

#[test]
fn past_the_cap_503_and_a_place_that_is_left_is_taken() {
    let daemon = Daemon::echo(&["--workers", "1", "--max-connections", "4"]).unwrap();
    // The probe that waited for the daemon to listen may still hold a place.
    let mut served = Vec::new();
    let refused = loop {
        let mut client = Client::connect(daemon.addr());
        client.send(upgrade_request().as_bytes());
        let head = client.head().unwrap();
        match head.status() {
            Some(101) => served.push(client),
            Some(503) => break head,
            other => panic!("{other:?}"),
        }
    };
    assert!((3..=4).contains(&served.len()), "{}", served.len());
    assert_eq!(refused.all("Retry-After").count(), 1);
    let mut leaving = served.pop().unwrap();
    leaving.say(&Frame::close(1000, ""));
    leaving.expect_close(1000);
    leaving.expect_end();
    drop(leaving);
    open_when_there_is_a_place(daemon.addr());
}

/// Places become free when the daemon reads a FIN, which races with our connection.
fn open_when_there_is_a_place(addr: SocketAddr) -> Client {
    let deadline = clock::now() + PATIENCE;
    loop {
        let mut client = Client::connect(addr);
        client.send(upgrade_request().as_bytes());
        match client.head().and_then(|head| head.status()) {
            Some(101) => return client,
            Some(503) | None => assert!(clock::now() < deadline, "no place becomes free"),
            other => panic!("{other:?}"),
        }
    }
}

/// A child that does not outlive a failed test.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn out_of_descriptors_it_lives_and_serves_again() {
    let script = format!("ulimit -n 90 && exec {} \"$@\"", binary().display());
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut child = Kept(
        Command::new("sh")
            .args(["-c", &script, "sh", "echo", "--workers", "1"])
            .args(["--listen", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut log = io::BufReader::new(child.0.stderr.take().unwrap());
    let mut line = String::new();
    let mut wait_for = |word: &str| {
        while !line.contains(word) {
            line.clear();
            assert_ne!(
                io::BufRead::read_line(&mut log, &mut line).unwrap(),
                0,
                "no {word}"
            );
        }
    };
    wait_for("listening");
    let crowd: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(port).unwrap())
        .collect();
    wait_for("not accepting for a moment");
    drop(crowd);
    open_when_there_is_a_place(port).expect_echo("after the crowd");
    let pid = rustix::process::Pid::from_child(&child.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}
