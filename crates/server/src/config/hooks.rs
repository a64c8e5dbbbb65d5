//! Which URLs of the operator's backend are asked, and what goes with a question. In: what is written. Out: a
//! URL for each event, or the key that is at fault.
//!
//! Never: repeats a URL in a message: a query may hold a secret.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use fanfare_hub::Channel;
use fanfare_protocol::hook::HookEvent;
use hyper::Uri;
use hyper::header::HeaderName;

use super::check::{entries, seconds};
use super::error::{Fault, Key};
use super::file::{File, Namespace};

/// Headers that say how a request is framed, or whose it is: ours to set.
const OURS: [&str; 14] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
];

/// What the backend is asked.
#[derive(Clone, Default)]
pub(crate) struct HookSettings {
    connect: Option<Uri>,
    refresh: Option<Uri>,
    rpc: Option<Uri>,
    unnamed: ChannelHooks,
    named: HashMap<Box<str>, ChannelHooks>,
    /// Headers of a client's upgrade that go with its calls.
    pub(crate) headers: Vec<HeaderName>,
    /// The same of those that a client puts into its connect command.
    pub(crate) emulated_headers: Vec<HeaderName>,
    /// From a question to its answer.
    pub(crate) timeout: Duration,
}

/// What it is asked about the channels of one namespace.
#[derive(Clone, Default)]
struct ChannelHooks {
    subscribe: Option<Uri>,
    publish: Option<Uri>,
}

impl HookSettings {
    /// Who is asked about `event`; none: nobody.
    pub(crate) fn url(&self, event: &HookEvent) -> Option<&Uri> {
        match event {
            HookEvent::Connect { .. } => self.connect.as_ref(),
            HookEvent::Refresh => self.refresh.as_ref(),
            HookEvent::Rpc { .. } => self.rpc.as_ref(),
            HookEvent::Subscribe { channel, .. } => self.of_channel(channel)?.subscribe.as_ref(),
            HookEvent::Publish { channel, .. } => self.of_channel(channel)?.publish.as_ref(),
        }
    }

    /// Whether the backend says who may connect.
    pub(crate) const fn has_connect(&self) -> bool {
        self.connect.is_some()
    }

    /// Whether it says who may stay.
    pub(crate) const fn has_refresh(&self) -> bool {
        self.refresh.is_some()
    }

    /// Whether it takes calls.
    pub(crate) const fn has_rpc(&self) -> bool {
        self.rpc.is_some()
    }

    /// Whether it says who may subscribe.
    pub(crate) fn has_subscribe(&self, channel: &Channel) -> bool {
        let hooks = self.of_channel(channel);
        hooks.is_some_and(|hooks| hooks.subscribe.is_some())
    }

    /// Whether it says who may publish.
    pub(crate) fn has_publish(&self, channel: &Channel) -> bool {
        let hooks = self.of_channel(channel);
        hooks.is_some_and(|hooks| hooks.publish.is_some())
    }

    /// Those of its namespace, as [`Namespaces::resolve`](fanfare_hub::Namespaces::resolve) finds its options.
    fn of_channel(&self, channel: &Channel) -> Option<&ChannelHooks> {
        match channel.namespace() {
            None => Some(&self.unnamed),
            Some(name) => self.named.get(name),
        }
    }
}

impl fmt::Debug for HookSettings {
    /// Without URLs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookSettings")
            .field("headers", &self.headers)
            .field("emulated_headers", &self.emulated_headers)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

pub(super) fn check(file: &File) -> Result<HookSettings, Fault> {
    let hooks = &file.hooks;
    let of_client = |name, text: &Option<String>| url(["hooks", name].into(), text.as_deref());
    let unnamed = file.default_namespace.as_ref();
    let unnamed = unnamed.map(|namespace| of_channels(&["default_namespace"].into(), namespace));
    let named = file.namespaces.iter().map(|(name, namespace)| {
        let hooks = of_channels(&["namespaces", name].into(), namespace)?;
        Ok((name.as_str().into(), hooks))
    });
    Ok(HookSettings {
        connect: of_client("connect", &hooks.connect)?,
        refresh: of_client("refresh", &hooks.refresh)?,
        rpc: of_client("rpc", &hooks.rpc)?,
        unnamed: unnamed.transpose()?.unwrap_or_default(),
        named: named.collect::<Result<_, _>>()?,
        headers: header_names("headers", &hooks.headers)?,
        emulated_headers: header_names("emulated_headers", &hooks.emulated_headers)?,
        timeout: seconds(["hooks", "timeout"].into(), hooks.timeout)?,
    })
}

fn of_channels(key: &Key, namespace: &Namespace) -> Result<ChannelHooks, Fault> {
    let of_channels = |name, text: &Option<String>| url(key.join(name), text.as_deref());
    Ok(ChannelHooks {
        subscribe: of_channels("subscribe_hook", &namespace.subscribe_hook)?,
        publish: of_channels("publish_hook", &namespace.publish_hook)?,
    })
}

fn url(key: Key, text: Option<&str>) -> Result<Option<Uri>, Fault> {
    let Some(text) = text else {
        return Ok(None);
    };
    let uri = text.parse::<Uri>().ok().filter(is_url);
    let Some(uri) = uri else {
        let want = "want a URL such as http://127.0.0.1:3000/path or https://example.com/path";
        return Err(Fault::new(key, want));
    };
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        let why = "a user or a password in front of the host would not be sent";
        return Err(Fault::new(key, why));
    }
    Ok(Some(uri))
}

/// With a scheme that is spoken, a host, and a port if there is a colon.
fn is_url(uri: &Uri) -> bool {
    let is_spoken = matches!(uri.scheme_str(), Some("http" | "https"));
    let names_port = |authority: &str| {
        let after_host = authority.rsplit(']').next().unwrap_or_default();
        after_host.contains(':')
    };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    is_spoken
        && has_host
        && (uri.port_u16().is_some_and(|port| port > 0) || !names_port(host_and_port))
}

fn header_names(list: &str, names: &[String]) -> Result<Vec<HeaderName>, Fault> {
    let mut checked: Vec<HeaderName> = Vec::new();
    for (key, text) in entries(["hooks", list], names) {
        let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
            return Err(Fault::new(key, format!("{text:?} is no name of a header")));
        };
        if OURS.contains(&name.as_str()) || name.as_str().starts_with("sec-websocket-") {
            return Err(Fault::new(key, format!("{name} is the server's to set")));
        }
        if checked.contains(&name) {
            return Err(Fault::new(key, format!("{name} is there twice")));
        }
        checked.push(name);
    }
    Ok(checked)
}
