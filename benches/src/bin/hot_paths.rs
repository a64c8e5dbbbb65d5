//! One hot path at a time, for a tool that counts instructions. In: a path, a kernel. Out: how often
//! the path ran.
//!
//! What counts is inside functions called `measured_…`, which are never inlined and which the tool is
//! told to watch; corpora are made, and the CPU is looked at, before they are entered. Each
//! frame is decoded where it lies, once: nothing is copied to start over.
//!
//! Never: reads a clock.

#![allow(clippy::print_stdout, reason = "its one line is what it is for")]

use std::hint::black_box;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use fanfare_benches::corpus::size::Shape;
use fanfare_benches::corpus::text::{ASCII, KOREAN, Language, binary};
use fanfare_benches::corpus::wire::Wire;
use fanfare_codec::{
    Encoder, Header, Isa, Kernel, Limits, MaskKeys, Message, MessageDecoder, Role, apply_mask,
    unmask_validate,
};

const KEY: [u8; 4] = [0x37, 0x7A, 0x21, 0x3D];

#[derive(Debug, Parser)]
struct Cli {
    path: Path,
    /// The kernel; the fastest there is if none is named
    #[arg(long)]
    kernel: Option<KernelName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Path {
    #[value(name = "decode_text_20")]
    DecodeText20,
    #[value(name = "decode_text_125")]
    DecodeText125,
    #[value(name = "decode_text_1024")]
    DecodeText1024,
    #[value(name = "decode_text_16384")]
    DecodeText16384,
    #[value(name = "decode_binary_20")]
    DecodeBinary20,
    #[value(name = "decode_korean_1024")]
    DecodeKorean1024,
    #[value(name = "apply_mask_20")]
    ApplyMask20,
    #[value(name = "apply_mask_1024")]
    ApplyMask1024,
    #[value(name = "unmask_validate_1024")]
    UnmaskValidate1024,
    #[value(name = "unmask_validate_korean_1024")]
    UnmaskValidateKorean1024,
    #[value(name = "encode_masked_20")]
    EncodeMasked20,
    #[value(name = "encode_masked_1024")]
    EncodeMasked1024,
    #[value(name = "encode_server_20")]
    EncodeServer20,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KernelName {
    Portable,
    Avx2,
}

/// Frames of a run.
const FRAMES: usize = 1000;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let isa = cli.kernel.map(|name| match name {
        KernelName::Portable => Isa::Portable,
        KernelName::Avx2 => Isa::Avx2,
    });
    match isa.map(Kernel::force).transpose() {
        Ok(kernel) => kernel.unwrap_or_else(Kernel::detect).use_everywhere(),
        Err(error) => {
            eprintln!("hot_paths: {error}");
            return ExitCode::from(2);
        }
    }
    warm_up();
    println!("{}", run(cli.path));
    ExitCode::SUCCESS
}

/// Runs a path; how often.
fn run(path: Path) -> usize {
    match path {
        Path::DecodeText20 => decode_text(ASCII, 20),
        Path::DecodeText125 => decode_text(ASCII, 125),
        Path::DecodeText1024 => decode_text(ASCII, 1024),
        Path::DecodeText16384 => decode_text(ASCII, 16 << 10),
        Path::DecodeKorean1024 => decode_text(KOREAN, 1024),
        Path::DecodeBinary20 => decode(Wire::binary(Shape::Fixed(20), 20 * FRAMES)),
        Path::ApplyMask20 => mask(20),
        Path::ApplyMask1024 => mask(1024),
        Path::UnmaskValidate1024 => validate(ASCII, 1024),
        Path::UnmaskValidateKorean1024 => validate(KOREAN, 1024),
        Path::EncodeMasked20 => encode(Encoder::with_keys(OneKey), 20),
        Path::EncodeMasked1024 => encode(Encoder::with_keys(OneKey), 1024),
        Path::EncodeServer20 => encode(Encoder::server(), 20),
    }
}

fn decode_text(language: Language, size: usize) -> usize {
    decode(Wire::text(language, Shape::Fixed(size), size * FRAMES))
}

fn decode(wire: Wire) -> usize {
    let frames = wire.messages();
    let mut bytes = wire.bytes;
    measured_decode(&mut bytes);
    frames
}

fn mask(size: usize) -> usize {
    let mut bytes = ASCII.text(size * FRAMES).into_bytes();
    measured_mask(&mut bytes, size, |buf| {
        apply_mask(buf, KEY);
    });
    FRAMES
}

fn validate(language: Language, size: usize) -> usize {
    let mut bytes = language.text(size).repeat(FRAMES).into_bytes();
    apply_mask(&mut bytes, KEY); // each text starts where a key does: sizes are multiples of 4
    measured_mask(&mut bytes, size, |buf| {
        assert!(unmask_validate(buf, KEY).is_ok(), "a valid text");
    });
    FRAMES
}

fn encode<K: MaskKeys>(mut encoder: Encoder<K>, size: usize) -> usize {
    let payload = binary(size);
    let mut out = Vec::with_capacity((size + Header::BYTES_MAX) * FRAMES);
    measured_encode(&mut encoder, &mut out, &payload, FRAMES);
    FRAMES
}

/// The key of every frame: drawing one is no work of the codec's.
struct OneKey;

impl MaskKeys for OneKey {
    #[inline]
    fn next_key(&mut self) -> Option<[u8; 4]> {
        Some(black_box(KEY))
    }
}

/// Lets the codec and its validator look at the CPU, which they do once.
fn warm_up() {
    let mut text = KOREAN.text(1024).into_bytes();
    apply_mask(&mut text, KEY);
    assert!(unmask_validate(&mut text, KEY).is_ok(), "a valid text");
}

#[inline(never)]
fn measured_decode(bytes: &mut [u8]) {
    let mut decoder = MessageDecoder::new(Role::Server, Limits::DEFAULT);
    let mut input = bytes;
    while let Ok(Some(message)) = decoder.next_message(&mut input) {
        match message {
            Message::Text(text) => {
                black_box(text.as_bytes());
            }
            Message::Binary(bytes) => {
                black_box(bytes);
            }
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return,
        }
    }
    assert!(input.is_empty(), "every frame is decoded");
}

#[inline(never)]
fn measured_mask(bytes: &mut [u8], size: usize, mut unmask: impl FnMut(&mut [u8])) {
    for payload in bytes.chunks_exact_mut(black_box(size)) {
        unmask(payload);
        black_box(payload);
    }
}

#[inline(never)]
fn measured_encode<K: MaskKeys>(
    encoder: &mut Encoder<K>,
    out: &mut Vec<u8>,
    payload: &[u8],
    frames: usize,
) {
    for _ in 0..frames {
        let encoded = encoder.binary(out, black_box(payload));
        assert!(encoded.is_ok(), "nothing is fragmented or closed");
    }
}
