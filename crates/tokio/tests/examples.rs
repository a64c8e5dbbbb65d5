//! The examples, as processes: each server sends back what it is sent, over one connection after the other; the client
//! goes through a suite's cases.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use fanfare_tokio::{ClientRequest, CloseCode, Config, Message, MessageRef, accept_with, client};
use tokio::net::{TcpListener, TcpStream};

/// An example as it is now: a test alone is built without them.
fn example(name: &str) -> Command {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        // target/PROFILE/deps/examples-hash
        let test = std::env::current_exe().expect("a path");
        let profile = test.ancestors().nth(2).expect("a target folder");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--examples", "-p", "fanfare-tokio"]);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        if cfg!(feature = "deflate") {
            build.args(["--features", "deflate"]);
        }
        if profile.ends_with("release") {
            build.arg("--release");
        }
        build
            .arg("--target-dir")
            .arg(profile.parent().expect("a target folder"));
        assert!(build.status().expect("cargo").success(), "they build");
        profile.join("examples")
    });
    Command::new(folder.join(name))
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server; it says where it listens.
fn start(name: &str) -> (Running, String) {
    let mut child = example(name)
        .arg("127.0.0.1:0")
        .stderr(Stdio::piped())
        .spawn()
        .expect("built with the tests");
    let stderr = child.stderr.take().expect("piped");
    let running = Running(child);
    let mut line = String::new();
    BufReader::new(stderr).read_line(&mut line).expect("a line");
    let url = line.trim().strip_prefix("listening on ").expect("its URL");
    (running, url.to_owned())
}

#[tokio::test]
async fn every_server_sends_back_what_it_is_sent() {
    for name in ["echo_server", "std_thread", "mio"] {
        let (_running, url) = start(name);
        for _ in 0..2 {
            let request = ClientRequest::new(&url).expect("a URL");
            let to = (request.host(), request.port());
            let socket = TcpStream::connect(to).await.expect("it listens");
            let (mut ws, _) = client(socket, request, &Config::DEFAULT).await.expect(name);
            for len in [0, 1, 125, 70_000, 1_000_000] {
                let message = Message::text("é".repeat(len));
                ws.send(message.clone()).await.expect(name);
                let back = ws.next_owned().await.expect(name).expect(name);
                assert!(back == message, "{name}: {len} characters");
                ws.write_binary(&vec![7; len]).expect(name);
                ws.write_ping(b"p").expect(name);
                ws.flush().await.expect(name);
                let back = ws.next_owned().await.expect(name).expect(name);
                assert!(back == Message::binary(vec![7; len]), "{name}: {len} bytes");
                let pong = ws.next_owned().await.expect(name).expect(name);
                assert_eq!(pong, Message::Pong(b"p"[..].into()), "{name}");
            }
            ws.close(CloseCode::NORMAL, "").await.expect(name);
        }
    }
}

#[tokio::test]
async fn the_client_goes_through_every_case_and_asks_for_the_report() {
    const CASES: usize = 3;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    let mut running = Running(
        example("echo_client")
            .args([&url, "me"])
            .spawn()
            .expect("built"),
    );
    let mut asked = Vec::new();
    for nth in 0..CASES + 2 {
        let (socket, _) = listener.accept().await.expect("a client");
        let ws = accept_with(socket, &Config::DEFAULT, |request, _, response| {
            asked.push(request.target().to_owned());
            Ok(response)
        });
        let mut ws = ws.await.expect("an upgrade");
        if nth == 0 {
            ws.send(CASES.to_string()).await.expect("open");
        } else if nth <= CASES {
            ws.send("case").await.expect("open");
            let back = ws.next_message().await.expect("open").expect("good");
            assert_eq!(back, MessageRef::Text("case"));
        }
        ws.close(CloseCode::NORMAL, "").await.expect("a clean end");
    }
    let expected = [
        "/getCaseCount",
        "/runCase?case=1&agent=me",
        "/runCase?case=2&agent=me",
        "/runCase?case=3&agent=me",
        "/updateReports?agent=me",
    ];
    assert_eq!(asked, expected);
    assert!(running.0.wait().expect("ours").success());
}
