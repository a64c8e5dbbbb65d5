//! Keys that tokens are verified with. In: secrets, PEM, JWK sets, as a config names them. Out: the one that a
//! token names.
//!
//! Never: keeps a key that no configured algorithm can use; opens a file; prints a key.

use std::collections::HashMap;
use std::fmt;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};

use super::algorithm::{Algorithm, Algorithms, Family};
use super::jwks;
use crate::limits::{HMAC_KEY_BYTES_MIN, RSA_KEY_BYTES_MAX, RSA_KEY_BYTES_MIN};

/// What begins a public key in PEM.
const PUBLIC_PEM: [&str; 2] = [
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN RSA PUBLIC KEY-----",
];

/// A key, and what it may verify.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) material: DecodingKey,
    /// If it is for one algorithm alone (RFC 8725 §3.1).
    only: Option<Algorithm>,
}

impl Key {
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.only.is_none_or(|only| only == algorithm)
    }

    /// A secret of a good length.
    pub(super) fn secret(secret: &[u8], only: Option<Algorithm>) -> Result<Self, KeyError> {
        if secret.len() < HMAC_KEY_BYTES_MIN {
            return Err(KeyError::Short);
        }
        if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err(KeyError::NoSecret);
        }
        let material = DecodingKey::from_secret(secret);
        Ok(Self { material, only })
    }

    /// An RSA key: modulus and exponent, most significant byte first.
    pub(super) fn rsa(n: &[u8], e: &[u8], only: Option<Algorithm>) -> Result<Self, KeyError> {
        let [n, e] = [n, e].map(without_zeros);
        if !(RSA_KEY_BYTES_MIN..=RSA_KEY_BYTES_MAX).contains(&n.len()) || e.is_empty() {
            return Err(KeyError::RsaLength);
        }
        let material = DecodingKey::from_rsa_raw_components(n, e);
        Ok(Self { material, only })
    }

    /// A point on the curve of the one algorithm that it is for.
    pub(super) fn ec(curve: Algorithm, x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        let bytes: usize = if curve == Algorithm::Es384 { 48 } else { 32 };
        let mut point = vec![4]; // uncompressed (SEC 1 §2.3.3)
        for coordinate in [x, y].map(without_zeros) {
            let zeros = bytes.checked_sub(coordinate.len()).ok_or(KeyError::Curve)?;
            point.resize(point.len() + zeros, 0);
            point.extend_from_slice(coordinate);
        }
        let material = DecodingKey::from_ec_der(&point);
        let only = Some(curve);
        Ok(Self { material, only })
    }

    fn pem(pem: &[u8], algorithms: &Algorithms) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(pem).map_err(|_| KeyError::NoPublicPem)?;
        if !PUBLIC_PEM
            .iter()
            .any(|begin| text.trim_start().starts_with(begin))
        {
            return Err(KeyError::NoPublicPem);
        }
        let read = match algorithms.family() {
            Family::Hmac => return Err(KeyError::OtherKind),
            Family::Rsa => DecodingKey::from_rsa_pem(pem),
            Family::Ec => DecodingKey::from_ec_pem(pem),
        };
        let parts = read.and_then(|key| Jwk::from_decoding_key(&key, None));
        let key = match parts.map_err(|_| KeyError::OtherKind)?.algorithm {
            AlgorithmParameters::RSA(rsa) => {
                Self::rsa(&jwks::bytes(&rsa.n)?, &jwks::bytes(&rsa.e)?, None)?
            }
            AlgorithmParameters::EllipticCurve(ec) => {
                let curve = match ec.curve {
                    EllipticCurve::P256 => Algorithm::Es256,
                    EllipticCurve::P384 => Algorithm::Es384,
                    _ => return Err(KeyError::Curve),
                };
                Self::ec(curve, &jwks::bytes(&ec.x)?, &jwks::bytes(&ec.y)?)?
            }
            _ => return Err(KeyError::OtherKind),
        };
        if key.only.is_some_and(|only| !algorithms.contains(only)) {
            return Err(KeyError::Curve);
        }
        Ok(key)
    }
}

/// The keys of a verifier.
#[derive(Clone)]
pub struct Keys {
    algorithms: Algorithms,
    by_id: HashMap<Box<str>, Key>,
    unnamed: Option<Key>,
    expects_more: bool,
}

impl Keys {
    /// No key yet.
    #[must_use]
    pub fn new(algorithms: Algorithms) -> Self {
        Self {
            algorithms,
            by_id: HashMap::new(),
            unnamed: None,
            expects_more: false,
        }
    }

