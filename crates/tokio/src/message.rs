//! Messages that own what they hold. In: borrowed ones, or what a program makes. Out: values that can be kept,
//! cloned for a reference count, and sent.
//!
//! Never: holds text that is not UTF-8.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::Utf8Error;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use fanfare_codec::{Assembled, CloseCode, CodeNotAllowed, Message as MessageRef};

/// A message or a control frame.
///
/// Pings are answered, and closes too, before they are given: a program need do nothing about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A whole text message.
    Text(Utf8Bytes),
    /// A whole binary message.
    Binary(Bytes),
    /// A ping; at most 125 bytes.
    Ping(Bytes),
    /// A pong; at most 125 bytes.
    Pong(Bytes),
    /// The last message of a peer; `None` if it gave no code.
    Close(Option<CloseFrame>),
}

impl Message {
    /// A text message.
    pub fn text(text: impl Into<Utf8Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// Whether it is text or binary.
    #[must_use]
    pub const fn is_data(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Binary(_))
    }

    /// Whether it is text.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Whether it is binary.
    #[must_use]
    pub const fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }

    /// Whether it is a ping.
    #[must_use]
    pub const fn is_ping(&self) -> bool {
        matches!(self, Self::Ping(_))
    }

    /// Whether it is a pong.
    #[must_use]
    pub const fn is_pong(&self) -> bool {
        matches!(self, Self::Pong(_))
    }

    /// Whether it is the last one.
    #[must_use]
    pub const fn is_close(&self) -> bool {
        matches!(self, Self::Close(_))
    }

    /// The text, if it is that.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The payload as text: what [`payload`](Self::payload) gives, if it is UTF-8.
    ///
    /// # Errors
    ///
    /// Where it is not; text and reasons always are.
    pub fn to_text(&self) -> Result<&str, Utf8Error> {
        match self {
            Self::Text(text) => Ok(text),
            other => str::from_utf8(other.payload()),
        }
    }

    /// The same bytes as text, without a copy.
    ///
    /// # Errors
    ///
    /// As [`to_text`](Self::to_text).
    pub fn into_text(self) -> Result<Utf8Bytes, Utf8Error> {
        match self {
            Self::Text(text) => Ok(text),
            other => other.into_data().try_into(),
        }
    }

    /// The payload; of a close frame its reason.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes,
            Self::Close(close) => close.as_ref().map_or(&[], |close| close.reason.as_bytes()),
        }
    }

    /// The same bytes, without a copy.
    #[must_use]
    pub fn into_data(self) -> Bytes {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes,
            Self::Close(close) => close.map_or_else(Bytes::new, |close| close.reason.into()),
        }
    }

    /// Bytes of the payload.
    #[must_use]
    pub fn len(&self) -> usize {
        self.payload().len()
    }

    /// Whether the payload has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload().is_empty()
    }
}

impl From<MessageRef<'_>> for Message {
    /// A copy.
    fn from(message: MessageRef<'_>) -> Self {
        match message {
            MessageRef::Text(text) => Self::Text(text.into()),
            MessageRef::Binary(bytes) => Self::Binary(Bytes::copy_from_slice(bytes)),
            MessageRef::Ping(payload) => Self::Ping(Bytes::copy_from_slice(payload)),
            MessageRef::Pong(payload) => Self::Pong(Bytes::copy_from_slice(payload)),
            MessageRef::Close(close) => Self::Close(close.map(CloseFrame::from)),
        }
    }
}

impl From<Assembled> for Message {
    fn from(assembled: Assembled) -> Self {
        match assembled {
            Assembled::Text(text) => Self::Text(text.into()),
            Assembled::Binary(bytes) => Self::Binary(bytes.into()),
        }
    }
}

macro_rules! message_from {
    ($($from:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$from> for Message {
            fn from(from: $from) -> Self {
                Self::$variant(from.into())
            }
        }
    )+};
}
message_from!(&str => Text, String => Text, Utf8Bytes => Text, Bytes => Binary, Vec<u8> => Binary);

