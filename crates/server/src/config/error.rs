//! Why a config is refused: always the operator's doing. In: what figment, toml and the checks say. Out:
//! one line that begins with where it stands and names the whole key.
//!
//! Never: repeats a secret; breaks its line, whatever a key or a value holds.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use figment::error::{Actual, Kind};

/// A key, from the outermost table inwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Key(pub(super) Vec<String>);

impl<const N: usize> From<[&str; N]> for Key {
    fn from(segments: [&str; N]) -> Self {
        Self(segments.map(str::to_owned).into())
    }
}

impl Key {
    /// This key's `name`.
    pub(super) fn join(&self, name: &str) -> Self {
        let mut key = self.clone();
        key.0.push(name.to_owned());
        key
    }

    fn is_secret(&self) -> bool {
        let key = self.0.get(1).map(String::as_str);
        match self.0.first().map(String::as_str) {
            Some("api") => key.is_none_or(|key| key == "keys"),
            Some("token") => key.is_none_or(|key| key == "keys" || key == "hmac_key"),
            _ => false,
        }
    }
}

impl fmt::Display for Key {
    /// Dotted, as TOML has it: a segment that is no bare key is quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        for (n, segment) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(".")?;
            }
            if !segment.is_empty() && segment.bytes().all(is_bare) {
                f.write_str(segment)?;
            } else {
                write!(f, "{segment:?}")?;
            }
        }
        Ok(())
    }
}

/// What is wrong with a key's value, wherever it came from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) key: Key,
    pub(super) why: String,
}

impl Fault {
    pub(super) fn new(key: impl Into<Key>, why: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            why: why.into(),
        }
    }
}

/// Why a config is refused, in one line.
#[derive(Debug)]
pub(crate) struct ConfigError(Blame);

#[derive(Debug)]
enum Blame {
    /// The file cannot be read.
    Unreadable { path: PathBuf, error: io::Error },
    /// The file is no TOML.
    NoToml {
        path: PathBuf,
        line: usize,
        why: String,
    },
    /// A variable is no UTF-8, or names no key.
    Variable { name: String, why: &'static str },
    /// A key that there is not, or a value that it can't have.
    Value {
        /// A file, a variable or a flag; none if it is a default.
        origin: Option<String>,
        fault: Fault,
    },
}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, error: io::Error) -> Self {
        Self(Blame::Unreadable {
            path: path.into(),
            error,
        })
    }

    /// `text` is what `error` speaks of.
    pub(super) fn no_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.as_bytes().iter().take(at);
        Self(Blame::NoToml {
            path: path.into(),
            line: 1 + before.filter(|&&b| b == b'\n').count(),
            why: error.message().replace('\n', " "),
        })
    }

    pub(super) fn variable(name: impl Into<String>, why: &'static str) -> Self {
        let name = name.into();
        Self(Blame::Variable { name, why })
    }

    pub(super) const fn value(origin: Option<String>, fault: Fault) -> Self {
        Self(Blame::Value { origin, fault })
    }
}

impl From<figment::Error> for ConfigError {
    fn from(error: figment::Error) -> Self {
        let key = Key(error.path);
        let why = match error.kind {
            Kind::UnknownField(_, known) => format!("no such key; there are {}", known.join(", ")),
            Kind::UnknownVariant(found, known) => {
                format!("want {}, not {found:?}", known.join(", "))
            }
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                let expected = plain(&expected);
                if key.is_secret() {
                    format!("want {expected}")
                } else {
                    format!("want {expected}, not {}", shown(&found))
                }
            }
            other => other.to_string().replace('\n', " "),
        };
        let origin = error.metadata.map(|metadata| metadata.name.into_owned());
        Self::value(origin, Fault { key, why })
    }
}

/// What serde expects, in an operator's words.
fn plain(expected: &str) -> String {
    let is_integer = |text: &str| {
        text.strip_prefix(['u', 'i'])
            .is_some_and(|bits| bits == "size" || bits.parse::<u8>().is_ok())
    };
    match expected {
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "f64" => "a number".into(),
        _ if expected.starts_with("a nonzero ") => "a whole number of at least 1".into(),
        _ if expected.starts_with("struct ") || expected == "a map" => "a table".into(),
        _ if expected.starts_with("enum ") => "a string".into(),
        _ if is_integer(expected) => "a whole number of at least 0".into(),
        _ => expected.replace('\n', " "),
    }
}

fn shown(found: &Actual) -> String {
    match found {
        Actual::Bool(found) => found.to_string(),
        Actual::Unsigned(found) => found.to_string(),
        Actual::Signed(found) => found.to_string(),
        Actual::Float(found) => found.to_string(),
        Actual::Char(found) => format!("{found:?}"),
        Actual::Str(found) => format!("{found:?}"),
        Actual::Seq => "a list".into(),
        Actual::Map | Actual::Enum => "a table".into(),
        other => other.to_string().replace('\n', " "),
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Blame::Unreadable { path, error } => write!(f, "{}: {error}", path.display()),
            Blame::NoToml { path, line, why } => write!(f, "{}:{line}: {why}", path.display()),
            Blame::Variable { name, why } => write!(f, "{name}: {why}"),
            Blame::Value { origin, fault } => match origin {
                // A flag is a key, by another name.
                Some(flag) if flag.starts_with("--") => write!(f, "{flag}: {}", fault.why),
                Some(origin) => write!(f, "{origin}: {}: {}", fault.key, fault.why),
                None => write!(f, "{}: {}", fault.key, fault.why),
            },
        }
    }
}

impl std::error::Error for ConfigError {}
