//! Makes tokens. In: claims, a key. Out: a JWT that a [`Verifier`](super::Verifier) with that key takes.
//!
//! Never: draws a key; reads a clock.

use std::fmt;

use fanfare_hub::Time;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::Value;

use super::algorithm::{Algorithm, Family};
use super::claims::Claims;
use super::keys::{Key, KeyError};
use super::payload::{Payload, seconds};

/// Makes tokens.
#[derive(Debug)]
pub struct Issuer {
    key: EncodingKey,
    header: Header,
    audience: Option<String>,
    issuer: Option<String>,
}

impl Issuer {
    /// `key`: a secret for HS, a private key in PEM (PKCS #8; for RSA also PKCS #1) for everything else.
    ///
    /// # Errors
    ///
    /// The key can't sign.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        let key = match algorithm.family() {
            Family::Hmac => {
                Key::secret(key, None)?; // as the verifier will see it
                Ok(EncodingKey::from_secret(key))
            }
            Family::Rsa => EncodingKey::from_rsa_pem(key),
            Family::Ec => EncodingKey::from_ec_pem(key),
        };
        let key = key.map_err(|_| KeyError::NoPrivatePem)?;
        jsonwebtoken::crypto::sign(b"", &key, algorithm.library())
            .map_err(|_| KeyError::NoPrivatePem)?;
        Ok(Self {
            key,
            header: Header::new(algorithm.library()),
            audience: None,
            issuer: None,
        })
    }

    /// The key's name: `kid`.
    #[must_use]
    pub fn with_key_id(mut self, id: Option<String>) -> Self {
        self.header.kid = id;
        self
    }

    /// For whom tokens are: `aud`.
    #[must_use]
    pub fn with_audience(mut self, audience: Option<String>) -> Self {
        self.audience = audience;
        self
    }

    /// Whose they are: `iss`.
    #[must_use]
    pub fn with_issuer(mut self, issuer: Option<String>) -> Self {
        self.issuer = issuer;
        self
    }

    /// A token that says `claims`; `now` is its `iat`.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub fn issue(&self, claims: &Claims, now: Time) -> Result<String, IssueError> {
        let mut payload = Payload::of(claims).map_err(|_| IssueError)?;
        payload.iat = Some(Value::Number(seconds(now)));
        payload.aud = self.audience.clone().map(Value::String);
        payload.iss = self.issuer.clone().map(Value::String);
        jsonwebtoken::encode(&self.header, &payload, &self.key).map_err(|_| IssueError)
    }
}

/// What should be JSON in the claims is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssueError;

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claim that should be JSON is not")
    }
}

impl std::error::Error for IssueError {}
