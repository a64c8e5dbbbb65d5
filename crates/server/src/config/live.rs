//! What a reload may change. In: a checked config. Out: a value that everyone reads anew for each request.
//!
//! Never: a setting that is read only once.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use fanfare_hub::Namespaces;
use fanfare_protocol::ClientSettings;

use crate::tls::Loaded;

use super::{HookSettings, OriginPolicy, TokenSettings};

/// The settings of now. A reload puts new ones in; who has begun with the old ones ends with them.
pub(crate) type SharedLive = Arc<ArcSwap<Live>>;

/// What a reload may change.
#[derive(Debug)]
pub(crate) struct Live {
    /// What channels may and keep.
    pub(crate) namespaces: Namespaces,
    /// What sessions may.
    pub(crate) client: ClientSettings,
    /// Connections that a user may have; none: any number.
    pub(crate) connections_per_user_max: Option<u32>,
    /// The cookie that may hold a token.
    pub(crate) token_cookie: Option<Box<str>>,
    /// Pages that may connect.
    pub(crate) origins: OriginPolicy,
    /// Subprotocols that a client may ask for, besides none.
    pub(crate) subprotocols: Vec<String>,
    /// Headers of every 101: valid names and values.
    pub(crate) response_headers: Vec<(String, String)>,
    /// Who may use the API.
    pub(crate) api: ApiAccess,
    /// Whether everybody may read metrics.
    pub(crate) metrics_public: bool,
    /// The largest payload of a publication, of the API and of clients.
    pub(crate) publication_bytes_max: usize,
    /// What the operator's backend is asked.
    pub(crate) hooks: HookSettings,
    /// What sessions of TLS are made of; none: there are none. The daemon hands it to [`crate::tls`].
    pub(crate) tls: Option<Arc<Loaded>>,
    /// How tokens are verified; none: there are none. The daemon hands it to [`crate::tokens`].
    pub(crate) tokens: Option<Arc<TokenSettings>>,
}

#[cfg(test)]
impl Live {
    /// Nothing is open.
    pub(crate) fn closed() -> Self {
        Self {
            namespaces: Namespaces::default(),
            client: ClientSettings {
                allow_anonymous: false,
                has_tokens: false,
                has_connect_hook: false,
                has_refresh_hook: false,
                has_rpc_hook: false,
                personal_namespace: None,
                ping_interval: None,
                pong_timeout: None,
                connect_timeout: std::time::Duration::from_secs(10),
                expiry_grace: std::time::Duration::ZERO,
                commands_per_second_max: None,
                publication_bytes_max: 0,
            },
            connections_per_user_max: None,
            token_cookie: None,
            origins: OriginPolicy::default(),
            subprotocols: Vec::new(),
            response_headers: Vec::new(),
            api: ApiAccess::Keys(Vec::new()),
            metrics_public: false,
            publication_bytes_max: 0,
            hooks: Default::default(),
            tls: None,
            tokens: None,
        }
    }
}

/// Who may use the HTTP API.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum ApiAccess {
    /// Whoever shows one of these keys; nobody if there are none.
    Keys(Vec<String>),
    /// Everybody: `--dev`, which listens on the loopback alone.
    Open,
}

impl fmt::Debug for ApiAccess {
    /// How many keys there are, and no more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(keys) => write!(f, "Keys({})", keys.len()),
            Self::Open => f.write_str("Open"),
        }
    }
}
