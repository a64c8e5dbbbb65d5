//! `/raw/{channel}`: a plain WebSocket subscriber. In: the query of its request. Out: what it wants of the
//! past, and its messages.
//!
//! A publication is one message, text or binary as it was published. With `?meta=1` the first message is
//! the position, `offset:epoch`, and each publication's position and a space stand in front of its
//! payload: `?since=` takes it as it stands there.
//!
//! Never: decides whether a channel may be read.

use std::fmt;
use std::io::Write;

use fanfare_codec::Opcode;
use fanfare_codec::deflate::Deflaters;
use fanfare_hub::limits::HISTORY_READ_MAX;
use fanfare_hub::{CatchUp, PayloadKind, Position, Publication, Since};

use super::segment::{Cohort, Variant, append_header, append_message};

/// Twenty decimal digits, a colon, sixteen hexadecimal ones.
const POSITION_BYTES_MAX: usize = 37;

/// What a subscriber asked for in its URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) catch_up: CatchUp,
    pub(crate) cohort: Cohort,
}

/// Why a query makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadQuery {
    Since,
    History,
    Meta,
    SinceAndHistory,
}

impl fmt::Display for BadQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Since => f.write_str("since: want offset:epoch, such as 42:1f0c"),
            Self::History => write!(f, "history: want a number from 1 to {HISTORY_READ_MAX}"),
            Self::Meta => f.write_str("meta: want 1 or 0"),
            Self::SinceAndHistory => f.write_str("since and history exclude each other"),
        }
    }
}

impl Wishes {
    /// What `query` says; keys that it does not know are somebody else's.
    pub(crate) fn parse(query: &str) -> Result<Self, BadQuery> {
        let (mut since, mut history, mut cohort) = (None, None, Cohort::Bare);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "since" => since = Some(Since::parse(&value).ok_or(BadQuery::Since)?),
                "history" => history = Some(count(&value).ok_or(BadQuery::History)?),
                "meta" => {
                    cohort = match &*value {
                        "1" | "true" => Cohort::Positioned,
                        "0" | "false" => Cohort::Bare,
                        _ => return Err(BadQuery::Meta),
                    }
                }
                _ => {}
            }
        }
        let catch_up = match (since, history) {
            (None, None) => CatchUp::Now,
            (Some(since), None) => CatchUp::Since(since),
            (None, Some(count)) => CatchUp::Last(count),
            (Some(_), Some(_)) => return Err(BadQuery::SinceAndHistory),
        };
        Ok(Self { catch_up, cohort })
    }

    /// Whether a channel without history can grant them.
    pub(crate) fn need_history(self) -> bool {
        self.catch_up != CatchUp::Now || self.cohort == Cohort::Positioned
    }
}

fn count(text: &str) -> Option<u32> {
    let count = text.parse().ok()?;
    (1..=HISTORY_READ_MAX)
        .contains(&(count as usize))
        .then_some(count)
}

/// Appends the message that tells `variant` of `publication`.
pub(super) fn append_publication(
    out: &mut Vec<u8>,
    publication: &Publication,
    variant: Variant,
    deflaters: &mut Deflaters,
) {
    let payload = publication.payload.bytes();
    let Variant { cohort, window } = variant;
    if window.is_none() {
        append_head(out, publication, cohort);
        return out.extend_from_slice(payload);
    }
    let opcode = opcode(publication);
    if cohort != Cohort::Positioned {
        return append_message(out, opcode, payload, window, deflaters);
    }
    let position = position_text(publication);
    let message = [position.bytes(), payload].concat();
    append_message(out, opcode, &message, window, deflaters);
}

const fn opcode(publication: &Publication) -> Opcode {
    match publication.payload.kind() {
        PayloadKind::Json | PayloadKind::Text => Opcode::Text,
        PayloadKind::Binary => Opcode::Binary,
    }
}

/// What stands in front of a payload, for those who want its position.
fn position_text(publication: &Publication) -> Digits {
    let mut text = Digits::EMPTY;
    // A publication without a place (history was skipped) is told without one: the space stays.
    if let Some(position) = publication.position {
        text.write(position);
    }
    text.push(b' ');
    text
}

/// Appends everything of that message that stands in front of the payload.
pub(super) fn append_head(out: &mut Vec<u8>, publication: &Publication, cohort: Cohort) {
    let payload_len = publication.payload.bytes().len();
    let opcode = opcode(publication);
    match cohort {
        Cohort::Positioned => {
            let text = position_text(publication);
            append_header(out, opcode, text.len + payload_len);
            out.extend_from_slice(text.bytes());
        }
        Cohort::Bare | Cohort::Session { .. } => append_header(out, opcode, payload_len),
    }
}

