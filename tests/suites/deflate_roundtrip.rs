//! Whatever is sent is what arrives: any sequence of messages, compressed by the connection or shared with
//! others, under any terms, cut anywhere; and between our two halves and zlib's.
//!
//! Never: looks at how well anything is compressed.

use fanfare_codec::deflate::{
    DeflateSettings, Deflaters, DirectionTerms, FreshWindow, Inflaters, Outgoing, WindowBits,
};
use fanfare_codec::{
    Encoder, Limits, MaskKeys, Message, MessageDecoder, MessageKind, PreparedFrame, Role,
};
use fanfare_tests::wire::{self, Frame, Sender};
use fanfare_tests::zlib::Zlib;
use proptest::prelude::*;

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
enum How {
    /// By the connection's own compressor, if it is long enough.
    Own,
    AsItIs,
    /// With others, if the connection may; else by itself.
    Shared,
    SharedAppended,
}

#[derive(Clone, Debug)]
struct Sent {
    kind: MessageKind,
    payload: Vec<u8>,
    how: How,
    /// Where its frame is cut into fragments.
    cuts: Vec<prop::sample::Index>,
}

/// What compresses well, what refers far back, what does not compress.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "{\"price\":",
        "한국",
        "aaaaaaaa",
        "\"id\":17,",
        "x",
        "}",
    ]);
    prop_oneof![
        4 => prop::collection::vec(words, 0..120).prop_map(|words| words.concat().into_bytes()),
        2 => "[a-c]{0,2000}".prop_map(String::into_bytes),
        1 => (0..70_000_usize, any::<char>()).prop_map(|(len, c)| {
            let mut text = String::new();
            while text.len() < len {
                text.push(c);
            }
            text.into_bytes()
        }),
        1 => prop::collection::vec(any::<char>(), 0..800)
            .prop_map(|chars| chars.into_iter().collect::<String>().into_bytes()),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let how = prop_oneof![
        3 => Just(How::Own),
        1 => Just(How::AsItIs),
        1 => Just(How::Shared),
        1 => Just(How::SharedAppended),
    ];
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    (any::<bool>(), payload(), how, cuts).prop_map(|(is_text, payload, how, cuts)| Sent {
        kind: if is_text {
            MessageKind::Text
        } else {
            MessageKind::Binary
        },
        payload,
        how,
        cuts,
    })
}

fn terms() -> impl Strategy<Value = DirectionTerms> {
    (any::<bool>(), 8..=15_u8).prop_map(|(takeover, bits)| DirectionTerms {
        takeover,
        window_bits: WindowBits::new(bits).expect("8–15"),
    })
}

fn settings() -> impl Strategy<Value = DeflateSettings> {
    (1..=9_u8, 1..=9_u8, 0..200_usize).prop_map(|(level, mem_level, threshold)| {
        DeflateSettings::default()
            .with_level(level)
            .with_mem_level(mem_level)
            .with_threshold_bytes(threshold)
    })
}

struct Key(Role);

impl MaskKeys for Key {
    fn next_key(&mut self) -> Option<[u8; 4]> {
        self.0.masks().then_some([7, 1, 200, 3])
    }
}

/// Appends what `role` sends of `sent`.
fn send(
    role: Role,
    sent: &Sent,
    outgoing: &mut Outgoing,
    deflaters: &mut Deflaters,
    out: &mut Vec<u8>,
) {
    let mut encoder = Encoder::with_keys(Key(role));
    let (kind, payload) = (sent.kind, &sent.payload[..]);
    let as_it_is = |out: &mut Vec<u8>, encoder: &mut Encoder<Key>| match kind {
        MessageKind::Text => encoder.text(out, std::str::from_utf8(payload).expect("made so")),
        MessageKind::Binary => encoder.binary(out, payload),
    };
    match (sent.how, outgoing.fresh_window()) {
        (How::AsItIs, _) => as_it_is(out, &mut encoder).expect("open"),
        (How::Shared, Some(window)) if role == Role::Server => {
            let frame = match kind {
                MessageKind::Text => PreparedFrame::text_from_bytes(payload.to_vec().into()),
                MessageKind::Binary => Ok(PreparedFrame::binary(payload.to_vec())),
            };
            let frame = frame.expect("text").with_deflate();
            let frame = frame.deflated(window, deflaters);
            out.extend_from_slice(&frame.slices(0).concat());
        }
        (How::SharedAppended, Some(window)) if role == Role::Server => Encoder::server()
            .deflate_shared(out, kind, payload, window, deflaters)
            .expect("open"),
        _ => encoder
            .deflate(out, kind, payload, outgoing, deflaters)
            .expect("open"),
    }
}

