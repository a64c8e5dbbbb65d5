//! What a URL says of whom to connect to (RFC 3986 §3.2). In: a URL. Out: its parts, or which of them is wrong.
//!
//! Names stay what they are: whoever has one that is not ASCII turns it into Punycode (`xn--…`) first.
//!
//! Never: resolves; decodes; guesses what was meant.

use std::fmt;
use std::net::Ipv6Addr;

/// The part of a URL that is wrong.
///
/// ```
/// use fanfare_tokio::{ClientRequest, Error, UrlError};
///
/// let wrong = |url| match ClientRequest::new(url) {
///     Err(Error::Url(part)) => part,
///     other => panic!("{other:?}"),
/// };
/// assert_eq!(wrong("https://example.org/"), UrlError::Scheme);
/// assert_eq!(wrong("wss://user:password@example.org/"), UrlError::Userinfo);
/// assert_eq!(wrong("wss://bücher.example/"), UrlError::NonAsciiHost);
/// assert_eq!(wrong("wss://example.org:65536/"), UrlError::Port);
/// assert_eq!(wrong("wss://example.org/#top"), UrlError::Fragment);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// Neither `ws://` nor `wss://`.
    Scheme,
    /// It holds a user or a password. They would be sent by whoever is handed the URL: a header must be meant.
    Userinfo,
    /// There is no host, or it is no name and no address; IPv6 addresses stand in brackets, without a zone.
    Host,
    /// The host is not ASCII: its Punycode form (`xn--…`) is wanted.
    NonAsciiHost,
    /// The port is not a number from 1 to 65535.
    Port,
    /// Path or query hold white space, a control character or what is not ASCII: those are percent-encoded.
    Target,
    /// It has a fragment, which means nothing here (RFC 6455 §3); a `#` in a path is `%23`.
    Fragment,
    /// Of a proxy: not `http://`.
    ProxyScheme,
    /// Of a proxy: Basic authentication has no such user or password (RFC 7617 §2): a user with a colon, or control
    /// characters.
    Credentials,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the scheme must be ws:// or wss://",
            Self::Userinfo => {
                "a user or password in it is not sent: give an Authorization header instead"
            }
            Self::Host => {
                "the host must be a name, an IPv4 address, or an IPv6 address in brackets"
            }
            Self::NonAsciiHost => "the host is not ASCII: give its Punycode form (xn--…)",
            Self::Port => "the port must be a number from 1 to 65535",
            Self::Target => {
                "path and query must be ASCII without white space: percent-encode the rest"
            }
            Self::Fragment => "a fragment (#…) means nothing to a server",
            Self::ProxyScheme => "the scheme of a proxy must be http://",
            Self::Credentials => {
                "Basic authentication has no user with a colon, and no control characters"
            }
        })
    }
}

impl std::error::Error for UrlError {}

/// A URL taken apart, behind its scheme.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts<'u> {
    /// What stands in front of an `@`.
    pub(crate) userinfo: Option<&'u str>,
    /// As it is written: an IPv6 address in its brackets.
    pub(crate) host: &'u str,
    pub(crate) port: Option<u16>,
    /// Path, query and fragment.
    pub(crate) rest: &'u str,
}

impl<'u> Parts<'u> {
    /// Whom to resolve: without the brackets.
    pub(crate) fn bare_host(&self) -> &'u str {
        self.host.trim_matches(['[', ']'])
    }
}

/// Takes apart what stands behind `://`.
pub(crate) fn split(rest: &str) -> Result<Parts<'_>, UrlError> {
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (userinfo, place) = match authority.rsplit_once('@') {
        Some((userinfo, place)) => (Some(userinfo), place),
        None => (None, authority),
    };
    // A colon inside brackets is the address's.
    let host_len = match place.find(']') {
        Some(bracket) => bracket + 1,
        None => place.find(':').unwrap_or(place.len()),
    };
    let (host, port) = place.split_at(host_len);
    check_host(host)?;
    Ok(Parts {
        userinfo,
        host,
        port: parse_port(port)?,
        rest,
    })
}

fn check_host(host: &str) -> Result<(), UrlError> {
    if !host.is_ascii() {
        return Err(UrlError::NonAsciiHost);
    }
    let is_host = match host.strip_prefix('[') {
        Some(address) => address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => {
            let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            !host.is_empty() && host.bytes().all(is_of_name)
        }
    };
    is_host.then_some(()).ok_or(UrlError::Host)
}

/// `port` with its colon, or nothing; a colon alone is nothing, too (RFC 3986 §3.2.3).
fn parse_port(port: &str) -> Result<Option<u16>, UrlError> {
    let digits = match port.strip_prefix(':') {
        Some(digits) if !digits.is_empty() => digits,
        Some(_) => return Ok(None),
        None if port.is_empty() => return Ok(None),
        None => return Err(UrlError::Host), // something behind a bracket
    };
    // `parse` would take a sign.
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(port) if is_number && port != 0 => Ok(Some(port)),
        _ => Err(UrlError::Port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_found() {
        assert_eq!(
            split("u:p@[::1]:81/a?b#c"),
            Ok(Parts {
                userinfo: Some("u:p"),
                host: "[::1]",
                port: Some(81),
                rest: "/a?b#c",
            })
        );
        let bare = split("[::1]").map(|parts| parts.bare_host());
        assert_eq!(bare, Ok("::1"));
    }

    #[test]
    fn each_wrong_part_is_named() {
        for (rest, wrong) in [
            ("", UrlError::Host),
            (":80", UrlError::Host),
            ("a b", UrlError::Host),
            ("a%2e", UrlError::Host),
            ("a\\@b\\", UrlError::Host),
            ("::1", UrlError::Host),
            ("[::1", UrlError::Host),
            ("::1]", UrlError::Host),
            ("[::1]x", UrlError::Host),
            ("[::1%25eth0]", UrlError::Host),
            ("[a]", UrlError::Host),
            ("\u{fc}", UrlError::NonAsciiHost),
            ("a:b", UrlError::Port),
            ("a:0", UrlError::Port),
            ("a:+1", UrlError::Port),
            ("a:65536", UrlError::Port),
            ("a:1:2", UrlError::Port),
        ] {
            assert_eq!(split(rest), Err(wrong), "{rest}");
        }
        for rest in ["a:", "[::1]:", "a_b.c-d~.", "1.2.3.4"] {
            assert_eq!(split(rest).map(|parts| parts.port), Ok(None), "{rest}");
        }
    }
}
