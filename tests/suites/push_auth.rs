//! Tokens that are to be refused, at connect, subscribe, refresh and in front of `/raw`: each with its code. The
//! keys are made at run time, and so are the forgeries, by code that shares nothing with the server's.
//!
//! Never: takes a refusal for right that a good token gets, too.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use fanfare_tests::client::Client;
use fanfare_tests::clock::unix_seconds;
use fanfare_tests::jwt::{Key, SECRET, unsigned};
use fanfare_tests::push::Push;
use fanfare_tests::session::{Came, Session, WIRES, Wire, expect_error};
use serde_json::{Value, json};

const BY_ID: &str = "the-secret-that-is-known-by-its-key-id";
const OTHER: &str = "a-secret-that-the-server-does-not-have";

/// `[token]` with HS256, a key by id and an audience.
const HS: &str = r#"
[namespaces.members]
allow_subscribe_for_client = true
[client]
token_cookie = "who"
expiry_grace = 0.3
[token]
algorithm = "HS256"
hmac_key = "a-secret-of-at-least-32-random-bytes"
audience = "us"
[token.keys]
"k1" = "the-secret-that-is-known-by-its-key-id"
"#;

fn start() -> Push {
    Push::start("workers = 2", HS)
}

/// Why a token is good or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Its time is over, and nothing else is wrong.
    Expired,
    Invalid,
}

