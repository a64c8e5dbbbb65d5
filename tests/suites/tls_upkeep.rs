//! What sessions of TLS keep, and what is counted of them, against the live daemon.
//!
//! Never: takes memory for given back that was never taken.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]
#![allow(clippy::print_stdout, reason = "the suite prints what it has measured")]

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use fanfare_tests::client::PATIENCE;
use fanfare_tests::daemon::Daemon;
use fanfare_tests::folder::Folder;
use fanfare_tests::http::Http;
use fanfare_tests::push::eventually;
use fanfare_tests::read::read;
use fanfare_tests::tls::{Authority, HOST, Secured, TlsClient, certificates, put};
use fanfare_tests::wire::{Frame, Sender};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use socket2::{Domain, Socket, Type};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// An open WebSocket whose kernel takes little for it.
fn narrow(addr: SocketAddr, config: &ClientConfig) -> TlsClient {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&addr.into()).unwrap();
    let client = TlsClient::over(socket.into(), config, HOST).unwrap();
    client.upgraded("/")
}

fn noise(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(len as u64);
    (0..len).map(|_| random.u8(..)).collect()
}

fn allocated_kib(daemon: &Daemon) -> u64 {
    daemon.anonymous_kib().expect("/proc tells")
}

/// Clients that read nothing have large echoes wait for them, and half a record of each waits for its rest; then
/// all is read, and nothing of it is kept.
#[test]
fn an_idle_session_gives_back_what_large_messages_took() {
    const CLIENTS: usize = 150;
    const MESSAGE_BYTES: usize = 300_000;
    let (folder, authority) = (Folder::new(), Authority::new());
    put(&folder, "a", &authority.sign(&[HOST]));
    let (certificate, key) = (folder.path("a.crt"), folder.path("a.key"));
    let files = ["--tls-certificate", &certificate, "--tls-key", &key];
    // What is freed goes back to the system at once, but for what is small: else the allocator keeps more of it.
    let allocator = [
        ("MALLOC_MMAP_THRESHOLD_", "4096"),
        ("MALLOC_TRIM_THRESHOLD_", "65536"),
    ];
    let daemon = Daemon::echo_in(&[&files[..], &["--workers", "1"]].concat(), &allocator).unwrap();
    for version in VERSIONS {
        let config = authority.trusted(&[version], None);
        let open = |_| narrow(daemon.addr(), &config);
        let mut clients: Vec<_> = (0..CLIENTS).map(open).collect();
        let (message, small) = (noise(MESSAGE_BYTES), noise(16_000));
        let large = Frame::binary(message.clone()).encode(Sender::Client);
        let cut = Frame::binary(small.clone()).encode(Sender::Client);
        let before = allocated_kib(&daemon);
        let mut held_back = Vec::new();
        for client in &mut clients {
            client.send(&large);
            client.stream.conn.writer().write_all(&cut).unwrap();
            let mut record = Vec::new();
            client.stream.conn.write_tls(&mut record).unwrap();
            let rest = record.split_off(record.len() / 2);
            client.stream.sock.write_all(&record).unwrap();
            held_back.push(rest);
        }
        // What the kernel does not keep is the daemon's.
        let all = (CLIENTS * MESSAGE_BYTES / 1024) as u64;
        let is_taken = || allocated_kib(&daemon) > before + all / 4;
        eventually("memory that is taken", is_taken);
        for (client, rest) in clients.iter_mut().zip(held_back) {
            client.stream.sock.write_all(&rest).unwrap();
            client.expect(&message);
            client.expect(&small);
        }
        // What is small stays with the allocator, a tenth at times. Unit tests look at each buffer of a session.
        let slack = all / 4;
        let left = allocated_kib(&daemon).saturating_sub(before);
        println!("{left} of {all} KiB are left");
        assert!(left < slack, "{left} of {all} KiB are left");
    }
}

/// Sends this and FIN, and waits until the server has ended it.
fn says(addr: SocketAddr, bytes: &[u8]) {
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(bytes).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    loop {
        match read(&mut socket, &mut [0; 4096]) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("no end: {error}"),
        }
    }
}

#[test]
fn handshakes_are_counted_by_version_and_by_what_was_wrong() {
    let (folder, authority) = (Folder::new(), Authority::new());
    put(&folder, "a", &authority.sign(&[HOST]));
    let server = Secured::serve(&format!(
        "workers = 2\necho = true\n[tls]\n{}\n[api]\nlisten = \"{{api}}\"",
        certificates(&folder, &["a"])
    ));
    let open = [&TLS12, &TLS13, &TLS13].map(|version| {
        let config = authority.trusted(&[version], None);
        TlsClient::open(server.addr(), &config, "/echo")
    });
    says(server.addr(), b"GET / HTTP/1.1\r\n\r\n");
    says(server.addr(), &[22, 3, 1, 0, 4, 9, 9, 9, 9]);
    says(server.addr(), &[22, 3, 1, 2, 0, 1]); // a part of what it announces
    says(server.addr(), &[]); // as a balancer looks at a port
    for _ in 0..2 {
        let stranger = Authority::new().trusted(&VERSIONS, None);
        assert!(TlsClient::connect(server.addr(), &stranger, HOST).is_err());
    }

    let failed = |cause| format!("fanfare_tls_handshakes_failed_total{{cause=\"{cause}\"}}");
    let completed = |version| format!("fanfare_tls_handshakes_total{{version=\"{version}\"}}");
    let expected = [
        (completed("1.2"), 1),
        (completed("1.3"), 2),
        (failed("plain_http"), 1),
        (failed("malformed"), 1),
        (failed("alert"), 2),
        (failed("unfinished"), 1),
        (failed("incompatible"), 0),
        (failed("client_certificate"), 0),
    ]
    .map(|(sample, count)| format!("{sample} {count}"));
    let are_there = || {
        let answer = Http::connect(server.api).request("GET /metrics", &[], b"");
        let text = answer.text();
        expected.iter().all(|line| text.lines().any(|l| l == line))
    };
    eventually(&format!("{expected:#?}"), are_there);
    drop(open);
}
