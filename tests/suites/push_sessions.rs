//! Sessions over real sockets, on both wires: frames and how they are cut, the order of replies and pushes,
//! what a subscriber gets.
//!
//! Never: asks for what was before (see `push_sessions_recovery`); is told to go (see `push_sessions_end`).
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fanfare_tests::push::{Push, eventually};
use fanfare_tests::session::{Came, OPEN, Session, WIRES, Wire, bytes_of, expect_error};
use fanfare_tests::wire::{Frame, Sender};
use serde_json::{Value, json};

fn start() -> Push {
    Push::start("workers = 2", OPEN)
}

/// The replies to these ids, each once, with only news of channels between; in the order of the ids, though
/// replies may come in another.
#[track_caller]
fn replies(session: &mut Session, ids: impl IntoIterator<Item = u64>, case: &str) -> Vec<Value> {
    let ids: Vec<u64> = ids.into_iter().collect();
    let mut found = vec![Value::Null; ids.len()];
    while found.iter().any(Value::is_null) {
        match session.came() {
            Came::Reply(of, reply) => {
                let index = ids.iter().position(|id| *id == of);
                let index = index.unwrap_or_else(|| panic!("{case}: who asked? {reply}"));
                assert!(found[index].is_null(), "{case}: twice: {reply}");
                found[index] = reply;
            }
            Came::Push(_) => {}
            other => panic!("{case}: replies to {ids:?} were expected, and came {other:?}"),
        }
    }
    found
}

#[test]
fn connect_and_subscribes_of_one_frame_are_answered_connect_first() {
    let push = start();
    for wire in WIRES {
        let mut session = Session::open(push.addr(), wire);
        session.say(&[
            json!({"connect": {"name": "js", "flag": 1, "headers": {"a": "b"}}, "id": 17}),
            json!({"subscribe": {"channel": "past:a", "positioned": true, "recoverable": true,
                "join_leave": true, "flag": 1}, "id": 18}),
            json!({"subscribe": {"channel": "open:a", "flag": 1}, "id": 19}),
            json!({"subscribe": {"channel": "nowhere:a", "flag": 1}, "id": 20}),
            json!({"subscribe": {"channel": "closed:a", "flag": 1}, "id": 21}),
        ]);
        let case = format!("{wire:?}");
        let Came::Reply(17, connected) = session.came() else {
            panic!("{case}: connect comes first");
        };
        let connected = &connected["connect"];
        assert!(connected["client"].is_string(), "{case}: {connected}");
        assert_eq!(
            (&connected["ping"], &connected["pong"]),
            (&json!(25), &json!(true)),
            "{case}: {connected}"
        );
        let replies = replies(&mut session, 18..=21, &case);
        let subscribed = &replies[0]["subscribe"];
        for field in ["positioned", "recoverable"] {
            assert_eq!(subscribed[field], true, "{case}: {subscribed}");
        }
        assert!(subscribed["epoch"].is_string(), "{case}: {subscribed}");
        for field in ["positioned", "recoverable", "epoch", "offset", "recovered"] {
            assert!(replies[1]["subscribe"][field].is_null(), "{replies:?}");
        }
        expect_error(&replies[2], 102, &case);
        expect_error(&replies[3], 103, &case);
        push.api().publish("open:a", &json!("news"));
        session.expect_data("open:a", &json!("news"));
    }
}

#[test]
fn a_frame_cut_at_every_byte_is_the_same_frame() {
    let push = start();
    for wire in WIRES {
        let commands = [
            json!({"id": 1, "connect": {"name": "é\u{1F3BA}"}}),
            json!({"id": 2, "subscribe": {"channel": "open:cut"}}),
            json!({"id": 3, "publish": {"channel": "open:cut", "data": "ü\u{1F3BA}"}}),
            json!({"id": 4, "unsubscribe": {"channel": "open:cut"}}),
        ];
        let payload = wire.payload(&commands);
        let first = |bytes: &[u8]| match wire {
            Wire::Json => Frame::text(bytes),
            Wire::Protobuf => Frame::binary(bytes),
        };
        let mut cases: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
        for at in 0..=payload.len() {
            let (a, b) = payload.split_at(at);
            let fragments = [first(a).not_final(), Frame::continuation(b)];
            let bytes = fragments.map(|frame| frame.encode(Sender::Client)).concat();
            cases.push((format!("fragments at {at}"), vec![bytes]));
            let whole = wire.frame(&commands).encode(Sender::Client);
            let (a, b) = whole.split_at(at);
            cases.push((format!("writes at {at}"), vec![a.to_vec(), b.to_vec()]));
        }
        let mut single = vec![first(b"").not_final()];
        let bytes = payload
            .iter()
            .map(|byte| Frame::continuation([*byte]).not_final());
        single.extend(bytes);
        single.push(Frame::continuation(""));
        let single = single.iter().map(|frame| frame.encode(Sender::Client));
        cases.push(("a fragment a byte".to_owned(), single.collect()));
        for (case, writes) in cases {
            let case = format!("{wire:?}, {case}");
            let mut session = Session::open(push.addr(), wire);
            for bytes in writes {
                session.socket.send(&bytes);
            }
            let replies = replies(&mut session, 1..=4, &case);
            let methods = ["connect", "subscribe", "publish", "unsubscribe"];
            for (reply, method) in replies.iter().zip(methods) {
                assert!(reply[method].is_object(), "{case}: {reply}");
            }
        }
    }
}

