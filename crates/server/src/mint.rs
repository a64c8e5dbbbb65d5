//! `fanfare token`. In: flags, the `[token]` of a config. Out: a JWT, or one line that names the flag at fault.
//!
//! Never: makes a token that the daemon would not take by the same config, unless a flag asks for it; repeats a
//! key.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use fanfare_protocol::token::{Algorithm, AlgorithmError, Claims, Family, Issuer};
use serde_json::value::RawValue;

use crate::clock::Clock;
use crate::config::{Signing, Sources, read_key_file, without_newline};

/// How long a token holds unless that is said. Seconds.
const EXPIRES_IN: u64 = 3600;

#[derive(Args)]
pub(crate) struct Token {
    /// Whose it is; without it an anonymous client's.
    #[arg(long, value_name = "USER", default_value = "")]
    user: String,

    /// The channel that it lets USER subscribe to.
    #[arg(long, value_name = "CHANNEL", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    channel: Option<String>,

    /// How long it holds; 0: for ever.
    #[arg(long, value_name = "SECONDS", default_value_t = EXPIRES_IN)]
    expires_in: u64,

    /// What other clients learn of this one.
    #[arg(long, value_name = "JSON")]
    info: Option<String>,

    /// Channels that the client is subscribed to when it connects: a,b.
    #[arg(
        long,
        value_name = "CHANNELS",
        value_delimiter = ',',
        conflicts_with = "channel"
    )]
    channels: Vec<String>,

    /// A config file of `serve`, for what it says of tokens.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// How it is signed, such as HS256, RS256 or ES256 [default: the config's first, or HS256].
    #[arg(long, value_name = "ALGORITHM", value_parser = algorithm)]
    algorithm: Option<Algorithm>,

    /// HS: the secret. Other users of this machine may see it; --key-file hides it.
    #[arg(long, value_name = "SECRET", conflicts_with = "key_file")]
    key: Option<String>,

    /// A file with the secret, or for RS, PS and ES with the private key in PEM (PKCS #8).
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// The key's name: `kid`; with --config the one of [token.keys].
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,

    /// For whom it is: `aud` [default: the config's].
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,

    /// Whose it is: `iss` [default: the config's].
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
}

/// A key, and its name.
type Named = (Vec<u8>, Option<String>);

impl Token {
    /// The token.
    ///
    /// # Errors
    ///
    /// A line that names the flag, or the config's key.
    pub(crate) fn issue(
        self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<String, String> {
        let has_key = self.key.is_some() || self.key_file.is_some();
        let signing = if self.config.is_some() || !has_key {
            let sources = Sources::new(self.config.clone(), environment, false);
            sources.read_signing().map_err(|error| error.to_string())?
        } else {
            Signing::default()
        };
        let algorithm = self.algorithm.or(signing.algorithm);
        let algorithm = algorithm.unwrap_or(Algorithm::Hs256);
        let (key, id) = self.key(&signing, algorithm)?;
        let flag = match (&self.key, &self.key_file) {
            (Some(_), _) => "--key",
            (_, Some(_)) => "--key-file",
            _ => "the key of [token]",
        };
        let issuer = Issuer::new(algorithm, &key);
        let issuer = issuer
            .map_err(|error| format!("{flag}: {error}"))?
            .with_key_id(id)
            .with_audience(self.audience.clone().or(signing.audience))
            .with_issuer(self.issuer.clone().or(signing.issuer));
        let clock = Clock::start();
        let now = clock.for_hub(clock.read());
        let claims = self.claims(now)?;
        issuer
            .issue(&claims, now)
            .map_err(|error| error.to_string())
    }

    fn claims(self, now: fanfare_hub::Time) -> Result<Claims, String> {
        if let Some(info) = &self.info {
            let read = serde_json::from_str::<&RawValue>(info);
            read.map_err(|error| format!("--info: not JSON: {error}"))?;
        }
        if self.channels.iter().any(String::is_empty) {
            return Err("--channels: want names with commas between them, such as a,b".to_owned());
        }
        let lifetime = Duration::from_secs(self.expires_in);
        Ok(Claims {
            user: self.user,
            expires_at: (!lifetime.is_zero()).then(|| now + lifetime),
            info: self.info.map(Bytes::from),
            channels: self.channels,
            channel: self.channel.unwrap_or_default(),
            ..Claims::default()
        })
    }

    fn key(&self, signing: &Signing, algorithm: Algorithm) -> Result<Named, String> {
        let is_secret = algorithm.family() == Family::Hmac;
        if let Some(key) = &self.key {
            return Ok((key.clone().into_bytes(), self.key_id.clone()));
        }
        if let Some(path) = &self.key_file {
            let key = read_key_file(path);
            let key = key.map_err(|error| format!("--key-file: {}: {error}", path.display()))?;
            let key = if is_secret { without_newline(key) } else { key };
            return Ok((key, self.key_id.clone()));
        }
        if !is_secret {
            return Err(format!(
                "--key-file: is missing: {algorithm} signs with a private key, which no config holds"
            ));
        }
        let named = &signing.hmac_keys;
        match (&self.key_id, &signing.hmac_key) {
            (Some(id), _) => match named.get(id) {
                Some(key) => Ok((key.clone(), Some(id.clone()))),
                None => Err(format!("--key-id: [token.keys] has no {id:?}")),
            },
            (None, Some(key)) => Ok((key.clone(), None)),
            (None, None) => match named.iter().next() {
                Some((id, key)) if named.len() == 1 => Ok((key.clone(), Some(id.clone()))),
                Some(_) => Err("--key-id: is missing: [token.keys] has several".to_owned()),
                None => Err(
                    "--key: is missing, and so are --key-file and a --config that has a secret in [token]"
                        .to_owned(),
                ),
            },
        }
    }
}

impl fmt::Debug for Token {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("user", &self.user)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    name.parse()
        .map_err(|error: AlgorithmError| error.to_string())
}
