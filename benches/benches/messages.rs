//! Criterion groups over whole messages, ours and every peer's: `decode`, `encode`, `peers`. In: the
//! corpora. Out: time, bytes and elements a second.
//!
//! Decoding unmasks in place, so each round starts from a copy of the wire; `wire_copy` is that copy
//! alone, to be subtracted. Criterion runs one bench behind the other: for who is faster than whom,
//! on a machine that others use too, take the binary `versus`.
//!
//! Never: asserts a time.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;
use std::rc::Rc;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use fanfare_benches::carry::Carry;
use fanfare_benches::corpus::size::{SIZES, Shape};
use fanfare_benches::corpus::text::{
    ASCII, EMOJI_JSON, KOREAN, LANGUAGES, ascii_but_one, bad_last_byte, binary,
};
use fanfare_benches::corpus::wire::Wire;
use fanfare_benches::feed::{Cut, Feed, Outlet};
use fanfare_benches::peers::Fanfare;
use fanfare_benches::peers::decode::{self, Decoder, each_peer};
use fanfare_benches::peers::encode::{self, MessageEncoder};
use fanfare_codec::{Encoder, Header, Limits, MessageDecoder, MessageKind, Role};

/// Payload of a round: inside a second-level cache.
const ROUND_BYTES: usize = 64 << 10;
/// Payload of a cold round: past the last cache.
const COLD_BYTES: usize = 64 << 20;
/// A server's read.
const READ_BYTES: usize = 16 << 10;
/// What fits a packet: reads cut frames anywhere.
const PACKET_BYTES: usize = 1460;

type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// One decoder over one wire.
fn decoding<D: Decoder>(group: &mut Group<'_>, id: &str, wire: &Rc<Wire>, cut: Cut, read: usize) {
    let mut decoder = D::open(Feed::new(Rc::clone(wire), cut, read));
    group.throughput(Throughput::ElementsAndBytes {
        elements: wire.messages() as u64,
        bytes: wire.plain.len() as u64,
    });
    group.bench_function(id, |b| {
        b.iter(|| {
            let passed = decoder.pass(&mut |payload| {
                black_box(payload);
            });
            assert!(passed.is_ok(), "a valid wire");
        });
    });
}

fn wire_copy(group: &mut Group<'_>, id: &str, wire: &Rc<Wire>) {
    let mut feed = Feed::new(Rc::clone(wire), Cut::BehindFrames, READ_BYTES);
    let mut carry = Carry::new(&feed);
    group.bench_function(id, |b| {
        b.iter(|| {
            for _ in 0..feed.ends().len() {
                black_box(carry.refill(&mut feed));
            }
        });
    });
}

/// What servers are sent.
fn wires() -> Vec<(String, Wire)> {
    let mut wires = Vec::new();
    for size in SIZES {
        let shape = Shape::Fixed(size);
        let total = ROUND_BYTES.max(size);
        wires.push((format!("text/{size}"), Wire::text(ASCII, shape, total)));
        wires.push((format!("binary/{size}"), Wire::binary(shape, total)));
    }
    for language in LANGUAGES {
        for size in [20, 1024, 16 << 10] {
            let wire = Wire::text(language, Shape::Fixed(size), ROUND_BYTES);
            wires.push((format!("{}/{size}", language.name), wire));
        }
    }
    for (name, shape) in [
        ("chat", Shape::Chat),
        ("ticker", Shape::Ticker),
        ("mixed", Shape::Mixed),
    ] {
        wires.push((
            format!("mix/{name}"),
            Wire::text(ASCII, shape, 16 * ROUND_BYTES),
        ));
    }
    for fragments in [1, 4, 64] {
        let text = ASCII.text(4096);
        let wire = Wire::of(MessageKind::Text, text.as_bytes(), fragments, 16);
        wires.push((format!("fragments/{fragments}"), wire));
    }
    for size in [1024, 16 << 10] {
        for (place, at) in [("start", 0), ("middle", size / 2), ("end", size)] {
            let text = ascii_but_one(size, at);
            let wire = Wire::of(MessageKind::Text, text.as_bytes(), 1, ROUND_BYTES / size);
            wires.push((format!("first_at_{place}/{size}"), wire));
        }
    }
    wires
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for (name, wire) in wires() {
        let wire = Rc::new(wire);
        decoding::<Fanfare>(&mut group, &name, &wire, Cut::BehindFrames, READ_BYTES);
        decoding::<Fanfare>(
            &mut group,
            &format!("cut/{name}"),
            &wire,
            Cut::Anywhere,
            PACKET_BYTES,
        );
        wire_copy(&mut group, &format!("wire_copy/{name}"), &wire);
    }
    for size in [20, 1024, 16 << 10] {
        refused(&mut group, size);
    }
    group.sample_size(10);
    for size in [1024, 16 << 10] {
        let wire = Rc::new(Wire::text(ASCII, Shape::Fixed(size), COLD_BYTES));
        let name = format!("cold/{size}");
        decoding::<Fanfare>(&mut group, &name, &wire, Cut::BehindFrames, READ_BYTES);
        wire_copy(&mut group, &format!("wire_copy/{name}"), &wire);
    }
    group.finish();
}

