//! Whom a connection is for: PROXY headers, X-Forwarded-For and Forwarded, of proxies that are trusted and of
//! others. What comes of it is seen by the backend, and in the log.
//!
//! Never: a real proxy (see `tests/interop`).
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use fanfare_tests::backend::{Answer, Backend};
use fanfare_tests::client::{Client, PATIENCE, upgrade};
use fanfare_tests::daemon::{Daemon, free_address};
use serde_json::json;

/// A server that asks a backend who comes, and tells it where from.
struct World {
    daemon: Daemon,
    backend: Backend,
    /// Where proxies speak the PROXY protocol.
    proxied: SocketAddr,
    /// There, too.
    socket: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket); // the daemon is killed
    }
}

impl World {
    fn new(trusted: &str) -> Self {
        let backend = Backend::start(|_| Answer::Json(json!({"result": {"user": "ada"}})));
        let proxied = free_address().unwrap();
        let name = format!("fanfare-proxies-{}-{}", std::process::id(), proxied.port());
        let socket = std::env::temp_dir().join(name);
        let place = format!("unix:{}", socket.display());
        let config = format!(
            "workers = 2\nlog_level = 'debug'\ntrusted_proxies = {trusted}\n\
             proxy_protocol = [\"{proxied}\", \"{place}\"]\n\
             [websocket]\nhandshake_timeout = 0.5\n\
             [default_namespace]\nallow_subscribe_for_client = true\n\
             [hooks]\nconnect = \"{}\"\n\
             headers = [\"X-Forwarded-For\", \"X-Real-IP\", \"Forwarded\", \"X-Other\"]\n",
            backend.url("/connect")
        );
        let flags = ["--listen", &proxied.to_string(), "--listen", &place];
        Self {
            daemon: Daemon::serve(&config, &flags).unwrap(),
            backend,
            proxied,
            socket,
        }
    }

    /// A connection to its socket file.
    fn connect_unix(&self) -> Client {
        let socket = UnixStream::connect(&self.socket).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client {
            socket: TcpStream::from(OwnedFd::from(socket)),
            received: Vec::new(),
        }
    }

    /// `client` asks to be let in, and is; what the backend was told of where it comes from.
    #[track_caller]
    fn origin_of(&self, client: &mut Client, headers: &[(&str, &str)]) -> [String; 3] {
        let before = self.backend.asked("/connect").len();
        client.send(upgrade("/raw/a", headers).as_bytes());
        assert_eq!(client.head().expect("an answer").status(), Some(101));
        let asked = self.backend.asked("/connect");
        let [asked] = &asked[before..] else {
            panic!("{} questions", asked.len() - before);
        };
        let one = |name: &str| asked.head.all(name).collect::<Vec<_>>().join(" | ");
        [one("X-Forwarded-For"), one("X-Real-IP"), one("Forwarded")]
    }
}

fn origin(ip: &str) -> [String; 3] {
    let forwarded = if ip.contains(':') {
        format!("for=\"[{ip}]\"")
    } else {
        format!("for={ip}")
    };
    [ip.into(), ip.into(), forwarded]
}

const V1: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 12345 80\r\n";

/// A header of version 2 with this command, family, and what follows.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    [&signature[..], &[0x20 | command, family], &len, body].concat()
}

/// 192.0.2.7 with an extension behind it.
fn v2_tcp4() -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0, 80];
    v2(1, 0x11, &[&addresses[..], &[2, 0, 1, b'a']].concat())
}

/// 2001:db8::7.
fn v2_tcp6() -> Vec<u8> {
    let mut addresses = [0; 36];
    addresses[..4].copy_from_slice(&[0x20, 1, 0x0D, 0xB8]);
    addresses[15] = 7;
    v2(1, 0x21, &addresses)
}

