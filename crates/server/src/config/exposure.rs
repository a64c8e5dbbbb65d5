//! What a config opens, in people's words. In: what is written. Out: a line for the log, and one for
//! `check-config`.
//!
//! Never: decides what is open; says what a key is.

use std::fmt;
use std::time::Duration;

use fanfare_hub::Asker;

use super::file::{File, Namespace};
use super::token;

/// What is open, and to whom.
#[derive(Debug)]
pub(crate) struct Exposure {
    is_dev: bool,
    has_echo: bool,
    has_default_namespace: bool,
    namespaces: Vec<String>,
    api_keys: usize,
    has_public_metrics: bool,
    /// What they are signed with.
    tokens: Option<String>,
    doubts: Vec<String>,
}

impl Exposure {
    pub(super) fn of(file: &File, is_dev: bool) -> Self {
        Self {
            is_dev,
            has_echo: file.echo || is_dev,
            has_default_namespace: file.default_namespace.is_some(),
            namespaces: file.namespaces.keys().cloned().collect(),
            api_keys: file.api.keys.len(),
            has_public_metrics: file.metrics.public,
            tokens: file.token.algorithms().map(|names| names.join(", ")),
            doubts: without_effect(file)
                .into_iter()
                .chain(token::doubts(&file.token))
                .collect(),
        }
    }

    /// What an operator may not have meant, a line each: permissions that permit nothing, and tokens
    /// that others could make or use.
    pub(crate) fn doubts(&self) -> &[String] {
        &self.doubts
    }

    /// Neither a channel nor the API.
    fn is_nothing(&self) -> bool {
        !self.is_dev
            && !self.has_default_namespace
            && self.namespaces.is_empty()
            && self.api_keys == 0
    }

    /// Tells the log what is open if it is all or nothing, and [`doubts`](Self::doubts).
    pub(crate) fn log(&self) {
        for doubt in self.doubts() {
            tracing::warn!("{doubt}");
        }
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
        if let Some(tokens) = &self.tokens {
            write!(f, "; tokens signed with {tokens}")?;
        }
        if self.has_public_metrics {
            f.write_str("; /metrics open")?;
        }
        f.write_str(if self.has_echo { "; /echo open" } else { "" })
    }
}

/// Permissions of anonymous clients that add to none, and so open nothing.
fn without_effect(file: &File) -> Vec<String> {
    let default = file.default_namespace.iter();
    let default = default.map(|namespace| ("default_namespace".to_owned(), namespace));
    let named = file.namespaces.iter();
    let named = named.map(|(name, namespace)| (format!("namespaces.{name}"), namespace));
    let mut doubts = Vec::new();
    for (key, namespace) in default.chain(named) {
        let permissions = permissions_of_anonymous(namespace);
        let lone = permissions
            .iter()
            .filter(|(_, is_set, permits)| *is_set && !permits);
        doubts.extend(lone.map(|(action, ..)| {
            format!(
                "{key}.allow_{action}_for_anonymous permits nothing without \
                 allow_{action}_for_client, or _for_subscriber where there is one"
            )
        }));
    }
    doubts
}

/// Of each: whether it is set, and whether it permits something.
fn permissions_of_anonymous(namespace: &Namespace) -> [(&'static str, bool, bool); 4] {
    let options = namespace.options(Duration::ZERO, Duration::ZERO);
    let asker = Asker {
        is_anonymous: true,
        is_subscribed: true,
    };
    [
        (
            "subscribe",
            options.allow_subscribe_for_anonymous,
            options.allows_subscribe(asker),
        ),
        (
            "publish",
            options.allow_publish_for_anonymous,
            options.allows_publish(asker),
        ),
        (
            "presence",
            options.allow_presence_for_anonymous,
            options.allows_presence(asker),
        ),
        (
            "history",
            options.allow_history_for_anonymous,
            options.allows_history(asker),
        ),
    ]
}
