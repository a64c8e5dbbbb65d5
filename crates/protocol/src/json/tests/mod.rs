//! The JSON wire, literally and by seed. In: frames and values as they are written. Out: verdicts.
//!
//! Never: reads with what the server writes with.

mod values;

use std::collections::HashMap;

use fanfare_hub::Publication;
use serde_json::{Value, json};

use crate::command::{Connect, History, Publish, Refresh, Rpc, SubRefresh, Subscribe};
use crate::limits::JSON_DEPTH_MAX;
use crate::message::{Expiry, Push, Reply};
use crate::samples::World;
use crate::{Command, Commands, Encoding, Malformed, Method, append_ping, json as wire};

use values::{push_value, reply_value};

fn decode(line: &str) -> Result<Command, Malformed> {
    wire::decode_command(line.as_bytes())
}

fn method(line: &str) -> Method {
    decode(line)
        .unwrap_or_else(|error| panic!("{error}: {line}"))
        .method
}

fn encoded(reply: &Reply<'_>) -> String {
    let mut out = Vec::new();
    reply.append_to(&mut out, Encoding::Json);
    String::from_utf8(out).unwrap()
}

fn pushed(push: &Push<'_>) -> String {
    let mut out = Vec::new();
    push.append_to(&mut out, Encoding::Json);
    String::from_utf8(out).unwrap()
}

