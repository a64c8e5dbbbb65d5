//! Where the daemon listens: several places at once, socket files, descriptors of systemd's, and what systemd is
//! told. And who of the workers gets a connection of a listener that there is one of.
//!
//! Never: needs systemd: a shim passes descriptors, and the test is who is notified.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use fanfare_tests::api::Api;
use fanfare_tests::binaries;
use fanfare_tests::client::{Client, PATIENCE, upgrade};
use fanfare_tests::daemon::{ConfigFile, Daemon, fanfare, free_address, output_of};
use fanfare_tests::folder::Folder;
use fanfare_tests::push::{KEY, KEYS, eventually};
use rustix::process::Signal;
use serde_json::json;

fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// A connection to the socket at `path` that has asked for nothing.
#[track_caller]
fn connect_unix(path: &Path) -> Client {
    let socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    Client {
        socket: TcpStream::from(OwnedFd::from(socket)),
        received: Vec::new(),
    }
}

/// `client` asks for /echo, and it echoes.
#[track_caller]
fn expect_serves(mut client: Client) -> Client {
    client.send(upgrade("/echo", &[]).as_bytes());
    assert_eq!(client.head().expect("an answer").status(), Some(101));
    client.expect_echo("hello");
    client
}

/// Plain HTTP is answered there, too: by another thread than the one that accepts.
#[track_caller]
fn expect_healthy(mut client: Client) {
    client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.head().expect("an answer").status(), Some(200));
}

/// A free address of IPv6's loopback; none if the machine has no such.
fn free_v6() -> Option<SocketAddr> {
    let listener = TcpListener::bind("[::1]:0").ok()?;
    listener.local_addr().ok()
}

#[test]
fn v4_v6_and_a_socket_file_are_served_at_once() {
    let folder = Folder::new();
    let path = folder.file("s");
    let file = unix(&path);
    let v6 = free_v6();
    let v6_text = v6.map(|addr| addr.to_string());
    let mut flags = vec!["--listen", &file, "--workers", "2"];
    match &v6_text {
        Some(addr) => flags.extend(["--listen", addr]),
        None => eprintln!("there is no ::1 here: IPv6 is left out"),
    }
    let daemon = Daemon::serve("echo = true\nlog_level = 'debug'", &flags).unwrap();
    for _ in 0..3 {
        expect_serves(Client::connect(daemon.addr()));
        expect_serves(connect_unix(&path));
        expect_healthy(connect_unix(&path));
        if let Some(v6) = v6 {
            expect_serves(Client::connect(v6));
        }
    }
    let log = daemon.log();
    for url in [format!("ws://{}", daemon.addr()), file] {
        let said = format!("listening on {url}");
        let _ = log.wait_for(&said, 0, |line| line.contains(&said));
    }
    let _ = log.wait_for("an address", 0, |line| line.contains("peer=127.0.0.1:"));
    let _ = log.wait_for("a client", 0, |line| line.contains("client=127.0.0.1 "));
    let _ = log.wait_for("no address", 0, |line| line.contains("client=unix "));
    daemon.terminate().unwrap();
    assert!(daemon.wait().unwrap().success());
    assert!(!path.exists(), "its file goes with it");
}

#[test]
fn every_address_of_both_families_can_be_listed() {
    if free_v6().is_none() {
        eprintln!("there is no ::1 here: nothing is tested");
        return;
    }
    let port = free_address().unwrap().port();
    let (v4, v6) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    let flags = ["--listen", &v4, "--listen", &v6, "--workers", "2"];
    let _daemon = Daemon::serve("echo = true", &flags).unwrap();
    for host in ["127.0.0.1", "[::1]"] {
        let addr: SocketAddr = format!("{host}:{port}").parse().unwrap();
        expect_serves(Client::connect(addr));
    }
}

#[test]
fn a_socket_file_has_the_mode_that_is_set() {
    let folder = Folder::new();
    for (setting, mode) in [("", 0o660), ("unix_socket_mode = 0o606", 0o606)] {
        let path = folder.file("s");
        let config = format!("echo = true\n{setting}");
        let _daemon = Daemon::serve(&config, &["--listen", &unix(&path)]).unwrap();
        let permissions = fs::metadata(&path).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{setting}");
    }
}

