//! The operator's backend, asked by the server: what it is asked, what its answers do, and how it may fail.
//!
//! Never: waits for a time to pass; each question is awaited.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use fanfare_tests::backend::{Answer, Asked, Backend};
use fanfare_tests::client::Client;
use fanfare_tests::clock::unix_seconds;
use fanfare_tests::jwt::{Key, SECRET};
use fanfare_tests::push::{Push, eventually};
use fanfare_tests::session::{Came, Session, WIRES, Wire, expect_error};
use serde_json::{Value, json};

/// A server that asks `backend` about everything; namespace `asked` has hooks.
fn start(backend: &Backend) -> Push {
    let url = |path: &str| backend.url(path);
    let tail = format!(
        "[hooks]\nconnect = \"{}\"\nrefresh = \"{}\"\nrpc = \"{}\"\ntimeout = 0.5\n\
         headers = [\"Cookie\", \"X-Tenant\"]\n\
         [namespaces.asked]\nhistory_size = 10\nhistory_ttl = 60\nforce_recovery = true\n\
         allow_publish_for_client = true\n\
         subscribe_hook = \"{}\"\npublish_hook = \"{}\"\n\
         [namespaces.alone]\npublish_hook = \"{}\"\nsubscribe_hook = \"{}\"\n\
         [client]\nexpiry_grace = 0.3\n\
         [token]\nalgorithm = \"HS256\"\nhmac_key = \"{SECRET}\"\n",
        url("/connect"),
        url("/refresh"),
        url("/rpc"),
        url("/subscribe"),
        url("/publish"),
        url("/publish"),
        url("/subscribe"),
    );
    Push::start("workers = 2", &tail)
}

fn result(value: &Value) -> Answer {
    Answer::Json(json!({"result": value}))
}

/// Everybody is who it says in `data.user`, and may do anything.
fn kind(asked: &Asked) -> Answer {
    let question = if asked.body.is_empty() {
        json!({})
    } else {
        asked.json()
    };
    match asked.path.as_str() {
        "/connect" => {
            let user = question["data"]["user"].as_str().unwrap_or("raw");
            result(&json!({"user": user, "info": {"name": user}, "data": {"hello": user}}))
        }
        "/rpc" => result(&json!({"data": {"echo": question["data"]}})),
        _ => result(&json!({})),
    }
}

#[test]
fn connect_asks_the_backend_with_the_headers_that_are_listed() {
    let backend = Backend::start(kind);
    let push = start(&backend);
    for (n, wire) in WIRES.into_iter().enumerate() {
        let headers = [
            ("Cookie", "s=1; t=2"),
            ("X-Tenant", "acme"),
            ("X-Secret", "no"),
        ];
        let mut session = Session::enter(push.addr(), wire, "", &headers);
        let request = json!({"data": {"user": "ada"}, "name": "js", "version": "1.2"});
        let connected = session.result("connect", &request);
        assert_eq!(connected["data"], json!({"hello": "ada"}), "{wire:?}");
        let questions = backend.asked("/connect");
        let asked = &questions[n];
        let question = asked.json();
        let case = format!("{wire:?}: {question}");
        assert_eq!(question["client"], connected["client"], "{case}");
        assert_eq!(question["transport"], "websocket", "{case}");
        let encoding = if wire == Wire::Json {
            "json"
        } else {
            "protobuf"
        };
        assert_eq!(question["protocol"], encoding, "{case}");
        assert_eq!(question["data"], request["data"], "{case}");
        assert_eq!(
            (&question["name"], &question["version"]),
            (&json!("js"), &json!("1.2")),
            "{case}"
        );
        assert_eq!(
            asked.head.all("Cookie").collect::<Vec<_>>(),
            ["s=1; t=2"],
            "{case}"
        );
        assert_eq!(
            asked.head.all("X-Tenant").collect::<Vec<_>>(),
            ["acme"],
            "{case}"
        );
        assert_eq!(asked.head.all("X-Secret").count(), 0, "{case}");
        assert!(asked.head.start_line.starts_with("POST "), "{case}");
        // Whoever shows a token is not asked about; one that is bad is not made good.
        let good = Key::secret(SECRET).token(&json!({"sub": "bob"}));
        let _bob = Session::with_token(&push, wire, &good);
        let mut bad = Session::open(push.addr(), wire);
        bad.send("connect", &json!({"token": "x"}));
        bad.expect_closed(3500, "a bad token");
        assert_eq!(backend.asked("/connect").len(), n + 1, "{case}");
        // What it was told is what others see, and what the next question says.
        session.subscribe("asked:a");
        session.result("publish", &json!({"channel": "asked:a", "data": 1}));
        let publication = session.publication("asked:a");
        let info = &publication["info"];
        assert_eq!(
            (&info["user"], &info["conn_info"]),
            (&json!("ada"), &json!({"name": "ada"})),
            "{publication}"
        );
        for path in ["/subscribe", "/publish"] {
            let question = backend.asked(path)[n].json();
            assert_eq!(question["user"], "ada", "{path}: {question}");
            assert_eq!(question["channel"], "asked:a", "{path}: {question}");
            assert_eq!(
                question["client"], connected["client"],
                "{path}: {question}"
            );
        }
    }
}