/// A text whose last byte is wrong: the connection ends with it.
fn refused(group: &mut Group<'_>, size: usize) {
    let wire = Wire::of(MessageKind::Text, &bad_last_byte(size), 1, 1).bytes;
    let mut buffer = wire.clone();
    group.throughput(Throughput::Elements(1));
    group.bench_function(format!("bad_last_byte/{size}"), |b| {
        b.iter(|| {
            buffer.copy_from_slice(black_box(&wire));
            let mut decoder = MessageDecoder::new(Role::Server, Limits::DEFAULT);
            let refused = decoder.next_message(&mut &mut buffer[..]).is_err();
            assert!(refused, "not UTF-8");
        });
    });
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for size in SIZES {
        let payload = binary(size);
        let mut out = Vec::with_capacity(size + Header::BYTES_MAX);
        group.throughput(Throughput::ElementsAndBytes {
            elements: 1,
            bytes: size as u64,
        });
        let mut server = Encoder::server();
        group.bench_function(format!("server/{size}"), |b| {
            b.iter(|| {
                out.clear();
                server.binary(&mut out, black_box(&payload))
            });
        });
        let mut client = Encoder::client(|| fastrand::u32(..).to_ne_bytes());
        group.bench_function(format!("client/{size}"), |b| {
            b.iter(|| {
                out.clear();
                client.binary(&mut out, black_box(&payload))
            });
        });
    }
    group.finish();
}

struct Decoding<'g, 'c> {
    group: &'g mut Group<'c>,
    name: &'static str,
    wire: Rc<Wire>,
}

impl decode::Visitor for Decoding<'_, '_> {
    fn visit<D: Decoder>(&mut self) {
        let id = format!("decode/{}/{}", self.name, D::NAME);
        decoding::<D>(self.group, &id, &self.wire, Cut::BehindFrames, READ_BYTES);
    }
}

struct Encoding<'g, 'c> {
    group: &'g mut Group<'c>,
    payload: Bytes,
}

impl encode::Visitor for Encoding<'_, '_> {
    fn visit<E: MessageEncoder>(&mut self) {
        let mut encoder = E::open(Outlet::default());
        let id = format!("encode/{}/{}", self.payload.len(), E::NAME);
        self.group.bench_function(id, |b| {
            b.iter(|| {
                let done = encoder.message(black_box(&self.payload));
                assert!(done.and_then(|()| encoder.flush()).is_ok(), "a valid frame");
            });
        });
    }
}

fn peers(c: &mut Criterion) {
    let mut group = c.benchmark_group("peers");
    let text = |language, size| Wire::text(language, Shape::Fixed(size), ROUND_BYTES);
    let wires = [
        ("text_20", text(ASCII, 20)),
        ("text_125", text(ASCII, 125)),
        ("text_1024", text(ASCII, 1024)),
        ("text_16384", text(ASCII, 16 << 10)),
        ("korean_1024", text(KOREAN, 1024)),
        ("emoji_json_4096", text(EMOJI_JSON, 4096)),
        ("binary_20", Wire::binary(Shape::Fixed(20), ROUND_BYTES)),
        ("chat", Wire::text(ASCII, Shape::Chat, 16 * ROUND_BYTES)),
    ];
    for (name, wire) in wires {
        let mut decoding = Decoding {
            group: &mut group,
            name,
            wire: Rc::new(wire),
        };
        decode::Visitor::visit::<Fanfare>(&mut decoding);
        each_peer(&mut decoding);
    }
    for size in [20, 1024, 16 << 10, 65_536] {
        group.throughput(Throughput::ElementsAndBytes {
            elements: 1,
            bytes: size as u64,
        });
        encode::each(&mut Encoding {
            group: &mut group,
            payload: Bytes::from(binary(size)),
        });
    }
    group.finish();
}

criterion_group!(messages, decode, encode, peers);
criterion_main!(messages);
