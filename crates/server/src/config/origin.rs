//! Which pages may connect (RFC 6455 §10.2). In: what `Origin` and `Host` say. Out: yes or no.
//!
//! Browsers let any page open a WebSocket to anywhere, with the user's cookies; only the server can
//! refuse. Origins are compared as RFC 6454 §5 has it: scheme, host and port.
//!
//! Never: looks a name up; admits what it cannot parse.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Which pages may connect. A request without `Origin` comes from no page and is not asked about.
///
/// Its default admits pages of the server's own host alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OriginPolicy {
    admits_any: bool,
    admits_null: bool,
    admits_loopback: bool,
    listed: Vec<Origin>,
}

/// Not an origin, `*` or `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoOrigin;

impl OriginPolicy {
    /// Adds `entry`: `scheme://host`, `scheme://host:port`, `*` for any of these, or `null` for pages
    /// that have none, such as files and sandboxed frames.
    pub(super) fn admit(&mut self, entry: &str) -> Result<(), NoOrigin> {
        match entry {
            "*" => self.admits_any = true,
            "null" => self.admits_null = true,
            _ => {
                let origin = Origin::parse(entry.as_bytes()).ok_or(NoOrigin)?;
                self.listed.push(origin);
            }
        }
        Ok(())
    }

    /// Admits pages that this machine itself serves, and not those of any other name that it is called by,
    /// which may be a foreign page's that was made to lead here (DNS rebinding): `--dev`.
    pub(super) const fn admit_loopback(&mut self) {
        self.admits_loopback = true;
    }

    /// Whether a page of `origin` may connect to a server that it calls `host`.
    pub(crate) fn admits(&self, origin: &[u8], host: &[u8]) -> bool {
        if origin == b"null" {
            return self.admits_null;
        }
        let Some(origin) = Origin::parse(origin) else {
            return false;
        };
        self.admits_any
            || if self.admits_loopback {
                origin.is_loopback()
            } else {
                origin.is_of(host)
            }
            || self.listed.contains(&origin)
    }
}

/// An origin (RFC 6454 §4), in one spelling: lower case, no default port, IPv6 as RFC 5952 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    authority: Authority,
}

impl Origin {
    /// A serialized origin (RFC 6454 §6.2), and no more: no user, no path, no second origin.
    fn parse(text: &[u8]) -> Option<Self> {
        let (scheme, rest) = str::from_utf8(text).ok()?.split_once("://")?;
        let is_scheme = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        if !begins || !scheme.bytes().all(is_scheme) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let authority = Authority::parse(rest)?.without(default_port(&scheme));
        Some(Self { scheme, authority })
    }

    /// Whether `host`, a `Host` header, is where it comes from.
    fn is_of(&self, host: &[u8]) -> bool {
        let Some(port) = default_port(&self.scheme) else {
            return false; // an extension or an app, whatever it calls its host
        };
        let host = str::from_utf8(host).ok().and_then(Authority::parse);
        host.is_some_and(|host| host.without(Some(port)) == self.authority)
    }

