//! That the peers are what the tables say they are. In: corpora. Out: nothing but failures.
//!
//! Never: measures.

use std::rc::Rc;

use bytes::Bytes;
use fanfare_benches::corpus::json;
use fanfare_benches::corpus::size::Shape;
use fanfare_benches::corpus::text::{ASCII, EMOJI_JSON, KOREAN, bad_last_byte, binary};
use fanfare_benches::corpus::wire::{NO_TAKEOVER, Wire};
use fanfare_benches::feed::{Cut, Feed, Outlet};
use fanfare_benches::peers::decode::{Decoder, Visitor, each_peer};
use fanfare_benches::peers::deflate::{each_deflating, each_inflating_peer};
use fanfare_benches::peers::encode::{self, MessageEncoder};
use fanfare_benches::peers::{Fanfare, FanfareInflating, FanfareStreamed};
use fanfare_codec::deflate::Inflaters;
use fanfare_codec::{Limits, Message, MessageDecoder, MessageKind, Role};

fn each_decoder(visitor: &mut impl Visitor) {
    visitor.visit::<Fanfare>();
    visitor.visit::<FanfareStreamed>();
    each_peer(visitor);
}

/// What one decoder gave in two turns of a wire.
fn two_turns<D: Decoder>(wire: &Rc<Wire>, cut: Cut, read_bytes: usize) -> (Vec<u8>, usize) {
    let mut decoder = D::open(Feed::new(Rc::clone(wire), cut, read_bytes));
    let (mut bytes, mut calls) = (Vec::new(), 0);
    for _ in 0..2 {
        decoder
            .pass(&mut |payload| {
                bytes.extend_from_slice(payload);
                calls += 1;
            })
            .unwrap_or_else(|error| panic!("{}: {error}", D::NAME));
    }
    (bytes, calls)
}

struct DecodesTheSame {
    wire: Rc<Wire>,
    cut: Cut,
    read_bytes: usize,
    fragments: bool,
}

impl Visitor for DecodesTheSame {
    fn visit<D: Decoder>(&mut self) {
        let (bytes, calls) = two_turns::<D>(&self.wire, self.cut, self.read_bytes);
        assert!(
            bytes == self.wire.plain.repeat(2),
            "{}: other bytes",
            D::NAME
        );
        let whole = (D::WORK.joins_fragments || !self.fragments)
            && (D::WORK.joins_reads || self.cut == Cut::BehindFrames);
        if whole {
            assert_eq!(calls, 2 * self.wire.messages(), "{}: messages", D::NAME);
        } else if self.fragments {
            assert!(
                calls > 2 * self.wire.messages(),
                "{} joins fragments",
                D::NAME
            );
        }
    }
}

#[test]
fn all_decode_the_same_bytes_however_they_are_read() {
    let shapes = [
        Wire::text(ASCII, Shape::Chat, 64 << 10),
        Wire::text(KOREAN, Shape::Fixed(1024), 64 << 10),
        Wire::text(EMOJI_JSON, Shape::Mixed, 128 << 10),
        Wire::binary(Shape::Short, 16 << 10),
        Wire::text(ASCII, Shape::Fixed(70_000), 140_000),
    ];
    for wire in shapes.map(Rc::new) {
        for (cut, read_bytes) in [
            (Cut::BehindFrames, 16 << 10),
            (Cut::BehindFrames, 64 << 10),
            (Cut::Anywhere, 16 << 10),
            (Cut::Anywhere, 1460),
        ] {
            each_decoder(&mut DecodesTheSame {
                wire: Rc::clone(&wire),
                cut,
                read_bytes,
                fragments: false,
            });
        }
    }
}

#[test]
fn fragments_are_joined_by_those_who_say_so() {
    let text = ASCII.text(4096);
    for fragments in [4, 64] {
        each_decoder(&mut DecodesTheSame {
            wire: Rc::new(Wire::of(MessageKind::Text, text.as_bytes(), fragments, 20)),
            cut: Cut::BehindFrames,
            read_bytes: 16 << 10,
            fragments: true,
        });
    }
}

