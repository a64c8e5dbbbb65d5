//! Peers that misbehave over time, against the daemon: what they cost stays bounded, and they are let go
//! when their time is up. What one script of bytes can show is in the catalogue.
//!
//! Never: waits for a fixed time to pass; each wait ends with an event or fails.

use fanfare_tests::clock;
use fanfare_tests::daemon::Daemon;
use fanfare_tests::drivers::live_server::{LiveConnection, upgrade_request};
use fanfare_tests::drivers::{Came, Endpoint, Patience};
use fanfare_tests::wire::{self, CLOSE, Frame, Received, Sender};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// Nothing here takes longer than this unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// The daemon may grow by this much for a peer that costs what its caps allow.
const GROWTH_KIB_MAX: u64 = 16 * 1024;

/// A client that reads frames.
struct Peer {
    connection: LiveConnection,
    received: Vec<u8>,
}

impl Peer {
    fn open(addr: SocketAddr) -> Self {
        let connection = LiveConnection::open(addr).expect("an open connection");
        Self {
            connection,
            received: Vec::new(),
        }
    }

    fn send(&mut self, frame: &Frame) {
        self.connection.send(&frame.encode(Sender::Client));
    }

    /// The next frame; `None` at the end of the connection.
    fn frame(&mut self) -> Option<Received> {
        let deadline = clock::now() + PATIENCE;
        loop {
            if let Some((frame, len)) =
                wire::read_frame(&self.received, Sender::Server).expect("legal")
            {
                self.received.drain(..len);
                return Some(frame);
            }
            match self.connection.receive(&mut self.received, Patience::Long) {
                Came::End => return None,
                _ => assert!(clock::now() < deadline, "neither a frame nor the end"),
            }
        }
    }

    fn close_code(&mut self) -> Option<u16> {
        let frame = self.frame()?;
        assert_eq!(frame.opcode, CLOSE, "{frame:?}");
        Some(u16::from_be_bytes([frame.payload[0], frame.payload[1]]))
    }

    fn assert_echoes(&mut self) {
        self.send(&Frame::text("still here"));
        assert_eq!(self.frame().expect("an echo").payload, b"still here");
    }
}

/// Writes copies of `bytes` until the daemon takes no more for a while, or `bytes_max`.
fn flood(connection: &LiveConnection, bytes: &[u8], bytes_max: usize) -> usize {
    let mut stream = connection.stream().expect("connected");
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .expect("a timeout");
    let block = bytes.repeat(1 + 64 * 1024 / bytes.len());
    let mut sent = 0;
    while sent < bytes_max {
        match stream.write(&block[sent % bytes.len()..]) {
            Ok(n) => sent += n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            // Past its caps the daemon may also let such a peer go.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ) =>
            {
                break;
            }
            Err(error) => panic!("after {sent} bytes: {error}"),
        }
    }
    sent
}

fn assert_grew_little(daemon: &Daemon, before: Option<u64>, what: &str) {
    if let (Some(before), Some(now)) = (before, daemon.resident_kib()) {
        assert!(
            now < before + GROWTH_KIB_MAX,
            "{what}: from {before} to {now} KiB resident"
        );
    }
}

#[test]
fn s10_4_a_flood_from_a_peer_that_never_reads_costs_bounded_memory() {
    let daemon = Daemon::echo(&["--workers", "1", "--ping-interval", "0"]).expect("a daemon");
    let mut other = Peer::open(daemon.addr());
    other.assert_echoes();
    let before = daemon.resident_kib();
    for (what, frame) in [
        ("pings", Frame::ping([7; 125])),
        ("empty pings", Frame::ping("")),
        ("texts", Frame::text("x".repeat(3_000))),
    ] {
        let deaf = LiveConnection::open(daemon.addr()).expect("an open connection");
        let sent = flood(&deaf, &frame.encode(Sender::Client), 48 << 20);
        assert!(sent > 100_000, "{what}: only {sent} bytes were taken");
        assert_grew_little(
            &daemon,
            before,
            &format!("{sent} bytes of {what}, none of the answers read"),
        );
        other.assert_echoes(); // the same worker serves others meanwhile
    }
}

#[test]
fn s10_4_a_declared_length_costs_nothing_until_it_arrives() {
    let gib = (1_u64 << 30).to_string();
    let flags = [
        "--workers",
        "1",
        "--max-frame-bytes",
        &gib,
        "--max-message-bytes",
        &gib,
    ];
    let daemon = Daemon::echo(&flags).expect("a daemon");
    Peer::open(daemon.addr()).assert_echoes();
    let before = daemon.resident_kib();
    let mut peers: Vec<Peer> = (0..100).map(|_| Peer::open(daemon.addr())).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        let frame = if n % 2 == 0 {
            Frame::text("ten bytes.")
        } else {
            Frame::binary("ten bytes.")
        };
        peer.send(&frame.declaring(1 << 30));
    }
    // They have been read when a later connection of the same worker is answered.
    Peer::open(daemon.addr()).assert_echoes();
    assert_grew_little(
        &daemon,
        before,
        "100 frames of 1 GiB declared, 10 bytes each sent",
    );
}

