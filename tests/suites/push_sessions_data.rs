//! What one session publishes and another reads: nothing that a client writes can be read as something else.
//!
//! Never: trusts a parser where it looks for what would forge a frame.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use fanfare_tests::push::Push;
use fanfare_tests::session::{Came, OPEN, Session, WIRES, Wire, bytes_of};
use fanfare_tests::wire::Frame;
use serde_json::{Value, json};

fn start() -> Push {
    Push::start("workers = 2", OPEN)
}

#[test]
fn data_of_a_protobuf_client_forges_nothing_on_json() {
    let push = start();
    let forged = r#"{"push":{"channel":"open:other","pub":{"data":"forged"}}}"#;
    let cases: Vec<Vec<u8>> = vec![
        format!("1}}}}}}\n{forged}").into_bytes(),
        format!("\n{forged}\n").into_bytes(),
        format!("{{\"a\":1}}\n{forged}").into_bytes(),
        b"{\"a\":\n1}".to_vec(),
        b"[1,\r\n2]".to_vec(),
        b"\"a\nb\"".to_vec(),
        b"\"".to_vec(),
        b"}".to_vec(),
        b"{}".to_vec(),
        b"".to_vec(),
        b"\n".to_vec(),
        b" 1 ".to_vec(),
        b"nul".to_vec(),
        b"1 2".to_vec(),
        b"\xFF\xFE\n{}".to_vec(),
        b"\"\xFF\"".to_vec(),
        b"\"\\ud800\"".to_vec(),
        "\"\u{2028}\u{2029}\u{85}\"".as_bytes().to_vec(),
        format!("{}{}", "[".repeat(100), "]".repeat(100)).into_bytes(),
        format!("{}{}", "[".repeat(50_000), "]".repeat(50_000)).into_bytes(),
        "{\"a\":".repeat(20_000).into_bytes(),
        [b"1".repeat(100_000), b"e400".to_vec()].concat(),
    ];
    let mut readers = WIRES.map(|wire| Session::anonymous(&push, wire));
    for reader in &mut readers {
        reader.subscribe("open:forge");
        reader.subscribe("recovers:forge");
    }
    let mut writer = Session::anonymous(&push, Wire::Protobuf);
    for channel in ["open:forge", "recovers:forge"] {
        for bytes in &cases {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
            let request = json!({"channel": channel, "data": bytes_of(bytes)});
            let reply = writer.call("publish", &request);
            if reply["error"].is_object() {
                continue; // it may be refused
            }
            for reader in &mut readers {
                // One object, one push, and on the right channel: the reader checks frame by frame. Deep JSON is
                // read by the eye: serde_json would refuse it.
                if reader.wire() == Wire::Json {
                    let frame = reader.socket.frame().unwrap();
                    let text = String::from_utf8(frame.payload).unwrap();
                    let lines = text.trim_end_matches('\n').lines().count();
                    assert_eq!(lines, 1, "{channel} {shown:?}: {text}");
                    let front = format!("{{\"push\":{{\"channel\":\"{channel}\",\"pub\":{{");
                    let start: String = text.chars().take(200).collect();
                    assert!(text.starts_with(&front), "{channel} {shown:?}: {start}");
                    let parsed: Result<Value, _> = serde_json::from_str(&text);
                    // serde_json reads neither of these; RFC 8259 has them in its grammar.
                    let odd = ["e400", "\\ud800", &"[".repeat(100)];
                    let odd = odd.iter().any(|odd| text.contains(odd));
                    assert!(parsed.is_ok() || odd, "{channel} {shown:?}: {start}");
                    if let Ok(parsed) = parsed {
                        let only = parsed.as_object().unwrap().len();
                        assert_eq!(only, 1, "{channel} {shown:?}: {start}");
                        assert_eq!(parsed["push"]["channel"], channel, "{start}");
                        let data = &parsed["push"]["pub"]["data"];
                        let wanted = serde_json::from_slice::<Value>(bytes);
                        if let Ok(wanted) = wanted {
                            assert_eq!(data, &wanted, "{channel} {shown:?}: {start}");
                        } else {
                            assert!(data.is_string() || data.is_null(), "{shown:?}: {start}");
                        }
                    }
                } else {
                    let publication = reader.publication(channel);
                    assert!(publication.is_object(), "{channel} {shown:?}");
                }
            }
        }
    }
    // All are as they were.
    writer.result(
        "publish",
        &json!({"channel": "open:forge", "data": "after"}),
    );
    for reader in &mut readers {
        reader.expect_data("open:forge", &json!("after"));
    }
}

#[test]
fn data_that_other_sdks_cannot_read_is_not_passed_on() {
    let push = start();
    // Python's `json` reads lists of about a thousand levels, and integers of 4,300 digits: its SDK ends for good
    // at what it cannot read.
    let cases = [
        (
            "deep lists",
            format!("{}{}", "[".repeat(2000), "]".repeat(2000)),
        ),
        (
            "deep objects",
            format!("{}1{}", "{\"a\":".repeat(2000), "}".repeat(2000)),
        ),
        ("a long integer", "1".repeat(5000)),
    ];
    for (what, data) in cases {
        for wire in WIRES {
            let mut reader = Session::anonymous(&push, Wire::Json);
            reader.subscribe("open:odd");
            let mut writer = Session::anonymous(&push, wire);
            let frame = match wire {
                Wire::Json => Frame::text(format!(
                    "{{\"id\":9,\"publish\":{{\"channel\":\"open:odd\",\"data\":{data}}}}}"
                )),
                Wire::Protobuf => wire.frame(&[json!({"id": 9, "publish":
                    {"channel": "open:odd", "data": bytes_of(data.as_bytes())}})]),
            };
            writer.socket.say(&frame);
            let answer = writer.came();
            let refused = match &answer {
                Came::Reply(9, reply) => reply["error"].is_object(),
                Came::Closed(3501, _) => true,
                other => panic!("{wire:?} {what}: {other:?}"),
            };
            push.api().publish("open:odd", &json!("after"));
            if !refused {
                let frame = reader.socket.frame().unwrap();
                let text = String::from_utf8(frame.payload).unwrap();
                let start: String = text.chars().take(100).collect();
                // As a string, perhaps.
                let raw = text.contains(&data);
                assert!(!raw, "{wire:?} {what}: {start} was passed on");
            }
            reader.expect_data("open:odd", &json!("after"));
        }
    }
}

#[test]
fn strings_that_are_lines_to_some_are_none_here() {
    let push = start();
    let data =
        json!({"\u{2028}": "\u{2029}\u{85}\u{B}\u{C}\u{1C}\u{1D}\u{1E}\r\n\u{0}\u{7F}\u{FEFF}"});
    let mut readers = WIRES.map(|wire| Session::anonymous(&push, wire));
    for reader in &mut readers {
        reader.subscribe("open:lines");
    }
    for wire in WIRES {
        let mut writer = Session::anonymous(&push, wire);
        writer.result("publish", &json!({"channel": "open:lines", "data": data}));
        for reader in &mut readers {
            reader.expect_data("open:lines", &data);
        }
    }
    push.api().publish("open:lines", &data);
    for reader in &mut readers {
        reader.expect_data("open:lines", &data);
    }
}
