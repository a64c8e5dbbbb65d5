//! Frames and fragments (RFC 6455 §5.1, §5.2, §5.4) and the limits that §10.4 asks for.
//!
//! Never: tests control frames by themselves (see `control.rs`).

use super::{Case, Group, LIMITS, Level};
use crate::wire::{BINARY, CONTINUATION, Frame, LengthForm, TEXT};
use fanfare_codec::Role;

/// The group's cases for an endpoint of this role.
#[must_use]
pub fn cases(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(lengths(role));
    cases.extend(masks(role));
    cases.extend(reserved(role));
    cases.extend(length_forms(role));
    cases.extend(fragments(role));
    cases.extend(fragment_order(role));
    cases.extend(limits(role));
    cases
}

fn case(role: Role, rfc: &'static str, id: impl AsRef<str>) -> Case {
    Case::open(Group::Framing, role, rfc, id)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| b"0123456789abcdefghijklmnopqrstuvwxy"[i % 35])
        .collect()
}

/// Around every border of the length forms and of the SIMD blocks.
fn lengths(role: Role) -> Vec<Case> {
    let near = [0, 16, 32, 64, 126, 128, 256, 512, 4_096, 65_536];
    let mut lens: Vec<usize> = near
        .into_iter()
        .flat_map(|n: usize| n.saturating_sub(1)..=n + 1)
        .collect();
    lens.dedup();
    lens.iter()
        .flat_map(|&len| {
            [
                case(role, "5.2", format!("length/text-{len}"))
                    .send([Frame::text(pattern(len))])
                    .expect_text(pattern(len)),
                case(role, "5.2", format!("length/binary-{len}"))
                    .send([Frame::binary(pattern(len)), Frame::binary([0xFF])])
                    .expect_binary(pattern(len))
                    .expect_binary([0xFF]),
            ]
        })
        .map(Case::then_close)
        .chain([case(role, "5.2", "many-frames-in-one-read")
            .send((0..100_u8).map(|n| Frame::binary([n])))
            .expect_all((0..100_u8).map(|n| vec![n]))
            .then_close()])
        .collect()
}

/// §5.1: decided by the second byte, before any payload.
fn masks(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, opcode) in [
        ("text", TEXT),
        ("binary", BINARY),
        ("close", 8),
        ("ping", 9),
        ("pong", 10),
    ] {
        for len in [0, 5, 125] {
            let bytes = |case: &Case| {
                Frame::new(opcode, pattern(len))
                    .wrong_mask()
                    .encode(case.sender())
            };
            let case = case(role, "5.1", format!("wrong-mask/{name}-{len}"));
            let bytes = bytes(&case);
            cases.push(case.fails_at(&bytes, 2, 1002));
        }
    }
    let long = case(role, "5.1", "wrong-mask/binary-70000");
    let bytes = Frame::binary(pattern(70_000))
        .wrong_mask()
        .encode(long.sender());
    cases.push(long.fails_at(&bytes[..12], 2, 1002));
    cases.push(
        case(role, "5.1", "wrong-mask/after-good-frames")
            .send([
                Frame::text("a"),
                Frame::text("b"),
                Frame::text("c").wrong_mask(),
            ])
            .expect_text("a")
            .expect_text("b")
            .expect_fail(1002),
    );
    if role == Role::Server {
        for key in [[0; 4], [0xFF; 4], [0, 0, 0, 1], [0x80, 0, 0, 0], *b"GET "] {
            cases.push(
                case(
                    role,
                    "5.3",
                    format!("mask-key/{:08x}", u32::from_be_bytes(key)),
                )
                .send([Frame::text(pattern(67)).key(key), Frame::ping("p").key(key)])
                .expect_text(pattern(67))
                .expect_pong("p")
                .then_close(),
            );
        }
    }
    cases
}

