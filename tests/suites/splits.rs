//! Any byte stream, cut anywhere, gives the same events and the same error: legal streams, legal ones
//! with some bytes changed, and noise.
//!
//! Never: cares what the events are (see the catalogue), only that no cut changes them.

use bytes::BytesMut;
use fanfare_codec::handshake::{HeadLimits, RequestDecoder, ResponseDecoder};
use fanfare_codec::{
    Encoder, FrameDecoder, FrameEvent, Isa, Kernel, Limits, Message, MessageDecoder, ProtocolError,
    Role, UNCONSUMED_BYTES_MAX,
};
use fanfare_tests::wire::{Frame, Sender};
use proptest::prelude::*;

const LIMITS: Limits = Limits::DEFAULT
    .with_max_frame_bytes(400)
    .with_max_message_bytes(600)
    .with_max_fragments(6);

/// What came out, in a form that no cut may change: payload pieces put together again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Trace {
    events: Vec<String>,
    /// Of a data frame that is not whole.
    pending: Vec<u8>,
    error: Option<ProtocolError>,
}

impl Trace {
    fn frame_event<B: AsRef<[u8]>>(&mut self, event: &FrameEvent<B>) {
        match event {
            FrameEvent::Header(header) => {
                assert!(self.pending.is_empty(), "a header inside a frame");
                self.events.push(format!("{header:?}"));
            }
            FrameEvent::Payload(piece) => {
                assert_eq!(
                    piece.offset,
                    self.pending.len() as u64,
                    "a hole between two pieces"
                );
                self.pending.extend_from_slice(piece.data.as_ref());
                if piece.ends_frame {
                    self.events
                        .push(format!("payload {:?}", std::mem::take(&mut self.pending)));
                }
            }
            FrameEvent::Control(control) => {
                let payload = control.payload.as_ref();
                self.events
                    .push(format!("{:?} {payload:?}", control.opcode));
            }
        }
    }
}

/// The borrowed front of the frame decoder.
fn frames_borrowed<'p>(role: Role, pieces: impl IntoIterator<Item = &'p [u8]>) -> Trace {
    let mut decoder = FrameDecoder::new(role, LIMITS.max_frame_bytes);
    let (mut trace, mut kept) = (Trace::default(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut input = &mut kept[..];
        let total = input.len();
        loop {
            match decoder.next_event(&mut input) {
                Ok(Some(event)) => trace.frame_event(&event),
                Ok(None) => {
                    assert!(
                        input.len() <= UNCONSUMED_BYTES_MAX,
                        "{} bytes kept",
                        input.len()
                    );
                    break;
                }
                Err(error) => {
                    let left = input.len();
                    assert_eq!(
                        decoder.next_event(&mut input),
                        Err(error),
                        "an error is final"
                    );
                    assert_eq!(input.len(), left, "an error consumes nothing");
                    let mut fresh = Frame::ping("").encode(sender_to(role));
                    let later = decoder.next_event(&mut &mut fresh[..]);
                    assert_eq!(later, Err(error), "not even a legal frame ends an error");
                    trace.error = Some(error);
                    return trace;
                }
            }
        }
        let used = total - input.len();
        kept.drain(..used);
    }
    trace
}

/// The owned front.
fn frames_owned<'p>(role: Role, pieces: impl IntoIterator<Item = &'p [u8]>) -> Trace {
    let mut decoder = FrameDecoder::new(role, LIMITS.max_frame_bytes);
    let (mut trace, mut kept) = (Trace::default(), BytesMut::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            match decoder.next_owned(&mut kept) {
                Ok(Some(event)) => trace.frame_event(&event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(
                        decoder.next_owned(&mut kept),
                        Err(error),
                        "an error is final"
                    );
                    let mut fresh = BytesMut::from(&Frame::ping("").encode(sender_to(role))[..]);
                    let later = decoder.next_owned(&mut fresh);
                    assert_eq!(later, Err(error), "not even a legal frame ends an error");
                    trace.error = Some(error);
                    return trace;
                }
            }
        }
        assert!(
            kept.len() <= UNCONSUMED_BYTES_MAX,
            "{} bytes kept",
            kept.len()
        );
    }
    trace
}

