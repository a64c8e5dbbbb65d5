//! Compressed messages at the decoder (RFC 7692 §6, §7.2): the RFC's examples, every way to cut them, what
//! is no DEFLATE stream, limits, and memory that comes back.
//!
//! Never: compresses with what it checks, but where both ends are ours.

use fanfare_codec::deflate::{
    DeflateSettings, DeflateTerms, Deflaters, DirectionTerms, FreshWindow, Inflaters, Outgoing,
    WindowBits,
};
use fanfare_codec::{
    CloseCode, EncodeError, Encoder, Limits, Message, MessageDecoder, MessageKind, PreparedFrame,
    ProtocolError, Role, Rsv,
};
use fanfare_tests::wire::{self, Frame, Sender};

const RSV1: u8 = 4;
const TAKEOVER: DirectionTerms = DeflateTerms::DEFAULT.client;
const FRESH: DirectionTerms = DirectionTerms {
    takeover: false,
    ..TAKEOVER
};
const HELLO: &[u8] = &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];

fn decoder(terms: DirectionTerms, limits: Limits) -> MessageDecoder {
    MessageDecoder::new(Role::Server, limits).with_deflate(terms)
}

fn text(payload: &[u8]) -> Vec<u8> {
    Frame::text(payload).rsv(RSV1).encode(Sender::Client)
}

fn binary(payload: &[u8]) -> Vec<u8> {
    Frame::binary(payload).rsv(RSV1).encode(Sender::Client)
}

/// Its name, the stream, the messages that it is.
type Example = (&'static str, Vec<u8>, Vec<Vec<u8>>);

/// Everything in `stream`, given in these pieces: what came, and the error that ended it.
fn receive(
    decoder: &mut MessageDecoder,
    inflaters: &mut Inflaters,
    pieces: &[&[u8]],
) -> (Vec<Vec<u8>>, Option<ProtocolError>) {
    let mut received = Vec::new();
    let mut held = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        let mut input = &mut held[..];
        loop {
            match decoder.next_message_with(&mut input, inflaters) {
                Ok(Some(Message::Text(text))) => received.push(text.as_bytes().to_vec()),
                Ok(Some(Message::Binary(bytes) | Message::Ping(bytes))) => {
                    received.push(bytes.to_vec());
                }
                Ok(Some(message)) => panic!("{message:?}"),
                Ok(None) => break,
                Err(error) => return (received, Some(error)),
            }
        }
        held = input.to_vec();
    }
    assert!(held.is_empty(), "all of it was taken");
    (received, None)
}

