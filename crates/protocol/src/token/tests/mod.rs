//! Tokens that are taken, and each reason why one is not.
//!
//! Never: a private key in the tree: each run makes its own.

mod claims;
mod keys;

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare_hub::Time;
use jsonwebtoken::EncodingKey;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

use super::*;
use crate::limits::TOKEN_BYTES_MAX;

const SECRET: &[u8] = b"a-secret-of-32-bytes-or-somewhat-more";
const OTHER: &[u8] = b"another-secret-of-as-many-bytes-or-so";
const NOW: Time = Time::from_millis(1_700_000_000_000);
const NOW_SECONDS: u64 = 1_700_000_000;

/// A key pair in PEM.
struct Pair {
    private: String,
    public: String,
}

impl Pair {
    fn of(pair: &KeyPair) -> Self {
        Self {
            private: pair.serialize_pem(),
            public: pair.public_key_pem(),
        }
    }
}

/// Made once: an RSA key takes a while.
fn rsa() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
        Pair::of(&pair.expect("a key"))
    })
}

fn ec() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| Pair::of(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")))
}

fn ec384() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| Pair::of(&KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key")))
}

/// What an algorithm signs with, and what it is verified with.
fn material(algorithm: Algorithm) -> (&'static [u8], &'static [u8]) {
    let pair = match algorithm {
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => return (SECRET, SECRET),
        Algorithm::Es256 => ec(),
        Algorithm::Es384 => ec384(),
        _ => rsa(),
    };
    (pair.private.as_bytes(), pair.public.as_bytes())
}

fn keys(algorithm: Algorithm) -> Keys {
    let mut keys = Keys::new(algorithm.into());
    keys.add(None, material(algorithm).1).expect("a key");
    keys
}

fn verifier(algorithm: Algorithm) -> Verifier {
    Verifier::new(keys(algorithm), Demands::default())
}

/// Signs whatever header and payload, as nobody's library would.
fn signed(algorithm: Algorithm, key: &[u8], header: &str, payload: &str) -> String {
    let key = match algorithm.family() {
        Family::Hmac => EncodingKey::from_secret(key),
        Family::Rsa => EncodingKey::from_rsa_pem(key).expect("a key"),
        Family::Ec => EncodingKey::from_ec_pem(key).expect("a key"),
    };
    let message = unsigned(header, payload);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm.library());
    format!("{message}.{}", signature.expect("a signature"))
}

fn unsigned(header: &str, payload: &str) -> String {
    let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{payload}")
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// HS256 with the usual secret.
fn token(payload: &Value) -> String {
    signed(Algorithm::Hs256, SECRET, HS256, &payload.to_string())
}

/// What the usual verifier says of a token that says `payload`.
fn examine(payload: &Value) -> Result<Claims, Refusal> {
    verifier(Algorithm::Hs256).examine(None, &token(payload), NOW)
}

/// What the usual verifier says of a token with that header.
fn with_header(header: &str) -> Result<Claims, Refusal> {
    let token = signed(Algorithm::Hs256, SECRET, header, r#"{"sub":"ada"}"#);
    verifier(Algorithm::Hs256).examine(None, &token, NOW)
}

#[test]
fn every_algorithm_verifies_what_it_has_signed() {
    for &algorithm in Algorithm::ALL {
        let issuer = Issuer::new(algorithm, material(algorithm).0).expect("a key that signs");
        let claims = Claims {
            user: "ada".into(),
            expires_at: Some(NOW + Duration::from_secs(60)),
            ..Claims::default()
        };
        let token = issuer.issue(&claims, NOW).expect("a token");
        let verifier = verifier(algorithm);
        let found = verifier.verify(TokenKind::Connection, &token, NOW);
        assert_eq!(found, Ok(claims.clone()), "{algorithm}");
        let any = verifier.verify_any(&token, NOW);
        assert_eq!(any, Ok((TokenKind::Connection, claims)), "{algorithm}");
        assert_eq!(verifier.is_cheap(), algorithm.family() == Family::Hmac);
    }
}

#[test]
fn a_token_that_is_changed_anywhere_is_refused() {
    for algorithm in [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256] {
        let issuer = Issuer::new(algorithm, material(algorithm).0).expect("a key");
        let claims = Claims {
            user: "ada".into(),
            ..Claims::default()
        };
        let token = issuer.issue(&claims, NOW).expect("a token");
        let verifier = verifier(algorithm);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            let found = verifier.examine(None, &changed, NOW);
            assert!(found.is_err(), "{algorithm} at {at}: {changed}");
        }
        for end in 0..token.len() {
            let found = verifier.examine(None, &token[..end], NOW);
            assert!(found.is_err(), "{algorithm} cut at {end}");
        }
        let longer = format!("{token}.");
        assert!(verifier.examine(None, &longer, NOW).is_err());
    }
}

#[test]
fn what_is_no_jwt_is_malformed() {
    let verifier = verifier(Algorithm::Hs256);
    for text in [
        "", ".", "..", "...", "a.b.c", "{}", "e30", "e30.e30", "\0.\0.\0", "ä.ö.ü",
    ] {
        let found = verifier.examine(None, text, NOW);
        assert_eq!(found, Err(Refusal::Malformed), "{text:?}");
        let told = verifier.verify(TokenKind::Connection, text, NOW);
        assert_eq!(told, Err(TokenError::Invalid), "{text:?}");
    }
    for header in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"alg":1}"#,
        r#"{"alg":"HS256","kid":1}"#,
    ] {
        assert_eq!(with_header(header), Err(Refusal::Malformed), "{header}");
    }
    // Two of one name: which would count?
    let twice = r#"{"alg":"none","alg":"HS256"}"#;
    assert_eq!(with_header(twice), Err(Refusal::Malformed));
}

