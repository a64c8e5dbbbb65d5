//! The list in `Sec-WebSocket-Extensions` (RFC 6455 §9.1). In: the values of its header lines. Out: each
//! extension with its parameters, in their order, or that the list is no such list.
//!
//! Never: knows an extension; allocates, but for a quoted value with a backslash in it.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use super::head::{Headers, is_token_byte};
use super::{Response, Status};

pub(super) const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// One element of the list: an offer of a client, or what a server has chosen.
#[derive(Clone, Copy, Debug)]
pub struct Extension<'b> {
    name: &'b str,
    /// From behind the name to behind the last parameter; well-formed.
    params: Cursor<'b>,
}

impl<'b> Extension<'b> {
    /// The registered name; case matters.
    #[must_use]
    pub const fn name(&self) -> &'b str {
        self.name
    }

    /// Its parameters in their order; one may stand there twice.
    pub fn params(&self) -> impl Iterator<Item = ExtensionParam<'b>> + use<'b> {
        let mut cursor = self.params;
        core::iter::from_fn(move || cursor.param().ok().flatten())
    }
}

/// A parameter of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionParam<'b> {
    /// A token.
    pub name: &'b str,
    /// A token, unquoted; `None` if there is no `=`.
    pub value: Option<Cow<'b, str>>,
}

impl<'b> Headers<'b> {
    /// The elements of all `Sec-WebSocket-Extensions` headers, as if they were one; empty elements are
    /// left out. Nothing follows an error.
    ///
    /// ```
    /// use fanfare_codec::handshake::{HeadLimits, RequestDecoder};
    ///
    /// let head = b"GET / HTTP/1.1\r\nSec-WebSocket-Extensions: mux; max=\"4\"; x, foo\r\n\r\n";
    /// let request = RequestDecoder::new(HeadLimits::default()).decode(head)?.expect("whole");
    /// let extensions = request.headers().extensions().collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(extensions.iter().map(|e| e.name()).collect::<Vec<_>>(), ["mux", "foo"]);
    /// assert_eq!(extensions[0].params().next().unwrap().value.as_deref(), Some("4"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn extensions(
        &self,
    ) -> impl Iterator<Item = Result<Extension<'b>, MalformedExtensions>> + use<'_, 'b> {
        list(self.all(EXTENSIONS))
    }
}

/// The elements of the lists that `values` are.
fn list<'b>(
    values: impl Iterator<Item = &'b [u8]>,
) -> impl Iterator<Item = Result<Extension<'b>, MalformedExtensions>> {
    let mut values = values.fuse();
    let mut rest = Cursor(&[]);
    let mut failed = false;
    core::iter::from_fn(move || {
        while !failed {
            if rest.eat(b',') {
                continue;
            }
            if rest.0.is_empty() {
                rest = Cursor(values.next()?);
                continue;
            }
            let element = rest.extension();
            failed = element.is_err();
            return Some(element);
        }
        None
    })
}

/// What of a header's value is still to be read.
#[derive(Clone, Copy, Debug)]
struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    /// Skips white space, and `byte` if it is next: whether it was.
    fn eat(&mut self, byte: u8) -> bool {
        self.0 = self.0.trim_ascii_start();
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Skips white space and takes a token.
    fn token(&mut self) -> Result<&'b str, MalformedExtensions> {
        self.0 = self.0.trim_ascii_start();
        match self.token_bytes() {
            "" => Err(MalformedExtensions),
            token => Ok(token),
        }
    }

    /// Takes what may stand in a token, perhaps nothing.
    fn token_bytes(&mut self) -> &'b str {
        let is_other = |byte: &u8| !is_token_byte(*byte);
        let len = self.0.iter().position(is_other).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(len);
        self.0 = rest;
        core::str::from_utf8(token).expect("a token is ASCII")
    }

    /// Takes an element, up to the comma behind it.
    fn extension(&mut self) -> Result<Extension<'b>, MalformedExtensions> {
        let name = self.token()?;
        let params = *self;
        while self.param()?.is_some() {}
        match self.0.first() {
            None | Some(b',') => Ok(Extension { name, params }),
            Some(_) => Err(MalformedExtensions),
        }
    }

    /// Takes a parameter, if a semicolon says that one is next.
    fn param(&mut self) -> Result<Option<ExtensionParam<'b>>, MalformedExtensions> {
        if !self.eat(b';') {
            return Ok(None);
        }
        let name = self.token()?;
        let value = match self.eat(b'=') {
            false => None,
            true if self.eat(b'"') => Some(self.quoted()?),
            true => Some(Cow::Borrowed(self.token()?)),
        };
        Ok(Some(ExtensionParam { name, value }))
    }

    /// Takes the rest of a quoted string, which must be a token once it is unquoted.
    fn quoted(&mut self) -> Result<Cow<'b, str>, MalformedExtensions> {
        let plain = self.token_bytes();
        if let ([b'"', rest @ ..], false) = (self.0, plain.is_empty()) {
            self.0 = rest;
            return Ok(Cow::Borrowed(plain));
        }
        let mut value = String::from(plain);
        loop {
            let byte = match self.0 {
                [b'"', rest @ ..] if !value.is_empty() => {
                    self.0 = rest;
                    return Ok(Cow::Owned(value));
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                    self.0 = rest;
                    *byte
                }
                [] => return Err(MalformedExtensions),
            };
            if !is_token_byte(byte) {
                return Err(MalformedExtensions);
            }
            value.push(char::from(byte));
        }
    }
}