#[test]
fn a_proxys_header_says_whom_a_connection_is_for() {
    let world = World::new(r#"["127.0.0.1"]"#);
    let cases = [
        (V1.as_bytes().to_vec(), "192.0.2.7"),
        (
            b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n".to_vec(),
            "2001:db8::7",
        ),
        (b"PROXY UNKNOWN whatever\r\n".to_vec(), "127.0.0.1"),
        (v2_tcp4(), "192.0.2.7"),
        (v2_tcp6(), "2001:db8::7"),
        (v2(0, 0, b""), "127.0.0.1"),
        (v2(1, 0, b"what it is, nobody knows"), "127.0.0.1"),
    ];
    for (header, ip) in &cases {
        // With the request, in one piece.
        let mut client = Client::connect(world.proxied);
        let request = upgrade("/raw/a", &[]);
        let before = world.backend.asked("/connect").len();
        client.send(&[header, request.as_bytes()].concat());
        assert_eq!(
            client.head().expect("an answer").status(),
            Some(101),
            "{header:?}"
        );
        let asked = world.backend.asked("/connect");
        let told: Vec<&str> = asked[before].head.all("X-Forwarded-For").collect();
        assert_eq!(told, [*ip], "{header:?}");
        // Byte by byte.
        let mut client = Client::connect(world.proxied);
        for byte in header {
            client.send(&[*byte]);
        }
        assert_eq!(world.origin_of(&mut client, &[]), origin(ip), "{header:?}");
    }
    let log = world.daemon.log();
    let _ = log.wait_for("a client", 0, |line| line.contains("client=192.0.2.7 "));
    let _ = log.wait_for("a v6 client", 0, |line| {
        line.contains("client=2001:db8::7 ")
    });
    let _ = log.wait_for("its end", 0, |line| {
        line.contains("client=192.0.2.7") && line.contains("closed: ")
    });
}

#[test]
fn what_is_no_header_of_a_trusted_proxy_is_refused() {
    let world = World::new(r#"["127.0.0.1"]"#);
    let line = |text: &str| format!("{text}\r\n").into_bytes();
    for forged in [
        upgrade("/raw/a", &[]).into_bytes(),
        line("PROXY TCP4 192.0.2.7 198.51.100.1 12345"),
        line("PROXY TCP4 localhost 198.51.100.1 12345 80"),
        line("PROXY TCP4 192.0.2.7 198.51.100.1 65536 80"),
        [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 4096]].concat(),
        v2(2, 0x11, &[0; 12]),
        v2(1, 0x12, &[0; 12]),
        v2(1, 0x11, &[0; 11]),
        v2(1, 0x11, &[0; 60_000]),
    ] {
        let mut client = Client::connect(world.proxied);
        let what = String::from_utf8_lossy(&forged[..forged.len().min(80)]).into_owned();
        client.send(&forged);
        assert_eq!(
            client.head().expect("an answer").status(),
            Some(400),
            "{what}"
        );
        while client.more().is_some() {}
    }
    assert_eq!(world.backend.asked("/connect").len(), 0);
    let log = world.daemon.log();
    let _ = log.wait_for("a reason", 0, |line| {
        line.contains("does not begin with a PROXY header")
    });
}

#[test]
fn a_header_that_is_cut_off_is_no_connection() {
    let world = World::new(r#"["127.0.0.1"]"#);
    for header in [V1.as_bytes().to_vec(), v2_tcp4()] {
        for cut in [1, 5, 12, 16, header.len() - 1] {
            let mut client = Client::connect(world.proxied);
            client.send(&header[..cut]);
            client.socket.shutdown(Shutdown::Write).unwrap();
            client.expect_end();
            // Silence, till its time is over.
            let mut client = Client::connect(world.proxied);
            client.send(&header[..cut]);
            client.expect_end();
        }
    }
    let mut client = Client::connect(world.proxied);
    client.send(&v2_tcp4());
    assert_eq!(world.origin_of(&mut client, &[]), origin("192.0.2.7"));
}

#[test]
fn a_header_of_somebody_else_is_no_request() {
    let world = World::new(r#"["10.0.0.0/8"]"#);
    // As a request line, the first names a version of HTTP that there is not.
    for (header, status) in [(V1.as_bytes().to_vec(), 505), (v2_tcp4(), 400)] {
        let mut client = Client::connect(world.proxied);
        client.send(&[&header, upgrade("/raw/a", &[]).as_bytes()].concat());
        let answer = client.head().expect("an answer").status();
        assert_eq!(answer, Some(status), "{header:?}");
    }
    assert_eq!(world.backend.asked("/connect").len(), 0);
    // It is served as elsewhere, under its own address.
    let mut client = Client::connect(world.proxied);
    let forged = [("X-Forwarded-For", "192.0.2.7"), ("X-Other", "kept")];
    assert_eq!(world.origin_of(&mut client, &forged), origin("127.0.0.1"));
}

#[test]
fn forwarded_for_counts_if_a_trusted_proxy_says_so() {
    let believed = World::new(r#"["127.0.0.0/8", "10.0.0.0/8"]"#);
    let other = World::new(r#"["10.0.0.0/8"]"#);
    for (headers, ip) in [
        (&[("X-Forwarded-For", "192.0.2.7")][..], "192.0.2.7"),
        (
            &[("X-Forwarded-For", "203.0.113.1, 192.0.2.7, 10.1.1.1")],
            "192.0.2.7",
        ),
        (
            &[("Forwarded", "for=\"[2001:db8::7]:80\";proto=https")],
            "2001:db8::7",
        ),
        (&[("X-Real-IP", "192.0.2.7")], "127.0.0.1"),
        (&[("X-Forwarded-For", "nonsense")], "127.0.0.1"),
        (&[], "127.0.0.1"),
    ] {
        let mut client = Client::connect(believed.daemon.addr());
        assert_eq!(
            believed.origin_of(&mut client, headers),
            origin(ip),
            "{headers:?}"
        );
        let mut client = Client::connect(other.daemon.addr());
        let own = origin("127.0.0.1");
        assert_eq!(other.origin_of(&mut client, headers), own, "{headers:?}");
    }
    let log = believed.daemon.log();
    let _ = log.wait_for("a client", 0, |line| line.contains("client=192.0.2.7 "));
    assert!(
        other
            .daemon
            .log()
            .lines()
            .iter()
            .all(|line| !line.contains("client=192.0.2.7"))
    );
}

#[test]
fn a_proxys_header_and_what_stands_in_front_of_it_are_believed_in_turn() {
    let world = World::new(r#"["127.0.0.1", "10.0.0.0/8"]"#);
    let forwarded = [("X-Forwarded-For", "192.0.2.99")];
    // The proxy speaks for a client, whose headers are its own.
    let mut client = Client::connect(world.proxied);
    client.send(V1.as_bytes());
    assert_eq!(
        world.origin_of(&mut client, &forwarded),
        origin("192.0.2.7")
    );
    // It speaks for another proxy, which says whom it is for.
    let mut client = Client::connect(world.proxied);
    client.send(b"PROXY TCP4 10.0.0.9 127.0.0.1 1 2\r\n");
    assert_eq!(
        world.origin_of(&mut client, &forwarded),
        origin("192.0.2.99")
    );
}

#[test]
fn through_a_socket_file_nothing_is_known_but_what_a_proxy_says() {
    let forwarded = [("X-Forwarded-For", "192.0.2.99")];
    let believed = World::new(r#"["unix", "10.0.0.0/8"]"#);
    for (header, ip) in [
        (v2_tcp4(), "192.0.2.7"),
        (
            b"PROXY TCP4 10.0.0.9 127.0.0.1 1 2\r\n".to_vec(),
            "192.0.2.99",
        ),
        (v2(0, 0, b""), "192.0.2.99"),
    ] {
        let mut client = believed.connect_unix();
        client.send(&header);
        let told = believed.origin_of(&mut client, &forwarded);
        assert_eq!(told, origin(ip), "{header:?}");
    }
    let mut nobodys = believed.connect_unix();
    nobodys.send(&v2(0, 0, b""));
    let unknown = [const { String::new() }; 3];
    assert_eq!(believed.origin_of(&mut nobodys, &[]), unknown);
    // Whoever is not believed is not known either.
    let other = World::new(r#"["10.0.0.0/8"]"#);
    assert_eq!(
        other.origin_of(&mut other.connect_unix(), &forwarded),
        unknown
    );
}
