//! The HTTP around the API: who may, what is no request of it, sockets that change hands, bodies that
//! come slowly or never, health.
//!
//! Never: sleeps; where a request must not be answered, another that is shows that time has passed.

use std::io::Write;
use std::net::SocketAddr;

use fanfare_tests::client::{Client, upgrade};
use fanfare_tests::http::{Http, Response, request};
use fanfare_tests::push::{KEY, NAMESPACES, Push, SECOND_KEY};
use serde_json::json;

const BODY: &[u8] = br#"{"channel":"open:a","data":1}"#;

/// A server with the API on its main port, and one with a port for it.
fn both() -> [Push; 2] {
    [Push::on_one_port("", ""), Push::start("", "")]
}

/// One request on a connection of its own.
#[track_caller]
fn ask(addr: SocketAddr, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    Http::connect(addr).request(line, headers, body)
}

fn chunked(line: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let headers = [("X-API-Key", KEY), ("Transfer-Encoding", "chunked")];
    let mut bytes = request(line, &headers, b"");
    for chunk in chunks {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

#[test]
fn a_key_opens_and_nothing_else_does() {
    let bearer = format!("Bearer {KEY}");
    let apikey = format!("apikey {KEY}");
    let second = format!("apikey {SECOND_KEY}");
    let wrong = format!("{KEY}x");
    let lower = KEY.to_uppercase();
    for push in both() {
        for (header, status) in [
            (("X-API-Key", KEY), 200),
            (("x-api-key", SECOND_KEY), 200),
            (("Authorization", &apikey), 200),
            (("Authorization", &second), 200),
            (("X-API-Key", ""), 401),
            (("X-API-Key", &wrong), 401),
            (("X-API-Key", &KEY[..KEY.len() - 1]), 401),
            (("X-API-Key", &lower), 401),
            (("X-API-Key", &apikey), 401),
            (("Authorization", KEY), 401),
            (("Authorization", &bearer), 401),
            (("Authorization", "apikey"), 401),
            (("Authorization", "apikey "), 401),
            (("X-Other", KEY), 401),
        ] {
            let response = ask(push.daemon().api(), "POST /api/publish", &[header], BODY);
            if status == 200 {
                assert_eq!(response.status(), 200, "{header:?}: {response:?}");
            } else {
                response.expect_line(&format!("{header:?}"), status, &[]);
                assert!(!response.text().contains(KEY), "{header:?}: tells the key");
            }
        }
        // In the query it would be in everybody's logs.
        let line = format!("POST /api/publish?api_key={KEY}");
        ask(push.daemon().api(), &line, &[], BODY).expect_line("in the query", 401, &[]);
        // What is asked for does not matter to who has no key.
        for line in ["POST /api/info", "POST /api/batch"] {
            ask(push.daemon().api(), line, &[], b"{}").expect_line(line, 401, &[]);
        }
    }
}

#[test]
fn without_a_key_in_the_config_nobody_may() {
    for api in ["", "[api]\nkeys = []", "[api]\nlisten = \"{api}\""] {
        let push = Push::with(&[NAMESPACES, api]);
        for headers in [&[][..], &[("X-API-Key", "")], &[("X-API-Key", KEY)]] {
            let response = ask(push.daemon().api(), "POST /api/publish", headers, BODY);
            response.expect_line(&format!("{api:?} {headers:?}"), 401, &[]);
        }
        let response = ask(push.daemon().api(), "GET /health", &[], b"");
        assert_eq!(response.status(), 200, "{api:?}");
    }
}

#[test]
fn the_content_type_does_not_matter() {
    let push = Push::start("", "");
    for kind in [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "x",
    ] {
        let headers = [("X-API-Key", KEY), ("Content-Type", kind)];
        let response = ask(push.daemon().api(), "POST /api/publish", &headers, BODY);
        assert_eq!(response.status(), 200, "{kind}: {response:?}");
    }
}

#[test]
fn other_verbs_are_405_and_other_methods_404() {
    for push in both() {
        for verb in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let line = format!("{verb} /api/publish");
            let response = ask(push.daemon().api(), &line, &[("X-API-Key", KEY)], b"");
            response.expect_line(&line, 405, &[]);
            assert!(response.head.lists("Allow", "POST"), "{line}: {response:?}");
        }
        let head = ask(
            push.daemon().api(),
            "HEAD /api/publish",
            &[("X-API-Key", KEY)],
            b"",
        );
        assert_eq!(head.status(), 405, "{head:?}");
        for path in [
            "/api/frobnicate",
            "/api/",
            "/api",
            "/api/publish/",
            "/api/publish/x",
            "/api/Publish",
            "/apis/publish",
            "/",
            "/x",
        ] {
            let line = format!("POST {path}");
            let response = ask(push.daemon().api(), &line, &[("X-API-Key", KEY)], BODY);
            assert_eq!(response.status(), 404, "{line}: {response:?}");
        }
    }
}

#[test]
fn with_a_port_of_its_own_the_api_is_not_on_the_main_one() {
    let push = Push::start("", "");
    for path in ["publish", "info", "batch", "x"] {
        let line = format!("POST /api/{path}");
        for headers in [&[][..], &[("X-API-Key", KEY)]] {
            let response = ask(push.addr(), &line, headers, BODY);
            assert_eq!(response.status(), 404, "{line} {headers:?}: {response:?}");
        }
    }
    // And WebSockets are not on the API's.
    for path in ["/raw/open:a", "/echo"] {
        let mut http = Http::connect(push.daemon().api());
        http.send(upgrade(path, &[]).as_bytes());
        let response = http.response(false);
        assert_eq!(response.status(), 404, "{path}: {response:?}");
    }
}

#[test]
fn a_body_over_the_limit_is_413() {
    let limit = "max_body_bytes = 1000";
    let api = format!(
        "[api]\nlisten = \"{{api}}\"\n{}\n{limit}",
        fanfare_tests::push::KEYS
    );
    let main = format!("[api]\n{}\n{limit}", fanfare_tests::push::KEYS);
    for api in [api, main] {
        let push = Push::with(&[NAMESPACES, &api]);
        let addr = push.daemon().api();
        let body = |len: usize| {
            let start = r#"{"channel":"open:a","data":""#;
            format!("{start}{}\"}}", "x".repeat(len - start.len() - 2)).into_bytes()
        };
        let (exact, over) = (body(1000), body(1001));
        let key = [("X-API-Key", KEY)];
        assert_eq!(ask(addr, "POST /api/publish", &key, &exact).status(), 200);
        ask(addr, "POST /api/publish", &key, &over).expect_line("one more", 413, &[]);
        for (whole, status) in [(&exact, 200), (&over, 413)] {
            let (first, second) = whole.split_at(400);
            let mut http = Http::connect(addr);
            http.send(&chunked("POST /api/publish", &[first, second]));
            let response = http.response(false);
            assert_eq!(response.status(), status, "in chunks: {response:?}");
        }
        // Declared, and never sent.
        let mut http = Http::connect(addr);
        let declared = [("X-API-Key", KEY), ("Content-Length", "9999999999999")];
        http.send(&request("POST /api/publish", &declared, b""));
        http.response(false).expect_line("declared", 413, &[]);
    }
}

#[test]
fn eight_mebibytes_are_the_default_limit() {
    let push = Push::start("", "");
    for (len, status) in [(8 << 20, 400), ((8 << 20) + 1, 413)] {
        let body = vec![b' '; len];
        let response = ask(
            push.daemon().api(),
            "POST /api/publish",
            &[("X-API-Key", KEY)],
            &body,
        );
        assert_eq!(response.status(), status, "{len} spaces: {response:?}");
    }
}

#[test]
fn the_apis_own_port_keeps_connections() {
    let push = Push::start("", "");
    let mut http = Http::connect(push.daemon().api());
    let key = [("X-API-Key", KEY)];
    for _ in 0..3 {
        for (line, headers, body, status) in [
            ("POST /api/publish", &key[..], BODY, 200),
            ("POST /api/publish", &[], BODY, 401),
            ("POST /api/publish", &key, b"{", 400),
            ("POST /api/nothing", &key, BODY, 404),
            ("GET /api/publish", &key, b"", 405),
            ("GET /health", &[], b"", 200),
            ("HEAD /ready", &[], b"", 200),
            ("GET /nothing", &[], b"", 404),
        ] {
            let response = http.request(line, headers, body);
            assert_eq!(response.status(), status, "{line}: {response:?}");
            let kept = !response.head.lists("Connection", "close");
            assert!(kept, "{line}: {response:?}");
        }
    }
    // Several at once are answered one after the other.
    let mut both = request("POST /api/publish", &key, BODY);
    both.extend(request("GET /health", &[], b""));
    http.send(&both);
    assert_eq!(http.response(false).status(), 200);
    assert_eq!(http.response(false).text(), "ok\n");
    // Who asks for it is let go.
    let close = [("X-API-Key", KEY), ("Connection", "close")];
    assert_eq!(
        http.request("POST /api/publish", &close, BODY).status(),
        200
    );
    http.expect_end();
}

#[test]
fn the_main_port_answers_once_and_closes() {
    let push = Push::on_one_port("", "");
    let key = [("X-API-Key", KEY)];
    for (line, headers, body, status) in [
        ("POST /api/publish", &key[..], BODY, 200),
        ("POST /api/publish", &[], BODY, 401),
        ("GET /health", &[], b"", 200),
        ("GET /ready", &[], b"", 200),
        ("GET /nothing", &[], b"", 404),
    ] {
        for more in [false, true] {
            let mut subscriber = push.subscribe("open:a");
            let mut bytes = request(line, headers, body);
            if more {
                // Neither a second request nor an upgrade is read behind the first.
                bytes.extend(request(
                    "POST /api/publish",
                    &key,
                    br#"{"channel":"open:a","data":"second"}"#,
                ));
                bytes.extend(upgrade("/raw/open:a", &[]).bytes());
            }
            let mut http = Http::connect(push.addr());
            http.send(&bytes);
            let response = http.response(false);
            assert_eq!(response.status(), status, "{line}: {response:?}");
            assert!(
                response.head.lists("Connection", "close"),
                "{line}: {response:?}"
            );
            http.expect_end();
            push.api().publish("open:a", &json!("last"));
            if line == "POST /api/publish" && status == 200 {
                subscriber.expect_text("1");
            }
            subscriber.expect_text("\"last\"");
        }
    }
}

#[test]
fn a_keep_alive_that_is_asked_for_is_not_given_on_the_main_port() {
    let push = Push::on_one_port("", "");
    let mut http = Http::connect(push.addr());
    let headers = [("X-API-Key", KEY), ("Connection", "keep-alive")];
    let response = http.request("POST /api/publish", &headers, BODY);
    assert_eq!(response.status(), 200, "{response:?}");
    assert!(response.head.lists("Connection", "close"), "{response:?}");
    http.expect_end();
}

#[test]
fn requests_in_pieces_are_requests() {
    for push in both() {
        let whole = request("POST /api/publish", &[("X-API-Key", KEY)], BODY);
        let many = chunked("POST /api/publish", &BODY.chunks(1).collect::<Vec<_>>());
        let mut subscriber = push.subscribe("open:a");
        for bytes in [whole, many] {
            for piece in [
                1,
                2,
                7,
                bytes.len() - BODY.len(),
                bytes.len() - 1,
                bytes.len(),
            ] {
                let mut http = Http::connect(push.daemon().api());
                for bytes in bytes.chunks(piece) {
                    http.send(bytes);
                }
                let response = http.response(false);
                assert_eq!(response.status(), 200, "pieces of {piece}: {response:?}");
                subscriber.expect_text("1");
            }
        }
    }
}

#[test]
fn a_mebibyte_in_the_body_passes_from_hand_to_hand() {
    let push = Push::on_one_port("", "");
    let mut subscriber = push.subscribe("open:a");
    let text = format!("\"{}\"", "y".repeat(1 << 20 >> 1));
    for piece in [1000, 65_536, 1 << 20] {
        let body = format!(r#"{{"channel":"open:a","data":{text}}}"#);
        let bytes = request("POST /api/publish", &[("X-API-Key", KEY)], body.as_bytes());
        let mut http = Http::connect(push.addr());
        for bytes in bytes.chunks(piece) {
            http.send(bytes);
        }
        assert_eq!(http.response(false).status(), 200, "pieces of {piece}");
        subscriber.expect_text(&text);
    }
}

#[test]
fn a_body_that_never_comes_keeps_nobody_waiting() {
    for push in both() {
        let mut stuck: Vec<Http> = (0..50)
            .map(|n| {
                let mut http = Http::connect(push.daemon().api());
                let headers = [("X-API-Key", KEY), ("Content-Length", "100")];
                http.send(&request("POST /api/publish", &headers, b""));
                http.send(&BODY[..n % BODY.len()]);
                http
            })
            .collect();
        let mut subscriber = push.subscribe("open:a");
        for _ in 0..20 {
            push.api().publish("open:a", &json!(1));
            subscriber.expect_text("1");
            let response = ask(push.addr(), "GET /health", &[], b"");
            assert_eq!(response.status(), 200, "{response:?}");
        }
        // Half a body is none, whichever way its end shows.
        for http in &mut stuck {
            http.finish();
        }
        drop(stuck);
        push.api().publish("open:a", &json!(2));
        subscriber.expect_text("2");
    }
}

#[test]
fn expect_100_continue_is_answered() {
    for push in both() {
        let mut http = Http::connect(push.daemon().api());
        let length = BODY.len().to_string();
        let headers = [
            ("X-API-Key", KEY),
            ("Expect", "100-continue"),
            ("Content-Length", &length),
        ];
        http.send(&request("POST /api/publish", &headers, b""));
        // Either an invitation, or it waits for the body, which then comes.
        http.send(BODY);
        let mut response = http.interim();
        if response.status() == 100 {
            response = http.response(false);
        }
        assert_eq!(response.status(), 200, "{response:?}");
    }
}

#[test]
fn health_and_ready_are_on_both_ports() {
    for push in both() {
        for addr in [push.addr(), push.daemon().api()] {
            for path in ["/health", "/ready"] {
                let response = ask(addr, &format!("GET {path}"), &[], b"");
                assert_eq!(
                    (response.status(), response.text().trim()),
                    (200, "ok"),
                    "{path}"
                );
                let mut http = Http::connect(addr);
                let response =
                    http.request(&format!("HEAD {path}"), &[("Connection", "close")], b"");
                assert_eq!(response.status(), 200, "{path}");
                http.expect_end();
                for verb in ["POST", "DELETE"] {
                    let line = format!("{verb} {path}");
                    let response = ask(addr, &line, &[], b"");
                    assert_eq!(response.status(), 405, "{line}: {response:?}");
                    let get = response.head.lists("Allow", "GET");
                    assert!(
                        get && response.head.lists("Allow", "HEAD"),
                        "{line}: {response:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn ready_is_503_while_it_stops_and_health_still_200() {
    let push = Push::start("drain.timeout = 20", "[websocket]\nclose_timeout = 20");
    let mut http = Http::connect(push.daemon().api());
    assert_eq!(http.request("GET /ready", &[], b"").status(), 200);
    // Whoever does not answer its close holds the daemon up.
    let mut deaf = push.subscribe("open:a");
    push.daemon().terminate().expect("it runs");
    deaf.expect_close(1001);
    let ready = http.request("GET /ready", &[], b"");
    assert_eq!(ready.status(), 503, "{ready:?}");
    drop(deaf);
    assert_eq!(push.into_daemon().wait().expect("it ends").code(), Some(0));
}

#[test]
fn what_is_no_http_is_400_and_what_is_too_long_431_or_less() {
    for push in both() {
        for addr in [push.addr(), push.daemon().api()] {
            for bytes in [
                "GET\r\n\r\n",
                "\x16\x03\x01\x02\x00\r\n\r\n",
                "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            ] {
                let mut http = Http::connect(addr);
                http.send(bytes.as_bytes());
                let response = http.response(false);
                assert_eq!(response.status(), 400, "{bytes:?}: {response:?}");
            }
            let mut http = Http::connect(addr);
            http.send(&request(
                "GET /health",
                &[("X-Long", &"x".repeat(1 << 20))],
                b"",
            ));
            http.finish();
            let response = http.response(false);
            assert!((400..500).contains(&response.status()), "{response:?}");
        }
        // Two lengths, or a length and chunks: whoever stands before us may read it another way.
        for headers in [
            [("Content-Length", "29"), ("Content-Length", "30")],
            [("Content-Length", "5"), ("Content-Length", "x")],
        ] {
            let mut http = Http::connect(push.daemon().api());
            let all = [headers[0], headers[1], ("X-API-Key", KEY)];
            http.send(&request("POST /api/publish", &all, b""));
            http.send(BODY);
            let response = http.response(false);
            assert_eq!(response.status(), 400, "{headers:?}: {response:?}");
        }
        let mut alive = push.subscribe("open:a");
        push.api().publish("open:a", &json!(1));
        alive.expect_text("1");
    }
}

#[test]
fn an_http_10_client_is_answered() {
    for push in both() {
        let mut http = Http::connect(push.daemon().api());
        let head = format!(
            "POST /api/publish HTTP/1.0\r\nX-API-Key: {KEY}\r\nContent-Length: {}\r\n\r\n",
            BODY.len()
        );
        http.send(&[head.as_bytes(), BODY].concat());
        let text = http.until_end();
        assert!(
            text.contains(" 200 ") && text.contains("\"result\""),
            "{text}"
        );
    }
}

#[test]
fn a_client_that_leaves_before_the_answer_hurts_nobody() {
    for push in both() {
        let mut subscriber = push.subscribe("open:a");
        let bytes = request("POST /api/publish", &[("X-API-Key", KEY)], BODY);
        for cut in (0..bytes.len()).step_by(3) {
            let mut client = Client::connect(push.daemon().api());
            let _ = client.socket.write_all(&bytes[..cut]);
            drop(client);
        }
        push.api().publish("open:a", &json!("alive"));
        subscriber.expect_text("\"alive\"");
    }
}
