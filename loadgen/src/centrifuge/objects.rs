//! Where objects begin and end. In: messages, whole or in pieces. Out: one object after another.
//!
//! Of a message in pieces no more is kept than the object that is not whole yet.
//!
//! Never: looks into an object.

use super::Encoding;
use super::protobuf::{is_cut_varint, varint};

/// The longest object that is kept.
const OBJECT_BYTES_MAX: usize = 64 << 20;

/// The objects of a message that is whole; the last is an error if it is cut, or is none.
pub(crate) struct Objects<'m> {
    encoding: Encoding,
    rest: &'m [u8],
}

impl<'m> Objects<'m> {
    #[inline]
    pub(crate) const fn new(encoding: Encoding, message: &'m [u8]) -> Self {
        Self {
            encoding,
            rest: message,
        }
    }
}

impl<'m> Iterator for Objects<'m> {
    type Item = Result<&'m [u8], &'m [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.encoding {
            Encoding::Json => loop {
                if self.rest.is_empty() {
                    return None;
                }
                let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
                let line = &self.rest[..end];
                self.rest = self.rest.get(end + 1..).unwrap_or_default();
                // A message may end in a newline.
                if !line.is_empty() {
                    return Some(Ok(line));
                }
            },
            Encoding::Protobuf => {
                if self.rest.is_empty() {
                    return None;
                }
                let Some(Front::Whole { from, to }) = front(self.rest) else {
                    return Some(Err(std::mem::take(&mut self.rest)));
                };
                let (object, rest) = (&self.rest[from..to], &self.rest[to..]);
                self.rest = rest;
                Some(Ok(object))
            }
        }
    }
}

/// What the first object of a message is.
enum Front {
    Whole {
        from: usize,
        to: usize,
    },
    /// More of it is to come.
    Cut,
}

/// The first Protobuf object of `bytes`; `None` if it cannot be one.
#[inline]
fn front(bytes: &[u8]) -> Option<Front> {
    let Some((len, from)) = varint(bytes) else {
        return is_cut_varint(bytes).then_some(Front::Cut);
    };
    let to = usize::try_from(len).ok()?.checked_add(from)?;
    Some(if to <= bytes.len() {
        Front::Whole { from, to }
    } else {
        Front::Cut
    })
}

/// A message that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    /// From the object that is not whole on.
    bytes: Vec<u8>,
    /// So many of them hold no end.
    searched: usize,
    /// The message is none, or an object is too long: the rest is passed over.
    is_broken: bool,
}

impl Partial {
    /// Adds a piece, the first of a message if `is_first`.
    pub(crate) fn push(&mut self, piece: &[u8], is_first: bool) {
        if is_first {
            self.clear();
        }
        if !self.is_broken {
            self.bytes.extend_from_slice(piece);
        }
    }

    /// What is whole of it, to be iterated over; an error at its end is the message's.
    pub(crate) fn take_whole(&mut self, encoding: Encoding, ends_message: bool) -> Vec<u8> {
        let len = if ends_message {
            self.bytes.len()
        } else {
            self.whole_len(encoding)
        };
        let rest = self.bytes.split_off(len);
        let whole = std::mem::replace(&mut self.bytes, rest);
        self.searched = if ends_message { 0 } else { self.bytes.len() };
        if self.bytes.len() > OBJECT_BYTES_MAX {
            self.is_broken = true;
            return std::mem::take(&mut self.bytes);
        }
        whole
    }

    fn whole_len(&mut self, encoding: Encoding) -> usize {
        match encoding {
            Encoding::Json => {
                let new = self.bytes.get(self.searched..).unwrap_or_default();
                memchr::memrchr(b'\n', new).map_or(0, |at| self.searched + at + 1)
            }
            Encoding::Protobuf => {
                let mut len = 0;
                while len < self.bytes.len() {
                    match front(&self.bytes[len..]) {
                        Some(Front::Whole { to, .. }) => len += to,
                        Some(Front::Cut) => break,
                        // Nothing behind it can be told apart.
                        None => {
                            self.is_broken = true;
                            return self.bytes.len();
                        }
                    }
                }
                len
            }
        }
    }

    /// Forgets all of it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
