//! What is read of a server's objects, where they begin and end, and what commands are. In: bytes as the
//! protocol's schema has them. Out: a panic where something else is read.
//!
//! Never: writes an object with the code that reads it.

use super::*;

/// A field of bytes, short ones.
fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let len = u8::try_from(value.len()).expect("it is short");
    assert!(len < 0x80);
    [&[field << 3 | 2, len], value].concat()
}

fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

fn published<'m>(channel: &'m str, data: &'m str, offset: u64) -> Incoming<'m> {
    Incoming::Publication {
        channel: channel.as_bytes(),
        publication: Publication {
            data: data.as_bytes(),
            offset,
        },
    }
}

#[test]
fn a_publication_in_json_is_found_whatever_stands_around_it() {
    for (object, expected) in [
        (
            r#"{"push":{"channel":"a:b-1","pub":{"data":"x-_0","offset":7}}}"#,
            published("a:b-1", "\"x-_0\"", 7),
        ),
        (
            r#"{"push":{"pub":{"offset":18446744073709551615,"info":{"user":"\"}]\\","conn_info":[{"a":1},"]"]},"tags":{"k":"v"},"data":{"m":[1,"}"]},"delta":true},"channel":"c"}}"#,
            published("c", r#"{"m":[1,"}"]}"#, u64::MAX),
        ),
        (
            " { \"push\" : {\t\"channel\" : \"c\", \"pub\" : { \"data\" : -1.5e3 , \"x\":null} } } \r",
            published("c", "-1.5e3", 0),
        ),
        (
            r#"{"push":{"channel":"c","join":{"info":{}}}}"#,
            Incoming::Push,
        ),
        (
            r#"{"push":{"channel":"c","unsubscribe":{"code":2500,"reason":"insufficient \"state\""}}}"#,
            Incoming::Unsubscribe {
                channel: b"c",
                code: 2500,
                reason: "insufficient \"state\"".to_owned(),
            },
        ),
        ("{}", Incoming::Ping),
        (
            r#"{"id":1,"connect":{"client":"x","ping":25,"pong":true,"data":{}}}"#,
            Incoming::Reply {
                id: 1,
                outcome: Outcome::Connected { wants_pongs: true },
            },
        ),
        (
            r#"{"id":3,"publish":{}}"#,
            Incoming::Reply {
                id: 3,
                outcome: Outcome::Done,
            },
        ),
        (
            r#"{"id":4294967295,"error":{"code":103,"message":"permission denied","temporary":true}}"#,
            Incoming::Reply {
                id: u32::MAX,
                outcome: Outcome::Refused {
                    code: 103,
                    message: "permission denied".to_owned(),
                },
            },
        ),
    ] {
        let found = Encoding::Json.decode(object.as_bytes());
        assert_eq!(found, Some(expected), "{object}");
        for len in 0..object.trim_end().len() {
            let cut = Encoding::Json.decode(&object.as_bytes()[..len]);
            assert_eq!(cut, None, "{len} bytes of {object}");
        }
    }
}

#[test]
fn what_is_no_object_of_a_server_is_none() {
    for object in [
        "",
        "[]",
        "null",
        "{",
        "{}}",
        "{}{}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":1}"#,
        r#"{"id":0,"connect":{}}"#,
        r#"{"id":-1,"connect":{}}"#,
        r#"{"id":4294967296}"#,
        r#"{"id":1.5}"#,
        r#"{"push":[]}"#,
        r#"{"id":1,"push":{}}"#,
        r#"{"push":{"channel":"c","pub":{"offset":-1}}}"#,
        r#"{"push":{"channel":"c","pub":{"offset":18446744073709551616}}}"#,
        r#"{"push":{"channel":"c","pub":{"data":"x}}}"#,
        r#"{"push":{"channel":"c","pub":{"data":"\"}}}"#,
    ] {
        let found = Encoding::Json.decode(object.as_bytes());
        assert_eq!(found, None, "{object}");
    }
    for object in [
        &[0x08][..],   // a key alone
        &[0x22, 5, 1], // shorter than it says
        &[0x0B],       // a group
        &[0x08, 0],    // an answer to nothing
        &[0x20, 1],    // a push that is a number
        &[0x80],       // a cut key
        &[
            0x22, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01,
        ],
        &[
            0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01,
        ],
        &[0x09, 1, 2, 3], // of eight bytes three
    ] {
        assert_eq!(Encoding::Protobuf.decode(object), None, "{object:x?}");
    }
}