    fn is_loopback(&self) -> bool {
        let host = self.authority.host.as_str();
        let is_v4 = |host: &str| host.parse().is_ok_and(|addr: Ipv4Addr| addr.is_loopback());
        host == "localhost" || host == "[::1]" || is_v4(host)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        let (host, rest) = if let Some(literal) = text.strip_prefix('[') {
            let (address, rest) = literal.split_once(']')?;
            (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), rest)
        } else {
            let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            // Of what RFC 3986 lets a name hold, what browsers write: international names are ASCII.
            let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
            if name.is_empty() || !name.bytes().all(is_name) {
                return None;
            }
            (name.to_ascii_lowercase(), rest)
        };
        if rest.is_empty() {
            return Some(Self { host, port: None });
        }
        let digits = rest.strip_prefix(':')?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None; // `parse` would take a sign
        }
        let port = Some(digits.parse().ok()?);
        Some(Self { host, port })
    }

    /// The port is left out if it is `default`.
    fn without(mut self, default: Option<u16>) -> Self {
        if self.port == default {
            self.port = None;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(entries: &[&str]) -> OriginPolicy {
        let mut policy = OriginPolicy::default();
        for entry in entries {
            policy.admit(entry).unwrap();
        }
        policy
    }

    #[track_caller]
    fn check(policy: &OriginPolicy, cases: &[(&str, &str, bool)]) {
        for &(origin, host, admitted) in cases {
            let found = policy.admits(origin.as_bytes(), host.as_bytes());
            assert_eq!(found, admitted, "{origin:?} to {host:?} by {policy:?}");
        }
    }

    #[test]
    fn rfc6455_10_2_the_servers_own_pages_may_connect() {
        let cases = [
            ("http://example.com", "example.com", true),
            ("http://example.com", "example.com:80", true),
            ("http://example.com:80", "example.com", true),
            ("https://example.com", "example.com", true),
            ("https://example.com", "example.com:443", true),
            ("https://example.com:8443", "example.com:8443", true),
            ("HTTPS://EXAMPLE.com", "example.COM", true),
            ("http://127.0.0.1:8000", "127.0.0.1:8000", true),
            ("http://[::1]:8000", "[::1]:8000", true),
            ("http://[::1]", "[0:0:0:0:0:0:0:1]:80", true),
            ("http://[2001:DB8::A]", "[2001:db8::a]", true),
            ("https://example.com", "example.com:80", false),
            ("http://example.com:8000", "example.com", false),
            ("http://example.com", "example.com:8000", false),
            ("http://example.com:8001", "example.com:8000", false),
            ("http://example.com", "www.example.com", false),
            ("http://www.example.com", "example.com", false),
            ("http://example.com.evil.test", "example.com", false),
            ("http://evil.test", "example.com", false),
            ("http://localhost:8000", "127.0.0.1:8000", false),
            ("chrome-extension://example.com", "example.com", false),
            ("null", "null", false),
            ("http://example.com", "", false),
            ("http://example.com", "example.com:x", false),
            ("http://example.com", "a@example.com", false),
        ];
        check(&OriginPolicy::default(), &cases);
    }

    #[test]
    fn rfc6454_5_a_listed_origin_is_one_of_scheme_host_and_port() {
        let policy = policy(&[
            "https://App.example.com",
            "http://a.test:8080",
            "http://[::1]:3000",
            "chrome-extension://abc",
        ]);
        let cases = [
            ("https://app.example.com", "ws.test", true),
            ("https://app.example.com:443", "ws.test", true),
            ("http://app.example.com", "ws.test", false),
            ("https://app.example.com:444", "ws.test", false),
            ("https://example.com", "ws.test", false),
            ("https://x.app.example.com", "ws.test", false),
            ("http://a.test:8080", "ws.test", true),
            ("http://a.test", "ws.test", false),
            ("http://[0::1]:3000", "ws.test", true),
            ("chrome-extension://abc", "ws.test", true),
            ("chrome-extension://abd", "ws.test", false),
            ("https://ws.test", "ws.test", true),
            ("null", "ws.test", false),
        ];
        check(&policy, &cases);
    }

    #[test]
    fn malformed_origins_are_refused_even_by_a_policy_that_admits_any() {
        let any = policy(&["*"]);
        let admitted = [
            "https://a",
            "http://a:1",
            "app://x",
            "http://[::1]",
            "http://a_b.test:65535",
        ];
        for origin in admitted {
            check(&any, &[(origin, "ws.test", true)]);
        }
        let malformed = [
            "",
            "a",
            "a.test",
            "//a.test",
            "://a.test",
            "http:a.test",
            "http://",
            "http://a.test/",
            "http://a.test/path",
            "http://a.test?q",
            "http://a.test#f",
            "http://user@a.test",
            "http://a.test:",
            "http://a.test:+80",
            "http://a.test:-1",
            "http://a.test:65536",
            "http://a.test:80:80",
            "http://a.test http://b.test",
            "http://a.test,http://b.test",
            "http://a.test ",
            " http://a.test",
            "1http://a.test",
            "ht tp://a.test",
            "http://*.a.test",
            "http://[::1",
            "http://[::1]x",
            "http://[::1%25lo]",
            "http://[1.2.3.4]",
            "http://::1",
            "http://bücher.test",
            "http://a\u{0}.test",
            "NULL",
        ];
        for origin in malformed {
            check(&any, &[(origin, "ws.test", false)]);
        }
        assert!(!any.admits(b"http://a.test\xff", b"a.test"));
    }

    #[test]
    fn null_is_admitted_only_if_it_is_listed() {
        check(&policy(&["*"]), &[("null", "a.test", false)]);
        let listed = policy(&["null"]);
        let cases = [("null", "a.test", true), ("http://b.test", "a.test", false)];
        check(&listed, &cases);
    }

    #[test]
    fn dev_admits_pages_of_this_machine() {
        let mut dev = OriginPolicy::default();
        dev.admit_loopback();
        let cases = [
            ("http://localhost:3000", "127.0.0.1:8000", true),
            ("https://LOCALHOST", "127.0.0.1:8000", true),
            ("http://127.0.0.1", "localhost:8000", true),
            ("http://127.255.0.7:5173", "localhost:8000", true),
            ("http://[::1]:5173", "localhost:8000", true),
            ("http://[0:0::1]", "localhost:8000", true),
            ("http://localhost.evil.test", "localhost:8000", false),
            ("http://127.0.0.1.evil.test", "localhost:8000", false),
            ("http://128.0.0.1", "localhost:8000", false),
            ("http://[::2]", "localhost:8000", false),
            ("null", "localhost:8000", false),
            ("http://evil.test", "localhost:8000", false),
            ("http://rebound.test:8000", "rebound.test:8000", false),
        ];
        check(&dev, &cases);
    }

    #[test]
    fn an_entry_that_is_no_origin_is_refused() {
        for entry in [
            "",
            "example.com",
            "https://a/",
            "https://*.a",
            "**",
            "Null",
            "https://a https://b",
        ] {
            let found = OriginPolicy::default().admit(entry);
            assert_eq!(found, Err(NoOrigin), "{entry}");
        }
    }
}
