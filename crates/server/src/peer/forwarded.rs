//! Whom a request was forwarded for. In: headers of a request that came from a trusted proxy. Out: an address.
//!
//! Each proxy writes whom it got the request from behind what is there already, so only what the last ones wrote is
//! worth something: from the end, the first address that is no trusted proxy's is the client's. What stands in front
//! of it, anybody may have written.
//!
//! Never: looks at a header of somebody who is not trusted.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use fanfare_codec::handshake::Headers;

use super::Trusted;

/// The client's address: as `X-Forwarded-For` says, or without one `Forwarded` (RFC 7239). None: neither says
/// anything, or it ends with what is no address.
pub(crate) fn client(headers: &Headers<'_>, trusted: &Trusted) -> Option<IpAddr> {
    let mut lines = headers.all("X-Forwarded-For").peekable();
    if lines.peek().is_some() {
        let entries = lines.flat_map(|line| line.split(|&b| b == b','));
        return rightmost(entries.map(address), trusted);
    }
    let elements = headers.all("Forwarded").flat_map(elements);
    rightmost(elements.map(for_of_element), trusted)
}

/// Of `hops`, from the end: the first that is not trusted, or the last of those that are.
fn rightmost(hops: impl Iterator<Item = Option<IpAddr>>, trusted: &Trusted) -> Option<IpAddr> {
    let mut client = None;
    // A head is short, and header values cannot be walked from their end.
    let hops: Vec<Option<IpAddr>> = hops.collect();
    for hop in hops.into_iter().rev() {
        let Some(ip) = hop else {
            return client; // nobody knows who was in front of it
        };
        client = Some(ip);
        if !trusted.contains(Some(ip)) {
            break;
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let in_brackets = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()
    };
    let ip = text.parse::<IpAddr>().ok();
    let ip = ip.or_else(|| text.parse::<SocketAddr>().ok().map(|addr| addr.ip()));
    let ip = ip.or_else(|| in_brackets().map(IpAddr::V6));
    ip.map(|ip| ip.to_canonical())
}

/// RFC 7239 §4: elements are parted by commas outside of quotes.
fn elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    line.split(move |&b| {
        is_quoted ^= b == b'"';
        b == b',' && !is_quoted
    })
}

/// The `for` of an element: pairs are parted by semicolons.
fn for_of_element(element: &[u8]) -> Option<IpAddr> {
    let element = std::str::from_utf8(element).ok()?;
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let is_for = name.trim_matches([' ', '\t']).eq_ignore_ascii_case("for");
        let value = value.trim_matches([' ', '\t']);
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .unwrap_or(value);
        is_for.then(|| address(value.as_bytes()))?
    })
}

#[cfg(test)]
mod tests {
    use fanfare_codec::handshake::{HeadLimits, RequestDecoder};

    use super::*;

    fn client_of(lines: &str) -> Option<String> {
        let trusted = Trusted::parse(&["10.0.0.0/8".into(), "2001:db8::/32".into()]).unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        let mut decoder = RequestDecoder::new(HeadLimits::DEFAULT);
        let request = decoder.decode(head.as_bytes()).unwrap().unwrap();
        client(request.headers(), &trusted).map(|ip| ip.to_string())
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxys_is_the_clients() {
        for (value, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("203.0.113.9, 192.0.2.1", Some("192.0.2.1")),
            (
                "203.0.113.9,192.0.2.1 ,10.0.0.1, 10.2.3.4",
                Some("192.0.2.1"),
            ),
            ("192.0.2.1:1234, 10.0.0.1:80", Some("192.0.2.1")),
            ("2001:db9::1, 2001:db8::5", Some("2001:db9::1")),
            ("[2001:db9::1]:80, [2001:db8::5]", Some("2001:db9::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            // All of them proxies: a request of the farthest one's own.
            ("10.0.0.1, 10.0.0.2", Some("10.0.0.1")),
            ("forged, 10.0.0.2", Some("10.0.0.2")),
            ("192.0.2.1, unknown", None),
            ("192.0.2.1, ", None),
            ("", None),
        ] {
            let found = client_of(&format!("X-Forwarded-For: {value}\r\n"));
            assert_eq!(found.as_deref(), expected, "{value}");
        }
        let two = "X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2, 10.0.0.1\r\n";
        assert_eq!(client_of(two).as_deref(), Some("192.0.2.2"));
    }

    #[test]
    fn rfc7239_4_the_rightmost_for_is_the_clients() {
        for (value, expected) in [
            ("for=192.0.2.1", Some("192.0.2.1")),
            ("For=\"192.0.2.1:47011\";proto=http", Some("192.0.2.1")),
            (
                "for=203.0.113.9, for=192.0.2.1;by=10.0.0.1, for=10.0.0.2",
                Some("192.0.2.1"),
            ),
            (
                "for=\"[2001:db9:cafe::17]:4711\"",
                Some("2001:db9:cafe::17"),
            ),
            (
                "by=x;host=\"a,for=192.0.2.9\";for=192.0.2.1",
                Some("192.0.2.1"),
            ),
            ("for=192.0.2.1, for=_hidden", None),
            ("for=192.0.2.1, for=unknown, for=10.0.0.1", Some("10.0.0.1")),
            ("proto=http", None),
        ] {
            let found = client_of(&format!("Forwarded: {value}\r\n"));
            assert_eq!(found.as_deref(), expected, "{value}");
        }
        let both = "Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n";
        assert_eq!(client_of(both).as_deref(), Some("192.0.2.2"));
    }
}
