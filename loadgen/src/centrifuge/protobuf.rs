//! What a server says in Protobuf. In: one object, without its length. Out: what it says.
//!
//! By hand, field by field: a decoder that makes a message of an object owns a copy of all its data. Fields
//! that are not known are passed over; the numbers are those of the protocol's `client.proto`.
//!
//! Never: allocates for a publication.

use super::{Incoming, Outcome, Past, Publication, Subscribed};

/// Bytes of the longest number.
const VARINT_BYTES_MAX: usize = 10;

/// A field's value.
#[derive(Clone, Copy)]
enum Value<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    /// Four or eight bytes, of which none is known.
    Fixed,
}

impl<'b> Value<'b> {
    #[inline]
    const fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    fn number_32(self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    #[inline]
    fn boolean(self) -> Option<bool> {
        Some(self.number()? != 0)
    }

    #[inline]
    const fn bytes(self) -> Option<&'b [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn text(self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

/// A number, which `bytes` begin with, and how long it is; `None` if it is cut or too large.
#[inline]
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let &first = bytes.first()?;
    if first < 0x80 {
        return Some((u64::from(first), 1));
    }
    let mut number = 0;
    for (at, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7F);
        let shift = 7 * at;
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some((number, at + 1));
        }
    }
    None
}

/// Whether `bytes` are the front of a number and nothing else.
pub(super) fn is_cut_varint(bytes: &[u8]) -> bool {
    bytes.len() < VARINT_BYTES_MAX && bytes.iter().all(|&byte| byte >= 0x80)
}

/// Hands on each field of `message`.
#[inline]
fn fields<'b>(
    mut message: &'b [u8],
    mut each: impl FnMut(u64, Value<'b>) -> Option<()>,
) -> Option<()> {
    while !message.is_empty() {
        let (key, key_len) = varint(message)?;
        let rest = &message[key_len..];
        let (value, len) = match key & 7 {
            0 => {
                let (number, len) = varint(rest)?;
                (Value::Number(number), len)
            }
            2 => {
                let (len, len_len) = varint(rest)?;
                let end = usize::try_from(len).ok()?.checked_add(len_len)?;
                (Value::Bytes(rest.get(len_len..end)?), end)
            }
            1 => (Value::Fixed, 8),
            5 => (Value::Fixed, 4),
            _ => return None,
        };
        each(key >> 3, value)?;
        message = rest.get(len..)?;
    }
    Some(())
}

/// What `object` says.
#[inline]
pub(super) fn decode(object: &[u8]) -> Option<Incoming<'_>> {
    if object.is_empty() {
        return Some(Incoming::Ping);
    }
    let (mut id, mut pushed, mut outcome) = (0, None, None);
    fields(object, |number, value| {
        match number {
            4 => pushed = Some(push(value.bytes()?)?),
            1 => id = value.number_32()?,
            2 => outcome = Some(refused(value.bytes()?)?),
            5 => outcome = Some(connected(value.bytes()?)?),
            6 => outcome = Some(Outcome::Subscribed(subscribed(value.bytes()?)?)),
            _ => {}
        }
        Some(())
    })?;
    match (id, pushed, outcome) {
        (0, Some(push), None) => Some(push),
        (1.., None, outcome) => Some(Incoming::Reply {
            id,
            outcome: outcome.unwrap_or(Outcome::Done),
        }),
        _ => None,
    }
}

#[inline]
fn push(message: &[u8]) -> Option<Incoming<'_>> {
    let mut channel: &[u8] = &[];
    let (mut published, mut unsubscribed) = (None, None);
    fields(message, |number, value| {
        match number {
            2 => channel = value.bytes()?,
            4 => published = Some(publication(value.bytes()?)?),
            7 => unsubscribed = Some(unsubscribe(value.bytes()?)?),
            _ => {}
        }
        Some(())
    })?;
    Some(match (published, unsubscribed) {
        (Some(publication), None) => Incoming::Publication {
            channel,
            publication,
        },
        (None, Some((code, reason))) => Incoming::Unsubscribe {
            channel,
            code,
            reason,
        },
        _ => Incoming::Push,
    })
}

#[inline]
fn publication(message: &[u8]) -> Option<Publication<'_>> {
    let mut publication = Publication::default();
    fields(message, |number, value| {
        match number {
            4 => publication.data = value.bytes()?,
            6 => publication.offset = value.number()?,
            _ => {}
        }
        Some(())
    })?;
    Some(publication)
}

fn unsubscribe(message: &[u8]) -> Option<(u32, String)> {
    let (mut code, mut reason) = (0, String::new());
    fields(message, |number, value| {
        match number {
            2 => code = value.number_32()?,
            3 => reason = value.text()?,
            _ => {}
        }
        Some(())
    })?;
    Some((code, reason))
}

fn refused<'m>(message: &[u8]) -> Option<Outcome<'m>> {
    let (mut code, mut why) = (0, String::new());
    fields(message, |number, value| {
        match number {
            1 => code = value.number_32()?,
            2 => why = value.text()?,
            _ => {}
        }
        Some(())
    })?;
    Some(Outcome::Refused { code, message: why })
}

fn connected<'m>(message: &[u8]) -> Option<Outcome<'m>> {
    let (mut ping, mut pong) = (0, false);
    fields(message, |number, value| {
        match number {
            7 => ping = value.number_32()?,
            8 => pong = value.boolean()?,
            _ => {}
        }
        Some(())
    })?;
    Some(Outcome::Connected {
        wants_pongs: pong && ping > 0,
    })
}

fn subscribed(message: &[u8]) -> Option<Subscribed<'_>> {
    let mut subscribed = Subscribed {
        past: Past::Protobuf(message),
        ..Subscribed::default()
    };
    fields(message, |number, value| {
        match number {
            3 => subscribed.is_recoverable = value.boolean()?,
            6 => subscribed.epoch = value.text()?.into_boxed_str(),
            8 => subscribed.has_recovered = value.boolean()?,
            9 => subscribed.offset = value.number()?,
            10 => subscribed.is_positioned = value.boolean()?,
            _ => {}
        }
        Some(())
    })?;
    Some(subscribed)
}

/// Hands on each publication of the result of a `subscribe`.
pub(super) fn past<'m>(result: &'m [u8], mut each: impl FnMut(Publication<'m>)) -> Option<()> {
    fields(result, |number, value| {
        if number == 7 {
            each(publication(value.bytes()?)?);
        }
        Some(())
    })
}