    /// Adds a key as a config has it: a secret for HS, a public key in PEM for everything else.
    ///
    /// Without an `id` it is for tokens that name no key, and for all of them while no key has an id.
    ///
    /// # Errors
    ///
    /// The key's; nothing was added.
    pub fn add(&mut self, id: Option<&str>, key: &[u8]) -> Result<(), KeyError> {
        let key = match self.algorithms.family() {
            Family::Hmac => Key::secret(key, None)?,
            Family::Rsa | Family::Ec => Key::pem(key, &self.algorithms)?,
        };
        if self.insert(id, key) {
            Ok(())
        } else {
            Err(KeyError::Twice)
        }
    }

    /// Adds all keys of a JWK set (RFC 7517 §5) that the algorithms can use, and tells how many were left out.
    ///
    /// # Errors
    ///
    /// [`KeyError::NoSet`], and [`KeyError::NothingUsable`] if all were left out.
    pub fn add_set(&mut self, set: &str) -> Result<usize, KeyError> {
        let mut left_out = 0;
        let mut is_empty = true;
        for key in jwks::keys(set)? {
            let is_added = key
                .and_then(|jwk| jwk.key(&self.algorithms).map(|key| (jwk, key)))
                .is_ok_and(|(jwk, key)| self.insert(jwk.id(), key));
            left_out += usize::from(!is_added);
            is_empty &= !is_added;
        }
        if is_empty {
            return Err(KeyError::NothingUsable);
        }
        Ok(left_out)
    }

    /// A JWK set will be added later: until then a token that names a key is not for the one without an id.
    pub const fn expect_more(&mut self) {
        self.expects_more = true;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len() + usize::from(self.unnamed.is_some())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they are used with.
    #[must_use]
    pub const fn algorithms(&self) -> &Algorithms {
        &self.algorithms
    }

    /// The key of a token that names `id`, or none.
    pub(super) fn find(&self, id: Option<&str>) -> Option<&Key> {
        match id {
            Some(id) => self.by_id.get(id).or_else(|| {
                let is_alone = self.by_id.is_empty() && !self.expects_more;
                self.unnamed.as_ref().filter(|_| is_alone)
            }),
            None => self.unnamed.as_ref().or_else(|| {
                let mut all = self.by_id.values();
                all.next().filter(|_| all.next().is_none())
            }),
        }
    }

    /// False: there was one already, and it stays.
    fn insert(&mut self, id: Option<&str>, key: Key) -> bool {
        match id {
            None if self.unnamed.is_some() => false,
            None => {
                self.unnamed = Some(key);
                true
            }
            Some(id) if self.by_id.contains_key(id) => false,
            Some(id) => self.by_id.insert(id.into(), key).is_none(),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.len() == 1 { "" } else { "s" };
        write!(f, "{} key{plural} for {}", self.len(), self.algorithms)
    }
}

impl fmt::Debug for Keys {
    /// How many, and no more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} for {})", self.len(), self.algorithms)
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}

/// Why a key is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// A secret that is soon guessed.
    Short,
    /// A key in PEM where a secret should be.
    NoSecret,
    /// No public key in PEM.
    NoPublicPem,
    /// No private key in PEM that can sign.
    NoPrivatePem,
    /// A key for another kind of algorithm.
    OtherKind,
    /// A curve that none of the algorithms is on.
    Curve,
    /// An RSA key that is too short to be safe, or too long to be quick.
    RsaLength,
    /// There is such a key already.
    Twice,
    /// No JWK set.
    NoSet,
    /// A JWK set without a key that can be used.
    NothingUsable,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(f, "must have at least {HMAC_KEY_BYTES_MIN} bytes"),
            Self::NoSecret => f.write_str("want a secret, not a key in PEM"),
            Self::NoPublicPem => {
                f.write_str("want a public key in PEM, that begins with -----BEGIN PUBLIC KEY-----")
            }
            Self::NoPrivatePem => f.write_str(
                "want a private key in PEM that can sign, that begins with -----BEGIN PRIVATE KEY-----",
            ),
            Self::OtherKind => f.write_str("not a key of the algorithm's kind"),
            Self::Curve => f.write_str("not on the algorithm's curve: ES256 is on P-256, ES384 on P-384"),
            Self::RsaLength => f.write_str("want an RSA key of 2048 to 8192 bits"),
            Self::Twice => f.write_str("there is such a key already"),
            Self::NoSet => f.write_str("not a JWK set: {\"keys\": [...]}"),
            Self::NothingUsable => {
                f.write_str("a JWK set, but without a key that the algorithm can use")
            }
        }
    }
}

impl std::error::Error for KeyError {}
