//! What a backend is asked, and what of its answers arrives.
//!
//! Never: tests the JSON itself, which is the protocol's.

use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use fanfare_hub::Time;
use fanfare_protocol::hook::Granted;
use fanfare_protocol::{ClientError, Disconnect};

use super::fixture::*;
use super::*;
use crate::limits::HOOK_IDLE_TIME_MAX;

fn granted(granted: Granted) -> Result<HookAnswer, HookFailed> {
    Ok(HookAnswer::Granted(granted))
}

#[tokio::test]
async fn each_event_is_posted_as_json_and_its_answer_comes_back() {
    locally(async {
        let text = r#"{"result":{"user":"u","expire_at":5,"data":{"a":
            1},"skip_history":true}}"#;
        let backend = TestBackend::start(move || async move { json(text) }).await;
        let worker = Worker::asking(&backend.url(), &[]);
        let data = Some(Bytes::from("{\"a\":            1}"));
        let expire_at = Some(Time::from_millis(5000));
        let common = r#""client":"c1","transport":"websocket","protocol":"json","encoding":"json""#;
        let nothing = Granted::default;
        let chat = || channel("chat:a");
        let cases = [
            (
                connect(),
                r#","data":{"d":1},"name":"js","version":"1","channels":["news"]"#,
                Granted {
                    user: "u".into(),
                    expire_at,
                    data: data.clone(),
                    ..nothing()
                },
            ),
            (
                call(HookEvent::Refresh),
                r#","user":"56","meta":{"m":1}"#,
                Granted {
                    expire_at,
                    ..nothing()
                },
            ),
            (
                call(HookEvent::Subscribe {
                    channel: chat(),
                    data: Bytes::from("5"),
                }),
                r#","user":"56","channel":"chat:a","data":5,"meta":{"m":1}"#,
                Granted {
                    expire_at,
                    data: data.clone(),
                    ..nothing()
                },
            ),
            (
                call(HookEvent::Publish {
                    channel: chat(),
                    data: Bytes::from("[5]"),
                }),
                r#","user":"56","channel":"chat:a","data":[5],"meta":{"m":1}"#,
                Granted {
                    data: data.clone(),
                    skip_history: true,
                    ..nothing()
                },
            ),
            (
                rpc("{}"),
                r#","user":"56","method":"m","data":{},"meta":{"m":1}"#,
                Granted { data, ..nothing() },
            ),
        ];
        for (call, fields, expected) in cases {
            let kind = call.event.kind();
            assert_eq!(worker.hooked(call).await, granted(expected), "{kind}");
            let seen = backend.seen();
            let [seen] = &seen[..] else {
                panic!("{kind}: {seen:?}");
            };
            assert_eq!(seen.path, "/hook?key=1");
            assert_eq!(seen.body, format!("{{{common}{fields}}}"));
            let header = |name| seen.headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("content-type"), Some("application/json"));
            assert_eq!(
                header("content-length"),
                Some(&*seen.body.len().to_string())
            );
            let host = format!("127.0.0.1:{}", backend.port);
            assert_eq!(header("host"), Some(&*host));
        }
        assert_eq!(backend.connections(), 1, "it is kept for the next call");
    })
    .await;
}

