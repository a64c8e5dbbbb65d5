//! How sessions end and what keeps them: pings, codes and reasons of closes, limits, orders of the API,
//! shutdown.
//!
//! Never: waits for a time to pass; it waits for what the server does then.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::time::Duration;

use fanfare_tests::client::Client;
use fanfare_tests::clock::{self, unix_seconds};
use fanfare_tests::jwt::{Key, SECRET, TOKENS};
use fanfare_tests::push::Push;
use fanfare_tests::session::{Came, OPEN, PATH, Session, WIRES, Wire, expect_error};
use fanfare_tests::wire::Frame;
use serde_json::{Value, json};

/// `client` goes into `[client]`.
fn start(client: &str) -> Push {
    Push::start("workers = 2", &format!("{OPEN}{client}\n{TOKENS}"))
}

fn token(user: &str) -> String {
    Key::secret(SECRET).token(&json!({"sub": user}))
}

#[test]
fn whatever_is_no_conversation_closes_3501() {
    let push = start("");
    let connect = json!({"id": 1, "connect": {}});
    let subscribe = json!({"id": 2, "subscribe": {"channel": "open:a"}});
    let cases = [
        vec![subscribe],
        vec![json!({"id": 1, "rpc": {}})],
        vec![json!({"send": {"data": 1}})],
        vec![json!({})],
        vec![json!({"id": 1})],
        vec![json!({"connect": {}})],
        vec![connect.clone(), connect.clone()],
        vec![connect.clone(), json!({"id": 2, "connect": {}})],
        vec![connect.clone(), json!({"id": 3})],
        vec![connect.clone(), json!({"subscribe": {"channel": "open:a"}})],
        vec![
            connect.clone(),
            json!({"id": 0, "subscribe": {"channel": "open:a"}}),
        ],
        // A pong that no ping asked for.
        vec![connect, json!({})],
    ];
    for wire in WIRES {
        for commands in &cases {
            for together in [true, false] {
                let case = format!("{wire:?} {commands:?} {together}");
                let mut session = Session::open(push.addr(), wire);
                if together {
                    session.say(commands);
                } else {
                    for command in commands {
                        session.say(std::slice::from_ref(command));
                    }
                }
                session.until_closed(3501, &case);
            }
        }
    }
}

#[test]
fn what_is_malformed_closes_3501_behind_what_was_not() {
    let push = start("");
    let text = [
        "{",
        "}",
        "[]",
        "1",
        "null",
        "\"x\"",
        "{\"id\":1,",
        "{\"id\":\"a\"}",
        "{\"id\":-2}",
        "{\"id\":1.5,\"connect\":{}}",
        "{\"id\":4294967296,\"connect\":{}}",
        "{\"id\":2,\"nothing\":{}}",
        "{\"id\":2,\"subscribe\":1}",
        "{\"id\":2,\"subscribe\":{\"channel\":1}}",
        "\u{FEFF}{}",
        "{\"id\":2,\"publish\":{\"channel\":\"open:a\",\"data\":{]}}",
        "{} {}x",
        "{\"id\":2,\"subscribe\":{\"channel\":\"open:a\",\"offset\":-1}}",
        "{\"id\":2,\"publish\":{\"channel\":\"open:a\",\"data\":01}}",
        "{\"id\":2,\"publish\":{\"channel\":\"open:a\",\"data\":\"\u{1}\"}}",
    ];
    let text = text.map(|text| (Wire::Json, text.as_bytes().to_vec()));
    let binary: [&[u8]; 10] = [
        &[0x80],                                                       // a length that is cut off
        &[5, 8, 1],                                                    // fewer bytes than it says
        &[0xFF; 11],                                                   // a length that never ends
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 8, 2], // 2^60 bytes
        &[2, 8, 0x80],                                                 // an id that is cut off
        &[4, 8, 2, 0x2A, 9],       // a field longer than its object
        &[1, 0x0B],                // a group
        &[2, 0x0A, 0],             // an id of bytes
        &[5, 8, 2, 0x2A, 1, 0xFF], // a tag that is cut off
        &[8, 8, 2, 0x2A, 4, 0x0A, 2, 0xFF, 0xFE], // a channel that is no UTF-8
    ];
    let binary = binary.map(|bytes| (Wire::Protobuf, bytes.to_vec()));
    for (wire, bytes) in text.into_iter().chain(binary) {
        let frame = |bytes: &[u8]| match wire {
            Wire::Json => Frame::text(bytes),
            Wire::Protobuf => Frame::binary(bytes),
        };
        let case = format!("{wire:?} {:?}", String::from_utf8_lossy(&bytes));
        let mut first = Session::open(push.addr(), wire);
        first.socket.say(&frame(&bytes));
        first.until_closed(3501, &format!("first: {case}"));
        let mut later = Session::anonymous(&push, wire);
        later.socket.say(&frame(&bytes));
        later.until_closed(3501, &format!("later: {case}"));
        // What stands in front of it is answered first.
        let mut behind = Session::open(push.addr(), wire);
        let mut payload = wire.payload(&[json!({"id": 1, "connect": {}})]);
        if wire == Wire::Json {
            payload.push(b'\n');
        }
        payload.extend_from_slice(&bytes);
        behind.socket.say(&frame(&payload));
        let came = behind.until_closed(3501, &format!("behind: {case}"));
        assert!(
            matches!(came[..], [Came::Reply(1, _)]),
            "behind: {case}: {came:?}"
        );
    }
}

