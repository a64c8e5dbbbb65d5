//! [token]: keys from everywhere, and what is refused by its key.
//!
//! Never: verifies a token; whether keys are good is shown where they are used.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use super::*;

const SECRET: &str = "do-not-tell-anybody-this-one-here";

/// Public and private key on P-256, in PEM.
fn pair() -> [String; 2] {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    [pair.public_key_pem(), pair.serialize_pem()]
}

/// The keys that there are, in words.
#[track_caller]
fn keys(text: &str) -> String {
    let config = read(text).unwrap();
    config.live.tokens.expect("tokens").keys.to_string()
}

fn path(file: &TempFile) -> String {
    file.0.display().to_string()
}

#[test]
fn there_are_no_tokens_without_an_algorithm() {
    for text in [
        "",
        "[token]",
        "token.leeway = 5",
        "token.jwks_refresh_interval = 5",
    ] {
        assert!(read(text).unwrap().live.tokens.is_none(), "{text}");
    }
}

#[test]
fn keys_come_from_the_config_from_files_and_from_a_url() {
    let [public, _] = pair();
    let public = TempFile::new(&public);
    let secret = TempFile::new(SECRET);
    let set =
        TempFile::new(r#"{"keys":[{"kty":"oct","kid":"k","k":"YS1zZWNyZXQtb2YtMTYtYnl0ZXM"},{}]}"#);
    let [public, secret, set] = [&public, &secret, &set].map(path);
    for (text, found) in [
        (
            format!("algorithm = 'HS256'\nhmac_key = '{SECRET}'"),
            "1 key for HS256",
        ),
        (
            format!("algorithm = 'HS512'\nhmac_key_file = '{secret}'"),
            "1 key for HS512",
        ),
        (
            format!("algorithm = ['ES256']\npublic_key_file = '{public}'"),
            "1 key for ES256",
        ),
        (
            format!("algorithm = ['HS256', 'HS384']\nhmac_key = '{SECRET}'\nkeys.a = '{SECRET}'"),
            "2 keys for HS256, HS384",
        ),
        (
            format!("algorithm = 'ES256'\nkeys = {{ a = '{public}', b = '{public}' }}"),
            "2 keys for ES256",
        ),
        (
            format!("algorithm = 'HS256'\njwks_file = '{set}'"),
            "1 key for HS256",
        ),
        (
            "algorithm = 'RS256'\njwks_url = 'https://a.test/jwks'".into(),
            "0 keys for RS256",
        ),
    ] {
        assert_eq!(keys(&format!("[token]\n{text}")), found, "{text}");
    }
    let config = read(
        "token = { algorithm = 'RS256', jwks_url = 'http://a.test', audience = 'us', issuer = 'me', leeway = 1.5 }",
    );
    let tokens = config.unwrap().live.tokens.unwrap();
    assert_eq!(tokens.demands.audience.as_deref(), Some("us"));
    assert_eq!(tokens.demands.issuer.as_deref(), Some("me"));
    assert_eq!(tokens.demands.leeway, Duration::from_millis(1500));
    let jwks = tokens.jwks.as_ref().unwrap();
    assert_eq!(
        (jwks.url.as_str(), jwks.refresh_interval.as_secs()),
        ("http://a.test", 600)
    );
}

#[test]
fn what_is_wrong_with_tokens_is_named_by_its_key() {
    let [public, private] = pair();
    let public = TempFile::new(&public);
    let private = TempFile::new(&private);
    let giant = TempFile::new(&" ".repeat((1 << 20) + 1));
    let [public, private, giant] = [&public, &private, &giant].map(path);
    let hs = format!("algorithm = 'HS256'\nhmac_key = '{SECRET}'\n");
    let es = format!("algorithm = 'ES256'\npublic_key_file = '{public}'\n");
    for (text, begins) in [
        (
            "algorithm = 'none'".into(),
            "algorithm: want one of HS256, HS384, ",
        ),
        ("algorithm = 'hs256'".into(), "algorithm: want one of HS256"),
        ("algorithm = []".into(), "algorithm: want one of HS256"),
        (
            "algorithm = 5".into(),
            "algorithm: want a string or a list of strings, not 5",
        ),
        (
            format!("algorithm = ['HS256', 'RS256']\nhmac_key = '{SECRET}'"),
            "algorithm: want algorithms of one kind",
        ),
        (
            "algorithm = 'HS256'".into(),
            "algorithm: HS256 needs a key: hmac_key, ",
        ),
        (
            "algorithm = 'RS256'".into(),
            "algorithm: RS256 needs a key: public_key_file, ",
        ),
        (
            format!("hmac_key = '{SECRET}'"),
            "hmac_key: needs token.algorithm",
        ),
        ("audience = 'us'".into(), "audience: needs token.algorithm"),
        (
            "algorithm = 'HS256'\nhmac_key = 'do-not-tell'".into(),
            "hmac_key: must have at least 16 bytes",
        ),
        (
            format!("{hs}keys.a = 'do-not-tell'"),
            "keys.a: must have at least 16 bytes",
        ),
        (
            format!("{hs}hmac_key_file = '/x'"),
            "hmac_key_file: there is token.hmac_key already",
        ),
        (
            format!("{hs}public_key_file = '{public}'"),
            "public_key_file: is not for HS",
        ),
        (
            format!("{es}hmac_key = '{SECRET}'"),
            "hmac_key: is for HS algorithms alone",
        ),
        (
            format!("{es}hmac_key_file = '/x'"),
            "hmac_key_file: is for HS algorithms alone",
        ),
        (
            format!("algorithm = 'HS256'\nhmac_key_file = '{private}'"),
            "hmac_key_file: want a secret, not a key in PEM",
        ),
        (
            format!("algorithm = 'ES256'\npublic_key_file = '{private}'"),
            "public_key_file: want a public key in PEM",
        ),
        (
            format!("algorithm = 'RS256'\npublic_key_file = '{public}'"),
            "public_key_file: not a key of the algorithm's kind",
        ),
        (
            format!("algorithm = 'ES384'\npublic_key_file = '{public}'"),
            "public_key_file: not on the algorithm's curve",
        ),
        (
            "algorithm = 'ES256'\npublic_key_file = '/nowhere'".into(),
            "public_key_file: /nowhere: No such file",
        ),
        (
            format!("algorithm = 'ES256'\npublic_key_file = '{giant}'"),
            "public_key_file: GIANT: too long for a key",
        ),
        (
            format!("{es}keys.a = '/nowhere'"),
            "keys.a: /nowhere: No such file",
        ),
        (
            format!("{es}jwks_file = '{public}'"),
            "jwks_file: PUBLIC: not a JWK set",
        ),
        (
            format!("{es}jwks_url = 'ftp://a.test'"),
            "jwks_url: want https://host/path",
        ),
        (
            format!("{es}jwks_url = '/jwks'"),
            "jwks_url: want https://host/path",
        ),
        (
            format!("{es}jwks_url = 'https://u:p@a.test/'"),
            "jwks_url: want https://host/path",
        ),
        (
            format!("{es}jwks_refresh_interval = 0"),
            "jwks_refresh_interval: must be at least 1",
        ),
        (format!("{es}leeway = -1"), "leeway: want seconds"),
        (format!("{es}audience = ''"), "audience: must not be empty"),
        (format!("{es}issuer = ''"), "issuer: must not be empty"),
        (
            format!("{es}hmac = 'x'"),
            "hmac: no such key; there are algorithm, hmac_key, ",
        ),
        ("hmac_key = 12345678".into(), "hmac_key: want a string"),
        ("keys = 'do-not-tell'".into(), "keys: want a table"),
        ("keys.a = 12345678".into(), "keys.a: want a string"),
    ] {
        let line = read(&format!("[token]\n{text}")).unwrap_err();
        let short = line.replace(&giant, "GIANT").replace(&public, "PUBLIC");
        let expected = format!("FILE: token.{begins}");
        assert!(short.starts_with(&expected), "{text}: {short}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(
            !line.contains("do-not-tell") && !line.contains("12345678"),
            "{line}"
        );
    }
    let line = read("token = 'do-not-tell'").unwrap_err();
    assert_eq!(line, "FILE: token: want a table");
    let variable = [("FANFARE_TOKEN__ALGORITHM", "RS1")];
    let line = from_environment(&variable).unwrap_err();
    assert!(
        line.starts_with("FANFARE_TOKEN__ALGORITHM: token.algorithm: want one of"),
        "{line}"
    );
}

#[test]
fn a_newline_at_the_end_of_a_secret_is_no_part_of_it() {
    for (content, is_long_enough) in [
        ("sixteen-bytes---", true),
        ("fifteen-bytes--\n", false),
        ("fifteen-bytes--\r\n", false),
        ("sixteen-bytes---\r\n", true),
        ("fifteen-bytes--\n\n", true),
    ] {
        let file = TempFile::new(content);
        let text = format!(
            "token = {{ algorithm = 'HS256', hmac_key_file = '{}' }}",
            path(&file)
        );
        assert_eq!(read(&text).is_ok(), is_long_enough, "{content:?}");
    }
}

#[test]
fn what_others_could_make_or_use_is_doubted() {
    for (text, doubts) in [
        (
            "algorithm = 'HS256'\nhmac_key = 'thirty-two-bytes-are-not-short--'",
            &[][..],
        ),
        (
            "algorithm = 'HS256'\nhmac_key = 'sixteen-bytes---'",
            &["token.hmac_key is short: HS256 wants 32"],
        ),
        (
            "algorithm = 'HS512'\nhmac_key = 'thirty-two-bytes-are-not-short--'\nkeys.a = 'sixteen-bytes---'",
            &[
                "token.hmac_key is short: HS512 wants 64",
                "token.keys.a is short",
            ],
        ),
        (
            "algorithm = 'RS256'\njwks_url = 'http://a.test/'\naudience = 'us'",
            &["token.jwks_url: whoever is on the way to http://a.test/"],
        ),
        (
            "algorithm = 'RS256'\njwks_url = 'http://[::1]:80/'\naudience = 'us'",
            &[],
        ),
        (
            "algorithm = 'RS256'\njwks_url = 'http://localhost/'\naudience = 'us'",
            &[],
        ),
        (
            "algorithm = 'RS256'\njwks_url = 'https://a.test/'",
            &["token.audience is not set"],
        ),
    ] {
        let config = read(&format!("[token]\n{text}")).unwrap();
        let found = config.exposure.doubts();
        assert_eq!(found.len(), doubts.len(), "{text}: {found:?}");
        for (found, begins) in found.iter().zip(doubts) {
            assert!(found.starts_with(begins), "{text}: {found}");
        }
    }
    let config = read("token = { algorithm = ['RS256', 'PS256'], jwks_url = 'https://a.test' }");
    let summary = config.unwrap().to_string();
    assert!(
        summary.ends_with("; tokens signed with RS256, PS256"),
        "{summary}"
    );
}

#[test]
fn a_reload_reads_the_files_of_keys_anew() {
    let [a, _] = pair();
    let key = TempFile::new(&a);
    let text = format!(
        "token = {{ algorithm = 'ES256', public_key_file = '{}' }}",
        path(&key)
    );
    let file = TempFile::new(&text);
    let sources = sources(Some(&file), &[], false);
    let ServeConfig { live, running, .. } = sources.read().unwrap();
    let live: SharedLive = Arc::new(ArcSwap::from_pointee(live));
    let tokens = || live.load().tokens.clone();
    let before = tokens().unwrap();
    key.write("no key");
    reload(&sources, &running, &live);
    assert!(
        Arc::ptr_eq(&tokens().unwrap(), &before),
        "they stay as they were"
    );
    key.write(&pair()[0]);
    reload(&sources, &running, &live);
    assert!(!Arc::ptr_eq(&tokens().unwrap(), &before));
    file.write("");
    reload(&sources, &running, &live);
    assert!(tokens().is_none());
}

#[test]
fn secrets_of_tokens_are_not_printed() {
    let text =
        format!("token = {{ algorithm = 'HS256', hmac_key = '{SECRET}', keys.a = '{SECRET}' }}");
    let file = TempFile::new(&text);
    let environment = [("FANFARE_TOKEN__KEYS__B", SECRET)];
    let sources = sources(Some(&file), &environment, false);
    let config = sources.read().unwrap();
    let printed = format!(
        "{sources:?} {config:?} {config} {:?}",
        config.exposure.doubts()
    );
    assert!(!printed.contains("do-not-tell"), "{printed}");
}
