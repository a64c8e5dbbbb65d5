//! The methods of the HTTP API: what each does, answers and refuses, once the request has come through.
//!
//! Never: tests HTTP itself (see `push_api_http`), what payloads may be (see `push_api_payloads`), or what
//! is done to clients (see `push_api_clients`).
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use fanfare_tests::api::{assert_error, position};
use fanfare_tests::push::Push;
use fanfare_tests::wire::Frame;
use serde_json::{Value, json};

/// Every method with a request that each field of makes sense.
fn good_requests() -> Vec<(&'static str, Value)> {
    let stream = json!({"channel": "past:a"});
    vec![
        ("publish", json!({"channel": "past:a", "data": 1})),
        (
            "broadcast",
            json!({"channels": ["past:a", "open:a"], "data": 1}),
        ),
        (
            "history",
            json!({"channel": "past:a", "limit": 2, "since": {"offset": 0, "epoch": ""}, "reverse": false}),
        ),
        ("history_remove", stream.clone()),
        ("presence", stream.clone()),
        ("presence_stats", stream),
        ("channels", json!({"pattern": "*"})),
        ("info", json!({})),
        (
            "disconnect",
            json!({"user": "nobody", "client": "x", "disconnect": {"code": 4000, "reason": "why"}}),
        ),
        (
            "unsubscribe",
            json!({"user": "nobody", "channel": "past:a", "client": "x"}),
        ),
    ]
}

#[test]
fn every_method_answers_on_the_main_port_and_on_its_own() {
    for push in [Push::start("", ""), Push::on_one_port("", "")] {
        let mut api = push.api();
        for (method, request) in good_requests() {
            let result = api.result(method, &request);
            assert!(result.is_object(), "{method}: {result}");
        }
        let batch = json!({"commands": [{"info": {}}]});
        let answer = api.answer("batch", batch.to_string());
        let replies = answer["replies"].as_array().expect("replies");
        assert_eq!(replies.len(), 1, "{answer}");
    }
}

#[test]
fn what_is_unknown_missing_or_of_another_type_is_400_and_named() {
    let push = Push::start("", "");
    let mut api = push.api();
    for (method, request) in good_requests() {
        let mut with_more = request.clone();
        with_more["frobnicate"] = json!(1);
        let response = api.post(method, with_more.to_string());
        response.expect_line(&format!("{method} {with_more}"), 400, &["frobnicate"]);
        for field in request.as_object().unwrap().keys() {
            // Whatever it should be, this is something else; data alone may be anything.
            let mut mistyped = request.clone();
            mistyped[field] = json!([[{}]]);
            if field != "data" {
                let response = api.post(method, mistyped.to_string());
                response.expect_line(&format!("{method} {mistyped}"), 400, &[field]);
            }
        }
    }
    for (method, field) in [
        ("publish", "channel"),
        ("broadcast", "channels"),
        ("history", "channel"),
        ("history_remove", "channel"),
        ("presence", "channel"),
        ("presence_stats", "channel"),
        ("disconnect", "user"),
        ("unsubscribe", "user"),
        ("unsubscribe", "channel"),
        ("batch", "commands"),
    ] {
        let mut lacking = json!({"channel": "past:a", "channels": [], "data": 1, "user": ""});
        let known: &[&str] = match method {
            "publish" => &["channel", "data"],
            "broadcast" => &["channels", "data"],
            "disconnect" => &["user"],
            "unsubscribe" => &["channel", "user"],
            "batch" => &[],
            _ => &["channel"],
        };
        let fields = lacking.as_object_mut().unwrap();
        fields.retain(|name, _| known.contains(&name.as_str()) && name != field);
        let response = api.post(method, lacking.to_string());
        response.expect_line(&format!("{method} {lacking}"), 400, &[field]);
    }
    for (request, field) in [
        (json!({"channel": "past:a", "limit": -1}), "limit"),
        (json!({"channel": "past:a", "limit": 1.5}), "limit"),
        (json!({"channel": "past:a", "limit": "1"}), "limit"),
        (
            json!({"channel": "past:a", "since": {"offset": -1, "epoch": ""}}),
            "offset",
        ),
        (
            json!({"channel": "past:a", "since": {"offset": 0, "epoch": 1}}),
            "epoch",
        ),
        (
            json!({"channel": "past:a", "since": {"offset": 0, "epoch": "", "zebra": 1}}),
            "zebra",
        ),
    ] {
        let response = api.post("history", request.to_string());
        response.expect_line(&request.to_string(), 400, &[field]);
    }
}

