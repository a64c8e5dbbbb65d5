//! Settings that tests change. In: nothing. Out: namespaces in which this or that may be done.
//!
//! Never: changes while a session has its turn.

use std::collections::HashSet;
use std::time::Duration;

use fanfare_hub::{ChannelOptions, Namespaces, RecoveryMode};

use crate::session::ClientSettings;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) namespaces: Namespaces,
    pub(super) client: ClientSettings,
    /// Namespaces with subscribe and publish hooks.
    pub(super) subscribe_hooks: HashSet<&'static str>,
    pub(super) publish_hooks: HashSet<&'static str>,
}

/// Options with a history of `size`, which clients may do anything with.
pub(super) fn history(size: u32) -> ChannelOptions {
    ChannelOptions {
        history_size: size,
        history_ttl: Duration::from_secs(3600),
        history_meta_ttl: Duration::from_secs(7200),
        allow_history_for_subscriber: true,
        allow_history_for_anonymous: true,
        ..open()
    }
}

/// Options without history, which clients may do anything with.
pub(super) fn open() -> ChannelOptions {
    ChannelOptions {
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        allow_publish_for_client: true,
        allow_publish_for_anonymous: true,
        presence: true,
        allow_presence_for_client: true,
        allow_presence_for_anonymous: true,
        ..ChannelOptions::default()
    }
}

pub(super) fn client_settings() -> ClientSettings {
    ClientSettings {
        allow_anonymous: true,
        has_tokens: true,
        has_connect_hook: false,
        has_refresh_hook: false,
        has_rpc_hook: false,
        personal_namespace: None,
        ping_interval: Some(Duration::from_secs(25)),
        pong_timeout: Some(Duration::from_secs(8)),
        connect_timeout: Duration::from_secs(10),
        expiry_grace: Duration::from_secs(25),
        commands_per_second_max: None,
        publication_bytes_max: 1000,
    }
}

/// `open:` without history, `hist:` with, `force:` that forces recovery, `cache:` of the latest, `shut:` where nothing
/// may be done, `hook:` where the backend is asked.
pub(super) fn settings() -> Settings {
    let mut namespaces = Namespaces::default();
    let force = ChannelOptions {
        force_recovery: true,
        ..history(10)
    };
    let cache = ChannelOptions {
        force_recovery: true,
        force_recovery_mode: RecoveryMode::Cache,
        ..history(3)
    };
    for (name, options) in [
        ("open", open()),
        ("hist", history(10)),
        ("force", force),
        ("cache", cache),
        ("shut", ChannelOptions::default()),
        ("hook", history(10)),
    ] {
        namespaces.add(name, options).unwrap();
    }
    Settings {
        namespaces,
        client: client_settings(),
        subscribe_hooks: HashSet::from(["hook"]),
        publish_hooks: HashSet::from(["hook"]),
    }
}
