//! permessage-deflate on the daemon's own wire: what is agreed on, what comes of messages, and of those who mean no good.
//!
//! Never: uses the codec: zlib reads what was compressed, and writes what is to be inflated.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use fanfare_tests::client::{Client, upgrade};
use fanfare_tests::compressed::{Compressed, RSV1};
use fanfare_tests::daemon::Daemon;
use fanfare_tests::folder::Folder;
use fanfare_tests::push::{KEYS, NAMESPACES, Push, eventually};
use fanfare_tests::samples::{Samples, expect_moved};
use fanfare_tests::tls::{Authority, Secured, TlsClient, certificates, put};
use fanfare_tests::wire::{Frame, Sender};
use fanfare_tests::zlib::Zlib;
use rustix::process::Signal;
use serde_json::{Value, json};

const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const PMD: &str = "permessage-deflate";
const SESSION: &str = "/connection/websocket";

fn echo(flags: &[&str]) -> Daemon {
    let flags = [&["--workers", "1"], flags].concat();
    Daemon::echo(&flags).expect("a daemon")
}

/// With one worker and these settings of compression.
fn serve(settings: &str) -> Push {
    let tail = format!(
        "[client]\nallow_anonymous = true\n[websocket.deflate]\nenabled = true\n{settings}"
    );
    Push::start("workers = 1\necho = true", &tail)
}

/// Text that becomes much smaller; another for each `n`.
fn news(n: usize) -> String {
    json!({"n": n, "text": format!("again and {n}, ").repeat(60)}).to_string()
}

#[test]
fn s5_1_what_is_agreed_on_is_what_was_offered_and_is_allowed() {
    let (willing, unwilling, push) = (echo(&["--deflate"]), echo(&[]), serve(""));
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let narrow = "permessage-deflate; server_max_window_bits=10";
    let cases = [
        (willing.addr(), "/", PMD, Some(PMD)),
        (
            willing.addr(),
            "/",
            "permessage-deflate; client_max_window_bits",
            Some(PMD),
        ),
        (willing.addr(), "/", narrow, Some(narrow)),
        (willing.addr(), "/", both, Some(both)),
        (willing.addr(), "/", "permessage-deflate; level=9", None),
        (
            willing.addr(),
            "/",
            "permessage-deflate; server_max_window_bits=16",
            None,
        ),
        (
            willing.addr(),
            "/",
            "x-webkit-deflate-frame, permessage-deflate",
            Some(PMD),
        ),
        (
            willing.addr(),
            "/",
            "permessage-deflate; level=9, permessage-deflate",
            Some(PMD),
        ),
        (unwilling.addr(), "/", PMD, None),
        (push.addr(), "/echo", PMD, Some(both)),
        (push.addr(), "/raw/open:x", PMD, Some(both)),
        (push.addr(), SESSION, PMD, Some(both)),
    ];
    for (addr, target, offer, answer) in cases {
        let (mut client, head) = Client::enter(addr, target, &[(EXTENSIONS, offer)]);
        let answers: Vec<&str> = head.all(EXTENSIONS).collect();
        assert_eq!(answers, Vec::from_iter(answer), "{target}, {offer}");
        client.say(&Frame::close(1000, ""));
        client.expect_close(1000);
    }
    let (client, head) = Client::enter(willing.addr(), "/", &[]);
    assert_eq!(
        head.all(EXTENSIONS).count(),
        0,
        "nothing was offered: {client:?}"
    );
    for (addr, target) in [
        (willing.addr(), "/"),
        (push.addr(), "/raw/open:x"),
        (push.addr(), SESSION),
    ] {
        let (_, head) = Client::ask(addr, target, &[(EXTENSIONS, "permessage-deflate; =")]);
        assert_eq!(head.status(), Some(400), "RFC 6455 9.1: {target}");
    }
}

#[test]
fn s7_2_an_echo_keeps_windows_both_ways_if_that_is_agreed_on() {
    let daemon = echo(&["--deflate"]);
    let offers = [
        PMD,
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8",
    ];
    for offer in offers {
        let mut client = Compressed::enter(daemon.addr(), "/", offer);
        let mut lens = Vec::new();
        for n in [1, 1, 2, 1] {
            client.say(&news(n));
            lens.push(client.expect(&news(n)));
        }
        let keeps = !offer.contains("server_no_context_takeover") && !offer.contains('9');
        assert_eq!(lens[1] < lens[0] / 2, keeps, "{offer}: {lens:?}");
        client.say("");
        let (empty, _) = client.message();
        assert_eq!(empty.payload, b"", "{offer}");
        client.socket.say(&Frame::text("as it is"));
        client.expect_or_plain("as it is");
        client.say(&news(3));
        client.expect(&news(3));
    }
}

