//! How a publication is told to a subscriber. In: a template, and messages. Out: which publication each
//! is and at what position, or that it is a position alone.
//!
//! A template is a payload between two literals; a position may stand before it, and ends where the
//! literal behind it begins. A message that comes in pieces is followed without being kept: only its
//! front is, up to the payload.
//!
//! Never: knows what a position means.

use std::fmt;

use super::{Reading, STAMP_BYTES, Stamp, Stamps};

/// Bytes of the longest position.
pub(crate) const POSITION_BYTES_MAX: usize = 64;

/// Bytes in which a payload is looked for behind a position that is too long.
const POSITION_BYTES_SEARCHED: usize = 4 * POSITION_BYTES_MAX;

/// Bytes of the longest literal.
const LITERAL_BYTES_MAX: usize = 1024;

const PAYLOAD: &str = "{payload}";
const POSITION: &str = "{position}";

/// What stands around a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    before: Box<[u8]>,
    /// Between the position and the payload; `None` where there is no position.
    between: Option<Box<[u8]>>,
    behind: Box<[u8]>,
}

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// Not exactly one payload.
    Payload,
    /// More than one position, or one behind the payload.
    Position,
    /// Nothing between the position and the payload.
    Between,
    /// A literal of more than [`LITERAL_BYTES_MAX`] bytes.
    Literal,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payload => f.write_str("it must have {payload} in it, once"),
            Self::Position => {
                f.write_str("it may have {position} in it once, in front of {payload}")
            }
            Self::Between => f.write_str(
                "something must stand between {position} and {payload}, to tell them apart",
            ),
            Self::Literal => write!(
                f,
                "more than {LITERAL_BYTES_MAX} bytes that always are the same"
            ),
        }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A publication, as it was published.
    Publication(Stamp),
    /// A position and nothing else.
    Position,
    /// It was a publication and is changed, or what stands around it is.
    Changed,
    /// Nothing of ours.
    Stranger,
}

/// A message that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Letter<'m> {
    pub(crate) content: Content,
    /// Empty where there is none.
    pub(crate) position: &'m [u8],
}

/// What the front of a message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Front<'m> {
    /// Not enough.
    Open,
    /// Where the payload begins.
    Opened {
        position: &'m [u8],
        payload_at: usize,
    },
    /// That it does not fit the template.
    Other,
}

impl Envelope {
    /// What `template` says.
    ///
    /// # Errors
    ///
    /// Every [`TemplateError`].
    pub(crate) fn parse(template: &str) -> Result<Self, TemplateError> {
        let (front, behind) = template.split_once(PAYLOAD).ok_or(TemplateError::Payload)?;
        if behind.contains(PAYLOAD) {
            return Err(TemplateError::Payload);
        }
        let (before, between) = match front.split_once(POSITION) {
            Some((before, between)) => (before, Some(between)),
            None => (front, None),
        };
        if behind.contains(POSITION) || between.is_some_and(|text| text.contains(POSITION)) {
            return Err(TemplateError::Position);
        }
        if between.is_some_and(str::is_empty) {
            return Err(TemplateError::Between);
        }
        let mut literals = [before, between.unwrap_or_default(), behind].into_iter();
        if literals.any(|literal| literal.len() > LITERAL_BYTES_MAX) {
            return Err(TemplateError::Literal);
        }
        let bytes = |text: &str| text.as_bytes().into();
        Ok(Self {
            before: bytes(before),
            between: between.map(bytes),
            behind: bytes(behind),
        })
    }

    /// Whether a message is the payload and nothing else.
    pub(crate) const fn is_bare(&self) -> bool {
        self.before.is_empty() && self.between.is_none() && self.behind.is_empty()
    }

    /// Whether messages tell positions.
    pub(crate) const fn has_position(&self) -> bool {
        self.between.is_some()
    }

    /// What stands before and behind a payload, where there is no position.
    pub(crate) fn around(&self) -> (&[u8], &[u8]) {
        (&self.before, &self.behind)
    }

