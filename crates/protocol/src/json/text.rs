//! Texts, numbers and objects of JSON, appended. In: values. Out: bytes.
//!
//! Never: allocates but by growing what it appends to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::data;

/// Appends `text` as a string (RFC 8259 §7).
pub(super) fn append_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.push(b'"');
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !needs_escape(byte) {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// The most that [`append_string`] appends: exact for a text that needs no escapes.
pub(super) fn string_len_max(text: &str) -> usize {
    const ESCAPE_LEN_MAX: usize = "\\u0000".len();
    let escapes = text.bytes().filter(|byte| needs_escape(*byte)).count();
    text.len() + escapes * (ESCAPE_LEN_MAX - 1) + 2
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends decimal digits.
pub(super) fn append_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; NUMBER_LEN_MAX];
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = b"0123456789"[usize::try_from(number % 10).unwrap_or_default()];
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[from..]);
}

/// Digits of a `u64`.
pub(super) const NUMBER_LEN_MAX: usize = 20;

/// Appends `bytes` as a string in base64.
pub(super) fn append_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let from = out.len();
    out.resize(from + bytes.len().div_ceil(3) * 4, 0);
    STANDARD
        .encode_slice(bytes, &mut out[from..])
        .expect("the room is that of base64 with padding");
    out.push(b'"');
}

/// The length of what [`append_base64`] appends.
pub(super) const fn base64_len(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4 + 2
}

/// Appends data of a token or of the backend: as it is without raw newlines if it is JSON, else in base64.
pub(super) fn append_data(out: &mut Vec<u8>, data: &[u8]) {
    if data::is_json(data) {
        data::append_without_newlines(out, data);
    } else {
        append_base64(out, data);
    }
}

/// An object that is being written. Fields with the value zero are left out.
pub(super) struct Fields<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

/// Appends an object with the fields that `write` writes.
pub(super) fn append_object(out: &mut Vec<u8>, write: impl FnOnce(&mut Fields<'_>)) {
    out.push(b'{');
    write(&mut Fields {
        out,
        is_empty: true,
    });
    out.push(b'}');
}

impl Fields<'_> {
    /// The name of the next field, a constant without anything to escape. Its value is to be appended.
    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn separate(&mut self) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
    }

    /// A field of any name. Its value is to be appended.
    pub(super) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.separate();
        append_string(self.out, key);
        self.out.push(b':');
        self.out
    }

    /// A text; left out if empty.
    pub(super) fn text(&mut self, name: &'static str, text: &str) {
        if !text.is_empty() {
            self.empty_text(name, text);
        }
    }

    /// A text, even an empty one.
    pub(super) fn empty_text(&mut self, name: &'static str, text: &str) {
        append_string(self.name(name), text);
    }

    /// A number; left out if 0.
    pub(super) fn number(&mut self, name: &'static str, number: u64) {
        if number > 0 {
            self.zero_number(name, number);
        }
    }

    /// A number, even 0.
    pub(super) fn zero_number(&mut self, name: &'static str, number: u64) {
        append_number(self.name(name), number);
    }

    /// `true`; left out if it is not so.
    pub(super) fn flag(&mut self, name: &'static str, is_set: bool) {
        if is_set {
            self.name(name).extend_from_slice(b"true");
        }
    }

    /// Data of a token or of the backend; left out if empty.
    pub(super) fn data(&mut self, name: &'static str, data: &[u8]) {
        if !data.is_empty() {
            append_data(self.name(name), data);
        }
    }

    /// An object, even an empty one.
    pub(super) fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Fields<'_>)) {
        append_object(self.name(name), write);
    }

    /// An array; left out if empty.
    pub(super) fn array<T>(
        &mut self,
        name: &'static str,
        items: &[T],
        append: impl Fn(&mut Vec<u8>, &T),
    ) {
        let [first, others @ ..] = items else { return };
        let out = self.name(name);
        out.push(b'[');
        append(out, first);
        for item in others {
            out.push(b',');
            append(out, item);
        }
        out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_comes_back() {
        let ascii: String = (0..=0x7f_u8).map(char::from).collect();
        for text in [
            "",
            "a",
            "\"\\\"",
            "\u{2028}é\u{7f}\u{85}🎺",
            "\n\r\t\0\u{1f}",
            &ascii,
        ] {
            let mut out = Vec::new();
            append_string(&mut out, text);
            let back: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(back, text);
            assert!(!out.iter().any(|byte| *byte < 0x20), "{text:?}");
            assert!(out.len() <= string_len_max(text), "{text:?}");
            assert_eq!(
                out,
                serde_json::to_vec(text).unwrap().replace_short_escapes()
            );
        }
    }

    /// `serde_json` also has `\b` and `\f`.
    trait ReplaceShortEscapes {
        fn replace_short_escapes(self) -> Self;
    }

    impl ReplaceShortEscapes for Vec<u8> {
        fn replace_short_escapes(self) -> Self {
            let text = String::from_utf8(self).unwrap();
            let text = text.replace("\\\\", "\0").replace("\\b", "\\u0008");
            let text = text.replace("\\f", "\\u000c").replace('\0', "\\\\");
            text.into_bytes()
        }
    }

    #[test]
    fn every_length_of_number_comes_back() {
        let powers = (0..20).map(|n| 10_u64.pow(n));
        let numbers = powers.flat_map(|p| [p - 1, p, p + 1]).chain([u64::MAX]);
        for number in numbers {
            let mut out = Vec::new();
            append_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn every_length_of_bytes_comes_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in 0..bytes.len() {
            let mut out = Vec::new();
            append_base64(&mut out, &bytes[..len]);
            assert_eq!(out.len(), base64_len(&bytes[..len]));
            let text: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(STANDARD.decode(text).unwrap(), bytes[..len]);
        }
    }

    #[test]
    fn zeros_are_left_out_unless_they_are_meant() {
        let mut out = Vec::new();
        append_object(&mut out, |fields| {
            fields.text("a", "");
            fields.number("b", 0);
            fields.flag("c", false);
            fields.data("d", b"");
            fields.array("e", &[], |_, (): &()| {});
            fields.object("f", |_| {});
            fields.zero_number("g", 0);
            fields.empty_text("h", "");
            fields.array("i", &[1, 2], |out, n| append_number(out, *n));
            fields.data("j", b"[1,\n2]");
            fields.data("k", b"[1,\n");
            fields.key("\"").push(b'1');
        });
        let expected = r#"{"f":{},"g":0,"h":"","i":[1,2],"j":[1,2],"k":"WzEsCg==","\"":1}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
