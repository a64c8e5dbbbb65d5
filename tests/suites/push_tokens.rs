//! Tokens from end to end: `fanfare token` makes them, a daemon with the same [token] takes them, and each reason
//! why one is refused has its code.
//!
//! Never: verifies a token itself; keeps a private key in the tree.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a failed test and names its place"
)]

use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare_tests::client::Client;
use fanfare_tests::clock::unix_seconds;
use fanfare_tests::daemon::{ConfigFile, Daemon, fanfare, output_of};
use fanfare_tests::wire::Frame;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rustix::process::Signal;
use serde_json::{Value, json};

const SECRET: &str = "a-secret-of-32-bytes-or-somewhat-more";
const OTHER: &str = "another-secret-of-as-many-bytes-or-so";

/// `[token]` with a secret; `news` and the private `$news` may be subscribed to.
const HS: &str = r#"
[default_namespace]
allow_subscribe_for_client = true
[token]
algorithm = "HS256"
hmac_key = "a-secret-of-32-bytes-or-somewhat-more"
audience = "us"
issuer = "me"
"#;

fn output(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command: Command = fanfare();
    command
        .arg("token")
        .args(args)
        .envs(environment.iter().copied());
    output_of(command).unwrap()
}

/// What `fanfare token` prints.
#[track_caller]
fn token(args: &[&str]) -> String {
    let output = output(args, &[]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    assert_eq!(error, "", "{args:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let token = text.strip_suffix('\n').expect("a line");
    assert_eq!(token.split('.').count(), 3, "{token}");
    token.to_owned()
}

/// Header and payload.
fn parts(token: &str) -> [Value; 2] {
    let mut parts = token.split('.').map(|part| {
        let json = URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&json).unwrap_or_default()
    });
    [parts.next().unwrap(), parts.next().unwrap()]
}

/// The claims, but for the times, which must be about now and so far away.
#[track_caller]
fn claims(args: &[&str], expires_in: Option<u64>) -> Value {
    let before = unix_seconds();
    let token = token(args);
    let after = unix_seconds();
    let [_, mut payload] = parts(&token);
    let claims = payload.as_object_mut().unwrap();
    let issued_at = claims.remove("iat").unwrap().as_u64().unwrap();
    assert!((before..=after + 1).contains(&issued_at), "{issued_at}");
    let lifetime = claims
        .remove("exp")
        .map(|exp| exp.as_u64().unwrap() - issued_at);
    assert_eq!(lifetime, expires_in, "{args:?}");
    payload
}

#[test]
fn a_token_says_what_its_flags_say() {
    let key = ["--key", SECRET];
    for (args, expires_in, expected) in [
        (&[][..], Some(3600), json!({})),
        (&["--user", "ada"], Some(3600), json!({"sub": "ada"})),
        (&["--expires-in", "60"], Some(60), json!({})),
        (&["--expires-in", "0"], None, json!({})),
        (
            &["--info", r#"{"a": [1]}"#],
            Some(3600),
            json!({"info": {"a": [1]}}),
        ),
        (
            &["--channels", "a,b:c"],
            Some(3600),
            json!({"channels": ["a", "b:c"]}),
        ),
        (
            &["--user", "ada", "--channel", "$a"],
            Some(3600),
            json!({"sub": "ada", "channel": "$a"}),
        ),
        (
            &["--audience", "us", "--issuer", "me"],
            Some(3600),
            json!({"aud": "us", "iss": "me"}),
        ),
    ] {
        let args = [&key[..], args].concat();
        assert_eq!(claims(&args, expires_in), expected, "{args:?}");
    }
    let [header, _] = parts(&token(&[
        "--key",
        SECRET,
        "--key-id",
        "k",
        "--algorithm",
        "HS512",
    ]));
    assert_eq!(header, json!({"typ": "JWT", "alg": "HS512", "kid": "k"}));
}

#[test]
fn a_mistake_is_one_line_that_names_the_flag() {
    let config = ConfigFile::new(HS).unwrap();
    let rs =
        ConfigFile::new("token = { algorithm = 'RS256', jwks_url = 'https://a.test' }").unwrap();
    let two =
        format!("token = {{ algorithm = 'HS256', keys = {{ a = '{SECRET}', b = '{OTHER}' }} }}");
    let two = ConfigFile::new(&two).unwrap();
    let bad = ConfigFile::new("token.algorithm = 'none'").unwrap();
    let [config, rs, two, bad] =
        [&config, &rs, &two, &bad].map(|file| file.path().to_str().unwrap());
    for (args, named) in [
        (&[][..], "--key"),
        (
            &["--key", "do-not-tell"],
            "--key: must have at least 16 bytes",
        ),
        (
            &["--key-file", "/nowhere"],
            "--key-file: /nowhere: No such file",
        ),
        (&["--key", SECRET, "--key-file", "/x"], "--key"),
        (&["--key", SECRET, "--algorithm", "none"], "--algorithm"),
        (
            &["--key", SECRET, "--algorithm", "RS256"],
            "--key: want a private key in PEM",
        ),
        (&["--key", SECRET, "--info", "{"], "--info: not JSON"),
        (&["--key", SECRET, "--expires-in", "soon"], "--expires-in"),
        (&["--key", SECRET, "--expires-in", "-1"], "-1"),
        (&["--key", SECRET, "--channels", "a,,b"], "--channels"),
        (&["--key", SECRET, "--channel", ""], "--channel"),
        (
            &["--key", SECRET, "--channel", "a", "--channels", "b"],
            "--channel",
        ),
        (&["--key", SECRET, "--frob"], "--frob"),
        (&["--config", "/nowhere"], "/nowhere"),
        (&["--config", bad], "token.algorithm"),
        (&["--config", rs], "--key-file: is missing"),
        (&["--config", two], "--key-id: is missing"),
        (
            &["--config", two, "--key-id", "c"],
            "--key-id: [token.keys] has no \"c\"",
        ),
        (&["--config", config, "--key-id", "c"], "--key-id"),
    ] {
        let output = output(args, &[]);
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert!(
            line.starts_with("error: ") && line.contains(named),
            "{args:?}: {line}"
        );
        assert_eq!(line.lines().count(), 1, "{args:?}: {line}");
        assert!(
            !line.contains("do-not-tell") && output.stdout.is_empty(),
            "{line}"
        );
    }
}

#[test]
fn a_config_and_the_environment_say_how_tokens_are_signed() {
    let config = ConfigFile::new(HS).unwrap();
    let path = config.path().to_str().unwrap();
    let args = ["--config", path, "--user", "ada"];
    let expected = json!({"sub": "ada", "aud": "us", "iss": "me"});
    assert_eq!(claims(&args, Some(3600)), expected);
    let other = [&args[..], &["--audience", "them"]].concat();
    assert_eq!(claims(&other, Some(3600))["aud"], "them");
    let environment = [
        ("FANFARE_TOKEN__ALGORITHM", "HS384"),
        ("FANFARE_TOKEN__KEYS__K1", SECRET),
    ];
    let output = output(&[], &environment);
    let [header, _] = parts(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(header, json!({"typ": "JWT", "alg": "HS384", "kid": "k1"}));
}

/// Connects with a token, on the JSON wire.
fn connect(daemon: &Daemon, token: &str) -> Client {
    let mut client = Client::enter(daemon.addr(), "/connection/websocket", &[]).0;
    tell(&mut client, &json!({"id": 1, "connect": {"token": token}}));
    client
}

fn tell(client: &mut Client, command: &Value) {
    client.say(&Frame::text(command.to_string()));
}

/// The next reply; pings are passed over.
#[track_caller]
fn reply(client: &mut Client) -> Value {
    loop {
        let text = client.text();
        if text != "{}" {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

#[track_caller]
fn expect_taken(daemon: &Daemon, token: &str) {
    let reply = reply(&mut connect(daemon, token));
    assert!(reply["connect"]["client"].is_string(), "{reply}");
}

/// Signed by the CLI, with these flags and the right audience and issuer before them.
fn signed(args: &[&str]) -> String {
    let usual = ["--user", "ada", "--audience", "us", "--issuer", "me"];
    token(&[&usual[..], args].concat())
}

/// Signed by nobody, or by whom it says not.
fn forged(header: &Value, of: &str, signature: &str) -> String {
    let payload = of.split('.').nth(1).unwrap();
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    format!("{header}.{payload}.{signature}")
}

#[test]
fn what_the_cli_makes_with_a_config_the_daemon_takes_by_the_same() {
    let daemon = Daemon::serve(HS, &[]).unwrap();
    let config = ConfigFile::new(HS).unwrap();
    let path = config.path().to_str().unwrap();
    let args = ["--config", path, "--user", "ada", "--channels", "news"];
    let mut client = connect(&daemon, &token(&args));
    let result = reply(&mut client);
    assert!(result["connect"]["subs"]["news"].is_object(), "{result}");
    assert_eq!(result["connect"]["expires"], true, "{result}");
    let subscription = ["--config", path, "--user", "ada", "--channel", "$news"];
    let subscription = token(&subscription);
    tell(
        &mut client,
        &json!({"id": 2, "subscribe": {"channel": "$news", "token": subscription}}),
    );
    let result = reply(&mut client);
    assert!(result["subscribe"].is_object(), "{result}");
}

#[test]
fn a_connection_token_that_is_not_valid_is_closed_with_3500() {
    let daemon = Daemon::serve(HS, &[]).unwrap();
    let good = signed(&["--key", SECRET]);
    expect_taken(&daemon, &good);
    let signature = good.split('.').nth(2).unwrap();
    for (case, token) in [
        ("no token", "x".to_owned()),
        ("another secret", signed(&["--key", OTHER])),
        (
            "another audience",
            token(&["--key", SECRET, "--audience", "them", "--issuer", "me"]),
        ),
        ("no audience", token(&["--key", SECRET, "--issuer", "me"])),
        (
            "another issuer",
            token(&["--key", SECRET, "--audience", "us", "--issuer", "you"]),
        ),
        (
            "another HS",
            signed(&["--key", SECRET, "--algorithm", "HS512"]),
        ),
        (
            "a subscription's",
            signed(&["--key", SECRET, "--channel", "news"]),
        ),
        ("alg none", forged(&json!({"alg": "none"}), &good, "")),
        (
            "alg none, signed",
            forged(&json!({"alg": "none"}), &good, signature),
        ),
        (
            "a header that is not signed",
            forged(&json!({"alg": "HS256"}), &good, signature),
        ),
        ("giant", "a".repeat(20_000)),
    ] {
        let mut client = connect(&daemon, &token);
        eprintln!("{case}");
        client.expect_closed(3500, "invalid token");
    }
}

#[test]
fn a_token_that_has_expired_is_error_109_and_none_is_3501() {
    let daemon = Daemon::serve(HS, &[]).unwrap();
    let short = signed(&["--key", SECRET, "--expires-in", "1"]);
    let [_, claims] = parts(&short);
    let exp = claims["exp"].as_u64().unwrap();
    fanfare_tests::push::eventually("its time", || unix_seconds() > exp);
    let refused = reply(&mut connect(&daemon, &short));
    assert_eq!(refused["error"]["code"], 109, "{refused}");
    let mut client = Client::enter(daemon.addr(), "/connection/websocket", &[]).0;
    tell(&mut client, &json!({"id": 1, "connect": {}}));
    client.expect_closed(3501, "bad request");
}

#[test]
fn a_subscription_token_for_something_else_is_error_103() {
    let daemon = Daemon::serve(HS, &[]).unwrap();
    let mut client = connect(&daemon, &signed(&["--key", SECRET]));
    reply(&mut client);
    let others = ["--user", "bob", "--audience", "us", "--issuer", "me"];
    for (case, token) in [
        (
            "another channel",
            signed(&["--key", SECRET, "--channel", "$other"]),
        ),
        (
            "another user",
            token(&[&others[..], &["--key", SECRET, "--channel", "$news"]].concat()),
        ),
        ("a connection's", signed(&["--key", SECRET])),
        (
            "another secret",
            signed(&["--key", OTHER, "--channel", "$news"]),
        ),
        ("none", String::new()),
    ] {
        let command = json!({"id": 2, "subscribe": {"channel": "$news", "token": token}});
        tell(&mut client, &command);
        let refused = reply(&mut client);
        assert_eq!(refused["error"]["code"], 103, "{case}: {refused}");
    }
}

#[test]
fn keys_are_found_by_id_and_a_public_key_is_no_secret() {
    let [a, b] = [(); 2].map(|()| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let [a, b, rsa] = [&a, &b, &rsa].map(|pair| {
        let files = [pair.public_key_pem(), pair.serialize_pem()];
        files.map(|pem| ConfigFile::new(&pem).unwrap())
    });
    let path = |file: &ConfigFile| file.path().to_str().unwrap().to_owned();
    let es = |id: &[&str], pair: &[ConfigFile; 2]| {
        let key = path(&pair[1]);
        token(&[&["--algorithm", "ES256", "--key-file", &key], id].concat())
    };
    let config = format!(
        "[token]\nalgorithm = 'ES256'\n[token.keys]\na = '{}'\nb = '{}'",
        path(&a[0]),
        path(&b[0])
    );
    let daemon = Daemon::serve(&config, &[]).unwrap();
    expect_taken(&daemon, &es(&["--key-id", "a"], &a));
    expect_taken(&daemon, &es(&["--key-id", "b"], &b));
    for token in [
        es(&["--key-id", "a"], &b),
        es(&["--key-id", "c"], &a),
        es(&[], &a),
        token(&["--key", SECRET, "--key-id", "a"]),
    ] {
        connect(&daemon, &token).expect_closed(3500, "invalid token");
    }
    // A reload takes a key away, and the other is alone.
    let alone = format!(
        "[token]\nalgorithm = 'ES256'\n[token.keys]\na = '{}'",
        path(&a[0])
    );
    daemon.rewrite_config(&alone).unwrap();
    let log = daemon.log();
    let lines = log.len();
    daemon.signal(Signal::HUP).unwrap();
    let _ = log.wait_for("the keys", lines, |line| {
        line.contains("tokens: 1 key for ES256")
    });
    expect_taken(&daemon, &es(&[], &a));
    connect(&daemon, &es(&["--key-id", "b"], &b)).expect_closed(3500, "invalid token");

    let config = format!(
        "token = {{ algorithm = 'RS256', public_key_file = '{}' }}",
        path(&rsa[0])
    );
    let daemon = Daemon::serve(&config, &[]).unwrap();
    let key = path(&rsa[1]);
    let good = token(&["--algorithm", "RS256", "--key-file", &key]);
    expect_taken(&daemon, &good);
    let pss = token(&["--algorithm", "PS256", "--key-file", &key]);
    // RFC 8725 §2.1: the attacker knows the public key, and hopes that it is taken for a secret.
    let public = std::fs::read(rsa[0].path()).unwrap();
    let swapped = ["HS256", "RS256"].map(|alg| {
        let unsigned = forged(&json!({"alg": alg}), &good, "");
        let message = unsigned.trim_end_matches('.');
        let key = jsonwebtoken::EncodingKey::from_secret(&public);
        let hs256 = jsonwebtoken::Algorithm::HS256;
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, hs256).unwrap();
        format!("{unsigned}{signature}")
    });
    for token in [&swapped[..], &[pss, token(&["--key", SECRET])]].concat() {
        connect(&daemon, &token).expect_closed(3500, "invalid token");
    }
}
