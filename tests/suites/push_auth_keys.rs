//! Public keys: of one issuer in a file, and JWK sets in a file and at a URL, with rotation, and while they can't be
//! had.
//!
//! Never: waits for a time to pass; it asks until it holds.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::sync::{Arc, Mutex};

use fanfare_tests::backend::{Answer, Backend};
use fanfare_tests::client::Client;
use fanfare_tests::daemon::ConfigFile;
use fanfare_tests::jwt::{Key, unsigned};
use fanfare_tests::push::{Push, eventually};
use fanfare_tests::session::{Came, Session, WIRES, Wire, expect_error};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The code of the refusal; 0 if there is none.
#[track_caller]
fn refusal(push: &Push, wire: Wire, token: &str) -> u64 {
    let mut session = Session::open(push.addr(), wire);
    session.send("connect", &json!({"token": token}));
    match session.came() {
        Came::Reply(_, reply) => reply["error"]["code"].as_u64().unwrap_or(0),
        Came::Closed(code, _) => code.into(),
        other => panic!("{other:?}"),
    }
}

/// The status that a raw client gets.
#[track_caller]
fn raw(push: &Push, channel: &str, place: &str, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let (query, headers) = match place {
        "query" => (format!("?token={token}"), Vec::new()),
        _ => (String::new(), vec![(place, bearer.as_str())]),
    };
    let target = format!("/raw/{channel}{query}");
    Client::ask(push.addr(), &target, &headers)
        .1
        .status()
        .unwrap()
}

/// `[token]` for keys in a file.
fn with_public_key(key: &Key) -> (Push, ConfigFile) {
    let file = ConfigFile::new(&key.pem()).unwrap();
    let path = file.path().display();
    let config = format!(
        "[token]\nalgorithm = \"{}\"\npublic_key_file = \"{path}\"\n",
        key.algorithm()
    );
    (Push::start("workers = 2", &config), file)
}

#[test]
fn a_public_key_verifies_what_its_private_half_signed_and_is_no_secret() {
    for (key, stranger) in [(Key::rsa(), Key::rsa()), (Key::ecdsa(), Key::ecdsa())] {
        let (push, _file) = with_public_key(&key);
        let algorithm = key.algorithm();
        let claims = json!({"sub": "ada"});
        let pem = key.pem();
        let mut forgeries = vec![
            ("another key's", stranger.token(&claims)),
            (
                "unsigned",
                format!("{}.", unsigned(&json!({"alg": "none"}), &claims)),
            ),
        ];
        // The public key, in each form that a library may take it for a secret.
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        for secret in [pem.as_str(), pem.trim_end(), &body] {
            let secret = Key::secret(secret);
            forgeries.push(("the public key as a secret", secret.token(&claims)));
            let header = json!({"alg": algorithm, "typ": "JWT"});
            forgeries.push(("the same, denied", secret.signed(&header, &claims)));
        }
        for other in [Key::rsa(), Key::ecdsa()] {
            forgeries.push(("another algorithm", other.token(&claims)));
        }
        // With its own key inside it.
        let header = json!({"alg": algorithm, "jwk": stranger.jwk("x"), "kid": "x"});
        forgeries.push(("its own key inside", stranger.signed(&header, &claims)));
        for wire in WIRES {
            assert_eq!(refusal(&push, wire, &key.token(&claims)), 0, "{algorithm}");
            let expired = key.token(&json!({"sub": "ada", "exp": 1}));
            assert_eq!(refusal(&push, wire, &expired), 109, "{algorithm}");
            for (what, token) in &forgeries {
                let code = refusal(&push, wire, token);
                assert_eq!(code, 3500, "{algorithm} {wire:?}: {what}");
            }
            // Through the verifying threads in many ways at once.
            let mut session = Session::with_token(&push, wire, &key.token(&claims));
            for (n, of) in [&key, &stranger].into_iter().cycle().take(20).enumerate() {
                let channel = format!("$open:{n}");
                let token = of.token(&json!({"sub": "ada", "channel": channel}));
                let reply = session.call("subscribe", &json!({"channel": channel, "token": token}));
                if n % 2 == 0 {
                    assert!(
                        reply["subscribe"].is_object(),
                        "{algorithm} {channel}: {reply}"
                    );
                } else {
                    expect_error(&reply, 103, &channel);
                }
            }
        }
        for place in ["query", "Authorization"] {
            assert_eq!(
                raw(&push, "open:a", place, &key.token(&claims)),
                101,
                "{algorithm}"
            );
            for (what, token) in &forgeries {
                assert_eq!(
                    raw(&push, "open:a", place, token),
                    401,
                    "{algorithm} {place}: {what}"
                );
            }
        }
    }
}

fn set(keys: &[Value]) -> Value {
    json!({"keys": keys})
}

fn claims() -> Value {
    json!({"sub": "ada"})
}

