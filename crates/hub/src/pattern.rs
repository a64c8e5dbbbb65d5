//! Patterns that select channels. In: text with `*` and `?`. Out: whether a name matches.
//!
//! Never: takes longer than the product of both lengths.

use std::fmt;

use crate::limits::PATTERN_BYTES_MAX;

/// A pattern is longer than [`PATTERN_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternTooLong;

impl fmt::Display for PatternTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a pattern has at most {PATTERN_BYTES_MAX} bytes")
    }
}

impl std::error::Error for PatternTooLong {}

/// Selects channels: `*` is any text, `?` any character, all else is itself. Empty selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelPattern(Box<str>);

impl ChannelPattern {
    /// A pattern from a peer's text.
    ///
    /// # Errors
    ///
    /// [`PatternTooLong`].
    pub fn parse(text: &str) -> Result<Self, PatternTooLong> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternTooLong);
        }
        Ok(Self(text.into()))
    }

    /// Whether it selects `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_empty() || glob(self.0.as_bytes(), name.as_bytes())
    }
}

/// Goes back to the last `*` only: an earlier one can give nothing that the last can't.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&b) if b == b'?' || b == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else {
                    return false;
                };
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By definition, exponential.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|n| naive(rest, &name[n..])),
            Some((b, rest)) => name
                .split_first()
                .is_some_and(|(first, others)| (*b == b'?' || b == first) && naive(rest, others)),
        }
    }

    #[test]
    fn every_short_pattern_selects_what_the_definition_does() {
        fn texts(alphabet: &[u8], len: u32) -> Vec<Vec<u8>> {
            let base = alphabet.len();
            (0..=len)
                .flat_map(|len| {
                    (0..base.pow(len)).map(move |mut code| {
                        (0..len)
                            .map(|_| {
                                let byte = alphabet[code % base];
                                code /= base;
                                byte
                            })
                            .collect()
                    })
                })
                .collect()
        }
        let names = texts(b"ab", 5);
        let mut selected = 0;
        for pattern in texts(b"ab*?", 4) {
            for name in &names {
                let expected = naive(&pattern, name);
                selected += usize::from(expected);
                let show = (pattern.escape_ascii(), name.escape_ascii());
                assert_eq!(glob(&pattern, name), expected, "{} {}", show.0, show.1);
            }
        }
        assert!(selected > 1000, "{selected}");
    }

    #[test]
    fn an_empty_pattern_selects_all_and_a_long_one_is_refused() {
        assert!(ChannelPattern::default().matches("chat:a"));
        assert!(ChannelPattern::parse("chat:*").unwrap().matches("chat:a"));
        assert!(!ChannelPattern::parse("chat:*").unwrap().matches("news:a"));
        let long = "*".repeat(PATTERN_BYTES_MAX);
        assert!(ChannelPattern::parse(&long).unwrap().matches("x"));
        assert_eq!(ChannelPattern::parse(&(long + "*")), Err(PatternTooLong));
    }
}