#[test]
fn a_frame_without_an_object_closes_3501() {
    let push = start("");
    let text = ["", "\n", " ", "\n\n"].map(|text| (Wire::Json, Frame::text(text)));
    let cases = [(Wire::Protobuf, Frame::binary(""))];
    for (wire, frame) in text.into_iter().chain(cases) {
        let case = format!("{wire:?} {frame:?}");
        let mut session = Session::anonymous(&push, wire);
        session.socket.say(&frame);
        // So that the failure is not a wait: a command behind it must not be answered.
        session.send("unsubscribe", &json!({"channel": "a"}));
        session.expect_closed(3501, &case);
    }
}

#[test]
fn no_credentials_are_3501_and_bad_ones_3500() {
    let push = Push::start("", TOKENS);
    for wire in WIRES {
        let mut session = Session::open(push.addr(), wire);
        session.send("connect", &json!({}));
        session.expect_closed(3501, "no token");
        let mut session = Session::open(push.addr(), wire);
        session.send("connect", &json!({"token": "x"}));
        session.expect_closed(3500, "no token at all");
    }
}

#[test]
fn frames_of_the_wrong_kind_close_3506() {
    let push = start("");
    for (wire, other) in [(Wire::Json, Wire::Protobuf), (Wire::Protobuf, Wire::Json)] {
        for connected in [false, true] {
            let mut session = Session::open(push.addr(), wire);
            if connected {
                session.result("connect", &json!({}));
            }
            session
                .socket
                .say(&other.frame(&[json!({"id": 9, "connect": {}})]));
            session.expect_closed(3506, &format!("{other:?} to {wire:?}"));
        }
    }
}

#[test]
fn subprotocols_choose_the_encoding() {
    let push = start("");
    let cases: [(&[&str], Option<&str>, Wire); 6] = [
        (&[], None, Wire::Json),
        (&["centrifuge-json"], Some("centrifuge-json"), Wire::Json),
        (
            &["centrifuge-protobuf"],
            Some("centrifuge-protobuf"),
            Wire::Protobuf,
        ),
        (
            &["mqtt, centrifuge-protobuf"],
            Some("centrifuge-protobuf"),
            Wire::Protobuf,
        ),
        (
            &["mqtt", "centrifuge-json"],
            Some("centrifuge-json"),
            Wire::Json,
        ),
        (&["mqtt"], None, Wire::Json),
    ];
    for (offers, chosen, wire) in cases {
        let headers: Vec<(&str, &str)> = offers
            .iter()
            .map(|offer| ("Sec-WebSocket-Protocol", *offer))
            .collect();
        let (client, head) = Client::enter(push.addr(), PATH, &headers);
        let came: Vec<&str> = head.all("Sec-WebSocket-Protocol").collect();
        assert_eq!(came, Vec::from_iter(chosen), "{offers:?}");
        Session::over(client, wire).result("connect", &json!({}));
    }
}

#[test]
fn who_says_nothing_in_time_is_closed_3502() {
    let push = start("connect_timeout = 0.3");
    for wire in WIRES {
        let mut silent = Session::open(push.addr(), wire);
        silent.expect_closed(3502, "silence");
        // Part of a command is none.
        let mut slow = Session::open(push.addr(), wire);
        let frame = match wire {
            Wire::Json => Frame::text("{\"id\":1,"),
            Wire::Protobuf => Frame::binary([9, 8]),
        };
        slow.socket.say(&frame.not_final());
        slow.expect_closed(3502, "half a command");
        let mut good = Session::anonymous(&push, wire);
        let mut another = Session::open(push.addr(), wire);
        another.expect_closed(3502, "silence");
        good.expect_quiet("it is connected, and was there before");
    }
}