#[test]
fn keys_of_a_file_go_and_come_with_sighup() {
    let [first, second] = [Key::ecdsa(), Key::ecdsa()];
    let file = ConfigFile::new(&set(&[first.jwk("one")]).to_string()).unwrap();
    let path = file.path().display();
    let config = format!("[token]\nalgorithm = \"ES256\"\njwks_file = \"{path}\"\n");
    let push = Push::start("workers = 2", &config);
    let by_first = first.token_by("one", &claims());
    let by_second = second.token_by("two", &claims());
    for wire in WIRES {
        assert_eq!(refusal(&push, wire, &by_first), 0);
        assert_eq!(refusal(&push, wire, &by_second), 3500);
        // Another's name does not help.
        let named = second.token_by("one", &claims());
        assert_eq!(refusal(&push, wire, &named), 3500);
    }
    let rsa = Key::rsa();
    let new = set(&[second.jwk("two"), rsa.jwk("three")]);
    std::fs::write(file.path(), new.to_string()).unwrap();
    push.daemon().signal(Signal::HUP).unwrap();
    eventually("the new key is there", || {
        refusal(&push, Wire::Json, &by_second) == 0
    });
    for wire in WIRES {
        assert_eq!(refusal(&push, wire, &by_first), 3500, "its key has gone");
        let other = rsa.token_by("three", &claims());
        assert_eq!(refusal(&push, wire, &other), 3500, "RS is not ES");
    }
    // A file that is no set any more changes nothing.
    std::fs::write(file.path(), "{").unwrap();
    let before = push.daemon().log().len();
    push.daemon().signal(Signal::HUP).unwrap();
    let _ = push
        .daemon()
        .log()
        .wait_for("a complaint", before, |line| line.contains("jwks_file"));
    assert_eq!(refusal(&push, Wire::Json, &by_second), 0);
}

/// An issuer whose answer can be changed, and a server that asks it.
fn with_issuer(answer: Answer, refresh: &str) -> (Push, Backend, Arc<Mutex<Answer>>) {
    let answer = Arc::new(Mutex::new(answer));
    let now = answer.clone();
    let issuer = Backend::start(move |_| now.lock().unwrap().clone());
    let config = format!(
        "[token]\nalgorithm = \"RS256\"\njwks_url = \"{}\"\njwks_refresh_interval = {refresh}\n",
        issuer.url("/jwks.json")
    );
    (Push::start("workers = 2", &config), issuer, answer)
}

/// Asks again for as long as it is put off; the code in the end.
#[track_caller]
fn settled(push: &Push, wire: Wire, token: &str) -> u64 {
    let mut code = 100;
    eventually("an answer that is final", || {
        code = refusal(push, wire, token);
        code != 100
    });
    code
}

#[test]
fn a_key_that_is_not_known_is_fetched_once() {
    let [first, second, stranger] = [Key::rsa(), Key::rsa(), Key::rsa()];
    let (push, issuer, answer) = with_issuer(Answer::Json(set(&[first.jwk("one")])), "1000");
    let by_first = first.token_by("one", &claims());
    let by_second = second.token_by("two", &claims());
    assert_eq!(settled(&push, Wire::Json, &by_first), 0);
    let before = issuer.asked("/jwks.json").len();
    for n in 0..20 {
        assert_eq!(refusal(&push, WIRES[n % 2], &by_first), 0);
    }
    assert_eq!(
        issuer.asked("/jwks.json").len(),
        before,
        "nothing new was named"
    );
    // The issuer rotates.
    *answer.lock().unwrap() = Answer::Json(set(&[first.jwk("one"), second.jwk("two")]));
    assert_eq!(settled(&push, Wire::Protobuf, &by_second), 0);
    assert_eq!(refusal(&push, Wire::Json, &by_first), 0);
    let after = issuer.asked("/jwks.json").len();
    assert!(
        after <= before + 2,
        "{} fetches for one key",
        after - before
    );
    // Names that nobody has heard of do not make it ask for each.
    for n in 0..200 {
        let unknown = stranger.token_by(&format!("x{n}"), &claims());
        let code = refusal(&push, WIRES[n % 2], &unknown);
        assert!([100, 3500].contains(&code), "{code}");
        assert_eq!(
            refusal(&push, WIRES[n % 2], &by_second),
            0,
            "others are unmoved"
        );
    }
    let flood = issuer.asked("/jwks.json").len() - after;
    assert!(flood <= 20, "{flood} fetches for 200 names that nobody has");
    assert_eq!(
        refusal(&push, Wire::Json, &stranger.token_by("two", &claims())),
        3500
    );
}

#[test]
fn while_the_issuer_cannot_be_asked_clients_are_put_off() {
    let key = Key::rsa();
    let token = key.token_by("one", &claims());
    let garbage = Answer::Full(200, Vec::new(), b"<html>".to_vec());
    for bad in [
        Answer::status(500),
        garbage,
        Answer::End,
        Answer::Silence,
        Answer::Json(json!(1)),
    ] {
        let case = format!("{bad:?}");
        let (push, _issuer, answer) = with_issuer(bad, "1");
        for wire in WIRES {
            assert_eq!(refusal(&push, wire, &token), 100, "{case}");
        }
        *answer.lock().unwrap() = Answer::Json(set(&[key.jwk("one")]));
        assert_eq!(settled(&push, Wire::Json, &token), 0, "{case}");
        // What is known stays known while it is away again.
        *answer.lock().unwrap() = Answer::status(503);
        for wire in WIRES {
            assert_eq!(refusal(&push, wire, &token), 0, "{case}");
        }
    }
}

#[test]
fn a_key_that_the_issuer_has_withdrawn_ends_with_its_time() {
    let [first, second] = [Key::rsa(), Key::rsa()];
    let (push, _issuer, answer) = with_issuer(Answer::Json(set(&[first.jwk("one")])), "1");
    let by_first = first.token_by("one", &claims());
    assert_eq!(settled(&push, Wire::Json, &by_first), 0);
    *answer.lock().unwrap() = Answer::Json(set(&[second.jwk("two")]));
    eventually("the old key is refused", || {
        let code = refusal(&push, Wire::Json, &by_first);
        assert!([0, 100, 3500].contains(&code), "{code}");
        code == 3500
    });
    assert_eq!(
        settled(&push, Wire::Json, &second.token_by("two", &claims())),
        0
    );
}
