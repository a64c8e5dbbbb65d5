//! Which peers are proxies that are believed. In: addresses as an operator writes them. Out: yes or no.
//!
//! Never: looks a name up.

use std::net::IpAddr;

use ipnet::IpNet;

/// The word for whoever reaches a Unix socket.
const UNIX: &str = "unix";

/// Networks of proxies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted {
    nets: Vec<IpNet>,
    unix: bool,
}

impl Trusted {
    /// Of addresses, networks in CIDR notation, and `unix`.
    ///
    /// # Errors
    ///
    /// The place of the first that is none of these.
    pub(crate) fn parse(entries: &[String]) -> Result<Self, usize> {
        let mut trusted = Self::default();
        for (n, entry) in entries.iter().enumerate() {
            if entry == UNIX {
                trusted.unix = true;
                continue;
            }
            let net = entry.parse::<IpNet>().ok();
            let net = net.or_else(|| entry.parse::<IpAddr>().ok().map(IpNet::from));
            trusted.nets.push(net.ok_or(n)?);
        }
        Ok(trusted)
    }

    /// Whether nobody is.
    pub(crate) const fn is_empty(&self) -> bool {
        self.nets.is_empty() && !self.unix
    }

    /// Whether the peer with this address is; none: one on a Unix socket.
    pub(crate) fn contains(&self, peer: Option<IpAddr>) -> bool {
        let Some(ip) = peer else {
            return self.unix;
        };
        let ip = ip.to_canonical();
        self.nets.iter().any(|net| net.contains(&ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[&str]) -> Result<Trusted, usize> {
        let entries: Vec<String> = entries.iter().map(|&entry| entry.to_owned()).collect();
        Trusted::parse(&entries)
    }

    #[test]
    fn who_is_in_a_network_is_trusted() {
        let trusted = parse(&["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]).unwrap();
        for (ip, is_in) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("::ffff:10.1.2.3", true),
        ] {
            assert_eq!(trusted.contains(ip.parse().ok()), is_in, "{ip}");
        }
        assert!(!trusted.contains(None));
        assert!(parse(&["unix"]).unwrap().contains(None));
        assert!(parse(&[]).unwrap().is_empty() && !parse(&["unix"]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_network_is_named_by_its_place() {
        for bad in [
            "",
            "localhost",
            "10.0.0.0/33",
            "10.0.0/8",
            "unix:/run/x",
            "10.0.0.1:80",
        ] {
            assert_eq!(parse(&["10.0.0.1", bad]).map(drop), Err(1), "{bad}");
        }
    }
}