#[test]
fn a_client_s_publication_comes_to_all_on_both_wires_with_who_published() {
    let push = start();
    for channel in ["open:a", "past:a"] {
        let mut readers = WIRES.map(|wire| Session::anonymous(&push, wire));
        for reader in &mut readers {
            reader.subscribe(channel);
        }
        for wire in WIRES {
            let (mut writer, connected) = Session::connected(&push, wire, &json!({}));
            writer.subscribe(channel);
            let data = json!({"n": [1, 2.5, null, "é\n\u{2028}"], "": {"a": true}});
            writer.result("publish", &json!({"channel": channel, "data": data}));
            for reader in &mut readers {
                let case = format!("{channel} from {wire:?} to {:?}", reader.wire());
                let publication = reader.publication(channel);
                assert_eq!(publication["data"], data, "{case}");
                let info = &publication["info"];
                assert_eq!(info["client"], connected["client"], "{case}: {publication}");
            }
            // The publisher, too.
            writer.expect_data(channel, &data);
        }
    }
}

#[test]
fn the_api_s_publications_arrive_as_they_were_published() {
    let push = start();
    let mut api = push.api();
    let mut readers = WIRES.map(|wire| Session::anonymous(&push, wire));
    for reader in &mut readers {
        reader.subscribe("past:a");
    }
    let cases = [
        (
            json!({"data": {"a": "b"}}),
            json!({"a": "b"}),
            json!({"a": "b"}),
        ),
        (json!({"data": "text"}), json!("text"), json!("text")),
        (json!({"data": 0}), json!(0), json!(0)),
        (json!({"data": null}), json!(null), json!(null)),
        (json!({"data": ""}), json!(""), json!("")),
        // Bytes that are no JSON: base64 where there is only JSON, else the bytes.
        (
            json!({"b64data": "/wAK"}),
            json!("/wAK"),
            bytes_of(&[255, 0, 10]),
        ),
    ];
    for (n, (fields, as_json, as_protobuf)) in cases.iter().enumerate() {
        let mut request = fields.clone();
        request["channel"] = json!("past:a");
        request["tags"] = json!({"kind": "k", "n": n.to_string()});
        api.result("publish", &request);
        for reader in &mut readers {
            let publication = reader.publication("past:a");
            let case = format!("{:?} {fields}: {publication}", reader.wire());
            let data = match reader.wire() {
                Wire::Json => as_json,
                Wire::Protobuf => as_protobuf,
            };
            assert_eq!(&publication["data"], data, "{case}");
            assert_eq!(publication["tags"], request["tags"], "{case}");
            assert_eq!(publication["offset"], n as u64 + 1, "{case}");
            assert!(publication["info"].is_null(), "{case}");
        }
    }
    // Line breaks between tokens are no line breaks on the wire; the session's reader fails on one.
    let body = "{\"channel\":\"past:a\",\"data\":{\r\n\"a\"\n:\n[1,\n2]\r\n}}";
    api.answer("publish", body);
    for reader in &mut readers {
        reader.expect_data("past:a", &json!({"a": [1, 2]}));
    }
}