    /// Opens a message that is whole.
    #[inline]
    pub(crate) fn open<'m>(&self, stamps: &Stamps, message: &'m [u8]) -> Letter<'m> {
        if let Front::Opened {
            position,
            payload_at,
        } = self.front(message)
            && let Some(payload) = message[payload_at..].strip_suffix(&*self.behind)
            && let Some(stamp) = stamps.read_whole(payload)
        {
            let content = Content::Publication(stamp);
            return Letter { content, position };
        }
        let payload_front = |at: usize| &message[at..];
        self.judge(stamps, message, message.len() as u64, payload_front)
    }

    /// What a message is that is no publication. `head` is its front, as far as it is known,
    /// `payload_front` gives the payload's.
    #[cold]
    fn judge<'m>(
        &self,
        stamps: &Stamps,
        head: &'m [u8],
        len: u64,
        payload_front: impl Fn(usize) -> &'m [u8],
    ) -> Letter<'m> {
        let mut position: &[u8] = &[];
        let mut content = Content::Stranger;
        if let Front::Opened {
            position: found,
            payload_at,
        } = self.front(head)
        {
            position = found;
            let around = (payload_at + self.behind.len()) as u64;
            if stamps.resembles(payload_front(payload_at), len.saturating_sub(around)) {
                content = Content::Changed;
            }
        }
        // Where what stands around it is changed, the stamp tells.
        let searched = &head[..head.len().min(self.head_bytes_max())];
        if stamps.is_within(searched) {
            content = Content::Changed;
        } else if len == head.len() as u64 && self.is_position(head) {
            (content, position) = (Content::Position, head);
        }
        Letter { content, position }
    }

    /// Whether a message is a position and nothing else.
    fn is_position(&self, message: &[u8]) -> bool {
        let has_length = (1..=POSITION_BYTES_MAX).contains(&message.len());
        let is_graphic = message.iter().all(u8::is_ascii_graphic);
        let is_alone = |between: &[u8]| find(message, between).is_none();
        has_length && is_graphic && self.between.as_deref().is_some_and(is_alone)
    }

    /// What the front of a message tells, of which `bytes` are known.
    #[inline]
    fn front<'m>(&self, bytes: &'m [u8]) -> Front<'m> {
        let Some(rest) = bytes.strip_prefix(&*self.before) else {
            return if self.before.starts_with(bytes) {
                Front::Open
            } else {
                Front::Other
            };
        };
        let Some(between) = self.between.as_deref() else {
            let (position, payload_at): (&[u8], _) = (&[], self.before.len());
            return Front::Opened {
                position,
                payload_at,
            };
        };
        let searched = rest.len().min(POSITION_BYTES_MAX + between.len());
        match find(&rest[..searched], between) {
            Some(0) => Front::Other,
            Some(len) => Front::Opened {
                position: &rest[..len],
                payload_at: self.before.len() + len + between.len(),
            },
            None if rest.len() == searched => Front::Open,
            None => Front::Other,
        }
    }

    /// Bytes from the start of a message that tell where the payload begins, and its stamp, even if the
    /// position is too long.
    fn head_bytes_max(&self) -> usize {
        let between = self.between.as_deref();
        let position = between.map_or(0, |between| between.len() + POSITION_BYTES_SEARCHED);
        self.before.len() + position + STAMP_BYTES
    }
}

