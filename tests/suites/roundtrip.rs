//! What the encoder writes, the decoder reads back: both roles, fragments, control frames between.
//!
//! Never: looks at the wire bytes but through [`fanfare_tests::wire`], which must read them too.

use fanfare_codec::{
    CloseCode, CloseFrame, Encoder, Header, Limits, MaskKeys, Message, MessageDecoder, MessageKind,
    Opcode, PreparedFrame, Role, Rsv,
};
use fanfare_tests::wire::{self, Sender};
use proptest::prelude::*;

/// What a connection carries, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sent {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Message<'_>> for Sent {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.to_owned()),
            Message::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Message::Ping(payload) => Self::Ping(payload.to_vec()),
            Message::Pong(payload) => Self::Pong(payload.to_vec()),
            Message::Close(close) => {
                Self::Close(close.map(|close| (close.code().0, close.reason().to_owned())))
            }
        }
    }
}

/// One data message, the places to cut it into fragments, and a control frame between two of them.
#[derive(Clone, Debug)]
struct Plan {
    message: Sent,
    cuts: Vec<prop::sample::Index>,
    between: Option<Sent>,
}

fn control() -> impl Strategy<Value = Sent> {
    let payload = prop::collection::vec(any::<u8>(), 0..=125);
    prop_oneof![
        payload.clone().prop_map(Sent::Ping),
        payload.prop_map(Sent::Pong)
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let len = prop_oneof![8 => 0..40_usize, 2 => 120..130_usize, 1 => 65_530..65_540_usize];
    let message = prop_oneof![
        prop::collection::vec(any::<char>(), 0..60)
            .prop_map(|c| Sent::Text(c.into_iter().collect())),
        (len, any::<u8>()).prop_map(|(len, seed)| Sent::Binary(vec![seed; len])),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Sent::Binary),
    ];
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..5);
    (message, cuts, prop::option::of(control())).prop_map(|(message, cuts, between)| Plan {
        message,
        cuts,
        between,
    })
}

fn close() -> impl Strategy<Value = Sent> {
    let code = prop_oneof![
        Just(1000_u16),
        1001..=1003_u16,
        1007..=1014_u16,
        3000..=4999_u16
    ];
    prop::option::of((code, "[a-zé한]{0,40}")).prop_map(Sent::Close)
}

fn write_control<K: MaskKeys>(encoder: &mut Encoder<K>, out: &mut Vec<u8>, sent: &Sent) {
    match sent {
        Sent::Ping(payload) => encoder.ping(out, payload).expect("short"),
        Sent::Pong(payload) => encoder.pong(out, payload).expect("short"),
        Sent::Close(close) => {
            let frame = close
                .as_ref()
                .map(|(code, reason)| CloseFrame::new(CloseCode(*code), reason).expect("allowed"));
            encoder.close(out, frame);
        }
        _ => unreachable!("a data message"),
    }
}

/// Encodes `plan` and notes in `order` what must come out when.
fn write<K: MaskKeys>(
    encoder: &mut Encoder<K>,
    out: &mut Vec<u8>,
    plan: &Plan,
    order: &mut Vec<Sent>,
) {
    let (kind, bytes) = match &plan.message {
        Sent::Text(text) => (MessageKind::Text, text.as_bytes()),
        Sent::Binary(bytes) => (MessageKind::Binary, bytes.as_slice()),
        _ => unreachable!("a control frame"),
    };
    if plan.cuts.is_empty() {
        match &plan.message {
            Sent::Text(text) => encoder.text(out, text),
            _ => encoder.binary(out, bytes),
        }
        .expect("nothing is fragmented");
    } else {
        let mut cuts: Vec<usize> = plan
            .cuts
            .iter()
            .map(|cut| cut.index(bytes.len() + 1))
            .collect();
        cuts.sort_unstable();
        encoder
            .begin(out, kind, &bytes[..cuts[0]])
            .expect("nothing is fragmented");
        for pair in cuts.windows(2) {
            encoder
                .proceed(out, &bytes[pair[0]..pair[1]])
                .expect("in a message");
        }
        if let Some(between) = &plan.between {
            write_control(encoder, out, between);
            order.push(between.clone());
        }
        encoder
            .end(out, &bytes[cuts[cuts.len() - 1]..])
            .expect("in a message");
    }
    order.push(plan.message.clone());
}