#[test]
fn s4_a_request_that_never_ends_is_cut_off() {
    let daemon = Daemon::echo(&["--workers", "1", "--handshake-timeout", "0.3"]).expect("a daemon");
    let request = upgrade_request();
    let half = &request.as_bytes()[..request.len() / 2];
    for drip in [false, true] {
        let start = clock::now();
        let mut connection = LiveConnection::connect(daemon.addr()).expect("a connection");
        let mut received = Vec::new();
        if !drip {
            connection.send(half);
        }
        let mut bytes = half.iter().cycle();
        loop {
            // A byte now and then must not put the end off.
            let patience = if drip {
                connection.send(&[*bytes.next().expect("endless")]);
                Patience::Short
            } else {
                Patience::Long
            };
            if connection.receive(&mut received, patience) == Came::End {
                break;
            }
            assert!(clock::now() - start < PATIENCE, "drip {drip}: still open");
        }
        let status = wire::read_head(&received).and_then(|head| head.status());
        assert!(
            matches!(status, None | Some(400 | 408)),
            "drip {drip}: {status:?}"
        );
        assert!(
            clock::now() - start >= Duration::from_millis(250),
            "drip {drip}: cut off too early"
        );
    }
}

#[test]
fn s7_1_2_a_stopping_daemon_tells_everyone_1001_and_ends() {
    let flags = [
        "--workers",
        "2",
        "--ping-interval",
        "0",
        "--close-timeout",
        "1",
    ];
    let daemon = Daemon::echo(&flags).expect("a daemon");
    let mut peers: Vec<Peer> = (0..20).map(|_| Peer::open(daemon.addr())).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        match n % 3 {
            0 => {}
            1 => peer.assert_echoes(),
            _ => peer.send(&Frame::text("never whole").not_final()),
        }
    }
    daemon.terminate().expect("it runs");
    for (n, peer) in peers.iter_mut().enumerate() {
        // A third of them closes at the same moment; its close and the daemon's may cross.
        if n % 3 == 0 {
            peer.send(&Frame::close(1000, "me too"));
        }
        let code = peer.close_code();
        assert!(
            code == Some(1001) || n % 3 == 0 && code == Some(1000),
            "peer {n}: {code:?}"
        );
        if n % 3 != 0 {
            peer.send(&Frame::close(1001, ""));
        }
        assert_eq!(
            peer.frame(),
            None,
            "peer {n}: nothing after the close but the end"
        );
    }
    assert!(daemon.wait().expect("it ends").success());
}

#[test]
fn s7_1_2_a_peer_that_never_answers_the_close_does_not_hold_the_daemon_up() {
    let flags = [
        "--workers",
        "1",
        "--ping-interval",
        "0",
        "--close-timeout",
        "0.3",
        "--drain-timeout",
        "3",
    ];
    let daemon = Daemon::echo(&flags).expect("a daemon");
    let mut silent = Peer::open(daemon.addr());
    let deaf = LiveConnection::open(daemon.addr()).expect("an open connection");
    flood(
        &deaf,
        &Frame::text("x".repeat(3_000)).encode(Sender::Client),
        48 << 20,
    );
    daemon.terminate().expect("it runs");
    assert_eq!(silent.close_code(), Some(1001));
    assert_eq!(silent.frame(), None);
    daemon
        .wait()
        .expect("it ends though two peers never answered");
}

#[test]
fn s7_1_peers_that_vanish_leave_nothing_behind() {
    let daemon = Daemon::echo(&["--workers", "2", "--ping-interval", "0"]).expect("a daemon");
    Peer::open(daemon.addr()).assert_echoes();
    let before = daemon.open_files();
    for n in 0..300_usize {
        let mut connection = LiveConnection::connect(daemon.addr()).expect("a connection");
        match n % 4 {
            0 => {}
            1 => connection.send(&upgrade_request().as_bytes()[..n % 100]),
            2 => connection = LiveConnection::open(daemon.addr()).expect("an open connection"),
            _ => {
                connection = LiveConnection::open(daemon.addr()).expect("an open connection");
                connection.send(&Frame::text("x".repeat(500)).encode(Sender::Client)[..n]);
            }
        }
        if n % 2 == 0 {
            connection.reset()
        } else {
            drop(connection)
        }
    }
    let deadline = clock::now() + PATIENCE;
    // Descriptors close in the daemon's own time: each echo is a turn of its loop.
    while daemon.open_files() > before.map(|files| files + 1) {
        assert!(
            clock::now() < deadline,
            "{:?} descriptors, {before:?} before",
            daemon.open_files()
        );
        Peer::open(daemon.addr()).assert_echoes();
    }
}