#[test]
fn pings_come_in_time_and_who_answers_stays() {
    let push = start("ping_interval = 1\npong_timeout = 0.5");
    let before = clock::now();
    let mut sessions = WIRES.map(|wire| Session::connected(&push, wire, &json!({})));
    for (session, connected) in &mut sessions {
        assert_eq!(
            (&connected["ping"], &connected["pong"]),
            (&json!(1), &json!(true))
        );
        session.subscribe("open:ping");
    }
    for n in 0..3 {
        for (session, _) in &mut sessions {
            // Traffic is no excuse: the Python SDK counts pings alone.
            push.api().publish("open:ping", &json!(n));
            let mut pinged = false;
            while !pinged {
                match session.came() {
                    Came::Ping => pinged = true,
                    Came::Push(_) => {}
                    other => panic!("{:?}, ping {n}: {other:?}", session.wire()),
                }
            }
            session.pong();
        }
    }
    // The first of three in [0.5, 1] s, the others a second apart.
    let passed = clock::now() - before;
    assert!(passed >= Duration::from_millis(2400), "{passed:?}");
}

#[test]
fn who_does_not_answer_a_ping_is_closed_3012() {
    let push = start("ping_interval = 1\npong_timeout = 0.3");
    for wire in WIRES {
        let mut deaf = Session::anonymous(&push, wire);
        assert_eq!(deaf.came(), Came::Ping, "{wire:?}");
        // Other commands are no pong.
        deaf.subscribe("open:a");
        deaf.expect_closed(3012, "no pong");
        let mut eager = Session::anonymous(&push, wire);
        assert_eq!(eager.came(), Came::Ping, "{wire:?}");
        eager.pong();
        eager.pong();
        eager.expect_closed(3501, "two pongs for a ping");
    }
}

#[test]
fn the_first_pings_are_spread() {
    let push = start("ping_interval = 1\npong_timeout = 0.9");
    let before = clock::now();
    let mut sessions: Vec<Session> = (0..40)
        .map(|n| Session::anonymous(&push, WIRES[n % 2]))
        .collect();
    let connected = clock::now() - before;
    let mut came = Vec::new();
    let threads = std::thread::scope(|scope| {
        let waits: Vec<_> = sessions
            .iter_mut()
            .map(|session| {
                scope.spawn(|| {
                    assert_eq!(session.came(), Came::Ping);
                    clock::now() - before
                })
            })
            .collect();
        waits
            .into_iter()
            .map(|wait| wait.join().unwrap())
            .collect::<Vec<_>>()
    });
    came.extend(threads);
    came.sort_unstable();
    let spread = came[came.len() - 1] - came[0];
    // Of [0.5, 1] s forty draws leave out less than half; connecting took its part, too.
    let least = Duration::from_millis(250);
    assert!(
        spread >= least,
        "{spread:?}, connected in {connected:?}: {came:?}"
    );
    assert!(came[0] >= Duration::from_millis(450), "{came:?}");
}

#[test]
fn where_pings_are_off_nobody_is_told_to_expect_them() {
    let push = start("ping_interval = 0");
    for wire in WIRES {
        let (_, connected) = Session::connected(&push, wire, &json!({}));
        assert_eq!(connected["ping"].as_u64().unwrap_or(0), 0, "{connected}");
        assert!(!connected["pong"].as_bool().unwrap_or(false), "{connected}");
    }
}

#[test]
fn ping_frames_instead_of_the_protocol_s() {
    let push = Push::start(
        "",
        &format!("{OPEN}[websocket]\nping_interval = 0.3\npong_timeout = 0.3"),
    );
    for wire in WIRES {
        let query = "?cf_ws_frame_ping_pong=true";
        let mut session = Session::enter(push.addr(), wire, query, &[]);
        let connected = session.result("connect", &json!({}));
        assert_eq!(connected["ping"].as_u64().unwrap_or(0), 0, "{connected}");
        for _ in 0..3 {
            let Came::PingFrame(payload) = session.came() else {
                panic!("{wire:?}: a ping frame was expected");
            };
            session.socket.say(&Frame::pong(payload));
        }
        session.expect_quiet("still there");
    }
}

