//! What is asked, and what workers are told. In: every other method. Out: answers and orders.
//!
//! Never: publishes but to have something to read.

use fanfare_hub::{Action, ClientId, Order};
use serde_json::json;

use super::super::super::fixture::{World, call};
use super::{error, orders};
use crate::admission::Place;
use crate::limits::BATCH_COMMANDS_MAX;

#[tokio::test]
async fn history_is_read_in_parts() {
    let router = World::new().router();
    for n in 1..=5 {
        let body = json!({"channel": "kept:a", "data": n}).to_string();
        call(&router, "publish", body).await;
    }
    let position = call(&router, "history", r#"{"channel":"kept:a"}"#).await;
    let epoch = position["result"]["epoch"].as_str().unwrap().to_owned();
    let nothing = json!({"result": {"publications": [], "offset": 5, "epoch": epoch}});
    assert_eq!(position, nothing);
    let cases = [
        (json!({"limit": 0}), vec![]),
        (json!({"limit": 2}), vec![1, 2]),
        (json!({"limit": 2, "reverse": true}), vec![5, 4]),
        (json!({"limit": 400}), vec![1, 2, 3, 4, 5]),
        (
            json!({"limit": 9, "since": {"offset": 3, "epoch": epoch}}),
            vec![4, 5],
        ),
        (json!({"limit": 9, "since": {"offset": 3}}), vec![4, 5]),
        (json!({"limit": 9, "since": {}}), vec![1, 2, 3, 4, 5]),
        (
            json!({"limit": 9, "since": {"offset": 3, "epoch": epoch}, "reverse": true}),
            vec![2, 1],
        ),
    ];
    for (mut query, expected) in cases {
        query["channel"] = "kept:a".into();
        let answer = call(&router, "history", query.to_string()).await;
        let publications = answer["result"]["publications"].as_array().unwrap();
        let offsets: Vec<_> = publications
            .iter()
            .map(|p| p["offset"].as_u64().unwrap())
            .collect();
        assert_eq!(offsets, expected, "{query}");
    }
    let removed = call(&router, "history_remove", r#"{"channel":"kept:a"}"#).await;
    assert_eq!(removed, json!({"result": {}}));
    let after = call(&router, "history", r#"{"channel":"kept:a","limit":9}"#).await;
    assert_eq!(after, nothing, "the position stays");
    let unknown = call(&router, "history", r#"{"channel":"kept:new","limit":9}"#).await;
    assert_eq!(unknown["result"]["publications"], json!([]));
    assert_eq!(unknown["result"]["offset"], 0);
}

#[tokio::test]
async fn what_a_client_has_published_is_read_with_who_it_was() {
    let world = &mut World::new();
    let router = world.router();
    world.publish_text("kept:a", "one \"line\"\nand another", r#"{"a":1}"#);
    let body = r#"{"channel":"kept:a","limit":1}"#;
    let answer = call(&router, "history", body).await;
    let expected = json!([{
        "data": "one \"line\"\nand another",
        "offset": 1,
        "info": {"client": "c", "user": "u", "conn_info": {"a": 1}},
    }]);
    assert_eq!(answer["result"]["publications"], expected);
    // What no server of ours would have let through.
    world.publish_text("kept:b", "", "{}\n}");
    let body = r#"{"channel":"kept:b","limit":1}"#;
    let answer = call(&router, "history", body).await;
    assert_eq!(answer, error(100, "internal server error"));
}

#[tokio::test]
async fn whoever_is_subscribed_is_present() {
    let world = &mut World::new();
    let router = world.router();
    let body = r#"{"channel":"seen:a"}"#;
    let nobody = call(&router, "presence", body).await;
    assert_eq!(nobody, json!({"result": {"presence": {}}}));
    world.subscribe("seen:a", "ann", "c1");
    world.subscribe("seen:a", "", "c3");
    world.subscribe("seen:a", "ann", "c2");
    let present = call(&router, "presence", body).await;
    let client =
        |client: &str, user: &str| json!({"client": client, "user": user, "conn_info": {"a": 1}});
    let expected =
        json!({"c1": client("c1", "ann"), "c2": client("c2", "ann"), "c3": client("c3", "")});
    assert_eq!(present, json!({"result": {"presence": expected}}));
    let stats = call(&router, "presence_stats", body).await;
    assert_eq!(stats, json!({"result": {"num_clients": 3, "num_users": 2}}));
}

#[tokio::test]
async fn channels_with_subscribers_are_listed() {
    let world = &mut World::new();
    let router = world.router();
    assert_eq!(
        call(&router, "channels", "{}").await,
        json!({"result": {"channels": {}}})
    );
    for channel in ["seen:a", "seen:b", "plain:a"] {
        world.subscribe(channel, "u", "c");
    }
    let one = json!({"num_clients": 1});
    let cases = [
        ("{}", json!({"plain:a": one, "seen:a": one, "seen:b": one})),
        (
            r#"{"pattern":""}"#,
            json!({"plain:a": one, "seen:a": one, "seen:b": one}),
        ),
        (
            r#"{"pattern":"seen:*"}"#,
            json!({"seen:a": one, "seen:b": one}),
        ),
        (
            r#"{"pattern":"*:?"}"#,
            json!({"plain:a": one, "seen:a": one, "seen:b": one}),
        ),
        (r#"{"pattern":"nobody"}"#, json!({})),
    ];
    for (body, expected) in cases {
        let answer = call(&router, "channels", body).await;
        assert_eq!(answer, json!({"result": {"channels": expected}}), "{body}");
    }
}

#[tokio::test]
async fn info_tells_of_this_node() {
    let world = &mut World::new();
    let router = world.router();
    world.subscribe("plain:a", "u", "c");
    world.subscribe("plain:b", "u", "c");
    let _open = Place::take(&world.admission);
    let answer = call(&router, "info", "{}").await;
    let [node] = &answer["result"]["nodes"].as_array().unwrap()[..] else {
        panic!("{answer}")
    };
    assert_eq!(node["uid"].as_str().unwrap().len(), 16);
    assert!(!node["name"].as_str().unwrap().is_empty());
    assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(node["num_clients"], 1);
    assert_eq!(node["num_channels"], 2);
    assert_eq!(node["num_subs"], 2);
    assert_eq!(node["uptime"], 0);
    assert_eq!(node["num_workers"], 3);
    assert_eq!(node["clients_by_worker"], serde_json::json!([0, 0, 0]));
}

#[tokio::test]
async fn workers_are_told_whom_to_disconnect() {
    let world = &mut World::new();
    let router = world.router();
    let cases = [
        (r#"{"user":"u"}"#, ("u", None, 3503, "force disconnect")),
        (
            r#"{"user":"","client":"c"}"#,
            ("", Some("c"), 3503, "force disconnect"),
        ),
        (
            r#"{"user":"u","client":null,"disconnect":{"code":3000,"reason":"go"}}"#,
            ("u", None, 3000, "go"),
        ),
        (
            r#"{"user":"u","disconnect":{"code":4999,"reason":"é"}}"#,
            ("u", None, 4999, "é"),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(
            call(&router, "disconnect", body).await,
            json!({"result": {}}),
            "{body}"
        );
        let orders = orders(world);
        let [
            Order {
                target,
                action: Action::Disconnect { code, reason },
            },
        ] = &orders[..]
        else {
            panic!("{orders:?}")
        };
        let client = target.client.as_ref().map(ClientId::as_str);
        assert_eq!((target.user.as_str(), client, *code, &**reason), expected);
    }
}

#[tokio::test]
async fn workers_are_told_whose_subscription_ends() {
    let world = &mut World::new();
    let router = world.router();
    let body = r#"{"user":"u","channel":"plain:a","client":"c"}"#;
    assert_eq!(
        call(&router, "unsubscribe", body).await,
        json!({"result": {}})
    );
    let orders = orders(world);
    let [
        Order {
            target,
            action:
                Action::Unsubscribe {
                    channel: Some(channel),
                    code,
                    reason,
                },
        },
    ] = &orders[..]
    else {
        panic!("{orders:?}")
    };
    assert_eq!((target.user.as_str(), channel.as_str()), ("u", "plain:a"));
    assert_eq!((*code, &**reason), (2000, "unsubscribed"));
}

#[tokio::test]
async fn a_batch_is_carried_out_in_order() {
    let world = &mut World::new();
    let router = world.router();
    let body = r#"{"parallel":true,"commands":[
        {"publish":{"channel":"kept:a","data":1}},
        {"history":{"channel":"kept:a","limit":5}},
        {"publish":{"channel":"nobody:a","data":1}},
        {"broadcast":{"channels":["kept:a","plain:a"],"data":2}},
        {"history_remove":{"channel":"kept:a"}},
        {"history":{"channel":"kept:a","limit":5}},
        {"presence":{"channel":"seen:a"}},
        {"presence_stats":{"channel":"seen:a"}},
        {"channels":{}},
        {"info":{}},
        {"disconnect":{"user":"u"}},
        {"unsubscribe":{"user":"u","channel":"seen:a"}}
    ]}"#;
    let answer = call(&router, "batch", body).await;
    let replies = answer["replies"].as_array().unwrap();
    assert_eq!(answer.as_object().unwrap().len(), 1);
    assert_eq!(replies.len(), 12);
    assert_eq!(replies[0]["publish"]["offset"], 1);
    assert_eq!(
        replies[1]["history"]["publications"],
        json!([{"data": 1, "offset": 1}])
    );
    assert_eq!(replies[2], error(102, "unknown channel"));
    assert_eq!(
        replies[3]["broadcast"]["responses"][0]["result"]["offset"],
        2
    );
    assert_eq!(replies[4], json!({"history_remove": {}}));
    assert_eq!(replies[5]["history"]["publications"], json!([]));
    assert_eq!(replies[6], json!({"presence": {"presence": {}}}));
    assert_eq!(replies[7]["presence_stats"]["num_clients"], 0);
    assert_eq!(replies[8], json!({"channels": {"channels": {}}}));
    assert_eq!(replies[9]["info"]["nodes"][0]["num_workers"], 3);
    assert_eq!(replies[10], json!({"disconnect": {}}));
    assert_eq!(replies[11], json!({"unsubscribe": {}}));
    assert_eq!(orders(world).len(), 2);

    let empty = call(&router, "batch", r#"{"commands":[]}"#).await;
    assert_eq!(empty, json!({"replies": []}));
    let many = json!({"commands": vec![json!({"info": {}}); BATCH_COMMANDS_MAX + 1]});
    let answer = call(&router, "batch", many.to_string()).await;
    assert_eq!(
        answer,
        error(107, "bad request: commands: at most 1000 of them")
    );
}
