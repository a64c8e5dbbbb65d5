//! Settings of `fanfare serve`: where they come from, what is refused, what a reload changes.
//!
//! Never: reads a setting back from what the daemon says of itself, where it can be seen to work.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::net::TcpStream;
use std::process::{Command, Output};

use fanfare_tests::api::Api;
use fanfare_tests::client::{Client, upgrade};
use fanfare_tests::daemon::{ConfigFile, Daemon, fanfare, free_address, output_of};
use fanfare_tests::http::Http;
use fanfare_tests::push::{KEY, KEYS, NAMESPACES, Push};
use fanfare_tests::wire::{Frame, PING};
use serde_json::json;

/// Where settings come from.
#[derive(Clone, Copy, Debug, Default)]
struct Sources<'a> {
    file: &'a str,
    environment: &'a [(&'a str, &'a str)],
    flags: &'a [&'a str],
}

/// `fanfare COMMAND` with these settings; the file must live as long as the command runs.
fn command(command: &str, sources: Sources<'_>) -> (Command, ConfigFile) {
    let file = ConfigFile::new(sources.file).unwrap();
    let mut fanfare = fanfare();
    fanfare.arg(command);
    if !sources.file.is_empty() {
        fanfare.arg("--config").arg(file.path());
    }
    fanfare.args(sources.flags);
    fanfare.envs(sources.environment.iter().copied());
    (fanfare, file)
}

fn check(sources: Sources<'_>) -> Output {
    let (fanfare, _file) = command("check-config", sources);
    output_of(fanfare).unwrap()
}

/// Exit code 2 and one line that holds all of `words`, of `check-config` and of `serve`.
#[track_caller]
fn expect_refused(sources: Sources<'_>, words: &[&str]) {
    for name in ["check-config", "serve"] {
        let (fanfare, _file) = command(name, sources);
        let output =
            output_of(fanfare).unwrap_or_else(|error| panic!("{name} {sources:?}: {error}"));
        let line = String::from_utf8_lossy(&output.stderr);
        let case = format!("{name} {sources:?}: {line}");
        assert_eq!(output.status.code(), Some(2), "{case}");
        assert_eq!(line.lines().count(), 1, "{case}");
        for word in words {
            assert!(line.contains(word), "no {word:?}: {case}");
        }
    }
}

fn file(file: &str) -> Sources<'_> {
    Sources {
        file,
        ..Sources::default()
    }
}