#[test]
fn s6_1_fragments_and_pings_between_them_make_one_message_however_they_are_cut() {
    let daemon = echo(&["--deflate"]);
    let mut client = Compressed::enter(daemon.addr(), "/", PMD);
    for fragment_bytes in [1, 7, 100] {
        for at_once in [true, false] {
            let payload = client.payload(news(fragment_bytes).as_bytes());
            let parts: Vec<&[u8]> = payload.chunks(fragment_bytes).collect();
            let mut bytes = Vec::new();
            for (n, part) in parts.iter().enumerate() {
                let frame = if n == 0 {
                    Frame::text(*part).rsv(RSV1)
                } else {
                    Frame::continuation(*part)
                };
                let frame = if n + 1 < parts.len() {
                    frame.not_final()
                } else {
                    frame
                };
                bytes.extend(frame.encode(Sender::Client));
                if n == 0 && parts.len() > 1 {
                    bytes.extend(Frame::ping("still?").encode(Sender::Client));
                }
            }
            if at_once {
                client.socket.send(&bytes);
            } else {
                bytes.chunks(1).for_each(|byte| client.socket.send(byte));
            }
            if parts.len() > 1 {
                assert_eq!(client.message().0.payload, b"still?");
            }
            client.expect(&news(fragment_bytes));
        }
    }
}

#[test]
fn s6_reserved_bits_without_agreement_or_where_they_do_not_belong_close_1002() {
    let (willing, unwilling, push) = (echo(&["--deflate"]), echo(&[]), serve(""));
    let frame = || Frame::text(*b"\xF2\x48\xCD\xC9\xC9\x07\x00").rsv(RSV1);
    for (addr, target) in [
        (unwilling.addr(), "/"),
        (push.addr(), "/raw/open:x"),
        (push.addr(), SESSION),
        (willing.addr(), "/"),
    ] {
        let (mut client, _) = Client::enter(addr, target, &[]);
        client.say(&frame());
        client.expect_close(1002);
    }
    let wrong = [
        Frame::ping("").rsv(RSV1),
        Frame::text("x").rsv(2),
        Frame::text("x").rsv(RSV1 | 1),
    ];
    for frame in wrong {
        let mut client = Compressed::enter(willing.addr(), "/", PMD);
        client.socket.say(&frame);
        client.socket.expect_close(1002);
    }
    let mut client = Compressed::enter(willing.addr(), "/", PMD);
    client
        .socket
        .say(&Frame::text(*b"\xF2\x48\xCD").rsv(RSV1).not_final());
    client
        .socket
        .say(&Frame::continuation(*b"\xC9\xC9\x07\x00").rsv(RSV1));
    client.socket.expect_close(1002);
}

#[test]
fn garbage_and_text_that_is_none_close_1007_and_others_are_served() {
    let (daemon, push) = (echo(&["--deflate"]), serve(""));
    let mut zlib = Zlib::start();
    zlib.open_deflater(15);
    let no_text = zlib.deflate(&[0xFF; 300]);
    let wrong: [&[u8]; 4] = [b"\xFF\xFF\xFF", b"\x02\x03\x80", b"\xC1\x07", &no_text];
    for (addr, target) in [
        (daemon.addr(), "/"),
        (push.addr(), "/raw/open:x"),
        (push.addr(), SESSION),
    ] {
        let mut other = Compressed::enter(addr, "/echo", PMD);
        for payload in wrong {
            let mut client = Compressed::enter(addr, target, PMD);
            client.socket.say(&Frame::text(payload).rsv(RSV1));
            client.socket.expect_close(1007);
        }
        other.say(&news(1));
        let (frame, _) = other.message();
        assert_eq!(frame.payload, news(1).as_bytes());
    }
}

/// A message of so many zeros, or of white space, compressed.
fn bomb(byte: u8, bytes: usize) -> Vec<u8> {
    let mut zlib = Zlib::start();
    zlib.open_deflater(15);
    zlib.deflate(&vec![byte; bytes])
}

