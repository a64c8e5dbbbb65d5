//! Sessions that misbehave: malformed, giant and endless commands, floods, clients that never read. The documented
//! code, bounded memory, and a bystander who notices nothing.
//!
//! Never: lets an abuser off without having looked at the bystander and the memory.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use fanfare_tests::bystander::beside_a_bystander;
use fanfare_tests::push::{Push, eventually};
use fanfare_tests::samples::Samples;
use fanfare_tests::session::{Came, OPEN, Session, WIRES, Wire, expect_error, varint};
use fanfare_tests::wire::{Frame, Sender};
use serde_json::{Value, json};

/// What may wait for one client.
const OUTPUT_BYTES_MAX: u64 = 256 << 10;
/// The largest message.
const MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// What one abuser may cost at most, at its worst: what waits for it, twice while a buffer grows, its largest
/// message, likewise, and what the allocator keeps. KiB.
const ABUSER_KIB_MAX: u64 = (2 * OUTPUT_BYTES_MAX + 3 * MESSAGE_BYTES_MAX) / 1024 + 4 * 1024;

/// One worker, so that abusers and bystanders share it.
fn start(more: &str) -> Push {
    start_with(more, "")
}

/// `websocket`: more settings of that table.
fn start_with(more: &str, websocket: &str) -> Push {
    let tail = format!(
        "{OPEN}{more}\n[websocket]\nmax_output_bytes = {OUTPUT_BYTES_MAX}\n\
         max_message_bytes = {MESSAGE_BYTES_MAX}\nsend_timeout = 60\nclose_timeout = 1\n{websocket}"
    );
    Push::start("workers = 1", &tail)
}

/// Writes all of this, or as much as is taken before the server closes; whatever comes meanwhile is read by
/// somebody else or by nobody.
fn pour(socket: &mut std::net::TcpStream, bytes: &[u8]) -> bool {
    socket.write_all(bytes).is_ok()
}

/// Reads until the close frame, which has one of these codes.
#[track_caller]
fn expect_closed(session: &mut Session, codes: &[u16], case: &str) -> Vec<Came> {
    let mut before = Vec::new();
    loop {
        match session.came() {
            Came::Closed(code, reason) => {
                assert!(
                    codes.contains(&code),
                    "{case}: {code} {reason:?}, not {codes:?}"
                );
                return before;
            }
            Came::End => panic!("{case}: the end without a close frame after {before:?}"),
            came => before.push(came),
        }
    }
}

fn first_of(wire: Wire, bytes: &[u8]) -> Frame {
    match wire {
        Wire::Json => Frame::text(bytes),
        Wire::Protobuf => Frame::binary(bytes),
    }
}

