//! Where settings come from: a file, then the environment, then flags; the later wins. In: a path, names
//! and values. Out: a [`ServeConfig`], or one line that says which of them is wrong.
//!
//! Each variable and each flag is a source of its own to figment, which remembers for every value where
//! it came from.
//!
//! Never: asks the process for its environment or its flags; it can be read again, for a reload.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::ServeConfig;
use super::check::check;
use super::error::{ConfigError, Key};
use super::file::File;
use super::token::{self, Signing};

/// What a variable that is a setting begins with.
const PREFIX: &str = "FANFARE_";

/// What begins so and is none: the project's own scripts and tests read it.
const NO_SETTINGS: [&str; 3] = ["FANFARE_BIN", "FANFARE_SEED", "FANFARE_WORK"];

/// What parts the levels of a key in a variable's name.
const LEVEL: &str = "__";

/// Everything that has a say in the settings.
pub(crate) struct Sources {
    file: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    flags: Vec<Layer>,
    is_dev: bool,
}

impl Sources {
    /// `environment` is the whole of it: what is no setting is left out here.
    pub(crate) fn new(
        file: Option<PathBuf>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        is_dev: bool,
    ) -> Self {
        let is_setting = |(name, _): &(OsString, _)| {
            name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
                && NO_SETTINGS.iter().all(|other| name != other)
        };
        let mut environment: Vec<_> = environment.into_iter().filter(is_setting).collect();
        environment.sort(); // so that the same environment gives the same error
        Self {
            file,
            environment,
            flags: Vec::new(),
            is_dev,
        }
    }

    /// Adds `flag`, which sets the top-level `key`, if it is given.
    pub(crate) fn flag(
        mut self,
        flag: &'static str,
        key: &str,
        value: Option<impl Into<Value>>,
    ) -> Self {
        if let Some(value) = value {
            let settings = Dict::from([(key.to_owned(), value.into())]);
            self.flags.push(Layer::new(flag, settings));
        }
        self
    }

    /// What is checked, for people: the file, if there is one.
    pub(crate) fn name(&self) -> String {
        match &self.file {
            Some(path) => path.display().to_string(),
            None => "environment".into(),
        }
    }

    /// Reads and checks it all.
    ///
    /// # Errors
    ///
    /// The first fault that is found.
    pub(crate) fn read(&self) -> Result<ServeConfig, ConfigError> {
        let (figment, file) = self.extract()?;
        check(&file, self.is_dev)
            .map_err(|fault| ConfigError::value(origin(&figment, &fault.key), fault))
    }

    /// Reads what tokens are signed with, and checks no more than that.
    ///
    /// # Errors
    ///
    /// The first fault that is found.
    pub(crate) fn read_signing(&self) -> Result<Signing, ConfigError> {
        let (figment, file) = self.extract()?;
        token::signing(&file.token)
            .map_err(|fault| ConfigError::value(origin(&figment, &fault.key), fault))
    }

    fn extract(&self) -> Result<(Figment, File), ConfigError> {
        let mut figment = Figment::new();
        if let Some(path) = &self.file {
            figment = figment.merge(read_file(path)?);
        }
        for (name, value) in &self.environment {
            figment = figment.merge(read_variable(name, value)?);
        }
        for flag in &self.flags {
            figment = figment.merge(flag);
        }
        let file = figment.extract()?;
        Ok((figment, file))
    }
}

impl fmt::Debug for Sources {
    /// Without values, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables = self.environment.iter().map(|(name, _)| name);
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("environment", &variables.collect::<Vec<_>>())
            .field("flags", &self.flags.len())
            .field("is_dev", &self.is_dev)
            .finish()
    }
}

/// One source, as figment takes it.
struct Layer {
    /// As an error names it.
    name: String,
    settings: Dict,
}

impl Layer {
    fn new(name: impl Into<String>, settings: Dict) -> Self {
        Self {
            name: name.into(),
            settings,
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.settings.clone()))
    }
}

fn read_file(path: &Path) -> Result<Layer, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, error))?;
    let table: toml::Table =
        toml::from_str(&text).map_err(|error| ConfigError::no_toml(path, &text, &error))?;
    Ok(Layer::new(path.display().to_string(), dict(table)))
}

/// `FANFARE_A__B=1` is `a.b = 1`.
fn read_variable(name: &OsString, value: &OsString) -> Result<Layer, ConfigError> {
    let Some(name) = name.to_str() else {
        let name = name.to_string_lossy();
        return Err(ConfigError::variable(name, "its name is not UTF-8"));
    };
    let Some(value) = value.to_str() else {
        return Err(ConfigError::variable(name, "its value is not UTF-8"));
    };
    let key = name[PREFIX.len()..].to_ascii_lowercase();
    if key.split(LEVEL).any(str::is_empty) {
        return Err(ConfigError::variable(
            name,
            "a level of the key has no name",
        ));
    }
    let mut levels = key.rsplit(LEVEL);
    let leaf = levels.next().unwrap_or_default();
    let mut settings = Dict::from([(leaf.to_owned(), variable_value(value))]);
    for level in levels {
        settings = Dict::from([(level.to_owned(), Value::from(settings))]);
    }
    Ok(Layer::new(name, settings))
}

/// A value as TOML has it, such as `10`, `true` or `["a"]`; what is no such value is a string.
fn variable_value(text: &str) -> Value {
    let text_itself = || Value::from(text);
    let Ok(mut table) = toml::from_str::<toml::Table>(&format!("value = {text}")) else {
        return text_itself();
    };
    match (table.remove("value"), table.is_empty()) {
        // No key is a date, but a string may look like one.
        (Some(toml::Value::Datetime(_)) | None, _) | (_, false) => text_itself(),
        (Some(value), true) => convert(value),
    }
}

fn dict(table: toml::Table) -> Dict {
    let entries = table.into_iter();
    entries.map(|(key, value)| (key, convert(value))).collect()
}

fn convert(value: toml::Value) -> Value {
    match value {
        toml::Value::String(value) => value.into(),
        toml::Value::Integer(value) => value.into(),
        toml::Value::Float(value) => value.into(),
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Datetime(value) => value.to_string().into(),
        toml::Value::Array(values) => {
            let values = values.into_iter().map(convert).collect();
            Value::Array(Tag::Default, values)
        }
        toml::Value::Table(table) => dict(table).into(),
    }
}

/// Where the value of `key` came from: the file, the variable or the flag; none if nobody set it.
fn origin(figment: &Figment, key: &Key) -> Option<String> {
    let mut segments = key.0.iter();
    let top = figment.find_value(segments.next()?).ok()?;
    let mut value = &top;
    for segment in segments {
        let inner = match value {
            Value::Dict(_, dict) => dict.get(segment),
            Value::Array(_, values) => segment.parse().ok().and_then(|n: usize| values.get(n)),
            _ => None,
        };
        value = inner?;
    }
    let metadata = figment.get_metadata(value.tag())?;
    Some(metadata.name.to_string())
}
