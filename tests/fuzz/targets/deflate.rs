//! Any bytes as compressed messages, whole and cut where the fuzzer likes: the same messages, the same error,
//! none longer than the limit, an inflater for each window and no more; and what came is deflated and
//! inflated again.
//!
//! Input: a byte of options (takeover, text), a byte n, n cuts (two bytes each, big-endian), then messages: a
//! byte of length (that many bytes), the payload.
//!
//! Never: judges what a stream should inflate to; the suites do, with zlib.
#![no_main]

use fanfare_codec::deflate::{
    DeflateSettings, Deflaters, DirectionTerms, Inflaters, Outgoing, WindowBits,
};
use fanfare_codec::{CloseCode, Encoder, Limits, Message, MessageDecoder, MessageKind, Role};
use fanfare_fuzz::options_and_cuts;
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: usize = 3_000;
const LIMITS: Limits = Limits::DEFAULT.with_max_message_bytes(BYTES_MAX as u64);

/// Messages, and the code that what is wrong behind them closes with: of a text that is corrupt and no UTF-8, where it
/// is cut says which is seen first.
type Outcome = (Vec<Vec<u8>>, Option<CloseCode>);

fuzz_target!(|input: &[u8]| {
    let Some((options, cuts, payloads)) = options_and_cuts(input) else {
        return;
    };
    let terms = DirectionTerms {
        takeover: options & 1 != 0,
        window_bits: WindowBits::MAX,
    };
    let stream = frames(payloads, options & 2 != 0);
    let mut ends: Vec<usize> = cuts
        .chunks_exact(2)
        .map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]])) % (stream.len() + 1))
        .chain([stream.len()])
        .collect();
    ends.sort_unstable();
    let whole = receive(terms, &stream, &[stream.len()]);
    assert_eq!(whole, receive(terms, &stream, &ends), "cut");
    let singles: Vec<usize> = (1..=stream.len()).collect();
    assert_eq!(whole, receive(terms, &stream, &singles), "byte by byte");
    for message in &whole.0 {
        assert!(message.len() <= BYTES_MAX);
    }
    assert_eq!(
        sent_again(terms, &whole.0, options >> 2),
        whole.0,
        "and back"
    );
});

/// A server's frames with RSV1.
fn frames(mut payloads: &[u8], is_text: bool) -> Vec<u8> {
    let mut stream = Vec::new();
    while let [len, rest @ ..] = payloads {
        let (payload, rest) = rest.split_at(usize::from(*len % 126).min(rest.len()));
        let len = u8::try_from(payload.len()).expect("at most 125");
        stream.extend_from_slice(&[if is_text { 0xC1 } else { 0xC2 }, len]);
        stream.extend_from_slice(payload);
        payloads = rest;
    }
    stream
}

fn receive(terms: DirectionTerms, stream: &[u8], ends: &[usize]) -> Outcome {
    let mut inflaters = Inflaters::new(1);
    let mut decoder = MessageDecoder::new(Role::Client, LIMITS).with_deflate(terms);
    let mut received = Vec::new();
    let mut held = Vec::new();
    let mut start = 0;
    for &end in ends {
        held.extend_from_slice(&stream[start..end]);
        start = end;
        let mut input = &mut held[..];
        loop {
            match decoder.next_message_with(&mut input, &mut inflaters) {
                Ok(Some(Message::Text(text))) => received.push(text.as_bytes().to_vec()),
                Ok(Some(Message::Binary(bytes))) => received.push(bytes.to_vec()),
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => break,
                Err(error) => return (received, Some(error.close_code())),
            }
        }
        held = input.to_vec();
        assert!(inflaters.living() <= 1);
    }
    (received, None)
}

/// What arrives of `messages` if we send them.
fn sent_again(terms: DirectionTerms, messages: &[Vec<u8>], level: u8) -> Vec<Vec<u8>> {
    let settings = DeflateSettings::default()
        .with_level(level % 10)
        .with_mem_level(1)
        .with_threshold_bytes(3);
    let mut deflaters = Deflaters::new(settings, 1);
    let mut outgoing = Outgoing::new(terms);
    let mut stream = Vec::new();
    for message in messages {
        Encoder::server()
            .deflate(
                &mut stream,
                MessageKind::Binary,
                message,
                &mut outgoing,
                &mut deflaters,
            )
            .expect("open");
    }
    let (received, error) = receive(terms, &stream, &[stream.len()]);
    assert_eq!(error, None);
    received
}
