//! Who is not let in, and with which words; which pages, subprotocols and headers the way in has.
//!
//! Never: opens a connection that the server should have closed and takes that for an answer.

use fanfare_tests::client::Client;
use fanfare_tests::http::Http;
use fanfare_tests::push::Push;
use fanfare_tests::wire::Frame;
use serde_json::json;

#[track_caller]
fn expect_refused(push: &Push, path: &str, status: u16, words: &[&str]) {
    let refusal = push.refusal(path, &[]);
    refusal.expect_line(path, status, words);
    assert!(
        refusal.head.lists("Connection", "close"),
        "{path}: {refusal:?}"
    );
}

#[test]
fn bad_queries_are_400_and_name_their_key() {
    let push = Push::start("", "");
    for (query, key) in [
        ("since=", "since"),
        ("since=x", "since"),
        ("since=-1", "since"),
        ("since=+1", "since"),
        ("since=1.5", "since"),
        ("since=1x:e", "since"),
        ("since=:abc", "since"),
        ("since=18446744073709551616", "since"),
        ("history=", "history"),
        ("history=0", "history"),
        ("history=301", "history"),
        ("history=-1", "history"),
        ("history=x", "history"),
        ("history=99999999999999999999", "history"),
        ("meta=", "meta"),
        ("meta=2", "meta"),
        ("meta=yes", "meta"),
        ("meta", "meta"),
        ("since=0&history=x", "history"),
    ] {
        expect_refused(&push, &format!("/raw/past:a?{query}"), 400, &[key]);
        expect_refused(&push, &format!("/raw/past:a?x=1&{query}"), 400, &[key]);
    }
    let both = "/raw/past:a?since=0&history=1";
    expect_refused(&push, both, 400, &["since", "history"]);
}

#[test]
fn without_history_there_is_nothing_to_ask_for() {
    let push = Push::start("", "");
    for query in ["since=0", "since=1:abc", "history=1", "meta=1"] {
        for channel in ["open:a", "mute:a", "news"] {
            let path = format!("/raw/{channel}?{query}");
            expect_refused(&push, &path, 400, &["the channel keeps no history"]);
        }
    }
}

#[test]
fn bad_names_are_400() {
    let push = Push::start("", "");
    let long = format!("/raw/open:{}", "x".repeat(251));
    for path in [
        "/raw/",
        "/raw/?meta=1",
        "/raw/open:%C3%A9", // é: names are ASCII
        "/raw/open:%00",
        "/raw/open:a%0Ab",
        "/raw/open:%ff",
        &long,
    ] {
        expect_refused(&push, path, 400, &["channel"]);
    }
}

#[test]
fn an_unknown_namespace_is_404_and_what_is_not_allowed_403() {
    let push = Push::start("", "");
    for path in [
        "/raw/nowhere:a",
        "/raw/:a",
        "/raw/OPEN:a",
        "/raw/nowhere:a?x=1",
    ] {
        expect_refused(&push, path, 404, &[]);
    }
    for path in [
        "/raw/closed:a",
        "/raw/$open:a",
        "/raw/$secret",
        "/raw/%24open:a",
        "/raw/open:a%23bob",
        "/raw/open:%23bob,alice",
        "/raw/news%23bob",
    ] {
        expect_refused(&push, path, 403, &[]);
    }
    let none = Push::with(&["", "[namespaces.chat]\nallow_subscribe_for_client = true"]);
    expect_refused(&none, "/raw/news", 404, &[]);
    expect_refused(&none, "/raw/other:a", 404, &[]);
    // Clients with a user may; we are none.
    expect_refused(&none, "/raw/chat:a", 403, &[]);
}

#[test]
fn the_past_is_for_whom_the_namespace_shows_it() {
    let push = Push::start("", "");
    for (path, status) in [
        ("/raw/kept:a?history=1", 403),
        ("/raw/kept:a?since=0", 403),
        ("/raw/kept:a?meta=1", 101),
        ("/raw/recovers:a?history=1", 403),
        ("/raw/recovers:a?since=0", 101),
        ("/raw/reads:a?history=1", 101),
        ("/raw/reads:a?since=0", 101),
        ("/raw/closed:a?since=0", 400), // or 403: it may not even subscribe, and keeps none
    ] {
        let (client, head) = Client::ask(push.addr(), path, &[]);
        let came = head.status();
        let either = status == 400 && came == Some(403);
        assert!(came == Some(status) || either, "{path}: {head:?}");
        drop(client);
        if status == 403 {
            expect_refused(&push, path, 403, &[]);
        }
    }
}