fn messages<'p>(role: Role, pieces: impl IntoIterator<Item = &'p [u8]>) -> Trace {
    let mut decoder = MessageDecoder::new(role, LIMITS);
    let (mut trace, mut kept) = (Trace::default(), Vec::new());
    let mut closed = false;
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut input = &mut kept[..];
        let total = input.len();
        loop {
            match decoder.next_message(&mut input) {
                Ok(Some(message)) => {
                    assert!(!closed, "{message:?} after a close");
                    closed = matches!(message, Message::Close(_));
                    trace.events.push(format!("{message:?}"));
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(!closed, "{error:?} after a close");
                    assert_eq!(
                        decoder.next_message(&mut input),
                        Err(error),
                        "an error is final"
                    );
                    let mut fresh = Frame::ping("").encode(sender_to(role));
                    let later = decoder.next_message(&mut &mut fresh[..]);
                    assert_eq!(later, Err(error), "not even a legal frame ends an error");
                    trace.error = Some(error);
                    return trace;
                }
            }
        }
        let used = total - input.len();
        kept.drain(..used);
        assert!(
            kept.len() <= UNCONSUMED_BYTES_MAX,
            "{} bytes kept",
            kept.len()
        );
    }
    trace
}

/// What a server echoes, and the error that ends it: in place where it can, or never.
fn echoes<'p>(
    limits: Limits,
    in_place: bool,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<u8>, Option<ProtocolError>) {
    let mut decoder = MessageDecoder::new(Role::Server, limits);
    let mut encoder = Encoder::server();
    let (mut replies, mut kept) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut input = &mut kept[..];
        let total = input.len();
        loop {
            if in_place {
                replies.extend_from_slice(decoder.echo_in_place(&mut input));
            }
            let encoded = match decoder.next_message(&mut input) {
                Ok(Some(Message::Text(text))) => encoder.text(&mut replies, text),
                Ok(Some(Message::Binary(bytes))) => encoder.binary(&mut replies, bytes),
                Ok(Some(Message::Ping(payload))) => encoder.pong(&mut replies, payload),
                Ok(Some(Message::Pong(_))) => Ok(()),
                Ok(Some(Message::Close(close))) => {
                    encoder.close(&mut replies, close);
                    return (replies, None);
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(decoder.echo_in_place(&mut input).is_empty(), "final");
                    return (replies, Some(error));
                }
            };
            encoded.expect("an answer is no longer than what it answers");
        }
        let used = total - input.len();
        kept.drain(..used);
        assert!(kept.len() <= UNCONSUMED_BYTES_MAX);
    }
    (replies, None)
}

/// Each decoder over `bytes`: whole, byte by byte, cut once anywhere, and at `cuts`.
fn assert_no_cut_matters(role: Role, bytes: &[u8], cuts: &[usize]) {
    let show = || bytes.escape_ascii().to_string();
    let pieces = cut_at(bytes, cuts);
    let wholes = [
        frames_borrowed(role, [bytes]),
        frames_owned(role, [bytes]),
        messages(role, [bytes]),
    ];
    assert_eq!(wholes[0], wholes[1], "the two fronts differ: {}", show());
    type Run = for<'a, 'b> fn(Role, &'a [&'b [u8]]) -> Trace;
    let runs: [Run; 3] = [
        |role, pieces| frames_borrowed(role, pieces.iter().copied()),
        |role, pieces| frames_owned(role, pieces.iter().copied()),
        |role, pieces| messages(role, pieces.iter().copied()),
    ];
    for (n, (run, whole)) in runs.iter().zip(&wholes).enumerate() {
        assert_eq!(
            run(role, &pieces),
            *whole,
            "decoder {n}, cuts {cuts:?}: {}",
            show()
        );
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(
            run(role, &single),
            *whole,
            "decoder {n}, byte by byte: {}",
            show()
        );
        let step = 1 + bytes.len() / 150;
        for cut in (0..=bytes.len()).step_by(step) {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(
                run(role, &[left, right]),
                *whole,
                "decoder {n}, cut at {cut}: {}",
                show()
            );
        }
    }
}