#[tokio::test]
async fn errors_and_disconnects_arrive() {
    locally(async {
        for (text, expected) in [
            (
                r#"{"error":{"code":403,"message":"no","temporary":true}}"#,
                HookAnswer::Error(ClientError {
                    code: 403,
                    message: "no".into(),
                    is_temporary: true,
                }),
            ),
            (
                r#"{"disconnect":{"code":4501,"reason":"unauthorized"}}"#,
                HookAnswer::Disconnect(Disconnect {
                    code: 4501,
                    reason: "unauthorized".into(),
                }),
            ),
        ] {
            let backend = TestBackend::start(move || async move { json(text) }).await;
            let worker = Worker::asking(&backend.url(), &[]);
            for call in [connect(), call(HookEvent::Refresh), rpc("1")] {
                assert_eq!(worker.hooked(call).await, Ok(expected.clone()));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_is_asked_about_what_has_no_url() {
    locally(async {
        let backend = TestBackend::start(|| async { json("{}") }).await;
        let worker = Worker::asking(&backend.url(), &[]);
        for name in ["a", "other:a"] {
            let subscribe = HookEvent::Subscribe {
                channel: channel(name),
                data: Bytes::new(),
            };
            assert_eq!(worker.hooked(call(subscribe)).await, Err(HookFailed));
        }
        assert!(backend.seen().is_empty());
    })
    .await;
}

/// Headers of the only request since the last look, by name.
fn sent(backend: &TestBackend) -> HeaderMap {
    let mut seen = backend.seen();
    assert_eq!(seen.len(), 1);
    seen.remove(0).headers
}

fn all<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn listed_headers_go_with_every_call_and_no_others() {
    locally(async {
        let backend = TestBackend::start(|| async { json(r#"{"result":{}}"#) }).await;
        let lists = [
            (
                "FANFARE_HOOKS__HEADERS",
                r#"["Cookie", "X-Real-IP", "Authorization"]"#,
            ),
            (
                "FANFARE_HOOKS__EMULATED_HEADERS",
                r#"["Authorization", "X-Trace", "Cookie", "X-Long"]"#,
            ),
        ];
        let worker = Worker::asking(&backend.url(), &lists);
        let mut headers = worker.headers("COOKIE: a=1\r\ncookie: b=2\r\nX-Other: 1\r\n");
        let mut ask = async |call| {
            let to = worker.address(1);
            let asked = worker.hooks.call(&worker.settings, call, &mut headers, to);
            asked.unwrap();
            worker.findings(1).await;
            sent(&backend)
        };

        let before = ask(rpc("1")).await;
        assert_eq!(all(&before, "cookie"), ["a=1", "b=2"]);
        for other in ["x-other", "x-real-ip", "authorization"] {
            assert!(all(&before, other).is_empty(), "{other}");
        }

        let long = "x".repeat(9000);
        let given = [
            ("authorization", "Bearer t"),
            ("X-TRACE", "t\r\nX-Real-IP: 9"),
            ("Cookie", "forged=1"),
            ("X-Real-IP", "9"),
            ("content-length", "0"),
            ("X-Long", &*long),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut with_headers = connect();
        let HookEvent::Connect { headers, .. } = &mut with_headers.event else {
            panic!("it is one");
        };
        *headers = given.into();
        for call in [with_headers, rpc("1")] {
            let sent = ask(call).await;
            assert_eq!(all(&sent, "cookie"), ["a=1", "b=2"], "the upgrade's win");
            assert_eq!(all(&sent, "authorization"), ["Bearer t"]);
            for other in ["x-trace", "x-real-ip", "x-long"] {
                assert!(all(&sent, other).is_empty(), "{other}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn headers_are_not_printed() {
    locally(async {
        let lists = [("FANFARE_HOOKS__HEADERS", r#"["Cookie"]"#)];
        let worker = Worker::asking("http://127.0.0.1:1/?key=do-not-tell", &lists);
        let headers = worker.headers("Cookie: do-not-tell\r\n");
        let printed = format!("{headers:?} {:?}", worker.settings);
        assert!(printed.contains("cookie"), "{printed}");
        assert!(!printed.contains("do-not-tell"), "{printed}");
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_the_backend_has_closed_is_not_used_again() {
    locally(async {
        let close = || async {
            let mut answer = json(r#"{"result":{}}"#);
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert("connection", close);
            answer
        };
        let backend = TestBackend::start(close).await;
        let worker = Worker::asking(&backend.url(), &[]);
        for _ in 0..3 {
            assert!(worker.hooked(rpc("1")).await.is_ok());
        }
        assert_eq!(backend.connections(), 3);
    })
    .await;
}

const _: () = assert!(
    HOOK_IDLE_TIME_MAX.as_secs() < Duration::from_secs(5).as_secs(),
    "Node's default"
);
