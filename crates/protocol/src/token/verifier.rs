//! What a token says, if it is good. In: a token, the time. Out: its [`Claims`], or why not.
//!
//! In this order: its form, its algorithm against the config's, its key, its signature, and only then what it
//! says. The library checks signatures; every claim is looked at here, because time is an argument.
//!
//! Never: looks at a claim of an unsigned token; says that a token has expired while anything else is wrong.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare_hub::Time;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::algorithm::{Algorithm, Family};
use super::claims::{Claims, TokenKind};
use super::keys::Keys;
use super::payload::Payload;
use super::refusal::{Refusal, TokenError};
use crate::limits::TOKEN_BYTES_MAX;

/// What a verifier demands of tokens besides a signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// `aud` must be it, or hold it; none: it may be anything.
    pub audience: Option<String>,
    /// `iss` must be it; none: it may be anything.
    pub issuer: Option<String>,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

/// Verifies tokens.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Keys,
    demands: Demands,
}

/// What of a header is looked at (RFC 7515 §4.1).
#[derive(Deserialize)]
struct Header<'h> {
    #[serde(borrow)]
    alg: Cow<'h, str>,
    #[serde(borrow)]
    kid: Option<Cow<'h, str>>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// Whatever stands there, `null` too.
fn present<'de, D: serde::Deserializer<'de>>(crit: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(crit).map(|_| true)
}

impl Verifier {
    /// A verifier of tokens that are signed with one of `keys`.
    #[must_use]
    pub const fn new(keys: Keys, demands: Demands) -> Self {
        Self { keys, demands }
    }

    /// What a token for `kind` says.
    ///
    /// # Errors
    ///
    /// [`TokenError::Expired`] and [`TokenError::Invalid`].
    pub fn verify(&self, kind: TokenKind, token: &str, now: Time) -> Result<Claims, TokenError> {
        Ok(self.examine(Some(kind), token, now)?)
    }

    /// What a token says, and what it is for.
    ///
    /// # Errors
    ///
    /// [`TokenError::Expired`] and [`TokenError::Invalid`].
    pub fn verify_any(&self, token: &str, now: Time) -> Result<(TokenKind, Claims), TokenError> {
        let claims = self.examine(None, token, now)?;
        Ok((claims.kind(), claims))
    }

    /// What a token says; `kind` is what it must be for, if that matters.
    ///
    /// # Errors
    ///
    /// Why it is not taken, for a log.
    pub fn examine(
        &self,
        kind: Option<TokenKind>,
        token: &str,
        now: Time,
    ) -> Result<Claims, Refusal> {
        let payload = self.payload(token)?;
        if !self.demands.are_met_by_audience(payload.aud.as_ref()) {
            return Err(Refusal::Audience);
        }
        if !self.demands.are_met_by_issuer(payload.iss.as_ref()) {
            return Err(Refusal::Issuer);
        }
        let leeway = self.demands.leeway;
        if payload.not_before().is_some_and(|at| now + leeway < at) {
            return Err(Refusal::NotYet);
        }
        let mut claims = payload.claims().map_err(|_| Refusal::Claims)?;
        if kind.is_some_and(|kind| kind != claims.kind()) {
            return Err(Refusal::Kind);
        }
        // What it opens ends as late: nobody else needs to know of the leeway.
        claims.expires_at = claims.expires_at.map(|at| at + leeway);
        if claims.expires_at.is_some_and(|at| at <= now) {
            return Err(Refusal::Expired);
        }
        Ok(claims)
    }

    /// Whether it takes microseconds: HS does, RS and ES take tens or hundreds of them.
    #[must_use]
    pub fn is_cheap(&self) -> bool {
        self.keys.algorithms().family() == Family::Hmac
    }

    /// What it verifies with.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The payload of a token with a good signature.
    fn payload(&self, token: &str) -> Result<Payload, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
        let header = decode(header)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| Refusal::Malformed)?;
        if header.crit {
            return Err(Refusal::Critical);
        }
        let algorithm: Algorithm = header.alg.parse().map_err(|_| Refusal::Algorithm)?;
        if !self.keys.algorithms().contains(algorithm) {
            return Err(Refusal::Algorithm);
        }
        let key = self.keys.find(header.kid.as_deref());
        let key = key.ok_or(Refusal::UnknownKey)?;
        if !key.is_for(algorithm) {
            return Err(Refusal::Algorithm);
        }
        let is_signed = jsonwebtoken::crypto::verify(
            signature,
            message.as_bytes(),
            &key.material,
            algorithm.library(),
        );
        if !is_signed.unwrap_or(false) {
            return Err(Refusal::Signature);
        }
        Payload::parse(&decode(payload)?).map_err(|_| Refusal::Claims)
    }
}

impl Demands {
    fn are_met_by_audience(&self, claim: Option<&Value>) -> bool {
        let Some(wanted) = &self.audience else {
            return true;
        };
        match claim {
            Some(Value::String(audience)) => audience == wanted,
            Some(Value::Array(all)) => {
                all.iter().all(Value::is_string) && all.iter().any(|one| one == wanted)
            }
            _ => false,
        }
    }

    fn are_met_by_issuer(&self, claim: Option<&Value>) -> bool {
        let Some(wanted) = &self.issuer else {
            return true;
        };
        claim.is_some_and(|issuer| issuer == wanted)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}
