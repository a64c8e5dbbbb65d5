//! How tokens are verified: `[token]`. In: what is written, and the files that it names. Out: keys and demands, or
//! the key of the config that is at fault.
//!
//! Never: fetches a URL; repeats a secret; takes a secret for a public key.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use axum::http::Uri;
use fanfare_protocol::token::{Algorithm, Algorithms, Demands, Family, Keys};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::check::seconds_or_zero;
use super::error::{Fault, Key};
use crate::limits::{JWKS_REFRESH_MIN, KEY_FILE_BYTES_MAX};

/// `[token]`, as it is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Token {
    algorithm: Option<Names>,
    hmac_key: Option<String>,
    hmac_key_file: Option<String>,
    public_key_file: Option<String>,
    keys: BTreeMap<String, String>,
    jwks_file: Option<String>,
    jwks_url: Option<String>,
    jwks_refresh_interval: f64,
    audience: Option<String>,
    issuer: Option<String>,
    leeway: f64,
}

impl Default for Token {
    fn default() -> Self {
        Self {
            algorithm: None,
            hmac_key: None,
            hmac_key_file: None,
            public_key_file: None,
            keys: BTreeMap::new(),
            jwks_file: None,
            jwks_url: None,
            jwks_refresh_interval: 600.0,
            audience: None,
            issuer: None,
            leeway: fanfare_protocol::limits::TOKEN_LEEWAY.as_secs_f64(),
        }
    }
}

/// One name, or a list.
#[derive(Clone, Serialize)]
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

/// What tokens are verified with.
#[derive(Debug)]
pub(crate) struct TokenSettings {
    /// Without those of `jwks`.
    pub(crate) keys: Keys,
    pub(crate) demands: Demands,
    pub(crate) jwks: Option<JwksUrl>,
}

/// Where more keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JwksUrl {
    pub(crate) url: String,
    pub(crate) refresh_interval: Duration,
}

/// What the config has for whoever makes tokens that the daemon will take.
#[derive(Default)]
pub(crate) struct Signing {
    pub(crate) algorithm: Option<Algorithm>,
    /// The secret, of HS.
    pub(crate) hmac_key: Option<Vec<u8>>,
    /// Secrets by id.
    pub(crate) hmac_keys: BTreeMap<String, Vec<u8>>,
    pub(crate) audience: Option<String>,
    pub(crate) issuer: Option<String>,
}

impl Token {
    pub(super) fn algorithms(&self) -> Option<&[String]> {
        self.algorithm.as_ref().map(|names| names.0.as_slice())
    }

    /// A key that means something only with an algorithm.
    fn something_else(&self) -> Option<&'static str> {
        let set = [
            ("hmac_key", self.hmac_key.is_some()),
            ("hmac_key_file", self.hmac_key_file.is_some()),
            ("public_key_file", self.public_key_file.is_some()),
            ("keys", !self.keys.is_empty()),
            ("jwks_file", self.jwks_file.is_some()),
            ("jwks_url", self.jwks_url.is_some()),
            ("audience", self.audience.is_some()),
            ("issuer", self.issuer.is_some()),
        ];
        set.iter()
            .find(|(_, is_set)| *is_set)
            .map(|(name, _)| *name)
    }

    fn family(&self) -> Result<Option<Algorithms>, Fault> {
        let at = key("algorithm");
        let Some(names) = self.algorithms() else {
            return match self.something_else() {
                None => Ok(None),
                Some(name) => Err(Fault::new(
                    key(name),
                    "needs token.algorithm, which is not set",
                )),
            };
        };
        let algorithms = names.iter().map(|name| {
            let algorithm = name.parse::<Algorithm>();
            algorithm.map_err(|error| Fault::new(at.clone(), format!("{error}, not {name:?}")))
        });
        let algorithms: Vec<_> = algorithms.collect::<Result<_, _>>()?;
        let algorithms = Algorithms::new(&algorithms);
        algorithms
            .map(Some)
            .map_err(|error| Fault::new(at.clone(), error.to_string()))
    }

    /// The secret of HS, wherever it is.
    fn hmac_key(&self) -> Result<Option<(Key, Vec<u8>)>, Fault> {
        match (&self.hmac_key, &self.hmac_key_file) {
            (None, None) => Ok(None),
            (Some(secret), None) => Ok(Some((key("hmac_key"), secret.clone().into_bytes()))),
            (None, Some(path)) => {
                let at = key("hmac_key_file");
                let secret = without_newline(read(&at, path)?);
                Ok(Some((at, secret)))
            }
            (Some(_), Some(_)) => Err(Fault::new(
                key("hmac_key_file"),
                "there is token.hmac_key already",
            )),
        }
    }
}

