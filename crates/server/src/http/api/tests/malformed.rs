//! Bodies that are not what a method takes. In: JSON with one thing wrong. Out: 400 and a line that names it.
//!
//! Never: anything that means something.

use super::super::super::fixture::{World, post};
use super::super::{METHODS, batch};

/// Bodies that say what is wrong with them, by method.
#[tokio::test]
async fn a_malformed_body_is_refused_and_the_field_is_named() {
    let cases: &[(&str, &str, &str)] = &[
        ("publish", "", "EOF"),
        ("publish", "nonsense", "expected"),
        ("publish", "{\"channel\":\"plain:a\",\"data\":{}", "EOF"),
        (
            "publish",
            "{\"channel\":\"plain:a\",\"data\":{}} x",
            "trailing",
        ),
        (
            "publish",
            "{\"channel\":\"plain:a\",\"data\":\"a\nb\"}",
            "control character",
        ),
        (
            "publish",
            "{\"channel\":\"plain:a\",\"data\":tru}",
            "expected",
        ),
        (
            "publish",
            "{\"channel\":\"plain:a\",\"data\":\"\\x\"}",
            "escape",
        ),
        (
            "publish",
            "{\"channel\":\"\\ud800\",\"data\":1}",
            "hex escape",
        ),
        ("publish", "[\"plain:a\",1]", "expected an object"),
        ("publish", "\"plain:a\"", "expected an object"),
        ("publish", "null", "expected an object"),
        ("publish", "{}", "`channel`"),
        ("publish", r#"{"data":1}"#, "`channel`"),
        ("publish", r#"{"channel":null,"data":1}"#, "channel: "),
        ("publish", r#"{"channel":7,"data":1}"#, "channel: "),
        ("publish", r#"{"channel":"plain:a"}"#, "`data`"),
        (
            "publish",
            r#"{"channel":"plain:a","data":1,"b64data":"AA=="}"#,
            "`b64data`",
        ),
        (
            "publish",
            r#"{"channel":"plain:a","b64data":7}"#,
            "b64data: ",
        ),
        (
            "publish",
            r#"{"channel":"plain:a","data":1,"data":2}"#,
            "`data`",
        ),
        (
            "publish",
            r#"{"channel":"plain:a","data":1,"chanel":"b"}"#,
            "`chanel`",
        ),
        (
            "publish",
            r#"{"channel":"plain:a","data":1,"skip_history":"yes"}"#,
            "skip_history: ",
        ),
        (
            "publish",
            r#"{"channel":"plain:a","data":1,"tags":["a"]}"#,
            "tags: ",
        ),
        (
            "publish",
            r#"{"channel":"plain:a","data":1,"tags":{"a":1}}"#,
            "tags.a: ",
        ),
        (
            "publish",
            r#"{"channel":"plain:a","data":1,"idempotency_key":1}"#,
            "idempotency_key: ",
        ),
        (
            "broadcast",
            r#"{"channel":"plain:a","data":1}"#,
            "`channel`",
        ),
        ("broadcast", r#"{"data":1}"#, "`channels`"),
        (
            "broadcast",
            r#"{"channels":"plain:a","data":1}"#,
            "channels: ",
        ),
        (
            "broadcast",
            r#"{"channels":["plain:a",7],"data":1}"#,
            "channels[1]: ",
        ),
        ("broadcast", r#"{"channels":["plain:a"]}"#, "`data`"),
        ("history", "{}", "`channel`"),
        ("history", r#"{"channel":"kept:a","limit":-1}"#, "limit: "),
        ("history", r#"{"channel":"kept:a","limit":1.5}"#, "limit: "),
        ("history", r#"{"channel":"kept:a","limit":"1"}"#, "limit: "),
        (
            "history",
            r#"{"channel":"kept:a","limit":4294967296}"#,
            "limit: ",
        ),
        (
            "history",
            r#"{"channel":"kept:a","reverse":1}"#,
            "reverse: ",
        ),
        (
            "history",
            r#"{"channel":"kept:a","since":"1:a"}"#,
            "since: ",
        ),
        (
            "history",
            r#"{"channel":"kept:a","since":[1,"a"]}"#,
            "since: ",
        ),
        (
            "history",
            r#"{"channel":"kept:a","since":{"offset":"1"}}"#,
            "since.offset: ",
        ),
        (
            "history",
            r#"{"channel":"kept:a","since":{"ofset":1}}"#,
            "`ofset`",
        ),
        ("history_remove", "{}", "`channel`"),
        (
            "history_remove",
            r#"{"channel":"kept:a","limit":1}"#,
            "`limit`",
        ),
        ("presence", r#"{"channel":[]}"#, "channel: "),
        ("presence_stats", r#"{"channels":["a"]}"#, "`channels`"),
        ("channels", r#"{"pattern":1}"#, "pattern: "),
        ("info", "", "EOF"),
        ("info", r#"{"all":true}"#, "`all`"),
        ("info", "[]", "expected an object"),
        ("disconnect", "{}", "`user`"),
        ("disconnect", r#"{"user":null}"#, "user: "),
        (
            "disconnect",
            r#"{"user":"u","disconnect":3500}"#,
            "disconnect: ",
        ),
        (
            "disconnect",
            r#"{"user":"u","disconnect":{"code":3500}}"#,
            "`reason`",
        ),
        (
            "disconnect",
            r#"{"user":"u","disconnect":{"reason":"r"}}"#,
            "`code`",
        ),
        (
            "disconnect",
            r#"{"user":"u","disconnect":{"code":"3500","reason":"r"}}"#,
            "disconnect.code: ",
        ),
        ("unsubscribe", r#"{"channel":"plain:a"}"#, "`user`"),
        ("unsubscribe", r#"{"user":"u"}"#, "`channel`"),
        (
            "unsubscribe",
            r#"{"user":"u","channel":"plain:a","client":7}"#,
            "client: ",
        ),
        ("batch", "{}", "`commands`"),
        ("batch", r#"{"commands":{}}"#, "commands: "),
        ("batch", r#"{"commands":[{"info":{}},7]}"#, "commands[1]"),
        ("batch", r#"{"commands":[{"inform":{}}]}"#, "`inform`"),
        (
            "batch",
            r#"{"commands":[{"batch":{"commands":[]}}]}"#,
            "`batch`",
        ),
        (
            "batch",
            r#"{"commands":[{"info":{},"history":{}}]}"#,
            "expected",
        ),
        (
            "batch",
            r#"{"commands":[{"info":[]}]}"#,
            "commands[0].info: ",
        ),
        (
            "batch",
            r#"{"commands":[{"publish":{"channel":"plain:a"}}]}"#,
            "commands[0].publish: ",
        ),
        (
            "batch",
            r#"{"commands":[{"info":{}},{"publish":{"channel":7,"data":1}}]}"#,
            "commands[1].publish.channel: ",
        ),
        ("batch", r#"{"commands":[],"parallel":"yes"}"#, "parallel: "),
    ];
    let router = World::new().router();
    for (method, body, named) in cases {
        let (status, line) = post(&router, &format!("/api/{method}"), *body).await;
        assert_eq!(status, 400, "{method} {body}: {line}");
        assert!(
            line.contains(named),
            "{method} {body}: {named:?} is not in {line:?}"
        );
        assert_eq!(line.trim_end_matches('\n').lines().count(), 1, "{line:?}");
    }
    let (status, line) = post(&router, "/api/publish", vec![0xff, b'{']).await;
    assert_eq!(status, 400, "{line}");
}

#[tokio::test]
async fn every_method_is_a_command_of_its_own_name() {
    let router = World::new().router();
    for method in METHODS.iter().filter(|method| **method != batch::NAME) {
        let (status, _) = post(&router, &format!("/api/{method}"), "[]").await;
        assert_eq!(status, 400, "{method}");
        let body = format!("{{\"commands\":[{{\"{method}\":[]}}]}}");
        let (status, line) = post(&router, "/api/batch", body).await;
        assert_eq!(status, 400, "{method}");
        assert!(
            line.starts_with(&format!("commands[0].{method}: ")),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_batch_with_a_malformed_command_does_nothing() {
    let world = &mut World::new();
    let router = world.router();
    world.subscribe("plain:a", "u", "c");
    let body = r#"{"commands":[{"publish":{"channel":"plain:a","data":1}},
        {"publish":{"channel":"plain:a","data":1,"b64data":""}}]}"#;
    let (status, line) = post(&router, "/api/batch", body).await;
    assert_eq!(status, 400);
    assert!(line.starts_with("commands[1].publish: "), "{line}");
    assert!(world.deliveries().is_empty());
}