struct Refuses(Rc<Wire>);

impl Visitor for Refuses {
    fn visit<D: Decoder>(&mut self) {
        let mut decoder = D::open(Feed::new(Rc::clone(&self.0), Cut::BehindFrames, 16 << 10));
        let refused = decoder.pass(&mut |_| {}).is_err();
        assert_eq!(refused, D::WORK.validates_text, "{}", D::NAME);
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_by_those_who_say_so() {
    for size in [20, 1024, 16 << 10] {
        let bad = Wire::of(MessageKind::Text, &bad_last_byte(size), 1, 1);
        each_decoder(&mut Refuses(Rc::new(bad)));
    }
}

#[test]
fn those_who_inflate_give_what_was_deflated() {
    for size in [256, 1024, 16 << 10, 70_000] {
        let wire = Rc::new(Wire::deflated(size, 256 << 10));
        assert!(wire.bytes.len() < wire.plain.len());
        for (cut, read_bytes) in [(Cut::BehindFrames, 16 << 10), (Cut::Anywhere, 1460)] {
            let mut visitor = DecodesTheSame {
                wire: Rc::clone(&wire),
                cut,
                read_bytes,
                fragments: false,
            };
            visitor.visit::<FanfareInflating>();
            each_inflating_peer(&mut visitor);
        }
    }
}

/// What an encoder sends of one message after the other, all of them alike.
fn three_times<E: MessageEncoder>(payload: &Bytes) -> Vec<u8> {
    let outlet = Outlet::keeping();
    let mut encoder = E::open(outlet.clone());
    for _ in 0..3 {
        encoder
            .message(payload)
            .and_then(|()| encoder.flush())
            .unwrap_or_else(|error| panic!("{}: {error}", E::NAME));
    }
    outlet.kept()
}

struct Deflates(Bytes);

impl encode::Visitor for Deflates {
    fn visit<E: MessageEncoder>(&mut self) {
        let mut wire = three_times::<E>(&self.0);
        let plain = 3 * self.0.len();
        assert!(wire.len() * 5 < plain * 4, "{}: {}", E::NAME, wire.len());
        // Each from an empty window: the second is what the first was.
        assert!(
            wire.chunks(wire.len() / 3)
                .all(|frame| frame == &wire[..wire.len() / 3])
        );
        let mut input = &mut wire[..];
        let mut inflaters = Inflaters::new(1);
        let mut decoder =
            MessageDecoder::new(Role::Client, Limits::DEFAULT).with_deflate(NO_TAKEOVER);
        let text = str::from_utf8(&self.0).expect("JSON");
        for _ in 0..3 {
            let message = decoder.next_message_with(&mut input, &mut inflaters);
            assert!(message == Ok(Some(Message::Text(text))), "{}", E::NAME);
        }
        assert!(input.is_empty(), "{}", E::NAME);
    }
}

#[test]
fn what_is_deflated_inflates() {
    for size in [256, 1024, 16 << 10, 70_000] {
        let text = json::trades(size, 1).remove(0);
        assert_eq!(text.len(), size);
        each_deflating(&mut Deflates(text.into()));
    }
}

struct EncodesTheSame(Bytes);

impl encode::Visitor for EncodesTheSame {
    fn visit<E: MessageEncoder>(&mut self) {
        let mut wire = three_times::<E>(&self.0);
        assert_eq!(wire[1] & 0x80, 0x80, "{} masks", E::NAME);
        let mut input = &mut wire[..];
        let mut decoder = MessageDecoder::new(Role::Server, Limits::DEFAULT);
        for _ in 0..3 {
            let message = decoder.next_message(&mut input).expect("a valid frame");
            assert!(message == Some(Message::Binary(&self.0)), "{}", E::NAME);
        }
        assert!(input.is_empty(), "{}", E::NAME);
    }
}

#[test]
fn all_encode_frames_that_hold_the_payload() {
    for size in [0, 20, 125, 126, 1024, 65_535, 65_536] {
        encode::each(&mut EncodesTheSame(Bytes::from(binary(size))));
    }
}
