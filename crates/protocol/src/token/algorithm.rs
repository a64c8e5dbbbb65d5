//! How tokens are signed (RFC 7518 §3). In: a config's names. Out: algorithms, all for one kind of key.
//!
//! Never: knows `none`.

use std::fmt;
use std::str::FromStr;

use jsonwebtoken::Algorithm as Library;

/// What an algorithm's keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// HS: a secret that issuer and server share.
    Hmac,
    /// RS and PS: an RSA key.
    Rsa,
    /// ES: a point on a curve.
    Ec,
}

macro_rules! algorithms {
    ($($(#[$doc:meta])* $variant:ident $name:ident $family:ident;)*) => {
        /// How a token is signed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Algorithm {
            $($(#[$doc])* $variant,)*
        }

        impl Algorithm {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As `alg` has it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)*
                }
            }

            /// What its keys are.
            #[must_use]
            pub const fn family(self) -> Family {
                match self {
                    $(Self::$variant => Family::$family,)*
                }
            }

            pub(super) const fn library(self) -> Library {
                match self {
                    $(Self::$variant => Library::$name,)*
                }
            }
        }
    };
}

algorithms! {
    /// HMAC with SHA-256.
    Hs256 HS256 Hmac;
    /// HMAC with SHA-384.
    Hs384 HS384 Hmac;
    /// HMAC with SHA-512.
    Hs512 HS512 Hmac;
    /// RSA, PKCS #1 v1.5, with SHA-256.
    Rs256 RS256 Rsa;
    /// RSA, PKCS #1 v1.5, with SHA-384.
    Rs384 RS384 Rsa;
    /// RSA, PKCS #1 v1.5, with SHA-512.
    Rs512 RS512 Rsa;
    /// RSA, PSS, with SHA-256.
    Ps256 PS256 Rsa;
    /// RSA, PSS, with SHA-384.
    Ps384 PS384 Rsa;
    /// RSA, PSS, with SHA-512.
    Ps512 PS512 Rsa;
    /// ECDSA on P-256 with SHA-256.
    Es256 ES256 Ec;
    /// ECDSA on P-384 with SHA-384.
    Es384 ES384 Ec;
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = AlgorithmError;

    /// Names are compared as they are: `hs256` is none.
    fn from_str(name: &str) -> Result<Self, AlgorithmError> {
        let mut all = Self::ALL.iter().copied();
        all.find(|algorithm| algorithm.name() == name)
            .ok_or(AlgorithmError::Unknown)
    }
}

/// The algorithms that a verifier takes: one at least, and all with the same kind of key, so that a public
/// key is never taken for a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithms {
    family: Family,
    list: Vec<Algorithm>,
}

impl Algorithms {
    /// # Errors
    ///
    /// [`AlgorithmError::Empty`] and [`AlgorithmError::Mixed`].
    pub fn new(list: &[Algorithm]) -> Result<Self, AlgorithmError> {
        let family = list.first().ok_or(AlgorithmError::Empty)?.family();
        if list.iter().any(|algorithm| algorithm.family() != family) {
            return Err(AlgorithmError::Mixed);
        }
        Ok(Self {
            family,
            list: list.to_vec(),
        })
    }

    /// What their keys are.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Whether `algorithm` is one of them.
    #[must_use]
    pub fn contains(&self, algorithm: Algorithm) -> bool {
        self.list.contains(&algorithm)
    }

    /// The first.
    #[must_use]
    pub fn first(&self) -> Algorithm {
        self.list[0]
    }
}

impl From<Algorithm> for Algorithms {
    fn from(algorithm: Algorithm) -> Self {
        Self {
            family: algorithm.family(),
            list: vec![algorithm],
        }
    }
}

impl fmt::Display for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, algorithm) in self.list.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{algorithm}")?;
        }
        Ok(())
    }
}

/// Why there are no such algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlgorithmError {
    /// A name that is none.
    Unknown,
    /// No name at all.
    Empty,
    /// Algorithms with different kinds of keys.
    Mixed,
}

impl fmt::Display for AlgorithmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown | Self::Empty => {
                f.write_str("want one of ")?;
                let all = Algorithm::ALL.iter().map(|algorithm| algorithm.name());
                f.write_str(&all.collect::<Vec<_>>().join(", "))
            }
            Self::Mixed => {
                f.write_str("want algorithms of one kind: HS alone, RS and PS, or ES alone")
            }
        }
    }
}

impl std::error::Error for AlgorithmError {}