fn cut_at<'b>(bytes: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

/// Frames that are mostly legal by themselves; their order need not be.
fn frame() -> impl Strategy<Value = Frame> {
    let payload = prop_oneof![
        6 => prop::collection::vec(any::<char>(), 0..12)
            .prop_map(|chars| chars.into_iter().collect::<String>().into_bytes()),
        3 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (100..140_usize).prop_map(|len| vec![b'a'; len]),
        1 => (395..405_usize).prop_map(|len| vec![b'b'; len]),
    ];
    let opcode = prop_oneof![
        4 => Just(0_u8), 6 => Just(1), 4 => Just(2), 2 => Just(9), 2 => Just(10), 1 => Just(8), 1 => 0..16_u8,
    ];
    let key = prop_oneof![Just([0; 4]), any::<[u8; 4]>()];
    (opcode, payload, prop::bool::weighted(0.6), key).prop_map(|(opcode, payload, fin, key)| {
        let payload = if opcode >= 8 {
            payload.into_iter().take(125).collect()
        } else {
            payload
        };
        let frame = Frame::new(opcode, payload).key(key);
        if fin || opcode >= 8 {
            frame
        } else {
            frame.not_final()
        }
    })
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

const fn sender_to(role: Role) -> Sender {
    match role {
        Role::Server => Sender::Client,
        Role::Client => Sender::Server,
    }
}

fn stream(role: Role, frames: &[Frame]) -> Vec<u8> {
    frames
        .iter()
        .flat_map(|frame| frame.encode(sender_to(role)))
        .collect()
}

fn mutate(bytes: &mut Vec<u8>, edits: &[(u8, prop::sample::Index, u8)]) {
    for (kind, at, byte) in edits {
        if bytes.is_empty() {
            return;
        }
        let at = at.index(bytes.len());
        match kind % 4 {
            0 => bytes[at] = *byte,
            1 => bytes[at] ^= 1 << (byte % 8),
            2 => bytes.insert(at, *byte),
            _ => {
                bytes.remove(at);
            }
        }
    }
}

fn edits() -> impl Strategy<Value = Vec<(u8, prop::sample::Index, u8)>> {
    prop::collection::vec(
        (any::<u8>(), any::<prop::sample::Index>(), any::<u8>()),
        0..4,
    )
}

const REQUEST: &str = "GET /chat?a=b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n\x01frames";
const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x01frames";
const HEAD_LIMITS: HeadLimits = HeadLimits::DEFAULT
    .with_max_head_bytes(300)
    .with_max_headers(8);

/// The outcome of a request decoder shown ever more of `bytes`, `ends` being how far each time; and
/// which of them decided.
fn request_outcome(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> (String, usize) {
    let mut decoder = RequestDecoder::new(HEAD_LIMITS);
    for end in ends {
        match decoder.decode(&bytes[..end]) {
            Ok(None) => {}
            Ok(Some(request)) => {
                let upgrade = request.upgrade().map(|upgrade| format!("{upgrade:?}"));
                return (format!("{request:?} {upgrade:?}"), end);
            }
            Err(error) => return (format!("{error:?}"), end),
        }
    }
    ("unfinished".to_owned(), bytes.len())
}

fn response_outcome(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> (String, usize) {
    let mut decoder = ResponseDecoder::new(HEAD_LIMITS);
    for end in ends {
        match decoder.decode(&bytes[..end]) {
            Ok(None) => {}
            Ok(Some(response)) => return (format!("{response:?}"), end),
            Err(error) => return (format!("{error:?}"), end),
        }
    }
    ("unfinished".to_owned(), bytes.len())
}

fn assert_no_cut_matters_to_heads(bytes: &[u8]) {
    type Outcome = fn(&[u8], Vec<usize>) -> (String, usize);
    let both: [Outcome; 2] = [
        |bytes, ends| request_outcome(bytes, ends),
        |bytes, ends| response_outcome(bytes, ends),
    ];
    for (n, outcome) in both.iter().enumerate() {
        let show = || format!("decoder {n}: {}", bytes.escape_ascii());
        let (whole, _) = outcome(bytes, vec![bytes.len()]);
        let (single, decided) = outcome(bytes, (1..=bytes.len()).collect());
        assert_eq!(single, whole, "byte by byte, {}", show());
        for cut in 1..bytes.len() {
            let (got, at) = outcome(bytes, vec![cut, bytes.len()]);
            assert_eq!(got, whole, "cut at {cut}, {}", show());
            // Decided as early as the bytes allow, so never later than byte by byte.
            assert_eq!(
                at == cut,
                decided <= cut,
                "cut at {cut}, decided at {decided}, {}",
                show()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_frames_gives_the_same_events(
        role in role(),
        frames in prop::collection::vec(frame(), 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        assert_no_cut_matters(role, &stream(role, &frames), &cuts);
    }

    #[test]
    fn any_cut_of_changed_frames_gives_the_same_events(
        role in role(),
        frames in prop::collection::vec(frame(), 1..6),
        edits in edits(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut bytes = stream(role, &frames);
        mutate(&mut bytes, &edits);
        assert_no_cut_matters(role, &bytes, &cuts);
    }

    #[test]
    fn any_cut_of_changed_frames_is_echoed_in_place_as_the_encoder_answers_it(
        frames in prop::collection::vec(frame(), 0..8),
        edits in edits(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut bytes = stream(Role::Server, &frames);
        mutate(&mut bytes, &edits);
        let wanted = echoes(LIMITS, false, [&bytes[..]]);
        for pieces in [vec![&bytes[..]], cut_at(&bytes, &cuts), bytes.chunks(1).collect()] {
            prop_assert_eq!(&echoes(LIMITS, true, pieces), &wanted, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn any_cut_of_noise_gives_the_same_events(
        role in role(),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        assert_no_cut_matters(role, &bytes, &cuts);
    }

    #[test]
    fn any_cut_of_a_head_gives_the_same_outcome(which in any::<bool>(), edits in edits()) {
        let mut bytes = if which { REQUEST } else { RESPONSE }.as_bytes().to_vec();
        mutate(&mut bytes, &edits);
        assert_no_cut_matters_to_heads(&bytes);
    }

    #[test]
    fn any_cut_of_noise_gives_the_same_head(
        start in prop_oneof![Just(""), Just("GET / HTTP/1.1\r\n"), Just("HTTP/1.1 101 x\r\n")],
        noise in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            prop::collection::vec(prop::sample::select(b"\r\n: aH\t\0,".to_vec()), 0..60),
        ],
    ) {
        assert_no_cut_matters_to_heads(&[start.as_bytes(), &noise].concat());
    }
}

#[test]
fn unmodified_heads_are_the_same_at_every_cut() {
    assert_no_cut_matters_to_heads(REQUEST.as_bytes());
    assert_no_cut_matters_to_heads(RESPONSE.as_bytes());
    let (outcome, decided) = request_outcome(REQUEST.as_bytes(), 1..=REQUEST.len());
    assert!(outcome.contains("Upgrade"), "{outcome}");
    assert_eq!(decided, REQUEST.len() - "\x01frames".len());
}

/// Found by `any_cut_of_noise_gives_the_same_head`: the answer used to depend on whether the line's end
/// had come with its first byte.
#[test]
fn a_line_that_breaks_two_rules_is_refused_for_the_first_at_every_cut() {
    for bytes in [&b" \n"[..], b"\0\n", b"\x16\x03\x01\n", b"\r\n \n"] {
        assert_no_cut_matters_to_heads(bytes);
    }
}

#[test]
fn a_client_echoes_nothing_in_place() {
    let mut received = Frame::text("Hi").encode(Sender::Server);
    let mut input = &mut received[..];
    let mut decoder = MessageDecoder::new(Role::Client, LIMITS);
    assert!(decoder.echo_in_place(&mut input).is_empty());
    assert_eq!(
        decoder.next_message(&mut input),
        Ok(Some(Message::Text("Hi")))
    );
}

/// Each kernel in turn, wherever one is chosen. Other tests of this process run on whichever it is then,
/// which must not show.
#[test]
fn large_frames_are_the_same_at_every_cut_on_every_kernel() {
    for kernel in Isa::ALL.iter().filter_map(|&isa| Kernel::force(isa).ok()) {
        kernel.use_everywhere();
        large_frames_are_the_same_at_every_cut();
    }
}

/// Every length form, texts of several kernels' blocks, and a bad byte far inside.
fn large_frames_are_the_same_at_every_cut() {
    let korean = "한국어 🎉 ".repeat(5_000);
    let mut broken = korean.clone().into_bytes();
    broken[40_000] = 0xFF;
    let stream: Vec<u8> = [
        Frame::text(korean.as_bytes()),
        Frame::binary(vec![0xA5; 65_536]),
        Frame::text(&korean.as_bytes()[..300]),
        Frame::text(broken),
    ]
    .iter()
    .flat_map(|frame| frame.encode(Sender::Client))
    .collect();
    let echoed = echoes(Limits::DEFAULT, false, [&stream[..]]);
    assert_eq!(echoes(Limits::DEFAULT, true, [&stream[..]]), echoed);
    for len in [1_000, 16_384, 200_000] {
        let pieces = stream.chunks(len);
        assert_eq!(echoes(Limits::DEFAULT, true, pieces), echoed, "echo, {len}");
    }
    let whole = large_messages([&stream[..]]);
    assert_eq!(whole.0.len(), 3);
    assert_eq!(
        whole.1,
        Some(ProtocolError::InvalidUtf8 {
            valid_up_to: 40_000
        })
    );
    for cut in (0..40).chain((40..stream.len()).step_by(4_999)) {
        let (left, right) = stream.split_at(cut);
        assert_eq!(large_messages([left, right]), whole, "cut at {cut}");
    }
    for len in [1, 3, 64, 1_000, 16_384] {
        assert_eq!(large_messages(stream.chunks(len)), whole, "pieces of {len}");
    }
}

type Outcome = (Vec<Vec<u8>>, Option<ProtocolError>);

fn large_messages<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let mut decoder = MessageDecoder::new(Role::Server, Limits::DEFAULT);
    let (mut messages, mut kept) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut input = &mut kept[..];
        loop {
            match decoder.next_message(&mut input) {
                Ok(Some(Message::Text(text))) => messages.push(text.as_bytes().to_vec()),
                Ok(Some(Message::Binary(bytes))) => messages.push(bytes.to_vec()),
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        kept = input.to_vec();
    }
    (messages, None)
}

/// A caller reads into the spare capacity next: whoever took it would leave 64-byte reads.
#[test]
fn next_owned_leaves_the_spare_capacity() {
    let mut input = BytesMut::with_capacity(64 << 10);
    input.extend_from_slice(&Frame::text("whole").encode(Sender::Client));
    let mut decoder = FrameDecoder::new(Role::Server, 100);
    while decoder.next_owned(&mut input).unwrap().is_some() {}
    assert!(input.is_empty());
    assert!(input.capacity() > 60 << 10, "{} left", input.capacity());
}
