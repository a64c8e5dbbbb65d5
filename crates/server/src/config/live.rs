//! What a reload may change. In: a checked config. Out: a value that everyone reads anew for each request.
//!
//! Never: a setting that is read only once.

use std::sync::Arc;

use arc_swap::ArcSwap;
use fanfare_hub::Namespaces;

/// The settings of now. A reload puts new ones in; who has begun with the old ones ends with them.
pub(crate) type SharedLive = Arc<ArcSwap<Live>>;

/// What a reload may change.
#[derive(Debug)]
#[expect(dead_code, reason = "`fanfare serve` is being built")]
pub(crate) struct Live {
    /// What channels may and keep.
    pub(crate) namespaces: Namespaces,
    /// Pages that may connect.
    pub(crate) origins: OriginPolicy,
    /// Subprotocols that a client may ask for, besides none.
    pub(crate) subprotocols: Vec<String>,
    /// Headers of every 101: valid names and values.
    pub(crate) response_headers: Vec<(String, String)>,
    /// Who may use the API.
    pub(crate) api: ApiAccess,
    /// The largest payload of a publication, of the API and of clients.
    pub(crate) publication_bytes_max: usize,
}

/// Who may use the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "`fanfare serve` is being built")
)]
pub(crate) enum ApiAccess {
    /// Whoever shows one of these keys; nobody if there are none.
    Keys(Vec<String>),
    /// Everybody: `--dev`, which listens on the loopback alone.
    Open,
}

/// Which pages may connect (RFC 6455 §10.2). A request without `Origin` comes from no page and may.
#[derive(Clone, Debug, Default)]
pub(crate) struct OriginPolicy;

impl OriginPolicy {
    /// Whether a page of `origin` may connect to a server that it calls `host`.
    pub(crate) fn admits(&self, _origin: &[u8], _host: &[u8]) -> bool {
        false
    }
}