/// A `Sec-WebSocket-Extensions` that does not follow the grammar of RFC 6455 §9.1, which says to fail the
/// connection: a server answers with `Response::from(&error)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedExtensions;

impl fmt::Display for MalformedExtensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sec-WebSocket-Extensions is not a list of extensions")
    }
}

impl core::error::Error for MalformedExtensions {}

impl From<&MalformedExtensions> for Response {
    fn from(error: &MalformedExtensions) -> Self {
        Self::refusal(Status::BAD_REQUEST, error)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    /// The elements as `name;param=value`, up to an error.
    fn read(values: &[&str]) -> (Vec<String>, bool) {
        let mut failed = false;
        let mut read = Vec::new();
        for element in list(values.iter().map(|value| value.as_bytes())) {
            assert!(!failed, "nothing follows an error");
            let Ok(element) = element else {
                failed = true;
                continue;
            };
            let mut text = element.name().to_string();
            for param in element.params() {
                text += &format!(";{}", param.name);
                if let Some(value) = param.value {
                    text += &format!("={value}");
                }
            }
            read.push(text);
        }
        (read, failed)
    }

    #[test]
    fn s9_1_lists_are_read_as_they_are_written() {
        let table: &[(&[&str], &[&str])] = &[
            (&[], &[]),
            (&["", " , ,"], &[]),
            (&["foo"], &["foo"]),
            (&["foo, bar; baz=2"], &["foo", "bar;baz=2"]),
            (&["foo", "bar; baz=2"], &["foo", "bar;baz=2"]),
            (&["deflate-stream"], &["deflate-stream"]),
            (
                &["mux; max-channels=4; flow-control, deflate-stream"],
                &["mux;max-channels=4;flow-control", "deflate-stream"],
            ),
            (&["a;b;b=1;b"], &["a;b;b=1;b"]),
            (&["\ta\t;\tb = c\t,d"], &["a;b=c", "d"]),
            (&["a;b=\"c\""], &["a;b=c"]),
            (&["a;b=\"\\c\\d\";e"], &["a;b=cd;e"]),
            (&["a;b=\"c\\d\" , f"], &["a;b=cd", "f"]),
            (&["a", "a"], &["a", "a"]),
        ];
        for (values, expected) in table {
            let (elements, failed) = read(values);
            assert_eq!(elements, *expected, "{values:?}");
            assert!(!failed, "{values:?}");
        }
    }

    #[test]
    fn s9_1_what_is_no_list_is_malformed() {
        let table: &[(&str, &[&str])] = &[
            (";", &[]),
            ("a b", &[]),
            ("a;", &[]),
            ("a;,b", &[]),
            ("a;=1", &[]),
            ("a;b=", &[]),
            ("a;b=;c", &[]),
            ("a;b=\"\"", &[]),
            ("a;b=\"c d\"", &[]),
            ("a;b=\"c,d\"", &[]),
            ("a;b=\" c\"", &[]),
            ("a;b=\"c", &[]),
            ("a;b=\"c\\", &[]),
            ("a;b=\"\\\"\"", &[]),
            ("a;b=\"c\"d", &[]),
            ("a;b=c\"d\"", &[]),
            ("a;b=1=2", &[]),
            ("\"a\"", &[]),
            ("a=1", &[]),
            ("a/b", &[]),
            ("\u{e9}", &[]),
            ("good;x=1, bad;, never", &["good;x=1"]),
        ];
        for (value, before) in table {
            let (elements, failed) = read(&[value]);
            assert!(failed, "{value:?}");
            assert_eq!(elements, *before, "{value:?}");
        }
    }

    #[test]
    fn a_quoted_string_does_not_go_on_in_the_next_line() {
        assert_eq!(read(&["a;b=\"c", "d\""]), (Vec::new(), true));
    }
}