#[test]
fn nothing_of_a_channel_comes_before_its_subscribe_reply_and_then_everything() {
    let push = start();
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        for channel in ["past:load", "open:load"] {
            let (push, ends) = (&push, &ends);
            scope.spawn(move || {
                let mut api = push.api();
                let mut n = 0;
                while !ends.load(Ordering::Relaxed) {
                    n += 1;
                    api.publish(channel, &json!(n));
                }
            });
        }
        let mut api = push.api();
        for channel in ["past:load", "open:load"] {
            // On one without history, the first that is heard of is the beginning.
            let mut probe = Session::anonymous(&push, Wire::Json);
            probe.subscribe(channel);
            probe.publication(channel);
        }
        for n in 0..100 {
            let wire = WIRES[n % 2];
            let mut session = Session::open(push.addr(), wire);
            let subscribe = |id, channel| json!({"id": id, "subscribe": {"channel": channel}});
            session.say(&[
                json!({"id": 1, "connect": {}}),
                subscribe(2, "past:load"),
                subscribe(3, "open:load"),
            ]);
            let case = format!("session {n}, {wire:?}");
            let (mut answered, mut next) = (Vec::new(), [None::<u64>; 2]);
            let mut counts = [0; 2];
            while counts.iter().any(|count| *count < 5) {
                match session.came() {
                    Came::Reply(id, reply) => {
                        assert!(!answered.contains(&id), "{case}: twice: {reply}");
                        answered.push(id);
                        assert!(reply["error"].is_null(), "{case}: {reply}");
                        if id == 2 {
                            let at = reply["subscribe"]["offset"].as_u64().unwrap_or(0);
                            next[0] = Some(at + 1);
                        }
                    }
                    Came::Push(told) => {
                        let past = told["channel"] == "past:load";
                        let which = usize::from(!past);
                        let id = 2 + which as u64;
                        assert!(answered.contains(&id), "{case}: {told} before reply {id}");
                        let publication = &told["pub"];
                        let data = publication["data"].as_u64().unwrap();
                        if past {
                            assert_eq!(publication["offset"], data, "{case}");
                        }
                        let wanted = next[which].unwrap_or(data);
                        assert_eq!(data, wanted, "{case}: {told}");
                        next[which] = Some(data + 1);
                        counts[which] += 1;
                    }
                    Came::Ping => session.pong(),
                    other => panic!("{case}: {other:?}"),
                }
            }
        }
        assert!(api.position("past:load").len() > 2);
        ends.store(true, Ordering::Relaxed);
    });
}

#[test]
fn each_of_several_channels_gives_all_of_its_news_in_order() {
    let push = start();
    let channels = ["past:a", "past:b", "open:a", "open:b", "alone"];
    let mut sessions = WIRES.map(|wire| Session::anonymous(&push, wire));
    let mut others = WIRES.map(|wire| Session::anonymous(&push, wire));
    for session in &mut sessions {
        for channel in channels {
            session.subscribe(channel);
        }
    }
    for other in &mut others {
        other.subscribe("past:c");
    }
    let mut api = push.api();
    for round in 0..40 {
        let commands: Vec<Value> = (0..50)
            .map(|n| json!({"publish": {"channel": channels[n % 5], "data": round * 10 + n / 5}}))
            .collect();
        api.answer("batch", json!({"commands": commands}).to_string());
    }
    for session in &mut sessions {
        let mut next = [0; 5];
        for _ in 0..40 * 50 {
            let told = session.push();
            let of = channels
                .iter()
                .position(|channel| told["channel"] == *channel);
            let of = of.unwrap_or_else(|| panic!("{told}"));
            assert_eq!(
                told["pub"]["data"],
                next[of],
                "{:?}: {told}",
                session.wire()
            );
            if of < 2 {
                assert_eq!(told["pub"]["offset"], next[of] + 1, "{told}");
            }
            next[of] += 1;
        }
        session.expect_quiet("all came once");
    }
    for other in &mut others {
        other.expect_quiet("news of channels that it is not on");
    }
}

#[test]
fn subscribing_twice_is_105_and_unsubscribing_always_works() {
    let push = start();
    let mut api = push.api();
    for wire in WIRES {
        let mut session = Session::anonymous(&push, wire);
        let channel = json!({"channel": "open:a"});
        for _ in 0..3 {
            session.result("unsubscribe", &channel);
            session.subscribe("open:a");
            session.expect_error("subscribe", &channel, 105);
            api.publish("open:a", &json!("in"));
            session.expect_data("open:a", &json!("in"));
            session.result("unsubscribe", &channel);
            api.publish("open:a", &json!("out"));
            session.expect_quiet("news after the reply to unsubscribe");
        }
        // What the JS SDK sends when the application changes its mind.
        let commands = [
            "subscribe",
            "unsubscribe",
            "subscribe",
            "unsubscribe",
            "subscribe",
        ];
        let (ids, commands): (Vec<u64>, Vec<Value>) = commands
            .iter()
            .map(|method| session.next_command(method, &channel))
            .unzip();
        session.say(&commands);
        for reply in replies(&mut session, ids, &format!("{wire:?}")) {
            assert!(reply["error"].is_null(), "{wire:?}: {reply}");
        }
        api.publish("open:a", &json!("in"));
        session.expect_data("open:a", &json!("in"));
    }
}