#[test]
fn a_stale_socket_file_is_replaced_and_a_busy_one_is_not() {
    let folder = Folder::new();
    let path = folder.file("s");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "nobody removes it but a daemon");
    let daemon = Daemon::serve("echo = true", &["--listen", &unix(&path)]).unwrap();
    expect_serves(connect_unix(&path));
    let mut second = fanfare();
    second.args(["echo", "--listen", &unix(&path)]);
    expect_refused(second, &unix(&path), "somebody answers there");
    expect_serves(connect_unix(&path));
    // Killed, it leaves its file, which is the next one's.
    daemon.signal(Signal::KILL).unwrap();
    assert!(!daemon.wait().unwrap().success());
    assert!(path.exists());
    let _daemon = Daemon::serve("echo = true", &["--listen", &unix(&path)]).unwrap();
    expect_serves(connect_unix(&path));

    let precious = folder.file("precious");
    fs::write(&precious, "precious").unwrap();
    let mut over_a_file = fanfare();
    over_a_file.args(["echo", "--listen", &unix(&precious)]);
    expect_refused(over_a_file, &unix(&precious), "no socket");
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
}

/// Exit code 1, and a line that names the place and says why.
#[track_caller]
fn expect_refused(command: Command, place: &str, why: &str) {
    let output = output_of(command).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(place) && stderr.contains(why), "{stderr}");
}

/// What systemd does for a service with sockets: they are descriptors 3 and 4 of the process that it becomes.
const SHIM: &str = r#"
import fcntl, os, socket, sys
names, addr, path, *command = sys.argv[1:]
host, port = addr.rsplit(":", 1)
web = socket.create_server((host, int(port)), backlog=128)
local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
local.bind(path)
local.listen(128)
high = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 10) for s in (web, local)]
for n, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + n, inheritable=True)
    os.close(descriptor)
pid = os.getpid() if "PASS_ON" not in os.environ else int(os.environ["PASS_ON"])
os.environ.update(LISTEN_PID=str(pid), LISTEN_FDS="2", LISTEN_FDNAMES=names)
os.execv(command[0], command)
"#;

/// `fanfare ARGS` with two sockets passed on: `web` on `addr`, `local` at `path`.
fn activated(addr: SocketAddr, path: &Path, args: &[&str]) -> Command {
    let plain = fanfare();
    let mut command = Command::new("python3");
    for (name, value) in plain.get_envs() {
        if value.is_none() {
            command.env_remove(name);
        }
    }
    command
        .args(["-c", SHIM, "web:local", &addr.to_string()])
        .args([path.as_os_str(), binaries::fanfare().as_os_str()])
        .args(args);
    command
}

#[test]
fn descriptors_of_systemd_are_served_beside_others() {
    let folder = Folder::new();
    let config = ConfigFile::new(
        "echo = true\nworkers = 2\nlisten = ['systemd', 'systemd:local', '127.0.0.1:0']",
    )
    .unwrap();
    let (addr, path) = (free_address().unwrap(), folder.file("s"));
    let config = config.path().to_str().unwrap();
    let command = activated(addr, &path, &["serve", "--config", config]);
    let daemon = Daemon::run(command, addr).unwrap();
    for _ in 0..4 {
        expect_serves(Client::connect(addr));
        expect_serves(connect_unix(&path));
        expect_healthy(connect_unix(&path));
    }
    let log = daemon.log();
    let web = format!("ws://{addr} (systemd)");
    let _ = log.wait_for(&web, 0, |line| line.contains(&web));
    let local = format!("{} (systemd:local)", unix(&path));
    let _ = log.wait_for(&local, 0, |line| line.contains(&local));
    let own = log.wait_for("its own", 0, |line| {
        line.contains("listening on ws://127.0.0.1:") && !line.contains("systemd")
    });
    let own: SocketAddr = own
        .rsplit("ws://")
        .next()
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    expect_serves(Client::connect(own));
    daemon.terminate().unwrap();
    assert!(daemon.wait().unwrap().success());
    assert!(path.exists(), "the file is systemd's");
}