#[test]
fn pages_of_other_origins_are_403() {
    let asks = |push: &Push, headers: &[(&str, &str)], status: u16| {
        let refusal = push.refusal("/raw/open:a", headers);
        let case = format!("{headers:?}");
        if status == 101 {
            assert_eq!(refusal.head.status(), Some(101), "{case}: {refusal:?}");
        } else {
            refusal.expect_line(&case, status, &["origin"]);
        }
    };
    let host = |origin| [("Host", "push.example:8000"), ("Origin", origin)];
    let own = Push::start("", "");
    for (origin, status) in [
        ("http://push.example:8000", 101),
        ("https://push.example:8000", 101),
        ("HTTP://PUSH.example:8000", 101),
        ("http://push.example", 403),
        ("http://push.example:8001", 403),
        ("http://push.example.evil.example:8000", 403),
        ("http://evil.example", 403),
        ("http://evil.example/push.example:8000", 403),
        ("http://push.example:8000@evil.example", 403),
        ("null", 403),
        ("", 403),
        ("x", 403),
    ] {
        asks(&own, &host(origin), status);
    }
    asks(&own, &[], 101);
    let listed = r#"allowed_origins = ["https://app.example.com", "http://other.example:81"]"#;
    let listed = Push::start("", &format!("[websocket]\n{listed}"));
    for (origin, status) in [
        ("https://app.example.com", 101),
        ("https://APP.example.com", 101),
        ("https://app.example.com:443", 101),
        ("http://app.example.com", 403),
        ("https://app.example.com:444", 403),
        ("https://sub.app.example.com", 403),
        ("https://app.example.com.evil.example", 403),
        ("http://other.example:81", 101),
        ("http://other.example", 403),
        ("http://push.example:8000", 101),
        ("null", 403),
    ] {
        asks(&listed, &host(origin), status);
    }

    let any = Push::start("", "[websocket]\nallowed_origins = [\"*\"]");
    asks(&any, &host("https://anybody.example"), 101);
    asks(&any, &host("null"), 403);
    let null = Push::start("", "[websocket]\nallowed_origins = [\"null\"]");
    asks(&null, &host("null"), 101);
    asks(&null, &host("https://anybody.example"), 403);
}

#[test]
fn two_origins_are_not_trusted_for_one_of_them() {
    let push = Push::start("", "");
    for origins in [
        ["http://localhost", "http://evil.example"],
        ["http://evil.example", "http://localhost"],
    ] {
        let refusal = push.refusal("/raw/open:a", &origins.map(|origin| ("Origin", origin)));
        let status = refusal.status();
        assert!([400, 403].contains(&status), "{origins:?}: {refusal:?}");
    }
}

#[test]
fn the_first_subprotocol_that_is_offered_and_listed_is_chosen() {
    let push = Push::start(
        "",
        "[websocket]\nsubprotocols = [\"v12.stomp\", \"v11.stomp\"]",
    );
    for (offers, chosen) in [
        (&["v12.stomp"][..], Some("v12.stomp")),
        (&["v11.stomp, v12.stomp"], Some("v11.stomp")),
        (&["x, v12.stomp,v11.stomp"], Some("v12.stomp")),
        (&["x", "v11.stomp"], Some("v11.stomp")),
        (&["x, y"], None),
        (&["V12.STOMP"], None),
        (&[], None),
    ] {
        let headers: Vec<(&str, &str)> = offers
            .iter()
            .map(|offer| ("Sec-WebSocket-Protocol", *offer))
            .collect();
        let (mut client, head) = Client::enter(push.addr(), "/raw/open:a", &headers);
        let came: Vec<&str> = head.all("Sec-WebSocket-Protocol").collect();
        let chosen: Vec<&str> = chosen.into_iter().collect();
        assert_eq!(came, chosen, "{offers:?}");
        client.say(&Frame::text("goes on"));
        client.expect_text("goes on");
    }
    let (_, head) = Client::enter(
        Push::start("", "").addr(),
        "/raw/open:a",
        &[("Sec-WebSocket-Protocol", "v12.stomp")],
    );
    assert_eq!(head.all("Sec-WebSocket-Protocol").count(), 0, "{head:?}");
}