impl From<&[u8]> for Message {
    /// A copy, binary.
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    /// A copy, binary.
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

impl From<Message> for Bytes {
    fn from(message: Message) -> Self {
        message.into_data()
    }
}

impl From<Message> for Vec<u8> {
    fn from(message: Message) -> Self {
        message.into_data().into()
    }
}

impl fmt::Display for Message {
    /// The payload, if it is text; otherwise how many bytes it has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_text() {
            Ok(text) => f.write_str(text),
            Err(_) => write!(f, "{} bytes", self.len()),
        }
    }
}

/// Why a connection ends: a close frame's code and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code.
    pub code: CloseCode,
    /// The reason; at most 123 bytes are sent.
    pub reason: Utf8Bytes,
}

impl CloseFrame {
    /// A code and a reason.
    pub fn new(code: CloseCode, reason: impl Into<Utf8Bytes>) -> Self {
        let reason = reason.into();
        Self { code, reason }
    }

    /// As the codec sends it.
    pub(crate) fn checked(&self) -> Result<fanfare_codec::CloseFrame<'_>, CodeNotAllowed> {
        fanfare_codec::CloseFrame::new(self.code, &self.reason)
    }
}

impl From<fanfare_codec::CloseFrame<'_>> for CloseFrame {
    fn from(close: fanfare_codec::CloseFrame<'_>) -> Self {
        Self::new(close.code(), close.reason())
    }
}

impl fmt::Display for CloseFrame {
    /// The code and the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.0, self.reason)
    }
}

/// UTF-8 in a [`Bytes`]: a clone is a reference count.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utf8Bytes(ByteString);

impl Utf8Bytes {
    /// Text that lives as long as the program.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Utf8Bytes {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for Utf8Bytes {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Utf8Bytes {
    fn from(text: &String) -> Self {
        Self(text.as_str().into())
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Utf8Error> {
        ByteString::try_from(bytes).map(Self)
    }
}

impl From<Utf8Bytes> for Bytes {
    fn from(text: Utf8Bytes) -> Self {
        text.0.into_bytes()
    }
}

impl From<Utf8Bytes> for String {
    fn from(text: Utf8Bytes) -> Self {
        text.0.into()
    }
}

impl PartialEq<str> for Utf8Bytes {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

/// `&str`, `String`, `Cow<str>`, and whatever else a `&str` can be compared with.
impl<T> PartialEq<T> for Utf8Bytes
where
    for<'a> &'a str: PartialEq<T>,
{
    fn eq(&self, other: &T) -> bool {
        self.as_str() == *other
    }
}

impl Borrow<str> for Utf8Bytes {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<Bytes> for Utf8Bytes {
    fn as_ref(&self) -> &Bytes {
        self.0.as_bytes()
    }
}

impl TryFrom<Vec<u8>> for Utf8Bytes {
    type Error = Utf8Error;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Utf8Error> {
        Self::try_from(Bytes::from(bytes))
    }
}

impl TryFrom<BytesMut> for Utf8Bytes {
    type Error = Utf8Error;

    fn try_from(bytes: BytesMut) -> Result<Self, Utf8Error> {
        Self::try_from(bytes.freeze())
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_compares_with_whatever_text_compares_with() {
        let text = Utf8Bytes::from("é");
        let owned = String::from("é");
        assert!(text == *"é" && text == "é" && text == owned);
        assert!(text == std::borrow::Cow::Borrowed("é") && text == text.clone());
        let known = std::collections::HashSet::from([text]);
        assert!(known.contains("é"));
    }

    #[test]
    fn a_payload_is_text_where_it_is_utf_8() {
        let close = Message::Close(Some(CloseFrame::new(CloseCode::NORMAL, "bye")));
        for (message, expected) in [
            (Message::from("é"), "é"),
            (Message::from("é".as_bytes()), "é"),
            (Message::Ping("p".into()), "p"),
            (close, "bye"),
            (Message::Close(None), ""),
        ] {
            assert_eq!(message.to_text(), Ok(expected));
            assert_eq!(message.len(), expected.len());
            assert_eq!(message.is_empty(), expected.is_empty());
            assert_eq!(message.clone().into_data(), expected.as_bytes());
            assert_eq!(message.into_text().expect("UTF-8"), expected);
        }
        let bytes = Message::from(b"\xff");
        assert_eq!(bytes.to_string(), "1 bytes");
        assert!(bytes.to_text().is_err() && bytes.clone().into_text().is_err());
        assert_eq!((bytes.as_text(), bytes.len()), (None, 1));
    }
}