#[test]
fn a_descriptor_is_served_by_its_name_alone() {
    let folder = Folder::new();
    let (addr, path) = (free_address().unwrap(), folder.file("s"));
    let args = [
        "serve",
        "--dev",
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "systemd:web",
    ];
    let refused = output_of(activated(addr, &path, &args)).unwrap();
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("--dev"), "{stderr}");
    assert_eq!(refused.status.code(), Some(2), "{stderr}");

    let path = folder.file("t");
    let args = ["serve", "--listen", "systemd:web"];
    let daemon = Daemon::run(activated(addr, &path, &args), addr).unwrap();
    let is_listening = |line: &str| line.contains("listening on");
    let _ = daemon.log().wait_for("where it listens", 0, is_listening);
    let lines = daemon.log().lines();
    let listening = lines.iter().filter(|line| line.contains("listening on"));
    assert_eq!(listening.count(), 1, "{lines:#?}");
    expect_healthy(Client::connect(addr));
}

#[test]
fn descriptors_that_are_not_there_are_missed() {
    let folder = Folder::new();
    let mut none = fanfare();
    none.args(["echo", "--listen", "systemd"]);
    expect_refused(none, "cannot listen on systemd", "LISTEN_FDS");
    let (addr, path) = (free_address().unwrap(), folder.file("s"));
    let other = activated(addr, &path, &["echo", "--listen", "systemd:other"]);
    expect_refused(other, "cannot listen on systemd:other", "LISTEN_FDNAMES");
    // They were meant for another process.
    let mut others = activated(addr, &folder.file("t"), &["echo", "--listen", "systemd"]);
    others.env("PASS_ON", "1");
    expect_refused(others, "cannot listen on systemd", "LISTEN_PID");
}

/// The next message, as lines.
#[track_caller]
fn next(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 1024];
    let len = socket.recv(&mut buffer).expect("a message");
    let text = std::str::from_utf8(&buffer[..len]).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn systemd_is_told_of_every_step() {
    let folder = Folder::new();
    let path = folder.file("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let daemon = Daemon::serve_in("echo = true", &[], &environment).unwrap();
    assert_eq!(next(&socket), ["READY=1"]);
    let mut last = 0;
    for config in ["echo = true\nlog_level = 'warn'", "a mistake"] {
        daemon.rewrite_config(config).unwrap();
        daemon.signal(Signal::HUP).unwrap();
        let reloading = next(&socket);
        assert_eq!(reloading[0], "RELOADING=1");
        let at = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
        let at: u64 = at.parse().unwrap();
        assert!(at > last, "{reloading:?} after {last}");
        last = at;
        assert_eq!(next(&socket), ["READY=1"], "{config}");
    }
    daemon.terminate().unwrap();
    assert_eq!(next(&socket), ["STOPPING=1"]);
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn workers_behind_one_socket_have_as_many_connections_each() {
    const COUNT: usize = 1000;
    let folder = Folder::new();
    let path = folder.file("s");
    let config = format!("echo = true\nworkers = 2\n[api]\nlisten = \"{{api}}\"\n{KEYS}");
    let daemon = Daemon::serve(&config, &["--listen", &unix(&path)]).unwrap();
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..COUNT {
        clients.push(expect_serves(connect_unix(&path)));
    }
    let mut api = Api::new(daemon.api(), KEY);
    let mut loads = || -> Vec<u64> {
        let info = api.result("info", &json!({}));
        let loads = info["nodes"][0]["clients_by_worker"]
            .as_array()
            .unwrap()
            .iter();
        loads.map(|load| load.as_u64().unwrap()).collect()
    };
    let is_balanced = |loads: &[u64], count: usize| {
        let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
        loads.iter().sum::<u64>() == count as u64 && most * 10 <= least * 11
    };
    let at_first = loads();
    println!("{COUNT} connections: {at_first:?}");
    assert!(
        at_first.len() == 2 && is_balanced(&at_first, COUNT),
        "{at_first:?}"
    );
    // All of them at once: every worker serves its own.
    for (n, client) in clients.iter_mut().enumerate() {
        client.expect_echo(&format!("again {n}"));
    }
    // Many of one worker go: the next ones are for it.
    let mut n = 0;
    clients.retain(|_| {
        n += 1;
        n % 2 == 0 || n > 600
    });
    let left = clients.len();
    eventually("those who left have gone", || {
        loads().iter().sum::<u64>() == left as u64
    });
    let uneven = loads();
    println!("{left} are left: {uneven:?}");
    for _ in left..COUNT {
        clients.push(expect_serves(connect_unix(&path)));
    }
    let at_last = loads();
    println!("{COUNT} again: {at_last:?}");
    assert!(is_balanced(&at_last, COUNT), "{at_last:?}");
}
