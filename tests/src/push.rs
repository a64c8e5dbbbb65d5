//! A push server with a namespace for each purpose. In: further settings. Out: subscribers, callers of the
//! API, refusals.
//!
//! Never: opens more than its namespaces say.

use std::net::SocketAddr;
use std::time::Duration;

use crate::api::Api;
use crate::client::{Client, PATIENCE, upgrade};
use crate::clock;
use crate::daemon::Daemon;
use crate::http::{Http, Response};

/// Between two looks at what gives no event.
const POLL: Duration = Duration::from_millis(2);

/// The first of the keys of the API.
pub const KEY: &str = "the-first-key";
/// Another.
pub const SECOND_KEY: &str = "the-second-key";
/// `keys` of `[api]`.
pub const KEYS: &str = r#"keys = ["the-first-key", "the-second-key"]"#;

/// What the tests' namespaces are for:
///
/// - `open`, and channels without a namespace: no history, everything allowed
/// - `past`: history and everything allowed; `short` keeps 5 publications, `brief` for half a second
/// - `mute`: nothing but subscribing; `closed`: not even that
/// - `kept`: history for the API alone; `reads`, `recovers`: one of the two ways for clients
/// - `oldest`, `latest`: slow readers lose the oldest, or all but the latest
pub const NAMESPACES: &str = r#"
[default_namespace]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
presence = true
[namespaces.open]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
presence = true
[namespaces.past]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_subscriber = true
allow_publish_for_anonymous = true
allow_history_for_subscriber = true
allow_history_for_anonymous = true
history_size = 1000
history_ttl = 300
force_recovery = true
presence = true
[namespaces.short]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_history_for_subscriber = true
allow_history_for_anonymous = true
history_size = 5
history_ttl = 300
force_recovery = true
[namespaces.brief]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
history_size = 5
history_ttl = 0.5
history_meta_ttl = 300
force_recovery = true
[namespaces.state]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
history_size = 1
history_ttl = 300
force_recovery = true
force_recovery_mode = "cache"
[namespaces.mute]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
[namespaces.closed]
[namespaces.kept]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
history_size = 10
history_ttl = 300
[namespaces.reads]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_history_for_subscriber = true
allow_history_for_anonymous = true
history_size = 10
history_ttl = 300
[namespaces.recovers]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
history_size = 10
history_ttl = 300
force_recovery = true
[namespaces.oldest]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
slow_reader = "drop-oldest"
[namespaces.latest]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
slow_reader = "conflate"
"#;

/// A running push server.
#[derive(Debug)]
pub struct Push(Daemon);

impl Push {
    /// With an API listener of its own. `head` are top-level settings, `tail` further tables.
    #[track_caller]
    #[must_use]
    pub fn start(head: &str, tail: &str) -> Self {
        let api = format!("[api]\nlisten = \"{{api}}\"\n{KEYS}");
        Self::with(&[head, NAMESPACES, &api, tail])
    }

    /// With the API on the main port.
    #[track_caller]
    #[must_use]
    pub fn on_one_port(head: &str, tail: &str) -> Self {
        let api = format!("[api]\n{KEYS}");
        Self::with(&[head, NAMESPACES, &api, tail])
    }

    /// With a config of these parts alone.
    #[track_caller]
    #[must_use]
    pub fn with(config: &[&str]) -> Self {
        Self(Daemon::serve(&config.join("\n"), &[]).unwrap())
    }

    /// This process, whose config has the namespaces.
    #[must_use]
    pub const fn over(daemon: Daemon) -> Self {
        Self(daemon)
    }

    /// The process.
    #[must_use]
    pub const fn daemon(&self) -> &Daemon {
        &self.0
    }

    /// Its end, however it comes, is the caller's business now.
    #[must_use]
    pub fn into_daemon(self) -> Daemon {
        self.0
    }

    /// Where clients connect.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    /// A caller of the API with a good key.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(self.0.api(), KEY)
    }

    /// A subscriber: `target` is channel and query.
    #[track_caller]
    #[must_use]
    pub fn subscribe(&self, target: &str) -> Client {
        Client::enter(self.addr(), &format!("/raw/{target}"), &[]).0
    }

    /// A subscriber, and its `Fanfare-Position`.
    #[track_caller]
    #[must_use]
    pub fn subscribe_at(&self, target: &str) -> (Client, String) {
        let (client, head) = Client::enter(self.addr(), &format!("/raw/{target}"), &[]);
        let positions: Vec<&str> = head.all("Fanfare-Position").collect();
        let [position] = positions[..] else {
            panic!("{target}: {head:?}");
        };
        (client, position.to_owned())
    }

    /// The answer that ends the connection of who asks for an upgrade of `path`.
    #[track_caller]
    #[must_use]
    pub fn refusal(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut http = Http::connect(self.addr());
        http.send(upgrade(path, headers).as_bytes());
        let response = http.response(false);
        if response.head.status() != Some(101) {
            http.expect_end();
        }
        response
    }
}

/// Asks until it holds what nothing tells the coming of.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = clock::now() + PATIENCE;
    while !holds() {
        assert!(clock::now() < deadline, "never came: {what}");
        std::thread::sleep(POLL);
    }
}
