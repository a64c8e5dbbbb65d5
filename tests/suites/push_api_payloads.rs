//! What a publication may be: sizes, newlines, base64, hostile JSON.
//!
//! Never: trusts the answer alone; a subscriber shows what went out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_tests::api::assert_error;
use fanfare_tests::push::Push;
use serde_json::{Value, json};

const MEBIBYTE: usize = 1 << 20;

fn publish_body(data: &str) -> String {
    format!(r#"{{"channel":"past:a","data":{data}}}"#)
}

#[test]
fn raw_newlines_do_not_reach_subscribers() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut subscriber = push.subscribe("past:a");
    for (data, came) in [
        ("[1,\n2]", "[1,2]"),
        ("{\r\n  \"a\": 1\r\n}", "{  \"a\": 1}"),
        ("\n\n1\n", "1"),
        (
            "[\n{\"push\":{\"channel\":\"past:a\",\"pub\":{\"data\":\"forged\"}}}\n]",
            "[{\"push\":{\"channel\":\"past:a\",\"pub\":{\"data\":\"forged\"}}}]",
        ),
        (r#""two\nlines\r""#, r#""two\nlines\r""#), // escaped ones are harmless
        ("{\"a\\\"\":\n\"b\\\\\"\n}", "{\"a\\\"\":\"b\\\\\"}"), // ends of strings
        ("[\n\"\\u005c\\\"\\n\",\n1]", "[\"\\u005c\\\"\\n\",1]"),
        ("\"\u{2028}\u{85}\"", "\"\u{2028}\u{85}\""), // no newlines of this wire
    ] {
        for body in [publish_body(data), publish_body(&format!(" \t{data} "))] {
            let answer = api.answer("publish", &body);
            assert!(answer["result"]["offset"].is_u64(), "{body:?}: {answer}");
            let text = subscriber.text();
            assert_eq!(text.trim_matches([' ', '\t']), came, "{body:?}");
        }
        let body = format!(r#"{{"channels":["past:a"],"data":{data}}}"#);
        api.answer("broadcast", &body);
        assert_eq!(subscriber.text(), came, "{body:?}");
        let body = format!(r#"{{"commands":[{{"publish":{}}}]}}"#, publish_body(data));
        api.answer("batch", &body);
        assert_eq!(subscriber.text(), came, "{body:?}");
    }
    let history = api.post("history", r#"{"channel":"past:a","limit":300}"#);
    let lines = history.text();
    assert_eq!(lines.trim_end().lines().count(), 1, "{lines}");
}

#[test]
fn a_newline_within_a_string_is_no_json() {
    let push = Push::start("", "");
    let mut api = push.api();
    for data in ["\"a\nb\"", "\"a\rb\"", "\"\0\"", "\"a\\\nb\""] {
        let response = api.post("publish", publish_body(data));
        response.expect_line(data, 400, &[]);
    }
}

#[test]
fn a_mebibyte_arrives_and_a_byte_more_is_106() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut subscriber = push.subscribe("past:a");
    let text = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
    for _ in 0..3 {
        let body = publish_body(&text(MEBIBYTE));
        assert!(api.answer("publish", body)["result"].is_object());
        subscriber.expect_text(&text(MEBIBYTE));
        let answer = api.answer("publish", publish_body(&text(MEBIBYTE + 1)));
        assert_error(&answer, 106, "one byte more");
    }
    let bytes: Vec<u8> = (0..=250).cycle().take(MEBIBYTE + 1).collect();
    let exact = json!({"channel": "past:a", "b64data": STANDARD.encode(&bytes[1..])});
    api.result("publish", &exact);
    subscriber.expect_binary(&bytes[1..]);
    let over = json!({"channel": "past:a", "b64data": STANDARD.encode(&bytes)});
    api.expect_error("publish", &over, 106);
    let over = json!({"channels": ["past:a", "open:a"], "b64data": STANDARD.encode(&bytes)});
    let answer = api.answer("broadcast", over.to_string());
    // Of the whole or of each channel: it is not said which.
    let errors = match answer["result"]["responses"].as_array() {
        Some(responses) => responses.clone(),
        None => vec![answer.clone()],
    };
    for error in errors {
        assert_error(&error, 106, &error.to_string());
    }
    api.publish("past:a", &json!("and nothing between"));
    subscriber.expect_text("\"and nothing between\"");
}

#[test]
fn the_limit_is_the_configs() {
    let push = Push::start("", "[publication]\nmax_bytes = 10");
    let mut api = push.api();
    let mut subscriber = push.subscribe("past:a");
    api.publish("past:a", &json!("12345678"));
    subscriber.expect_text("\"12345678\"");
    let over = json!({"channel": "past:a", "data": "123456789"});
    api.expect_error("publish", &over, 106);
    let over = json!({"channel": "past:a", "b64data": STANDARD.encode([0; 11])});
    api.expect_error("publish", &over, 106);
    let exact = json!({"channel": "past:a", "b64data": STANDARD.encode([0; 10])});
    api.result("publish", &exact);
    subscriber.expect_binary(&[0; 10]);
}

#[test]
fn one_of_data_and_b64data_and_no_more() {
    let push = Push::start("", "");
    let mut api = push.api();
    for (method, channel) in [
        ("publish", r#""channel":"past:a""#),
        ("broadcast", r#""channels":["past:a"]"#),
    ] {
        for payload in ["", r#","data":1,"b64data":"AA==""#] {
            let body = format!("{{{channel}{payload}}}");
            api.post(method, &body).expect_line(&body, 400, &["data"]);
        }
        let twice = format!("{{{channel},\"data\":1,\"data\":2}}");
        let response = api.post(method, &twice);
        response.expect_line(&twice, 400, &["data"]);
    }
    for bad in [
        "!", "AA", "AAA", "AA==x", "AA = =", "_-8=", "A", "=", "AAAA\n",
    ] {
        let request = json!({"channel": "past:a", "b64data": bad});
        api.expect_error("publish", &request, 107);
    }
    let top = api.position("past:a");
    assert!(top.starts_with("0:"), "{top}: one of them was published");
}

#[test]
fn a_body_that_is_no_utf_8_is_400() {
    let push = Push::start("", "");
    let mut api = push.api();
    for bytes in [
        &b"\xff"[..],
        b"\xc3",
        b"\xc0\x80",
        b"\xed\xa0\x80",     // a surrogate
        b"\xf4\x90\x80\x80", // beyond the last code point
        b"\xe2\x28\xa1",
    ] {
        for (before, after) in [
            (&br#"{"channel":"past:a","data":""#[..], &br#""}"#[..]),
            (br#"{"channel":"past:a"#, br#"","data":1}"#),
            (br#"{"channel":"past:a","data":{""#, br#"":1}}"#),
            (br#"{"channel":"past:a","data":1}"#, b""),
        ] {
            let body = [before, bytes, after].concat();
            let response = api.post("publish", &body);
            response.expect_line(&format!("{:?}", String::from_utf8_lossy(&body)), 400, &[]);
        }
    }
}

#[test]
fn deep_nesting_crashes_nothing() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut subscriber = push.subscribe("past:a");
    let depth = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = open.repeat(depth) + "1" + &close.repeat(depth);
        let unclosed = open.repeat(depth);
        for (method, body) in [
            ("publish", publish_body(&nested)),
            ("publish", publish_body(&unclosed)),
            ("publish", unclosed.clone()),
            ("publish", format!(r#"{{"channel":{nested},"data":1}}"#)),
            ("publish", format!(r#"{{"x":{nested}}}"#)),
            (
                "publish",
                format!(r#"{{"channel":"past:a","data":1,"tags":{nested}}}"#),
            ),
            (
                "broadcast",
                format!(r#"{{"channels":["past:a"],"data":{nested}}}"#),
            ),
            (
                "history",
                format!(r#"{{"channel":"past:a","since":{nested}}}"#),
            ),
            (
                "batch",
                format!(
                    r#"{{"commands":[{{"publish":{}}}]}}"#,
                    publish_body(&nested)
                ),
            ),
            ("batch", format!(r#"{{"commands":{nested}}}"#)),
        ] {
            let case = format!("{method} {}", &body[..60.min(body.len())]);
            let status = api.post(method, &body).status();
            assert!(status == 400 || status == 200, "{case}: {status}");
        }
    }
    api.publish("past:a", &json!("alive"));
    while subscriber.text() != "\"alive\"" {}
}

#[test]
fn nesting_that_is_accepted_comes_back_from_history() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut subscriber = push.subscribe("past:a");
    for depth in [1, 10, 100, 126, 127, 128, 129, 1000] {
        let nested = "[".repeat(depth) + &"]".repeat(depth);
        let response = api.post("publish", publish_body(&nested));
        if response.status() != 200 {
            assert!(depth > 100, "{depth}: {response:?}");
            response.expect_line(&depth.to_string(), 400, &[]);
            continue;
        }
        subscriber.expect_text(&nested);
        let body = r#"{"channel":"past:a","limit":1,"reverse":true}"#;
        let history = api.post("history", body).text();
        assert!(
            history.contains(&format!("\"data\":{nested}")),
            "{depth}: {history}"
        );
    }
}

#[test]
fn numbers_and_escapes_are_not_rewritten() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut subscriber = push.subscribe("past:a");
    for data in [
        "1e999",
        "-0",
        "1.0",
        "0.1e-7",
        "18446744073709551616",
        r#""\ud83c\udfba""#,
        r#""\ud800""#, // a lone surrogate is JSON's business
        r#"{"a":1,"a":2}"#,
        r#""\/\b\f""#,
    ] {
        let response = api.post("publish", publish_body(data));
        assert_eq!(response.status(), 200, "{data}: {response:?}");
        subscriber.expect_text(data);
    }
    for data in [
        "01",
        "1.",
        ".5",
        "+1",
        "NaN",
        "tru",
        "'x'",
        "[1,]",
        "{\"a\":1,}",
        "\"\\x\"",
        "\"\\u12\"",
        "/**/1",
    ] {
        let response = api.post("publish", publish_body(data));
        response.expect_line(data, 400, &[]);
    }
}

#[test]
fn a_key_that_is_written_with_escapes_is_the_same_key() {
    let push = Push::start("", "");
    let mut subscriber = push.subscribe("open:a");
    let body = r#"{ "ch\u0061nnel" : "open\u003aa" , "d\u0061ta":"x" }"#;
    assert_eq!(push.api().answer("publish", body), json!({"result": {}}));
    subscriber.expect_text("\"x\"");
}

#[test]
fn null_is_data_and_fields_that_are_null_are_not_there() {
    let push = Push::start("", "");
    let mut api = push.api();
    let mut subscriber = push.subscribe("past:a");
    let result = api.publish("past:a", &Value::Null);
    assert_eq!(result["offset"], 1, "{result}");
    subscriber.expect_text("null");
}
