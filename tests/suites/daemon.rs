//! The life of `fanfare echo`: flags, limits, timeouts, faults of peers and of the machine, signals.
//!
//! Never: tests framing (see the catalogue).
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use fanfare_tests::binaries::fanfare;
use fanfare_tests::client::{Client, PATIENCE};
use fanfare_tests::clock;
use fanfare_tests::daemon::Daemon;
use fanfare_tests::drivers::live_server::upgrade_request;
use fanfare_tests::wire::{Frame, PING, Sender};

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(fanfare());
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
    for wanted in ["999999999", "18446744073709551615"] {
        let flags = [
            "echo",
            "--listen",
            "127.0.0.1:0",
            "--max-connections",
            wanted,
        ];
        assert_one_line(&run(&flags), 2, "--max-connections");
    }
}

#[test]
fn no_log_level_silences_why_it_does_not_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let flags = ["echo", "--listen", &addr, "--log-level", "off"];
    assert_one_line(&run(&flags), 1, &addr);
    let mut command = Command::new(fanfare());
    command
        .args(["echo", "--listen", &addr])
        .env("RUST_LOG", "hyper=debug");
    assert_one_line(&command.output().unwrap(), 1, &addr);
}

#[test]
fn health_is_200_and_other_plain_http_426() {
    let daemon = Daemon::echo(&[]).unwrap();
    let answer = |request: &[u8]| {
        let mut client = Client::connect(daemon.addr());
        client.send(request);
        let head = client.head().unwrap();
        while client.more().is_some() {}
        (head, client.received)
    };
    let (head, body) = answer(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.status(), &body[..]), (Some(200), &b"ok\n"[..]));
    let (head, body) = answer(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.status(), &body[..]), (Some(200), &b""[..]));
    let (head, _) = answer(b"DELETE /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(head.status(), Some(405));
    assert!(head.lists("Allow", "GET") && head.lists("Allow", "HEAD"));
    for request in ["GET / HTTP/1.1", "POST /x HTTP/1.1", "GET / HTTP/1.0"] {
        let (head, _) = answer(format!("{request}\r\nHost: localhost\r\n\r\n").as_bytes());
        assert_eq!(head.status(), Some(426), "{request}");
        assert!(head.lists("Upgrade", "websocket") && head.lists("Connection", "close"));
    }
}

#[test]
fn thousands_of_subprotocols_are_refused() {
    let daemon = Daemon::echo(&[]).unwrap();
    let offers: Vec<String> = (0..2500).map(|n| n.to_string()).collect();
    let offers = format!("Sec-WebSocket-Protocol: {}\r\n\r\n", offers.join(","));
    let mut client = Client::connect(daemon.addr());
    client.send(upgrade_request().replace("\r\n\r\n", "\r\n").as_bytes());
    client.send(offers.as_bytes());
    assert_eq!(client.head().unwrap().status(), Some(400));
}

#[test]
fn either_signal_closes_1001_and_exits_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let daemon = Daemon::echo(&["--workers", "2"]).unwrap();
        let mut clients: Vec<Client> = (0..20).map(|_| Client::open(daemon.addr())).collect();
        let mut half_open = Client::connect(daemon.addr());
        half_open.send(b"GET / HTTP/1.1\r\n");
        daemon.signal(signal).unwrap();
        for client in &mut clients {
            client.expect_close(1001);
            client.say(&Frame::text("too late"));
            client.say(&Frame::ping("still owed an answer"));
            assert_eq!(client.frame().unwrap().payload, b"still owed an answer");
            client.say(&Frame::close(1001, ""));
            client.expect_end();
        }
        half_open.expect_end();
        assert_eq!(daemon.wait().unwrap().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn a_lost_stderr_does_not_keep_it_from_closing() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut child = Kept(
        Command::new(fanfare())
            .args([
                "echo",
                "--listen",
                &port.to_string(),
                "--log-level",
                "trace",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut log = io::BufReader::new(child.0.stderr.take().unwrap());
    io::BufRead::read_line(&mut log, &mut String::new()).unwrap(); // it listens
    drop(log);
    let mut client = Client::open(port);
    client.expect_echo("nobody reads the log");
    child.signal(Signal::TERM);
    client.expect_close(1001);
    client.say(&Frame::close(1001, ""));
    client.expect_end();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
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
    // dotnet and HAProxy once hung here: no further event comes for the FIN.
    let daemon = Daemon::echo(&["--workers", "1", "--ping-interval", "0"]).unwrap();
    for len in [0, 5, 1_000, 16_384, 100_000] {
        for frames in 1..4 {
            let mut client = Client::open(daemon.addr());
            // While it is stopped, all of it becomes one edge.
            daemon.signal(Signal::STOP).unwrap();
            for _ in 0..frames {
                client.say(&Frame::binary(vec![1; len]));
            }
            client.socket.shutdown(Shutdown::Write).unwrap();
            daemon.signal(Signal::CONT).unwrap();
            for frame in 0..frames {
                let echo = client
                    .frame()
                    .unwrap_or_else(|| panic!("{frame} of {frames} x {len}"));
                assert_eq!(echo.payload.len(), len);
            }
            client.expect_end();
        }
    }
}

#[test]
fn a_slow_reader_gets_everything_before_the_close() {
    let daemon = Daemon::echo(&["--close-timeout", "0.2", "--workers", "1"]).unwrap();
    let mut client = Client::open(daemon.addr());
    let payload: Vec<u8> = (0..=250).cycle().take(12 << 20).collect();
    client.say(&Frame::binary(payload.clone()));
    client.say(&Frame::close(1000, ""));
    // Longer in all than the close timeout; some of it is taken all the time.
    while client.received.len() < 2 << 20 {
        client.more().expect("more to come");
        std::thread::sleep(Duration::from_millis(20)); // what makes it slow
    }
    assert!(
        client.frame().unwrap().payload == payload,
        "not what was sent"
    );
    client.expect_close(1000);
    client.expect_end();
}

#[test]
fn the_limits_of_frames_and_fragments_are_1009() {
    let daemon = Daemon::echo(&["--max-frame-bytes", "1000", "--max-fragments", "3"]).unwrap();
    let mut client = Client::open(daemon.addr());
    client.say(&Frame::binary(vec![0; 1000]));
    assert_eq!(client.frame().unwrap().payload.len(), 1000);
    client.say(&Frame::binary("").declaring(1001));
    client.expect_close(1009);
    let mut client = Client::open(daemon.addr());
    client.say(&Frame::binary("").not_final());
    for _ in 0..3 {
        client.say(&Frame::continuation("").not_final());
    }
    client.expect_close(1009);
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
    let mut health = Client::connect(daemon.addr());
    health.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(
        health.head().unwrap().status(),
        Some(200),
        "full is not dead"
    );
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

impl Kept {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn out_of_descriptors_it_lives_and_serves_again() {
    let script = format!("ulimit -n 100 && exec {} \"$@\"", fanfare().display());
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
    child.signal(Signal::TERM);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

/// What is due and never done would keep a worker awake for nothing.
#[test]
fn an_idle_daemon_uses_no_cpu() {
    let echo = Daemon::echo(&["--workers", "2"]).unwrap();
    let serve = Daemon::serve("workers = 2", &[]).unwrap();
    let ticks = || [&echo, &serve].map(|daemon| daemon.cpu_ticks().unwrap());
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    for (before, after) in before.into_iter().zip(ticks()) {
        // A hundred a second is one CPU in use.
        assert!(after - before < 20, "{} ticks", after - before);
    }
}