fn decode(role: Role, bytes: &[u8], piece: usize) -> Vec<Sent> {
    let mut decoder = MessageDecoder::new(role, Limits::default());
    let (mut kept, mut messages) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        kept.extend_from_slice(piece);
        let mut input = &mut kept[..];
        let total = input.len();
        while let Some(message) = decoder
            .next_message(&mut input)
            .expect("what we encoded is legal")
        {
            messages.push(Sent::from(message));
        }
        let used = total - input.len();
        kept.drain(..used);
    }
    assert!(kept.is_empty(), "{} bytes left over", kept.len());
    assert!(decoder.is_between_messages());
    messages
}

/// Every frame is legal to a reader that shares nothing with the codec.
fn assert_legal(mut bytes: &[u8], sender: Sender) {
    while !bytes.is_empty() {
        let (_, len) = wire::read_frame(bytes, sender)
            .expect("legal")
            .expect("whole");
        bytes = &bytes[len..];
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s5_encode_then_decode_is_the_identity(
        plans in prop::collection::vec(plan(), 0..6),
        close in close(),
        piece in 1..200_usize,
        keys in any::<u32>(),
    ) {
        let mut expected = Vec::new();
        let (mut from_server, mut from_client) = (Vec::new(), Vec::new());
        let mut server = Encoder::server();
        let mut key = keys;
        let mut client = Encoder::client(|| { key = key.wrapping_mul(747_796_405).wrapping_add(1); key.to_be_bytes() });
        for plan in &plans {
            write(&mut server, &mut from_server, plan, &mut expected);
            write(&mut client, &mut from_client, plan, &mut Vec::new());
        }
        write_control(&mut server, &mut from_server, &close);
        write_control(&mut client, &mut from_client, &close);
        expected.push(close);
        for piece in [piece, usize::MAX] {
            prop_assert_eq!(&decode(Role::Client, &from_server, piece), &expected);
            prop_assert_eq!(&decode(Role::Server, &from_client, piece), &expected);
        }
        assert_legal(&from_server, Sender::Server);
        assert_legal(&from_client, Sender::Client);
    }

    #[test]
    fn s5_2_header_encode_then_parse_is_the_identity(
        fin in any::<bool>(),
        bits in 0..16_u8,
        key in prop::option::of(any::<[u8; 4]>()),
        len in prop_oneof![0..=130_u64, 65_530..=65_540_u64, 0..1_u64 << 63],
    ) {
        let Some(opcode) = Opcode::from_bits(bits) else { return Ok(()) };
        prop_assert_eq!(opcode.bits(), bits);
        let (fin, payload_len) = if opcode.is_control() { (true, len.min(125)) } else { (fin, len) };
        let header = Header { fin, rsv: Rsv::NONE, opcode, mask_key: key, payload_len };
        let mut out = [0; Header::BYTES_MAX];
        let written = header.encode(&mut out);
        prop_assert_eq!(written, header.encoded_len());
        let role = if key.is_some() { Role::Server } else { Role::Client };
        let allowed = fanfare_codec::AllowedRsv::NONE;
        for cut in 0..written {
            prop_assert_eq!(Header::parse(&out[..cut], role, allowed), Ok(None), "cut at {}", cut);
        }
        prop_assert_eq!(Header::parse(&out[..written], role, allowed), Ok(Some((header, written))));
    }

    #[test]
    fn s5_a_prepared_frame_is_what_the_encoder_writes(text in "[a-zé한😀]{0,70}", more in 0..70_000_usize) {
        let text = text + &"x".repeat(more);
        let mut encoded = Vec::new();
        Encoder::server().text(&mut encoded, &text).expect("nothing is fragmented");
        let prepared = PreparedFrame::text(text);
        prop_assert_eq!(prepared.len(), encoded.len());
        for sent in (0..=encoded.len()).step_by(1 + encoded.len() / 40) {
            prop_assert!(prepared.slices(sent).concat() == encoded[sent..], "after {} bytes", sent);
        }
    }
}