#[test]
fn a_publication_in_protobuf_is_found_whatever_stands_around_it() {
    let info = [bytes(1, b"user"), bytes(3, b"{}")].concat();
    let publication = [
        bytes(5, &info),
        bytes(4, b"x-_0"),
        vec![0x30, 0x80, 0x01], // offset 128
        bytes(7, &[bytes(1, b"k"), bytes(2, b"v")].concat()),
        vec![15 << 3 | 5, 1, 2, 3, 4],
        vec![14 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8],
    ]
    .concat();
    for push in [
        [bytes(2, b"c"), bytes(4, &publication)].concat(),
        [bytes(4, &publication), number(1, 9), bytes(2, b"c")].concat(),
    ] {
        let object = bytes(4, &push);
        let found = Encoding::Protobuf.decode(&object);
        assert_eq!(found, Some(published("c", "x-_0", 128)));
        for len in 1..object.len() {
            assert_eq!(Encoding::Protobuf.decode(&object[..len]), None, "{len}");
        }
    }
    assert_eq!(Encoding::Protobuf.decode(&[]), Some(Incoming::Ping));
    let refused = [
        number(1, 2),
        bytes(2, &[number(1, 103), bytes(2, b"no")].concat()),
    ]
    .concat();
    assert_eq!(
        Encoding::Protobuf.decode(&refused),
        Some(Incoming::Reply {
            id: 2,
            outcome: Outcome::Refused {
                code: 103,
                message: "no".to_owned()
            },
        })
    );
    let ended = [number(2, 9), bytes(3, b"why")].concat();
    let ended = bytes(4, &[bytes(2, b"c"), bytes(7, &ended)].concat());
    assert_eq!(
        Encoding::Protobuf.decode(&ended),
        Some(Incoming::Unsubscribe {
            channel: b"c",
            code: 9,
            reason: "why".to_owned()
        })
    );
}