#[test]
fn a_bomb_closes_1009_at_the_limit_and_costs_no_more_than_that() {
    let daemon = echo(&["--deflate", "--max-message-bytes", "100000"]);
    let push = serve("[publication]\nmax_bytes = 100000");
    let bomb = bomb(b' ', 64 << 20);
    assert!(bomb.len() < 80_000, "{} bytes", bomb.len());
    let places = [
        (&daemon, "/"),
        (push.daemon(), "/raw/open:x"),
        (push.daemon(), SESSION),
    ];
    for (daemon, target) in places {
        let mut first = Compressed::enter(daemon.addr(), target, PMD);
        first.socket.say(&Frame::text(&bomb[..]).rsv(RSV1));
        first.socket.expect_close(1009);
        let before = daemon.resident_kib();
        for _ in 0..10 {
            let mut client = Compressed::enter(daemon.addr(), target, PMD);
            // What it declares is within the limit of what may be sent.
            client.socket.say(&Frame::text(&bomb[..]).rsv(RSV1));
            client.socket.expect_close(1009);
        }
        if let (Some(before), Some(now)) = (before, daemon.resident_kib()) {
            assert!(now < before + 1024, "{target}: from {before} to {now} KiB");
        }
    }
}

#[test]
fn what_many_are_told_is_compressed_once_and_everyone_gets_the_same() {
    let push = serve("");
    let mut plain = push.subscribe("past:x");
    let enter = |n: usize| {
        let offer = if n.is_multiple_of(2) {
            PMD
        } else {
            "permessage-deflate; server_max_window_bits=9"
        };
        Compressed::enter(push.addr(), "/raw/past:x", offer)
    };
    let mut subscribers: Vec<Compressed> = (0..20).map(enter).collect();
    let mut positioned = Compressed::enter(push.addr(), "/raw/past:x?meta=1", PMD);
    let start = String::from_utf8(positioned.message().0.payload).unwrap();
    let epoch = start.split_once(':').unwrap().1.to_owned();

    let before = Samples::of(&push);
    let mut api = push.api();
    for n in 1..=5 {
        let news: Value = serde_json::from_str(&news(n)).unwrap();
        api.publish("past:x", &news);
        let text = news.to_string();
        plain.expect_text(&text);
        for subscriber in &mut subscribers {
            assert!(subscriber.expect(&text) < text.len() / 5);
        }
        positioned.expect(&format!("{n}:{epoch} {text}"));
    }
    // Two window sizes, and a cohort of its own.
    let compressions = [("fanfare_deflate_messages_total", 15.0)];
    expect_moved(&push, &before, &compressions);
    api.publish("past:x", &json!("too short to be worth it"));
    for subscriber in &mut subscribers {
        subscriber.expect_plain("\"too short to be worth it\"");
    }
    expect_moved(&push, &before, &compressions);
}

#[test]
fn the_past_comes_compressed_too_and_what_is_long_as_it_is() {
    let push = serve("");
    let mut api = push.api();
    let long = "x".repeat(5000);
    for n in 1..=3 {
        api.publish("past:x", &serde_json::from_str(&news(n)).unwrap());
    }
    api.publish("past:x", &json!(long));
    let mut late = Compressed::enter(push.addr(), "/raw/past:x?history=4", PMD);
    for n in 1..=3 {
        let news: Value = serde_json::from_str(&news(n)).unwrap();
        late.expect(&news.to_string());
    }
    late.expect_plain(&json!(long).to_string());
    api.publish("past:x", &json!(long));
    late.expect(&json!(long).to_string());
}

#[test]
fn a_session_is_compressed_both_ways() {
    let push = serve("");
    let mut session = Compressed::enter(push.addr(), SESSION, PMD);
    session.say(&json!({"id": 1, "connect": {}}).to_string());
    let (connected, _) = session.message();
    let connected: Value = serde_json::from_slice(&connected.payload).unwrap();
    assert!(connected["connect"]["client"].is_string(), "{connected}");
    session.say(&json!({"id": 2, "subscribe": {"channel": "past:x"}}).to_string());
    let (subscribed, _) = session.message();
    let subscribed: Value = serde_json::from_slice(&subscribed.payload).unwrap();
    assert_eq!(subscribed["id"], 2, "{subscribed}");

    let data: Value = serde_json::from_str(&news(1)).unwrap();
    session.say(&json!({"id": 3, "publish": {"channel": "past:x", "data": data}}).to_string());
    let mut told = Vec::new();
    while told.len() < 2 {
        let (frame, len) = session.message();
        let text = String::from_utf8(frame.payload).unwrap();
        for line in text.lines() {
            told.push((serde_json::from_str::<Value>(line).unwrap(), len));
        }
    }
    told.sort_by_key(|(object, _)| object["id"].is_u64());
    let (publication, len) = &told[0];
    assert_eq!(publication["push"]["pub"]["data"], data, "{publication}");
    assert!(len.expect("compressed") < 200);

    session.say(&json!({"id": 4, "history": {"channel": "past:x", "limit": 10}}).to_string());
    let (history, len) = session.message();
    let history: Value = serde_json::from_slice(&history.payload).unwrap();
    assert_eq!(
        history["history"]["publications"][0]["data"], data,
        "{history}"
    );
    assert!(len.expect("compressed") < 250);
}

