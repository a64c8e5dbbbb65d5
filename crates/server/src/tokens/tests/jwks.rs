//! Keys that come and go at an issuer's URL.
//!
//! Never: leaves the loopback.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use serde_json::json;

use super::super::fetch;
use super::issuer::{IssuerServer, ok};
use super::*;
use crate::config::JwksUrl;
use crate::limits::KEY_FILE_BYTES_MAX;

const PAUSE: Duration = Duration::from_millis(20);

/// A set of public keys on P-256.
fn set(keys: &[(&str, &KeyPair)]) -> String {
    let keys = keys.iter().map(|(id, pair)| {
        let (x, y) = pair.public_key_raw()[1..].split_at(32);
        let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
        json!({"kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y})
    });
    json!({"keys": keys.collect::<Vec<_>>()}).to_string()
}

fn settings_of(url: String, refresh_interval: Duration) -> Option<Arc<TokenSettings>> {
    let mut keys = Keys::new(Algorithm::Es256.into());
    keys.expect_more();
    Some(Arc::new(TokenSettings {
        keys,
        demands: Demands::default(),
        jwks: Some(JwksUrl {
            url,
            refresh_interval,
        }),
    }))
}

/// Fetches as often as it is asked to, and never by itself.
fn following(server: &IssuerServer) -> Tokens {
    let tokens = Tokens::new(PAUSE);
    let never = Duration::from_secs(3600);
    let settings = settings_of(server.url("http"), never);
    tokens.apply(settings).expect("threads");
    tokens
}

fn signed(pair: &KeyPair, id: &str) -> String {
    token(
        Algorithm::Es256,
        pair.serialize_pem().as_bytes(),
        Some(id),
        "ada",
    )
}

fn verify(tokens: &Tokens, token: &str) -> Result<String, TokenError> {
    let worker = Worker::new();
    let asked = tokens.verify(CONNECTION, token.to_owned(), NOW, worker.address(0));
    assert_eq!(asked, Ok(()));
    let (_, verdict) = worker.findings(1).remove(0);
    verdict
}

/// Asks again while it is put off, as a client does.
#[track_caller]
fn verdict(tokens: &Tokens, token: &str) -> Result<String, TokenError> {
    let ask = || match verify(tokens, token) {
        Err(TokenError::Unavailable) => None,
        verdict => Some(verdict),
    };
    until(ask, "a verdict")
}

#[test]
fn keys_of_a_url_are_fetched_at_the_start() {
    let pair = ec();
    let server = IssuerServer::start(ok(&set(&[("a", &pair)])), None);
    let tokens = following(&server);
    assert_eq!(verdict(&tokens, &signed(&pair, "a")), Ok("ada".into()));
    assert_eq!(server.asked(), 1);
}

#[test]
fn while_the_issuer_is_away_tokens_are_put_off() {
    let pair = ec();
    let server = IssuerServer::start("HTTP/1.1 503 Away\r\n\r\n".into(), None);
    let tokens = following(&server);
    until(|| (server.asked() > 0).then_some(()), "a request");
    for _ in 0..3 {
        assert_eq!(
            verify(&tokens, &signed(&pair, "a")),
            Err(TokenError::Unavailable)
        );
    }
    // And what no key could make good is refused all the same.
    assert_eq!(verify(&tokens, "e30.e30.e30"), Err(TokenError::Invalid));
    let hs = token(Algorithm::Hs256, SECRET, Some("a"), "ada");
    assert_eq!(verify(&tokens, &hs), Err(TokenError::Invalid));
    server.answer(ok(&set(&[("a", &pair)])));
    assert_eq!(verdict(&tokens, &signed(&pair, "a")), Ok("ada".into()));
}

#[test]
fn a_key_that_is_new_is_fetched_when_a_token_names_it() {
    let (old, new) = (ec(), ec());
    let server = IssuerServer::start(ok(&set(&[("old", &old)])), None);
    let tokens = following(&server);
    assert_eq!(verdict(&tokens, &signed(&old, "old")), Ok("ada".into()));
    server.answer(ok(&set(&[("new", &new)])));
    assert_eq!(
        verify(&tokens, &signed(&new, "new")),
        Err(TokenError::Unavailable)
    );
    assert_eq!(verdict(&tokens, &signed(&new, "new")), Ok("ada".into()));
    assert_eq!(
        verdict(&tokens, &signed(&old, "old")),
        Err(TokenError::Invalid),
        "revoked"
    );
}

#[test]
fn a_key_that_a_fetch_does_not_bring_is_refused() {
    let pair = ec();
    let server = IssuerServer::start(ok(&set(&[("a", &pair)])), None);
    let tokens = following(&server);
    assert_eq!(verdict(&tokens, &signed(&pair, "a")), Ok("ada".into()));
    let unknown = signed(&pair, "unknown");
    assert_eq!(verify(&tokens, &unknown), Err(TokenError::Unavailable));
    assert_eq!(verdict(&tokens, &unknown), Err(TokenError::Invalid));
    let asked = server.asked();
    for _ in 0..20 {
        assert_eq!(verify(&tokens, &unknown), Err(TokenError::Invalid));
        thread::sleep(PAUSE);
    }
    // One may have been under way, and one have been asked for meanwhile.
    assert!(server.asked() <= asked + 2, "it is asked for again");
}

#[test]
fn a_key_that_comes_while_its_token_is_looked_at_is_found() {
    let pair = ec();
    let server = IssuerServer::start("HTTP/1.1 503 Away\r\n\r\n".into(), None);
    let tokens = following(&server);
    let bench = &tokens.0.bench;
    let stale = bench.standing();
    let token = signed(&pair, "a");
    server.answer(ok(&set(&[("a", &pair)])));
    let ask = || match bench.verdict(stale.as_ref(), CONNECTION, &token, NOW) {
        Err(TokenError::Unavailable) => None,
        verdict => Some(verdict.map(|claims| claims.user)),
    };
    assert_eq!(until(ask, "a verdict"), Ok("ada".into()));
}

#[test]
fn names_that_are_made_up_cause_one_fetch_a_pause() {
    let pair = ec();
    let server = IssuerServer::start(ok(&set(&[("a", &pair)])), None);
    let tokens = Tokens::new(Duration::from_secs(3600));
    let settings = settings_of(server.url("http"), Duration::from_secs(7200));
    tokens.apply(settings).expect("threads");
    let good = signed(&pair, "a");
    assert_eq!(verdict(&tokens, &good), Ok("ada".into()));
    for number in 0..2000 {
        let unknown = format!(
            "{}.e30.e30",
            URL_SAFE_NO_PAD.encode(json!({"alg": "ES256", "kid": number.to_string()}).to_string(),)
        );
        assert_eq!(verify(&tokens, &unknown), Err(TokenError::Unavailable));
    }
    assert_eq!(server.asked(), 1, "the pause is not over");
    assert_eq!(verify(&tokens, &good), Ok("ada".into()));
}

#[test]
fn a_fetch_that_fails_keeps_the_keys() {
    let pair = ec();
    let server = IssuerServer::start(ok(&set(&[("a", &pair)])), None);
    let tokens = following(&server);
    assert_eq!(verdict(&tokens, &signed(&pair, "a")), Ok("ada".into()));
    let giant = format!(
        "{{\"keys\":[],\"x\":\"{}\"}}",
        "x".repeat(KEY_FILE_BYTES_MAX)
    );
    for answer in [
        "HTTP/1.1 500 Broken\r\n\r\n".to_owned(),
        ok("<html>"),
        ok(r#"{"keys":[]}"#),
        ok(&giant),
        String::new(),
    ] {
        server.answer(answer.clone());
        let asked = server.asked();
        assert_eq!(
            verify(&tokens, &signed(&pair, "b")),
            Err(TokenError::Unavailable)
        );
        // The second request says that the first one's answer was looked at.
        until(
            || {
                let _ = verify(&tokens, &signed(&pair, "b"));
                (server.asked() > asked + 1).then_some(())
            },
            "two requests",
        );
        let shown = &answer[..answer.len().min(60)];
        assert_eq!(
            verify(&tokens, &signed(&pair, "a")),
            Ok("ada".into()),
            "{shown}"
        );
    }
}

#[test]
fn a_set_is_fetched_every_interval() {
    let (old, new) = (ec(), ec());
    let server = IssuerServer::start(ok(&set(&[("a", &old)])), None);
    let tokens = Tokens::new(PAUSE);
    tokens
        .apply(settings_of(server.url("http"), PAUSE * 2))
        .expect("threads");
    assert_eq!(verdict(&tokens, &signed(&old, "a")), Ok("ada".into()));
    // Under the same name: no token tells that there is another.
    server.answer(ok(&set(&[("a", &new)])));
    let changed = || verify(&tokens, &signed(&new, "a")).ok();
    assert_eq!(until(changed, "the new key"), "ada");
    assert_eq!(
        verify(&tokens, &signed(&old, "a")),
        Err(TokenError::Invalid)
    );
}

#[test]
fn a_reload_keeps_the_set_of_its_url_and_asks_anew() {
    let (a, b) = (ec(), ec());
    let server = IssuerServer::start(ok(&set(&[("a", &a)])), None);
    let tokens = following(&server);
    assert_eq!(verdict(&tokens, &signed(&a, "a")), Ok("ada".into()));
    server.answer("HTTP/1.1 500 Broken\r\n\r\n".into());
    let asked = server.asked();
    let hour = Duration::from_secs(3600);
    tokens
        .apply(settings_of(server.url("http"), hour))
        .expect("threads");
    assert_eq!(
        verify(&tokens, &signed(&a, "a")),
        Ok("ada".into()),
        "meanwhile"
    );
    until(|| (server.asked() > asked).then_some(()), "a request");
    let other = IssuerServer::start(ok(&set(&[("b", &b)])), None);
    tokens
        .apply(settings_of(other.url("http"), hour))
        .expect("threads");
    assert_eq!(verdict(&tokens, &signed(&b, "b")), Ok("ada".into()));
    assert_eq!(
        verdict(&tokens, &signed(&a, "a")),
        Err(TokenError::Invalid),
        "another URL's"
    );
}

/// A certificate for localhost, and a server's config with it.
fn certified() -> (ureq::tls::Certificate<'static>, Arc<ServerConfig>) {
    let pair = ec();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&pair).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(pair.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a config");
    let root = ureq::tls::Certificate::from_der(certificate.der()).to_owned();
    (root, Arc::new(config))
}

#[test]
fn https_is_for_whom_the_system_trusts() {
    let (root, config) = certified();
    let server = IssuerServer::start(ok("{}"), Some(config));
    let url = server.url("https");
    assert_eq!(fetch::fetch(&url, vec![root]), Ok("{}".to_owned()));
    let (stranger, _) = certified();
    let error = fetch::fetch(&url, vec![stranger]).expect_err("not trusted");
    assert!(error.contains("certificate"), "{error}");
    let error = fetch::jwk_set(&url).expect_err("not trusted");
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn a_redirect_is_followed_but_not_out_of_https() {
    let plain = IssuerServer::start(ok("{}"), None);
    let location = |url: &str| {
        format!(
            "HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    let redirecting = IssuerServer::start(location(&plain.url("http")), None);
    assert_eq!(
        fetch::jwk_set(&redirecting.url("http")),
        Ok("{}".to_owned())
    );
    let (root, config) = certified();
    let secure = IssuerServer::start(location(&plain.url("http")), Some(config));
    let asked = plain.asked();
    assert!(fetch::fetch(&secure.url("https"), vec![root]).is_err());
    assert_eq!(plain.asked(), asked);
    let round = IssuerServer::start(String::new(), None);
    round.answer(location(&round.url("http")));
    assert!(fetch::jwk_set(&round.url("http")).is_err());
    assert!(round.asked() <= 5, "{}", round.asked());
}