#[test]
fn giant_commands_are_1009_and_giant_nonsense_3501() {
    let push = start("");
    let message = usize::try_from(MESSAGE_BYTES_MAX).unwrap();
    let whole: Vec<(&str, Wire, Vec<u8>, u16)> = vec![
        ("braces", Wire::Json, vec![b'{'; message], 3501),
        ("brackets", Wire::Json, vec![b'['; message], 3501),
        (
            "deep data",
            Wire::Json,
            {
                let deep = "[".repeat(message / 2 - 100);
                format!("{{\"id\":2,\"publish\":{{\"channel\":\"open:a\",\"data\":{deep}")
                    .into_bytes()
            },
            3501,
        ),
        (
            "a string without an end",
            Wire::Json,
            {
                let mut bytes = b"{\"id\":2,\"rpc\":{\"method\":\"".to_vec();
                bytes.resize(message, b'a');
                bytes
            },
            3501,
        ),
        (
            "escapes without an end",
            Wire::Json,
            {
                let mut bytes = b"{\"id\":2,\"rpc\":{\"method\":\"".to_vec();
                while bytes.len() + 6 <= message {
                    bytes.extend(b"\\u0061");
                }
                bytes
            },
            3501,
        ),
        (
            "a number without an end",
            Wire::Json,
            {
                let mut bytes = b"{\"id\":".to_vec();
                bytes.resize(message, b'1');
                bytes
            },
            3501,
        ),
        (
            "newlines and then nonsense",
            Wire::Json,
            {
                let mut bytes = vec![b'\n'; message - 1];
                bytes.push(b'x');
                bytes
            },
            3501,
        ),
        (
            "a varint without an end",
            Wire::Protobuf,
            vec![0xFF; message],
            3501,
        ),
        (
            "a length of 2^60",
            Wire::Protobuf,
            [varint(1 << 60), vec![8; 100]].concat(),
            3501,
        ),
        (
            "a length of 2^63",
            Wire::Protobuf,
            [varint(1 << 63), vec![8; 100]].concat(),
            3501,
        ),
        (
            "a field of 2^60",
            Wire::Protobuf,
            {
                let body = [vec![8, 2, 0x2A], varint(1 << 60)].concat();
                [varint(body.len() as u64), body].concat()
            },
            3501,
        ),
        (
            "a field of 2^31",
            Wire::Protobuf,
            {
                let body = [vec![8, 2, 0x2A], varint(1 << 31)].concat();
                [varint(body.len() as u64), body].concat()
            },
            3501,
        ),
        (
            "groups in groups",
            Wire::Protobuf,
            {
                let body = vec![0x7B; 100_000];
                [varint(body.len() as u64), body].concat()
            },
            3501,
        ),
    ];
    beside_a_bystander(&push, 2 * ABUSER_KIB_MAX, "giants", || {
        for (what, wire, bytes, code) in &whole {
            let mut first = Session::open(push.addr(), *wire);
            first.socket.say(&first_of(*wire, bytes));
            expect_closed(&mut first, &[*code], &format!("{wire:?}, first: {what}"));
            let mut later = Session::anonymous(&push, *wire);
            later.socket.say(&first_of(*wire, bytes));
            expect_closed(&mut later, &[*code], &format!("{wire:?}, later: {what}"));
        }
    });
}

#[test]
fn endless_commands_are_1009() {
    let push = start("");
    beside_a_bystander(&push, 2 * ABUSER_KIB_MAX, "endless", || {
        for wire in WIRES {
            for connected in [false, true] {
                for piece in [1 << 10, 64 << 10, 512 << 10] {
                    let case = format!("{wire:?}, {piece} a fragment, connected {connected}");
                    let mut session = match connected {
                        true => Session::anonymous(&push, wire),
                        false => Session::open(push.addr(), wire),
                    };
                    let start = match wire {
                        Wire::Json => &b"{\"id\":9,\"rpc\":{\"data\":\""[..],
                        Wire::Protobuf => &[0xFF, 0xFF, 0xFF, 0x7F, 8, 9],
                    };
                    let mut writer = session.socket.socket.try_clone().unwrap();
                    pour(
                        &mut writer,
                        &first_of(wire, start).not_final().encode(Sender::Client),
                    );
                    let more = Frame::continuation(vec![b'a'; piece]).not_final();
                    let more = more.encode(Sender::Client);
                    // Four times what a message may have.
                    for _ in 0..4 * (1 << 20) / piece {
                        if !pour(&mut writer, &more) {
                            break;
                        }
                    }
                    expect_closed(&mut session, &[1009], &case);
                }
                // A length that says so at once.
                let mut session = Session::open(push.addr(), wire);
                session.socket.say(&first_of(wire, b"{").declaring(1 << 60));
                expect_closed(&mut session, &[1009], "declared");
            }
        }
    });
}

#[test]
fn ten_thousand_subscriptions_where_a_hundred_are_allowed_are_106_and_then_3509() {
    let push = start("max_channels = 100");
    beside_a_bystander(&push, ABUSER_KIB_MAX, "subscriptions", || {
        for wire in WIRES {
            let mut session = Session::anonymous(&push, wire);
            for n in 0..100 {
                session.subscribe(&format!("past:{wire:?}{n}"));
            }
            let frames: Vec<u8> = (100..10_000)
                .flat_map(|n| {
                    let channel = format!("past:{wire:?}{n}");
                    let command = json!({"id": n + 1000, "subscribe": {"channel": channel}});
                    wire.frame(&[command]).encode(Sender::Client)
                })
                .collect();
            let mut writer = session.socket.socket.try_clone().unwrap();
            thread::scope(|scope| {
                scope.spawn(move || pour(&mut writer, &frames));
                for came in expect_closed(&mut session, &[3509], &format!("{wire:?}")) {
                    match came {
                        Came::Reply(_, reply) => expect_error(&reply, 106, &format!("{wire:?}")),
                        other => panic!("{wire:?}: {other:?}"),
                    }
                }
                let _ = session.socket.socket.shutdown(Shutdown::Both);
            });
        }
    });
}

