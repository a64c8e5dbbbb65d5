//! From a URL to an upgrade request. In: the URL as typed. Out: an address and a host to ask for;
//! then, connection by connection, a socket on its way and the request to send.
//!
//! Never: waits for a connection, reads a response.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use fanfare_codec::handshake::ClientHandshake;
use mio::net::TcpStream;

use crate::fault::{Fault, FaultClass};

/// Where connections go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    /// With the port unless it is 80.
    host: String,
    path_and_query: String,
}

/// Why a URL is no target.
#[derive(Debug)]
pub(crate) enum TargetError {
    /// Not `ws://`.
    Scheme,
    /// Nothing between the scheme and the path, or a user name in it.
    Host,
    /// After the host's colon stands no port.
    Port,
    /// A fragment, white space or a control character (RFC 6455 §3).
    Path,
    /// The resolver does not know the host.
    Resolve(String, io::Error),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("it must start with ws://"),
            Self::Host => f.write_str("no host"),
            Self::Port => f.write_str("the port is not a number from 1 to 65535"),
            Self::Path => f.write_str("the path holds a '#', white space or a control character"),
            Self::Resolve(host, error) => write!(f, "cannot resolve '{host}': {error}"),
        }
    }
}

impl std::error::Error for TargetError {}

impl Target {
    /// The target that `url` names; its host is resolved now, once, to its first address.
    ///
    /// # Errors
    ///
    /// Every [`TargetError`].
    pub(crate) fn resolve(url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = url.split_once("://").ok_or(TargetError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("ws") {
            return Err(TargetError::Scheme);
        }
        let path_at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        let path_and_query = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let (host, port) = split_port(authority)?;
        if path_and_query.contains('#')
            || ClientHandshake::new(authority, &path_and_query, [0; 16]).is_err()
        {
            return Err(TargetError::Path);
        }
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let unresolved = |error| TargetError::Resolve(name.to_owned(), error);
        let address = (name, port)
            .to_socket_addrs()
            .map_err(unresolved)?
            .next()
            .ok_or_else(|| unresolved(io::ErrorKind::NotFound.into()))?;
        Ok(Self {
            address,
            host: if port == DEFAULT_PORT {
                host.to_owned()
            } else {
                format!("{host}:{port}")
            },
            path_and_query,
        })
    }

    /// A socket that is connecting.
    pub(super) fn connect(&self) -> Result<TcpStream, Fault> {
        TcpStream::connect(self.address).map_err(|error| connect_fault(&error))
    }

    /// A request with a fresh key.
    pub(super) fn handshake(&self, random: &mut fastrand::Rng) -> Result<ClientHandshake, Fault> {
        let nonce = random.u128(..).to_ne_bytes();
        ClientHandshake::new(&self.host, &self.path_and_query, nonce)
            .map_err(|error| Fault::new(FaultClass::Handshake, error))
    }
}

/// Of `ws` URLs without one.
const DEFAULT_PORT: u16 = 80;

/// The socket did not connect.
#[cold]
pub(super) fn connect_fault(error: &io::Error) -> Fault {
    Fault::new(FaultClass::Connect, error)
}

/// Host, in brackets if it was, and port.
fn split_port(authority: &str) -> Result<(&str, u16), TargetError> {
    let host_end = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    if host.is_empty() || authority.contains('@') {
        return Err(TargetError::Host);
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => DEFAULT_PORT,
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
        for (url, address, host, path) in [
            (
                "ws://127.0.0.1:9001/",
                "127.0.0.1:9001",
                "127.0.0.1:9001",
                "/",
            ),
            ("WS://127.0.0.1", "127.0.0.1:80", "127.0.0.1", "/"),
            ("ws://127.0.0.1?a=b", "127.0.0.1:80", "127.0.0.1", "/?a=b"),
            ("ws://[::1]:8/a/b?c", "[::1]:8", "[::1]:8", "/a/b?c"),
        ] {
            let target = Target::resolve(url).expect(url);
            assert_eq!(target.address.to_string(), address, "{url}");
            assert_eq!(target.host, host, "{url}");
            assert_eq!(target.path_and_query, path, "{url}");
        }
    }

    #[test]
    fn other_strings_are_refused() {
        for url in [
            "",
            "127.0.0.1:9001",
            "http://127.0.0.1/",
            "wss://127.0.0.1/",
            "ws://",
            "ws:///path",
            "ws://:80/",
            "ws://127.0.0.1:/",
            "ws://127.0.0.1:0/",
            "ws://127.0.0.1:65536/",
            "ws://user@127.0.0.1/",
            "ws://127.0.0.1/#fragment",
            "ws://127.0.0.1/a b",
        ] {
            assert!(Target::resolve(url).is_err(), "{url}");
        }
    }
}