#[test]
fn the_backend_s_answer_to_connect_is_obeyed() {
    let later = unix_seconds() + 1000;
    let backend = Backend::start(move |asked| {
        result(&match asked.json()["data"]["want"].as_str().unwrap() {
            "channels" => json!({"user": "ada", "channels": ["asked:a", "open:b"]}),
            "time" => json!({"user": "ada", "expire_at": later}),
            _ => return Answer::Json(json!({"disconnect": {"code": 4501, "reason": "not you"}})),
        })
    });
    let push = start(&backend);
    for wire in WIRES {
        let want = |what: &str| json!({"data": {"want": what}});
        let (mut session, connected) = Session::connected(&push, wire, &want("channels"));
        let subs = connected["subs"].as_object().unwrap();
        assert_eq!(subs.len(), 2, "{wire:?}: {connected}");
        push.api().publish("asked:a", &json!("news"));
        session.expect_data("asked:a", &json!("news"));
        let (_, connected) = Session::connected(&push, wire, &want("time"));
        // The server asks by itself when it is time: an SDK that knew of it would look for a token.
        assert!(connected["expires"].is_null(), "{wire:?}: {connected}");
        let mut refused = Session::open(push.addr(), wire);
        refused.send("connect", &want("away"));
        let came = refused.came();
        assert_eq!(came, Came::Closed(4501, "not you".to_owned()), "{wire:?}");
    }
    // A subscription that the backend makes at connect is not asked about.
    assert_eq!(backend.asked("/subscribe").len(), 0);
}

