//! JWK sets (RFC 7517 §5, RFC 7518 §6). In: JSON of an issuer. Out: the keys that can verify.
//!
//! Never: fails a set for one key in it; uses a key for what it is not meant for.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::algorithm::{Algorithm, Algorithms, Family};
use super::keys::{Key, KeyError};

/// Base64url with padding or without: some issuers pad.
const NUMBERS: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Deserialize)]
struct Set<'s> {
    #[serde(borrow)]
    keys: Vec<&'s RawValue>,
}

/// What of a key is looked at.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    k: String,
}

/// Every key of a set that is one.
///
/// # Errors
///
/// [`KeyError::NoSet`].
pub(super) fn keys(set: &str) -> Result<impl Iterator<Item = Result<Jwk, KeyError>>, KeyError> {
    let set: Set<'_> = serde_json::from_str(set).map_err(|_| KeyError::NoSet)?;
    let keys = set.keys.into_iter();
    Ok(keys.map(|key| serde_json::from_str(key.get()).map_err(|_| KeyError::OtherKind)))
}

impl Jwk {
    pub(super) fn id(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The key, if one of `algorithms` may use it.
    pub(super) fn key(&self, algorithms: &Algorithms) -> Result<Key, KeyError> {
        let verifies = self.purpose.as_ref().is_none_or(|purpose| purpose == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|all| all.iter().any(|op| op == "verify"));
        if !verifies {
            return Err(KeyError::OtherKind);
        }
        let only = match &self.alg {
            None => None,
            Some(name) => Some(algorithm(name, algorithms)?),
        };
        match (algorithms.family(), self.kty.as_str()) {
            (Family::Hmac, "oct") => Key::secret(&bytes(&self.k)?, only),
            (Family::Rsa, "RSA") => Key::rsa(&bytes(&self.n)?, &bytes(&self.e)?, only),
            (Family::Ec, "EC") => {
                let curve = match self.crv.as_deref() {
                    Some("P-256") => Algorithm::Es256,
                    Some("P-384") => Algorithm::Es384,
                    _ => return Err(KeyError::Curve),
                };
                if !algorithms.contains(curve) || only.is_some_and(|only| only != curve) {
                    return Err(KeyError::Curve);
                }
                Key::ec(curve, &bytes(&self.x)?, &bytes(&self.y)?)
            }
            _ => Err(KeyError::OtherKind),
        }
    }
}

fn algorithm(name: &str, algorithms: &Algorithms) -> Result<Algorithm, KeyError> {
    let algorithm = name.parse().map_err(|_| KeyError::OtherKind)?;
    let known = Some(algorithm).filter(|&algorithm| algorithms.contains(algorithm));
    known.ok_or(KeyError::OtherKind)
}

pub(super) fn bytes(number: &str) -> Result<Vec<u8>, KeyError> {
    NUMBERS.decode(number).map_err(|_| KeyError::OtherKind)
}
