//! Who may use the API. In: a request's head. Out: whether it may.
//!
//! Never: lets the time that it takes tell how much of a key was right; its length it may tell.

use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use subtle::{Choice, ConstantTimeEq};

use super::error::Refusal;
use crate::config::{ApiAccess, Live};

/// The header that carries a key; `Authorization: apikey KEY` is the other way.
const KEY_HEADER: &str = "x-api-key";

/// Whether a request with `headers` may use the API.
///
/// Without keys, which is `--dev`, a request of a page still needs a page that may connect: any page that
/// a developer has open could post to the loopback otherwise. No page knows a key.
///
/// # Errors
///
/// [`Refusal::Unauthorized`], [`Refusal::ForeignPage`].
pub(super) fn check(live: &Live, headers: &HeaderMap) -> Result<(), Refusal> {
    match &live.api {
        ApiAccess::Keys(keys) => match shown_key(headers) {
            Some(shown) if is_among(shown, keys) => Ok(()),
            _ => Err(Refusal::Unauthorized),
        },
        ApiAccess::Open => {
            let value = |name| headers.get(name).map_or(&[][..], |value| value.as_bytes());
            if !headers.contains_key(ORIGIN) || live.origins.admits(value(ORIGIN), value(HOST)) {
                Ok(())
            } else {
                Err(Refusal::ForeignPage)
            }
        }
    }
}

fn shown_key(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(KEY_HEADER) {
        return Some(value.as_bytes());
    }
    let (scheme, key) = headers
        .get(AUTHORIZATION)?
        .as_bytes()
        .split_at_checked("apikey ".len())?;
    scheme
        .eq_ignore_ascii_case(b"apikey ")
        .then(|| key.trim_ascii())
}

/// Compares with every key, whichever it is.
fn is_among(shown: &[u8], keys: &[String]) -> bool {
    let found = keys.iter().fold(Choice::from(0), |found, key| {
        found | key.as_bytes().ct_eq(shown)
    });
    bool::from(found) && !shown.is_empty()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn live(api: ApiAccess) -> Live {
        Live {
            api,
            ..Live::closed()
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn a_key_is_shown_in_either_header_and_is_one_of_the_configured() {
        type Case = (
            &'static [(&'static str, &'static str)],
            &'static [&'static str],
            bool,
        );
        let cases: &[Case] = &[
            (&[("x-api-key", "one")], &["one", "two"], true),
            (&[("x-api-key", "two")], &["one", "two"], true),
            (&[("authorization", "apikey two")], &["one", "two"], true),
            (&[("authorization", "ApiKey  two")], &["one", "two"], true),
            (&[("x-api-key", "on")], &["one"], false),
            (&[("x-api-key", "one ne")], &["one"], false),
            (&[("x-api-key", "onf")], &["one"], false),
            (&[("x-api-key", "")], &["one"], false),
            (&[("x-api-key", "")], &[""], false),
            (&[("x-api-key", "one")], &[], false),
            (&[("authorization", "Bearer one")], &["one"], false),
            (&[("authorization", "one")], &["one"], false),
            (&[("authorization", "apikey")], &["one"], false),
            (&[("authorization", "apikey ")], &[""], false),
            (
                &[("x-api-key", "no"), ("authorization", "apikey one")],
                &["one"],
                false,
            ),
            (&[], &["one"], false),
            (&[], &[], false),
        ];
        for (shown, keys, expected) in cases {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            let checked = check(&live(ApiAccess::Keys(keys)), &headers(shown));
            let expected = if *expected {
                Ok(())
            } else {
                Err(Refusal::Unauthorized)
            };
            assert_eq!(checked, expected, "{shown:?}");
        }
    }

    #[test]
    fn without_keys_a_page_that_may_not_connect_may_not_call_either() {
        let live = live(ApiAccess::Open);
        assert_eq!(check(&live, &headers(&[])), Ok(()));
        let page = [
            ("origin", "https://evil.example"),
            ("host", "localhost:8000"),
        ];
        assert_eq!(check(&live, &headers(&page)), Err(Refusal::ForeignPage));
    }
}
