//! The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt). In: the first bytes of a connection. Out:
//! whom a proxy has accepted it from, and how long the header is.
//!
//! Extensions of version 2 (TLVs) are skipped, their checksum too: TCP has one already.
//!
//! Never: allocates, keeps what it has seen: it is asked again with more.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::limits::{PROXY_V1_BYTES_MAX, PROXY_V2_BYTES_MAX};

/// §2.1: what a header of version 1 begins with.
const V1: &[u8] = b"PROXY ";

/// §2.2: what one of version 2 begins with.
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const V2_FIXED: usize = 16;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Whom the proxy speaks for; none: for itself, or for somebody without an IP address.
    pub(crate) source: Option<SocketAddr>,
    /// What follows it is the connection's own.
    pub(crate) len: usize,
}

/// Why it is no header, and never becomes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyError {
    /// It begins with neither version's signature.
    NoSignature,
    /// Longer than a header may be.
    TooLong,
    /// A line of version 1 that is not as §2.1 wants it.
    MalformedLine,
    /// A version, command or family of version 2 that there is not.
    Unknown,
    /// Addresses that do not fit into the length that version 2 gives.
    CutAddresses,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSignature => "it does not begin with a PROXY header",
            Self::TooLong => "its PROXY header is too long",
            Self::MalformedLine => "its PROXY line is malformed",
            Self::Unknown => "its PROXY header has an unknown version, command or family",
            Self::CutAddresses => "its PROXY header is too short for its addresses",
        })
    }
}

/// What `received`, all that has come so far, begins with; nothing while that is not whole.
///
/// # Errors
///
/// As soon as no further byte could make it a header.
pub(crate) fn decode(received: &[u8]) -> Result<Option<Header>, ProxyError> {
    if begins_with(received, V2) {
        return decode_v2(received);
    }
    if begins_with(received, V1) {
        return decode_v1(received);
    }
    Err(ProxyError::NoSignature)
}

/// As far as there are bytes.
fn begins_with(received: &[u8], signature: &[u8]) -> bool {
    let len = received.len().min(signature.len());
    received[..len] == signature[..len]
}

fn decode_v1(received: &[u8]) -> Result<Option<Header>, ProxyError> {
    let searched = &received[..received.len().min(PROXY_V1_BYTES_MAX)];
    let Some(end) = searched.windows(2).position(|pair| pair == b"\r\n") else {
        return if received.len() < PROXY_V1_BYTES_MAX {
            Ok(None)
        } else {
            Err(ProxyError::TooLong)
        };
    };
    let line = std::str::from_utf8(&received[..end]).map_err(|_| ProxyError::MalformedLine)?;
    let source = source_of_line(line).ok_or(ProxyError::MalformedLine)?;
    let len = end + 2;
    Ok(Some(Header { source, len }))
}

fn source_of_line(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None); // whatever follows is to be ignored
    }
    let fields = [words.next()?, words.next()?, words.next()?, words.next()?];
    if words.next().is_some() {
        return None;
    }
    let source = match family {
        "TCP4" => addresses::<Ipv4Addr>(fields)?,
        "TCP6" => addresses::<Ipv6Addr>(fields)?,
        _ => return None,
    };
    Some(Some(source))
}

/// Both addresses and ports have to be right, though the first alone is of interest.
fn addresses<A: FromStr + Into<IpAddr>>(
    [source, to, port, to_port]: [&str; 4],
) -> Option<SocketAddr> {
    let source: A = source.parse().ok()?;
    let _: A = to.parse().ok()?;
    decimal_port(to_port)?;
    Some(SocketAddr::new(source.into(), decimal_port(port)?))
}

