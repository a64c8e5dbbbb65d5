//! `/raw/{channel}`: who gets which bytes, and the way in and out.
//!
//! Never: asks for what was before (see `push_recovery`); reads slowly (see `push_slow`).
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_tests::api::position;
use fanfare_tests::client::{Client, PATIENCE, upgrade};
use fanfare_tests::clock;
use fanfare_tests::push::{Push, eventually};
use fanfare_tests::wire::{BINARY, Frame, Head, PONG, Sender, TEXT};
use serde_json::json;

#[test]
fn json_arrives_as_text_letter_by_letter_and_base64_as_binary() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut subscriber = push.subscribe("open:a");
    for text in [
        r#""hello""#,
        "null",
        "-0.50e+1",
        r#"{"b" : [1, 2.50,  "é\u00e9\n\/"], "a": {}, "a": 1}"#,
        "123456789012345678901234567890",
        r#""""#,
        r#""🎺""#,
    ] {
        let body = format!(r#"{{"channel":"open:a","data":{text}}}"#);
        assert_eq!(api.answer("publish", body), json!({"result": {}}), "{text}");
        subscriber.expect_text(text);
    }
    let all: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for bytes in [&b"x"[..], b"", &[0, 255, 10, 13], &all[..126], &all] {
        let body = json!({"channel": "open:a", "b64data": STANDARD.encode(bytes)});
        api.result("publish", &body);
        subscriber.expect_binary(bytes);
    }
}

#[test]
fn what_is_published_after_the_101_arrives() {
    let push = Push::start("workers = 2", "");
    let mut api = push.api();
    for n in 0..300 {
        for namespace in ["open", "past"] {
            let channel = format!("{namespace}:{n}");
            let mut subscriber = push.subscribe(&channel);
            api.publish(&channel, &json!(n));
            subscriber.expect_text(&n.to_string());
        }
    }
}

