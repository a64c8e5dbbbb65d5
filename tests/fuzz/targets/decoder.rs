//! Any bytes, whole and cut where the fuzzer likes: the same events from both fronts of the frame
//! decoder and from the message decoder, the same error, the same echo in place as encoded, and nothing
//! kept that was promised not to be.
//!
//! Input: a byte of options (the role, RSV1, the kernel), a byte n, n cuts (two bytes each, big-endian), then the stream.
//!
//! Never: judges what an event should be; the conformance catalogue does.
#![no_main]

use bytes::BytesMut;
use fanfare_codec::{
    AllowedRsv, Encoder, FrameDecoder, FrameEvent, Isa, Kernel, Limits, Message, MessageDecoder,
    ProtocolError, Role, Rsv, UNCONSUMED_BYTES_MAX,
};
use fanfare_fuzz::options_and_cuts;
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits::DEFAULT
    .with_max_frame_bytes(2_000)
    .with_max_message_bytes(3_000)
    .with_max_fragments(8);

#[derive(Debug, PartialEq)]
enum Event {
    Header(fanfare_codec::Header),
    /// All pieces of a frame; `true` if it ended.
    Payload(Vec<u8>, bool),
    Control(fanfare_codec::Opcode, Vec<u8>),
}

#[derive(Debug, PartialEq)]
struct Trace<E> {
    events: Vec<E>,
    error: Option<ProtocolError>,
}

struct Options {
    role: Role,
    allowed: AllowedRsv,
}

fuzz_target!(|input: &[u8]| {
    let Some((options, cuts, stream)) = options_and_cuts(input) else {
        return;
    };
    let options = Options {
        role: if options & 1 == 0 {
            Role::Server
        } else {
            Role::Client
        },
        allowed: AllowedRsv::per_message(if options & 2 == 0 {
            Rsv::NONE
        } else {
            Rsv::RSV1
        }),
    };
    let pieces = cut(stream, cuts);
    // Two bits choose the kernel: one of those that this CPU has.
    let isa = Isa::ALL[usize::from(input[0] >> 2) % Isa::ALL.len()];
    if let Ok(kernel) = Kernel::force(isa) {
        kernel.use_everywhere();
    }

    let whole = frames_borrowed(&options, &[stream]);
    assert_eq!(whole, frames_borrowed(&options, &pieces), "borrowed, cut");
    assert_eq!(whole, frames_owned(&options, &[stream]), "owned, whole");
    assert_eq!(whole, frames_owned(&options, &pieces), "owned, cut");
    let messages_whole = messages(&options, &[stream]);
    assert_eq!(messages_whole, messages(&options, &pieces), "messages, cut");
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(
        messages_whole,
        messages(&options, &single),
        "messages, byte by byte"
    );
    let echoed = echoes(&[stream], false);
    assert_eq!(echoed, echoes(&[stream], true), "echo in place, whole");
    assert_eq!(echoed, echoes(&pieces, true), "echo in place, cut");
});

/// What a server echoes: in place where it can, or never.
fn echoes(pieces: &[&[u8]], in_place: bool) -> Trace<u8> {
    let mut decoder = MessageDecoder::new(Role::Server, LIMITS);
    let mut encoder = Encoder::server();
    let (mut events, mut kept, mut error) = (Vec::new(), Vec::new(), None);
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut input = &mut kept[..];
        let total = input.len();
        loop {
            if in_place {
                events.extend_from_slice(decoder.echo_in_place(&mut input));
            }
            let encoded = match decoder.next_message(&mut input) {
                Ok(Some(Message::Text(text))) => encoder.text(&mut events, text),
                Ok(Some(Message::Binary(bytes))) => encoder.binary(&mut events, bytes),
                Ok(Some(Message::Ping(payload))) => encoder.pong(&mut events, payload),
                Ok(Some(Message::Pong(_) | Message::Close(_))) => Ok(()),
                Ok(None) => break,
                Err(e) => {
                    error = Some(e);
                    break;
                }
            };
            encoded.expect("an answer is no longer than what it answers");
        }
        if error.is_some() {
            break;
        }
        let used = total - input.len();
        kept.drain(..used);
    }
    Trace { events, error }
}

/// An empty ping, as the peer of `role` sends it.
fn legal_frame(role: Role) -> Vec<u8> {
    match role {
        Role::Server => b"\x89\x80\x01\x02\x03\x04".to_vec(),
        Role::Client => b"\x89\x00".to_vec(),
    }
}

fn cut<'s>(stream: &'s [u8], cuts: &[u8]) -> Vec<&'s [u8]> {
    let mut cuts: Vec<usize> = cuts
        .chunks_exact(2)
        .map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]])) % (stream.len() + 1))
        .chain([0, stream.len()])
        .collect();
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &stream[pair[0]..pair[1]])
        .collect()
}