/// Appends the first message of a subscriber with `?meta=1`.
pub(super) fn append_greeting(out: &mut Vec<u8>, position: Position) {
    let mut text = Digits::EMPTY;
    text.write(position);
    append_header(out, Opcode::Text, text.len);
    out.extend_from_slice(text.bytes());
}

/// A position as text, without an allocation.
struct Digits {
    bytes: [u8; POSITION_BYTES_MAX + 1],
    len: usize,
}

impl Digits {
    const EMPTY: Self = Self {
        bytes: [0; POSITION_BYTES_MAX + 1],
        len: 0,
    };

    fn write(&mut self, position: Position) {
        let mut rest = &mut self.bytes[..];
        let room = rest.len();
        write!(rest, "{position}").expect("a position is no longer than that");
        self.len = room - rest.len();
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fanfare_hub::{Epoch, Payload, Tags, Time};

    use super::super::segment::tests::deflaters;
    use super::*;

    fn at(offset: u64, epoch: &str) -> Position {
        Position {
            offset,
            epoch: Epoch::parse(epoch).unwrap(),
        }
    }

    #[test]
    fn a_query_says_what_a_subscriber_wants() {
        let wishes = |catch_up, cohort| Ok(Wishes { catch_up, cohort });
        let since = |offset, epoch: &str| {
            CatchUp::Since(Since {
                offset,
                epoch: Epoch::parse(epoch),
            })
        };
        let cases = [
            ("", wishes(CatchUp::Now, Cohort::Bare)),
            ("token=x&since=", Err(BadQuery::Since)),
            ("since=7:1f", wishes(since(7, "1f"), Cohort::Bare)),
            (
                "since=7%3A1f&meta=1",
                wishes(since(7, "1f"), Cohort::Positioned),
            ),
            ("since=7", wishes(since(7, ""), Cohort::Bare)),
            ("since=-1", Err(BadQuery::Since)),
            ("history=1", wishes(CatchUp::Last(1), Cohort::Bare)),
            ("history=300", wishes(CatchUp::Last(300), Cohort::Bare)),
            ("history=301", Err(BadQuery::History)),
            ("history=0", Err(BadQuery::History)),
            ("history=+", Err(BadQuery::History)),
            ("meta=false", wishes(CatchUp::Now, Cohort::Bare)),
            ("meta=yes", Err(BadQuery::Meta)),
            ("history=1&since=1", Err(BadQuery::SinceAndHistory)),
            ("other=%ff&&=", wishes(CatchUp::Now, Cohort::Bare)),
        ];
        for (query, expected) in cases {
            assert_eq!(Wishes::parse(query), expected, "{query}");
        }
    }

    #[test]
    fn a_message_is_the_payload_or_the_payload_behind_its_position() {
        let publication = |payload, position| Publication {
            payload,
            position,
            info: None,
            tags: Tags::default(),
            time: Time::default(),
        };
        let binary = Payload::binary(Bytes::from_static(b"\xFF"));
        let json = Payload::json("{}".to_owned());
        let longest = at(u64::MAX, "ffffffffffffffff");
        let cases: [(_, _, &[u8]); 5] = [
            (
                publication(binary.clone(), None),
                Cohort::Bare,
                b"\x82\x01\xFF",
            ),
            (
                publication(json.clone(), Some(at(7, "1f"))),
                Cohort::Bare,
                b"\x81\x02{}",
            ),
            (
                publication(json.clone(), Some(at(7, "1f"))),
                Cohort::Positioned,
                b"\x81\x077:1f {}",
            ),
            (
                publication(binary, None),
                Cohort::Positioned,
                b"\x82\x02 \xFF",
            ),
            (
                publication(json, Some(longest)),
                Cohort::Positioned,
                b"\x81\x2818446744073709551615:ffffffffffffffff {}",
            ),
        ];
        for (publication, cohort, expected) in cases {
            let mut out = Vec::new();
            append_publication(&mut out, &publication, cohort.into(), &mut deflaters());
            assert_eq!(out, expected);
        }
        let mut out = Vec::new();
        append_greeting(&mut out, at(7, "1f"));
        assert_eq!(out, b"\x81\x047:1f");
    }
}