#[test]
fn a_body_that_is_no_json_object_is_400() {
    let push = Push::start("", "");
    let mut api = push.api();
    for (method, good) in good_requests() {
        let good = good.to_string();
        for body in [
            "",
            " ",
            "null",
            "1",
            "[]",
            "\"x\"",
            "{",
            "{}}",
            "{\"channel\"}",
            "{'channel':1}",
            &good[..good.len() - 1],
            &format!("{good} x"),
            &format!("{good}{good}"),
            &format!("{good}\0"),
        ] {
            // What of an empty body where every field may be left out is not said.
            if method == "info" && body.trim().is_empty() || body.is_empty() {
                continue;
            }
            if method == "channels" && body.trim().is_empty() {
                continue;
            }
            let response = api.post(method, body);
            response.expect_line(&format!("{method} {body:?}"), 400, &[]);
        }
    }
}

#[test]
fn the_engine_refuses_with_200_and_a_code() {
    let push = Push::start("", "");
    let mut api = push.api();
    let long = format!("open:{}", "x".repeat(251));
    for (channel, code) in [
        ("nowhere:a", 102),
        ("", 107),
        (long.as_str(), 107),
        ("open:\u{e9}", 107),
        ("open:\n", 107),
        ("open:\0", 107),
    ] {
        let with = |more: Value| {
            let mut request = json!({"channel": channel});
            let more = more.as_object().unwrap().clone();
            request.as_object_mut().unwrap().extend(more);
            request
        };
        api.expect_error("publish", &with(json!({"data": 1})), code);
        api.expect_error("publish", &with(json!({"b64data": "AAA="})), code);
        for method in ["history", "history_remove", "presence", "presence_stats"] {
            api.expect_error(method, &with(json!({})), code);
        }
    }
    // No history, no presence.
    for (channel, method) in [
        ("open:a", "history"),
        ("open:a", "history_remove"),
        ("mute:a", "presence"),
        ("mute:a", "presence_stats"),
        ("kept:a", "presence"),
        ("latest:a", "history"),
    ] {
        api.expect_error(method, &json!({"channel": channel}), 108);
    }
    // The API may publish where no client may subscribe.
    assert_eq!(api.publish("closed:a", &json!(1)), json!({}));
}

#[test]
fn publish_counts_from_one_and_says_no_offset_without_history() {
    let push = Push::start("", "");
    let mut api = push.api();
    let first = api.publish("past:a", &json!(1));
    let epoch = first["epoch"].as_str().expect("an epoch").to_owned();
    assert!(!epoch.is_empty());
    assert_eq!(first, json!({"offset": 1, "epoch": epoch}));
    let second = api.publish("past:a", &json!(2));
    assert_eq!(second, json!({"offset": 2, "epoch": epoch}));
    let other = api.publish("past:b", &json!(1));
    assert_eq!(other["offset"], 1);
    assert_eq!(api.publish("open:a", &json!(1)), json!({}));
}

#[test]
fn skip_history_is_delivered_and_not_kept() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut subscriber = push.subscribe("past:a");
    let before = position(&api.publish("past:a", &json!(1)));
    let skipping = json!({"channel": "past:a", "data": 2, "skip_history": true});
    assert_eq!(api.result("publish", &skipping), json!({}));
    assert_eq!(api.position("past:a"), before);
    api.publish("past:a", &json!(3));
    for n in [1, 2, 3] {
        subscriber.expect_text(&n.to_string());
    }
    let history = api.result("history", &json!({"channel": "past:a", "limit": 10}));
    assert_eq!(data(&history), [1, 3]);
}