#[test]
fn ten_thousand_subscriptions_that_are_allowed_all_work() {
    let push = start("max_channels = 10000");
    // Each with a position: some 300 bytes, and a channel in the engine with its past.
    let kib_max = ABUSER_KIB_MAX + 2 * 10_000 * 2;
    beside_a_bystander(&push, kib_max, "allowed subscriptions", || {
        for wire in WIRES {
            let mut session = Session::anonymous(&push, wire);
            for hundred in 0..100 {
                let (ids, commands): (Vec<u64>, Vec<Value>) = (0..100)
                    .map(|n| {
                        let channel = format!("past:{wire:?}-{}", hundred * 100 + n);
                        session.next_command("subscribe", &json!({"channel": channel}))
                    })
                    .unzip();
                session.say(&commands);
                for id in ids {
                    let reply = session.reply(id);
                    assert!(reply["subscribe"].is_object(), "{wire:?}: {reply}");
                }
            }
            session.expect_error("subscribe", &json!({"channel": "past:more"}), 106);
            let mut api = push.api();
            for n in [0, 1, 4999, 9999] {
                let channel = format!("past:{wire:?}-{n}");
                api.publish(&channel, &json!(n));
                session.expect_data(&channel, &json!(n));
            }
        }
    });
}

#[test]
fn a_flood_of_publications_takes_nothing_from_others() {
    const COUNT: usize = 20_000;
    let push = start("");
    let kib_max = 2 * ABUSER_KIB_MAX + 32 * 1024; // the past of a channel: a thousand of up to 1 KiB, and inboxes
    for channel in ["open:flood", "recovers:flood"] {
        beside_a_bystander(&push, kib_max, channel, || {
            for wire in WIRES {
                let mut flooder = Session::anonymous(&push, wire);
                let mut reader = Session::anonymous(&push, wire);
                let first = reader.subscribe(channel)["offset"].as_u64().unwrap_or(0);
                let data = "x".repeat(200);
                let mut writer = flooder.socket.socket.try_clone().unwrap();
                thread::scope(|scope| {
                    scope.spawn(move || {
                        for n in 0..COUNT / 50 {
                            let commands: Vec<Value> = (0..50)
                                .map(|m| {
                                    let number = n * 50 + m;
                                    json!({"id": number + 10, "publish":
                                        {"channel": channel, "data": [number, data]}})
                                })
                                .collect();
                            if !pour(&mut writer, &wire.frame(&commands).encode(Sender::Client)) {
                                return;
                            }
                        }
                    });
                    let read = scope.spawn(|| {
                        for n in 0..COUNT {
                            let publication = reader.publication(channel);
                            assert_eq!(publication["data"][0], n, "{channel}");
                            if channel == "recovers:flood" {
                                assert_eq!(publication["offset"], first + n as u64 + 1);
                            }
                        }
                    });
                    for n in 0..COUNT {
                        match flooder.came() {
                            Came::Reply(_, reply) if reply["publish"].is_object() => {}
                            other => panic!("{wire:?}, reply {n}: {other:?}"),
                        }
                    }
                    read.join().unwrap();
                });
            }
        });
    }
}

/// A hundred thousand of these from a client that is connected; then it is as good as any, or was closed with this.
#[track_caller]
fn flood(push: &Push, wire: Wire, what: &str, frame: &Frame, closes: Option<u16>) {
    let mut session = Session::anonymous(push, wire);
    let mut writer = session.socket.socket.try_clone().unwrap();
    let frames = frame.encode(Sender::Client).repeat(1000);
    let case = format!("{wire:?}, {what}");
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..100 {
                if !pour(&mut writer, &frames) {
                    return;
                }
            }
            let end = wire.frame(&[json!({"id": 7777, "unsubscribe": {"channel": "none"}})]);
            pour(&mut writer, &end.encode(Sender::Client));
        });
        loop {
            match session.came() {
                Came::Reply(7777, _) if closes.is_none() => break,
                Came::Closed(code, reason) => {
                    assert_eq!(Some(code), closes, "{case}: {reason}");
                    let _ = session.socket.socket.shutdown(Shutdown::Both);
                    break;
                }
                Came::Reply(id, reply) => panic!("{case}: reply {id} {reply}"),
                other => assert!(!matches!(other, Came::End), "{case}: the end"),
            }
        }
    });
}