/// The frame in `out`, cut into fragments at `cuts`.
fn fragmented(out: &[u8], sender: Sender, cuts: &[prop::sample::Index]) -> Vec<u8> {
    let (rsv, frame) = wire::read_extended(out, sender).expect("a frame");
    let mut ends: Vec<usize> = cuts
        .iter()
        .map(|cut| cut.index(frame.payload.len() + 1))
        .collect();
    ends.sort_unstable();
    ends.push(frame.payload.len());
    let mut stream = Vec::new();
    let mut start = 0;
    for (n, &end) in ends.iter().enumerate() {
        let payload = &frame.payload[start..end];
        let mut fragment = match n {
            0 => Frame::new(frame.opcode, payload).rsv(rsv),
            _ => Frame::continuation(payload),
        };
        if n + 1 < ends.len() {
            fragment = fragment.not_final();
        }
        stream.extend(fragment.encode(sender));
        start = end;
    }
    stream
}

fn receive(
    messages: &mut MessageDecoder,
    inflaters: &mut Inflaters,
    stream: &[u8],
    read: usize,
) -> Vec<(MessageKind, Vec<u8>)> {
    let mut received = Vec::new();
    let mut held = Vec::new();
    for piece in stream.chunks(read) {
        held.extend_from_slice(piece);
        let mut input = &mut held[..];
        while let Some(message) = messages
            .next_message_with(&mut input, inflaters)
            .expect("no rule is broken")
        {
            received.push(match message {
                Message::Text(text) => (MessageKind::Text, text.as_bytes().to_vec()),
                Message::Binary(bytes) => (MessageKind::Binary, bytes.to_vec()),
                other => panic!("{other:?}"),
            });
        }
        held = input.to_vec();
    }
    received
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_sequence_of_messages_arrives(
        messages in prop::collection::vec(sent(), 0..12),
        is_server in any::<bool>(),
        terms in terms(),
        settings in settings(),
        read in prop_oneof![Just(1_usize), 2..40_usize, Just(16_384)],
    ) {
        let (role, sender) = if is_server {
            (Role::Server, Sender::Server)
        } else {
            (Role::Client, Sender::Client)
        };
        let mut deflaters = Deflaters::new(settings, 2);
        let mut outgoing = Outgoing::new(terms);
        let mut stream = Vec::new();
        for sent in &messages {
            let mut out = Vec::new();
            send(role, sent, &mut outgoing, &mut deflaters, &mut out);
            stream.extend(fragmented(&out, sender, &sent.cuts));
        }
        let mut inflaters = Inflaters::new(1);
        let mut decoder = MessageDecoder::new(role.peer(), Limits::default()).with_deflate(terms);
        let received = receive(&mut decoder, &mut inflaters, &stream, read);
        prop_assert_eq!(received.len(), messages.len());
        for (received, sent) in received.iter().zip(&messages) {
            prop_assert_eq!(received.0, sent.kind);
            prop_assert_eq!(&received.1, &sent.payload);
        }
        prop_assert!(decoder.is_between_messages());
    }

    #[test]
    fn what_inflates_does_so_wherever_it_is_cut(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        takeover in any::<bool>(),
        at in any::<prop::sample::Index>(),
    ) {
        let terms = DirectionTerms { takeover, ..DirectionTerms::DEFAULT };
        let limits = Limits::default().with_max_message_bytes(5_000);
        let stream = Frame::binary(payload).rsv(4).encode(Sender::Client);
        let run = |pieces: &[&[u8]]| {
            let mut messages = MessageDecoder::new(Role::Server, limits).with_deflate(terms);
            let mut inflaters = Inflaters::new(1);
            let mut held = Vec::new();
            for piece in pieces {
                held.extend_from_slice(piece);
                let mut input = &mut held[..];
                match messages.next_message_with(&mut input, &mut inflaters) {
                    Ok(Some(Message::Binary(bytes))) => return Ok(bytes.to_vec()),
                    Ok(Some(other)) => panic!("{other:?}"),
                    Ok(None) => held = input.to_vec(),
                    Err(error) => return Err(error),
                }
            }
            panic!("neither a message nor an error");
        };
        let (front, back) = stream.split_at(at.index(stream.len()));
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        let whole = run(&[&stream]);
        prop_assert_eq!(&whole, &run(&[front, back]));
        prop_assert_eq!(&whole, &run(&single));
    }
}