/// The numbers that were published.
fn data(history: &Value) -> Vec<u64> {
    let publications = history["publications"].as_array().expect("a list");
    publications
        .iter()
        .map(|publication| publication["data"].as_u64().expect("a number"))
        .collect()
}

#[test]
fn an_idempotency_key_publishes_once() {
    let push = Push::start("workers = 2", "");
    let mut api = push.api();
    for channel in ["past:a", "open:a"] {
        let mut subscriber = push.subscribe(channel);
        let with_key =
            |n: u32, key: &str| json!({"channel": channel, "data": n, "idempotency_key": key});
        let first = api.result("publish", &with_key(1, "k"));
        assert_eq!(api.result("publish", &with_key(1, "k")), first, "{channel}");
        assert_eq!(api.result("publish", &with_key(9, "k")), first, "{channel}");
        let other = api.result("publish", &with_key(2, "K"));
        let third = api.publish(channel, &json!(3));
        if channel == "past:a" {
            assert_eq!((&other["offset"], &third["offset"]), (&json!(2), &json!(3)));
        }
        for n in [1, 2, 3] {
            subscriber.expect_text(&n.to_string());
        }
        api.expect_error("publish", &with_key(4, ""), 107);
        api.expect_error("publish", &with_key(4, &"x".repeat(256)), 107);
        api.result("publish", &with_key(5, &"x".repeat(255)));
        subscriber.expect_text("5");
    }
}

#[test]
fn tags_are_kept_and_bounded() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut subscriber = push.subscribe("past:a");
    let tags = json!({"kind": "news", "": "é", "x": ""});
    api.result(
        "publish",
        &json!({"channel": "past:a", "data": 1, "tags": tags}),
    );
    api.result(
        "publish",
        &json!({"channel": "past:a", "data": 2, "tags": {}}),
    );
    subscriber.expect_text("1");
    subscriber.expect_text("2");
    let history = api.result("history", &json!({"channel": "past:a", "limit": 10}));
    let publications = history["publications"].as_array().unwrap();
    assert_eq!(publications[0]["tags"], tags, "{history}");
    assert!(
        publications[1]["tags"]
            .as_object()
            .is_none_or(|tags| tags.is_empty())
    );
    let many: serde_json::Map<String, Value> =
        (0..10_000).map(|n| (n.to_string(), json!("x"))).collect();
    api.expect_error(
        "publish",
        &json!({"channel": "past:a", "data": 3, "tags": many}),
        107,
    );
    let huge = json!({"x": "y".repeat(1 << 20)});
    api.expect_error(
        "publish",
        &json!({"channel": "past:a", "data": 3, "tags": huge}),
        107,
    );
    let mistyped = json!({"channel": "past:a", "data": 3, "tags": {"x": 1}}).to_string();
    api.post("publish", mistyped)
        .expect_line("a number", 400, &["tags"]);
}