fn flags<'a>(flags: &'a [&'a str]) -> Sources<'a> {
    Sources {
        flags,
        ..Sources::default()
    }
}

#[test]
fn file_then_environment_then_flags() {
    let [a, b, c] = [(); 3].map(|()| free_address().unwrap());
    let [env, flag] = [b.to_string(), c.to_string()];
    let file = format!("listen = \"{a}\"\n");
    let environment = [("FANFARE_LISTEN", env.as_str())];
    let flags = ["--listen", flag.as_str()];
    for (environment, flags, addr) in [
        (&[][..], &[][..], a),
        (&environment[..], &[], b),
        (&environment, &flags, c),
        (&[], &flags, c),
    ] {
        let sources = Sources {
            file: &file,
            environment,
            flags,
        };
        let (serve, _file) = command("serve", sources);
        let daemon =
            Daemon::run(serve, addr).unwrap_or_else(|error| panic!("{sources:?}: {error}"));
        for other in [a, b, c] {
            let listens = TcpStream::connect(other).is_ok();
            assert_eq!(listens, other == addr, "{other} of {sources:?}");
        }
        daemon.terminate().unwrap();
        assert_eq!(daemon.wait().unwrap().code(), Some(0), "{sources:?}");
    }
}

#[test]
fn the_environment_reaches_every_level() {
    let config =
        format!("echo = false\n{NAMESPACES}\n[api]\n{KEYS}\n[publication]\nmax_bytes = 1000");
    let environment = [
        ("FANFARE_ECHO", "true"),
        ("FANFARE_PUBLICATION__MAX_BYTES", "10"),
        ("FANFARE_API__KEYS", r#"["key-of-environment"]"#),
        ("FANFARE_NAMESPACES__MUTE__HISTORY_SIZE", "3"),
        ("FANFARE_NAMESPACES__MUTE__HISTORY_TTL", "60.5"),
        ("FANFARE_NAMESPACES__NEW__PRESENCE", "true"),
        ("FANFARE_WEBSOCKET__SUBPROTOCOLS", r#"["a", "b"]"#),
        ("FANFARE_DEFAULT_NAMESPACE__PRESENCE", "false"),
    ];
    let daemon = Daemon::serve_in(&config, &[], &environment).unwrap();
    Client::enter(daemon.addr(), "/echo", &[])
        .0
        .expect_echo("on");
    let mut old = Api::new(daemon.api(), KEY);
    assert_eq!(old.post("info", "{}").status(), 401, "the file's key");
    let mut api = Api::new(daemon.api(), "key-of-environment");
    api.publish("mute:a", &json!("12345678"));
    api.expect_error(
        "publish",
        &json!({"channel": "mute:a", "data": "123456789"}),
        106,
    );
    let top = api.position("mute:a");
    assert!(top.starts_with("1:"), "{top}");
    api.result("presence", &json!({"channel": "new:a"}));
    api.expect_error("presence", &json!({"channel": "news"}), 108);
    let offers = [("Sec-WebSocket-Protocol", "x, b")];
    let (_, head) = Client::enter(daemon.addr(), "/raw/open:a", &offers);
    assert!(head.lists("Sec-WebSocket-Protocol", "b"), "{head:?}");
}

#[test]
fn a_key_that_nobody_knows_is_refused_by_its_name() {
    for (head, name) in [
        ("", "frobnicate"),
        ("[websocket]\n", "websocket.frobnicate"),
        ("[publication]\n", "publication.frobnicate"),
        ("[api]\n", "api.frobnicate"),
        ("[engine]\n", "engine.frobnicate"),
        ("[inbox]\n", "inbox.frobnicate"),
        ("[default_namespace]\n", "default_namespace.frobnicate"),
        ("[namespaces.chat]\n", "namespaces.chat.frobnicate"),
    ] {
        let config = format!("{head}frobnicate = 1");
        expect_refused(file(&config), &[name]);
    }
    expect_refused(file("[frobnicate]\nx = 1"), &["frobnicate"]);
    for name in [
        "FANFARE_FROBNICATE",
        "FANFARE_API__FROBNICATE",
        "FANFARE_NAMESPACES__CHAT__FROBNICATE",
    ] {
        let environment = [(name, "1")];
        let sources = Sources {
            environment: &environment,
            ..Sources::default()
        };
        let output = check(sources);
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {line}");
        assert!(line.to_lowercase().contains("frobnicate"), "{name}: {line}");
    }
    expect_refused(flags(&["--frobnicate"]), &["--frobnicate"]);
}

#[test]
fn a_value_that_cannot_be_is_refused_by_its_key() {
    let namespace = "[namespaces.chat]\nhistory_size = 5\nhistory_ttl = 5\n";
    for (config, key) in [
        ("listen = \"x\"", "listen"),
        ("listen = 8000", "listen"),
        ("workers = 0", "workers"),
        ("workers = \"2\"", "workers"),
        ("workers = -1", "workers"),
        ("max_connections = 0", "max_connections"),
        ("echo = 1", "echo"),
        ("drain.timeout = 0", "drain.timeout"),
        ("drain.timeout = -1.0", "drain.timeout"),
        ("drain.timeout = nan", "drain.timeout"),
        ("drain.timeout = inf", "drain.timeout"),
        ("drain.timeout = 1e300", "drain.timeout"),
        ("log_level = \"loud\"", "log_level"),
        (
            "[websocket]\nallowed_origins = [\"app.example.com\"]",
            "allowed_origins",
        ),
        (
            "[websocket]\nallowed_origins = [\"https://a.example/path\"]",
            "allowed_origins",
        ),
        ("[websocket]\nallowed_origins = \"*\"", "allowed_origins"),
        (
            "[websocket]\nsubprotocols = [\"two words\"]",
            "subprotocols",
        ),
        ("[websocket]\nsubprotocols = [\"\"]", "subprotocols"),
        (
            "[websocket]\nresponse_headers = [\"no colon\"]",
            "response_headers",
        ),
        (
            "[websocket]\nresponse_headers = [\"X: a\\r\\nY: b\"]",
            "response_headers",
        ),
        (
            "[websocket]\nresponse_headers = [\": x\"]",
            "response_headers",
        ),
        ("[websocket]\nmax_output_bytes = -1", "max_output_bytes"),
        (
            "[websocket]\nmax_message_bytes = 10\nmax_frame_bytes = 11",
            "max_frame_bytes",
        ),
        ("[websocket]\nhandshake_timeout = 0", "handshake_timeout"),
        ("[websocket]\nping_interval = -1", "ping_interval"),
        ("[websocket]\nclose_timeout = 0", "close_timeout"),
        ("[api]\nlisten = \"nowhere\"", "api.listen"),
        ("[api]\nkeys = [\"short\"]", "api.keys"),
        ("[api]\nkeys = [\"two words and more\"]", "api.keys"),
        ("[api]\nkeys = [\"\"]", "api.keys"),
        ("[api]\nkeys = \"a-single-string\"", "api.keys"),
        ("[engine]\nidempotency_ttl = 0", "idempotency_ttl"),
        ("[namespaces.chat]\nhistory_size = 5", "history_ttl"),
        (
            "[namespaces.chat]\nhistory_size = -5\nhistory_ttl = 5",
            "history_size",
        ),
        (
            "[namespaces.chat]\nhistory_size = 100001\nhistory_ttl = 5",
            "history_size",
        ),
        ("[namespaces.chat]\nforce_recovery = true", "force_recovery"),
        (
            "[namespaces.chat]\nforce_positioning = true",
            "force_positioning",
        ),
        (
            "[namespaces.chat]\nforce_push_join_leave = true",
            "force_push_join_leave",
        ),
        ("[namespaces.chat]\nslow_reader = \"wait\"", "slow_reader"),
        (
            &format!("{namespace}slow_reader = \"conflate\""),
            "slow_reader",
        ),
        (
            &format!("{namespace}slow_reader = \"drop-oldest\""),
            "slow_reader",
        ),
        (
            &format!("{namespace}history_meta_ttl = 1"),
            "history_meta_ttl",
        ),
        ("[namespaces.\"two words\"]", "namespaces"),
        ("[namespaces.\"\"]", "namespaces"),
        ("[namespaces]\nchat = 1", "namespaces.chat"),
        ("[default_namespace]\npresence = \"yes\"", "presence"),
    ] {
        let output = check(file(config));
        let line = String::from_utf8_lossy(&output.stderr);
        let case = format!("{config:?}: {line}");
        assert_eq!(output.status.code(), Some(2), "{case}");
        assert_eq!(line.lines().count(), 1, "{case}");
        assert!(line.contains(key), "no {key:?}: {case}");
        // A secret is not for logs.
        assert!(!line.contains("short\"") || key != "api.keys", "{case}");
    }
    expect_refused(file("workers = 0"), &["workers"]);
}

#[test]
fn more_connections_than_descriptors_are_refused_before_the_start() {
    let open = format!("{NAMESPACES}\n[api]\n{KEYS}");
    let wanted = format!("max_connections = 999999999\n{open}");
    // `check-config` may be asked on another machine than the one that serves.
    for sources in [
        file(&wanted),
        Sources {
            file: &open,
            environment: &[],
            flags: &["--max-connections", "999999999"],
        },
    ] {
        let (serve, _file) = command("serve", sources);
        let output = output_of(serve).unwrap_or_else(|error| panic!("{sources:?}: {error}"));
        let line = String::from_utf8_lossy(&output.stderr);
        let case = format!("{sources:?}: {line}");
        assert_eq!(output.status.code(), Some(2), "{case}");
        assert_eq!(line.lines().count(), 1, "{case}");
        assert!(line.contains("max"), "{case}");
    }
}

#[test]
fn what_is_no_file_or_no_toml_is_refused_by_its_place() {
    expect_refused(
        flags(&["--config", "/nowhere/at/all.toml"]),
        &["/nowhere/at/all.toml"],
    );
    expect_refused(file("echo = false\nlisten ="), &[".toml:2"]);
    expect_refused(file("echo = true\necho = true"), &[".toml:2"]);
}

#[test]
fn the_default_config_is_accepted_and_so_are_its_examples() {
    let output = output_of({
        let mut command = fanfare();
        command.arg("default-config");
        command
    })
    .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let output = check(file(&text));
    assert!(output.status.success(), "{output:?}");
    // With every example taken for a setting, but for the one that this machine may not reach, and files that
    // are not there.
    let is_left_out = |setting: &str| {
        let key = setting.split(' ').next().unwrap_or_default();
        key == "max_connections" || key.ends_with("_file")
    };
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') && !is_left_out(setting) => setting,
        _ => line,
    });
    let all: Vec<&str> = lines.collect();
    let output = check(file(&all.join("\n")));
    assert!(output.status.success(), "{output:?}\n{}", all.join("\n"));
    // Its defaults are those of a daemon without a file.
    for key in [
        "echo = false",
        "keys = []",
        "allowed_origins = []",
        "max_bytes = 1048576",
    ] {
        assert!(text.lines().any(|line| line == key), "no {key} in {text}");
    }
}

#[test]
fn check_config_says_yes_with_0() {
    let config = format!("{NAMESPACES}\n[api]\n{KEYS}");
    for sources in [
        Sources::default(),
        file(&config),
        flags(&["--dev"]),
        flags(&["--workers", "2", "--max-connections", "10"]),
    ] {
        let output = check(sources);
        assert_eq!(output.status.code(), Some(0), "{sources:?}: {output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains(KEY), "{text}");
    }
}

#[test]
fn nothing_is_open_that_was_not_opened() {
    let addr = free_address().unwrap();
    let listen = addr.to_string();
    let (serve, _file) = command("serve", flags(&["--listen", &listen]));
    let daemon = Daemon::run(serve, addr).unwrap();
    let status = |path: &str| Client::ask(daemon.addr(), path, &[]).1.status();
    for path in ["/raw/news", "/raw/chat:a", "/echo", "/"] {
        assert_eq!(status(path), Some(404), "{path}");
    }
    let mut api = Api::new(addr, "any-key-at-all");
    assert_eq!(api.post("info", "{}").status(), 401);
}

#[test]
fn dev_is_for_the_loopback_alone() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8000", "10.0.0.1:0"] {
        expect_refused(flags(&["--dev", "--listen", listen]), &[listen]);
        let environment = [("FANFARE_LISTEN", listen)];
        let sources = Sources {
            environment: &environment,
            flags: &["--dev"],
            ..Sources::default()
        };
        expect_refused(sources, &[listen]);
        let config = format!("listen = \"{listen}\"");
        let sources = Sources {
            file: &config,
            flags: &["--dev"],
            ..Sources::default()
        };
        expect_refused(sources, &[listen]);
        // Its API needs no key there: it is for the loopback as well.
        let config = format!("[api]\nlisten = \"{listen}\"");
        let sources = Sources {
            file: &config,
            flags: &["--dev", "--listen", "127.0.0.1:0"],
            ..Sources::default()
        };
        expect_refused(sources, &[listen]);
    }
}