#[test]
fn floods_of_what_needs_no_answer_are_borne_or_closed() {
    floods("max_fragments_per_second = 0", None);
}

#[test]
fn floods_of_control_frames_are_closed_unless_that_is_wanted() {
    floods("", Some(3013));
}

/// `control`: what control frames are closed with.
fn floods(websocket: &str, control: Option<u16>) {
    let push = start_with("", websocket);
    beside_a_bystander(&push, ABUSER_KIB_MAX, "floods", || {
        for wire in WIRES {
            let send = wire.frame(&[json!({"send": {"data": "x".repeat(50)}})]);
            flood(&push, wire, "sends", &send, None);
            let (ping, pong) = (Frame::ping("x".repeat(50)), Frame::pong("x".repeat(50)));
            flood(&push, wire, "ping frames", &ping, control);
            flood(&push, wire, "pong frames", &pong, control);
            flood(&push, wire, "pongs", &wire.frame(&[json!({})]), Some(3501));
            let connect = wire.frame(&[json!({"id": 5, "connect": {}})]);
            flood(&push, wire, "connects", &connect, Some(3501));
        }
    });
}

#[test]
fn who_asks_for_history_again_and_again_and_never_reads_costs_what_may_wait_for_it() {
    let push = start("");
    let mut api = push.api();
    // A page of 300 is 600 KiB.
    let data = json!("x".repeat(2000));
    for _ in 0..300 {
        api.publish("past:large", &data);
    }
    let abusers = 4;
    beside_a_bystander(&push, abusers * ABUSER_KIB_MAX, "history", || {
        let mut deaf = Vec::new();
        for n in 0..abusers {
            let wire = WIRES[usize::try_from(n).unwrap() % 2];
            let mut session = Session::narrow(push.addr(), wire);
            session.subscribe("past:large");
            let commands: Vec<Value> = (0..50)
                .map(|n| json!({"id": n + 10, "history": {"channel": "past:large", "limit": 300}}))
                .collect();
            let bytes = wire.frame(&commands).encode(Sender::Client);
            // It may stop reading us at any time, and must not wait for us.
            session.socket.socket.set_nonblocking(true).unwrap();
            for _ in 0..200 {
                let _ = session.socket.socket.write(&bytes);
                api.publish("open:turn", &json!(1));
            }
            deaf.push(session);
        }
        // Those who read get what they ask for meanwhile.
        for wire in WIRES {
            let mut session = Session::anonymous(&push, wire);
            session.subscribe("past:large");
            let page = json!({"channel": "past:large", "limit": 300});
            let mut at = 0;
            while at < 300 {
                let mut page = page.clone();
                page["since"] = json!({"offset": at, "epoch": ""});
                let result = session.result("history", &page);
                let last = result["publications"].as_array().unwrap().last().unwrap();
                at = last["offset"].as_u64().unwrap();
            }
        }
        for mut session in deaf {
            // What it takes at last is whole, up to a close if there is one.
            session.socket.socket.set_nonblocking(false).unwrap();
            for _ in 0..20 {
                match session.came() {
                    Came::Reply(_, reply) => assert!(reply["history"].is_object(), "{reply}"),
                    Came::Closed(3008, _) => break,
                    other => panic!("{other:?}"),
                }
            }
        }
    });
}

