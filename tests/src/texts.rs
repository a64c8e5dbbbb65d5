//! Texts on both sides of every border of UTF-8 (RFC 3629). In: nothing. Out: byte strings, and an
//! oracle that says at which byte each stops being UTF-8.
//!
//! Never: uses the codec's validator.

/// Characters at the borders of each encoded length and of the surrogate gap, and some prose.
pub const VALID: [&str; 16] = [
    "",
    "\0",
    "\u{7F}",
    "\u{80}",
    "\u{7FF}",
    "\u{800}",
    "\u{D7FF}",
    "\u{E000}",
    "\u{FFFD}\u{FFFE}\u{FFFF}",
    "\u{10000}",
    "\u{10FFFF}",
    "κόσμε",
    "Hello-µ@ßöäüàá-UTF-8!!",
    "한국어 텍스트, 글자마다 세 바이트",
    "\u{1F600}\u{1F3FA}\u{200D}\u{2764}\u{FE0F}",
    "a\u{300}\u{7FF}b\u{FFFF}c\u{10FFFF}d",
];

/// Each breaks another rule of RFC 3629 §3–4.
pub const INVALID: [&[u8]; 31] = [
    b"\x80",                     // a continuation byte alone
    b"\xBF",                     //
    b"\xC0\x80",                 // overlong NUL
    b"\xC1\xBF",                 // overlong U+7F
    b"\xC2\x41",                 // second byte missing
    b"\xDF\xC0",                 //
    b"\xE0\x80\x80",             // overlong in three bytes
    b"\xE0\x9F\xBF",             // overlong U+7FF
    b"\xE1\x80\x41",             // third byte missing
    b"\xE1\x80\xC0",             //
    b"\xED\xA0\x80",             // U+D800
    b"\xED\xAF\xBF",             //
    b"\xED\xB0\x80",             // U+DC00
    b"\xED\xBF\xBF",             // U+DFFF
    b"\xED\xA0\x80\xED\xB0\x80", // CESU-8
    b"\xEF\xBF\x7F",             //
    b"\xF0\x80\x80\x80",         // overlong in four bytes
    b"\xF0\x8F\xBF\xBF",         // overlong U+FFFF
    b"\xF0\x90\x80\x41",         // fourth byte missing
    b"\xF1\x80\x41\x80",         // third byte missing
    b"\xF4\x90\x80\x80",         // U+110000
    b"\xF4\xBF\xBF\xBF",         //
    b"\xF5\x80\x80\x80",         // no such first byte
    b"\xF7\xBF\xBF\xBF",         //
    b"\xF8\x88\x80\x80\x80",     // five bytes
    b"\xFB\xBF\xBF\xBF\xBF",     //
    b"\xFC\x84\x80\x80\x80\x80", // six bytes
    b"\xFE",                     // never
    b"\xFF",                     // never
    b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80edited", // Autobahn's 6.3.1
    b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xF4\x90\x80\x80edited", // and 6.4.1
];

/// Starts of characters that the text ends inside of.
pub const UNFINISHED: [&[u8]; 9] = [
    b"\xC2",
    b"\xDF",
    b"\xE0",
    b"\xE0\xA0",
    b"\xED\x9F",
    b"\xEF\xBF",
    b"\xF0\x90",
    b"\xF0\x90\x80",
    b"\xF4\x8F\xBF",
];

/// The number of bytes after which `bytes` can no longer become UTF-8; `None` if it still can.
#[must_use]
pub fn fails_at(bytes: &[u8]) -> Option<usize> {
    (1..=bytes.len())
        .find(|&n| std::str::from_utf8(&bytes[..n]).is_err_and(|error| error.error_len().is_some()))
}
