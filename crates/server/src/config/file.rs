//! The shape of what is written down: every key, its type and its default. In: whatever serde reads.
//! Out: values that have the right types, and nothing more is known of them.
//!
//! What the keys mean is in `default.toml`, and a test holds that it lists them all.
//!
//! Never: knows where a value came from; prints itself, because some of it is secret.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use fanfare_codec::Limits;
use fanfare_codec::handshake::HeadLimits;
use fanfare_hub::limits as hub;
use fanfare_hub::{ChannelOptions, RecoveryMode, SlowReader};
use fanfare_protocol::limits as protocol;
use serde::{Deserialize, Serialize};

use super::listen::{Places, Tcp};
use super::tls::Tls;
use super::token::Token;
use super::{deflate, drain};
use crate::limits::UNIX_SOCKET_MODE;
use crate::logging::{LogFormat, LogLevel};

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: Places,
    pub(super) unix_socket_mode: u32,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) proxy_protocol: Vec<String>,
    pub(super) workers: Option<NonZeroUsize>,
    pub(super) max_connections: Option<NonZeroUsize>,
    pub(super) max_connections_per_address: Option<NonZeroU32>,
    pub(super) max_new_connections_per_second: Option<NonZeroU32>,
    pub(super) echo: bool,
    pub(super) log_level: LogLevel,
    pub(super) log_format: LogFormat,
    pub(super) access_log: bool,
    pub(super) drain: drain::Written,
    pub(super) tcp: Tcp,
    pub(super) websocket: WebSocket,
    pub(super) client: Client,
    pub(super) tls: Tls,
    pub(super) publication: Publication,
    pub(super) api: Api,
    pub(super) metrics: Metrics,
    pub(super) token: Token,
    pub(super) engine: Engine,
    pub(super) inbox: Inbox,
    pub(super) hooks: Hooks,
    pub(super) default_namespace: Option<Namespace>,
    pub(super) namespaces: BTreeMap<String, Namespace>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            listen: Places::One("127.0.0.1:8000".into()),
            unix_socket_mode: UNIX_SOCKET_MODE,
            trusted_proxies: Vec::new(),
            proxy_protocol: Vec::new(),
            workers: None,
            max_connections: None,
            max_connections_per_address: None,
            max_new_connections_per_second: None,
            echo: false,
            log_level: LogLevel::default(),
            log_format: LogFormat::default(),
            access_log: false,
            drain: drain::Written::default(),
            tcp: Tcp::default(),
            websocket: WebSocket::default(),
            client: Client::default(),
            tls: Tls::default(),
            publication: Publication::default(),
            api: Api::default(),
            metrics: Metrics::default(),
            token: Token::default(),
            engine: Engine::default(),
            inbox: Inbox::default(),
            hooks: Hooks::default(),
            default_namespace: None,
            namespaces: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WebSocket {
    pub(super) allowed_origins: Vec<String>,
    pub(super) subprotocols: Vec<String>,
    pub(super) response_headers: Vec<String>,
    pub(super) max_message_bytes: NonZeroU64,
    pub(super) max_frame_bytes: Option<NonZeroU64>,
    pub(super) max_fragments: NonZeroU32,
    pub(super) max_messages_per_second: Option<NonZeroU32>,
    pub(super) max_fragments_per_second: u32,
    pub(super) max_output_bytes: NonZeroUsize,
    pub(super) max_output_bytes_in_all: NonZeroUsize,
    pub(super) max_handshake_bytes: usize,
    pub(super) min_handshake_bytes_per_second: u32,
    pub(super) handshake_timeout: f64,
    pub(super) ping_interval: f64,
    pub(super) pong_timeout: f64,
    pub(super) send_timeout: f64,
    pub(super) close_timeout: f64,
    pub(super) deflate: deflate::Written,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            subprotocols: Vec::new(),
            response_headers: Vec::new(),
            max_message_bytes: const { NonZeroU64::new(Limits::DEFAULT.max_message_bytes).unwrap() },
            max_frame_bytes: None,
            max_fragments: const { NonZeroU32::new(Limits::DEFAULT.max_fragments).unwrap() },
            max_messages_per_second: None,
            max_fragments_per_second: 10_000,
            max_output_bytes: const { NonZeroUsize::new(1 << 20).unwrap() },
            max_output_bytes_in_all: const { NonZeroUsize::new(1 << 30).unwrap() },
            max_handshake_bytes: HeadLimits::DEFAULT.max_head_bytes,
            min_handshake_bytes_per_second: 100,
            handshake_timeout: 10.0,
            ping_interval: 25.0,
            pong_timeout: 8.0,
            send_timeout: 30.0,
            close_timeout: 2.0,
            deflate: deflate::Written::default(),
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Client {
    pub(super) allow_anonymous: bool,
    pub(super) personal_channels: bool,
    pub(super) personal_namespace: String,
    pub(super) token_cookie: Option<String>,
    pub(super) ping_interval: f64,
    pub(super) pong_timeout: f64,
    pub(super) connect_timeout: f64,
    pub(super) expiry_grace: f64,
    pub(super) max_channels: NonZeroUsize,
    pub(super) max_connections_per_user: Option<NonZeroU32>,
    pub(super) max_commands_per_second: Option<NonZeroU32>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            allow_anonymous: false,
            personal_channels: false,
            personal_namespace: String::new(),
            token_cookie: None,
            ping_interval: 25.0,
            pong_timeout: 8.0,
            connect_timeout: protocol::CONNECT_TIME.as_secs_f64(),
            expiry_grace: protocol::EXPIRY_GRACE.as_secs_f64(),
            max_channels: const { NonZeroUsize::new(hub::CHANNELS_PER_CONNECTION_MAX).unwrap() },
            max_connections_per_user: None,
            max_commands_per_second: None,
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Publication {
    pub(super) max_bytes: NonZeroUsize,
}

impl Default for Publication {
    fn default() -> Self {
        Self {
            max_bytes: const { NonZeroUsize::new(1 << 20).unwrap() },
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Api {
    pub(super) listen: Option<String>,
    pub(super) keys: Vec<String>,
    pub(super) max_body_bytes: NonZeroUsize,
    pub(super) tls: bool,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: None,
            keys: Vec::new(),
            max_body_bytes: const { NonZeroUsize::new(8 << 20).unwrap() },
            tls: false,
        }
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) public: bool,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Engine {
    pub(super) channels_max: NonZeroUsize,
    pub(super) idempotency_keys_max: NonZeroUsize,
    pub(super) idempotency_ttl: f64,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            channels_max: const { NonZeroUsize::new(hub::CHANNELS_MAX).unwrap() },
            idempotency_keys_max: const { NonZeroUsize::new(hub::IDEMPOTENCY_KEYS_MAX).unwrap() },
            idempotency_ttl: hub::IDEMPOTENCY_TTL.as_secs_f64(),
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Inbox {
    pub(super) deliveries_max: NonZeroUsize,
    pub(super) events_max: NonZeroUsize,
    pub(super) bytes_max: NonZeroUsize,
    pub(super) requests_max: NonZeroUsize,
    pub(super) orders_max: NonZeroUsize,
    pub(super) marks_max: NonZeroUsize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            deliveries_max: const { NonZeroUsize::new(hub::INBOX_DELIVERIES_MAX).unwrap() },
            events_max: const { NonZeroUsize::new(hub::INBOX_EVENTS_MAX).unwrap() },
            bytes_max: const { NonZeroUsize::new(hub::INBOX_BYTES_MAX).unwrap() },
            requests_max: const { NonZeroUsize::new(hub::INBOX_REQUESTS_MAX).unwrap() },
            orders_max: const { NonZeroUsize::new(hub::INBOX_ORDERS_MAX).unwrap() },
            marks_max: const { NonZeroUsize::new(hub::INBOX_MARKS_MAX).unwrap() },
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Hooks {
    pub(super) connect: Option<String>,
    pub(super) refresh: Option<String>,
    pub(super) rpc: Option<String>,
    pub(super) headers: Vec<String>,
    pub(super) emulated_headers: Vec<String>,
    pub(super) timeout: f64,
    pub(super) max_in_flight: NonZeroUsize,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            connect: None,
            refresh: None,
            rpc: None,
            headers: Vec::new(),
            emulated_headers: Vec::new(),
            timeout: 2.0,
            max_in_flight: const { NonZeroUsize::new(64).unwrap() },
        }
    }
}

/// [`ChannelOptions`], as they are written, and hooks.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Namespace {
    pub(super) history_size: u32,
    pub(super) history_ttl: f64,
    /// Absent: as long as channels with history need it at least, see `check.rs`.
    pub(super) history_meta_ttl: Option<f64>,
    pub(super) force_positioning: bool,
    pub(super) force_recovery: bool,
    pub(super) force_recovery_mode: Mode,
    pub(super) presence: bool,
    pub(super) join_leave: bool,
    pub(super) force_push_join_leave: bool,
    pub(super) allow_subscribe_for_client: bool,
    pub(super) allow_subscribe_for_anonymous: bool,
    pub(super) allow_publish_for_subscriber: bool,
    pub(super) allow_publish_for_client: bool,
    pub(super) allow_publish_for_anonymous: bool,
    pub(super) allow_presence_for_subscriber: bool,
    pub(super) allow_presence_for_client: bool,
    pub(super) allow_presence_for_anonymous: bool,
    pub(super) allow_history_for_subscriber: bool,
    pub(super) allow_history_for_client: bool,
    pub(super) allow_history_for_anonymous: bool,
    pub(super) slow_reader: Slow,
    pub(super) subscribe_hook: Option<String>,
    pub(super) publish_hook: Option<String>,
}

/// [`RecoveryMode`], as it is written.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    #[default]
    Stream,
    Cache,
}

/// [`SlowReader`], as it is written.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Slow {
    #[default]
    Close,
    DropOldest,
    Conflate,
}

impl Namespace {
    /// Its options, with durations that have been checked.
    pub(super) fn options(
        &self,
        history_ttl: Duration,
        history_meta_ttl: Duration,
    ) -> ChannelOptions {
        // Every field by name: an option of the hub that has no key does not compile.
        ChannelOptions {
            history_size: self.history_size,
            history_ttl,
            history_meta_ttl,
            force_positioning: self.force_positioning,
            force_recovery: self.force_recovery,
            force_recovery_mode: match self.force_recovery_mode {
                Mode::Stream => RecoveryMode::Stream,
                Mode::Cache => RecoveryMode::Cache,
            },
            presence: self.presence,
            join_leave: self.join_leave,
            force_push_join_leave: self.force_push_join_leave,
            allow_subscribe_for_client: self.allow_subscribe_for_client,
            allow_subscribe_for_anonymous: self.allow_subscribe_for_anonymous,
            allow_publish_for_subscriber: self.allow_publish_for_subscriber,
            allow_publish_for_client: self.allow_publish_for_client,
            allow_publish_for_anonymous: self.allow_publish_for_anonymous,
            allow_presence_for_subscriber: self.allow_presence_for_subscriber,
            allow_presence_for_client: self.allow_presence_for_client,
            allow_presence_for_anonymous: self.allow_presence_for_anonymous,
            allow_history_for_subscriber: self.allow_history_for_subscriber,
            allow_history_for_client: self.allow_history_for_client,
            allow_history_for_anonymous: self.allow_history_for_anonymous,
            slow_reader: match self.slow_reader {
                Slow::Close => SlowReader::Close,
                Slow::DropOldest => SlowReader::DropOldest,
                Slow::Conflate => SlowReader::Conflate,
            },
        }
    }
}