#[test]
fn raw_clients_publish_compressed_messages_in_order_behind_each_other() {
    let push = serve("allow_client_takeover = true");
    let mut listener = push.subscribe("open:x");
    let mut publisher = Compressed::enter(push.addr(), "/raw/open:x", PMD);
    assert!(!publisher.answer.contains("client_no_context_takeover"));
    for n in 0..200 {
        publisher.say(&news(n));
    }
    for n in 0..200 {
        listener.expect_text(&news(n));
        publisher.expect(&news(n));
    }
}

#[test]
fn short_frames_that_become_long_messages_come_in_order_whatever_turns_they_take() {
    let (daemon, push) = (echo(&["--deflate"]), serve(""));
    let long = |n: usize| format!("{n} {}", "a".repeat(150_000));
    for (addr, target) in [(daemon.addr(), "/"), (push.addr(), "/raw/open:x")] {
        let mut client = Compressed::enter(addr, target, PMD);
        // Less than a read: all of them are there at once.
        let mut all = Vec::new();
        for n in 0..12 {
            let payload = client.payload(long(n).as_bytes());
            all.extend(Frame::text(payload).rsv(RSV1).encode(Sender::Client));
        }
        assert!(all.len() < 16 << 10, "{}", all.len());
        client.socket.send(&all);
        for n in 0..12 {
            client.expect(&long(n));
        }
    }
}

#[test]
fn past_the_messages_that_may_have_begun_the_next_is_closed_with_1013() {
    let push = serve("max_half_received = 2");
    let before = Samples::of(&push);
    let receiving = "fanfare_deflate_contexts{for=\"receiving\"}";
    let begin = |target: &str| begin(&push, target, &news(1));
    let (mut first, tail) = begin("/raw/open:x");
    let _second = begin("/echo");
    expect_moved(&push, &before, &[(receiving, 2.0)]);
    for target in ["/raw/open:y", "/echo", SESSION] {
        let (mut third, _) = begin(target);
        third.socket.expect_close(1013);
    }
    // Whole messages need no place.
    let mut other = Compressed::enter(push.addr(), "/raw/open:y", PMD);
    other.say(&news(2));
    other.expect(&news(2));

    first.socket.say(&Frame::continuation(tail));
    first.expect(&news(1));
    let exceeded = "fanfare_limits_exceeded_total{limit=\"max_half_received\"}";
    expect_moved(&push, &before, &[(receiving, 1.0), (exceeded, 3.0)]);
    let (mut fourth, tail) = begin("/raw/open:z");
    fourth.socket.say(&Frame::continuation(tail));
    fourth.expect(&news(1));
}

/// All of a message but the last bytes of its frame, and those.
fn begin(push: &Push, target: &str, message: &str) -> (Compressed, Vec<u8>) {
    let mut client = Compressed::enter(push.addr(), target, PMD);
    let payload = client.payload(message.as_bytes());
    let (head, tail) = payload.split_at(payload.len() - 10);
    client.socket.say(&Frame::text(head).rsv(RSV1).not_final());
    (client, tail.to_vec())
}

#[test]
fn past_what_begun_messages_may_hold_who_holds_more_is_closed_with_1013() {
    const HELD: &str = "fanfare_deflate_half_received_bytes";
    let push = serve("max_half_received_bytes = 1000000");
    let long = "a".repeat(200_000);
    for target in ["/raw/open:x", "/echo", SESSION] {
        let (mut first, tail) = begin(&push, "/echo", &long);
        eventually("it is held", || Samples::of(&push).get(HELD) >= 170_000.0);
        // Memory grows by doubling: at least two and at most five of them may hold so much.
        let mut others: Vec<_> = (0..5).map(|_| begin(&push, target, &long).0).collect();
        let mut last = others.pop().unwrap();
        last.socket.expect_close(1013);
        first.socket.say(&Frame::continuation(tail));
        first.expect(&long);
        drop((first, others));
        eventually("it is let go", || Samples::of(&push).get(HELD) < 1.0);
    }
    let exceeded = "fanfare_limits_exceeded_total{limit=\"max_half_received_bytes\"}";
    assert!(Samples::of(&push).get(exceeded) >= 3.0);
}