/// Tokens that say the same, and what is wrong with them.
fn tokens(claims: &Value) -> Vec<(String, String, Fault)> {
    let key = Key::secret(SECRET);
    let by_id = Key::secret(BY_ID);
    let other = Key::secret(OTHER);
    let now = unix_seconds();
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let header = |fields: Value| {
        let mut header = json!({"alg": "HS256", "typ": "JWT"});
        header
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        header
    };
    let good = key.token(claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let forged = key.token(&with("sub", json!("root")));
    let forged = forged.rsplit_once('.').unwrap().0.to_owned();
    let mut found = vec![
        ("good", good.clone(), Fault::None),
        ("good, by id", by_id.token_by("k1", claims), Fault::None),
        (
            "good, for several",
            key.token(&with("aud", json!(["them", "us"]))),
            Fault::None,
        ),
        (
            "good, for a while",
            key.token(&with("exp", json!(now + 100))),
            Fault::None,
        ),
        (
            "good since a while",
            key.token(&with("nbf", json!(now - 100))),
            Fault::None,
        ),
        (
            "expired",
            key.token(&with("exp", json!(now - 100))),
            Fault::Expired,
        ),
        (
            "expired at once",
            key.token(&with("exp", json!(now))),
            Fault::Expired,
        ),
        (
            "expired, by somebody else",
            other.token(&with("exp", json!(now - 100))),
            Fault::Invalid,
        ),
        (
            "not yet",
            key.token(&with("nbf", json!(now + 100))),
            Fault::Invalid,
        ),
        ("by somebody else", other.token(claims), Fault::Invalid),
        (
            "the key of k1, without its name",
            by_id.token(claims),
            Fault::Invalid,
        ),
        (
            "the key of all, named k1",
            key.token_by("k1", claims),
            Fault::Invalid,
        ),
        (
            "an unknown key id",
            key.token_by("k2", claims),
            Fault::Invalid,
        ),
        (
            "an audience that is another",
            key.token(&with("aud", json!("them"))),
            Fault::Invalid,
        ),
        (
            "audiences that are others",
            key.token(&with("aud", json!(["u", "s"]))),
            Fault::Invalid,
        ),
        ("no audience", key.token(&without("aud")), Fault::Invalid),
        (
            "an end in words",
            key.token(&with("exp", json!("tomorrow"))),
            Fault::Invalid,
        ),
        (
            "a changed user",
            format!("{forged}.{signature}"),
            Fault::Invalid,
        ),
        ("a signature cut off", format!("{message}."), Fault::Invalid),
        (
            "half a signature",
            format!("{message}.{}", &signature[..20]),
            Fault::Invalid,
        ),
        ("no third part", message.to_owned(), Fault::Invalid),
        ("four parts", format!("{good}.{signature}"), Fault::Invalid),
        ("a header alone", format!("{head}.."), Fault::Invalid),
        ("dots", "..".to_owned(), Fault::Invalid),
        ("a letter", "x".to_owned(), Fault::Invalid),
        ("letters", "a.b.c".to_owned(), Fault::Invalid),
        (
            "claims that are a list",
            key.token(&json!(["sub"])),
            Fault::Invalid,
        ),
        (
            "an extension that must be understood",
            key.signed(&header(json!({"crit": ["exotic"], "exotic": 1})), claims),
            Fault::Invalid,
        ),
        (
            "giant",
            key.token(&with("pad", json!("x".repeat(200_000)))) + "x",
            Fault::Invalid,
        ),
        (
            "giant and nothing else",
            "x".repeat(300_000),
            Fault::Invalid,
        ),
        ("a giant number of dots", ".".repeat(10_000), Fault::Invalid),
        (
            "deep",
            key.signed(&json!({"alg": "HS256"}), &deep(2000)),
            Fault::Invalid,
        ),
    ];
    for alg in [
        "none", "None", "NONE", "nOnE", "HS384", "HS512", "RS256", "hs256", "",
    ] {
        let header = json!({"alg": alg, "typ": "JWT"});
        found.push(("signed, alg", key.signed(&header, claims), Fault::Invalid));
        let bare = format!("{}.", unsigned(&header, claims));
        found.push(("unsigned, alg", bare, Fault::Invalid));
    }
    found.push((
        "no alg",
        key.signed(&json!({"typ": "JWT"}), claims),
        Fault::Invalid,
    ));
    let numbered = found.into_iter().map(|(what, token, fault)| {
        let start: String = token.chars().take(60).collect();
        (format!("{what} ({start})"), token, fault)
    });
    numbered.collect()
}

/// A list in a list in a list.
fn deep(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

/// How a client with this connect request fares.
#[derive(Clone, Debug, PartialEq)]
enum Fares {
    Connected,
    Error(u64),
    Closed(u16),
}

#[track_caller]
fn connect(push: &Push, wire: Wire, token: &str) -> Fares {
    let mut session = Session::open(push.addr(), wire);
    session.send("connect", &json!({"token": token}));
    match session.came() {
        Came::Reply(_, reply) if reply["connect"].is_object() => Fares::Connected,
        Came::Reply(_, reply) => {
            let code = reply["error"]["code"].as_u64().unwrap();
            expect_error(&reply, code, "connect");
            Fares::Error(code)
        }
        Came::Closed(code, reason) => {
            assert!(!reason.is_empty());
            Fares::Closed(code)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn at_connect_an_expired_token_is_109_and_an_invalid_one_3500() {
    let push = start();
    let mut cases = tokens(&json!({"sub": "ada", "aud": "us"}));
    let subscription = json!({"sub": "ada", "aud": "us", "channel": "past:a"});
    cases.push((
        "a subscription token".to_owned(),
        Key::secret(SECRET).token(&subscription),
        Fault::Invalid,
    ));
    for wire in WIRES {
        for (what, token, fault) in &cases {
            let wanted = match fault {
                Fault::None => Fares::Connected,
                Fault::Expired => Fares::Error(109),
                Fault::Invalid => Fares::Closed(3500),
            };
            assert_eq!(connect(&push, wire, token), wanted, "{wire:?} {what}");
        }
        // None at all.
        assert_eq!(connect(&push, wire, ""), Fares::Closed(3501), "{wire:?}");
    }
}

#[test]
fn after_a_connect_that_failed_everything_is_3501() {
    let push = start();
    let expired = Key::secret(SECRET).token(&json!({"sub": "ada", "aud": "us", "exp": 1}));
    for wire in WIRES {
        // As the JS SDK sends it: what follows stands in the same frame.
        let mut session = Session::open(push.addr(), wire);
        session.say(&[
            json!({"id": 1, "connect": {"token": expired}}),
            json!({"id": 2, "subscribe": {"channel": "past:a"}}),
        ]);
        expect_error(&session.reply(1), 109, "the reply leaves first");
        session.expect_closed(3501, "a command after a failed connect");
        let good = Key::secret(SECRET).token(&json!({"sub": "ada", "aud": "us"}));
        let mut session = Session::open(push.addr(), wire);
        session.expect_error("connect", &json!({"token": expired}), 109);
        session.send("connect", &json!({"token": good}));
        session.expect_closed(3501, "a second connect");
    }
}

#[test]
fn a_token_in_a_header_or_a_cookie_is_as_good_and_as_bad() {
    let push = start();
    for (what, token, fault) in tokens(&json!({"sub": "ada", "aud": "us"})) {
        if token.len() > 4000 {
            continue; // no head of a request may be that long
        }
        for wire in WIRES {
            let headers = [
                ("Authorization", format!("Bearer {token}")),
                ("Cookie", format!("a=b; who={token}; c=d")),
            ];
            for (name, value) in headers {
                let mut session = Session::enter(push.addr(), wire, "", &[(name, &value)]);
                let case = format!("{wire:?} {name}: {what}");
                let id = session.send("connect", &json!({}));
                match (fault, session.came()) {
                    (Fault::None, Came::Reply(_, reply)) => {
                        assert!(reply["connect"].is_object(), "{case}: {reply}");
                    }
                    (Fault::Expired, Came::Reply(of, reply)) => {
                        assert_eq!(of, id);
                        expect_error(&reply, 109, &case);
                    }
                    (Fault::Invalid, Came::Closed(3500, _)) => {}
                    (_, other) => panic!("{case}: {other:?}"),
                }
                // One in the command counts, not this one.
                let mut session = Session::enter(push.addr(), wire, "", &[(name, &value)]);
                session.send("connect", &json!({"token": "x"}));
                session.expect_closed(3500, &case);
            }
        }
    }
}

#[test]
fn at_subscribe_an_expired_token_is_109_and_an_invalid_one_103() {
    let push = start();
    let key = Key::secret(SECRET);
    let ada = key.token(&json!({"sub": "ada", "aud": "us"}));
    let claims = json!({"sub": "ada", "aud": "us", "channel": "$members:a"});
    let mut cases = tokens(&claims);
    for (what, name, value) in [
        ("another channel", "channel", json!("$members:b")),
        ("an empty channel", "channel", json!("")),
        ("another user", "sub", json!("bob")),
        ("nobody", "sub", json!("")),
    ] {
        let mut claims = claims.clone();
        claims[name] = value;
        cases.push((what.to_owned(), key.token(&claims), Fault::Invalid));
    }
    cases.push(("a connection token".to_owned(), ada.clone(), Fault::Invalid));
    for wire in WIRES {
        let mut session = Session::with_token(&push, wire, &ada);
        let channel = json!({"channel": "$members:a"});
        session.expect_error("subscribe", &channel, 103);
        for (what, token, fault) in &cases {
            let request = json!({"channel": "$members:a", "token": token});
            let reply = session.call("subscribe", &request);
            let case = format!("{wire:?} {what}");
            match fault {
                Fault::None => {
                    assert!(reply["subscribe"].is_object(), "{case}: {reply}");
                    session.result("unsubscribe", &channel);
                }
                Fault::Expired => expect_error(&reply, 109, &case),
                Fault::Invalid => expect_error(&reply, 103, &case),
            }
        }
        // A bad token is not made good by a channel that is open.
        let request = json!({"channel": "members:open", "token": "x"});
        session.expect_error("subscribe", &request, 103);
        session.subscribe("members:open");
    }
}

#[test]
fn at_refresh_an_expired_token_closes_3005_and_an_invalid_one_3500() {
    let push = start();
    let claims = json!({"sub": "ada", "aud": "us", "exp": unix_seconds() + 1000});
    let ada = Key::secret(SECRET).token(&claims);
    let mut cases = tokens(&claims);
    for (what, name, value) in [
        ("another user", "sub", json!("bob")),
        ("a subscription token", "channel", json!("past:a")),
    ] {
        let mut claims = claims.clone();
        claims[name] = value;
        cases.push((
            what.to_owned(),
            Key::secret(SECRET).token(&claims),
            Fault::Invalid,
        ));
    }
    for wire in WIRES {
        for (what, token, fault) in &cases {
            let mut session = Session::with_token(&push, wire, &ada);
            let case = format!("{wire:?} {what}");
            let id = session.send("refresh", &json!({"token": token}));
            match fault {
                Fault::None => {
                    let reply = session.reply(id);
                    assert!(reply["refresh"].is_object(), "{case}: {reply}");
                    assert_eq!(reply["refresh"]["expires"], true, "{case}: {reply}");
                    assert!(
                        reply["refresh"]["ttl"].as_u64() > Some(90),
                        "{case}: {reply}"
                    );
                }
                Fault::Expired => session.expect_closed(3005, &case),
                Fault::Invalid => session.expect_closed(3500, &case),
            }
        }
    }
}

#[test]
fn at_sub_refresh_an_expired_token_is_109_and_an_invalid_one_103() {
    let push = start();
    let key = Key::secret(SECRET);
    let ada = key.token(&json!({"sub": "ada", "aud": "us"}));
    let claims = json!({
        "sub": "ada", "aud": "us", "channel": "$members:a", "exp": unix_seconds() + 1000,
    });
    for wire in WIRES {
        let mut session = Session::with_token(&push, wire, &ada);
        let request = |token: &str| json!({"channel": "$members:a", "token": token});
        session.expect_error("sub_refresh", &request(&key.token(&claims)), 103);
        let subscribed = session.result("subscribe", &request(&key.token(&claims)));
        assert_eq!(subscribed["expires"], true, "{subscribed}");
        assert!(subscribed["ttl"].as_u64() > Some(900), "{subscribed}");
        for (what, token, fault) in tokens(&claims) {
            let reply = session.call("sub_refresh", &request(&token));
            let case = format!("{wire:?} {what}");
            match fault {
                Fault::None => {
                    assert!(reply["sub_refresh"].is_object(), "{case}: {reply}");
                    assert_eq!(reply["sub_refresh"]["expires"], true, "{case}: {reply}");
                }
                Fault::Expired => {
                    expect_error(&reply, 109, &case);
                    // To an SDK the error alone would be the end: this makes it come back with a new token.
                    let told = session.push();
                    assert_eq!(told["unsubscribe"]["code"], 2501, "{case}: {told}");
                    session.result("subscribe", &request(&key.token(&claims)));
                }
                Fault::Invalid => expect_error(&reply, 103, &case),
            }
        }
        push.api().publish("$members:a", &json!("in"));
        session.expect_data("$members:a", &json!("in"));
    }
}

#[test]
fn who_shows_no_new_token_in_time_is_gone() {
    let push = start();
    let key = Key::secret(SECRET);
    for wire in WIRES {
        let soon = json!({"sub": "ada", "aud": "us", "exp": unix_seconds() + 2});
        let (mut session, connected) =
            Session::connected(&push, wire, &json!({"token": key.token(&soon)}));
        assert_eq!(connected["expires"], true, "{wire:?}: {connected}");
        assert!(
            (1..=2).contains(&connected["ttl"].as_u64().unwrap()),
            "{wire:?}: {connected}"
        );
        session.expect_closed(3005, "its time is over");
        // A subscription alone.
        let (mut session, _) = Session::connected(
            &push,
            wire,
            &json!({"token": key.token(&json!({"sub": "ada", "aud": "us"}))}),
        );
        let mut claims = json!({"sub": "ada", "aud": "us", "channel": "$members:soon"});
        claims["exp"] = json!(unix_seconds() + 2);
        let request = json!({"channel": "$members:soon", "token": key.token(&claims)});
        let subscribed = session.result("subscribe", &request);
        assert_eq!(subscribed["expires"], true, "{wire:?}: {subscribed}");
        let told = session.push();
        assert_eq!(told["channel"], "$members:soon", "{wire:?}: {told}");
        assert_eq!(told["unsubscribe"]["code"], 2501, "{wire:?}: {told}");
        push.api().publish("$members:soon", &json!("out"));
        session.expect_quiet("news after its end");
    }
}

/// Where a raw client puts its token.
const PLACES: [&str; 3] = ["query", "Authorization", "Cookie"];

/// The status that a raw client gets.
#[track_caller]
fn raw(push: &Push, channel: &str, place: &str, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let cookie = format!("a=b; who={token}");
    let (target, headers) = match place {
        "query" => (format!("/raw/{channel}?token={token}"), Vec::new()),
        "Cookie" => (format!("/raw/{channel}"), vec![("Cookie", cookie.as_str())]),
        _ => (
            format!("/raw/{channel}"),
            vec![("Authorization", bearer.as_str())],
        ),
    };
    let (_, head) = Client::ask(push.addr(), &target, &headers);
    head.status().unwrap()
}

#[test]
fn in_front_of_raw_a_token_that_is_not_to_be_believed_is_401() {
    let push = start();
    let key = Key::secret(SECRET);
    let short = |cases: Vec<(String, String, Fault)>| {
        cases.into_iter().filter(|(_, token, _)| token.len() < 4000)
    };
    let connection = json!({"sub": "ada", "aud": "us"});
    let subscription = json!({"sub": "ada", "aud": "us", "channel": "$members:a"});
    for (channel, claims) in [("members:a", &connection), ("$members:a", &subscription)] {
        for (what, token, fault) in short(tokens(claims)) {
            for place in PLACES {
                let status = raw(&push, channel, place, &token);
                let wanted = if fault == Fault::None { 101 } else { 401 };
                assert_eq!(status, wanted, "{channel} {place}: {what}");
            }
        }
    }
    for place in PLACES {
        // Believed, and not enough.
        let ada = key.token(&connection);
        assert_eq!(raw(&push, "$members:a", place, &ada), 403, "{place}");
        assert_eq!(raw(&push, "closed:a", place, &ada), 403, "{place}");
        let for_a = key.token(&subscription);
        assert_eq!(raw(&push, "$members:b", place, &for_a), 403, "{place}");
        assert_eq!(raw(&push, "nowhere:b", place, &ada), 404, "{place}");
    }
    // None: where nobody is enough, nobody gets in.
    for channel in ["members:a", "$members:a", "closed:a"] {
        let (_, head) = Client::ask(push.addr(), &format!("/raw/{channel}"), &[]);
        assert!(
            matches!(head.status(), Some(401 | 403)),
            "{channel}: {head:?}"
        );
    }
    let (_, head) = Client::ask(push.addr(), "/raw/open:a", &[]);
    assert_eq!(head.status(), Some(101));
}

#[test]
fn a_secret_verifies_nothing_that_is_signed_in_another_way() {
    let push = start();
    for key in [Key::rsa(), Key::ecdsa()] {
        let token = key.token(&json!({"sub": "ada", "aud": "us"}));
        for wire in WIRES {
            assert_eq!(
                connect(&push, wire, &token),
                Fares::Closed(3500),
                "{wire:?}"
            );
        }
    }
}
