//! What a server says in JSON. In: one object. Out: what it says.
//!
//! Members that are not known are passed over, in any order.
//!
//! Never: allocates for a publication.

use super::scan::Scanner;
use super::{Incoming, Outcome, Past, Publication, Subscribed};

/// What `object` says.
#[inline]
pub(super) fn decode(object: &[u8]) -> Option<Incoming<'_>> {
    let mut scanner = Scanner::new(object);
    let (mut id, mut pushed, mut outcome, mut is_empty) = (0, None, None, true);
    scanner.members(|scanner, key| {
        is_empty = false;
        match key {
            b"push" => pushed = Some(push(scanner)?),
            b"id" => id = scanner.number_32()?,
            b"error" => outcome = Some(refused(scanner)?),
            b"connect" => outcome = Some(connected(scanner)?),
            b"subscribe" => outcome = Some(Outcome::Subscribed(subscribed(scanner)?)),
            _ => drop(scanner.value()?),
        }
        Some(())
    })?;
    if !scanner.is_done() {
        return None;
    }
    match (id, pushed, outcome) {
        (0, Some(push), None) => Some(push),
        (0, None, None) => is_empty.then_some(Incoming::Ping),
        (1.., None, outcome) => Some(Incoming::Reply {
            id,
            outcome: outcome.unwrap_or(Outcome::Done),
        }),
        _ => None,
    }
}

#[inline]
fn push<'m>(scanner: &mut Scanner<'m>) -> Option<Incoming<'m>> {
    let mut channel: &[u8] = &[];
    let (mut published, mut unsubscribed) = (None, None);
    scanner.members(|scanner, key| {
        match key {
            b"channel" => channel = scanner.string()?,
            b"pub" => published = Some(publication(scanner)?),
            b"unsubscribe" => unsubscribed = Some(ended(scanner, "reason")?),
            _ => drop(scanner.value()?),
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
fn publication<'m>(scanner: &mut Scanner<'m>) -> Option<Publication<'m>> {
    let mut publication = Publication::default();
    scanner.members(|scanner, key| {
        match key {
            b"data" => publication.data = scanner.value()?,
            b"offset" => publication.offset = scanner.number()?,
            _ => drop(scanner.value()?),
        }
        Some(())
    })?;
    Some(publication)
}

/// A code, and the text under `key`.
fn ended(scanner: &mut Scanner<'_>, key: &str) -> Option<(u32, String)> {
    let (mut code, mut why) = (0, String::new());
    scanner.members(|scanner, found| {
        match found {
            b"code" => code = scanner.number_32()?,
            _ if found == key.as_bytes() => why = text(scanner)?,
            _ => drop(scanner.value()?),
        }
        Some(())
    })?;
    Some((code, why))
}

fn refused<'m>(scanner: &mut Scanner<'_>) -> Option<Outcome<'m>> {
    let (code, message) = ended(scanner, "message")?;
    Some(Outcome::Refused { code, message })
}

fn connected<'m>(scanner: &mut Scanner<'_>) -> Option<Outcome<'m>> {
    let (mut ping, mut pong) = (0, false);
    scanner.members(|scanner, key| {
        match key {
            b"ping" => ping = scanner.number_32()?,
            b"pong" => pong = scanner.boolean()?,
            _ => drop(scanner.value()?),
        }
        Some(())
    })?;
    Some(Outcome::Connected {
        wants_pongs: pong && ping > 0,
    })
}

fn subscribed<'m>(scanner: &mut Scanner<'m>) -> Option<Subscribed<'m>> {
    let mut subscribed = Subscribed::default();
    scanner.members(|scanner, key| {
        match key {
            b"positioned" => subscribed.is_positioned = scanner.boolean()?,
            b"recoverable" => subscribed.is_recoverable = scanner.boolean()?,
            b"recovered" => subscribed.has_recovered = scanner.boolean()?,
            b"epoch" => subscribed.epoch = text(scanner)?.into_boxed_str(),
            b"offset" => subscribed.offset = scanner.number()?,
            b"publications" => subscribed.past = Past::Json(scanner.value()?),
            _ => drop(scanner.value()?),
        }
        Some(())
    })?;
    Some(subscribed)
}

/// What a string says.
fn text(scanner: &mut Scanner<'_>) -> Option<String> {
    serde_json::from_slice(scanner.value()?).ok()
}

/// Hands on each publication of an array.
pub(super) fn past<'m>(array: &'m [u8], mut each: impl FnMut(Publication<'m>)) -> Option<()> {
    Scanner::new(array).elements(|scanner| {
        each(publication(scanner)?);
        Some(())
    })
}