#[test]
fn broadcast_answers_for_each_channel_in_order() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut open = push.subscribe("open:a");
    let mut past = push.subscribe("past:a");
    let channels = [
        "open:a",
        "nowhere:b",
        "past:a",
        "",
        "past:b",
        "closed:x",
        "past:a",
    ];
    let result = api.result(
        "broadcast",
        &json!({"channels": channels, "data": {"n": 1}}),
    );
    let responses = result["responses"].as_array().expect("responses");
    assert_eq!(responses.len(), channels.len(), "{result}");
    for (channel, response) in channels.iter().zip(responses) {
        let case = format!("{channel}: {response}");
        match *channel {
            "nowhere:b" => assert_error(response, 102, &case),
            "" => assert_error(response, 107, &case),
            "open:a" | "closed:x" => assert_eq!(response, &json!({"result": {}}), "{case}"),
            _ => assert!(response["result"]["offset"].is_u64(), "{case}"),
        }
    }
    assert_eq!(responses[2]["result"]["offset"], 1);
    assert_eq!(responses[6]["result"]["offset"], 2);
    open.expect_text(r#"{"n":1}"#);
    past.expect_text(r#"{"n":1}"#);
    past.expect_text(r#"{"n":1}"#);
}

#[test]
fn history_is_paged_both_ways() {
    let push = Push::start("", "");
    let mut api = push.api();
    for n in 1..=400 {
        api.publish("past:a", &json!(n));
    }
    let top = api.position("past:a");
    let epoch = top.strip_prefix("400:").expect("400 of them");
    let mut ask = |more: Value| {
        let mut request = json!({"channel": "past:a"});
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let result = api.result("history", &request);
        assert_eq!(position(&result), top, "{more}: {result}");
        result
    };
    for more in [
        json!({}),
        json!({"limit": 0}),
        json!({"limit": 0, "reverse": true}),
    ] {
        let result = ask(more);
        assert!(
            result["publications"].as_array().is_none_or(Vec::is_empty),
            "{result}"
        );
    }
    let since = |offset: u64| json!({"offset": offset, "epoch": epoch});
    for (more, numbers) in [
        (json!({"limit": 3}), vec![1, 2, 3]),
        (json!({"limit": 3, "reverse": true}), vec![400, 399, 398]),
        (json!({"limit": 3, "since": since(0)}), vec![1, 2, 3]),
        (
            json!({"limit": 3, "since": since(397)}),
            vec![398, 399, 400],
        ),
        (json!({"limit": 3, "since": since(399)}), vec![400]),
        (json!({"limit": 3, "since": since(400)}), vec![]),
        (
            json!({"limit": 3, "since": since(400), "reverse": true}),
            vec![399, 398, 397],
        ),
        (
            json!({"limit": 3, "since": since(2), "reverse": true}),
            vec![1],
        ),
        (
            json!({"limit": 3, "since": since(1), "reverse": true}),
            vec![],
        ),
        (json!({"limit": 1000}), (1..=300).collect()),
        (
            json!({"limit": 300, "reverse": true}),
            (101..=400).rev().collect(),
        ),
    ] {
        let result = ask(more.clone());
        let came = match &result["publications"] {
            Value::Null => Vec::new(), // an empty list may be left out
            _ => data(&result),
        };
        assert_eq!(came, numbers, "{more}");
    }
    let result = ask(json!({"limit": 2, "since": since(10)}));
    let offsets: Vec<&Value> = result["publications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["offset"])
        .collect();
    assert_eq!(offsets, [&json!(11), &json!(12)]);
    // Paged forwards to the end, each once.
    let (mut seen, mut pages) = (0, 0);
    while seen < 400 {
        let page = data(&ask(json!({"limit": 30, "since": since(seen)})));
        assert_eq!(page, (seen + 1..=400.min(seen + 30)).collect::<Vec<_>>());
        seen = *page.last().unwrap();
        pages += 1;
    }
    assert_eq!(pages, 14);
}

#[test]
fn history_since_another_epoch_is_112() {
    let push = Push::start("", "");
    let mut api = push.api();
    for n in 1..=8 {
        api.publish("short:a", &json!(n));
    }
    let request =
        json!({"channel": "short:a", "limit": 5, "since": {"offset": 5, "epoch": "other"}});
    api.expect_error("history", &request, 112);
}

#[test]
fn history_has_what_clients_published_and_who_they_were() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut alice = push.subscribe("past:a");
    let name = api.clients("past:a").pop().expect("alice");
    alice.say(&Frame::binary([1, 2, 255]));
    alice.expect_binary(&[1, 2, 255]);
    alice.say(&Frame::text(r#"{"a": 1}"#));
    alice.expect_text(r#"{"a": 1}"#);
    let history = api.result("history", &json!({"channel": "past:a", "limit": 10}));
    let publications = history["publications"].as_array().unwrap();
    assert_eq!(publications[0]["b64data"], "AQL/", "{history}");
    assert_eq!(publications[0]["data"], Value::Null, "{history}");
    for publication in publications {
        assert_eq!(publication["info"]["client"], json!(name), "{history}");
    }
}

#[test]
fn history_remove_takes_publications_and_not_the_offsets() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut top = String::new();
    for n in 1..=3 {
        top = position(&api.publish("past:a", &json!(n)));
    }
    assert_eq!(
        api.result("history_remove", &json!({"channel": "past:a"})),
        json!({})
    );
    let history = api.result("history", &json!({"channel": "past:a", "limit": 10}));
    assert!(
        history["publications"].as_array().is_none_or(Vec::is_empty),
        "{history}"
    );
    assert_eq!(position(&history), top);
    assert_eq!(api.publish("past:a", &json!(4))["offset"], 4);
    // Of what never was there is nothing to remove.
    assert_eq!(
        api.result("history_remove", &json!({"channel": "past:z"})),
        json!({})
    );
}

#[test]
fn batch_answers_in_order_whatever_fails() {
    let push = Push::start("", "");
    let mut api = push.api();
    for (n, parallel) in [None, Some(false), Some(true)].into_iter().enumerate() {
        let channel = format!("open:{n}");
        let mut subscriber = push.subscribe(&channel);
        let mut commands = vec![
            json!({"publish": {"channel": channel, "data": 1}}),
            json!({"publish": {"channel": "nowhere:a", "data": 1}}),
            json!({"history": {"channel": channel}}),
            json!({"presence_stats": {"channel": channel}}),
            json!({"broadcast": {"channels": ["nowhere:a"], "data": 1}}),
            json!({"channels": {}}),
            json!({"info": {}}),
        ];
        commands.extend(
            (0..50).map(|n| json!({"publish": {"channel": format!("past:{n}"), "data": n}})),
        );
        let mut batch = json!({"commands": commands});
        if let Some(parallel) = parallel {
            batch["parallel"] = json!(parallel);
        }
        let answer = api.answer("batch", batch.to_string());
        let replies = answer["replies"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(replies.len(), commands.len(), "{answer}");
        assert_eq!(replies[0], json!({"publish": {}}));
        assert_error(&replies[1], 102, &answer.to_string());
        assert_error(&replies[2], 108, &answer.to_string());
        assert_eq!(replies[3]["presence_stats"]["num_clients"], 1);
        assert_error(
            &replies[4]["broadcast"]["responses"][0],
            102,
            &answer.to_string(),
        );
        assert!(
            replies[5]["channels"]["channels"][&channel].is_object(),
            "{answer}"
        );
        assert!(replies[6]["info"]["nodes"].is_array(), "{answer}");
        for reply in &replies[7..] {
            assert!(reply["publish"]["offset"].is_u64(), "{reply}");
        }
        subscriber.expect_text("1");
    }
    let in_order: Vec<Value> = (1..=200)
        .map(|n| json!({"publish": {"channel": "past:order", "data": n}}))
        .collect();
    api.answer("batch", json!({"commands": in_order}).to_string());
    let history = api.result("history", &json!({"channel": "past:order", "limit": 300}));
    assert_eq!(data(&history), (1..=200).collect::<Vec<_>>());
    let none = api.answer("batch", r#"{"commands":[]}"#);
    assert_eq!(none, json!({"replies": []}));
}

#[test]
fn a_bad_command_of_a_batch_is_400_and_nothing_is_done() {
    let push = Push::start("", "");
    let mut api = push.api();
    let good = r#"{"publish":{"channel":"past:a","data":1}}"#;
    for (bad, named) in [
        (r#"{"frobnicate":{}}"#, "frobnicate"),
        (r#"{"publish":{"channel":"past:a"}}"#, "data"),
        (
            r#"{"publish":{"channel":"past:a","data":1,"zebra":1}}"#,
            "zebra",
        ),
        (r#"{"publish":{"data":1}}"#, "channel"),
        (r#"{"info":{},"channels":{}}"#, ""),
        ("{}", ""),
        ("1", ""),
        (r#"{"batch":{"commands":[]}}"#, "batch"),
    ] {
        let body = format!(r#"{{"commands":[{good},{bad}]}}"#);
        api.post("batch", &body).expect_line(&body, 400, &[named]);
        let at = api.position("past:a");
        assert!(at.starts_with("0:"), "{body}: the first was done: {at}");
    }
}