/// The same whole, byte by byte and cut in two everywhere; with a pool and without.
fn receive_any_way(
    terms: DirectionTerms,
    limits: Limits,
    stream: &[u8],
) -> (Vec<Vec<u8>>, Option<ProtocolError>) {
    let mut inflaters = Inflaters::new(1);
    let whole = receive(&mut decoder(terms, limits), &mut inflaters, &[stream]);
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    let bytes = receive(&mut decoder(terms, limits), &mut inflaters, &single);
    assert_eq!(whole, bytes, "byte by byte");
    for at in 0..=stream.len() {
        let (front, back) = stream.split_at(at);
        let cut = receive(&mut decoder(terms, limits), &mut inflaters, &[front, back]);
        assert_eq!(whole, cut, "cut at {at}");
    }
    let mut alone = decoder(terms, limits);
    let mut copy = stream.to_vec();
    let mut input = &mut copy[..];
    for message in &whole.0 {
        let next = alone.next_message(&mut input).expect("the same");
        match next.expect("the same") {
            Message::Text(text) => assert_eq!(text.as_bytes(), message),
            Message::Binary(bytes) | Message::Ping(bytes) => assert_eq!(bytes, message),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(alone.next_message(&mut input).err(), whole.1);
    assert!(inflaters.living() <= 1, "all of the others have gone");
    whole
}

#[test]
fn s7_2_3_the_examples_of_the_rfc_are_read_however_they_are_cut() {
    let hello = || b"Hello".to_vec();
    let first = Frame::text(&HELLO[..3]).rsv(RSV1).not_final();
    let rest = Frame::continuation(&HELLO[3..]);
    let ping = Frame::ping(b"between".to_vec());
    let mut fragmented = first.encode(Sender::Client);
    fragmented.extend(ping.encode(Sender::Client));
    fragmented.extend(rest.encode(Sender::Client));
    let table: &[Example] = &[
        ("§7.2.3.1", text(HELLO), vec![hello()]),
        (
            "§7.2.3.1 in fragments",
            fragmented,
            vec![b"between".to_vec(), hello()],
        ),
        (
            "§7.2.3.2, the window is kept",
            [text(HELLO), text(&[0xF2, 0x00, 0x11, 0x00, 0x00])].concat(),
            vec![hello(), hello()],
        ),
        (
            "§7.2.3.2, the window is not needed",
            [text(HELLO), text(HELLO)].concat(),
            vec![hello(), hello()],
        ),
        (
            "§7.2.3.3, a stored block",
            text(&[
                0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
            ]),
            vec![hello()],
        ),
        (
            "§7.2.3.4, BFINAL",
            text(&[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00]),
            vec![hello()],
        ),
        (
            "§7.2.3.4 without its last byte, twice",
            text(&[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]).repeat(2),
            vec![hello(), hello()],
        ),
        (
            "BFINAL in the middle: what follows starts anew",
            text(&[&[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00], HELLO].concat()),
            vec![b"HelloHello".to_vec()],
        ),
        (
            "§7.2.3.5, two blocks",
            text(&[
                0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
            ]),
            vec![hello()],
        ),
        (
            "a stored block that the tail completes: it is a stream all the same (§7.2.2)",
            binary(&[0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48]),
            vec![vec![0x48, 0x00, 0x00, 0xFF, 0xFF]],
        ),
        ("§7.2.3.6, empty", text(&[0x00]), vec![vec![]]),
        ("no byte at all", text(&[]), vec![vec![]]),
        (
            "empty ones between others",
            [text(HELLO), text(&[]), text(&[0x00]), text(HELLO)].concat(),
            vec![hello(), vec![], vec![], hello()],
        ),
        (
            "not compressed, between",
            [
                text(HELLO),
                Frame::text(b"as it is".to_vec()).encode(Sender::Client),
                text(&[0xF2, 0x00, 0x11, 0x00, 0x00]),
            ]
            .concat(),
            vec![hello(), b"as it is".to_vec(), hello()],
        ),
        (
            "not compressed, in fragments, between",
            [
                text(HELLO),
                Frame::binary(b"as ".to_vec())
                    .not_final()
                    .encode(Sender::Client),
                Frame::continuation(b"it is".to_vec()).encode(Sender::Client),
                text(&[0xF2, 0x00, 0x11, 0x00, 0x00]),
            ]
            .concat(),
            vec![hello(), b"as it is".to_vec(), hello()],
        ),
    ];
    for (name, stream, expected) in table {
        let (received, error) = receive_any_way(TAKEOVER, Limits::default(), stream);
        assert_eq!((&received, error), (expected, None), "{name}");
    }
}

#[test]
fn s7_2_2_what_does_not_inflate_closes_1007_in_bounded_time() {
    let table: &[(&str, &[u8])] = &[
        ("a reserved block type", &[0x07]),
        (
            "a reserved block type behind a message",
            &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x06],
        ),
        (
            "a stored block whose lengths differ",
            &[0x00, 0x05, 0x00, 0x00, 0x00, 0x48],
        ),
        (
            "a distance past the window's start",
            &[0xF2, 0x00, 0x11, 0x00, 0x00],
        ),
        ("cut in a code", &HELLO[..4]),
        (
            "cut in a stored block",
            &[0x00, 0x07, 0x00, 0xF8, 0xFF, 0x48],
        ),
        (
            "cut in a long stored block",
            &[0x00, 0xFF, 0x00, 0x00, 0xFF, 0x48],
        ),
        ("cut in a stored block's header", &[0x00, 0x05]),
        ("behind BFINAL, garbage", &[0x03, 0x00, 0xFF]),
        ("a dynamic block with too many codes", &[0xFC, 0xFF, 0xFF]),
        ("cut in a dynamic block's header", &[0x04]),
        ("no tail's header", &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07]),
    ];
    for (name, payload) in table {
        for terms in [TAKEOVER, FRESH] {
            let (received, error) = receive_any_way(terms, Limits::default(), &binary(payload));
            assert_eq!(
                (received, error),
                (vec![], Some(ProtocolError::CorruptDeflate)),
                "{name}"
            );
        }
    }
    assert_eq!(
        ProtocolError::CorruptDeflate.close_code(),
        CloseCode::INVALID_PAYLOAD
    );
}

