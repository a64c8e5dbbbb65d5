//! How a subscriber asks for what it has missed. In: a template of a query, and a position. Out: the
//! route to connect to.
//!
//! Never: knows what a position means.

use std::fmt::Write;

use crate::client::Route;
use crate::fault::{Fault, FaultClass};

const POSITION: &str = "{position}";

/// A query in which a position has its place.
#[derive(Clone, Debug)]
pub(crate) struct Resume {
    head: String,
    tail: String,
}

impl Resume {
    /// What `query` says.
    ///
    /// # Errors
    ///
    /// In one sentence, why it is no query with a position in it.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let (head, tail) = query
            .split_once(POSITION)
            .filter(|(_, tail)| !tail.contains(POSITION))
            .ok_or("it must have {position} in it, once")?;
        Route::new(format!("/?{head}{tail}")).map_err(|error| error.to_string())?;
        Ok(Self {
            head: head.to_owned(),
            tail: tail.to_owned(),
        })
    }

    /// `base` with the query for what comes behind `position`.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when that is no route.
    pub(super) fn route(&self, base: &Route, position: &[u8]) -> Result<Route, Fault> {
        let base = base.as_str();
        let separator = if base.contains('?') { '&' } else { '?' };
        let mut path = format!("{base}{separator}{}", self.head);
        for &byte in position {
            encode(byte, &mut path);
        }
        path.push_str(&self.tail);
        Route::new(path).map_err(|error| Fault::new(FaultClass::Handshake, error))
    }
}

/// Appends a byte of a query's value (RFC 3986 §3.4): percent-encoded if it could be taken for something
/// else.
fn encode(byte: u8, path: &mut String) {
    if byte.is_ascii_alphanumeric() || b"-._~:/@!$,;".contains(&byte) {
        path.push(char::from(byte));
    } else {
        write!(path, "%{byte:02X}").expect("a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_put_into_the_query_and_nothing_in_it_leaves_its_place() {
        let resume = Resume::parse("since={position}&x=1").expect("a query");
        for (base, position, path) in [
            ("/raw/a", "12:xY_-", "/raw/a?since=12:xY_-&x=1"),
            ("/raw/a?meta=1", "7", "/raw/a?meta=1&since=7&x=1"),
            (
                "/",
                "a&b=c d#%+\u{e9}",
                "/?since=a%26b%3Dc%20d%23%25%2B%C3%A9&x=1",
            ),
        ] {
            let base = Route::new(base).expect("a route");
            let route = resume.route(&base, position.as_bytes()).expect("a route");
            assert_eq!(route.as_str(), path);
        }
    }

    #[test]
    fn other_queries_are_refused() {
        for query in [
            "",
            "since=1",
            "{position}{position}",
            "a b={position}",
            "{position}#",
        ] {
            assert!(Resume::parse(query).is_err(), "{query}");
        }
    }
}
