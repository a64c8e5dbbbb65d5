//! Criterion groups over the codec's hot paths. In: the corpus. Out: time, bytes and elements a second.
//!
//! Many small frames are laid in one buffer: unmasking one slice over and over would measure store
//! forwarding. Decoding unmasks in place, so each round starts from a copy of the wire; `wire_copy`
//! is that copy alone, to be subtracted.
//!
//! Never: asserts a time.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fanfare_benches::corpus::size::SIZES;
use fanfare_benches::corpus::text::{LANGUAGES, binary};
use fanfare_benches::corpus::wire::Wire;
use fanfare_codec::{
    AllowedRsv, Encoder, Header, Isa, Kernel, Limits, MessageDecoder, MessageKind, Opcode, Role,
    Rsv, Utf8Validator, validate_utf8,
};

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
/// Payload in one buffer of a round: inside a second-level cache.
const ROUND_BYTES: usize = 64 << 10;

fn frames_of(size: usize) -> usize {
    (ROUND_BYTES / (size + Header::BYTES_MAX)).max(1)
}

fn header(c: &mut Criterion) {
    let mut group = c.benchmark_group("header");
    group.throughput(Throughput::Elements(1));
    for payload_len in [20, 1024, 1 << 20] {
        let header = Header {
            fin: true,
            rsv: Rsv::NONE,
            opcode: Opcode::Text,
            mask_key: Some(KEY),
            payload_len,
        };
        let mut bytes = [0; Header::BYTES_MAX];
        let len = header.encode(&mut bytes);
        group.bench_function(BenchmarkId::new("parse", payload_len), |b| {
            b.iter(|| Header::parse(black_box(&bytes[..len]), Role::Server, AllowedRsv::NONE));
        });
        group.bench_function(BenchmarkId::new("encode", payload_len), |b| {
            b.iter(|| black_box(&header).encode(black_box(&mut bytes)));
        });
    }
    group.finish();
}

fn mask(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    for size in [7, 20, 63, 125, 1024, 16 << 10, 1 << 20] {
        let mut payloads = binary(size * frames_of(size));
        group.throughput(Throughput::Bytes(payloads.len() as u64));
        group.bench_function(BenchmarkId::new("apply", size), |b| {
            b.iter(|| {
                for payload in black_box(&mut payloads[..]).chunks_exact_mut(size) {
                    black_box(fanfare_codec::apply_mask(payload, KEY));
                }
            });
        });
        for kernel in Isa::ALL.iter().filter_map(|&isa| Kernel::force(isa).ok()) {
            let id = BenchmarkId::new(format!("{:?}", kernel.isa()), size);
            group.bench_function(id, |b| {
                b.iter(|| {
                    for payload in black_box(&mut payloads[..]).chunks_exact_mut(size) {
                        black_box(kernel.apply_mask(payload, KEY));
                    }
                });
            });
        }
    }
    group.finish();
}

fn utf8(c: &mut Criterion) {
    let mut group = c.benchmark_group("utf8");
    for language in LANGUAGES {
        for size in [20, 1024, 16 << 10] {
            let text = language.text(size);
            group.throughput(Throughput::Bytes(text.len() as u64));
            let id = BenchmarkId::new(format!("whole_{}", language.name), size);
            group.bench_function(id, |b| b.iter(|| validate_utf8(black_box(text.as_bytes()))));
            let id = BenchmarkId::new(format!("pieces_{}", language.name), size);
            group.bench_function(id, |b| {
                b.iter(|| {
                    let mut validator = Utf8Validator::default();
                    for piece in black_box(text.as_bytes()).chunks(1400) {
                        validator.push(piece)?;
                    }
                    validator.finish()
                });
            });
        }
    }
    group.finish();
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for size in SIZES {
        for kind in [MessageKind::Binary, MessageKind::Text] {
            let payload = match kind {
                MessageKind::Binary => binary(size),
                MessageKind::Text => LANGUAGES[0].text(size).into_bytes(),
            };
            let frames = frames_of(size);
            let wire = Wire::of(kind, &payload, 1, frames).bytes;
            group.throughput(Throughput::Elements(frames as u64));
            let mut buffer = wire.clone();
            group.bench_function(BenchmarkId::new(format!("{kind:?}"), size), |b| {
                b.iter(|| {
                    buffer.copy_from_slice(black_box(&wire));
                    decode_all(&mut buffer)
                });
            });
            if kind == MessageKind::Binary {
                group.bench_function(BenchmarkId::new("wire_copy", size), |b| {
                    b.iter(|| {
                        buffer.copy_from_slice(black_box(&wire));
                        black_box(buffer[0])
                    });
                });
            }
        }
    }
    group.finish();
}

/// How many messages there are: what a server's loop does, with an empty answer.
fn decode_all(wire: &mut [u8]) -> usize {
    let mut decoder = MessageDecoder::new(Role::Server, Limits::default());
    let mut input = wire;
    let mut messages = 0;
    while let Some(message) = decoder.next_message(&mut input).expect("a valid wire") {
        black_box(message);
        messages += 1;
    }
    messages
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for size in SIZES {
        let payload = binary(size);
        let mut out = Vec::with_capacity(size + Header::BYTES_MAX);
        group.throughput(Throughput::Elements(1));
        let mut server = Encoder::server();
        group.bench_function(BenchmarkId::new("server", size), |b| {
            b.iter(|| {
                out.clear();
                server.binary(&mut out, black_box(&payload))
            });
        });
        let mut client = Encoder::client(|| black_box(KEY));
        group.bench_function(BenchmarkId::new("client", size), |b| {
            b.iter(|| {
                out.clear();
                client.binary(&mut out, black_box(&payload))
            });
        });
    }
    group.finish();
}

criterion_group!(codec, header, mask, utf8, decode, encode);
criterion_main!(codec);