#[test]
fn who_comes_and_goes_is_told_and_present() {
    let push = start();
    for wire in WIRES {
        let channel = format!("talk:{wire:?}");
        let request = json!({"channel": channel});
        let (mut stays, first) = Session::connected(&push, wire, &json!({}));
        stays.subscribe(&channel);
        let case = format!("{wire:?}");
        // Its own join may or may not be told to itself: from here on it is not.
        let (mut comes, second) = Session::connected(&push, wire, &json!({}));
        comes.subscribe(&channel);
        let joined = loop {
            let told = stays.push();
            assert!(told["join"].is_object(), "{case}: {told}");
            if told["join"]["info"]["client"] != first["client"] {
                break told;
            }
        };
        assert_eq!(
            joined["join"]["info"]["client"], second["client"],
            "{case}: {joined}"
        );
        let presence = stays.result("presence", &request);
        let present = presence["presence"].as_object().unwrap();
        assert_eq!(present.len(), 2, "{case}: {presence}");
        for connected in [&first, &second] {
            let client = connected["client"].as_str().unwrap();
            assert_eq!(present[client]["client"], client, "{case}: {presence}");
        }
        let stats = stays.result("presence_stats", &request);
        assert_eq!(
            (&stats["num_clients"], &stats["num_users"]),
            (&json!(2), &json!(1)),
            "{stats}"
        );
        comes.result("unsubscribe", &request);
        let left = stays.push();
        assert_eq!(
            left["leave"]["info"]["client"], second["client"],
            "{case}: {left}"
        );
        comes.subscribe(&channel);
        stays.push();
        drop(comes);
        let left = stays.push();
        assert_eq!(
            left["leave"]["info"]["client"], second["client"],
            "{case}: {left}"
        );
        let presence = stays.result("presence", &request);
        assert_eq!(
            presence["presence"].as_object().unwrap().len(),
            1,
            "{case}: {presence}"
        );
    }
}

#[test]
fn joins_are_told_to_who_asks_where_nobody_is_told_unasked() {
    let push = start();
    for wire in WIRES {
        let channel = format!("asks:{wire:?}");
        let mut asks = Session::anonymous(&push, wire);
        asks.result(
            "subscribe",
            &json!({"channel": channel, "join_leave": true}),
        );
        let mut silent = Session::anonymous(&push, wire);
        silent.subscribe(&channel);
        loop {
            let told = asks.push();
            assert!(told["join"].is_object(), "{wire:?}: {told}");
            // A join of its own comes first, if at all.
            if asks.call("presence_stats", &json!({"channel": channel}))["error"].is_object() {
                break;
            }
        }
        let (mut third, connected) = Session::connected(&push, wire, &json!({}));
        third.subscribe(&channel);
        while asks.push()["join"]["info"]["client"] != connected["client"] {}
        silent.expect_quiet("joins that nobody asked for");
        // Where there are none, asking gives none, and no error.
        let mut open = Session::anonymous(&push, wire);
        open.result(
            "subscribe",
            &json!({"channel": "open:quiet", "join_leave": true}),
        );
        third.subscribe("open:quiet");
        open.expect_quiet("joins where there are none");
    }
}