#[test]
fn dev_opens_every_channel_the_api_and_echo() {
    let daemon = Daemon::serve("", &["--dev"]).unwrap();
    let addr = daemon.addr();
    let enter = |target: &str| Client::enter(addr, target, &[]).0;
    enter("/echo").expect_echo("on");
    let mut api = Api::new(addr, "whatever it is");
    for channel in ["news", "chat:room", "any.thing-2:x"] {
        let mut alice = enter(&format!("/raw/{channel}?meta=1"));
        let greeting = alice.text();
        assert!(greeting.starts_with("0:"), "{channel}: {greeting}");
        alice.say(&Frame::text("said"));
        assert!(alice.text().ends_with(" said"), "{channel}");
        api.publish(channel, &json!(2));
        for target in ["since=0", "history=2", &format!("since={greeting}")] {
            let mut bob = enter(&format!("/raw/{channel}?{target}"));
            bob.expect_text("said");
            bob.expect_text("2");
        }
        assert!(!api.clients(channel).is_empty(), "{channel}");
    }
    let without = Http::connect(addr).request("POST /api/info", &[], b"{}");
    assert_eq!(without.status(), 200, "{without:?}");
    for (origin, status) in [
        ("http://localhost:3000", 101),
        ("http://127.0.0.1:8080", 101),
        ("https://localhost", 101),
        ("http://[::1]:5173", 101),
        ("http://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("http://127.0.0.1.evil.example", 403),
    ] {
        let (_, head) = Client::ask(addr, "/raw/news", &[("Origin", origin)]);
        assert_eq!(head.status(), Some(status), "{origin}: {head:?}");
    }
}

#[test]
fn namespaces_of_the_config_keep_their_options_under_dev() {
    let daemon = Daemon::serve(NAMESPACES, &["--dev"]).unwrap();
    let refused = |path: &str, status| {
        let (_, head) = Client::ask(daemon.addr(), path, &[]);
        assert_eq!(head.status(), Some(status), "{path}: {head:?}");
    };
    refused("/raw/mute:a?history=1", 400);
    refused("/raw/closed:a", 403);
    refused("/raw/news?since=0", 400);
    let (mut client, _) = Client::enter(daemon.addr(), "/raw/mute:a", &[]);
    client.say(&Frame::text("may I?"));
    client.expect_closed(3507, "permission denied");
    let _other = Client::enter(daemon.addr(), "/raw/other:a?since=0", &[]);
}

#[test]
fn the_timeouts_of_the_config_are_kept() {
    let websocket = "[websocket]\nhandshake_timeout = 0.2\nping_interval = 0.1\npong_timeout = 0.3";
    let push = Push::start("", websocket);
    let mut half = Client::connect(push.addr());
    half.send(b"GET /raw/open:a HTTP/1.1\r\nHost: loc");
    assert_eq!(half.head().expect("an answer").status(), Some(408));
    let mut dead = push.subscribe("open:a");
    let mut alive = push.subscribe("past:a");
    for _ in 0..5 {
        assert_eq!(alive.frame().expect("a ping").opcode, PING);
        alive.say(&Frame::pong(""));
    }
    assert_eq!(dead.frame().expect("a ping").opcode, PING);
    dead.expect_close(1011);
}

#[test]
fn the_first_ping_does_not_wait_for_what_the_handshake_was_given() {
    let websocket = "[websocket]\nhandshake_timeout = 300\nping_interval = 0.1\npong_timeout = 60";
    let push = Push::start("workers = 1", websocket);
    let mut client = Client::connect(push.addr());
    // The daemon has seen the connection, and that it asks for nothing yet.
    let _other = push.subscribe("open:a");
    client.send(upgrade("/raw/open:a", &[]).as_bytes());
    assert_eq!(client.head().expect("an answer").status(), Some(101));
    for _ in 0..3 {
        assert_eq!(client.frame().expect("a ping").opcode, PING);
        client.say(&Frame::pong(""));
    }
}

#[test]
fn limits_that_make_no_sense_are_named() {
    for (config, words) in [
        (
            "[websocket]\nmax_handshake_bytes = 1023",
            ["websocket.max_handshake_bytes", "from 1024 to 1048576"],
        ),
        (
            "[websocket]\nmax_handshake_bytes = 1048577",
            ["websocket.max_handshake_bytes", "from 1024 to 1048576"],
        ),
        (
            "max_new_connections_per_second = 1000001",
            ["max_new_connections_per_second", "at most 1000000"],
        ),
        (
            "[websocket]\nmax_messages_per_second = 1000001",
            ["websocket.max_messages_per_second", "at most 1000000"],
        ),
        (
            "[websocket]\nmax_fragments_per_second = 1000001",
            ["websocket.max_fragments_per_second", "at most 1000000"],
        ),
        (
            "max_connections_per_address = 0",
            ["max_connections_per_address", "0"],
        ),
        (
            "[websocket]\nmin_handshake_bytes_per_second = -1",
            ["websocket.min_handshake_bytes_per_second", "-1"],
        ),
        (
            "[websocket]\nmax_output_bytes_in_all = 0",
            ["websocket.max_output_bytes_in_all", "0"],
        ),
    ] {
        expect_refused(file(config), &words);
    }
}
