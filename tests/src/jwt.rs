//! Tokens, good and forged, made with no code of the server's. In: keys made at run time, headers, claims.
//! Out: JWTs, and the public halves as PEM and JWK.
//!
//! Never: refuses to sign nonsense.

use std::fmt::Display;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// What most tests sign with.
pub const SECRET: &str = "a-secret-of-at-least-32-random-bytes";

/// A server's `[token]` that takes it.
pub const TOKENS: &str = "[token]\nalgorithm = \"HS256\"\n\
                          hmac_key = \"a-secret-of-at-least-32-random-bytes\"\n";

/// What signs.
#[derive(Debug)]
pub enum Key {
    /// HS256 with this secret.
    Secret(Vec<u8>),
    /// RS256.
    Rsa(Box<RsaKeyPair>),
    /// ES256.
    Ecdsa(Box<EcdsaKeyPair>),
}

impl Key {
    /// HS256.
    #[must_use]
    pub fn secret(secret: impl AsRef<[u8]>) -> Self {
        Self::Secret(secret.as_ref().to_vec())
    }

    /// A new RSA key of 2048 bits.
    #[must_use]
    pub fn rsa() -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    /// A new key on P-256.
    #[must_use]
    pub fn ecdsa() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::Ecdsa(Box::new(pair))
    }

    /// Its `alg`.
    #[must_use]
    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Secret(_) => "HS256",
            Self::Rsa(_) => "RS256",
            Self::Ecdsa(_) => "ES256",
        }
    }

    /// A token with these claims.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        self.signed(&json!({"alg": self.algorithm(), "typ": "JWT"}), claims)
    }

    /// A token that names its key.
    #[must_use]
    pub fn token_by(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "typ": "JWT", "kid": kid});
        self.signed(&header, claims)
    }

    /// A token with this header, whatever it says.
    #[must_use]
    pub fn signed(&self, header: &Value, claims: &impl Display) -> String {
        let message = unsigned(header, claims);
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Self::Ecdsa(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).unwrap();
                signature.as_ref().to_vec()
            }
        }
    }

    /// The public half, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Secret(_) => panic!("a secret is not public"),
            Self::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Self::Ecdsa(pair) => pair.public_key().as_der().unwrap(),
        };
        let encoded = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = encoded
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let lines = lines.join("\n");
        format!("-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n")
    }

    /// The public half, as a JWK.
    #[must_use]
    pub fn jwk(&self, kid: &str) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Secret(_) => panic!("a secret is not public"),
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                json!({
                    "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
                    "n": encode(n.big_endian_without_leading_zero()),
                    "e": encode(e.big_endian_without_leading_zero()),
                })
            }
            Self::Ecdsa(pair) => {
                let point = pair.public_key().as_ref(); // 4, then x and y
                json!({
                    "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256",
                    "x": encode(&point[1..33]), "y": encode(&point[33..]),
                })
            }
        }
    }
}

/// Header and claims without a signature, and without the dot in front of one.
#[must_use]
pub fn unsigned(header: &Value, claims: &impl Display) -> String {
    let [header, claims] =
        [header.to_string(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}")
}