#[test]
fn a_shutdown_closes_3001() {
    for wire in WIRES {
        let push = start("");
        let mut connected = Session::anonymous(&push, wire);
        connected.subscribe("past:a");
        let mut silent = Session::open(push.addr(), wire);
        silent.socket.say(&Frame::ping("here"));
        assert_eq!(silent.socket.frame().unwrap().payload, b"here");
        push.daemon().terminate().unwrap();
        connected.expect_closed(3001, "connected");
        silent.expect_closed(3001, "not connected");
        let status = push.into_daemon().wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

#[test]
fn the_api_disconnects_users() {
    let push = start("");
    let mut api = push.api();
    for wire in WIRES {
        let user = format!("ada-{wire:?}");
        let connect = json!({"token": token(&user)});
        let mut other = Session::with_token(&push, wire, &token("bob"));
        let (mut one, first) = Session::connected(&push, wire, &connect);
        let (mut two, _) = Session::connected(&push, wire, &connect);
        api.result(
            "disconnect",
            &json!({"user": user, "client": first["client"]}),
        );
        one.expect_closed(3503, "by name");
        two.expect_quiet("it was the other's");
        let disconnect = json!({"code": 4444, "reason": "go away"});
        api.result(
            "disconnect",
            &json!({"user": user, "disconnect": disconnect}),
        );
        let Came::Closed(4444, reason) = two.came() else {
            panic!("{wire:?}: 4444 was expected");
        };
        assert_eq!(reason, "go away");
        other.expect_quiet("it was somebody else's");
    }
}

#[test]
fn the_api_refreshes_users() {
    let push = start("expiry_grace = 0.2");
    let mut api = push.api();
    for wire in WIRES {
        let user = format!("ada-{wire:?}");
        let claims = json!({"sub": user, "exp": unix_seconds() + 2});
        let soon = Key::secret(SECRET).token(&claims);
        let (mut session, connected) = Session::connected(&push, wire, &json!({"token": soon}));
        assert_eq!(connected["expires"], true, "{connected}");
        assert!(
            (1..=2).contains(&connected["ttl"].as_u64().unwrap()),
            "{connected}"
        );
        let later = json!({"user": user, "expire_at": unix_seconds() + 1000});
        api.result("refresh", &later);
        let told = session.push();
        assert_eq!(told["refresh"]["expires"], true, "{wire:?}: {told}");
        let ttl = told["refresh"]["ttl"].as_u64().unwrap();
        assert!((990..=1000).contains(&ttl), "{wire:?}: {told}");
        // Others end, this one does not.
        let mut ends = Session::with_token(&push, wire, &soon);
        ends.until_closed(3005, "expired");
        session.expect_quiet("refreshed");
        api.result(
            "refresh",
            &json!({"user": user, "expire_at": unix_seconds() - 10}),
        );
        session.until_closed(3005, "expired by order");
    }
}

#[test]
fn a_user_has_as_many_connections_as_it_may() {
    let push = start("max_connections_per_user = 2");
    let connect = json!({"token": token("ada")});
    for wire in WIRES {
        let (first, _) = Session::connected(&push, wire, &connect);
        let (mut second, _) = Session::connected(&push, wire, &connect);
        let mut third = Session::open(push.addr(), wire);
        third.send("connect", &connect);
        third.expect_closed(3504, "one too many");
        drop(first);
        fanfare_tests::push::eventually("a place", || {
            let mut session = Session::open(push.addr(), wire);
            let id = session.send("connect", &connect);
            let came = session.came();
            assert!(
                matches!(came, Came::Reply(of, _) if of == id)
                    || matches!(came, Came::Closed(3504, _))
            );
            matches!(came, Came::Reply(..))
        });
        second.expect_quiet("untouched");
    }
}

#[test]
fn a_client_has_as_many_channels_as_it_may() {
    let push = start("max_channels = 3");
    for wire in WIRES {
        let mut session = Session::anonymous(&push, wire);
        for n in 0..3 {
            session.subscribe(&format!("open:{n}"));
        }
        session.expect_error("subscribe", &json!({"channel": "open:3"}), 106);
        session.expect_error("subscribe", &json!({"channel": "open:0"}), 105);
        session.result("unsubscribe", &json!({"channel": "open:1"}));
        session.subscribe("open:3");
        session.expect_error("subscribe", &json!({"channel": "open:1"}), 106);
        push.api().publish("open:3", &json!("in"));
        session.expect_data("open:3", &json!("in"));
    }
}

#[test]
fn more_commands_a_second_than_allowed_are_111() {
    let push = start("max_commands_per_second = 10");
    for wire in WIRES {
        let mut session = Session::anonymous(&push, wire);
        let (ids, commands): (Vec<u64>, Vec<Value>) = (0..60)
            .map(|n| session.next_command("publish", &json!({"channel": "open:a", "data": n})))
            .unzip();
        session.say(&commands);
        let (mut good, mut refused) = (0, 0);
        for id in ids {
            let reply = session.reply(id);
            if reply["error"].is_null() {
                good += 1;
            } else {
                expect_error(&reply, 111, &format!("{wire:?}"));
                refused += 1;
            }
        }
        // One second's, and what comes while they are answered.
        assert!((5..=40).contains(&good), "{wire:?}: {good} of 60");
        assert!(refused >= 20, "{wire:?}: {refused} of 60");
        fanfare_tests::push::eventually("it may again", || {
            let reply = session.call("publish", &json!({"channel": "open:a", "data": 1}));
            std::thread::sleep(Duration::from_millis(50)); // asking costs, too
            reply["error"].is_null()
        });
    }
}