#[test]
fn everyone_on_a_channel_gets_it_and_nobody_else() {
    let push = Push::start("workers = 2", "");
    let mut api = push.api();
    let mut here: Vec<Client> = (0..20).map(|_| push.subscribe("open:here")).collect();
    let mut there: Vec<Client> = ["open:here2", "open:her", "mute:here", "here"]
        .map(|channel| push.subscribe(channel))
        .into();
    api.publish("open:here", &json!("for here"));
    for channel in ["open:here2", "open:her", "mute:here", "here", "open:here"] {
        api.publish(channel, &json!("for all"));
    }
    for subscriber in &mut here {
        subscriber.expect_text(r#""for here""#);
        subscriber.expect_text(r#""for all""#);
    }
    for subscriber in &mut there {
        subscriber.expect_text(r#""for all""#);
    }
}

#[test]
fn a_channel_is_the_rest_of_the_path_percent_decoded() {
    let push = Push::start("", "");
    let mut api = push.api();
    let long = "x".repeat(250);
    for (path, channel) in [
        ("open:a/b", "open:a/b"),
        ("open:a%2Fb", "open:a/b"),
        ("open%3aroom", "open:room"),
        ("open%3Aroom", "open:room"),
        ("%6Fpen:ro%6fm?x=1", "open:room"),
        ("open:a/b/c/", "open:a/b/c/"),
        ("open:a+b", "open:a+b"),
        ("open:a%25b", "open:a%b"),
        ("open:a%3Fb", "open:a?b"),
        ("open:a:b", "open:a:b"),
        ("news", "news"),
        (&format!("open:{long}"), &format!("open:{long}")),
    ] {
        let mut subscriber = push.subscribe(path);
        api.publish(channel, &json!(path));
        subscriber.expect_text(&json!(path).to_string());
    }
}

#[test]
fn queries_that_are_not_ours_and_switches_that_are_off_change_nothing() {
    let push = Push::start("", "");
    let mut api = push.api();
    for query in [
        "?",
        "?x=1&y&=&&z=%zz",
        "?meta=0",
        "?meta=false",
        "?Meta=1",
        "?sinces=3",
    ] {
        for channel in ["open:a", "past:a"] {
            let mut subscriber = push.subscribe(&format!("{channel}{query}"));
            api.publish(channel, &json!(query));
            subscriber.expect_text(&json!(query).to_string());
        }
    }
}

#[test]
fn the_101_tells_the_position_where_there_is_one() {
    let push = Push::start("", "");
    let mut api = push.api();
    let (_, head) = Client::enter(push.addr(), "/raw/open:a", &[]);
    assert_eq!(head.all("Fanfare-Position").count(), 0, "{head:?}");
    for n in 0..3_u64 {
        let (_, at) = push.subscribe_at("past:a");
        assert_eq!(at, api.position("past:a"), "after {n}");
        assert!(at.starts_with(&format!("{n}:")), "{at} after {n}");
        let published = api.publish("past:a", &json!(n));
        assert_eq!(published["offset"], n + 1, "{published}");
    }
    // Namespaces whose clients may recover nothing have positions as well.
    let (_, at) = push.subscribe_at("kept:a");
    assert_eq!(at, api.position("kept:a"));
}

#[test]
fn meta_greets_with_the_position_and_puts_one_before_each_payload() {
    let push = Push::start("", "");
    let mut api = push.api();
    api.publish("past:a", &json!("before"));
    for switch in ["meta=1", "meta=true"] {
        let (mut subscriber, at) = push.subscribe_at(&format!("past:a?{switch}"));
        subscriber.expect_text(&at);
        let first = position(&api.publish("past:a", &json!({"n": 1})));
        subscriber.expect_text(&format!("{first} {{\"n\":1}}"));
        let bytes = [0, 32, 255, 10];
        let body = json!({"channel": "past:a", "b64data": STANDARD.encode(bytes)});
        let second = position(&api.result("publish", &body));
        subscriber.expect_binary(&[second.as_bytes(), b" ", &bytes].concat());
        let offset = |at: &str| at.split_once(':').unwrap().0.parse::<u64>().unwrap();
        assert_eq!(offset(&first), offset(&at) + 1, "{switch}");
        assert_eq!(offset(&second), offset(&at) + 2, "{switch}");
    }
}

#[test]
fn with_and_without_meta_side_by_side() {
    let push = Push::start("workers = 1", "");
    let mut api = push.api();
    let mut plain = push.subscribe("past:a");
    let (mut meta, at) = push.subscribe_at("past:a?meta=1");
    meta.expect_text(&at);
    for n in 0..100 {
        let at = position(&api.publish("past:a", &json!(n)));
        plain.expect_text(&n.to_string());
        meta.expect_text(&format!("{at} {n}"));
    }
}

#[test]
fn a_clients_message_is_published_and_comes_back_to_it_too() {
    let push = Push::start("workers = 2", "");
    for channel in ["open:a", "past:a", "news"] {
        let mut alice = push.subscribe(channel);
        let mut bob = push.subscribe(channel);
        alice.say(&Frame::text("not JSON, naïve\nand two lines"));
        alice.say(&Frame::binary([0, 255, 128]));
        alice.say(&Frame::text(""));
        bob.expect_text("not JSON, naïve\nand two lines");
        bob.expect_binary(&[0, 255, 128]);
        bob.expect_text("");
        alice.expect_text("not JSON, naïve\nand two lines");
        alice.expect_binary(&[0, 255, 128]);
        alice.expect_text("");
    }
}

#[test]
fn fragments_are_one_publication_and_pings_between_them_are_answered() {
    let push = Push::start("", "");
    let mut alice = push.subscribe("open:a");
    let mut bob = push.subscribe("open:a");
    for (first, whole) in [(TEXT, "día a día"), (BINARY, "d\u{ed}a a d\u{ed}a")] {
        let bytes = whole.as_bytes();
        alice.say(&Frame::new(first, &bytes[..2]).not_final()); // cuts a letter
        alice.say(&Frame::ping("between"));
        let pong = alice.frame().expect("a pong");
        assert_eq!((pong.opcode, &pong.payload[..]), (PONG, &b"between"[..]));
        alice.say(&Frame::continuation("").not_final());
        alice.say(&Frame::pong("unasked"));
        alice.say(&Frame::continuation(&bytes[2..]));
        for client in [&mut bob, &mut alice] {
            let frame = client.frame().expect("a publication");
            assert_eq!(
                (frame.opcode, frame.fin, &frame.payload[..]),
                (first, true, bytes)
            );
        }
    }
}

#[test]
fn frames_behind_the_request_are_read_after_it() {
    let push = Push::start("workers = 1", "");
    for channel in ["open:a", "past:a"] {
        let mut witness = push.subscribe(channel);
        let mut bytes = upgrade(&format!("/raw/{channel}"), &[]).into_bytes();
        for n in 0..5 {
            let frame = Frame::text(format!("early {n}"));
            bytes.extend(frame.encode(Sender::Client));
        }
        bytes.extend(Frame::ping("early").encode(Sender::Client));
        // Whole, cut in the frames, and byte by byte.
        for piece in [bytes.len(), bytes.len() - 20, 1] {
            let mut client = Client::connect(push.addr());
            for bytes in bytes.chunks(piece) {
                client.send(bytes);
            }
            let head = client.head().expect("an answer");
            assert_eq!(head.status(), Some(101), "{channel}, pieces of {piece}");
            let mut came = Vec::new();
            while came.len() < 6 {
                let frame = client.frame().expect("all of them");
                came.push(String::from_utf8_lossy(&frame.payload).into_owned());
            }
            came.retain(|text| text != "early"); // the pong overtakes what goes through the channel
            let wanted: Vec<String> = (0..5).map(|n| format!("early {n}")).collect();
            assert_eq!(came, wanted, "{channel}, pieces of {piece}");
            for text in wanted {
                witness.expect_text(&text);
            }
        }
    }
}

#[test]
fn who_may_not_publish_is_closed_3507() {
    let push = Push::start("", "");
    let mut api = push.api();
    for frame in [Frame::text("may I?"), Frame::binary([1]), Frame::text("")] {
        let mut witness = push.subscribe("mute:a");
        let mut client = push.subscribe("mute:a");
        client.say(&Frame::ping("may be sent"));
        assert_eq!(client.frame().expect("a pong").payload, b"may be sent");
        client.say(&frame);
        client.expect_closed(3507, "permission denied");
        api.publish("mute:a", &json!("the API may"));
        witness.expect_text(r#""the API may""#);
    }
}

#[test]
fn a_clients_message_over_the_limit_of_publications_is_1009() {
    let push = Push::start("", "[publication]\nmax_bytes = 1000");
    let mut witness = push.subscribe("open:a");
    for fragments in [false, true] {
        let mut client = push.subscribe("open:a");
        client.say(&Frame::binary([1; 1000]));
        client.expect_binary(&[1; 1000]);
        witness.expect_binary(&[1; 1000]);
        if fragments {
            client.say(&Frame::binary([2; 1000]).not_final());
            client.say(&Frame::continuation([2; 1]));
        } else {
            client.say(&Frame::binary([2; 1001]));
        }
        client.expect_close(1009);
        let mut other = push.subscribe("open:a");
        other.say(&Frame::text("after it"));
        witness.expect_text("after it");
    }
}

#[test]
fn a_clients_mebibyte_goes_through_and_a_byte_more_does_not() {
    let push = Push::start("", "");
    let (mut client, mut witness) = (push.subscribe("open:a"), push.subscribe("open:a"));
    let bytes: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
    client.say(&Frame::binary(bytes.clone()));
    witness.expect_binary(&bytes);
    client.expect_binary(&bytes);
    client.say(&Frame::text(vec![b'x'; (1 << 20) + 1]));
    client.expect_close(1009);
}

#[test]
fn text_that_is_no_utf_8_is_1007_and_not_published() {
    let push = Push::start("", "");
    let mut witness = push.subscribe("open:a");
    let mut client = push.subscribe("open:a");
    client.say(&Frame::text(vec![b'a', 0xFF]));
    client.expect_close(1007);
    push.api().publish("open:a", &json!(1));
    witness.expect_text("1");
}

#[test]
fn who_leaves_is_gone_from_presence_however_it_leaves() {
    let push = Push::start("workers = 2", "");
    let mut api = push.api();
    for way in ["close", "fin", "reset", "bad frame"] {
        let _stays = push.subscribe("open:a");
        let mut leaves = push.subscribe("open:a");
        eventually("both are present", || api.clients("open:a").len() == 2);
        match way {
            "close" => {
                leaves.say(&Frame::close(1000, ""));
                leaves.expect_close(1000);
            }
            "fin" => leaves.socket.shutdown(std::net::Shutdown::Write).unwrap(),
            "reset" => {
                let socket = socket2::SockRef::from(&leaves.socket);
                socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
                drop(leaves);
            }
            _ => leaves.say(&Frame::text("").wrong_mask()),
        }
        eventually(way, || api.clients("open:a").len() == 1);
        drop(_stays);
        eventually(way, || api.clients("open:a").is_empty());
    }
}

#[test]
fn a_signal_closes_everyone_1001() {
    let push = Push::start("workers = 2", "");
    let channels = ["open:a", "past:a", "past:a?meta=1", "mute:a", "news"];
    let mut clients: Vec<(&str, Client)> = channels
        .iter()
        .cycle()
        .take(20)
        .map(|channel| (*channel, push.subscribe(channel)))
        .collect();
    let daemon = push.into_daemon();
    daemon.terminate().unwrap();
    for (channel, client) in &mut clients {
        if channel.ends_with("meta=1") {
            assert!(client.text().starts_with("0:"));
        }
        client.expect_close(1001);
        client.say(&Frame::close(1001, ""));
        client.expect_end();
    }
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn what_was_acknowledged_before_the_signal_arrives_before_the_1001() {
    // More workers than cores: some have not looked yet when the signal comes.
    for attempt in 0..30 {
        let push = Push::start("workers = 16", "");
        let mut clients: Vec<Client> = (0..48).map(|_| push.subscribe("past:a")).collect();
        push.api().publish("past:a", &json!("acknowledged"));
        push.daemon().terminate().unwrap();
        for client in &mut clients {
            let frame = client.frame().expect("a message or a close");
            let came = String::from_utf8_lossy(&frame.payload);
            assert_eq!(came, "\"acknowledged\"", "attempt {attempt}");
            client.expect_close(1001);
        }
    }
}

#[test]
fn past_max_connections_503_and_a_place_that_is_left_is_taken() {
    let push = Push::start("workers = 1\nmax_connections = 4", "");
    let ask = || Client::ask(push.addr(), "/raw/open:a", &[]);
    // The probe that waited for the daemon to listen may still hold a place.
    let mut inside = Vec::new();
    let refused: Head = loop {
        let (client, head) = ask();
        match head.status() {
            Some(101) => inside.push(client),
            Some(503) => break head,
            other => panic!("{other:?}"),
        }
    };
    assert!((3..=4).contains(&inside.len()), "{}", inside.len());
    let retry: Vec<&str> = refused.all("Retry-After").collect();
    assert_eq!(retry, ["1"], "{refused:?}");
    push.api().publish("open:a", &json!("inside"));
    for client in &mut inside {
        client.expect_text(r#""inside""#);
    }
    inside.pop();
    let deadline = clock::now() + PATIENCE;
    while ask().1.status() != Some(101) {
        assert!(clock::now() < deadline, "no place becomes free");
    }
}

#[test]
fn a_request_in_single_bytes_is_a_request() {
    let push = Push::start("", "");
    let mut client = Client::connect(push.addr());
    for byte in upgrade("/raw/past:a?meta=1", &[]).bytes() {
        client.socket.write_all(&[byte]).unwrap();
    }
    let head = client.head().expect("an answer");
    assert_eq!(head.status(), Some(101), "{head:?}");
    let at = position(&push.api().publish("past:a", &json!(1)));
    let greeting = client.text();
    assert!(greeting.starts_with("0:"), "{greeting}");
    client.expect_text(&format!("{at} 1"));
}
