//! Who is at the other end. In: a socket's peer, a PROXY header, headers of a request. Out: the client's address.
//!
//! A peer is believed to be a proxy only if it is in `trusted_proxies`; then what it says of its client counts, and
//! else its own address is the client's.
//!
//! Never: believes what somebody says who is not trusted.

mod forwarded;
mod proxy;
mod trusted;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use fanfare_codec::handshake::Headers;

pub(crate) use proxy::{Header, decode as decode_proxy_header};
pub(crate) use trusted::Trusted;

/// The other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    /// Somebody on this machine.
    Unix,
}

impl Peer {
    /// None on a Unix socket.
    pub(crate) fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Tcp(addr) => Some(addr.ip().to_canonical()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// What is known of a connection's client before its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entrance {
    /// None: nothing is known, as behind a Unix socket.
    pub(crate) client: Option<IpAddr>,
    /// What its request says of who it is forwarded for counts.
    pub(crate) is_trusted: bool,
    /// It has to begin with a PROXY header.
    pub(crate) expects_proxy: bool,
}

impl Entrance {
    /// `is_proxied`: proxies that are trusted speak the PROXY protocol there.
    pub(crate) fn new(peer: Peer, is_proxied: bool, trusted: &Trusted) -> Self {
        let client = peer.ip();
        let is_trusted = !trusted.is_empty() && trusted.contains(client);
        Self {
            client,
            is_trusted,
            expects_proxy: is_proxied && is_trusted,
        }
    }

    /// Behind a header.
    pub(crate) fn behind(self, header: &Header, trusted: &Trusted) -> Self {
        let expects_proxy = false;
        match header.source {
            Some(source) => {
                let client = Some(source.ip().to_canonical());
                Self {
                    client,
                    is_trusted: trusted.contains(client),
                    expects_proxy,
                }
            }
            None => Self {
                expects_proxy,
                ..self
            },
        }
    }

    /// Whom a request with these headers was forwarded for, if that is to be believed.
    pub(crate) fn forwarded_for(self, headers: &Headers<'_>, trusted: &Trusted) -> Option<IpAddr> {
        self.is_trusted
            .then(|| forwarded::client(headers, trusted))?
    }
}

/// A client's address for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown(pub(crate) Option<IpAddr>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ip) => ip.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted() -> Trusted {
        Trusted::parse(&["10.0.0.0/8".into()]).unwrap()
    }

    fn tcp(text: &str) -> Peer {
        Peer::Tcp(text.parse().unwrap())
    }

    #[test]
    fn a_header_is_expected_of_trusted_peers_where_it_is_spoken() {
        let trusted = trusted();
        for (peer, is_proxied, is_trusted, expects_proxy) in [
            (tcp("10.0.0.1:1"), true, true, true),
            (tcp("10.0.0.1:1"), false, true, false),
            (tcp("192.0.2.1:1"), true, false, false),
            (Peer::Unix, true, false, false),
        ] {
            let entrance = Entrance::new(peer, is_proxied, &trusted);
            let expected = Entrance {
                client: peer.ip(),
                is_trusted,
                expects_proxy,
            };
            assert_eq!(entrance, expected, "{peer}");
        }
    }

    #[test]
    fn behind_a_header_the_client_is_whom_it_names() {
        let trusted = trusted();
        let proxy = Entrance::new(tcp("10.0.0.1:1"), true, &trusted);
        let header = |source: Option<&str>| Header {
            source: source.map(|source| source.parse().unwrap()),
            len: 0,
        };
        let own = proxy.behind(&header(None), &trusted);
        assert_eq!(
            (own.client, own.is_trusted, own.expects_proxy),
            (proxy.client, true, false)
        );
        let client = proxy.behind(&header(Some("192.0.2.7:9")), &trusted);
        assert_eq!(client.client, "192.0.2.7".parse().ok());
        assert!(!client.is_trusted && !client.expects_proxy);
        // A proxy behind a proxy.
        assert!(
            proxy
                .behind(&header(Some("10.0.0.9:9")), &trusted)
                .is_trusted
        );
    }
}