/// Answers of a backend that are none.
fn failures() -> Vec<Answer> {
    let body = |status, body: &str| Answer::Full(status, Vec::new(), body.as_bytes().to_vec());
    vec![
        Answer::Silence,
        Answer::End,
        Answer::status(500),
        Answer::status(404),
        Answer::status(204),
        body(500, r#"{"result":{"user":"root"}}"#),
        body(201, r#"{"result":{"user":"root"}}"#),
        body(200, ""),
        body(200, "<html>"),
        body(200, r#"{"result":"#),
        body(200, "[]"),
        body(200, "1"),
        body(200, r#"{"result":1}"#),
        Answer::Full(200, Vec::new(), vec![b'{'; 100_000]),
        Answer::Full(200, Vec::new(), b"\xFF\xFE".to_vec()),
    ]
}

#[test]
fn a_backend_that_fails_is_error_100_and_nobody_gets_in() {
    for answer in failures() {
        let case = format!("{answer:?}").chars().take(100).collect::<String>();
        let backend = Backend::start(move |_| answer.clone());
        let push = start(&backend);
        let ada = Key::secret(SECRET).token(&json!({"sub": "ada"}));
        for wire in WIRES {
            let case = format!("{wire:?} {case}");
            let mut session = Session::open(push.addr(), wire);
            let reply = session.call("connect", &json!({}));
            expect_error(&reply, 100, &case);
            let mut session = Session::with_token(&push, wire, &ada);
            // All at once: what waits for the backend stops nothing else.
            let questions = [
                ("subscribe", json!({"channel": "asked:a"})),
                ("publish", json!({"channel": "asked:b", "data": 1})),
                ("rpc", json!({"method": "m", "data": 1})),
            ];
            let ids = questions.map(|(method, request)| session.send(method, &request));
            session.subscribe("mute:a");
            for id in ids {
                expect_error(&session.reply(id), 100, &format!("{case}, {id}"));
            }
            // It is not subscribed, and nothing was published.
            let at = push.api().publish("asked:a", &json!(1));
            session.expect_quiet(&case);
            assert_eq!(
                push.api().publish("asked:b", &json!(1))["offset"],
                at["offset"],
                "{case}"
            );
        }
    }
}

#[test]
fn errors_and_disconnects_of_the_backend_are_the_client_s() {
    let backend = Backend::start(|asked| {
        let question = asked.json();
        let what = question["data"].as_str().unwrap_or_default();
        Answer::Json(match what {
            "error" => json!({"error": {"code": 1042, "message": "no luck"}}),
            "again" => json!({"error": {"code": 1043, "message": "not now", "temporary": true}}),
            "go" => json!({"disconnect": {"code": 4999, "reason": "banned"}}),
            _ => json!({"result": {}}),
        })
    });
    let push = start(&backend);
    let ada = Key::secret(SECRET).token(&json!({"sub": "ada"}));
    for wire in WIRES {
        for (what, code, temporary) in [("error", 1042, false), ("again", 1043, true)] {
            let mut sessions = [
                Session::open(push.addr(), wire),
                Session::with_token(&push, wire, &ada),
            ];
            let [fresh, session] = &mut sessions;
            let replies = [
                fresh.call("connect", &json!({"data": what})),
                session.call("subscribe", &json!({"channel": "asked:a", "data": what})),
                session.call("publish", &json!({"channel": "asked:a", "data": what})),
                session.call("rpc", &json!({"method": "m", "data": what})),
            ];
            for reply in replies {
                let error = &reply["error"];
                assert_eq!(error["code"], code, "{wire:?} {what}: {reply}");
                assert!(error["message"].is_string(), "{wire:?} {what}: {reply}");
                let told = error["temporary"].as_bool().unwrap_or(false);
                assert_eq!(told, temporary, "{wire:?} {what}: {reply}");
            }
        }
        let requests = [
            ("connect", json!({"data": "go"})),
            ("subscribe", json!({"channel": "asked:a", "data": "go"})),
            ("publish", json!({"channel": "asked:a", "data": "go"})),
            ("rpc", json!({"method": "m", "data": "go"})),
        ];
        for (method, request) in requests {
            let mut session = match method {
                "connect" => Session::open(push.addr(), wire),
                _ => Session::with_token(&push, wire, &ada),
            };
            session.send(method, &request);
            let came = session.came();
            assert_eq!(
                came,
                Came::Closed(4999, "banned".to_owned()),
                "{wire:?} {method}"
            );
        }
    }
}

#[test]
fn rpc_gives_what_the_backend_gives() {
    let backend = Backend::start(kind);
    let push = start(&backend);
    for wire in WIRES {
        let mut session = Session::anonymous(&push, wire);
        let values = [
            json!(1),
            json!({"a": ["é\n"]}),
            json!(null),
            json!("x".repeat(100_000)),
        ];
        let ids = values
            .clone()
            .map(|value| session.send("rpc", &json!({"method": "m", "data": value})));
        for (id, value) in ids.into_iter().zip(values) {
            let reply = session.reply(id);
            assert_eq!(reply["rpc"]["data"]["echo"], value, "{wire:?}");
        }
    }
    assert_eq!(backend.asked("/rpc")[0].json()["method"], "m");
}

#[test]
fn publish_takes_the_backend_s_data_in_the_place_of_the_client_s() {
    let backend = Backend::start(|asked| match asked.path.as_str() {
        "/publish" => result(&json!({"data": {"checked": asked.json()["data"]}})),
        _ => kind(asked),
    });
    let push = start(&backend);
    for wire in WIRES {
        let mut session = Session::anonymous(&push, wire);
        session.subscribe("asked:a");
        session.result("publish", &json!({"channel": "asked:a", "data": [1]}));
        session.expect_data("asked:a", &json!({"checked": [1]}));
    }
}

#[test]
fn where_there_is_a_publish_hook_it_alone_decides() {
    let backend = Backend::start(kind);
    let push = start(&backend);
    for wire in WIRES {
        let mut session = Session::anonymous(&push, wire);
        session.subscribe("alone:a");
        session.result("publish", &json!({"channel": "alone:a", "data": 1}));
        session.expect_data("alone:a", &json!(1));
    }
}

#[test]
fn the_backend_says_how_long_a_client_may_stay() {
    let backend = Backend::start(|asked| match asked.path.as_str() {
        "/connect" => result(&json!({
            "user": asked.json()["data"]["user"], "expire_at": unix_seconds() + 2,
        })),
        "/refresh" => match asked.json()["user"].as_str() {
            Some("stays") => result(&json!({"expire_at": unix_seconds() + 1000})),
            _ => result(&json!({"expired": true})),
        },
        _ => kind(asked),
    });
    let push = start(&backend);
    for wire in WIRES {
        let user = |user: &str| json!({"data": {"user": user}});
        let (mut stays, _) = Session::connected(&push, wire, &user("stays"));
        let (mut goes, _) = Session::connected(&push, wire, &user("goes"));
        goes.until_closed(3005, "the backend says so");
        eventually("the other is asked about", || {
            let asked = backend.asked("/refresh");
            asked.iter().any(|asked| asked.json()["user"] == "stays")
        });
        stays.subscribe("mute:a");
        push.api().publish("mute:a", &json!("still"));
        loop {
            // A push `refresh` may say so.
            let told = stays.push();
            if told["pub"].is_object() {
                break;
            }
            assert!(told["refresh"].is_object(), "{wire:?}: {told}");
        }
    }
}

/// The answer to a raw client with these headers.
fn raw(push: &Push, headers: &[(&str, &str)]) -> fanfare_tests::wire::Head {
    Client::ask(push.addr(), "/raw/members:a", headers).1
}

/// A server that asks about raw clients, and a backend that answers what their cookie says.
fn start_raw() -> (Push, Backend) {
    let backend = Backend::start(|asked| {
        let cookie = asked.head.all("Cookie").next().unwrap_or_default();
        let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        match cookie {
            "in" => {
                let body = json!({"result": {"user": "ada"}}).to_string().into_bytes();
                let mut cookies = header("Set-Cookie", "a=1; HttpOnly");
                cookies.extend(header("Set-Cookie", "b=2"));
                cookies.extend(header("X-Other", "no"));
                Answer::Full(200, cookies, body)
            }
            "401" => Answer::status(401),
            "403" => Answer::status(403),
            "302" => Answer::Full(
                302,
                header("Location", "https://login.example/?a=b"),
                Vec::new(),
            ),
            "307" => Answer::Full(307, header("Location", "/login"), Vec::new()),
            "500" => Answer::status(500),
            "end" => Answer::End,
            "silence" => Answer::Silence,
            "html" => Answer::Full(200, Vec::new(), b"<html>".to_vec()),
            "error" => Answer::Json(json!({"error": {"code": 1042, "message": "no"}})),
            "disconnect" => Answer::Json(json!({"disconnect": {"code": 4501, "reason": "no"}})),
            other => panic!("{other}"),
        }
    });
    let tail = format!(
        "[hooks]\nconnect = \"{}\"\ntimeout = 0.5\nheaders = [\"Cookie\"]\n\
         [namespaces.members]\nallow_subscribe_for_client = true\n\
         [token]\nalgorithm = \"HS256\"\nhmac_key = \"{SECRET}\"\n",
        backend.url("/connect")
    );
    let push = Push::start("workers = 2", &tail);
    (push, backend)
}

#[test]
fn a_raw_client_is_asked_about_in_front_of_its_upgrade() {
    let (push, backend) = start_raw();
    let head = raw(&push, &[("Cookie", "in")]);
    assert_eq!(head.status(), Some(101), "{head:?}");
    assert_eq!(
        head.all("Set-Cookie").collect::<Vec<_>>(),
        ["a=1; HttpOnly", "b=2"]
    );
    assert_eq!(head.all("X-Other").count(), 0, "{head:?}");
    for (cookie, status, location) in [
        ("401", 401, None),
        ("403", 403, None),
        ("302", 302, Some("https://login.example/?a=b")),
        ("307", 307, Some("/login")),
    ] {
        let head = raw(&push, &[("Cookie", cookie)]);
        assert_eq!(head.status(), Some(status), "{cookie}: {head:?}");
        assert_eq!(head.all("Location").next(), location, "{cookie}: {head:?}");
    }
    // Who shows a token is not asked about.
    let before = backend.asked("/connect").len();
    let token = Key::secret(SECRET).token(&json!({"sub": "ada"}));
    let head = raw(
        &push,
        &[
            ("Authorization", &format!("Bearer {token}")),
            ("Cookie", "401"),
        ],
    );
    assert_eq!(head.status(), Some(101), "{head:?}");
    assert_eq!(backend.asked("/connect").len(), before);
    // The user that the backend named is who it is.
    let (mut client, _) = Client::enter(push.addr(), "/raw/members:a", &[("Cookie", "in")]);
    push.api().result("disconnect", &json!({"user": "ada"}));
    client.expect_closed(3503, "force disconnect");
}

#[test]
fn a_raw_client_tries_again_if_the_backend_failed_and_not_if_it_said_no() {
    let (push, _backend) = start_raw();
    for cookie in ["500", "end", "silence", "html"] {
        let head = raw(&push, &[("Cookie", cookie)]);
        assert_eq!(head.status(), Some(503), "{cookie}: {head:?}");
    }
    for cookie in ["disconnect", "error"] {
        let head = raw(&push, &[("Cookie", cookie)]);
        assert_eq!(head.status(), Some(403), "{cookie}: {head:?}");
    }
}

#[test]
fn a_client_that_goes_while_the_backend_thinks_leaves_nothing() {
    let backend = Backend::start(|asked| match asked.path.as_str() {
        "/subscribe" => Answer::Silence,
        _ => kind(asked),
    });
    let push = start(&backend);
    let before = push.daemon().open_files();
    for round in 0..20 {
        let mut session = Session::anonymous(&push, WIRES[round % 2]);
        session.send("subscribe", &json!({"channel": "asked:a"}));
        eventually("the question", || backend.asked("/subscribe").len() > round);
    }
    let mut session = Session::anonymous(&push, Wire::Json);
    session.expect_error("subscribe", &json!({"channel": "asked:a"}), 100);
    drop(session);
    eventually("descriptors are free", || {
        // Connections to the backend may be kept, one or two.
        push.daemon().open_files() <= before.map(|files| files + 4)
    });
}