#[test]
fn c2_02_03_80_and_its_kin_end() {
    let mut outcomes = [0; 2];
    for first in 0..=255 {
        for second in 0..=255 {
            let stream = binary(&[first, second]);
            let mut inflaters = Inflaters::new(1);
            let mut messages = decoder(TAKEOVER, Limits::default());
            let (received, error) = receive(&mut messages, &mut inflaters, &[&stream]);
            outcomes[usize::from(error.is_some())] += 1;
            assert_eq!(
                received.len(),
                usize::from(error.is_none()),
                "{first:x} {second:x}"
            );
        }
    }
    assert_eq!(outcomes.iter().sum::<u32>(), 1 << 16);
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
    let (received, error) = receive_any_way(FRESH, Limits::default(), &binary(&[0x03, 0x80]));
    assert_eq!(
        (received, error),
        (vec![vec![]], None),
        "an empty block with BFINAL"
    );
}

#[test]
fn streams_that_give_nothing_end_the_message_however_they_come() {
    const EMPTY: [u8; 2] = [0x03, 0x00];
    let few = [&EMPTY.repeat(16)[..], HELLO].concat();
    let (received, error) = receive_any_way(FRESH, Limits::default(), &binary(&few));
    assert_eq!((received, error), (vec![b"Hello".to_vec()], None));
    for count in [17, 500, 8_000] {
        let many = binary(&EMPTY.repeat(count));
        let (received, error) = receive_any_way(FRESH, Limits::default(), &many);
        assert_eq!(
            (received, error),
            (vec![], Some(ProtocolError::CorruptDeflate)),
            "{count}"
        );
    }
}

#[test]
fn what_messages_hold_that_have_begun_is_counted_till_they_end() {
    let zeros = deflated(&vec![0; 200_000]);
    let (front, back) = zeros.split_at(zeros.len() - 20);
    let beginning = Frame::binary(front.to_vec()).rsv(RSV1).not_final();
    let end = Frame::continuation(back.to_vec());
    for terms in [TAKEOVER, FRESH] {
        let mut inflaters = Inflaters::new(1);
        let mut first = decoder(terms, Limits::default());
        let mut second = decoder(terms, Limits::default());
        let beginning = beginning.encode(Sender::Client);
        for messages in [&mut first, &mut second] {
            assert!(!messages.is_inflating());
            let (received, error) = receive(messages, &mut inflaters, &[&beginning]);
            assert_eq!((received, error), (vec![], None));
            assert!(messages.is_inflating());
        }
        let held = inflaters.message_bytes();
        assert!((360_000..2_000_000).contains(&held), "{held}");
        let end = end.encode(Sender::Client);
        let (received, error) = receive(&mut first, &mut inflaters, &[&end]);
        assert_eq!((received.len(), error), (1, None));
        assert!(!first.is_inflating());
        assert!((180_000..=held / 2).contains(&inflaters.message_bytes()));
        drop(second);
        assert_eq!(inflaters.message_bytes(), 0);
    }
}

#[test]
fn s6_rsv1_stands_on_first_frames_of_messages_only() {
    let cases = [
        Frame::ping(b"".to_vec()).rsv(RSV1).encode(Sender::Client),
        [
            Frame::text(HELLO)
                .rsv(RSV1)
                .not_final()
                .encode(Sender::Client),
            Frame::continuation(b"".to_vec())
                .rsv(RSV1)
                .encode(Sender::Client),
        ]
        .concat(),
    ];
    for stream in &cases {
        let (received, error) = receive_any_way(TAKEOVER, Limits::default(), stream);
        assert_eq!(
            (received, error),
            (vec![], Some(ProtocolError::ReservedBits(Rsv::RSV1)))
        );
    }
    let mut without = MessageDecoder::new(Role::Server, Limits::default());
    let (_, error) = receive(&mut without, &mut Inflaters::new(1), &[&text(HELLO)]);
    assert_eq!(
        error,
        Some(ProtocolError::ReservedBits(Rsv::RSV1)),
        "not agreed on"
    );
    for bits in [2, 1, RSV1 | 2] {
        let stream = Frame::text(HELLO).rsv(bits).encode(Sender::Client);
        let (_, error) = receive_any_way(TAKEOVER, Limits::default(), &stream);
        assert!(
            matches!(error, Some(ProtocolError::ReservedBits(_))),
            "{bits}"
        );
    }
}