#[test]
fn history_is_read_in_pages() {
    let push = start();
    let mut api = push.api();
    for n in 1..=400 {
        api.publish("past:pages", &json!(n));
    }
    let top = api.position("past:pages");
    let (_, epoch) = top.split_once(':').unwrap();
    for wire in WIRES {
        let mut session = Session::anonymous(&push, wire);
        session.subscribe("past:pages");
        let mut page = |more: Value| {
            let mut request = json!({"channel": "past:pages"});
            let fields = more.as_object().unwrap().clone();
            request.as_object_mut().unwrap().extend(fields);
            let result = session.result("history", &request);
            let case = format!("{wire:?} {more}");
            assert_eq!(result["epoch"], epoch, "{case}");
            assert_eq!(result["offset"], 400, "{case}");
            let empty = Vec::new();
            let publications = result["publications"].as_array().unwrap_or(&empty);
            let offsets = publications.iter().map(|publication| {
                assert_eq!(publication["offset"], publication["data"], "{case}");
                publication["offset"].as_u64().unwrap()
            });
            offsets.collect::<Vec<u64>>()
        };
        let up = |from: u64, to: u64| (from..=to).collect::<Vec<_>>();
        let down = |from: u64, to: u64| (to..=from).rev().collect::<Vec<_>>();
        assert_eq!(page(json!({})), up(1, 0));
        assert_eq!(page(json!({"limit": 0})), up(1, 0));
        assert_eq!(page(json!({"limit": 1})), up(1, 1));
        assert_eq!(page(json!({"limit": 300})), up(1, 300));
        assert_eq!(page(json!({"limit": 1000})), up(1, 300));
        assert_eq!(page(json!({"limit": 10, "reverse": true})), down(400, 391));
        let since = |offset: u64| json!({"offset": offset, "epoch": epoch});
        assert_eq!(page(json!({"limit": 10, "since": since(0)})), up(1, 10));
        assert_eq!(
            page(json!({"limit": 10, "since": since(395)})),
            up(396, 400)
        );
        assert_eq!(page(json!({"limit": 10, "since": since(400)})), up(1, 0));
        assert_eq!(
            page(json!({"limit": 10, "since": since(100), "reverse": true})),
            down(99, 90)
        );
        // A whole walk.
        let (mut at, mut seen) = (0, Vec::new());
        loop {
            let found = page(json!({"limit": 77, "since": {"offset": at, "epoch": epoch}}));
            let Some(last) = found.last() else { break };
            at = *last;
            seen.extend(found);
        }
        assert_eq!(seen, up(1, 400));
        let other =
            json!({"channel": "past:pages", "limit": 1, "since": {"offset": 1, "epoch": "x"}});
        session.expect_error("history", &other, 112);
        session.expect_error("history", &json!({"channel": "open:a", "limit": 1}), 108);
        session.expect_error("history", &json!({"channel": "kept:a", "limit": 1}), 103);
    }
}

#[test]
fn what_a_namespace_does_not_have_or_allow_has_its_code() {
    let push = start();
    let long = format!("open:{}", "a".repeat(251));
    let cases = [
        ("subscribe", json!({"channel": "nowhere:a"}), 102),
        ("subscribe", json!({"channel": "closed:a"}), 103),
        ("subscribe", json!({"channel": "$open:a"}), 103),
        ("subscribe", json!({"channel": "open:#ada"}), 103),
        ("subscribe", json!({"channel": ""}), 107),
        ("subscribe", json!({"channel": "open:é"}), 107),
        ("subscribe", json!({"channel": long}), 107),
        ("publish", json!({"channel": "nowhere:a", "data": 1}), 102),
        ("publish", json!({"channel": "mute:a", "data": 1}), 103),
        ("publish", json!({"channel": "past:a", "data": 1}), 103), // not subscribed
        ("publish", json!({"channel": "", "data": 1}), 107),
        ("presence", json!({"channel": "mute:a"}), 108),
        ("presence", json!({"channel": "open:a"}), 103),
        ("presence_stats", json!({"channel": "mute:a"}), 108),
        ("presence_stats", json!({"channel": "open:a"}), 103),
        ("presence", json!({"channel": "nowhere:a"}), 102),
        ("history", json!({"channel": "nowhere:a"}), 102),
        ("rpc", json!({"method": "m", "data": 1}), 104),
        ("refresh", json!({"token": "t"}), 108),
        (
            "sub_refresh",
            json!({"channel": "open:a", "token": "t"}),
            103,
        ),
    ];
    for wire in WIRES {
        let mut session = Session::anonymous(&push, wire);
        for (method, request, code) in &cases {
            session.expect_error(method, request, *code);
        }
        session.result("publish", &json!({"channel": "open:a", "data": 1}));
    }
}

#[test]
fn a_send_has_no_reply_and_does_no_harm() {
    let push = start();
    for wire in WIRES {
        let mut session = Session::anonymous(&push, wire);
        for data in [json!(1), json!({"a": "b"}), json!("x".repeat(10_000))] {
            session.say(&[
                json!({"send": {"data": data}}),
                json!({"send": {"data": data}}),
            ]);
        }
        session.expect_quiet("a reply to send");
    }
}

#[test]
fn who_goes_is_gone() {
    let push = start();
    let mut api = push.api();
    for wire in WIRES {
        for polite in [true, false] {
            let (mut session, connected) = Session::connected(&push, wire, &json!({}));
            session.subscribe("open:gone");
            assert_eq!(
                api.clients("open:gone"),
                [connected["client"].as_str().unwrap()]
            );
            if polite {
                session.socket.say(&Frame::close(1000, ""));
                session.socket.expect_close(1000);
            }
            drop(session);
            eventually("it is gone", || api.clients("open:gone").is_empty());
        }
    }
}