/// Where `part`, which is not empty, first is in `whole`.
#[inline]
fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    let (&first, rest) = part.split_first()?;
    let mut from = 0;
    while let Some(at) = whole[from..].iter().position(|&byte| byte == first) {
        if whole[from + at + 1..].starts_with(rest) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// The length of a publication; one that does not fit is longer than any.
fn narrow(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

/// A message that arrives in pieces.
#[derive(Debug)]
pub(crate) struct Unsealing {
    /// Its front.
    head: Vec<u8>,
    /// Once that is known.
    payload_at: Option<usize>,
    /// What stands behind the payload is right so far.
    is_end_right: bool,
    reading: Reading,
}

impl Unsealing {
    /// Nothing has arrived.
    pub(crate) const fn new() -> Self {
        Self {
            head: Vec::new(),
            payload_at: None,
            is_end_right: true,
            reading: Reading::new(),
        }
    }

    /// Compares the next piece, which starts at `offset` of the message.
    pub(crate) fn push(&mut self, envelope: &Envelope, stamps: &Stamps, offset: u64, piece: &[u8]) {
        let Ok(offset) = usize::try_from(offset) else {
            self.is_end_right = false;
            return;
        };
        let head_room = envelope.head_bytes_max().saturating_sub(offset);
        let of_head = &piece[..piece.len().min(head_room)];
        self.head.extend_from_slice(of_head);
        if let Some(payload_at) = self.payload_at {
            self.push_payload(envelope, stamps, offset - payload_at, piece);
        } else if let Front::Opened { payload_at, .. } = envelope.front(&self.head) {
            self.payload_at = Some(payload_at);
            // What of the payload is in this piece: no piece before had any of it.
            let at = payload_at.saturating_sub(offset).min(piece.len());
            self.push_payload(envelope, stamps, offset + at - payload_at, &piece[at..]);
        }
    }

    /// The same for what comes from the payload on.
    fn push_payload(&mut self, envelope: &Envelope, stamps: &Stamps, at: usize, piece: &[u8]) {
        let of_stamp = STAMP_BYTES.saturating_sub(at).min(piece.len());
        let (stamp, rest) = piece.split_at(of_stamp);
        self.reading.push(stamps, at as u64, stamp);
        let at = at + of_stamp;
        let payload_len = self.reading.publication_len(stamps);
        let payload_len = payload_len.map_or(usize::MAX, narrow);
        let of_payload = payload_len.saturating_sub(at).min(rest.len());
        let (payload, behind) = rest.split_at(of_payload);
        self.reading.push(stamps, at as u64, payload);
        if !behind.is_empty() {
            let expected = envelope.behind.get(at + of_payload - payload_len..);
            self.is_end_right &= expected.is_some_and(|bytes| bytes.starts_with(behind));
        }
    }

    /// The message is whole and `len` bytes long: what it is.
    pub(crate) fn finish<'m>(
        &'m self,
        envelope: &Envelope,
        stamps: &Stamps,
        len: u64,
    ) -> Letter<'m> {
        if let Front::Opened {
            position,
            payload_at,
        } = envelope.front(&self.head)
            && let Some(payload_len) = len.checked_sub((payload_at + envelope.behind.len()) as u64)
            && let Some(stamp) = self.reading.finish(stamps, payload_len)
            && self.is_end_right
        {
            let content = Content::Publication(stamp);
            return Letter { content, position };
        }
        envelope.judge(stamps, &self.head, len, |_| self.reading.front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;

    const STAMP: Stamp = Stamp {
        series: 3,
        seq: 77,
        intended: Nanos(123_456),
    };

    fn stamps() -> Stamps {
        Stamps::new(vec![40], &mut fastrand::Rng::with_seed(8))
    }

    fn payload(stamps: &Stamps) -> Vec<u8> {
        let (front, filler) = stamps.publication(STAMP);
        [&front[..], filler].concat()
    }

    fn parse(template: &str) -> Envelope {
        Envelope::parse(template).expect(template)
    }

    /// Opens `message` whole and in pieces of every length: the same comes of it.
    fn open(template: &str, stamps: &Stamps, message: &[u8]) -> (Content, String) {
        let envelope = parse(template);
        let told = |letter: Letter<'_>| {
            let position = String::from_utf8_lossy(letter.position).into_owned();
            (letter.content, position)
        };
        let whole = told(envelope.open(stamps, message));
        for piece_len in 1..=message.len() {
            let mut unsealing = Unsealing::new();
            for (at, piece) in message.chunks(piece_len).enumerate() {
                unsealing.push(&envelope, stamps, (at * piece_len) as u64, piece);
            }
            let letter = unsealing.finish(&envelope, stamps, message.len() as u64);
            let text = String::from_utf8_lossy(message);
            assert_eq!(told(letter), whole, "{template}: {text} by {piece_len}");
        }
        whole
    }

    const TEMPLATES: [&str; 5] = [
        "{position} {payload}",
        "\"{payload}\"",
        "{position} \"{payload}\"",
        "{position}::{payload}",
        "{\"at\":\"{position}\",\"data\":\"{payload}\"}",
    ];

    fn filled(template: &str, position: &str, payload: &[u8]) -> Vec<u8> {
        let text = std::str::from_utf8(payload).expect("payloads are ASCII");
        let filled = template.replace(POSITION, position);
        filled.replace(PAYLOAD, text).into_bytes()
    }

    #[test]
    fn a_publication_is_found_with_its_position_at_every_cut() {
        let stamps = stamps();
        let payload = payload(&stamps);
        for template in TEMPLATES {
            for position in ["7", "12:ab:c-d", &"x".repeat(POSITION_BYTES_MAX)] {
                let message = filled(template, position, &payload);
                let position = if template.contains(POSITION) {
                    position
                } else {
                    ""
                };
                let opened = open(template, &stamps, &message);
                let publication = Content::Publication(STAMP);
                assert_eq!(opened, (publication, position.to_owned()), "{template}");
            }
        }
    }

    #[test]
    fn a_position_alone_is_one_only_where_there_are_positions() {
        let stamps = stamps();
        for template in TEMPLATES {
            let content = open(template, &stamps, b"7:epoch");
            let expected = if template.contains(POSITION) {
                (Content::Position, "7:epoch".to_owned())
            } else {
                (Content::Stranger, String::new())
            };
            assert_eq!(content, expected, "{template}");
        }
        for other in ["", "7 8", "7:\u{e9}poch", &"7".repeat(65)] {
            let content = open("{position} {payload}", &stamps, other.as_bytes()).0;
            assert_eq!(content, Content::Stranger, "{other}");
        }
    }

    #[test]
    fn any_changed_byte_or_length_is_a_changed_publication() {
        let stamps = stamps();
        let payload = payload(&stamps);
        for template in TEMPLATES {
            let message = filled(template, "7:epoch", &payload);
            let position = template.find(POSITION);
            let position = position.map_or(0..0, |at| at..at + "7:epoch".len());
            for at in (0..message.len()).filter(|at| !position.contains(at)) {
                let mut changed = message.clone();
                changed[at] ^= 1;
                let content = open(template, &stamps, &changed).0;
                assert_eq!(content, Content::Changed, "{template}: byte {at}");
            }
            let shorter = &message[..message.len() - 1];
            let longer = [&message[..], b"!"].concat();
            for changed in [shorter, &longer, &payload] {
                let content = open(template, &stamps, changed).0;
                assert_eq!(content, Content::Changed, "{template}: {}", changed.len());
            }
        }
    }

    #[test]
    fn a_position_of_another_length_is_none() {
        let stamps = stamps();
        let payload = payload(&stamps);
        for position in ["", &"x".repeat(POSITION_BYTES_MAX + 1)] {
            let message = filled("{position} {payload}", position, &payload);
            let opened = open("{position} {payload}", &stamps, &message);
            assert_eq!(opened, (Content::Changed, String::new()), "{position}");
        }
    }

    #[test]
    fn templates_without_one_payload_behind_one_position_are_refused() {
        for (template, error) in [
            ("", TemplateError::Payload),
            ("{payload}{payload}", TemplateError::Payload),
            ("{payload} {position}", TemplateError::Position),
            ("{position} {position} {payload}", TemplateError::Position),
            ("{position}{payload}", TemplateError::Between),
            (
                &format!("{}{{payload}}", "x".repeat(1025)),
                TemplateError::Literal,
            ),
        ] {
            assert_eq!(Envelope::parse(template), Err(error), "{template}");
        }
        assert!(parse("{payload}").is_bare());
        assert!(!parse("{payload} ").is_bare());
    }
}