/// §5.2: RSV bits without an extension, and opcodes that mean nothing.
fn reserved(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for rsv in 1..=7 {
        for opcode in [TEXT, BINARY, 8, 9, 10] {
            let case = case(role, "5.2", format!("rsv/{rsv}-opcode-{opcode}"));
            let bytes = Frame::new(opcode, "").rsv(rsv).encode(case.sender());
            cases.push(case.fails_at(&bytes, 2, 1002));
        }
        cases.push(
            case(role, "5.2", format!("rsv/{rsv}-continuation"))
                .send([
                    Frame::text("a").not_final(),
                    Frame::continuation("b").rsv(rsv),
                ])
                .expect_fail(1002),
        );
        cases.push(
            case(role, "5.2", format!("rsv/{rsv}-after-good-frame"))
                .level(Level::Should)
                .send([Frame::text("kept"), Frame::text("lost").rsv(rsv)])
                .expect_text("kept")
                .expect_fail(1002),
        );
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for payload in ["", "payload"] {
            for fin in [true, false] {
                let id = format!(
                    "opcode/{opcode}-{}-bytes-fin-{}",
                    payload.len(),
                    u8::from(fin)
                );
                let case = case(role, "5.2", id);
                let frame = Frame::new(opcode, payload);
                let frame = if fin { frame } else { frame.not_final() };
                let bytes = frame.encode(case.sender());
                cases.push(case.fails_at(&bytes, 2, 1002));
            }
        }
        cases.push(
            case(role, "5.2", format!("opcode/{opcode}-inside-message"))
                .send([Frame::text("a").not_final(), Frame::new(opcode, "")])
                .expect_fail(1002),
        );
    }
    cases
}

/// §5.2: the minimal number of bytes must encode the length, and 64 bits have 63 to use.
fn length_forms(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in 0..=125_u64 {
        let case = case(role, "5.2", format!("not-minimal/16-bits-{len}"));
        let bytes = Frame::binary("")
            .declaring(len)
            .form(LengthForm::Bits16)
            .encode(case.sender());
        cases.push(case.fails_at(&bytes[..4], 4, 1002));
    }
    for len in [0, 1, 125, 126, 127, 255, 256, 32_768, 65_534, 65_535] {
        let case = case(role, "5.2", format!("not-minimal/64-bits-{len}"));
        let bytes = Frame::text("")
            .declaring(len)
            .form(LengthForm::Bits64)
            .encode(case.sender());
        cases.push(case.fails_at(&bytes[..10], 10, 1002));
    }
    for bit in [0, 1, 16, 62] {
        let len = 1 << 63 | 1_u64 << bit;
        let case = case(role, "5.2", format!("length-msb/{len:016x}"));
        let bytes = Frame::binary("").declaring(len).encode(case.sender());
        cases.push(case.fails_at(&bytes[..10], 10, 1002));
    }
    for len in [1 << 31, 1 << 32, 1 << 48, u64::MAX >> 1] {
        // Nothing may be allocated for it: the whole header decides, no payload byte ever comes.
        let case = case(role, "10.4", format!("declared/{len:016x}"));
        let bytes = Frame::binary("").declaring(len).encode(case.sender());
        cases.push(case.send_bytes(bytes).expect_fail(1009));
    }
    cases
}

/// §5.4: fragments of every shape make the same message.
fn fragments(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    let text = "fragmented κόσμε";
    for parts in [1, 2, 3, 5, text.len()] {
        let size = text.len().div_ceil(parts);
        cases.push(
            case(role, "5.4", format!("fragments/text-{parts}"))
                .send(fragmented(TEXT, text.as_bytes().chunks(size)))
                .expect_text(text)
                .then_close(),
        );
        cases.push(
            case(role, "5.4", format!("fragments/binary-{parts}-twice"))
                .send(fragmented(BINARY, text.as_bytes().chunks(size)))
                .send(fragmented(BINARY, text.as_bytes().chunks(size)))
                .expect_binary(text)
                .expect_binary(text)
                .then_close(),
        );
    }
    for (name, parts) in [
        ("all-empty", ["", "", ""]),
        ("first-empty", ["", "a", "b"]),
        ("middle-empty", ["a", "", "b"]),
        ("last-empty", ["a", "b", ""]),
    ] {
        cases.push(
            case(role, "5.4", format!("fragments/{name}"))
                .send(fragmented(TEXT, parts.iter().map(|part| part.as_bytes())))
                .expect_text(parts.concat())
                .then_close(),
        );
    }
    cases.push(
        case(role, "5.4", "fragments/silent-until-final")
            .send([Frame::text("a").not_final()])
            .expect_silence()
            .send([Frame::continuation("b").not_final()])
            .expect_silence()
            .send([Frame::continuation("c")])
            .expect_text("abc")
            .then_close(),
    );
    let big = pattern(120_000);
    cases.push(
        case(role, "5.4", "fragments/120000-bytes-in-4000s")
            .send(fragmented(BINARY, big.chunks(4_000)))
            .expect_binary(big.clone())
            .then_close(),
    );
    cases
}

