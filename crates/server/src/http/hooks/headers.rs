//! A client's headers that go with what the backend is asked about it. In: those of its upgrade, and of its
//! connect command; its address. Out: the ones that the config lists.
//!
//! Headers that say where a request came from are the server's own here: whoever wrote them into the upgrade was
//! believed or was not, and what came of it is the client's address.
//!
//! Never: lets a client's command set what its upgrade has set; prints a value.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use fanfare_codec::handshake::Headers;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use crate::config::HookSettings;
use crate::limits::EMULATED_HEADERS_BYTES_MAX;

/// Headers that say where a request came from.
const ORIGINS: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// One of [`ORIGINS`] (RFC 7239 §4, §6).
fn value_of(name: &HeaderName, client: IpAddr) -> Option<HeaderValue> {
    let value = match (name.as_str(), client) {
        ("forwarded", IpAddr::V4(ip)) => format!("for={ip}"),
        ("forwarded", IpAddr::V6(ip)) => format!("for=\"[{ip}]\""),
        (_, ip) => ip.to_string(),
    };
    HeaderValue::from_str(&value).ok()
}

/// A client's headers for the backend. Without one it costs nothing; a clone shares them.
#[derive(Clone, Default)]
pub(crate) struct ClientHeaders(Option<Arc<[(HeaderName, HeaderValue)]>>);

impl ClientHeaders {
    /// Those of an upgrade that the config lists now. `client`: where it comes from, if that is known.
    pub(crate) fn of_upgrade(
        settings: &HookSettings,
        headers: &Headers<'_>,
        client: Option<IpAddr>,
    ) -> Self {
        let mut kept = Vec::new();
        for name in &settings.headers {
            if ORIGINS.contains(&name.as_str()) {
                let value = client.and_then(|client| value_of(name, client));
                kept.extend(value.map(|value| (name.clone(), value)));
                continue;
            }
            let values = headers.all(name.as_str());
            let values = values.filter_map(|value| HeaderValue::from_bytes(value).ok());
            kept.extend(values.map(|value| (name.clone(), value)));
        }
        Self::new(kept)
    }

    fn new(headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self((!headers.is_empty()).then(|| headers.into()))
    }

    /// Takes in those of a connect command that the config lists, but for what is no header, or too much.
    pub(super) fn emulate(&mut self, settings: &HookSettings, headers: &HashMap<String, String>) {
        if headers.is_empty() || settings.emulated_headers.is_empty() {
            return;
        }
        let mut room = EMULATED_HEADERS_BYTES_MAX;
        let mut kept = self.as_slice().to_vec();
        for name in &settings.emulated_headers {
            if self.as_slice().iter().any(|(own, _)| own == name) {
                continue;
            }
            let named = headers.iter();
            let named = named.filter(|(given, _)| given.eq_ignore_ascii_case(name.as_str()));
            // Of several that differ in case, always the same one.
            let Some((_, value)) = named.min() else {
                continue;
            };
            let Ok(header) = HeaderValue::from_str(value) else {
                continue;
            };
            if let Some(left) = room.checked_sub(value.len()) {
                room = left;
                kept.push((name.clone(), header));
            }
        }
        *self = Self::new(kept);
    }

    pub(super) fn append_to(&self, map: &mut HeaderMap) {
        for (name, value) in self.as_slice() {
            map.append(name, value.clone());
        }
    }

    fn as_slice(&self) -> &[(HeaderName, HeaderValue)] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for ClientHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.as_slice().iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}