#[test]
fn commands_are_read_as_sdks_write_them() {
    let position = |offset, epoch: &str| crate::Position {
        offset,
        epoch: epoch.to_owned(),
    };
    let channel = || "c".to_owned();
    let token = || "t".to_owned();
    let server_side = Subscribe {
        recover: true,
        since: position(1 << 40, "e"),
        ..Subscribe::default()
    };
    let cases = [
        (
            r#"{"connect":{"token":"t","data":{"a": 1},"name":"js","version":"5","headers":{"h":"v"},"flag":3,
                "profile":"p","dict":{},"subs":{"s":{"recover":true,"epoch":"e","offset":1099511627776}}},"id":1}"#,
            1,
            Method::Connect(Box::new(Connect {
                token: token(),
                data: r#"{"a": 1}"#.into(),
                name: "js".to_owned(),
                version: "5".to_owned(),
                headers: HashMap::from([("h".to_owned(), "v".to_owned())]),
                subs: HashMap::from([("s".to_owned(), server_side)]),
            })),
        ),
        (
            r#"{"subscribe":{"channel":"c","token":"t","recover":true,"epoch":"e","offset":7,"data":[],
                "positioned":true,"recoverable":true,"join_leave":true,"delta":"fossil","flag":3,
                "tf":{"op":"not","nodes":[{"key":"k","cmp":"eq","val":"v"}]}},"id":2}"#,
            2,
            Method::Subscribe(Box::new(Subscribe {
                channel: channel(),
                token: token(),
                data: "[]".into(),
                recover: true,
                since: position(7, "e"),
                positioned: true,
                recoverable: true,
                join_leave: true,
                flag: 3,
            })),
        ),
        (
            r#"{"id":3,"unsubscribe":{"channel":"c"}}"#,
            3,
            Method::Unsubscribe { channel: channel() },
        ),
        (
            r#"{"id": 4294967295, "publish": {"channel": "c", "data": {"t": "a\nb"} }}"#,
            u32::MAX,
            Method::Publish(Publish {
                channel: channel(),
                data: r#"{"t": "a\nb"}"#.into(),
            }),
        ),
        (
            r#"{"id":5,"presence":{"channel":"c"}}"#,
            5,
            Method::Presence { channel: channel() },
        ),
        (
            r#"{"id":6,"presence_stats":{"channel":"c"}}"#,
            6,
            Method::PresenceStats { channel: channel() },
        ),
        (
            r#"{"id":7,"history":{"channel":"c","limit":-1,"since":{"offset":9,"epoch":"e"},"reverse":true}}"#,
            7,
            Method::History(History {
                channel: channel(),
                limit: -1,
                since: Some(position(9, "e")),
                reverse: true,
            }),
        ),
        (
            r#"{"id":8,"rpc":{"method":"m","data":"d"}}"#,
            8,
            Method::Rpc(Rpc {
                method: "m".to_owned(),
                data: "\"d\"".into(),
            }),
        ),
        (
            r#"{"send":{"data":1}}"#,
            0,
            Method::Send { data: "1".into() },
        ),
        (
            r#"{"id":9,"refresh":{"token":"t"}}"#,
            9,
            Method::Refresh(Refresh { token: token() }),
        ),
        (
            r#"{"id":10,"sub_refresh":{"channel":"c","token":"t"}}"#,
            10,
            Method::SubRefresh(SubRefresh {
                channel: channel(),
                token: token(),
            }),
        ),
        ("{}", 0, Method::Pong),
        (r#"{"id":0}"#, 0, Method::Pong),
        (r#"{"id":1}"#, 1, Method::Unknown),
        (r#"{"id":1,"ping":{}}"#, 1, Method::Unknown),
        (r#"{"id":1,"frobnicate":{"a":[1,{}]}}"#, 1, Method::Unknown),
    ];
    for (line, id, method) in cases {
        assert_eq!(decode(line), Ok(Command { id, method }), "{line}");
    }
}

#[test]
fn null_is_a_value_in_data_alone() {
    let null = r#"{"id":null,"connect":null,"publish":{"channel":null,"data":null}}"#;
    let data = "null".into();
    let channel = String::new();
    assert_eq!(method(null), Method::Publish(Publish { channel, data }));
    let absent = method(r#"{"publish":{}}"#);
    assert_eq!(absent, Method::Publish(Publish::default()));
}

#[test]
fn the_first_method_of_the_schema_counts() {
    let both = r#"{"id":1,"rpc":{"method":"m"},"presence":{"channel":"c"}}"#;
    let channel = "c".to_owned();
    assert_eq!(method(both), Method::Presence { channel });
}

#[test]
fn what_is_no_command_is_malformed() {
    let cases = [
        "",
        " ",
        "x",
        "null",
        "1",
        "\"a\"",
        "[]",
        "[1,{}]",
        "{",
        "}",
        "{}}",
        "{}{}",
        "{} {}",
        "{},{}",
        "{\"id\":1,}",
        "{\"id\":-1}",
        "{\"id\":1.5}",
        "{\"id\":1e2}",
        "{\"id\":\"1\"}",
        "{\"id\":4294967296}",
        "{\"id\":1,\"id\":2}",
        "{'id':1}",
        "{\"connect\":[]}",
        "{\"connect\":1}",
        "{\"connect\":{},\"connect\":{}}",
        "{\"connect\":{\"token\":1}}",
        "{\"connect\":{\"subs\":[]}}",
        "{\"connect\":{\"subs\":{\"a\":1}}}",
        "{\"connect\":{\"subs\":{\"a\":{\"offset\":-1}}}}",
        "{\"connect\":{\"headers\":{\"a\":1}}}",
        "{\"subscribe\":{\"recover\":1}}",
        "{\"subscribe\":{\"offset\":18446744073709551616}}",
        "{\"history\":{\"limit\":2147483648}}",
        "{\"history\":{\"since\":[1,\"e\"]}}",
        "{\"publish\":[\"c\",1]}",
        "{\"publish\":{\"channel\":\"\\ud800\"}}",
        "{\"publish\":{\"channel\":\"c\",\"data\":}}",
        "{\"publish\":{\"channel\":\"c\",\"data\":{}",
        "{\"publish\":{\"channel\":\"c\",\"data\":\"a\rb\"}}",
        "{\"publish\":{\"channel\":\"c\",\"data\":NaN}}",
        "\u{feff}{}",
    ];
    for line in cases {
        assert_eq!(decode(line), Err(Malformed::Command), "{line}");
    }
    let not_utf8: [&[u8]; 3] = [
        b"\xff",
        b"{\"publish\":{\"channel\":\"\xff\"}}",
        b"{\"publish\":{\"data\":\"\xff\"}}",
    ];
    for line in not_utf8 {
        let command = wire::decode_command(line);
        assert_eq!(command, Err(Malformed::Command), "{line:?}");
    }
}

#[test]
fn bombs_of_nesting_do_no_harm() {
    const DEPTH: usize = 100_000;
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for depth in [JSON_DEPTH_MAX + 1, DEPTH] {
        let bombs = [
            format!("{{\"publish\":{{\"data\":{}}}}}", nested(depth)),
            format!("{{\"connect\":{{\"data\":{}}}}}", nested(depth)),
            format!(
                "{{\"connect\":{{\"subs\":{{\"a\":{{\"data\":{}}}}}}}}}",
                nested(depth)
            ),
            format!("{{\"send\":{{\"data\":{}}}}}", "{\"a\":".repeat(depth)),
            format!("{{\"connect\":{}}}", nested(depth)),
            nested(depth),
            "[".repeat(depth),
            "{\"connect\":".repeat(depth),
            "{\"a\":".repeat(depth),
        ];
        for bomb in bombs {
            assert_eq!(decode(&bomb), Err(Malformed::Command), "{}", &bomb[..40]);
        }
        // Nobody looks at it, and nobody gets it.
        assert_eq!(
            method(&format!("{{\"a\":{}}}", nested(depth))),
            Method::Pong
        );
    }
    let most = format!("{{\"send\":{{\"data\":{}}}}}", nested(JSON_DEPTH_MAX));
    let data = nested(JSON_DEPTH_MAX).into();
    assert_eq!(method(&most), Method::Send { data });
}

#[test]
fn a_carriage_return_between_tokens_is_taken_out() {
    let data = "[1,2]".into();
    let channel = String::new();
    let given = method("{\"publish\":{\"data\":[1,\r2]}}\r");
    assert_eq!(given, Method::Publish(Publish { channel, data }));
}

#[test]
fn replies_are_written_as_sdks_read_them() {
    let expected = [
        r#"{"id":1,"error":{"code":100,"message":"internal server error","temporary":true}}"#,
        concat!(
            r#"{"id":2,"connect":{"client":"i","version":"v","expires":true,"ttl":60,"data":5,"#,
            r#""subs":{"c":{"expires":true,"ttl":60,"recoverable":true,"epoch":"2a","offset":3,"#,
            r#""positioned":true,"data":5,"publications":[{"data":1,"offset":4}],"recovered":true,"#,
            r#""was_recovering":true}},"ping":25,"pong":true,"session":"s","node":"n","time":1700000000000}}"#,
        ),
        concat!(
            r#"{"id":3,"subscribe":{"expires":true,"ttl":60,"recoverable":true,"epoch":"2a","offset":3,"#,
            r#""positioned":true,"data":5,"publications":[{"data":1,"offset":4}],"recovered":true,"#,
            r#""was_recovering":true}}"#,
        ),
        r#"{"id":4,"unsubscribe":{}}"#,
        r#"{"id":5,"publish":{}}"#,
        r#"{"id":6,"presence":{"presence":{"i":{"user":"u","client":"i","conn_info":{},"chan_info":"AA=="}}}}"#,
        r#"{"id":7,"presence_stats":{"num_clients":2,"num_users":1}}"#,
        concat!(
            r#"{"id":8,"history":{"publications":[{"data":1,"offset":4},{"data":{"a":1},"#,
            r#""info":{"user":"u","client":"i","conn_info":{},"chan_info":"AA=="},"offset":1099511627776,"#,
            r#""tags":{"a":"1","b":"2"},"time":1700000000000}],"epoch":"2a","offset":4}}"#,
        ),
        r#"{"id":9,"refresh":{"client":"i","version":"v","expires":true,"ttl":60}}"#,
        r#"{"id":10,"sub_refresh":{"expires":true,"ttl":60}}"#,
        r#"{"id":11,"rpc":{"data":5}}"#,
    ];
    let replies: Vec<String> = World::fixed().replies().iter().map(encoded).collect();
    assert_eq!(replies, expected);
}

#[test]
fn pushes_are_written_as_sdks_read_them() {
    let expected = [
        r#"{"push":{"channel":"c","pub":{"data":1,"offset":4}}}"#,
        concat!(
            r#"{"push":{"channel":"c","pub":{"data":{"a":1},"#,
            r#""info":{"user":"u","client":"i","conn_info":{},"chan_info":"AA=="},"offset":1099511627776,"#,
            r#""tags":{"a":"1","b":"2"},"time":1700000000000}}}"#,
        ),
        concat!(
            r#"{"push":{"channel":"c","join":{"info":"#,
            r#"{"user":"u","client":"i","conn_info":{},"chan_info":"AA=="}}}}"#,
        ),
        concat!(
            r#"{"push":{"channel":"c","leave":{"info":"#,
            r#"{"user":"u","client":"i","conn_info":{},"chan_info":"AA=="}}}}"#,
        ),
        r#"{"push":{"channel":"c","unsubscribe":{"code":2500,"reason":"insufficient state"}}}"#,
        concat!(
            r#"{"push":{"channel":"c","subscribe":{"recoverable":true,"epoch":"2a","offset":3,"#,
            r#""positioned":true,"data":5}}}"#,
        ),
        r#"{"push":{"message":{"data":5}}}"#,
        r#"{"push":{"refresh":{"expires":true,"ttl":60}}}"#,
    ];
    let pushes: Vec<String> = World::fixed().pushes().iter().map(pushed).collect();
    assert_eq!(pushes, expected);
    let mut ping = Vec::new();
    append_ping(&mut ping, Encoding::Json);
    assert_eq!(ping, b"{}");
}

#[test]
fn nobody_is_a_map_and_no_one_is_a_number() {
    let mut world = World::fixed();
    world.infos.clear();
    world.stats = fanfare_hub::PresenceStats::default();
    let replies = world.replies();
    assert_eq!(
        encoded(&replies[5]),
        r#"{"id":6,"presence":{"presence":{}}}"#
    );
    let stats = r#"{"id":7,"presence_stats":{"num_clients":0,"num_users":0}}"#;
    assert_eq!(encoded(&replies[6]), stats);
}

#[test]
fn what_ends_now_has_a_ttl() {
    let push = pushed(&Push::Refresh(Expiry(Some(0))));
    assert_eq!(push, r#"{"push":{"refresh":{"expires":true,"ttl":1}}}"#);
    assert_eq!(
        pushed(&Push::Refresh(Expiry(None))),
        r#"{"push":{"refresh":{}}}"#
    );
}

#[test]
fn every_message_is_one_line_and_comes_back() {
    for seed in 0..300 {
        let world = World::random(seed);
        for reply in world.replies() {
            let text = encoded(&reply);
            assert!(!text.contains(['\n', '\r']), "{seed}: {text}");
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value, reply_value(&reply), "{seed}: {text}");
        }
        for push in world.pushes() {
            let text = pushed(&push);
            assert!(!text.contains(['\n', '\r']), "{seed}: {text}");
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                value,
                json!({ "push": push_value(&push) }),
                "{seed}: {text}"
            );
        }
    }
}

#[test]
fn a_publication_is_appended_in_one_go() {
    for seed in 0..300 {
        let world = World::random(seed);
        for push in world.pushes() {
            let Push::Publication { publication, .. } = push else {
                continue;
            };
            let mut out = Vec::new();
            wire::append_push(&mut out, &push);
            let most = wire::encode::publication_len_max(publication) + 2 + 6 * world.channel.len();
            assert!(out.len() <= most, "{seed}: {} > {most}", out.len());
            if publication.info.is_none() && publication.tags.is_empty() {
                assert!(most <= out.len() + 160, "{seed}: {} << {most}", out.len());
            }
        }
    }
}

#[test]
fn a_newline_from_the_protobuf_wire_forges_nothing() {
    let forged = "[1,\n{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":\"forged\"}}}\r\n]";
    let mut frame = vec![0x0a, 0x01, b'c', 0x12, u8::try_from(forged.len()).unwrap()];
    frame.extend_from_slice(forged.as_bytes());
    frame.splice(0..0, [0x3a, u8::try_from(frame.len()).unwrap()]);
    frame.insert(0, u8::try_from(frame.len()).unwrap());
    let command = Commands::new(Encoding::Protobuf, &frame)
        .next()
        .unwrap()
        .unwrap();
    let Method::Publish(Publish { data, .. }) = command.method else {
        panic!("{command:?}");
    };
    assert_eq!(data, forged);
    let publication = Publication {
        payload: crate::data::payload(data),
        position: None,
        info: None,
        tags: fanfare_hub::Tags::default(),
        time: fanfare_hub::Time::default(),
    };
    let text = pushed(&Push::Publication {
        channel: "c",
        publication: &publication,
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    let value: Value = serde_json::from_str(&text).unwrap();
    let given: Value = serde_json::from_str(forged).unwrap();
    assert_eq!(value["push"]["pub"]["data"], given);
}