#[test]
fn the_headers_of_the_config_are_in_each_101() {
    let headers = r#"["Set-Cookie: lb=1; HttpOnly", "Set-Cookie: b=2", "X-Node:  one "]"#;
    let config = format!("[websocket]\nresponse_headers = {headers}");
    let push = Push::start("echo = true", &config);
    for path in ["/raw/open:a", "/raw/past:a?meta=1", "/echo"] {
        let (_, head) = Client::enter(push.addr(), path, &[]);
        let cookies: Vec<&str> = head.all("Set-Cookie").collect();
        assert_eq!(cookies, ["lb=1; HttpOnly", "b=2"], "{path}");
        assert_eq!(head.all("X-Node").collect::<Vec<_>>(), ["one"], "{path}");
    }
}

#[test]
fn upgrades_of_other_paths_are_404_and_echo_is_where_the_config_says() {
    let push = Push::start("", "");
    for path in [
        "/",
        "/raw",
        "/rawx/open:a",
        "/echo",
        "/echo/",
        "/api/publish",
        "/health",
        "/ready",
        "/x?y=/raw/open:a",
    ] {
        let refusal = push.refusal(path, &[]);
        assert_eq!(refusal.status(), 404, "{path}: {refusal:?}");
    }
    let push = Push::start("echo = true", "");
    let (mut client, _) = Client::enter(push.addr(), "/echo", &[]);
    client.expect_echo("hello");
    let (mut client, _) = Client::enter(push.addr(), "/echo?x=1", &[]);
    client.expect_echo("hello");
}

#[test]
fn plain_http_where_websockets_are_is_426() {
    let push = Push::start("echo = true", "");
    for line in [
        "GET /raw/open:a",
        "GET /raw/nowhere:a",
        "POST /raw/open:a",
        "GET /echo",
    ] {
        let mut http = Http::connect(push.addr());
        let response = http.request(line, &[], b"");
        assert_eq!(response.status(), 426, "{line}: {response:?}");
        assert!(response.head.lists("Upgrade", "websocket"), "{response:?}");
        assert!(
            response.head.lists("Connection", "close"),
            "{line}: {response:?}"
        );
        http.expect_end();
    }
}

#[test]
fn the_426_for_head_has_no_body() {
    let push = Push::start("echo = true", "");
    for path in ["/raw/open:a", "/echo"] {
        let mut http = Http::connect(push.addr());
        let response = http.request(&format!("HEAD {path}"), &[], b"");
        assert_eq!(response.status(), 426, "{path}: {response:?}");
        http.expect_end(); // RFC 9110 §9.3.2
    }
}

#[test]
fn an_upgrade_that_is_none_is_refused_as_rfc_6455_says() {
    let push = Push::start("", "");
    let request = fanfare_tests::client::upgrade("/raw/open:a", &[]);
    let version = request.replace("Version: 13", "Version: 12");
    let key = request.replace("Sec-WebSocket-Key: ", "Sec-WebSocket-Key: x");
    for (case, bytes, status) in [("version 12", version, 426), ("a longer key", key, 400)] {
        let mut http = Http::connect(push.addr());
        http.send(bytes.as_bytes());
        let response = http.response(false);
        assert_eq!(response.status(), status, "{case}: {response:?}");
        http.expect_end();
    }
}

#[test]
fn nothing_that_was_refused_leaves_a_trace() {
    let push = Push::start("workers = 1", "");
    let mut api = push.api();
    for path in [
        "/raw/open:a?meta=1",
        "/raw/past:a?since=x",
        "/raw/closed:a",
        "/raw/nowhere:a",
    ] {
        assert_ne!(push.refusal(path, &[]).status(), 101, "{path}");
    }
    let channels = api.result("channels", &json!({}));
    assert_eq!(channels["channels"], json!({}), "{channels}");
}
