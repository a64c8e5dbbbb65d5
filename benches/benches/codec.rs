//! Criterion groups over the codec's parts: headers, masks, UTF-8. In: the corpora. Out: time, bytes and
//! elements a second.
//!
//! Many payloads are walked: unmasking one slice over and over would measure store forwarding.
//!
//! Never: asserts a time, compares with peers (see `peers` and the binary `versus`).

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use fanfare_benches::corpus::size::{MASK_SIZES, Shape};
use fanfare_benches::corpus::text::{ASCII, LANGUAGES, ascii_but_one, bad_last_byte};
use fanfare_codec::{
    AllowedRsv, Header, Isa, Kernel, Opcode, Role, Rsv, Utf8Validator, unmask_validate,
    validate_utf8,
};

/// Below 0x80, so that ASCII stays ASCII however often it is masked.
const KEY: [u8; 4] = [0x37, 0x7A, 0x21, 0x3D];
/// Walked by a hot bench: inside a first-level cache.
const HOT_BYTES: usize = 16 << 10;
/// Walked by a cold one: past the last cache.
const COLD_BYTES: usize = 64 << 20;

fn header(c: &mut Criterion) {
    let mut group = c.benchmark_group("header");
    group.throughput(Throughput::Elements(1));
    for payload_len in [20, 125, 126, 1024, 65_535, 65_536, 1 << 20] {
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

/// Payloads of `sizes`, walked by `unmask`; throughput in bytes.
fn walk(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    sizes: &[usize],
    mut unmask: impl FnMut(&mut [u8]),
) {
    let total: usize = sizes.iter().sum();
    let mut bytes = ASCII.text(total).into_bytes();
    group.throughput(Throughput::BytesDecimal(total as u64));
    group.bench_function(id, |b| {
        b.iter(|| {
            let mut rest = black_box(&mut bytes[..]);
            for &size in sizes {
                let (payload, behind) = rest.split_at_mut(size);
                unmask(payload);
                rest = behind;
            }
        });
    });
}

/// As many payloads of a size as `total` holds, at least one.
fn even(size: usize, total: usize) -> Vec<usize> {
    vec![size; (total / size).max(1)]
}

fn mask(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    let kernels: Vec<Kernel> = Isa::ALL
        .iter()
        .filter_map(|&isa| Kernel::force(isa).ok())
        .collect();
    for size in MASK_SIZES {
        let sizes = even(size, HOT_BYTES);
        walk(&mut group, BenchmarkId::new("apply", size), &sizes, |buf| {
            fanfare_codec::apply_mask(buf, KEY);
        });
        for kernel in &kernels {
            let id = BenchmarkId::new(format!("{:?}", kernel.isa()), size);
            walk(&mut group, id, &sizes, |buf| {
                kernel.apply_mask(buf, KEY);
            });
        }
    }
    let mixes = [
        ("short", Shape::Short),
        ("chat", Shape::Chat),
        ("ticker", Shape::Ticker),
    ];
    for (name, shape) in mixes {
        walk(
            &mut group,
            BenchmarkId::new("apply", name),
            &shape.sizes(HOT_BYTES),
            |buf| {
                fanfare_codec::apply_mask(buf, KEY);
            },
        );
    }
    group.sample_size(10);
    for size in [1024, 65_536] {
        let id = BenchmarkId::new("apply_cold", size);
        walk(&mut group, id, &even(size, COLD_BYTES), |buf| {
            fanfare_codec::apply_mask(buf, KEY);
        });
    }
    group.finish();
}

fn utf8(c: &mut Criterion) {
    let mut group = c.benchmark_group("utf8");
    for size in [4096, 16 << 10, 65_536, 1 << 20] {
        let id = BenchmarkId::new("unmask_validate_ascii", size);
        walk(&mut group, id, &even(size, HOT_BYTES), |buf| {
            black_box(unmask_validate(buf, KEY).is_ok());
        });
    }
    let mut texts: Vec<(String, Vec<u8>)> = Vec::new();
    for size in [20, 1024, 16 << 10] {
        for language in LANGUAGES {
            let name = format!("{}/{size}", language.name);
            texts.push((name, language.text(size).into_bytes()));
        }
        for (place, at) in [("start", 0), ("middle", size / 2), ("end", size)] {
            let name = format!("first_at_{place}/{size}");
            texts.push((name, ascii_but_one(size, at).into_bytes()));
        }
        texts.push((format!("bad_last_byte/{size}"), bad_last_byte(size)));
    }
    for (name, text) in texts {
        group.throughput(Throughput::BytesDecimal(text.len() as u64));
        group.bench_function(format!("whole/{name}"), |b| {
            b.iter(|| validate_utf8(black_box(&text)).is_ok());
        });
        group.bench_function(format!("pieces/{name}"), |b| {
            b.iter(|| {
                let mut validator = Utf8Validator::default();
                for piece in black_box(&text[..]).chunks(1400) {
                    validator.push(piece)?;
                }
                validator.finish()
            });
        });
        // Unmasking changes what it walks: each round starts from the masked text.
        let mut masked = text;
        fanfare_codec::apply_mask(&mut masked, KEY);
        let mut buffer = masked.clone();
        group.bench_function(format!("copy_then_unmask_validate/{name}"), |b| {
            b.iter(|| {
                buffer.copy_from_slice(black_box(&masked));
                unmask_validate(&mut buffer, KEY).is_ok()
            });
        });
    }
    group.finish();
}

criterion_group!(codec, header, mask, utf8);
criterion_main!(codec);
