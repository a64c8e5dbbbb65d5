//! What a config opens, in people's words. In: what is written. Out: a line for the log, and one for
//! `check-config`.
//!
//! Never: decides what is open; says what a key is.

use std::fmt;

use super::file::File;

/// What is open, and to whom.
#[derive(Debug)]
pub(crate) struct Exposure {
    is_dev: bool,
    has_echo: bool,
    has_default_namespace: bool,
    namespaces: Vec<String>,
    api_keys: usize,
}

impl Exposure {
    pub(super) fn of(file: &File, is_dev: bool) -> Self {
        Self {
            is_dev,
            has_echo: file.echo || is_dev,
            has_default_namespace: file.default_namespace.is_some(),
            namespaces: file.namespaces.keys().cloned().collect(),
            api_keys: file.api.keys.len(),
        }
    }

    /// Neither a channel nor the API.
    fn is_nothing(&self) -> bool {
        !self.is_dev
            && !self.has_default_namespace
            && self.namespaces.is_empty()
            && self.api_keys == 0
    }

    /// Tells the log what an operator may not have meant.
    pub(crate) fn log(&self) {
        if self.is_dev {
            tracing::info!(
                "--dev: whoever reaches this machine's loopback may use every channel, the API without \
                 a key, and /echo; so may pages that this machine serves"
            );
        } else if self.is_nothing() {
            tracing::warn!(
                "nothing is open: there is no channel, and nobody may use the API. [default_namespace], \
                 [namespaces.NAME] and api.keys in a --config file open them (`fanfare default-config` \
                 explains each key); --dev opens everything to this machine alone"
            );
        }
    }
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = self.has_default_namespace.then_some("the default");
        let named = self.namespaces.iter().map(String::as_str);
        let any = self.is_dev.then_some("any (--dev)");
        let namespaces: Vec<&str> = default.into_iter().chain(named).chain(any).collect();
        if namespaces.is_empty() {
            f.write_str("no channels")?;
        } else {
            write!(f, "namespaces: {}", namespaces.join(", "))?;
        }
        match self.api_keys {
            _ if self.is_dev => f.write_str("; API open")?,
            0 => f.write_str("; API closed, it has no key")?,
            1 => f.write_str("; API with 1 key")?,
            keys => write!(f, "; API with {keys} keys")?,
        }
        f.write_str(if self.has_echo { "; /echo open" } else { "" })
    }
}
