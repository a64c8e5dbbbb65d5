//! Who gets as far as a method. In: paths, methods, keys, sizes. Out: statuses.
//!
//! Never: looks at what a method answers.

use std::sync::atomic::Ordering;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use tower::ServiceExt;

use super::super::super::fixture::{BODY_BYTES_MAX, KEY, World, ask, post};
use crate::config::ApiAccess;

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_more_byte_is_413() {
    let router = World::new().router();
    let body = |len: usize| "{}".to_owned() + &" ".repeat(len - 2);
    let (status, text) = post(&router, "/api/info", body(BODY_BYTES_MAX)).await;
    assert_eq!(status, 200, "{text}");
    let (status, line) = post(&router, "/api/info", body(BODY_BYTES_MAX + 1)).await;
    assert_eq!(
        (status, &*line),
        (413, "the body is larger than 8388608 bytes\n")
    );
}

#[tokio::test]
async fn only_whoever_shows_a_key_may_call() {
    let world = &mut World::new();
    let router = world.router();
    let shown: &[(&str, &str, u16)] = &[
        ("x-api-key", KEY, 200),
        ("x-api-key", "other", 200),
        ("authorization", "apikey a-key", 200),
        ("authorization", "Bearer a-key", 401),
        ("x-api-key", "wrong", 401),
        ("x-nothing", "", 401),
    ];
    let request = |name: &str, value: &str| {
        let request = Request::post("/api/info").header(name, value);
        request.body(Body::from("{}")).unwrap()
    };
    for (name, value, expected) in shown {
        let (status, text) = ask(&router, request(name, value)).await;
        assert_eq!(status, *expected, "{name}: {value}");
        assert_eq!(text.starts_with('{'), *expected == 200, "{text}");
    }
    // Before the body is looked at.
    let nonsense = Request::post("/api/info")
        .body(Body::from("nonsense"))
        .unwrap();
    assert_eq!(ask(&router, nonsense).await.0, 401);
    world.set_access(ApiAccess::Keys(Vec::new()));
    assert_eq!(
        ask(&router, request("x-api-key", KEY)).await.0,
        401,
        "nobody may"
    );
    world.set_access(ApiAccess::Open);
    assert_eq!(ask(&router, request("x-nothing", "")).await.0, 200);
    let page = request("origin", "https://evil.example");
    assert_eq!(ask(&router, page).await.0, 403);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_takes_no_post_is_405() {
    let world = &mut World::new();
    let router = world.router();
    let cases = [
        ("POST", "/api/shrug", 404, ""),
        ("POST", "/api/publish/", 404, ""),
        ("POST", "/api/", 404, ""),
        ("POST", "/api", 404, ""),
        ("POST", "/api/%70ublish", 404, ""),
        ("POST", "/", 404, ""),
        ("GET", "/metrics", 401, ""),
        ("POST", "/metrics", 405, "GET, HEAD"),
        ("GET", "/api/publish", 405, "POST"),
        ("DELETE", "/api/batch", 405, "POST"),
        ("GET", "/api/shrug", 404, ""),
        ("POST", "/health", 405, "GET, HEAD"),
        ("POST", "/ready", 405, "GET, HEAD"),
        ("GET", "/health", 200, ""),
        ("HEAD", "/health", 200, ""),
        ("GET", "/ready?x=1", 200, ""),
    ];
    for (method, path, status, allow) in cases {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        let allowed = response.headers().get(header::ALLOW);
        let allowed = allowed.map_or("", |value| value.to_str().unwrap());
        assert_eq!(allowed, allow, "{method} {path}");
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        match (method, status) {
            ("HEAD", _) => assert!(body.is_empty()),
            (_, 200) => assert_eq!(body, "ok\n"),
            _ => assert_eq!(body.iter().filter(|b| **b == b'\n').count(), 1, "{body:?}"),
        }
    }
}

#[tokio::test]
async fn a_daemon_that_stops_is_alive_and_not_ready() {
    let world = &mut World::new();
    let router = world.router();
    world.stopping.store(true, Ordering::SeqCst);
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(ask(&router, get("/health")).await, (200, "ok\n".to_owned()));
    assert_eq!(
        ask(&router, get("/ready")).await,
        (503, "the server stops\n".to_owned())
    );
}
