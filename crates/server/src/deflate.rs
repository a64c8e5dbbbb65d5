//! permessage-deflate (RFC 7692) on one worker. In: what the config says, what clients offer. Out: what is agreed on
//! with each, and contexts for one message each.
//!
//! Never: lets a connection keep a context that it was not promised.

use std::sync::Arc;

use fanfare_codec::MessageDecoder;
use fanfare_codec::deflate::{DeflateAnswer, DeflateTerms, Deflaters, Inflaters};
use fanfare_codec::handshake::{Headers, MalformedExtensions};

use crate::admission::{Admission, HalfWay, Promise};
use crate::config::Deflate;
use crate::exceeded::Exceeded;
use crate::limits::{DEFLATERS_KEPT_MAX, INFLATERS_KEPT_MAX};

/// What is agreed on with one client.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) answer: DeflateAnswer,
    /// Contexts that it may keep between messages: its connection holds them.
    pub(crate) promises: [Option<Promise>; 2],
}

impl Agreed {
    pub(crate) const fn terms(&self) -> DeflateTerms {
        self.answer.terms()
    }
}

/// What comes of the extensions that a request lists: none without a config, or if no offer can be accepted.
///
/// # Errors
///
/// The list is malformed: no connection may come of it.
pub(crate) fn agree(
    deflate: Option<&Deflate>,
    request: &Headers<'_>,
    admission: &Admission,
) -> Result<Option<Agreed>, MalformedExtensions> {
    let Some(deflate) = deflate else {
        return Ok(None);
    };
    let Some(mut answer) = deflate.policy.answer(request)? else {
        return Ok(None);
    };
    let mut promises = [None, None];
    let [ours, theirs] = &mut promises;
    if answer.terms().server.takeover {
        *ours = admission.promise();
        if ours.is_none() {
            answer = answer.without_server_takeover();
        }
    }
    if answer.terms().client.takeover {
        *theirs = admission.promise();
        if theirs.is_none() {
            answer = answer.without_client_takeover();
        }
    }
    Ok(Some(Agreed { answer, promises }))
}

/// What a worker's connections borrow.
#[derive(Debug)]
pub(crate) struct Contexts {
    deflaters: Deflaters,
    /// Of messages that refer to none before them.
    lent: Inflaters,
    /// Of connections whose peers keep their windows: they stay there.
    kept: Inflaters,
    max: HalfWay,
    admission: Arc<Admission>,
    /// What all workers have been told of this one's.
    told: HalfWay,
}

/// What one connection borrows for a turn.
#[derive(Debug)]
pub(crate) struct Borrowed<'w> {
    pub(crate) deflaters: &'w mut Deflaters,
    pub(crate) inflaters: &'w mut Inflaters,
    before: HalfWay,
    /// Of all workers, then.
    all_before: HalfWay,
    max: HalfWay,
}

impl Contexts {
    /// All workers share what there may be, by `admission`.
    pub(crate) fn new(deflate: Option<&Deflate>, admission: Arc<Admission>) -> Self {
        let settings = deflate.map_or_else(Default::default, |deflate| deflate.settings);
        Self {
            deflaters: Deflaters::new(settings, DEFLATERS_KEPT_MAX),
            lent: Inflaters::new(INFLATERS_KEPT_MAX),
            kept: Inflaters::new(0),
            max: deflate.map_or_else(HalfWay::default, |deflate| deflate.half_way_max),
            admission,
            told: HalfWay::default(),
        }
    }

    pub(crate) const fn deflaters(&mut self) -> &mut Deflaters {
        &mut self.deflaters
    }

    /// For a connection that decodes with `decoder`.
    pub(crate) fn lend(&mut self, decoder: &MessageDecoder) -> Borrowed<'_> {
        self.tell();
        let keeps_window = decoder.keeps_window();
        let (inflaters, messages_max) = if keeps_window {
            // As many as have been promised.
            (&mut self.kept, usize::MAX)
        } else {
            (&mut self.lent, self.max.messages)
        };
        Borrowed {
            before: half_way(inflaters),
            all_before: self.admission.half_ways().sum(),
            deflaters: &mut self.deflaters,
            inflaters,
            max: HalfWay {
                messages: messages_max,
                ..self.max
            },
        }
    }

    /// Tells all workers what of this one's messages is under way.
    pub(crate) fn tell(&mut self) {
        let now = HalfWay {
            messages: half_way(&self.lent).messages,
            bytes: self.lent.message_bytes() + self.kept.message_bytes(),
        };
        self.admission.half_ways().moves(self.told, now);
        self.told = now;
    }

    /// What they come to.
    pub(crate) fn sums(&self) -> Sums {
        Sums {
            deflated: self.deflaters.deflated(),
            deflaters: self.deflaters.living(),
            half_way: half_way(&self.lent).messages,
            half_way_bytes: self.told.bytes,
            kept: self.kept.living(),
        }
    }
}

/// How many are out, and what their messages hold.
fn half_way(inflaters: &Inflaters) -> HalfWay {
    HalfWay {
        messages: inflaters.living() - inflaters.idle(),
        bytes: inflaters.message_bytes(),
    }
}