#[test]
fn a_message_that_takes_too_long_is_closed_with_1008() {
    let push = serve("half_received_timeout = 0.3");
    let mut whole = Compressed::enter(push.addr(), "/echo", PMD);
    for target in ["/raw/open:x", "/echo", SESSION] {
        let (mut late, _) = begin(&push, target, &news(1));
        late.socket.expect_close(1008);
        // Not who has ended in time, however long ago.
        whole.say(&news(2));
        whole.expect(&news(2));
    }
    let exceeded = "fanfare_limits_exceeded_total{limit=\"half_received_timeout\"}";
    assert_eq!(Samples::of(&push).get(exceeded), 3.0);
}

#[test]
fn past_the_windows_that_may_be_kept_messages_stand_alone() {
    let push = serve("allow_client_takeover = true\nmax_contexts = 2");
    let enter = || Compressed::enter(push.addr(), "/raw/open:x", PMD);
    let stands_alone = |client: &Compressed| client.answer.contains("client_no_context_takeover");
    let mut clients = [enter(), enter(), enter()];
    assert_eq!(clients.each_ref().map(stands_alone), [false, false, true]);
    for n in 0..2 {
        for client in 0..3 {
            clients[client].say(&news(n));
            for hears in &mut clients {
                hears.expect(&news(n));
            }
        }
    }
    let takeover = "fanfare_deflate_contexts{for=\"takeover\"}";
    eventually("two windows", || {
        (Samples::of(&push).get(takeover) - 2.0).abs() < 0.1
    });
    drop(clients);
    eventually("no window", || Samples::of(&push).get(takeover) < 0.1);
    eventually("a promise", || !stands_alone(&enter()));
}

#[test]
fn a_reload_changes_nothing_of_it_and_says_so() {
    let push = serve("");
    let mut subscriber = Compressed::enter(push.addr(), "/raw/open:x", PMD);
    let daemon = push.daemon();
    let tables = format!("{NAMESPACES}\n[api]\nlisten = \"{{api}}\"\n{KEYS}");
    let config = format!("workers = 1\necho = true\n{tables}\n[client]\nallow_anonymous = true");
    daemon.rewrite_config(&config).unwrap();
    daemon.signal(Signal::HUP).unwrap();
    let says = |line: &str| line.contains("websocket.deflate.enabled has changed, but stays");
    let _ = daemon.log().wait_for("a word on the restart", 0, says);
    let mut other = Compressed::enter(push.addr(), "/raw/open:x", PMD);
    let data: Value = serde_json::from_str(&news(1)).unwrap();
    push.api().publish("open:x", &data);
    subscriber.expect(&data.to_string());
    other.expect(&data.to_string());
}

#[test]
fn over_tls_it_is_the_same() {
    let (authority, folder) = (Authority::new(), Folder::new());
    put(&folder, "one", &authority.sign(&["localhost"]));
    let server = Secured::serve(&format!(
        "workers = 1\necho = true\n[websocket.deflate]\nenabled = true\n[tls]\n{}",
        certificates(&folder, &["one"])
    ));
    let config = authority.trusted(&[&rustls::version::TLS13], None);
    let mut client = TlsClient::connect(server.addr(), &config, "localhost").unwrap();
    client.send(upgrade("/echo", &[(EXTENSIONS, PMD)]).as_bytes());
    assert_eq!(client.head().all(EXTENSIONS).count(), 1);
    let mut zlib = Zlib::start();
    for n in 0..10 {
        zlib.open_deflater(15);
        zlib.open_inflater(15);
        let payload = zlib.deflate(news(n).as_bytes());
        client.say(&Frame::text(payload).rsv(RSV1));
        let (rsv, frame) = client.extended().expect("a frame");
        assert_eq!(rsv, RSV1);
        assert_eq!(zlib.inflate(&frame.payload).unwrap(), news(n).as_bytes());
    }
}
