//! URLs. In: one as typed, and paths. Out: a host, a port and a path that may stand in a request.
//!
//! Never: resolves a name, opens a socket.

use std::fmt;

use fanfare_codec::handshake::ClientHandshake;

/// What a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// `wss`.
    pub(super) is_secure: bool,
    /// A name or an address, without brackets.
    pub(super) name: String,
    pub(super) port: u16,
    /// The `Host` header: with the port unless it is the scheme's.
    pub(super) host: String,
    pub(super) route: Route,
}

/// A path and query that have been checked to fit into a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route(String);

/// Why a URL is no target, or a path no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetError {
    /// Neither `ws://` nor `wss://`.
    Scheme,
    /// Nothing between the scheme and the path, or a user name in it.
    Host,
    /// After the host's colon stands no port.
    Port,
    /// A fragment, white space or a control character (RFC 6455 §3), or no `/` at the start.
    Path,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "it must start with ws:// or wss://",
            Self::Host => "no host",
            Self::Port => "the port is not a number from 1 to 65535",
            Self::Path => "the path holds a '#', white space or a control character",
        })
    }
}

impl std::error::Error for TargetError {}

impl Route {
    /// The route `path_and_query`, which starts with `/`.
    ///
    /// # Errors
    ///
    /// [`TargetError::Path`].
    pub(crate) fn new(path_and_query: impl Into<String>) -> Result<Self, TargetError> {
        let path = path_and_query.into();
        if path.contains('#') || ClientHandshake::new("host", &path, [0; 16]).is_err() {
            return Err(TargetError::Path);
        }
        Ok(Self(path))
    }

    /// As it stands in the request.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Target {
    /// The target that `url` names.
    ///
    /// # Errors
    ///
    /// Every [`TargetError`].
    pub(super) fn parse(url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = url.split_once("://").ok_or(TargetError::Scheme)?;
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(TargetError::Scheme),
        };
        let default_port = if is_secure { 443 } else { 80 };
        let path_at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        let (host, port) = split_port(authority, default_port)?;
        if ClientHandshake::new(authority, "/", [0; 16]).is_err() {
            return Err(TargetError::Host);
        }
        Ok(Self {
            is_secure,
            name: host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port,
            host: if port == default_port {
                host.to_owned()
            } else {
                format!("{host}:{port}")
            },
            route: if path.starts_with('/') {
                Route::new(path)?
            } else {
                Route::new(format!("/{path}"))?
            },
        })
    }
}

/// Host, in brackets if it was, and port.
fn split_port(authority: &str, default: u16) -> Result<(&str, u16), TargetError> {
    let host_end = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    let is_bracketed = host.len() > 1 && host.starts_with('[') && host.ends_with(']');
    let name = if is_bracketed {
        &host[1..host.len() - 1]
    } else {
        host
    };
    if name.is_empty() || name.contains(['[', ']']) || authority.contains('@') {
        return Err(TargetError::Host);
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default,
        None => return Err(TargetError::Port),
        Some(port) => match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(TargetError::Port),
        },
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_targets() {
        for (url, is_secure, name, port, host, path) in [
            (
                "ws://127.0.0.1:9001/",
                false,
                "127.0.0.1",
                9001,
                "127.0.0.1:9001",
                "/",
            ),
            ("WS://127.0.0.1", false, "127.0.0.1", 80, "127.0.0.1", "/"),
            ("ws://h?a=b", false, "h", 80, "h", "/?a=b"),
            ("ws://[::1]:8/a/b?c", false, "::1", 8, "[::1]:8", "/a/b?c"),
            ("ws://h:443/", false, "h", 443, "h:443", "/"),
            (
                "wss://h/raw/{channel}",
                true,
                "h",
                443,
                "h",
                "/raw/{channel}",
            ),
            ("WSS://[::1]", true, "::1", 443, "[::1]", "/"),
            ("wss://h:80/", true, "h", 80, "h:80", "/"),
        ] {
            let target = Target {
                is_secure,
                name: name.to_owned(),
                port,
                host: host.to_owned(),
                route: Route(path.to_owned()),
            };
            assert_eq!(Target::parse(url), Ok(target), "{url}");
        }
    }

    #[test]
    fn other_strings_are_refused() {
        for (url, error) in [
            ("", TargetError::Scheme),
            ("127.0.0.1:9001", TargetError::Scheme),
            ("http://127.0.0.1/", TargetError::Scheme),
            ("ws://", TargetError::Host),
            ("ws:///path", TargetError::Host),
            ("ws://:80/", TargetError::Host),
            ("ws://user@127.0.0.1/", TargetError::Host),
            ("ws://[::1/", TargetError::Host),
            ("ws://[]:80/", TargetError::Host),
            ("ws://[a]b]/", TargetError::Host),
            ("ws://]/", TargetError::Host),
            ("ws://a b/", TargetError::Host),
            ("ws://127.0.0.1:/", TargetError::Port),
            ("ws://127.0.0.1:0/", TargetError::Port),
            ("ws://127.0.0.1:65536/", TargetError::Port),
            ("ws://127.0.0.1/#fragment", TargetError::Path),
            ("wss://127.0.0.1/a b", TargetError::Path),
            ("wss://127.0.0.1/a\r\nb", TargetError::Path),
        ] {
            assert_eq!(Target::parse(url), Err(error), "{url:?}");
        }
    }

    #[test]
    fn a_route_cannot_leave_its_line() {
        assert!(Route::new("/raw/news?since=1").is_ok());
        for path in ["", "raw", "/a b", "/a\r\nHost: b", "/a#b"] {
            assert_eq!(Route::new(path), Err(TargetError::Path), "{path:?}");
        }
    }
}