/// Our own compressor's payload of `message`.
fn deflated(message: &[u8]) -> Vec<u8> {
    let settings = DeflateSettings::default().with_threshold_bytes(0);
    let mut deflaters = Deflaters::new(settings, 1);
    let mut out = Vec::new();
    let mut outgoing = Outgoing::new(TAKEOVER);
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
    assert_eq!(rsv, RSV1);
    frame.payload
}

#[test]
fn the_message_limit_is_of_inflated_bytes() {
    for len in [0_usize, 1, 255, 256, 257, 4_000, 16_384, 16_385, 70_000] {
        let zeros = vec![0; len];
        let noise: Vec<u8> = (0..len)
            .map(|i| (i * i * 7 + i / 3).to_le_bytes()[0])
            .collect();
        for message in [&zeros, &noise] {
            let stream = binary(&deflated(message));
            let limit = |bytes: usize| Limits::default().with_max_message_bytes(bytes as u64);
            let mut inflaters = Inflaters::new(1);
            let mut exact = decoder(FRESH, limit(len));
            let (received, error) = receive(&mut exact, &mut inflaters, &[&stream]);
            assert_eq!(
                (&received[..], error),
                (&[message.clone()][..], None),
                "{len}"
            );
            if len > 0 {
                let mut short = decoder(FRESH, limit(len - 1));
                let (received, error) = receive(&mut short, &mut inflaters, &[&stream]);
                assert!(received.is_empty());
                let error = error.expect("past the limit");
                assert_eq!(
                    error.close_code(),
                    CloseCode::MESSAGE_TOO_BIG,
                    "{len}: {error}"
                );
            }
        }
    }
}

#[test]
fn a_message_of_empty_blocks_ends_at_the_limit_too() {
    let payload = [0x00, 0x00, 0x00, 0xFF, 0xFF].repeat(2_000);
    let limits = Limits::default().with_max_message_bytes(1_000);
    let (_, error) = receive(
        &mut decoder(FRESH, limits),
        &mut Inflaters::new(1),
        &[&binary(&payload)],
    );
    assert_eq!(error, Some(ProtocolError::MessageTooLong(10_000)));
}

#[test]
fn rfc6455_s8_1_text_is_validated_as_it_is_inflated() {
    let mut message = vec![b'a'; 40_000];
    message.extend_from_slice(b"\xED\xA0");
    message.extend_from_slice(&[b'b'; 40_000]);
    let payload = deflated(&message);
    // A limit that the rest would pass: the bad byte comes first.
    let limits = Limits::default().with_max_message_bytes(60_000);
    let mut inflaters = Inflaters::new(1);
    let (_, error) = receive(
        &mut decoder(FRESH, limits),
        &mut inflaters,
        &[&text(&payload)],
    );
    assert_eq!(
        error,
        Some(ProtocolError::InvalidUtf8 {
            valid_up_to: 40_000
        })
    );

    let korean = "한국어 메시지 ".repeat(20);
    let (received, error) = receive_any_way(
        FRESH,
        Limits::default(),
        &text(&deflated(korean.as_bytes())),
    );
    assert_eq!((received, error), (vec![korean.clone().into_bytes()], None));
    let unfinished = &korean.as_bytes()[..31];
    let (received, error) = receive_any_way(FRESH, Limits::default(), &text(&deflated(unfinished)));
    assert!(received.is_empty());
    assert!(
        matches!(error, Some(ProtocolError::InvalidUtf8 { .. })),
        "{error:?}"
    );
    let (received, error) =
        receive_any_way(FRESH, Limits::default(), &binary(&deflated(unfinished)));
    assert_eq!((received, error), (vec![unfinished.to_vec()], None));
}