/// Messages that refer as far back as a window lets them.
fn corpus() -> Vec<Vec<u8>> {
    let json = |n: u32| {
        format!(
            "{{\"id\":{n},\"price\":{},\"name\":\"n{}\"}}",
            n * 7919 % 1000,
            n % 13
        )
    };
    let mut messages: Vec<Vec<u8>> = [1, 10, 100, 1000]
        .into_iter()
        .map(|count| (0..count).map(json).collect::<String>().into_bytes())
        .collect();
    // The same noise again behind every distance from 200 to 600, and around 32 KiB.
    let mut state = 1_u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for distance in (200..600).step_by(9).chain([32_500, 32_768, 33_000]) {
        let once: Vec<u8> = (0..distance).map(|_| noise()).collect();
        messages.push([&once[..], &once[..], &once[..distance / 2]].concat());
    }
    messages.push(Vec::new());
    messages.push(vec![0; 100_000]);
    messages.push(b"Hello".to_vec());
    messages
}

#[test]
fn zlib_reads_what_we_deflate_with_a_window_of_that_size_and_no_larger() {
    let mut zlib = Zlib::start();
    let corpus = corpus();
    for bits in 8..=15 {
        for level in [1, 6, 9] {
            for takeover in [false, true] {
                let settings = DeflateSettings::default()
                    .with_level(level)
                    .with_threshold_bytes(0);
                let mut deflaters = Deflaters::new(settings, 1);
                let terms = DirectionTerms {
                    takeover,
                    window_bits: WindowBits::new(bits).expect("8–15"),
                };
                let mut outgoing = Outgoing::new(terms);
                zlib.open_inflater(bits);
                for (n, message) in corpus.iter().enumerate() {
                    let mut out = Vec::new();
                    Encoder::server()
                        .deflate(
                            &mut out,
                            MessageKind::Binary,
                            message,
                            &mut outgoing,
                            &mut deflaters,
                        )
                        .expect("open");
                    let (rsv, frame) = wire::read_extended(&out, Sender::Server).expect("a frame");
                    if rsv == 0 {
                        assert_eq!(&frame.payload, message);
                        assert!(!takeover);
                        continue;
                    }
                    if !takeover {
                        zlib.open_inflater(bits);
                    }
                    let inflated = zlib.inflate(&frame.payload);
                    assert!(
                        inflated.as_ref() == Ok(message),
                        "message {n}, bits {bits}, level {level}, takeover {takeover}: {:?}",
                        inflated.map(|bytes| bytes.len())
                    );
                }
            }
        }
    }
}

#[test]
fn we_read_what_zlib_deflates_with_a_window_of_any_size() {
    let mut zlib = Zlib::start();
    for bits in 9..=15 {
        let terms = DirectionTerms {
            takeover: true,
            window_bits: WindowBits::new(bits).expect("8–15"),
        };
        let mut decoder = MessageDecoder::new(Role::Server, Limits::default()).with_deflate(terms);
        let mut inflaters = Inflaters::new(1);
        zlib.open_deflater(bits);
        for message in corpus() {
            let payload = zlib.deflate(&message);
            let stream = Frame::binary(payload).rsv(4).encode(Sender::Client);
            let received = receive(&mut decoder, &mut inflaters, &stream, 1_000);
            assert_eq!(received, [(MessageKind::Binary, message)], "bits {bits}");
        }
    }
}

#[test]
fn a_shared_frame_between_others_of_a_connection_changes_none_of_them() {
    // What the proof guards: with takeover, the same frame would make the next message another one.
    let fresh = DirectionTerms {
        takeover: false,
        window_bits: WindowBits::MAX,
    };
    assert!(FreshWindow::of(DirectionTerms::DEFAULT).is_none());
    let window = FreshWindow::of(fresh).expect("no takeover");
    let settings = DeflateSettings::default().with_threshold_bytes(0);
    let mut deflaters = Deflaters::new(settings, 1);
    let news = PreparedFrame::text("news ".repeat(50)).with_deflate();
    let shared = news.deflated(window, &mut deflaters).slices(0).concat();
    let own = "own message, own message, own message";
    let run = |terms: DirectionTerms, deflaters: &mut Deflaters| {
        let mut outgoing = Outgoing::new(terms);
        let mut stream = Vec::new();
        for part in [true, false, true] {
            if part {
                Encoder::server()
                    .deflate(
                        &mut stream,
                        MessageKind::Text,
                        own.as_bytes(),
                        &mut outgoing,
                        deflaters,
                    )
                    .expect("open");
            } else {
                stream.extend_from_slice(&shared);
            }
        }
        let mut decoder = MessageDecoder::new(Role::Client, Limits::default()).with_deflate(terms);
        let mut input = &mut stream[..];
        let mut received = Vec::new();
        while let Ok(Some(Message::Text(text))) = decoder.next_message(&mut input) {
            received.push(text.to_owned());
        }
        received
    };
    let expected = [own.to_owned(), "news ".repeat(50), own.to_owned()];
    assert_eq!(run(fresh, &mut deflaters), expected);
    assert_ne!(run(DirectionTerms::DEFAULT, &mut deflaters), expected);
}
