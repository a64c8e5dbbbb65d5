//! Ping, pong, and what holds for every control frame (RFC 6455 §5.5, §5.5.2, §5.5.3).
//!
//! Never: tests close codes (see `close.rs`).

use super::{Case, Group, Level};
use crate::wire::{BINARY, CLOSE, Frame, PING, PONG, TEXT};
use fanfare_codec::Role;

const OPCODES: [(&str, u8); 3] = [("close", CLOSE), ("ping", PING), ("pong", PONG)];

/// The group's cases for an endpoint of this role.
#[must_use]
pub fn cases(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(pings(role));
    cases.extend(sizes(role));
    cases.extend(fragmented(role));
    cases.extend(between_fragments(role));
    cases
}

fn case(role: Role, rfc: &'static str, id: impl AsRef<str>) -> Case {
    Case::open(Group::Control, role, rfc, id)
}

fn payload(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| u8::try_from(i * 7 % 256).expect("below 256"))
        .collect()
}

/// §5.5.2–5.5.3.
fn pings(role: Role) -> Vec<Case> {
    let mut cases: Vec<Case> = (0..=125)
        .map(|len| {
            case(role, "5.5.2", format!("ping/{len}-bytes"))
                .send([Frame::ping(payload(len))])
                .expect_pong(payload(len))
                .then_close()
        })
        .collect();
    cases.extend([
        case(role, "5.5.3", "pong/unsolicited")
            .send([Frame::pong(""), Frame::pong(payload(125))])
            .expect_silence()
            .send([Frame::ping("still here")])
            .expect_pong("still here")
            .then_close(),
        case(role, "5.5.2", "ping/before-text")
            .send([Frame::ping("p"), Frame::text("t"), Frame::ping("q")])
            .expect_pong("p")
            .expect_text("t")
            .expect_pong("q")
            .then_close(),
        // §5.5.3 lets an endpoint answer only the latest; ours does so only when output backs up.
        (0..10_u8).fold(
            case(role, "5.5.3", "ping/ten-in-a-row")
                .level(Level::May)
                .send((0..10_u8).map(|n| Frame::ping([n]))),
            |case, n| case.expect_pong([n]),
        ),
        case(role, "5.5.2", "ping/not-utf8")
            .send([Frame::ping([0xFF, 0xC0])])
            .expect_pong([0xFF, 0xC0]),
        case(role, "5.5.1", "ping/after-close-is-not-answered")
            .send([Frame::close(1000, ""), Frame::ping("late")])
            .expect_close_answer(Some(1000)),
    ]);
    cases
}

/// §5.5: at most 125 bytes, decided by the second byte, since a longer one needs another form.
fn sizes(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, opcode) in OPCODES {
        for len in [126, 127, 65_535, 65_536] {
            let case = case(role, "5.5", format!("too-long/{name}-{len}"));
            let bytes = Frame::new(opcode, "").declaring(len).encode(case.sender());
            cases.push(case.fails_at(&bytes, 2, 1002));
        }
        for form in [126, 127] {
            // Longer forms of a short length break two rules; both say 1002.
            let case = case(role, "5.5", format!("too-long/{name}-form-{form}"));
            let mask = if role == Role::Server { 0x80 } else { 0 };
            cases.push(case.fails_at(&[0x80 | opcode, mask | form], 2, 1002));
        }
        cases.push(
            case(role, "5.5", format!("too-long/{name}-126-whole"))
                .send([Frame::text("kept"), Frame::new(opcode, payload(126))])
                .expect_text("kept")
                .expect_fail(1002),
        );
    }
    cases.push(
        case(role, "5.5", "longest/pong-125")
            .send([Frame::pong(payload(125))])
            .expect_silence()
            .then_close(),
    );
    cases
}

/// §5.5: control frames must not be fragmented.
fn fragmented(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, opcode) in OPCODES {
        for len in [0, 2, 125] {
            let case = case(role, "5.5", format!("fragmented/{name}-{len}"));
            let bytes = Frame::new(opcode, payload(len))
                .not_final()
                .encode(case.sender());
            cases.push(case.fails_at(&bytes, 2, 1002));
        }
        cases.push(
            case(role, "5.5", format!("fragmented/{name}-inside-message"))
                .send([
                    Frame::text("a").not_final(),
                    Frame::new(opcode, "").not_final(),
                ])
                .expect_fail(1002),
        );
        cases.push(
            case(role, "5.5", format!("fragmented/{name}-then-continuation"))
                .send([Frame::new(opcode, "").not_final(), Frame::continuation("")])
                .expect_fail(1002),
        );
    }
    cases
}

/// §5.4, §5.5: control frames may come between any two fragments, and are handled there.
fn between_fragments(role: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, opcode) in [("text", TEXT), ("binary", BINARY)] {
        let parts = ["a", "", "bc", "d"];
        for at in 1..parts.len() {
            cases.push(between(
                case(role, "5.4", format!("between/{name}-ping-at-{at}")),
                opcode,
                parts,
                |n| {
                    if n == at {
                        vec![Frame::ping("p")]
                    } else {
                        Vec::new()
                    }
                },
            ));
        }
        cases.push(between(
            case(role, "5.4", format!("between/{name}-ping-everywhere")),
            opcode,
            parts,
            |n| vec![Frame::ping([u8::try_from(n).expect("small")])],
        ));
        cases.push(between(
            case(role, "5.4", format!("between/{name}-pongs-and-pings")),
            opcode,
            parts,
            |_| {
                vec![
                    Frame::pong("ignored"),
                    Frame::ping(payload(125)),
                    Frame::pong(""),
                ]
            },
        ));
    }
    cases.push(
        case(role, "5.5.2", "between/answered-before-the-message-ends")
            .send([Frame::text("a").not_final(), Frame::ping("now")])
            .expect_pong("now")
            .send([Frame::continuation("b")])
            .expect_text("ab")
            .then_close(),
    );
    cases
}

/// `parts` as fragments, with what `frames(n)` gives before the n-th; pongs answer each ping.
fn between(
    mut case: Case,
    opcode: u8,
    parts: [&str; 4],
    frames: impl Fn(usize) -> Vec<Frame>,
) -> Case {
    let sender = case.sender();
    let mut pongs = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let mut sent = Vec::new();
        if n > 0 {
            for control in frames(n) {
                let (read, _) = crate::wire::read_frame(&control.encode(sender), sender)
                    .expect("legal")
                    .expect("whole");
                if read.opcode == PING {
                    pongs.push(read.payload);
                }
                sent.push(control);
            }
        }
        let fragment = Frame::new(if n == 0 { opcode } else { 0 }, *part);
        sent.push(if n + 1 < parts.len() {
            fragment.not_final()
        } else {
            fragment
        });
        case = case.send(sent);
    }
    for pong in pongs {
        case = case.expect_pong(pong);
    }
    case.step(super::Step::Expect {
        opcode,
        payload: parts.concat().into_bytes(),
    })
    .then_close()
}