#[test]
fn an_inflater_is_lent_for_a_message_and_kept_for_a_window() {
    let mut inflaters = Inflaters::new(2);
    let mut fresh: Vec<MessageDecoder> =
        (0..10).map(|_| decoder(FRESH, Limits::default())).collect();
    for connection in &mut fresh {
        receive(connection, &mut inflaters, &[&text(HELLO)]);
    }
    assert_eq!(
        (inflaters.living(), inflaters.idle()),
        (1, 1),
        "one after another"
    );

    let stream = text(HELLO);
    for connection in &mut fresh {
        receive(connection, &mut inflaters, &[&stream[..8]]);
    }
    assert_eq!(
        (inflaters.living(), inflaters.idle()),
        (10, 0),
        "all at once"
    );
    for connection in &mut fresh {
        assert_eq!(
            receive(connection, &mut inflaters, &[&stream[8..]]).0.len(),
            1
        );
    }
    assert_eq!(
        (inflaters.living(), inflaters.idle()),
        (2, 2),
        "no more is kept"
    );

    let mut kept: Vec<MessageDecoder> = (0..5)
        .map(|_| decoder(TAKEOVER, Limits::default()))
        .collect();
    assert_eq!(inflaters.living(), 2, "nothing before the first message");
    for connection in &mut kept {
        receive(connection, &mut inflaters, &[&text(HELLO)]);
    }
    assert_eq!((inflaters.living(), inflaters.idle()), (5, 0));
    drop(kept);
    assert_eq!(inflaters.living(), 0);
}

#[test]
fn a_shared_frame_is_made_once_a_window_size_and_stays_plain_where_that_is_better() {
    let mut deflaters = Deflaters::new(DeflateSettings::default(), 7);
    let windows: Vec<FreshWindow> = (8..=15)
        .map(|bits| {
            FreshWindow::of(DirectionTerms {
                takeover: false,
                window_bits: WindowBits::new(bits).expect("8–15"),
            })
            .expect("no takeover")
        })
        .collect();
    let news = PreparedFrame::text("news ".repeat(200)).with_deflate();
    for _ in 0..3 {
        for window in &windows {
            let frame = news.clone().deflated(*window, &mut deflaters);
            assert_eq!(frame.slices(0)[0][0], 0xC1, "text, RSV1");
            assert!(frame.len() < news.len());
        }
    }
    assert_eq!(deflaters.deflated(), 8, "once a size");

    let short = PreparedFrame::text("news").with_deflate();
    assert_eq!(short.deflated(windows[0], &mut deflaters), short);
    let unasked = PreparedFrame::text("news ".repeat(200));
    assert_eq!(
        unasked.deflated(windows[0], &mut deflaters).slices(0),
        unasked.slices(0)
    );
    let ping = PreparedFrame::ping().with_deflate();
    assert_eq!(
        ping.deflated(windows[0], &mut deflaters).slices(0),
        ping.slices(0)
    );
    assert_eq!(deflaters.deflated(), 8);

    let mut state = 1_u32;
    let noise: Vec<u8> = (0..1_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let noise = PreparedFrame::binary(noise).with_deflate();
    for _ in 0..3 {
        let frame = noise.deflated(windows[7], &mut deflaters);
        assert_eq!(frame.slices(0)[0][0], 0x82, "no smaller: as it is");
    }
    assert_eq!(deflaters.deflated(), 9, "and that is remembered");
}

#[test]
fn nothing_is_compressed_where_no_message_may_begin() {
    let mut deflaters = Deflaters::new(DeflateSettings::default(), 1);
    let mut outgoing = Outgoing::new(TAKEOVER);
    let payload = [b'a'; 1_000];
    let mut out = Vec::new();
    let mut encoder = Encoder::server();
    encoder
        .begin(&mut out, MessageKind::Text, b"a")
        .expect("open");
    let refused = encoder.deflate(
        &mut out,
        MessageKind::Text,
        &payload,
        &mut outgoing,
        &mut deflaters,
    );
    assert_eq!(refused, Err(EncodeError::InsideMessage));
    encoder.close(&mut out, None);
    let refused = encoder.deflate(
        &mut out,
        MessageKind::Text,
        &payload,
        &mut outgoing,
        &mut deflaters,
    );
    assert_eq!(refused, Err(EncodeError::Closed));
    assert_eq!((deflaters.deflated(), outgoing.holds_context()), (0, false));
}
