//! Requests that are well-formed and can't be done. In: values past their limits, channels that are not there.
//! Out: codes.
//!
//! Never: a status but 200.

use fanfare_hub::InboxLimits;
use serde_json::{Map, Value, json};

use super::super::super::fixture::{World, call};
use super::error;
use crate::limits::BROADCAST_CHANNELS_MAX;

#[tokio::test]
async fn what_means_nothing_is_an_error_of_the_api() {
    let long_channel = format!("plain:{}", "x".repeat(250));
    let long_key = "k".repeat(256);
    let many_tags: Value = (0..33)
        .map(|n| (n.to_string(), json!("")))
        .collect::<Map<_, _>>()
        .into();
    let many_channels = vec!["plain:a"; BROADCAST_CHANNELS_MAX + 1];
    let publish = |changes: Value| {
        let mut request = json!({"channel": "plain:a", "data": 1});
        let fields = request.as_object_mut().unwrap();
        fields.extend(changes.as_object().unwrap().clone());
        request
    };
    let cases = [
        (
            "publish",
            publish(json!({"channel": ""})),
            107,
            "channel: a channel name",
        ),
        (
            "publish",
            publish(json!({"channel": long_channel})),
            107,
            "channel: ",
        ),
        (
            "publish",
            publish(json!({"channel": "plain:é"})),
            107,
            "channel: ",
        ),
        ("publish", publish(json!({"channel": "nobody:a"})), 102, ""),
        ("publish", publish(json!({"channel": "a"})), 102, ""),
        (
            "publish",
            publish(json!({"idempotency_key": ""})),
            107,
            "idempotency_key: ",
        ),
        (
            "publish",
            publish(json!({"idempotency_key": long_key})),
            107,
            "idempotency_key: ",
        ),
        (
            "publish",
            publish(json!({"tags": many_tags})),
            107,
            "tags: ",
        ),
        (
            "publish",
            json!({"channel": "plain:a", "b64data": "A"}),
            107,
            "b64data: ",
        ),
        (
            "publish",
            json!({"channel": "plain:a", "b64data": "_-8="}),
            107,
            "b64data: ",
        ),
        (
            "broadcast",
            json!({"channels": [], "data": 1}),
            107,
            "channels: ",
        ),
        (
            "broadcast",
            json!({"channels": many_channels, "data": 1}),
            107,
            "channels: ",
        ),
        (
            "broadcast",
            json!({"channels": ["plain:a"], "b64data": "A"}),
            107,
            "b64data: ",
        ),
        ("history", json!({"channel": "plain:a"}), 108, ""),
        ("history", json!({"channel": "nobody:a"}), 102, ""),
        (
            "history",
            json!({"channel": "kept:new", "limit": 1, "since": {"offset": 5, "epoch": "x"}}),
            112,
            "",
        ),
        ("history_remove", json!({"channel": "plain:a"}), 108, ""),
        ("presence", json!({"channel": "plain:a"}), 108, ""),
        ("presence", json!({"channel": "nobody:a"}), 102, ""),
        ("presence_stats", json!({"channel": "kept:a"}), 108, ""),
        (
            "channels",
            json!({"pattern": "x".repeat(256)}),
            107,
            "pattern: ",
        ),
        (
            "disconnect",
            json!({"user": "u", "disconnect": {"code": 2999, "reason": "r"}}),
            107,
            "disconnect.code: 3000 to 4999, not 2999",
        ),
        (
            "disconnect",
            json!({"user": "u", "disconnect": {"code": 68_536, "reason": "r"}}),
            107,
            "disconnect.code: ",
        ),
        (
            "disconnect",
            json!({"user": "u", "disconnect": {"code": 4000, "reason": ""}}),
            107,
            "disconnect.reason: ",
        ),
        (
            "disconnect",
            json!({"user": "u", "disconnect": {"code": 4000, "reason": "r".repeat(124)}}),
            107,
            "disconnect.reason: ",
        ),
        (
            "unsubscribe",
            json!({"user": "u", "channel": ""}),
            107,
            "channel: ",
        ),
        (
            "unsubscribe",
            json!({"user": "u", "channel": "nobody:a"}),
            102,
            "",
        ),
    ];
    let world = &mut World::new();
    let router = world.router();
    world.subscribe("plain:a", "u", "c");
    for (method, body, code, why) in cases {
        let answer = call(&router, method, body.to_string()).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(answer["error"]["code"], code, "{method} {body}: {answer}");
        match why {
            "" => assert!(!message.contains(':'), "{message}"),
            _ => assert!(
                message.starts_with(&format!("bad request: {why}")),
                "{message}"
            ),
        }
    }
    assert!(world.deliveries().is_empty(), "nothing was done");
}

#[tokio::test]
async fn a_worker_that_takes_no_more_orders_is_an_error_that_passes() {
    let world = &mut World::with_limits(InboxLimits {
        orders_max: 1,
        ..InboxLimits::default()
    });
    let router = world.router();
    let body = r#"{"user":"u"}"#;
    assert_eq!(
        call(&router, "disconnect", body).await,
        json!({"result": {}})
    );
    assert_eq!(
        call(&router, "disconnect", body).await,
        error(111, "too many requests")
    );
}