#[test]
fn connections_that_say_half_a_command_and_stay_cost_what_they_said() {
    let push = start("connect_timeout = 30");
    let half = 64 << 10;
    let count: u64 = 50;
    let kib_max = count * 2 * (half as u64 >> 10) + ABUSER_KIB_MAX;
    beside_a_bystander(&push, kib_max, "halves", || {
        let mut held = Vec::new();
        for n in 0..count {
            let wire = WIRES[usize::try_from(n % 2).unwrap()];
            let mut session = Session::open(push.addr(), wire);
            let mut bytes = match wire {
                Wire::Json => b"{\"id\":1,\"connect\":{\"data\":\"".to_vec(),
                Wire::Protobuf => varint(1 << 40),
            };
            bytes.resize(half, b'a');
            session.socket.say(&first_of(wire, &bytes).not_final());
            session.socket.say(&Frame::ping("there"));
            assert_eq!(session.socket.frame().unwrap().payload, b"there");
            held.push(session);
        }
    });
}

#[test]
fn errors_without_end_are_3509() {
    let push = start("");
    beside_a_bystander(&push, ABUSER_KIB_MAX, "errors", || {
        for wire in WIRES {
            let mut session = Session::anonymous(&push, wire);
            let mut writer = session.socket.socket.try_clone().unwrap();
            let commands: Vec<u8> = (0..5000)
                .flat_map(|n| {
                    let command = json!({"id": n + 10, "subscribe": {"channel": "nowhere:a"}});
                    wire.frame(&[command]).encode(Sender::Client)
                })
                .collect();
            thread::scope(|scope| {
                scope.spawn(move || pour(&mut writer, &commands));
                let before = expect_closed(&mut session, &[3509], &format!("{wire:?}"));
                assert!(before.len() < 1000, "{wire:?}: {} errors", before.len());
                let _ = session.socket.socket.shutdown(Shutdown::Both);
            });
        }
    });
}

#[test]
fn who_is_closed_while_it_reads_nothing_and_has_asked_for_much_gets_what_it_asked_for() {
    let push = start("");
    let mut api = push.api();
    let data = json!("x".repeat(2000));
    for _ in 0..300 {
        api.publish("past:large", &data); // a page of 300 is more than may wait
    }
    beside_a_bystander(&push, 2 * ABUSER_KIB_MAX, "a close meanwhile", || {
        for wire in WIRES {
            let (mut session, connected) = Session::narrow_with_result(push.addr(), wire);
            session.subscribe("past:large");
            // Many messages in one read, of which only the first are taken.
            let asked: Vec<u8> = (0..150)
                .flat_map(|n| {
                    let page = json!({"channel": "past:large", "limit": 300});
                    let command = json!({"id": n + 10, "history": page});
                    wire.frame(&[command]).encode(Sender::Client)
                })
                .collect();
            session.socket.send(&asked);
            eventually("its answers wait", || {
                Samples::of(&push).get("fanfare_output_queued_bytes") > OUTPUT_BYTES_MAX as f64
            });
            let order = json!({
                "user": "", "client": connected["client"], "disconnect": {"code": 3503, "reason": "go"},
            });
            api.result("disconnect", &order);
            let mut answers = 0;
            loop {
                match session.came() {
                    Came::Reply(_, reply) => {
                        assert!(reply["history"].is_object(), "{reply}");
                        answers += 1;
                    }
                    Came::Closed(3503, _) => break,
                    other => panic!("{wire:?}: {other:?} after {answers}"),
                }
            }
            assert!(answers > 0, "{wire:?}");
        }
    });
}

#[test]
fn pings_behind_a_close_cost_nothing_that_is_kept() {
    let push = start("");
    beside_a_bystander(&push, ABUSER_KIB_MAX, "pings behind a close", || {
        for wire in WIRES {
            let session = Session::narrow(push.addr(), wire);
            let mut writer = session.socket.socket.try_clone().unwrap();
            writer
                .set_write_timeout(Some(Duration::from_millis(500)))
                .unwrap();
            let wrong = wire.frame(&[json!({})]).encode(Sender::Client); // a pong that nobody asked for: 3501
            assert!(pour(&mut writer, &wrong));
            let pings = Frame::ping("x".repeat(125))
                .encode(Sender::Client)
                .repeat(8000);
            let mut sent = 0;
            // A million bytes each, of which a server that answers all would keep as many.
            while sent < 32 && pour(&mut writer, &pings) {
                sent += 1;
            }
        }
    });
}
