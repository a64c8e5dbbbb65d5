//! The token that a client shows in its upgrade. In: headers. Out: the token.
//!
//! Never: verifies it.

use fanfare_codec::handshake::Upgrade;

/// The token behind `Authorization: Bearer`, else in the cookie of that name. Of several, the first.
pub(super) fn credentials(cookie_name: Option<&str>, upgrade: &Upgrade<'_>) -> Option<Box<str>> {
    let headers = upgrade.headers();
    let bearer = headers.first("Authorization").and_then(bearer);
    let token = bearer.or_else(|| {
        let name = cookie_name?;
        let mut lines = headers.all("Cookie");
        lines.find_map(|line| cookie(name, line))
    });
    token.map(Into::into)
}

/// RFC 6750 §2.1.
fn bearer(value: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty()).then_some(token)
}

/// RFC 6265 §5.4.
fn cookie<'r>(name: &str, line: &'r [u8]) -> Option<&'r str> {
    let mut pairs = std::str::from_utf8(line).ok()?.split(';');
    pairs.find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim_matches([' ', '"']);
        (key.trim_matches(' ') == name && !value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6750_2_1_a_bearer_token_stands_behind_its_scheme() {
        assert_eq!(bearer(b"Bearer a.b.c"), Some("a.b.c"));
        assert_eq!(bearer(b"bearer  a "), Some("a"));
        for none in [
            &b"Bearer"[..],
            b"Bearer ",
            b"Basic a",
            b"a.b.c",
            b"Bearer \xFF",
        ] {
            assert_eq!(bearer(none), None, "{none:?}");
        }
    }

    #[test]
    fn rfc6265_5_4_a_cookie_is_found_by_its_name() {
        let cases = [
            ("token=a", Some("a")),
            ("x=1; token=a; y=2", Some("a")),
            ("token=a; token=b", Some("a")),
            ("token=\"a\"", Some("a")),
            ("token=a=b", Some("a=b")),
            ("token=", None),
            ("mytoken=a; tokens=b; token", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(cookie("token", line.as_bytes()), expected, "{line}");
        }
    }
}
