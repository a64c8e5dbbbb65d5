//! Data that passes through: what clients, tokens and the backend give for others. In: JSON texts, or any
//! bytes. Out: a payload that may stand inside a frame.
//!
//! Never: lets a raw newline of what somebody publishes through: it would begin another object in a JSON
//! frame, and one client could speak to another in the server's name.

use bytes::Bytes;
use fanfare_hub::Payload;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::limits::{JSON_DEPTH_MAX, JSON_DIGITS_MAX};

/// The text of a JSON value without the newlines between its tokens: those in strings are escaped, or it
/// would not be JSON.
#[must_use]
pub fn without_newlines(json: &RawValue) -> String {
    strip_newlines(json.get().to_owned())
}

/// What a client published, as it is kept: JSON on whatever wire it came, so that clients of the JSON wire
/// get JSON from those of the Protobuf wire; else bytes.
///
/// JSON loses its raw newlines, and is not copied if it has none. What is nested deeper than
/// [`JSON_DEPTH_MAX`] counts as bytes.
#[must_use]
pub fn payload(data: Bytes) -> Payload {
    if is_json(&data) {
        match String::from_utf8(data.into()) {
            Ok(text) => Payload::json(strip_newlines(text)),
            Err(error) => Payload::binary(error.into_bytes().into()),
        }
    } else {
        Payload::binary(data)
    }
}

/// Whether it is a JSON text that every client can read.
pub(crate) fn is_json(data: &[u8]) -> bool {
    std::str::from_utf8(data).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
        && is_shallow(data)
}

/// Whether no value of `json`, a valid text, is nested deeper than [`JSON_DEPTH_MAX`], and no number longer than
/// [`JSON_DIGITS_MAX`].
pub(crate) fn is_shallow(json: &[u8]) -> bool {
    if json.len() <= JSON_DEPTH_MAX {
        return true;
    }
    let (mut depth, mut digits) = (0_usize, 0_usize);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX || digits > JSON_DIGITS_MAX {
            return false;
        }
    }
    true
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

/// Appends `json`, a valid text, without its raw newlines.
pub(crate) fn append_without_newlines(out: &mut Vec<u8>, json: &[u8]) {
    let mut from = 0;
    for at in memchr::memchr2_iter(b'\n', b'\r', json) {
        out.extend_from_slice(&json[from..at]);
        from = at + 1;
    }
    out.extend_from_slice(&json[from..]);
}

fn strip_newlines(mut json: String) -> String {
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some() {
        json.retain(|c| !matches!(c, '\n' | '\r'));
    }
    json
}

#[cfg(test)]
mod tests {
    use fanfare_hub::PayloadKind;

    use super::*;

    #[test]
    fn newlines_go_and_nothing_else() {
        let cases = [
            ("1", "1"),
            (
                "{\n\t\"a\": 1,\r\n\t\"b\": [\r]\n}",
                "{\t\"a\": 1,\t\"b\": []}",
            ),
            (r#""a\nb\r\u000a""#, r#""a\nb\r\u000a""#),
            ("[1,\n2]", "[1,2]"),
            ("\"\u{2028}é\u{85}\"", "\"\u{2028}é\u{85}\""),
        ];
        for (given, expected) in cases {
            let json: &RawValue = serde_json::from_str(given).unwrap();
            let text = without_newlines(json);
            assert_eq!(text, expected);
            let value = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(given), value(&text), "it says the same");
            let mut appended = b"in front".to_vec();
            append_without_newlines(&mut appended, given.as_bytes());
            assert_eq!(appended, format!("in front{expected}").as_bytes());
            let payload = payload(Bytes::from_static(given.as_bytes()));
            assert_eq!(payload.kind(), PayloadKind::Json);
            assert_eq!(payload.as_text(), Some(expected));
        }
    }

    #[test]
    fn a_raw_newline_in_a_string_is_no_json() {
        for text in ["\"a\nb\"", "{\"a\rb\":1}"] {
            assert!(serde_json::from_str::<&RawValue>(text).is_err(), "{text}");
            let payload = payload(Bytes::from_static(text.as_bytes()));
            assert_eq!(payload, Payload::binary(text.into()));
        }
    }

    #[test]
    fn what_is_no_json_is_bytes() {
        let cases: [&[u8]; 9] = [
            b"",
            b" ",
            b"{",
            b"{}{}",
            b"{}\n{}",
            b"nul",
            b"\"\xff\"",
            b"\xef\xbb\xbf{}",
            b"01",
        ];
        for bytes in cases {
            let payload = payload(Bytes::from_static(bytes));
            assert_eq!(payload, Payload::binary(bytes.into()), "{bytes:?}");
        }
    }

    #[test]
    fn json_nested_too_deep_is_bytes() {
        let nested = |depth: usize| {
            let text = "[{\"a\":".repeat(depth / 2) + "\"[[\\\"[[\"" + &"}]".repeat(depth / 2);
            payload(text.into()).kind()
        };
        assert_eq!(nested(JSON_DEPTH_MAX), PayloadKind::Json);
        assert_eq!(nested(JSON_DEPTH_MAX + 2), PayloadKind::Binary);
        assert_eq!(nested(200_000), PayloadKind::Binary);
        let wide = format!("[{}[]]", "[],{},".repeat(JSON_DEPTH_MAX));
        assert_eq!(payload(wide.into()).kind(), PayloadKind::Json);
        let text = format!("\"{}\"", "[".repeat(10 * JSON_DEPTH_MAX));
        assert_eq!(payload(text.into()).kind(), PayloadKind::Json);
    }

    #[test]
    fn json_without_newlines_is_not_copied() {
        let data = Bytes::from("{\"a\":1}".to_owned().into_bytes());
        let at = data.as_ptr();
        assert_eq!(payload(data).bytes().as_ptr(), at);
    }
}