impl Borrowed<'_> {
    /// What there is too much of, if its connection has begun a compressed message in this turn, or gone on with one,
    /// and has not ended it.
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        let now = half_way(self.inflaters);
        let is_over = |now: usize, before: usize, all: usize, max: usize| {
            now > before && all.saturating_add(now - before) > max
        };
        let (before, all, max) = (self.before, self.all_before, self.max);
        if is_over(now.messages, before.messages, all.messages, max.messages) {
            return Some(Exceeded::HalfReceived);
        }
        is_over(now.bytes, before.bytes, all.bytes, max.bytes)
            .then_some(Exceeded::HalfReceivedBytes)
    }
}

/// For metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    /// Messages that were compressed.
    pub(crate) deflated: u64,
    pub(crate) deflaters: usize,
    /// Inflaters of messages that have not ended.
    pub(crate) half_way: usize,
    /// Memory of what those, and those of `kept`, were inflated to.
    pub(crate) half_way_bytes: usize,
    /// Inflaters of connections whose peers keep their windows.
    pub(crate) kept: usize,
}

#[cfg(test)]
mod tests {
    use fanfare_codec::deflate::DirectionTerms;
    use fanfare_codec::handshake::{HeadLimits, RequestDecoder};
    use fanfare_codec::{Limits, Role};

    use super::*;

    fn agree_on(deflate: &Deflate, offer: &str, admission: &Admission) -> Option<Agreed> {
        let head = format!("GET / HTTP/1.1\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n");
        let mut decoder = RequestDecoder::new(HeadLimits::DEFAULT);
        let request = decoder.decode(head.as_bytes()).unwrap().expect("whole");
        agree(Some(deflate), request.headers(), admission).unwrap()
    }

    fn takeover(agreed: &Agreed) -> (bool, bool) {
        (
            agreed.terms().server.takeover,
            agreed.terms().client.takeover,
        )
    }

    #[test]
    fn past_the_cap_nobody_keeps_a_window() {
        let admission = Admission::of_any(9).with_contexts(3);
        let agree = || agree_on(&Deflate::ECHO, "permessage-deflate", &admission).expect("good");
        let (first, second, third) = (agree(), agree(), agree());
        assert_eq!(takeover(&first), (true, true));
        assert_eq!(takeover(&second), (true, false));
        assert_eq!(takeover(&third), (false, false));
        let answer = third.answer.to_string();
        assert!(answer.contains("server_no_context_takeover"), "{answer}");
        assert!(answer.contains("client_no_context_takeover"), "{answer}");
        drop(first);
        assert_eq!(takeover(&agree()), (true, true));
    }

    #[test]
    fn a_client_that_wants_no_window_takes_nobody_s() {
        let admission = Admission::of_any(9).with_contexts(1);
        let offer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let modest = agree_on(&Deflate::ECHO, offer, &admission);
        assert!(modest.is_some());
        assert!(admission.promise().is_some());
    }

    #[test]
    fn messages_that_have_begun_are_counted_till_they_end() {
        let fresh = DirectionTerms {
            takeover: false,
            ..DirectionTerms::DEFAULT
        };
        let one = || MessageDecoder::new(Role::Server, Limits::default()).with_deflate(fresh);
        let deflate = Deflate {
            half_way_max: HalfWay {
                messages: 1,
                bytes: 1000,
            },
            ..Deflate::ECHO
        };
        let admission = Arc::new(Admission::of_any(9));
        let mut contexts = Contexts::new(Some(&deflate), Arc::clone(&admission));
        let (mut first, mut second) = (one(), one());
        // "Hello" (RFC 7692 §7.2.3.1), cut in two, with keys of zero.
        let beginning = b"\x41\x83\0\0\0\0\xF2\x48\xCD";
        let end = b"\x80\x84\0\0\0\0\xC9\xC9\x07\x00";
        let mut push = |decoder: &mut MessageDecoder, bytes: &[u8]| {
            let borrowed = contexts.lend(decoder);
            let mut bytes = bytes.to_vec();
            let mut input = &mut bytes[..];
            while let Some(_message) = decoder
                .next_message_with(&mut input, borrowed.inflaters)
                .unwrap()
            {}
            (borrowed.exceeded(), contexts.sums().half_way)
        };
        let too_many = Some(Exceeded::HalfReceived);
        assert_eq!(push(&mut first, beginning), (None, 1));
        assert_eq!(push(&mut second, beginning), (too_many, 2));
        assert_eq!(
            push(&mut first, end),
            (None, 1),
            "it has only ended its own"
        );
        assert_eq!(push(&mut second, end), (None, 0));
        assert_eq!(push(&mut second, beginning), (None, 1));
        drop(second);
        assert_eq!(contexts.sums().half_way, 0);

        // What another worker has is in the sum, and so is memory.
        let more = HalfWay {
            messages: 0,
            bytes: 900,
        };
        admission.half_ways().moves(HalfWay::default(), more);
        let mut third = one();
        let borrowed = contexts.lend(&third);
        let mut bytes = beginning.to_vec();
        let outcome = third.next_message_with(&mut &mut bytes[..], borrowed.inflaters);
        assert_eq!(outcome, Ok(None));
        assert_eq!(borrowed.exceeded(), Some(Exceeded::HalfReceivedBytes));
    }
}