#[test]
fn a_subscription_tells_where_it_stands_and_what_was_missed() {
    let json = r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e\u002b","publications":[{"data":"a","offset":8},{"offset":9,"data":{"b":[]}}],"recovered":true,"offset":7,"positioned":true,"was_recovering":true}}"#;
    let publication = |data: &[u8], offset| [bytes(4, data), number(6, offset)].concat();
    let result = [
        number(3, 1),
        bytes(6, b"e+"),
        bytes(7, &publication(b"\"a\"", 8)),
        number(8, 1),
        bytes(7, &publication(b"{\"b\":[]}", 9)),
        number(9, 7),
        number(10, 1),
        number(12, 1),
    ]
    .concat();
    let protobuf = [number(1, 2), bytes(6, &result)].concat();
    for (encoding, object) in [
        (Encoding::Json, json.as_bytes()),
        (Encoding::Protobuf, &protobuf),
    ] {
        let Some(Incoming::Reply {
            id: 2,
            outcome: Outcome::Subscribed(subscribed),
        }) = encoding.decode(object)
        else {
            panic!("{encoding:?}: no answer to a subscribe");
        };
        assert!(subscribed.is_positioned && subscribed.is_recoverable);
        assert!(subscribed.has_recovered);
        assert_eq!((&*subscribed.epoch, subscribed.offset), ("e+", 7));
        let mut past = Vec::new();
        let is_whole = subscribed.past.each(|publication| {
            let data = String::from_utf8_lossy(publication.data).into_owned();
            past.push((data, publication.offset));
        });
        assert!(is_whole);
        let expected = [("\"a\"", 8), ("{\"b\":[]}", 9)];
        assert_eq!(
            past,
            expected.map(|(data, offset)| (data.to_owned(), offset))
        );
    }
    assert!(!Past::Json(br#"[{"data":1},{"data"}]"#).each(|_| {}));
    assert!(!Past::Json(b"{}").each(|_| {}));
    assert!(!Past::Protobuf(&[0x3A, 9]).each(|_| {}));
}

/// The objects of `message`, whole and in pieces of every length.
fn objects(encoding: Encoding, message: &[u8]) -> Vec<Result<Vec<u8>, Vec<u8>>> {
    let owned = |bytes: &[u8]| {
        let owned = |found: Result<&[u8], &[u8]>| found.map(<[u8]>::to_vec).map_err(<[u8]>::to_vec);
        Objects::new(encoding, bytes).map(owned).collect::<Vec<_>>()
    };
    let whole = owned(message);
    for piece_len in 1..=message.len() {
        let mut partial = Partial::default();
        partial.push(b"left over", true);
        let mut found = Vec::new();
        let pieces = message.len().div_ceil(piece_len);
        for (at, piece) in message.chunks(piece_len).enumerate() {
            partial.push(piece, at == 0);
            found.extend(owned(&partial.take_whole(encoding, at + 1 == pieces)));
        }
        assert_eq!(found, whole, "{encoding:?} by {piece_len}");
    }
    whole
}

#[test]
fn objects_are_told_apart_at_every_cut() {
    let json = objects(Encoding::Json, b"{\"a\":1}\n\n{}\n{\"b\":\"\\n\"}");
    let expected = [&b"{\"a\":1}"[..], b"{}", b"{\"b\":\"\\n\"}"];
    assert_eq!(json, expected.map(|object| Ok(object.to_vec())));
    assert_eq!(objects(Encoding::Json, b"{}\n"), [Ok(b"{}".to_vec())]);

    let long = vec![7; 300];
    let message = [&[2, 1, 2, 0, 0xAC, 0x02][..], &long].concat();
    let expected = [vec![1, 2], vec![], long];
    assert_eq!(objects(Encoding::Protobuf, &message), expected.map(Ok));
    let cut = objects(Encoding::Protobuf, &[1, 9, 5, 1, 2]);
    assert_eq!(cut, [Ok(vec![9]), Err(vec![5, 1, 2])]);
    assert_eq!(objects(Encoding::Protobuf, &[0x80]), [Err(vec![0x80])]);
}

#[test]
fn commands_are_what_the_protocol_says() {
    let mut json = Vec::new();
    connect(Encoding::Json, 1, Some("to\"ken"), &mut json);
    json.push(b'\n');
    let recovery = Some(Recovery {
        offset: 9,
        epoch: "e",
    });
    subscribe(Encoding::Json, 2, "c", false, recovery, &mut json);
    json.push(b'\n');
    publish_head(Encoding::Json, 3, "c", 1, &mut json);
    json.push(b'5');
    json.extend_from_slice(publish_tail(Encoding::Json));
    let lines = [
        r#"{"id":1,"connect":{"token":"to\"ken","name":"loadgen"}}"#,
        r#"{"id":2,"subscribe":{"channel":"c","positioned":true,"recoverable":true,"recover":true,"offset":9,"epoch":"e"}}"#,
        r#"{"id":3,"publish":{"channel":"c","data":5}}"#,
    ];
    assert_eq!(String::from_utf8_lossy(&json), lines.join("\n"));

    let mut protobuf = Vec::new();
    subscribe(Encoding::Protobuf, 300, "c", true, None, &mut protobuf);
    let request = [bytes(1, b"c"), number(9, 1), number(10, 1)].concat();
    let command = [vec![0x08, 0xAC, 0x02], bytes(5, &request)].concat();
    assert_eq!(protobuf[0] as usize, command.len());
    assert_eq!(protobuf[1..], command);
    protobuf.clear();
    publish_head(Encoding::Protobuf, 3, "c", 200, &mut protobuf);
    // The request is 3 bytes of channel, and 3 and 200 of data; the command 2 more and its own length.
    let head = [
        0xD3, 0x01, 0x08, 3, 0x3A, 0xCE, 0x01, 0x0A, 1, b'c', 0x12, 0xC8, 0x01,
    ];
    assert_eq!(protobuf, head);
}