/// Without a sign and without leading zeros.
fn decimal_port(text: &str) -> Option<u16> {
    let is_plain =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

fn decode_v2(received: &[u8]) -> Result<Option<Header>, ProxyError> {
    let Some(fixed) = received.first_chunk::<V2_FIXED>() else {
        return Ok(None);
    };
    let [.., version_and_command, family, high, low] = *fixed;
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Unknown),
    };
    let body_len = usize::from(u16::from_be_bytes([high, low]));
    let len = V2_FIXED + body_len;
    if len > PROXY_V2_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    // Of each: two addresses and two ports. Datagrams do not come over a stream.
    let address_len = match family {
        _ if is_local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(ProxyError::Unknown),
    };
    if body_len < address_len {
        return Err(ProxyError::CutAddresses);
    }
    let Some(body) = received.get(V2_FIXED..len) else {
        return Ok(None);
    };
    let source = match body {
        [a, b, c, d, _, _, _, _, high, low, ..] if address_len == 12 => {
            let ip = Ipv4Addr::new(*a, *b, *c, *d);
            Some(SocketAddr::new(
                ip.into(),
                u16::from_be_bytes([*high, *low]),
            ))
        }
        _ if address_len == 36 => {
            body.first_chunk::<16>()
                .zip(body.get(32..34))
                .map(|(ip, port)| {
                    let port = u16::from_be_bytes([port[0], port[1]]);
                    SocketAddr::new(Ipv6Addr::from(*ip).into(), port)
                })
        }
        _ => None, // its own, or a Unix socket's
    };
    Ok(Some(Header { source, len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(version_and_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&V2[..], &[version_and_command, family], &len, body].concat()
    }

    const TCP4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0x30, 0x39, 0, 80];

    fn tcp6() -> Vec<u8> {
        let ip = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        [&ip("2001:db8::1")[..], &ip("2001:db8::2"), &[1, 0, 0, 80]].concat()
    }

    /// Whole headers, and what they say.
    fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
        let line = |text: &str| format!("{text}\r\n").into_bytes();
        let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        vec![
            (
                line("PROXY TCP4 192.0.2.1 198.51.100.1 12345 80"),
                Some("192.0.2.1:12345"),
            ),
            (
                line("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0"),
                Some("255.255.255.255:65535"),
            ),
            (
                line("PROXY TCP6 2001:db8::1 ::1 256 80"),
                Some("[2001:db8::1]:256"),
            ),
            (
                line(&format!("PROXY TCP6 {full} {full} 65535 65535")),
                Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ),
            (line("PROXY UNKNOWN"), None),
            (
                line(&format!("PROXY UNKNOWN {full} {full} 65535 65535")),
                None,
            ),
            (v2(0x21, 0x11, TCP4), Some("192.0.2.1:12345")),
            (v2(0x21, 0x21, &tcp6()), Some("[2001:db8::1]:256")),
            // Extensions: here a checksum (0x03) and an authority (0x02).
            (
                v2(
                    0x21,
                    0x11,
                    &[TCP4, &[3, 0, 4, 1, 2, 3, 4, 2, 0, 1, b'a']].concat(),
                ),
                Some("192.0.2.1:12345"),
            ),
            (v2(0x21, 0x00, b""), None),
            (v2(0x21, 0x00, b"whatever"), None),
            (v2(0x21, 0x31, &[0; 216]), None),
            (v2(0x20, 0x00, b""), None),
            // §2.2: a LOCAL's family is to be ignored, whatever it is.
            (v2(0x20, 0x11, TCP4), None),
            (v2(0x20, 0xFF, b""), None),
            (
                v2(
                    0x21,
                    0x11,
                    &[TCP4, &vec![0; PROXY_V2_BYTES_MAX - 28]].concat(),
                ),
                Some("192.0.2.1:12345"),
            ),
        ]
    }

    #[test]
    fn a_header_says_whom_it_is_for_wherever_it_is_cut() {
        for (header, source) in good() {
            let source = source.map(|source| source.parse().unwrap());
            for cut in 0..header.len() {
                assert_eq!(decode(&header[..cut]), Ok(None), "{header:?} cut at {cut}");
            }
            let len = header.len();
            let whole = Ok(Some(Header { source, len }));
            assert_eq!(decode(&header), whole, "{header:?}");
            let with_more = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(decode(&with_more), whole, "{header:?} and a request");
        }
    }

    #[test]
    fn what_is_forged_is_refused() {
        let line = |text: &str| format!("{text}\r\n").into_bytes();
        let malformed = [
            "PROXY ",
            "PROXY TCP4",
            "PROXY TCP5 192.0.2.1 192.0.2.1 1 2",
            "PROXY tcp4 192.0.2.1 192.0.2.1 1 2",
            "PROXY TCP4 192.0.2.1 192.0.2.1 1",
            "PROXY TCP4 192.0.2.1 192.0.2.1 1 2 3",
            "PROXY TCP4 192.0.2.1 192.0.2.1 1 2 ",
            "PROXY  TCP4 192.0.2.1 192.0.2.1 1 2",
            "PROXY TCP4 2001:db8::1 192.0.2.1 1 2",
            "PROXY TCP4 192.0.2.1 ::1 1 2",
            "PROXY TCP6 192.0.2.1 192.0.2.1 1 2",
            "PROXY TCP4 192.0.2.256 192.0.2.1 1 2",
            "PROXY TCP4 192.0.2.01 192.0.2.1 1 2",
            "PROXY TCP4 192.0.2.1 192.0.2.1 65536 2",
            "PROXY TCP4 192.0.2.1 192.0.2.1 +1 2",
            "PROXY TCP4 192.0.2.1 192.0.2.1 01 2",
            "PROXY TCP4 192.0.2.1 192.0.2.1 1 -2",
            "PROXY TCP4 192.0.2.1 192.0.2.1 1 ",
        ];
        for text in malformed {
            assert_eq!(
                decode(&line(text)),
                Err(ProxyError::MalformedLine),
                "{text}"
            );
        }
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXy TCP4",
            b"proxy ",
            b"\r\n\r\n\0\r\nQUIT\r",
            b"\r\n\r\n\r",
            b"\x16\x03\x01",
        ] {
            assert_eq!(decode(other), Err(ProxyError::NoSignature), "{other:?}");
        }
        for (header, error) in [
            (v2(0x11, 0x11, TCP4), ProxyError::Unknown),
            (v2(0x22, 0x11, TCP4), ProxyError::Unknown),
            (v2(0x21, 0x12, TCP4), ProxyError::Unknown),
            (v2(0x21, 0x41, TCP4), ProxyError::Unknown),
            (v2(0x21, 0x11, &TCP4[..11]), ProxyError::CutAddresses),
            (v2(0x21, 0x21, &tcp6()[..35]), ProxyError::CutAddresses),
            (v2(0x21, 0x31, &[0; 215]), ProxyError::CutAddresses),
        ] {
            assert_eq!(decode(&header), Err(error), "{header:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_has_come() {
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        assert_eq!(decode(&endless[..PROXY_V1_BYTES_MAX - 1]), Ok(None));
        for len in PROXY_V1_BYTES_MAX..endless.len() {
            assert_eq!(decode(&endless[..len]), Err(ProxyError::TooLong), "{len}");
        }
        let late = [&endless[..PROXY_V1_BYTES_MAX - 1], b"\r\n"].concat();
        assert_eq!(decode(&late), Err(ProxyError::TooLong));
        let fixed = v2(0x21, 0x11, &vec![0; PROXY_V2_BYTES_MAX]);
        assert_eq!(decode(&fixed[..V2_FIXED - 1]), Ok(None));
        assert_eq!(decode(&fixed[..V2_FIXED]), Err(ProxyError::TooLong));
    }
}
