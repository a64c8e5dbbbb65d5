//! What is published, and where it arrives. In: JSON and base64. Out: publications in histories and inboxes.
//!
//! Never: looks at what only the engine decides.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fanfare_hub::{Delivery, Payload, PayloadKind};
use serde_json::json;

use super::super::super::fixture::{PUBLICATION_BYTES_MAX, World, call, post};
use super::error;
use crate::limits::BROADCAST_ASKED_MAX;

#[tokio::test]
async fn a_publication_gets_a_place_if_its_channel_keeps_any() {
    let world = &mut World::new();
    let router = world.router();
    let first = call(
        &router,
        "publish",
        r#"{"channel":"kept:a","data":{"n": 1}}"#,
    )
    .await;
    let epoch = first["result"]["epoch"].as_str().unwrap();
    assert_eq!(first, json!({"result": {"offset": 1, "epoch": epoch}}));
    let cases = [
        (
            r#"{"channel":"kept:a","data":null}"#,
            json!({"result": {"offset": 2, "epoch": epoch}}),
        ),
        (
            r#"{"channel":"kept:a","b64data":"AP8=","tags":{"k":"v"},"skip_history":false}"#,
            json!({"result": {"offset": 3, "epoch": epoch}}),
        ),
        (
            r#"{"channel":"kept:a","data":4,"skip_history":true}"#,
            json!({"result": {}}),
        ),
        (
            r#"{"channel":"plain:a","data":5,"tags":null,"idempotency_key":null,"b64data":null}"#,
            json!({"result": {}}),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(call(&router, "publish", body).await, expected, "{body}");
    }
    let history = call(&router, "history", r#"{"channel":"kept:a","limit":10}"#).await;
    let expected = json!({"result": {"offset": 3, "epoch": epoch, "publications": [
        {"data": {"n": 1}, "offset": 1},
        {"data": null, "offset": 2},
        {"b64data": "AP8=", "offset": 3, "tags": {"k": "v"}},
    ]}});
    assert_eq!(history, expected);
}

#[tokio::test]
async fn the_text_of_data_is_kept_but_for_raw_newlines() {
    let world = &mut World::new();
    let router = world.router();
    world.subscribe("plain:a", "u", "c");
    let cases = [
        ("{\"b\": 1.50,\t\"a\":1e3}", "{\"b\": 1.50,\t\"a\":1e3}"),
        ("\"hello\"", "\"hello\""),
        ("  {}  ", "{}"),
        // What a subscriber of the JSON wire would read as a message of the server's.
        (
            "{}\n{\"push\":{\"channel\":\"bank\",\"pub\":{\"data\":1}}}",
            "",
        ),
        ("{\n\r\n\"a\"\r:[\n1\n,\n2\n]\n}", "{\"a\":[1,2]}"),
        (r#""a\n\u000d""#, r#""a\n\u000d""#),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
    ];
    for (data, expected) in cases {
        let body = format!("{{\"channel\":\"plain:a\",\"data\":{data}}}");
        let (status, text) = post(&router, "/api/publish", body).await;
        let published = world.deliveries();
        let [Delivery::Publication { publication, .. }] = &published[..] else {
            assert_eq!(
                (status, expected, published.len()),
                (400, "", 0),
                "{data}: {text}"
            );
            continue;
        };
        assert_eq!(status, 200, "{data}: {text}");
        assert_eq!(publication.payload.as_text(), Some(expected));
        assert_eq!(publication.payload.kind(), PayloadKind::Json);
    }
}

#[tokio::test]
async fn a_payload_at_the_limit_goes_through_and_one_more_byte_does_not() {
    let router = World::new().router();
    let json = |bytes: usize| json!({"channel": "kept:a", "data": "x".repeat(bytes - 2)});
    let binary = |bytes: usize| {
        let b64data = STANDARD.encode(vec![0; bytes]);
        json!({"channel": "kept:a", "b64data": b64data})
    };
    let too_large = error(106, "limit exceeded");
    for (offset, body) in [
        (1, json(PUBLICATION_BYTES_MAX)),
        (2, binary(PUBLICATION_BYTES_MAX)),
    ] {
        let answer = call(&router, "publish", body.to_string()).await;
        assert_eq!(answer["result"]["offset"], offset);
    }
    for body in [
        json(PUBLICATION_BYTES_MAX + 1),
        binary(PUBLICATION_BYTES_MAX + 1),
    ] {
        assert_eq!(call(&router, "publish", body.to_string()).await, too_large);
    }
    // Newlines that are taken out do not count.
    let data = format!("[{}1]", "\n".repeat(PUBLICATION_BYTES_MAX));
    let body = format!("{{\"channel\":\"kept:a\",\"data\":{data}}}");
    assert_eq!(call(&router, "publish", body).await["result"]["offset"], 3);
}

#[tokio::test]
async fn a_key_makes_a_second_publish_the_first() {
    let world = &mut World::new();
    let router = world.router();
    world.subscribe("kept:a", "u", "c");
    let body = r#"{"channel":"kept:a","data":1,"idempotency_key":"once"}"#;
    let first = call(&router, "publish", body).await;
    assert_eq!(first["result"]["offset"], 1);
    assert_eq!(call(&router, "publish", body).await, first);
    assert_eq!(world.deliveries().len(), 1);
    let other = r#"{"channel":"kept:a","data":1,"idempotency_key":"twice"}"#;
    assert_eq!(call(&router, "publish", other).await["result"]["offset"], 2);
}

#[tokio::test]
async fn a_broadcast_answers_for_each_channel_in_order_and_shares_the_payload() {
    let world = &mut World::new();
    let router = world.router();
    world.subscribe("plain:a", "u", "c");
    world.subscribe("kept:b", "u", "c");
    let body = r#"{"channels":["plain:a","nobody:x","kept:b",""],"data":{"a":
        1},"tags":{"k":"v"}}"#;
    let answer = call(&router, "broadcast", body).await;
    let responses = answer["result"]["responses"].as_array().unwrap();
    assert_eq!(responses[0], json!({"result": {}}));
    assert_eq!(responses[1], error(102, "unknown channel"));
    assert_eq!(responses[2]["result"]["offset"], 1);
    assert_eq!(responses[3]["error"]["code"], 107);
    assert_eq!(responses.len(), 4);
    let published = world.deliveries();
    let [
        Delivery::Publication { publication: a, .. },
        Delivery::Publication { publication: b, .. },
    ] = &published[..]
    else {
        panic!("{published:?}")
    };
    assert_eq!(a.payload.as_text(), Some("{\"a\":        1}"));
    assert_eq!(b.tags.value("k"), Some("v"));
    let address = |payload: &Payload| payload.bytes().as_ptr();
    assert_eq!(address(&a.payload), address(&b.payload), "no copy");
}

#[tokio::test]
async fn a_broadcast_may_have_many_more_channels_than_are_asked_about_at_once() {
    let router = World::new().router();
    let count = 3 * BROADCAST_ASKED_MAX + 1;
    let channels: Vec<String> = (0..count).map(|n| format!("kept:{n}")).collect();
    let body = json!({"channels": channels, "data": 1}).to_string();
    let answer = call(&router, "broadcast", body).await;
    let responses = answer["result"]["responses"].as_array().unwrap();
    assert_eq!(responses.len(), count);
    assert!(
        responses
            .iter()
            .all(|response| response["result"]["offset"] == 1)
    );
}
