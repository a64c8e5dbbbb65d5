//! New settings for a daemon that runs: SIGHUP. In: the sources once more. Out: what may change in place
//! of the old, and a word on everything that differs.
//!
//! Never: leaves half of a config in force; says what a secret is.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use figment::value::Value;

use super::Sources;
use super::file::File;
use super::live::SharedLive;
use crate::logging::{self, LogLevel};

/// Keys, and tables of keys, that a reload changes; every other needs a restart.
pub(super) const RELOADABLE: [&str; 27] = [
    "api.keys",
    "client.allow_anonymous",
    "client.connect_timeout",
    "client.expiry_grace",
    "client.max_commands_per_second",
    "client.max_connections_per_user",
    "client.personal_channels",
    "client.personal_namespace",
    "client.ping_interval",
    "client.pong_timeout",
    "client.token_cookie",
    "default_namespace",
    "hooks.connect",
    "hooks.emulated_headers",
    "hooks.headers",
    "hooks.refresh",
    "hooks.rpc",
    "hooks.timeout",
    "log_level",
    "metrics.public",
    "namespaces",
    "publication.max_bytes",
    "tls",
    "token",
    "websocket.allowed_origins",
    "websocket.response_headers",
    "websocket.subprotocols",
];

/// Every key's value, to compare with another config's.
#[derive(Clone)]
pub(super) struct Settings(Value);

impl Settings {
    pub(super) fn of(file: &File) -> Self {
        Self(Value::serialize(file).expect("the shapes are tables of plain values"))
    }

    /// The keys whose values are not the same in `other`. A table that is there in one of them alone
    /// is one key.
    fn differing(&self, other: &Self) -> Vec<String> {
        let mut keys = Vec::new();
        differing("", Some(&self.0), Some(&other.0), &mut keys);
        keys
    }
}

impl fmt::Debug for Settings {
    /// Some are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settings")
    }
}

/// What a daemon was started with and what it was told since; a reload compares with it.
#[derive(Debug)]
pub(crate) struct Running {
    at_start: Settings,
    /// Locked for as long as a reload takes: two of them would mix.
    now: Mutex<Settings>,
}

impl Running {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            at_start: settings.clone(),
            now: Mutex::new(settings),
        }
    }
}

/// What a reload has come to: names of keys.
#[derive(Debug, PartialEq, Eq)]
struct Changes {
    /// In force now.
    applied: Vec<String>,
    /// Not as the daemon was started, and not in force before it is started again.
    pending: Vec<String>,
}

/// Reads `sources` again. If they hold a valid config, what may change is in `live` from now on;
/// otherwise everything stays. The log says what has happened either way.
pub(crate) fn reload(sources: &Sources, running: &Running, live: &SharedLive) {
    let mut now = running.now.lock().unwrap_or_else(PoisonError::into_inner);
    let config = match sources.read() {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("reload: {error}; the settings stay as they were");
            return;
        }
    };
    let log_level = config.log_level;
    let changes = Changes::between(&running.at_start, &now, &config.running.at_start);
    *now = config.running.at_start;
    live.store(Arc::new(config.live));
    if changes.applied.is_empty() {
        tracing::info!("reload: no setting has changed that a reload changes");
    } else {
        tracing::info!("reload: changed {}", changes.applied.join(", "));
    }
    if changes.applied.iter().any(|key| key == "log_level") {
        set_level(log_level);
    }
    for key in &changes.pending {
        tracing::warn!("reload: {key} has changed, but stays as it was until a restart");
    }
}

impl Changes {
    fn between(at_start: &Settings, now: &Settings, new: &Settings) -> Self {
        let mut applied = now.differing(new);
        applied.retain(|key| is_reloadable(key));
        let mut pending = at_start.differing(new);
        pending.retain(|key| !is_reloadable(key));
        Self { applied, pending }
    }
}

fn set_level(level: LogLevel) {
    if !logging::set_level(level) {
        tracing::warn!("reload: log_level has no effect while RUST_LOG is set");
    }
}