/// None: there are no tokens.
pub(super) fn check(token: &Token) -> Result<Option<TokenSettings>, Fault> {
    let Some(algorithms) = token.family()? else {
        return Ok(None);
    };
    let demands = Demands {
        audience: not_empty("audience", token.audience.as_ref())?,
        issuer: not_empty("issuer", token.issuer.as_ref())?,
        leeway: seconds_or_zero(key("leeway"), token.leeway)?,
    };
    let at = key("jwks_refresh_interval");
    let refresh_interval = seconds_or_zero(at.clone(), token.jwks_refresh_interval)?;
    if refresh_interval < JWKS_REFRESH_MIN {
        let why = format!("must be at least {}", JWKS_REFRESH_MIN.as_secs());
        return Err(Fault::new(at, why));
    }
    let jwks = token.jwks_url.as_ref().map(|url| {
        check_url(url).map(|()| JwksUrl {
            url: url.clone(),
            refresh_interval,
        })
    });
    let jwks = jwks.transpose()?;
    let mut keys = keys(token, algorithms)?;
    if jwks.is_some() {
        keys.expect_more();
    } else if keys.is_empty() {
        let sources = match keys.algorithms().family() {
            Family::Hmac => "hmac_key, hmac_key_file, keys, jwks_file or jwks_url",
            Family::Rsa | Family::Ec => "public_key_file, keys, jwks_file or jwks_url",
        };
        let why = format!("{} needs a key: {sources}", keys.algorithms());
        return Err(Fault::new(key("algorithm"), why));
    }
    Ok(Some(TokenSettings {
        keys,
        demands,
        jwks,
    }))
}

fn keys(token: &Token, algorithms: Algorithms) -> Result<Keys, Fault> {
    let is_secret = algorithms.family() == Family::Hmac;
    let mut keys = Keys::new(algorithms);
    let mut add = |at: Key, id: Option<&str>, bytes: &[u8]| {
        let added = keys.add(id, bytes);
        added.map_err(|error| Fault::new(at, error.to_string()))
    };
    if !is_secret && (token.hmac_key.is_some() || token.hmac_key_file.is_some()) {
        let name = if token.hmac_key.is_some() {
            "hmac_key"
        } else {
            "hmac_key_file"
        };
        return Err(Fault::new(key(name), "is for HS algorithms alone"));
    }
    if let Some((at, secret)) = token.hmac_key()? {
        add(at, None, &secret)?;
    }
    if let Some(path) = &token.public_key_file {
        let at = key("public_key_file");
        if is_secret {
            return Err(Fault::new(at, "is not for HS algorithms: want hmac_key"));
        }
        add(at.clone(), None, &read(&at, path)?)?;
    }
    for (id, value) in &token.keys {
        let at = key("keys").join(id);
        if is_secret {
            add(at, Some(id), value.as_bytes())?;
        } else {
            add(at.clone(), Some(id), &read(&at, value)?)?;
        }
    }
    if let Some(path) = &token.jwks_file {
        let at = key("jwks_file");
        let set = read(&at, path)?;
        let added = keys.add_set(&String::from_utf8_lossy(&set));
        added.map_err(|error| Fault::new(at, format!("{path}: {error}")))?;
    }
    Ok(keys)
}