/// A message in fragments.
fn fragmented<'p>(opcode: u8, parts: impl IntoIterator<Item = &'p [u8]>) -> Vec<Frame> {
    let parts: Vec<&[u8]> = parts.into_iter().collect();
    let last = parts.len() - 1;
    parts
        .iter()
        .enumerate()
        .map(|(n, part)| {
            let frame = Frame::new(if n == 0 { opcode } else { CONTINUATION }, *part);
            if n == last { frame } else { frame.not_final() }
        })
        .collect()
}

/// §5.4: continuations only inside a message, new messages only outside.
fn fragment_order(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for fin in [true, false] {
        let fit = |frame: Frame| if fin { frame } else { frame.not_final() };
        let fin = u8::from(fin);
        cases.push(
            case(role, "5.4", format!("order/continuation-first-fin-{fin}"))
                .send([fit(Frame::continuation("lost"))])
                .expect_fail(1002),
        );
        cases.push(
            case(
                role,
                "5.4",
                format!("order/continuation-after-message-fin-{fin}"),
            )
            .send([Frame::text("kept"), fit(Frame::continuation("lost"))])
            .expect_text("kept")
            .expect_fail(1002),
        );
        cases.push(
            case(
                role,
                "5.4",
                format!("order/continuation-after-fragmented-fin-{fin}"),
            )
            .send([Frame::text("a").not_final(), Frame::continuation("b")])
            .expect_text("ab")
            .send([fit(Frame::continuation("lost"))])
            .expect_fail(1002),
        );
        for opcode in [TEXT, BINARY] {
            cases.push(
                case(
                    role,
                    "5.4",
                    format!("order/opcode-{opcode}-inside-message-fin-{fin}"),
                )
                .send([Frame::text("a").not_final(), fit(Frame::new(opcode, "b"))])
                .expect_fail(1002),
            );
        }
    }
    cases
}

/// §7.4.1, 1009: at each limit it works, one past it does not; decided by the header.
fn limits(role: Role) -> Vec<Case> {
    let frame_max = usize::try_from(LIMITS.max_frame_bytes).expect("fits");
    let message_max = usize::try_from(LIMITS.max_message_bytes).expect("fits");
    let rest = message_max - frame_max;
    let fragments_max = LIMITS.max_fragments as usize;
    let empties = |n: usize| (0..n).map(|_| Frame::continuation("").not_final());
    let over = |case: Case, frame: Frame| {
        let header = frame.encode(case.sender());
        case.send_bytes(header).expect_fail(1009)
    };
    let half = Frame::binary(pattern(frame_max)).not_final();
    let frame_over = case(role, "10.4", "limit/frame-over");
    let message_over = case(role, "10.4", "limit/message-over").send([half.clone()]);
    let far_over = case(role, "10.4", "limit/message-far-over").send([half.clone()]);
    vec![
        case(role, "10.4", "limit/frame-at")
            .send([Frame::binary(pattern(frame_max))])
            .expect_binary(pattern(frame_max))
            .then_close(),
        over(
            frame_over,
            Frame::binary("").declaring(LIMITS.max_frame_bytes + 1),
        ),
        case(role, "10.4", "limit/message-at")
            .send([half, Frame::continuation(pattern(rest))])
            .expect_binary([pattern(frame_max), pattern(rest)].concat())
            .then_close(),
        over(
            message_over,
            Frame::continuation("")
                .declaring(rest as u64 + 1)
                .not_final(),
        ),
        over(
            far_over,
            Frame::continuation("").declaring(LIMITS.max_frame_bytes),
        ),
        case(role, "10.4", "limit/fragments-at")
            .send([Frame::text("a").not_final()])
            .send(empties(fragments_max - 2))
            .expect_silence()
            .send([Frame::continuation("z")])
            .expect_text("az")
            .then_close(),
        case(role, "10.4", "limit/fragments-over")
            .send([Frame::text("a").not_final()])
            .send(empties(fragments_max - 1))
            .expect_silence()
            .send([Frame::continuation("z")])
            .expect_fail(1009),
        case(role, "10.4", "limit/empty-fragments-flood")
            .send([Frame::binary("").not_final()])
            .send(empties(fragments_max * 4))
            .expect_fail(1009),
        case(role, "10.4", "limit/fragments-count-anew")
            .send([Frame::text("a").not_final()])
            .send(empties(fragments_max - 2))
            .send([Frame::continuation(""), Frame::text("b").not_final()])
            .send(empties(fragments_max - 2))
            .send([Frame::continuation("")])
            .expect_text("a")
            .expect_text("b")
            .then_close(),
    ]
}