fn is_reloadable(key: &str) -> bool {
    RELOADABLE.iter().any(|reloadable| {
        key.strip_prefix(reloadable)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

fn differing(key: &str, old: Option<&Value>, new: Option<&Value>, keys: &mut Vec<String>) {
    if let (Some(Value::Dict(_, old)), Some(Value::Dict(_, new))) = (old, new) {
        let gone = old.keys().filter(|name| !new.contains_key(*name));
        for name in gone.chain(new.keys()) {
            let dot = if key.is_empty() { "" } else { "." };
            let inner = format!("{key}{dot}{name}");
            differing(&inner, old.get(name), new.get(name), keys);
        }
    } else if old != new {
        keys.push(key.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::of(&toml::from_str(text).expect("valid settings"))
    }

    fn changes(at_start: &str, now: &str, new: &str) -> (Vec<String>, Vec<String>) {
        let [at_start, now, new] = [at_start, now, new].map(settings);
        let Changes { applied, pending } = Changes::between(&at_start, &now, &new);
        (applied, pending)
    }

    #[test]
    fn what_a_reload_changes_is_named_and_what_it_cannot_change_too() {
        let old = "
            listen = '127.0.0.1:1'
            websocket.subprotocols = ['a']
            namespaces.chat.presence = true
            namespaces.gone.presence = true
        ";
        let new = "
            listen = '127.0.0.1:2'
            workers = 3
            log_level = 'debug'
            websocket.max_output_bytes = 1
            websocket.subprotocols = ['a', 'b']
            websocket.allowed_origins = ['*']
            websocket.response_headers = ['A: b']
            publication.max_bytes = 1
            api.keys = ['12345678']
            api.max_body_bytes = 1
            default_namespace.presence = true
            namespaces.chat.presence = false
            namespaces.new.presence = true
        ";
        let (mut applied, mut pending) = changes(old, old, new);
        applied.sort();
        pending.sort();
        let reloaded = [
            "api.keys",
            "default_namespace",
            "log_level",
            "namespaces.chat.presence",
            "namespaces.gone",
            "namespaces.new",
            "publication.max_bytes",
            "websocket.allowed_origins",
            "websocket.response_headers",
            "websocket.subprotocols",
        ];
        assert_eq!(applied, reloaded);
        let restart = [
            "api.max_body_bytes",
            "listen",
            "websocket.max_output_bytes",
            "workers",
        ];
        assert_eq!(pending, restart);
    }

    #[test]
    fn what_needs_a_restart_is_named_until_it_is_as_at_the_start() {
        let start = "echo = false";
        let other = "echo = true";
        let echo = || vec!["echo".to_owned()];
        assert_eq!(changes(start, start, start), (vec![], vec![]));
        assert_eq!(changes(start, start, other), (vec![], echo()));
        assert_eq!(changes(start, other, other), (vec![], echo()));
        assert_eq!(changes(start, other, start), (vec![], vec![]));
        // And what has been applied is named once.
        let level = "log_level = 'warn'";
        let named = || vec!["log_level".to_owned()];
        assert_eq!(changes("", "", level), (named(), vec![]));
        assert_eq!(changes("", level, level), (vec![], vec![]));
        assert_eq!(changes("", level, ""), (named(), vec![]));
    }

    #[test]
    fn every_reloadable_key_is_one() {
        let Value::Dict(_, all) = settings("").0 else {
            panic!("a table");
        };
        for key in RELOADABLE {
            let mut value = Some(&Value::from(all.clone()));
            for segment in key.split('.') {
                value = match value {
                    Some(Value::Dict(_, table)) => table.get(segment),
                    _ => None,
                };
            }
            assert!(value.is_some(), "{key}");
        }
    }

    #[test]
    fn settings_are_not_printed() {
        let running = Running::new(settings("api.keys = ['do-not-tell']"));
        assert!(!format!("{running:?}").contains("do-not-tell"));
    }
}