/// What `fanfare token` takes from a config.
pub(super) fn signing(token: &Token) -> Result<Signing, Fault> {
    let algorithms = token.family()?;
    let is_secret = algorithms
        .as_ref()
        .is_some_and(|all| all.family() == Family::Hmac);
    let secrets = token.keys.iter().filter(|_| is_secret);
    let secrets = secrets.map(|(id, secret)| (id.clone(), secret.clone().into_bytes()));
    Ok(Signing {
        algorithm: algorithms.map(|all| all.first()),
        hmac_key: token.hmac_key()?.map(|(_, secret)| secret),
        hmac_keys: secrets.collect(),
        audience: token.audience.clone(),
        issuer: token.issuer.clone(),
    })
}

/// What an operator may not have meant.
pub(super) fn doubts(token: &Token) -> Vec<String> {
    let mut doubts = Vec::new();
    let algorithms = token.family().ok().flatten();
    let algorithms = algorithms.iter().filter(|all| all.family() == Family::Hmac);
    for algorithms in algorithms {
        // RFC 7518 §3.2: as long as the hash. HS256, HS384, HS512.
        let name = algorithms.first().name();
        let bytes_min = name[2..].parse::<usize>().map_or(32, |bits| bits / 8);
        let named = token
            .keys
            .iter()
            .map(|(id, secret)| (format!("keys.{id}"), secret));
        let unnamed = token
            .hmac_key
            .iter()
            .map(|secret| ("hmac_key".to_owned(), secret));
        let short = unnamed
            .chain(named)
            .filter(|(_, secret)| secret.len() < bytes_min);
        doubts.extend(short.map(|(name_of_key, _)| {
            format!("token.{name_of_key} is short: {name} wants {bytes_min} random bytes")
        }));
    }
    if let Some(url) = token.jwks_url.as_ref().filter(|url| !is_safe(url)) {
        doubts.push(format!(
            "token.jwks_url: whoever is on the way to {url} may put in keys of their own; https:// prevents it"
        ));
    }
    if token.audience.is_none() && (token.jwks_url.is_some() || token.jwks_file.is_some()) {
        doubts.push(
            "token.audience is not set: tokens that the issuer makes for others are taken, too"
                .to_owned(),
        );
    }
    doubts
}

fn check_url(url: &str) -> Result<(), Fault> {
    let uri: Option<Uri> = url.parse().ok();
    let is_good = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && !uri
                .authority()
                .is_some_and(|name| name.as_str().contains('@'))
    });
    if is_good {
        return Ok(());
    }
    let why = "want https://host/path, without a user";
    Err(Fault::new(key("jwks_url"), why))
}

/// HTTPS, or this machine.
fn is_safe(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        uri.scheme_str() == Some("https") || host == "localhost" || is_loopback
    })
}

fn not_empty(name: &str, value: Option<&String>) -> Result<Option<String>, Fault> {
    if value.is_some_and(String::is_empty) {
        return Err(Fault::new(key(name), "must not be empty"));
    }
    Ok(value.cloned())
}

fn key(name: &str) -> Key {
    ["token", name].into()
}

fn read(at: &Key, path: &str) -> Result<Vec<u8>, Fault> {
    read_key_file(path.as_ref()).map_err(|error| Fault::new(at.clone(), format!("{path}: {error}")))
}

/// A secret as its file has it: an editor ends it with a newline.
pub(crate) fn without_newline(mut secret: Vec<u8>) -> Vec<u8> {
    let end = secret.strip_suffix(b"\n").unwrap_or(&secret);
    let end = end.strip_suffix(b"\r").unwrap_or(end).len();
    secret.truncate(end);
    secret
}

/// A file that holds a key.
pub(crate) fn read_key_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(KEY_FILE_BYTES_MAX as u64 + 1);
    if file.read_to_end(&mut bytes)? > KEY_FILE_BYTES_MAX {
        return Err(io::Error::other("too long for a key"));
    }
    Ok(bytes)
}