/// Notes an event; pieces of one payload are put together, and must lie behind each other.
fn note<B: AsRef<[u8]>>(events: &mut Vec<Event>, event: FrameEvent<B>) {
    match event {
        FrameEvent::Header(header) => {
            assert!(header.payload_len <= LIMITS.max_frame_bytes && !header.opcode.is_control());
            events.push(Event::Header(header));
        }
        FrameEvent::Payload(piece) => {
            if let Some(Event::Payload(so_far, ended @ false)) = events.last_mut() {
                assert_eq!(piece.offset, so_far.len() as u64);
                so_far.extend_from_slice(piece.data.as_ref());
                *ended = piece.ends_frame;
            } else {
                assert_eq!(piece.offset, 0);
                events.push(Event::Payload(
                    piece.data.as_ref().to_vec(),
                    piece.ends_frame,
                ));
            }
        }
        FrameEvent::Control(control) => {
            assert!(control.opcode.is_control() && control.payload.as_ref().len() <= 125);
            events.push(Event::Control(
                control.opcode,
                control.payload.as_ref().to_vec(),
            ));
        }
    }
}

fn frames_borrowed(options: &Options, pieces: &[&[u8]]) -> Trace<Event> {
    let mut decoder =
        FrameDecoder::new(options.role, LIMITS.max_frame_bytes).with_allowed_rsv(options.allowed);
    let (mut events, mut kept) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut input = &mut kept[..];
        let total = input.len();
        loop {
            match decoder.next_event(&mut input) {
                Ok(Some(event)) => note(&mut events, event),
                Ok(None) => break,
                Err(error) => {
                    let left = input.len();
                    assert_eq!(decoder.next_event(&mut input), Err(error));
                    assert_eq!(input.len(), left, "an error consumes nothing");
                    let mut fresh = legal_frame(options.role);
                    assert_eq!(decoder.next_event(&mut &mut fresh[..]), Err(error), "final");
                    return Trace {
                        events,
                        error: Some(error),
                    };
                }
            }
        }
        let used = total - input.len();
        kept.drain(..used);
        assert!(kept.len() <= UNCONSUMED_BYTES_MAX);
    }
    Trace {
        events,
        error: None,
    }
}

fn frames_owned(options: &Options, pieces: &[&[u8]]) -> Trace<Event> {
    let mut decoder =
        FrameDecoder::new(options.role, LIMITS.max_frame_bytes).with_allowed_rsv(options.allowed);
    let (mut events, mut kept) = (Vec::new(), BytesMut::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            match decoder.next_owned(&mut kept) {
                Ok(Some(event)) => note(&mut events, event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_owned(&mut kept), Err(error));
                    return Trace {
                        events,
                        error: Some(error),
                    };
                }
            }
        }
        assert!(kept.len() <= UNCONSUMED_BYTES_MAX);
    }
    Trace {
        events,
        error: None,
    }
}

fn messages(options: &Options, pieces: &[&[u8]]) -> Trace<String> {
    let mut decoder = MessageDecoder::new(options.role, LIMITS);
    let (mut events, mut kept, mut closed) = (Vec::new(), Vec::new(), false);
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut input = &mut kept[..];
        let total = input.len();
        loop {
            match decoder.next_message(&mut input) {
                Ok(Some(message)) => {
                    assert!(!closed, "{message:?} after a close");
                    check(&message);
                    closed = matches!(message, Message::Close(_));
                    events.push(format!("{message:?}"));
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(!closed, "{error:?} after a close");
                    assert_eq!(decoder.next_message(&mut input), Err(error));
                    let mut fresh = legal_frame(options.role);
                    assert_eq!(
                        decoder.next_message(&mut &mut fresh[..]),
                        Err(error),
                        "final"
                    );
                    assert!(error.close_code().is_allowed_on_wire());
                    return Trace {
                        events,
                        error: Some(error),
                    };
                }
            }
        }
        let used = total - input.len();
        kept.drain(..used);
        assert!(kept.len() <= UNCONSUMED_BYTES_MAX);
    }
    Trace {
        events,
        error: None,
    }
}

fn check(message: &Message<'_>) {
    match message {
        Message::Text(text) => {
            // A `str` that is not UTF-8 would be undefined behaviour further on: look at it again.
            assert!(std::str::from_utf8(text.as_bytes()).is_ok());
            assert!(text.len() as u64 <= LIMITS.max_message_bytes);
        }
        Message::Binary(bytes) => assert!(bytes.len() as u64 <= LIMITS.max_message_bytes),
        Message::Ping(payload) | Message::Pong(payload) => assert!(payload.len() <= 125),
        Message::Close(Some(close)) => {
            assert!(close.code().is_allowed_on_wire() && close.reason().len() <= 123);
            assert!(std::str::from_utf8(close.reason().as_bytes()).is_ok());
        }
        Message::Close(None) => {}
    }
}