#[test]
fn a_giant_token_is_not_looked_at() {
    let payload = json!({"sub": "a".repeat(TOKEN_BYTES_MAX)});
    assert_eq!(examine(&payload), Err(Refusal::TooLong));
    let dots = ".".repeat(TOKEN_BYTES_MAX + 1);
    let found = verifier(Algorithm::Hs256).examine(None, &dots, NOW);
    assert_eq!(found, Err(Refusal::TooLong));
    let fits = json!({"sub": "a".repeat(TOKEN_BYTES_MAX / 2)});
    assert!(examine(&fits).is_ok());
}

#[test]
fn rfc8725_3_1_alg_none_is_refused_in_every_spelling() {
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = format!(r#"{{"alg":"{none}"}}"#);
        let message = unsigned(&header, r#"{"sub":"ada"}"#);
        for &algorithm in Algorithm::ALL {
            for token in [format!("{message}."), format!("{message}.AAAA")] {
                let found = verifier(algorithm).examine(None, &token, NOW);
                assert_eq!(found, Err(Refusal::Algorithm), "{none:?} for {algorithm}");
            }
        }
        assert_eq!(with_header(&header), Err(Refusal::Algorithm), "signed");
    }
}

#[test]
fn rfc8725_2_1_a_public_key_is_no_secret() {
    let public = rsa().public.as_bytes();
    // The attacker knows it, signs with it, and hopes that the server takes it for a secret.
    for (hs, header) in [
        (Algorithm::Hs256, HS256),
        (Algorithm::Hs512, r#"{"alg":"HS512"}"#),
    ] {
        let forged = signed(hs, public, header, r#"{"sub":"ada"}"#);
        let found = verifier(Algorithm::Rs256).examine(None, &forged, NOW);
        assert_eq!(found, Err(Refusal::Algorithm));
    }
    // And who calls it RS256 has no such signature.
    let forged = signed(Algorithm::Hs256, public, r#"{"alg":"RS256"}"#, "{}");
    let found = verifier(Algorithm::Rs256).examine(None, &forged, NOW);
    assert_eq!(found, Err(Refusal::Signature));
}

#[test]
fn only_the_configured_algorithms_are_taken() {
    let mine = verifier(Algorithm::Hs256);
    for other in [Algorithm::Hs384, Algorithm::Hs512] {
        let header = format!(r#"{{"alg":"{other}"}}"#);
        let token = signed(other, SECRET, &header, "{}");
        assert_eq!(mine.examine(None, &token, NOW), Err(Refusal::Algorithm));
    }
    for name in ["hs256", "HS256 ", "RS256", "ES256", "EdDSA", "HS1", "dir"] {
        let header = json!({ "alg": name }).to_string();
        assert_eq!(with_header(&header), Err(Refusal::Algorithm), "{name}");
    }
    let both = Algorithms::new(&[Algorithm::Hs256, Algorithm::Hs512]).expect("one family");
    let mut keys = Keys::new(both);
    keys.add(None, SECRET).expect("a secret");
    let both = Verifier::new(keys, Demands::default());
    for (algorithm, is_taken) in [
        (Algorithm::Hs256, true),
        (Algorithm::Hs384, false),
        (Algorithm::Hs512, true),
    ] {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        let token = signed(algorithm, SECRET, &header, "{}");
        assert_eq!(
            both.examine(None, &token, NOW).is_ok(),
            is_taken,
            "{algorithm}"
        );
    }
}

#[test]
fn another_key_of_the_same_kind_is_refused() {
    let forged = signed(Algorithm::Hs256, OTHER, HS256, "{}");
    let found = verifier(Algorithm::Hs256).examine(None, &forged, NOW);
    assert_eq!(found, Err(Refusal::Signature));
    let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let other = other.serialize_pem();
    let forged = signed(
        Algorithm::Es256,
        other.as_bytes(),
        r#"{"alg":"ES256"}"#,
        "{}",
    );
    let found = verifier(Algorithm::Es256).examine(None, &forged, NOW);
    assert_eq!(found, Err(Refusal::Signature));
}

#[test]
fn rfc7515_4_1_11_a_critical_header_is_refused() {
    for crit in [r#"["b64"]"#, r#"["exp"]"#, "[]", "null", "1"] {
        let header = format!(r#"{{"alg":"HS256","crit":{crit},"b64":false}}"#);
        assert_eq!(with_header(&header), Err(Refusal::Critical), "{crit}");
    }
}

#[test]
fn what_else_a_header_says_is_ignored() {
    // RFC 8725 §3.10: no key is taken from a token, and none is fetched for it.
    let header = r#"{"typ":"at+jwt","alg":"HS256","jku":"http://a.test/","jwk":{"kty":"oct","k":"AA"},
        "x5u":"http://a.test/","x5c":["AA"],"cty":"JWT"}"#;
    assert!(with_header(header).is_ok());
}
