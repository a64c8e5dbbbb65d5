//! The examples, as processes: each server sends back what it is sent, over one connection after the other; the client
//! goes through a suite's cases.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use fanfare_tokio::{
    ClientRequest, CloseCode, Config, Message, MessageKind, MessageRef, WebSocketStream,
    accept_with, client,
};
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
        for (is_on, feature) in [
            (cfg!(feature = "deflate"), "deflate"),
            (cfg!(feature = "hyper"), "hyper"),
            (cfg!(feature = "axum"), "axum"),
        ] {
            if is_on {
                build.args(["--features", feature]);
            }
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

impl Running {
    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// What it has to say but where it listens, once it has ended.
    fn said(mut self) -> String {
        self.end();
        let mut said = String::new();
        let stderr = self.0.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut said).expect("text");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a server; it says where it listens.
fn start(name: &str, args: &[&str]) -> (Running, String) {
    let mut child = example(name)
        .arg("127.0.0.1:0")
        .args(args)
        .stderr(Stdio::piped())
        .spawn()
        .expect("built with the tests");
    let stderr = child.stderr.as_mut().expect("piped");
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        stderr.read_exact(&mut byte).expect("a line");
        line.extend(byte);
    }
    let running = Running(child);
    let line = String::from_utf8(line).expect("text");
    let url = line.trim().strip_prefix("listening on ").expect("its URL");
    (running, url.to_owned())
}

async fn connect(url: &str) -> WebSocketStream<TcpStream> {
    let request = ClientRequest::new(url).expect("a URL");
    let to = (request.host(), request.port());
    let socket = TcpStream::connect(to).await.expect("it listens");
    let (ws, _) = client(socket, request, &Config::DEFAULT).await.expect(url);
    ws
}

async fn next(ws: &mut WebSocketStream<TcpStream>) -> Message {
    ws.recv().await.expect("open").expect("good")
}

async fn is_echo(name: &str, url: &str) {
    for _ in 0..2 {
        let mut ws = connect(url).await;
        for len in [0, 1, 125, 70_000, 1_000_000] {
            let message = Message::text("é".repeat(len));
            ws.send(message.clone()).await.expect(name);
            assert!(next(&mut ws).await == message, "{name}: {len} characters");
            ws.write_binary(&vec![7; len]).expect(name);
            ws.write_ping(b"p").expect(name);
            ws.flush().await.expect(name);
            // A proxy answers pings itself.
            let (mut data, mut pong) = (None, None);
            while data.is_none() || pong.is_none() {
                let message = next(&mut ws).await;
                if message.is_pong() {
                    pong = Some(message);
                } else {
                    data = Some(message);
                }
            }
            assert!(data == Some(Message::binary(vec![7; len])), "{name}: {len}");
            assert_eq!(pong, Some(Message::Pong(b"p"[..].into())), "{name}");
        }
        ws.close(CloseCode::NORMAL, "").await.expect(name);
    }
}

#[tokio::test]
async fn every_server_sends_back_what_it_is_sent() {
    for name in ["echo_server", "std_thread", "mio"] {
        let (_running, url) = start(name, &[]);
        is_echo(name, &url).await;
    }
}

#[cfg(feature = "hyper")]
#[tokio::test]
async fn the_server_on_hyper_has_a_websocket_among_its_pages() {
    let (_running, url) = start("hyper_upgrade", &[]);
    is_echo("hyper_upgrade", &url).await;
    for (path, status, says) in [
        ("/", "200 OK", "The WebSocket is at /ws."),
        ("/ws", "426 Upgrade Required", "send an upgrade"),
        ("/other", "404 Not Found", "Nothing is here."),
    ] {
        let answer = get(&url, path).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(answer.trim_end().ends_with(says), "{answer}");
    }
}

#[cfg(feature = "hyper")]
async fn get(url: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let request = ClientRequest::new(url).expect("a URL");
    let to = (request.host(), request.port());
    let mut socket = TcpStream::connect(to).await.expect("it listens");
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("connected");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn a_proxy_is_not_noticed() {
    let (_echo, echo) = start("echo_server", &[]);
    let (proxy, url) = start("proxy", &[&echo]);
    is_echo("proxy", &url).await;
    // Fragments go through one by one.
    let mut ws = connect(&url).await;
    ws.begin(MessageKind::Text, "é".as_bytes()).expect("room");
    ws.proceed(&"é".as_bytes()[..1]).expect("room");
    ws.write_ping(b"").expect("room");
    ws.end(&"é".as_bytes()[1..]).expect("room");
    ws.flush().await.expect("open");
    assert_eq!(next(&mut ws).await, Message::Pong(b""[..].into()));
    assert_eq!(next(&mut ws).await, Message::text("éé"));
    // The server's verdict arrives.
    let too_long = vec![0; 17 << 20];
    let sent = ws.send_binary(&too_long).await;
    let close = loop {
        match ws.recv().await.expect("told").expect("good") {
            Message::Close(close) => break close.expect("a code"),
            other => assert!(!other.is_data(), "{sent:?}"),
        }
    };
    assert_eq!(close.code, CloseCode::MESSAGE_TOO_BIG);
    while ws.recv().await.is_some() {}
    assert_eq!(proxy.said(), "", "all of these ends were clean");
}

#[tokio::test]
async fn a_proxy_says_that_nobody_is_there() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/", free.local_addr().expect("bound"));
    drop(free);
    let (_proxy, url) = start("proxy", &[&url]);
    let mut ws = connect(&url).await;
    let Message::Close(Some(close)) = next(&mut ws).await else {
        panic!("a close");
    };
    assert_eq!(close.code, CloseCode::BAD_GATEWAY);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn visitors_of_the_chat_hear_each_other() {
    let (_running, url) = start("axum_chat", &[]);
    let page = get(&url, "/").await;
    assert!(page.contains("<title>Chat</title>"), "{page}");
    let mut ann = connect(&url).await;
    ann.send("Ann".into()).await.expect("open");
    assert_eq!(next(&mut ann).await, Message::text("Ann has joined"));
    let mut imposter = connect(&url).await;
    imposter.send("Ann".into()).await.expect("open");
    let Message::Close(Some(close)) = next(&mut imposter).await else {
        panic!("a close");
    };
    assert_eq!(close.reason, "that name is taken, or none");
    let mut bob = connect(&url).await;
    bob.send("Bob".into()).await.expect("open");
    for who in [&mut ann, &mut bob] {
        assert_eq!(next(who).await, Message::text("Bob has joined"));
    }
    // One that takes nothing for a long time is told what it has missed.
    let mut slow = connect(&url).await;
    slow.send("Slow".into()).await.expect("open");
    assert_eq!(next(&mut ann).await, Message::text("Slow has joined"));
    assert_eq!(next(&mut bob).await, Message::text("Slow has joined"));
    const LINES: usize = 6_000;
    let line = "x".repeat(4000);
    let talking = async {
        for _ in 0..LINES {
            bob.write_text(&line).expect("room");
            bob.flush().await.expect("open");
            let _ = next(&mut bob).await;
        }
    };
    let listening = async {
        for _ in 0..LINES {
            let _ = next(&mut ann).await;
        }
    };
    tokio::join!(talking, listening);
    let (mut told, mut missed) = (0, 0);
    while told + missed < LINES {
        let line = next(&mut slow).await.into_text().expect("text");
        if let Some(rest) = line.strip_prefix("(you were too slow for ") {
            let number = rest.split(' ').next().expect("a number");
            missed += number.parse::<usize>().expect("a number");
        } else if line.starts_with("Bob: ") {
            told += 1;
        }
    }
    assert!(missed > 0 && told + missed == LINES, "{told} {missed}");
    slow.close(CloseCode::NORMAL, "")
        .await
        .expect("a clean end");
    for who in [&mut ann, &mut bob] {
        assert_eq!(next(who).await, Message::text("Slow has left"));
    }
    bob.send("hello".into()).await.expect("open");
    for who in [&mut ann, &mut bob] {
        assert_eq!(next(who).await, Message::text("Bob: hello"));
    }
    bob.close(CloseCode::NORMAL, "").await.expect("a clean end");
    assert_eq!(next(&mut ann).await, Message::text("Bob has left"));
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
            ws.send(CASES.to_string().into()).await.expect("open");
        } else if nth <= CASES {
            ws.send("case".into()).await.expect("open");
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
